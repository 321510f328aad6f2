//! How often is a block there, and how much is written for it, under the slab's eviction and under others?
//!
//! Traces of block numbers go through the slab's own eviction (the very file), the memory cache's LRU, S3-FIFO and
//! W-TinyLFU, and Belady's optimum, which knows what comes. The cache holds a quarter of the blocks. Printed: the share
//! of reads that hit, and the share that had to be written. The same numbers in every run.
//!
//! What the slab spares itself is in memory for a while: of that, the last 250 blocks count as hits.
//!
//! Then the memory tier, with reading ahead in the traces: a reader that finds a block missing brings the next ones too,
//! so that a tier which gives up what nobody has read yet brings it twice. Printed: blocks brought for each block read, and
//! the share of those brought ahead that were gone when their reader came.
//!
//! Last, the size of a block: what of the bytes read was there, and how many were brought for each byte read, by the slab's
//! eviction in slots of several sizes, of a quarter of all bytes together. A block is brought whole, and a short one has a
//! slot to itself.

use std::collections::{BTreeSet, HashMap, VecDeque};

use foyer::{Cache, CacheBuilder, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig};

#[allow(dead_code, reason = "a slab also opens and forgets")]
#[path = "../src/slab/eviction.rs"]
mod eviction;

use eviction::{Eviction, Whose};

const BLOCKS: u64 = 40_000;
const CACHE: u32 = 10_000;
/// Of what was not written.
const MEMORY: usize = 250;
const READS: usize = 800_000;
/// Not counted: the cache fills.
const WARM: usize = READS / 4;

struct Score {
    hits: usize,
    writes: usize,
    counted: usize,
}

