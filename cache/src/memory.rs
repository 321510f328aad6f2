//! The memory tier: whole blocks in foyer's memory cache, weighed by the memory that they take up.
//!
//! foyer's disk engine and its single flight are not used: they move whole entries and know nothing of pages
//! (`ops/decisions/2026-11-22-memory-tier-and-slab.md`).

use foyer::{Cache, CacheBuilder, LruConfig};
use tracing::warn;

use crate::block::Block;
use crate::layout::BlockKey;

/// Blocks that a shard should hold for its share of a skewed load to even out.
const SHARD_BLOCKS_MIN: u64 = 128;

const SHARDS_MAX: u64 = 8;

/// A tier of fewer blocks gives a block up so soon that its readers may come too late.
const LASTING_BLOCKS_MIN: u64 = 32;

/// Blocks in memory. Without room for a single block it keeps nothing.
pub(crate) struct MemoryTier {
    blocks: Option<Cache<BlockKey, Block>>,
    bytes_max: usize,
    blocks_max: u64,
}

impl MemoryTier {
    pub(crate) fn new(memory_bytes: u64, block_bytes: u64) -> Self {
        if memory_bytes < block_bytes {
            return Self { blocks: None, bytes_max: 0, blocks_max: 0 };
        }
        let bytes_max = crate::layout::to_len(memory_bytes);
        let shards = (memory_bytes / block_bytes / SHARD_BLOCKS_MIN).clamp(1, SHARDS_MAX);
        let builder = CacheBuilder::new(bytes_max)
            .with_name("cache")
            .with_shards(crate::layout::to_len(shards))
            // What was filled ahead of a reader must outlive what was read. S3-FIFO gives up blocks that nobody read
            // yet first: a reader just ahead of its tier's size then fetched 1.46 times its object.
            .with_eviction_config(LruConfig::default())
            .with_weighter(|_: &BlockKey, block: &Block| block.footprint());
        Self { blocks: Some(builder.build()), bytes_max, blocks_max: memory_bytes / block_bytes }
    }

    /// Whether blocks are kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.blocks.is_some()
    }

    /// Whether a block that is put in will be there for whoever waits for it now.
    pub(crate) fn lasts(&self) -> bool {
        self.blocks_max >= LASTING_BLOCKS_MIN
    }

    /// Whole blocks that there is room for.
    pub(crate) fn blocks_max(&self) -> u64 {
        self.blocks_max
    }

    /// The block, which counts as used.
    pub(crate) fn get(&self, key: &BlockKey) -> Option<Block> {
        self.blocks.as_ref()?.get(key).map(|entry| entry.value().clone())
    }

    /// Whether the block is there, without counting as a use.
    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.blocks.as_ref().is_some_and(|cache| cache.contains(key))
    }

    /// Puts the block in. True if it will be there for whoever waits for it now.
    pub(crate) fn insert(&self, key: BlockKey, block: Block) -> bool {
        if let Some(blocks) = &self.blocks {
            blocks.insert(key, block);
        }
        self.lasts()
    }

    /// Takes these blocks out, and returns how many were there.
    pub(crate) fn remove(&self, keys: impl Iterator<Item = BlockKey>) -> u64 {
        let Some(blocks) = &self.blocks else { return 0 };
        keys.filter(|key| blocks.remove(key).is_some()).count() as u64
    }

    /// Takes every block out, and returns about how many there were.
    pub(crate) fn clear(&self) -> u64 {
        let Some(blocks) = &self.blocks else { return 0 };
        let count = blocks.entries() as u64;
        blocks.clear();
        count
    }

    /// Keeps `bytes` less than it may, but half of that at the least. Blocks while it gives up what it has beyond.
    pub(crate) fn leave(&self, bytes: usize) {
        let Some(blocks) = &self.blocks else { return };
        if let Err(error) = blocks.resize(self.bytes_max - bytes.min(self.bytes_max / 2)) {
            warn!(%error, "the memory tier keeps its size");
        }
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.blocks.as_ref().map_or(0, Cache::usage)
    }
}
