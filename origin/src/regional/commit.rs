//! The one writer: every change of the store, decided and made durable in batches.
//!
//! A change is announced by its own task, then queued. The writer thread takes whatever is queued, runs the changes
//! one after the other in one write transaction, and commits them with one sync. A change that is refused is taken
//! back alone. Answers leave after the commit, refusals too, for they may stand on a change of the same batch.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use s3s::{S3Error, s3_error};
use tokio::sync::{mpsc, oneshot};

use super::db::{Batch, ReadRows};
use super::disk::Disk;
use super::failure::Failure;
use super::files::Aside;
use super::known_buckets::KnownBuckets;
use super::table::Table;
use super::txn::{Effects, Txn};
use super::usage::Quota;
use crate::permit::Permit;

/// Changes in one transaction.
const BATCH_CHANGES_MAX: usize = 512;
/// Rows that one transaction writes, and how long it takes changes, give or take its last one: whoever is among them waits
/// for all. A row takes about 25 µs.
const BATCH_ROWS_MAX: usize = 4096;
const BATCH_TIME_MAX: Duration = Duration::from_millis(100);
/// Changes that wait for the writer; whoever comes after waits for a place.
const QUEUE_CHANGES_MAX: usize = 1024;

/// Where changes are queued.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Change>>,
}

impl Writer {
    /// Starts the writer thread. It ends once every [`Writer`] is gone and the queue is empty.
    pub(super) fn start(disk: Arc<Disk>) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, changes) = mpsc::channel(QUEUE_CHANGES_MAX);
        let thread =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || write(&disk, changes))?;
        Ok((Self { queue }, thread))
    }

    /// The writer, for who must not keep it running.
    pub(super) fn downgrade(&self) -> WeakWriter {
        WeakWriter { queue: self.queue.downgrade() }
    }

    /// Queues a change and waits until it is durable, or refused.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        growth: Growth,
        decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let (answer, answered) = oneshot::channel();
        let change = Decision { growth, decide: Some(decide), decided: None, answer };
        self.queue.send(Box::new(change)).await.map_err(|_| Failure::NotOpen)?;
        answered.await.map_err(|_| Failure::NotOpen)?
    }
}

/// Whether a change may let the rows grow where the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// It may not, and is refused: what is left is needed to remove things.
    Bounded,
    /// It may, by the little that it notes: it removes things, or is an operator's or the store's own.
    Free,
}

impl Growth {
    /// Of what a request asks for.
    pub(super) fn of(change: &super::seams::Change) -> Self {
        use super::seams::Change;
        match change {
            Change::Nothing | Change::Keys { .. } | Change::Bucket(_) => Self::Bounded,
            Change::Users(_) => Self::Free,
        }
    }
}

/// Announces `change`, then submits `decide`; in between whoever asks with `permit` is looked at once more. Without one it is
/// the store's own change.
///
/// The look comes after the announcement, which may wait for nodes that do not answer: whoever is deleted meanwhile changes
/// nothing any more.
pub(super) async fn announced<T: Send + 'static>(
    disk: &Disk,
    writer: &Writer,
    change: &super::seams::Change,
    permit: Option<&dyn Permit>,
    growth: Growth,
    decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send + 'static,
) -> Result<T, S3Error> {
    let announced = disk.seams.announcer.announce(change).await?;
    if let Some(permit) = permit {
        permit.confirm_caller().await?;
    }
    let decided = writer.submit(growth, decide).await;
    // Every read from here on sees the commit, or that there was none.
    drop(announced);
    decided
}

/// A [`Writer`] that does not keep the writer thread running.
pub(super) struct WeakWriter {
    queue: mpsc::WeakSender<Box<dyn Change>>,
}

impl WeakWriter {
    /// The writer; `None` once it is closed.
    pub(super) fn upgrade(&self) -> Option<Writer> {
        self.queue.upgrade().map(|queue| Writer { queue })
    }
}

/// A change of some type.
trait Change: Send {
    /// Decides and writes, if no account keeps more than `quota` by it and the disk has room. `false` when what was written
    /// is to be taken back.
    fn run(&mut self, txn: &mut Txn<'_>, quota: Quota) -> bool;
    /// Answers whoever waits.
    fn answer(self: Box<Self>, committed: Result<(), &Failure>);
}

struct Decision<T, F> {
    growth: Growth,
    decide: Option<F>,
    decided: Option<Result<T, S3Error>>,
    answer: oneshot::Sender<Result<T, S3Error>>,
}

impl<T: Send, F: FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send> Change for Decision<T, F> {
    fn run(&mut self, txn: &mut Txn<'_>, quota: Quota) -> bool {
        let Some(decide) = self.decide.take() else { return false };
        // A change that panics is refused; the writer and the other changes go on.
        let decided =
            catch_unwind(AssertUnwindSafe(|| decide(txn))).unwrap_or_else(|panic| Err(panicked(&*panic)));
        let settled = decided.and_then(|value| {
            txn.settle_usage(quota)?;
            match self.growth {
                Growth::Bounded => txn.settle_room()?,
                Growth::Free => {}
            }
            Ok(value)
        });
        let keep = settled.is_ok();
        self.decided = Some(settled);
        keep
    }

