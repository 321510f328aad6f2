//! Reads of a device: a block that is pinned, some of its pages, and for how long the device is waited for.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tracing::warn;

use super::Device;
use crate::block::SECTOR_BYTES;
use crate::buffer::Buffer;
use crate::layout::BlockKey;
use crate::page;
use crate::slab::engine::SlotRead;
use crate::slab::header::Header;
use crate::source::PAGE_BYTES;
use crate::sync::lock;

/// A block on disk that cannot go away while this is held.
pub(crate) struct Pin {
    pub(super) device: Device,
    pub(super) key: BlockKey,
    pub(super) slot: u32,
    /// How many reads of the device's other blocks there were since this one's last, if it was read before.
    pub(crate) touched_ago: Option<u32>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        lock(&self.device.0.state).index.unpin(self.slot);
    }
}

impl Pin {
    /// Reads the pages `pages` (counted within the block, which is `block_len` bytes long) into the start of
    /// `buffer`, and verifies each. `None` when the block is not to be had after all, or not in time: it is a miss then.
    pub(crate) async fn read(self, block_len: usize, pages: Range<usize>, buffer: Buffer) -> Option<Buffer> {
        if !self.device.in_use() {
            return None; // since it was found: a silent device would keep this buffer too
        }
        let mut waiting = Waiting(Some(self.ask(block_len, pages, buffer)));
        let answer = waiting.0.as_mut().expect("until it was answered").answer().await;
        waiting.0 = None;
        // Sums are worked out where the bytes are wanted, not on the engine's thread; nobody's are not.
        let (pin, pages, (header, buffer)) = answer?;
        pin.is_good(&header, &buffer, block_len, pages).then_some(buffer)
    }

    /// Hands the read to the device. The pin goes with it: the slot is safe even if the reader goes away.
    fn ask(self, block_len: usize, pages: Range<usize>, buffer: Buffer) -> Asked {
        let (device, key, slot) = (self.device.clone(), self.key, self.slot);
        let inner = &device.0;
        let start = pages.start * PAGE_LEN;
        let end = (pages.end * PAGE_LEN).min(block_len);
        let data_bytes = (end - start).next_multiple_of(SECTOR_BYTES);
        let footprint = buffer.len();
        let (answer, answered) = oneshot::channel();
        let started = Instant::now();
        let answers_before = inner.answers_count.load(Ordering::Relaxed);
        inner.engine.read(SlotRead {
            header_offset: inner.geometry.header_offset(slot),
            header_bytes: inner.geometry.header_bytes(),
            data_offset: inner.geometry.data_offset(slot) + start as u64,
            data_bytes,
            buffer,
            done: Box::new(move |outcome| {
                let inner = &self.device.0;
                inner.answers_count.fetch_add(1, Ordering::Relaxed);
                if outcome.is_ok() {
                    inner.metrics.nvme_read(pages_len(&pages, block_len), started.elapsed());
                }
                // Who does not wait any more has counted it as late.
                if let Err(Answer { pin, outcome, .. }) = answer.send(Answer { pin: self, pages, outcome }) {
                    if outcome.is_err() {
                        pin.forget(true);
                    }
                    drop(outcome);
                    pin.device.0.withheld.sub(footprint);
                }
            }),
        });
        let until = (started + inner.patience).into();
        Asked { device, key, slot, footprint, answers_before, until, answered }
    }

    /// Verifies what was read. A block that proves bad is forgotten.
    fn is_good(&self, header: &[u8], buffer: &Buffer, block_len: usize, pages: Range<usize>) -> bool {
        let good = Header::decode(header, self.device.0.slab_id, self.slot)
            .filter(|header| header.key == self.key && header.block_len as usize == block_len)
            .is_some_and(|header| pages_match(buffer, &header.sums, block_len, pages));
        if !good {
            self.device.0.metrics.nvme_corrupt();
            warn!(slot = self.slot, "a block on NVMe failed its checksum: fetched again");
            self.forget(false);
        }
        good
    }

    fn forget(&self, device_failed: bool) {
        let mut state = lock(&self.device.0.state);
        state.index.forget(self.slot, device_failed);
        self.device.count_blocks(&mut state);
    }
}

/// A read that the device has.
struct Asked {
    device: Device,
    key: BlockKey,
    slot: u32,
    /// Of its buffer.
    footprint: usize,
    answers_before: u64,
    until: tokio::time::Instant,
    answered: oneshot::Receiver<Answer>,
}

/// What the device made of a read.
struct Answer {
    pin: Pin,
    pages: Range<usize>,
    outcome: io::Result<(Vec<u8>, Buffer)>,
}

impl Asked {
    /// What was read. `None` if that failed, or is late: which costs the block, and counts, once.
    async fn answer(&mut self) -> Option<(Pin, Range<usize>, (Vec<u8>, Buffer))> {
        let answer = match timeout_at(self.until, &mut self.answered).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                let withheld = &self.device.0.withheld;
                withheld.add(self.footprint);
                // It cannot come any more, and whoever brings it is told so; but it may just have come.
                self.answered.close();
                let answer = self.answered.try_recv().ok();
                if answer.is_some() {
                    withheld.sub(self.footprint);
                }
                answer
            }
        };
        let Some(Answer { pin, pages, outcome }) = answer else {
            self.device.is_late(&self.key, self.slot, self.answers_before);
            return None;
        };
        match outcome {
            Ok(read) => Some((pin, pages, read)),
            Err(error) => {
                pin.forget(true);
                self.device.device_failed("read", self.slot, &error);
                None
            }
        }
    }
}

/// A read that is waited for. Where its reader goes away the device is waited for all the same: a reader with less patience than
/// we have hides no device that fails or is silent.
struct Waiting(Option<Asked>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut asked) = self.0.take() {
            asked.device.0.runtime.clone().spawn(async move { drop(asked.answer().await) });
        }
    }
}

impl Device {
    /// A read has no answer in time, when there had been `answers_before` at its start. Its block is forgotten, so that nobody
    /// waits for it again; its slot stays pinned for as long as the device has the read.
    ///
    /// Where others were answered meanwhile the device is slow, or has lost this one: that alone does not take it out. If it
    /// loses more, they hold every place at the device in the end, and nobody is answered.
    fn is_late(&self, key: &BlockKey, slot: u32, answers_before: u64) {
        {
            let mut state = lock(&self.0.state);
            state.index.forget_block(key, slot);
            self.count_blocks(&mut state);
        }
        if self.0.answers_count.load(Ordering::Relaxed) == answers_before {
            self.device_failed("read", slot, &io::ErrorKind::TimedOut.into());
        } else {
            self.is_slow("read", slot);
        }
    }
}

const PAGE_LEN: usize = PAGE_BYTES as usize;

/// The length of the pages `pages` of a block of `block_len` bytes.
fn pages_len(pages: &Range<usize>, block_len: usize) -> usize {
    (pages.end * PAGE_LEN).min(block_len) - pages.start * PAGE_LEN
}

fn pages_match(bytes: &[u8], sums: &[u32], block_len: usize, pages: Range<usize>) -> bool {
    let bytes = &bytes[..pages_len(&pages, block_len)];
    let Some(sums) = sums.get(pages) else { return false };
    bytes.chunks(PAGE_LEN).zip(sums).all(|(bytes, sum)| page::checksum(bytes) == *sum)
}