fn main() {
    println!(
        "{:<34} {:>13} {:>13} {:>13} {:>13} {:>13} {:>13}",
        "hits / writes a read", "LRU", "S3-FIFO", "W-TinyLFU", "slab, all", "slab, sparing", "Belady"
    );
    for (name, trace) in [
        ("Zipf 0.9", zipf(0.9)),
        ("Zipf 0.9 and scans", scans(1)),
        ("the same, scans in 8 pieces a block", scans(8)),
        ("epochs in shuffled order", epochs()),
        ("pulls of models, 4 nodes each", pulls()),
        ("a working set that moves", moving()),
    ] {
        let scores = [
            of_foyer(&trace, LruConfig::default()),
            of_foyer(&trace, S3FifoConfig::default()),
            of_foyer(&trace, LfuConfig::default()),
            of_slab(&trace, false),
            of_slab(&trace, true),
            of_belady(&trace),
        ];
        print!("{name:<34}");
        for Score { hits, writes, counted } in scores {
            print!("  {:.3} / {:.3}", hits as f64 / counted as f64, writes as f64 / counted as f64);
        }
        println!();
    }
    println!("\n{:<34} {:>13} {:>13} {:>13}", "brought a read / lost ahead", "LRU", "S3-FIFO", "W-TinyLFU");
    for (name, trace) in [
        ("Zipf 0.9 of models, 8 readers", walks(8, 0)),
        ("the same, and 8 scanning", walks(8, 8)),
        ("64 readers", walks(64, 0)),
        ("a twentieth read ahead, 1 reader", walks(1, 0)),
    ] {
        print!("{name:<34}");
        let configs: [EvictionConfig; 3] =
            [LruConfig::default().into(), S3FifoConfig::default().into(), LfuConfig::default().into()];
        for config in configs {
            let (brought, lost) = of_memory_tier(&trace, config);
            print!("  {brought:.3} / {lost:.3}");
        }
        println!();
    }
    print!("\n{:<34}", "hits / brought, bytes a byte read");
    BLOCK_SIZES.iter().for_each(|bytes| print!(" {:>9} KiB", bytes / KIB));
    println!();
    for (name, reads) in [
        ("files of 16 KiB to 1 MiB", files(16 * KIB, MIB)),
        ("files of 1 to 64 MiB", files(MIB, 64 * MIB)),
        ("64 KiB of large files", pieces(64 * KIB)),
        ("1 MiB of large files", pieces(MIB)),
        ("8 MiB of large files", pieces(8 * MIB)),
    ] {
        print!("{name:<34}");
        for block_bytes in BLOCK_SIZES {
            let (hits, brought) = of_block_size(&reads, block_bytes);
            print!(" {hits:.3} / {brought:.3}");
        }
        println!();
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const BLOCK_SIZES: [u64; 6] = [256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB];

/// Bytes of the objects of a trace, about; a quarter fits.
const OBJECTS_BYTES: u64 = 32 * 1024 * MIB;

/// So many times all that fits is read, and as much before anything is counted.
const READ_TURNS: u64 = 16;

/// Bytes `start..end` of an object.
struct Read {
    object: u64,
    object_bytes: u64,
    start: u64,
    end: u64,
}

/// Files of any size between these, each as likely by its magnitude, read whole by Zipf 0.9.
fn files(from_bytes: u64, to_bytes: u64) -> Vec<Read> {
    let mut random = Random(7);
    let (mut sizes, mut all) = (Vec::new(), 0);
    while all < OBJECTS_BYTES {
        let size = (from_bytes as f64 * (to_bytes as f64 / from_bytes as f64).powf(random.unit())) as u64;
        sizes.push(size);
        all += size;
    }
    let zipf = Zipf::new(sizes.len() as u64, 0.9);
    let whole = |object: u64| {
        let object_bytes = sizes[object as usize];
        Read { object, object_bytes, start: 0, end: object_bytes }
    };
    reads(|| whole(zipf.next(&mut random)))
}

/// Pieces of this size of files of a GiB: which of them by Zipf 0.9, the likely ones all over the files.
fn pieces(bytes: u64) -> Vec<Read> {
    let (object_bytes, pieces_count) = (1024 * MIB, OBJECTS_BYTES / bytes);
    let (zipf, mut random) = (Zipf::new(pieces_count, 0.9), Random(8));
    reads(|| {
        // An odd factor puts each rank somewhere else: there is a power of two of them.
        let place = zipf.next(&mut random).wrapping_mul(0x9e37_79b9_7f4a_7c15) % pieces_count * bytes;
        let start = place % object_bytes;
        Read { object: place / object_bytes, object_bytes, start, end: start + bytes }
    })
}

fn reads(mut next: impl FnMut() -> Read) -> Vec<Read> {
    let (mut reads, mut bytes) = (Vec::new(), 0);
    while bytes < READ_TURNS * OBJECTS_BYTES / 4 {
        let read = next();
        bytes += read.end - read.start;
        reads.push(read);
    }
    reads
}

/// The share of the bytes read that was there, and bytes brought for each; of the second half of the trace.
fn of_block_size(reads: &[Read], block_bytes: u64) -> (f64, f64) {
    let slots_count = (OBJECTS_BYTES / 4 / block_bytes) as u32;
    let mut eviction = Eviction::new(slots_count);
    let mut slot_of: HashMap<u64, u32> = HashMap::new();
    let mut in_slot = vec![0; slots_count as usize];
    let (mut hit, mut brought, mut read) = (0, 0, 0);
    for (at, Read { object, object_bytes, start, end }) in reads.iter().enumerate() {
        if at == reads.len() / 2 {
            (hit, brought, read) = (0, 0, 0);
        }
        read += end - start;
        for index in start / block_bytes..end.div_ceil(block_bytes) {
            let (block_start, block) = (index * block_bytes, object << 32 | index);
            let block_end = (block_start + block_bytes).min(*object_bytes);
            if let Some(slot) = slot_of.get(&block) {
                eviction.read(*slot);
                hit += block_end.min(*end) - block_start.max(*start);
                continue;
            }
            brought += block_end - block_start;
            let slot = match slot_of.len() < slots_count as usize {
                true => slot_of.len() as u32,
                false => {
                    let slot =
                        eviction.evict(|_| true, |slot| mix(in_slot[slot as usize])).expect("one may go");
                    slot_of.remove(&in_slot[slot as usize]);
                    slot
                }
            };
            slot_of.insert(block, slot);
            in_slot[slot as usize] = block;
            eviction.insert(slot, mix(block), Whose { tenant: 0, weight: 1 });
        }
    }
    (hit as f64 / read as f64, brought as f64 / read as f64)
}

/// Blocks of a memory tier of 256 MiB.
const TIER: usize = 256;

/// A read of a block, and the blocks that are brought with it if they are missing.
struct Step {
    block: u64,
    ahead_end: u64,
}

/// Readers that take turns, a block each, through models chosen by Zipf; `scanning` of them through what nobody reads again.
/// Together they read a quarter of the tier ahead.
fn walks(readers_count: u64, scanning: u64) -> Vec<Step> {
    let (zipf, mut random) = (Zipf::new(60, 0.9), Random(6));
    let all = readers_count + scanning;
    let ahead = (TIER as u64 / 4 / all).max(1);
    let sizes: Vec<u64> = (0..60).map(|_| 10 + random.below(60)).collect();
    let mut fresh = 1_000_000_u64;
    let mut places = vec![0..0; all as usize];
    let mut steps = Vec::new();
    while steps.len() < READS / 4 {
        for (number, place) in places.iter_mut().enumerate() {
            let is_done = place.start == place.end;
            if is_done && (number as u64) < readers_count {
                let model = zipf.next(&mut random);
                *place = model * 1000..model * 1000 + sizes[model as usize];
            } else if is_done {
                *place = fresh..fresh + 500;
                fresh += 500;
            }
            steps.push(Step { block: place.start, ahead_end: place.end.min(place.start + 1 + ahead) });
            place.start += 1;
        }
    }
    steps
}

/// Blocks brought for each read, and of those brought ahead the share that was gone when it was read.
fn of_memory_tier(trace: &[Step], config: EvictionConfig) -> (f64, f64) {
    let cache: Cache<u64, ()> = CacheBuilder::new(TIER).with_shards(1).with_eviction_config(config).build();
    let (mut brought, mut ahead, mut lost) = (0, 0, 0);
    let mut expected = std::collections::HashSet::new();
    for Step { block, ahead_end } in trace {
        let was_brought = expected.remove(block);
        if cache.get(block).is_none() {
            lost += usize::from(was_brought);
            brought += 1;
            cache.insert(*block, ());
        }
        for next in block + 1..*ahead_end {
            if !cache.contains(&next) && expected.insert(next) {
                (brought, ahead) = (brought + 1, ahead + 1);
                cache.insert(next, ());
            }
        }
    }
    (brought as f64 / trace.len() as f64, lost as f64 / ahead as f64)
}

fn score(trace: &[u64], mut read: impl FnMut(u64) -> (bool, bool)) -> Score {
    let mut score = Score { hits: 0, writes: 0, counted: 0 };
    for (at, block) in trace.iter().enumerate() {
        let (hit, written) = read(*block);
        if at >= WARM.min(trace.len() / 4) {
            score.counted += 1;
            score.hits += usize::from(hit);
            score.writes += usize::from(written);
        }
    }
    score
}

fn of_foyer(trace: &[u64], config: impl Into<EvictionConfig>) -> Score {
    let cache: Cache<u64, ()> =
        CacheBuilder::new(CACHE as usize).with_shards(1).with_eviction_config(config).build();
    score(trace, |block| {
        let hit = cache.get(&block).is_some();
        if !hit {
            cache.insert(block, ());
        }
        (hit, !hit)
    })
}

fn of_slab(trace: &[u64], sparing: bool) -> Score {
    let mut eviction = Eviction::new(CACHE);
    let mut slot_of: HashMap<u64, u32> = HashMap::new();
    let mut in_slot = vec![0; CACHE as usize];
    let mut memory = VecDeque::new();
    score(trace, |block| {
        if let Some(slot) = slot_of.get(&block) {
            eviction.read(*slot);
            return (true, false);
        }
        if memory.contains(&block) {
            return (true, false);
        }
        let is_full = slot_of.len() == CACHE as usize;
        if sparing && is_full && !eviction.is_worth_writing(mix(block), 0) {
            memory.push_back(block);
            if memory.len() > MEMORY {
                memory.pop_front();
            }
            return (false, false);
        }
        let slot = match slot_of.len() < CACHE as usize {
            true => slot_of.len() as u32,
            false => {
                let slot = eviction.evict(|_| true, |slot| mix(in_slot[slot as usize])).expect("one may go");
                slot_of.remove(&in_slot[slot as usize]);
                slot
            }
        };
        slot_of.insert(block, slot);
        in_slot[slot as usize] = block;
        eviction.insert(slot, mix(block), Whose { tenant: 0, weight: 1 });
        (false, true)
    })
}

/// Keeps what is read again soonest, and does not take in what is read later than all of that.
fn of_belady(trace: &[u64]) -> Score {
    let mut next_read = vec![usize::MAX; trace.len()];
    let mut seen = HashMap::new();
    for (at, block) in trace.iter().enumerate().rev() {
        next_read[at] = seen.insert(*block, at).unwrap_or(usize::MAX);
    }
    let (mut kept, mut by_next, mut at) = (HashMap::new(), BTreeSet::new(), 0);
    score(trace, |block| {
        let next = next_read[at];
        at += 1;
        let hit = kept.remove(&block).inspect(|old| assert!(by_next.remove(&(*old, block)))).is_some();
        if !hit && kept.len() == CACHE as usize {
            let (latest, goes) = *by_next.last().expect("it is full");
            if latest <= next {
                return (false, false);
            }
            by_next.remove(&(latest, goes));
            kept.remove(&goes);
        }
        kept.insert(block, next);
        by_next.insert((next, block));
        (hit, !hit)
    })
}

fn mix(block: u64) -> u64 {
    Random(block).next()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks 0.. of `count`, the first the likeliest.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|part| *part /= sum);
        Self(sums)
    }

    fn next(&self, random: &mut Random) -> u64 {
        let at = random.unit();
        self.0.partition_point(|sum| *sum < at) as u64
    }
}