    fn answer(self: Box<Self>, committed: Result<(), &Failure>) {
        let answer = match (committed, self.decided) {
            (Ok(()), Some(decided)) => decided,
            (Ok(()), None) => Err(Failure::NotOpen.into_answer()),
            (Err(failure), _) => Err(failure.again().into_answer()),
        };
        // Whoever asked may have gone; the change stands all the same.
        self.answer.send(answer).ok();
    }
}

fn panicked(panic: &(dyn Any + Send)) -> S3Error {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = %text, "a change panicked and was taken back");
    s3_error!(InternalError)
}

fn write(disk: &Disk, mut queue: mpsc::Receiver<Box<dyn Change>>) {
    let mut unsettled = Vec::new();
    let known = KnownBuckets::default();
    let mut waiting = VecDeque::new();
    while let Some(first) = waiting.pop_front().or_else(|| queue.blocking_recv()) {
        waiting.push_front(first);
        while waiting.len() < BATCH_CHANGES_MAX
            && let Ok(next) = queue.try_recv()
        {
            waiting.push_back(next);
        }
        settle(disk, &mut unsettled);
        let started = Instant::now();
        let mut carried = Carried::default();
        let committed = commit(disk, &known, &mut waiting, &mut carried);
        let Carried { mut changes, rows_count, effects } = carried;
        if committed.is_err() {
            // Those that had no turn would meet it too.
            changes.extend(waiting.drain(..));
        }
        disk.metrics.committed((changes.len(), rows_count), started.elapsed(), committed.is_ok());
        match &committed {
            Ok(()) => {
                effects.published.into_iter().for_each(Aside::keep);
                if effects.reap_now {
                    disk.reap_now.notify_one();
                }
            }
            Err(failure) => {
                tracing::error!(%failure, changes = changes.len(), "commit failed");
                unsettled.extend(effects.published);
                settle(disk, &mut unsettled);
            }
        }
        for change in changes {
            change.answer(committed.as_ref().copied());
        }
    }
    // The next start finds out about them.
    unsettled.into_iter().for_each(Aside::keep);
}

/// What one transaction has carried.
#[derive(Default)]
struct Carried {
    changes: Vec<Box<dyn Change>>,
    /// That it wrote, those that were taken back among them.
    rows_count: usize,
    effects: Effects,
}

/// Commits those that wait, or the first of them where they are much.
fn commit(
    disk: &Disk,
    known: &KnownBuckets,
    waiting: &mut VecDeque<Box<dyn Change>>,
    carried: &mut Carried,
) -> Result<(), Failure> {
    let write = || {
        disk.db.write(|batch| {
            run(disk, known, waiting, batch, carried);
            Ok(())
        })
    };
    guarded(write).inspect_err(|_| {
        // Whether a panic has left the file shut: whoever reads next would find out as well, and be refused.
        guarded(|| disk.db.snapshot().map(drop)).ok();
    })
}

fn run(
    disk: &Disk,
    known: &KnownBuckets,
    waiting: &mut VecDeque<Box<dyn Change>>,
    batch: &mut Batch<'_>,
    carried: &mut Carried,
) {
    let (moment, mut room, started) = (disk.moment(), disk.files.room(), Instant::now());
    while batch.written_count() < BATCH_ROWS_MAX
        && started.elapsed() < BATCH_TIME_MAX
        && let Some(mut change) = waiting.pop_front()
    {
        let mut txn = Txn::new(batch, moment, &mut room, known);
        let keep = change.run(&mut txn, disk.account_quota);
        let asked = txn.into_effects();
        carried.changes.push(change);
        if keep {
            batch.keep();
            carried.effects.published.extend(asked.published);
            carried.effects.reap_now |= asked.reap_now;
        } else {
            batch.take_back();
        }
        carried.rows_count = batch.written_count();
    }
}

/// redb may panic on pages that it never wrote: the writer goes on.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let lost = |_| Err(Failure::Corrupt("the metadata file cannot be read or written".into()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(lost)
}

/// A commit that failed may have happened. What is on the disk says so, as soon as it can be read: files with a row
/// stay, the others go. No more than one batch of them waits, for without the metadata file nothing is published.
fn settle(disk: &Disk, unsettled: &mut Vec<Aside>) {
    let published =
        |file: &Aside| guarded(|| Ok(disk.db.snapshot()?.row(Table::Files, file.id().as_bytes())?.is_some()));
    while let Some(file) = unsettled.pop() {
        match published(&file) {
            Ok(true) => file.keep(),
            Ok(false) => drop(file),
            Err(_) => return unsettled.push(file),
        }
    }
}

/// Decides a change as the writer does.
#[cfg(test)]
pub(super) fn test_decide<T: Send>(
    txn: &mut Txn<'_>,
    growth: Growth,
    decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send,
) -> Result<T, S3Error> {
    let (answer, _) = oneshot::channel();
    let mut decision = Decision { growth, decide: Some(decide), decided: None, answer };
    decision.run(txn, Quota::default());
    decision.decided.expect("it was decided")
}