fn zipf(exponent: f64) -> Vec<u64> {
    let (zipf, mut random) = (Zipf::new(BLOCKS, exponent), Random(1));
    (0..READS).map(|_| zipf.next(&mut random)).collect()
}

/// Zipf, and every so often a pass over blocks that nobody reads again: a sixth of all reads of blocks. Each block of
/// a pass is read in `pieces`.
fn scans(pieces: usize) -> Vec<u64> {
    let (zipf, mut random) = (Zipf::new(BLOCKS, 0.9), Random(2));
    let (mut trace, mut cold) = (Vec::new(), BLOCKS);
    while trace.len() < READS {
        trace.extend((0..25_000).map(|_| zipf.next(&mut random)));
        for _ in 0..5_000 {
            trace.extend([cold].repeat(pieces));
            cold += 1;
        }
    }
    trace
}

/// Every block once an epoch, in another order each time.
fn epochs() -> Vec<u64> {
    let mut random = Random(3);
    let mut order: Vec<u64> = (0..BLOCKS).collect();
    let mut trace = Vec::new();
    while trace.len() < READS {
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at as u64 + 1) as usize);
        }
        trace.extend(&order);
    }
    trace
}

/// 80 models of 100 to 900 blocks, by Zipf 0.9, each pulled front to back by four nodes a few blocks apart.
fn pulls() -> Vec<u64> {
    let (zipf, mut random) = (Zipf::new(80, 0.9), Random(4));
    let models: Vec<_> = (0..80).map(|model| (model << 32, 100 + random.below(800))).collect();
    let mut trace = Vec::new();
    while trace.len() < READS {
        let (first, blocks) = models[zipf.next(&mut random) as usize];
        for step in 0..blocks + 60 {
            trace.extend(
                (0..4)
                    .filter_map(|node| step.checked_sub(node * 20))
                    .filter(|at| *at < blocks)
                    .map(|at| first + at),
            );
        }
    }
    trace
}

/// Zipf over blocks of which a fiftieth gives way to new ones every 40,000 reads, the likeliest too.
fn moving() -> Vec<u64> {
    let (zipf, mut random) = (Zipf::new(BLOCKS, 0.9), Random(5));
    let mut blocks: Vec<u64> = (0..BLOCKS).collect();
    let (mut trace, mut fresh) = (Vec::new(), BLOCKS);
    while trace.len() < READS {
        trace.extend((0..40_000).map(|_| blocks[zipf.next(&mut random) as usize]));
        for _ in 0..BLOCKS / 50 {
            // Squared: more of the likely ones.
            let at = (random.unit().powi(2) * BLOCKS as f64) as usize;
            blocks[at] = fresh;
            fresh += 1;
        }
    }
    trace
}
