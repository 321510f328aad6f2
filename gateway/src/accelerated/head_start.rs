//! The first pages of an object of which nothing is known here, asked for at the same time as its head: its first byte
//! is then one round trip away, not two.
//!
//! What comes is used only if the head names the same instance, after everything was decided on that; until then nobody
//! looks at it. It is asked for only on behalf of a caller whose signature holds, and only while that has been of use of
//! late ([`HeadStarts::note`]): where blocks are on this node's disk already, as they are after a restart, or objects
//! come with their heads, owners are spared.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use cache::{Instance, Pages, Purpose, Source, SourceError};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use origin::head::PAGE_BYTES;
use origin::read_request::requested_range;
use s3s::dto;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::heads::ObjectName;
use super::owner::Owner;
use crate::metrics::HeadStartCounts;
use crate::peer::{Name, Peer};

/// Most pages of one: a MiB is on its way for as long as a question takes over 16 ms at 60 MiB/s.
const PAGES_MAX: u64 = 16;

/// Most on their way from one owner, those among them that nobody needs and that are read to their end.
const RUNNING_MAX: usize = 16;

/// Of the last 32 objects that nothing was known of, so many have to have needed pages.
const OF_USE_MIN: u32 = 8;

/// What a node without blocks begins with: hope, which eight objects that need no pages dash.
const HOPE: u32 = 0xffff_0000;

/// Those from one owner.
pub struct HeadStarts {
    /// A bit for each of the last objects that nothing was known of: whether their first pages were needed.
    of_use: AtomicU32,
    /// Those that may be joined.
    running: Mutex<HashMap<(Name, u64), Weak<HeadStart>>>,
    places: Arc<Semaphore>,
    counts: HeadStartCounts,
}

/// One, shared by all who asked for the same meanwhile.
pub(super) struct HeadStart {
    asked_at: Instant,
    pages: Range<u64>,
    answer: Mutex<Option<Answer>>,
}

/// What was asked for.
struct Answer {
    coming: JoinHandle<Result<Option<(Instance, Pages)>, SourceError>>,
    outcome: Outcome,
    place: OwnedSemaphorePermit,
}

/// Counts what became of one, once: it was of no use, unless that was said.
struct Outcome {
    counts: HeadStartCounts,
    was_used: bool,
}

impl Outcome {
    fn used(mut self) {
        self.was_used = true;
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        match self.was_used {
            true => self.counts.used.inc(),
            false => self.counts.unused.inc(),
        }
    }
}

/// What a request that finds nothing known of its object has of a head start; none, where that did not seem worth it. Whether
/// it would have been of use is noted all the same.
pub(super) struct Beside {
    pub(super) owner: Arc<Owner>,
    pub(super) begun: Option<Arc<HeadStart>>,
    is_noted: AtomicBool,
}

impl Beside {
    pub(super) fn new(owner: Arc<Owner>, begun: Option<Arc<HeadStart>>) -> Self {
        Self { owner, begun, is_noted: AtomicBool::new(false) }
    }

    /// The object's first pages were needed, or were not. The first word counts.
    pub(super) fn note(&self, were_needed: bool) {
        if !self.is_noted.swap(true, Ordering::Relaxed) {
            self.owner.note_first_pages(were_needed);
        }
    }
}

impl Drop for Beside {
    /// A request that was refused needed none.
    fn drop(&mut self) {
        self.note(false);
    }
}

impl HeadStarts {
    /// Of a node that has blocks already, or none.
    #[must_use]
    pub fn new(has_blocks: bool, counts: HeadStartCounts) -> Self {
        let of_use = AtomicU32::new(if has_blocks { 0 } else { HOPE });
        Self { of_use, running: Mutex::default(), places: Arc::new(Semaphore::new(RUNNING_MAX)), counts }
    }

    /// Asks `peer` for the first pages of `name` that `wanted` names, or joins who did; `None` where that is not worth it.
    pub(super) fn begin(
        &self,
        peer: &Arc<Peer>,
        name: &ObjectName,
        wanted: Range<u64>,
    ) -> Option<Arc<HeadStart>> {
        if self.of_use.load(Ordering::Relaxed).count_ones() < OF_USE_MIN {
            return None;
        }
        let ObjectName { bucket, key, version } = name.clone();
        let name = Name { bucket, key, version };
        let mut running = self.running();
        running.retain(|_, other| other.upgrade().is_some_and(|other| other.is_waited_for()));
        let asked = (name.clone(), wanted.start);
        if let Some(other) = running.get(&asked).and_then(Weak::upgrade) {
            return Some(other);
        }
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (peer, pages) = (peer.clone(), wanted.clone());
        let coming = tokio::spawn(async move { peer.pages_of(name, pages).await });
        let outcome = Outcome { counts: self.counts.clone(), was_used: false };
        let begun = Arc::new(HeadStart {
            asked_at: Instant::now(),
            pages: wanted,
            answer: Mutex::new(Some(Answer { coming, outcome, place })),
        });
        running.insert(asked, Arc::downgrade(&begun));
        Some(begun)
    }

    /// Of an object that nothing was known of, the first pages were needed, or were not.
    pub(super) fn note(&self, were_needed: bool) {
        let noted = |of_use: u32| Some((of_use << 1) | u32::from(were_needed));
        let _ = self.of_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, noted);
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(Name, u64), Weak<HeadStart>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeadStart {
    /// Nobody has taken it yet.
    fn is_waited_for(&self) -> bool {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Nobody will take it any more, if nobody has. What nobody needed is read to its end: it is little, and its connection,
    /// and its place at the owner, are worth more.
    pub(super) fn give_up(&self) {
        let Some(Answer { coming, outcome, place }) = self.take() else { return };
        drop(outcome);
        tokio::spawn(async move {
            if let Ok(Ok(Some((_, pages)))) = coming.await {
                // Broken or whole, nobody wanted it.
                let _ = pages.try_for_each(|_| async { Ok(()) }).await;
            }
            drop(place);
        });
    }
}

impl Drop for HeadStart {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The pages to begin with for a GET with these headers, which is filled in blocks of `block_bytes`; `None` where its head
/// may answer it alone, or has to say first where it begins.
pub(super) fn first_pages(headers: &HeaderMap, block_bytes: u64) -> Option<Range<u64>> {
    let conditions = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];
    if conditions.iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    let (first, last) = match requested_range(headers).ok()? {
        None => (0, u64::MAX),
        Some(dto::Range::Int { first, last }) => (first, last.unwrap_or(u64::MAX)),
        Some(dto::Range::Suffix { .. }) => return None,
    };
    let page = first / PAGE_BYTES;
    // No further than a fill goes: to the end of the last block.
    let block_pages = block_bytes / PAGE_BYTES;
    let filled = (last / PAGE_BYTES / block_pages + 1).saturating_mul(block_pages);
    Some(page..filled.min((page / PAGES_MAX + 1) * PAGES_MAX))
}

/// An owner that was asked for the first pages before.
pub(super) struct Started {
    pub(super) owner: Arc<Owner>,
    pub(super) head_start: Arc<HeadStart>,
}

impl Started {
    /// The pages that were asked for before, if they are of `instance`, and those after them up to `end`.
    async fn go_on(&self, answer: Answer, instance: Instance, end: u64) -> Option<Pages> {
        let Range { start, end: begun_end } = self.head_start.pages;
        // Asked for now, so that it is there when it is needed.
        let rest = (begun_end < end).then(|| {
            let owner = self.owner.clone();
            let asking = async move { owner.pages(instance, begun_end..end, Purpose::Fill).await };
            tokio_util::task::AbortOnDropHandle::new(tokio::spawn(asking))
        });
        let Answer { coming, outcome, place } = answer;
        let (of, begun) = coming.await.ok()?.ok()??;
        if of != instance {
            return None;
        }
        outcome.used();
        // From here on it is a part of a fill, which has a place of its own.
        drop(place);
        let missing_count = begun_end.min(end) - start;
        let begun = begun.take(missing_count as usize);
        let Some(rest) = rest else { return Some(begun.boxed()) };
        let missing = Arc::new(AtomicU64::new(missing_count));
        let still_missing = missing.clone();
        let begun = begun.inspect_ok(move |_| {
            missing.fetch_sub(1, Ordering::Relaxed);
        });
        let rest = async move {
            // What comes next would be taken for pages that did not come.
            if still_missing.load(Ordering::Relaxed) > 0 {
                return Err(SourceError::broken("the owner's first pages ended early"));
            }
            rest.await.unwrap_or_else(|lost| Err(SourceError::broken(lost)))
        };
        Some(begun.chain(rest.into_stream().try_flatten()).boxed())
    }
}

impl Source for Started {
    fn origin(&self) -> &str {
        self.owner.origin()
    }

    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        let is_begun = pages.start == self.head_start.pages.start && purpose == Purpose::Fill;
        let Some(answer) = is_begun.then(|| self.head_start.take()).flatten() else {
            return self.owner.pages(instance, pages, purpose);
        };
        Box::pin(async move {
            match self.go_on(answer, instance, pages.end).await {
                Some(begun) => Ok(begun),
                // There was a change in between, or no answer: as if it had never been asked for.
                None => self.owner.pages(instance, pages, purpose).await,
            }
        })
    }

    fn was_asked_for(&self, page: u64) -> Option<Duration> {
        let begun = &self.head_start;
        (page == begun.pages.start && begun.is_waited_for()).then(|| begun.asked_at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::HeaderValue;
    use http::header::RANGE;
    use origin::regional::LeaseClass;
    use prometheus::Registry;
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::ClusterDir;
    use crate::coherence::{Follower, FollowerParts, Room};
    use crate::metrics::Metrics;
    use crate::peer::{Credentials, Limits, Peers};
    use crate::test_until::{WITHIN, until};
    use crate::topology::{RegionName, Topology};

    const MIB: u64 = 1 << 20;

    /// ord1 at `address`, where nobody answers, as las1 reaches it.
    fn owner_at(address: SocketAddr) -> (Arc<Owner>, HeadStartCounts) {
        let dir = tempfile::tempdir().expect("folder");
        let cluster = ClusterDir::under(dir.path());
        let regions = [("ord1", address.to_string()), ("las1", "127.0.0.1:2".to_owned())];
        let regions = regions.iter().map(|(name, address)| (*name, address.as_str()));
        let topology = Topology::new("penstock.localhost", "ord1", regions).expect("topology");
        let here = RegionName::parse("las1").expect("name");
        cluster.init().expect("authority");
        cluster.make_node(&here, &topology).expect("certificate");
        let credentials = Credentials::load(cluster.path(), &here).expect("credentials");
        let metrics = Metrics::new(&Registry::new());
        // Whoever does not answer is waited for as long as a test takes.
        let limits = Limits { connect_timeout: WITHIN, ..Limits::default() };
        let peers = Peers::new(&topology, &credentials, limits, &metrics).expect("peers");
        let peer = peers.peer("ord1").expect("ord1").clone();
        let counts = metrics.head_starts(peer.region());
        let head_starts = HeadStarts::new(false, counts.clone());
        let objects = Follower::new(FollowerParts {
            peer: peer.clone(),
            class: LeaseClass::Objects,
            here,
            room: Room::new(1 << 20),
            idle_after: None,
            metrics,
        });
        (Arc::new(Owner::Peer { peer, objects, head_starts }), counts)
    }

    fn name(number: usize) -> ObjectName {
        ObjectName { bucket: "data".into(), key: number.to_string(), version: None }
    }

    /// However many objects turn out not to need what was asked for: it keeps its place until it has come, or broken off.
    #[tokio::test]
    async fn what_nobody_needs_has_a_place_until_its_end() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let (owner, counts) = owner_at(silent.local_addr().expect("an address"));
        for number in 0..RUNNING_MAX {
            owner.begin(&name(number), 0..1).expect("a place").give_up();
        }
        assert!(owner.begin(&name(RUNNING_MAX), 0..1).is_none());
        assert_eq!((counts.used.get(), counts.unused.get()), (0, RUNNING_MAX as u64));
        drop(silent);
        until("a place is free", async || owner.begin(&name(RUNNING_MAX), 0..1).is_some()).await;
    }

    /// One that comes to nothing is asked for again by the fill, and was of no use.
    #[tokio::test]
    async fn what_breaks_off_counts_as_unused() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let (owner, counts) = owner_at(nobody.local_addr().expect("an address"));
        drop(nobody);
        let head_start = owner.begin(&name(0), 0..1).expect("a place");
        let source = Started { owner, head_start };
        let pages = source.pages(Instance([7; 16]), 0..1, Purpose::Fill).await;
        assert!(matches!(pages, Err(SourceError::Broken(_))));
        drop(source);
        assert_eq!((counts.used.get(), counts.unused.get()), (0, 1));
    }

    fn of_range(range: &'static str, block_bytes: u64) -> Option<Range<u64>> {
        first_pages(&HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]), block_bytes)
    }

    /// As far as the fill goes, and no more than a MiB.
    #[test]
    fn the_first_pages_are_those_that_a_fill_brings() {
        assert_eq!(first_pages(&HeaderMap::new(), MIB), Some(0..16));
        assert_eq!(first_pages(&HeaderMap::new(), 16 * MIB), Some(0..16));
        for (range, block_bytes, pages) in [
            ("bytes=0-", MIB, 0..16),
            ("bytes=0-99", MIB, 0..16),
            ("bytes=1048575-1048575", MIB, 15..16),
            ("bytes=1048575-1048576", MIB, 15..16),
            ("bytes=8388608-16777215", MIB, 128..144),
            ("bytes=65536-65537", 64 << 10, 1..2),
            ("bytes=65536-131072", 64 << 10, 1..3),
        ] {
            assert_eq!(of_range(range, block_bytes), Some(pages), "{range} {block_bytes}");
        }
        let far = of_range("bytes=9223372036854775807-", MIB).expect("a place");
        assert!(far.start < far.end);
    }

    /// Where the object's size has to be known first, or its head may be all that is wanted.
    #[test]
    fn some_questions_wait_for_the_head() {
        assert_eq!(of_range("bytes=-5", MIB), None);
        for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("\"a\""))]);
            assert_eq!(first_pages(&headers, MIB), None);
        }
    }

    /// An empty node hopes until it has seen otherwise; one that has blocks waits until it has seen that they are missing.
    #[test]
    fn what_is_of_no_use_is_given_up_and_found_again() {
        let counts = Metrics::new(&Registry::new()).head_starts(&RegionName::parse("ord1").expect("a name"));
        let is_worth_it = |of: &HeadStarts| of.of_use.load(Ordering::Relaxed).count_ones() >= OF_USE_MIN;
        let empty = HeadStarts::new(false, counts.clone());
        (0..8).for_each(|_| empty.note(false));
        assert!(is_worth_it(&empty));
        empty.note(false);
        assert!(!is_worth_it(&empty));
        let full = HeadStarts::new(true, counts);
        (0..7).for_each(|_| full.note(true));
        assert!(!is_worth_it(&full));
        full.note(true);
        assert!(is_worth_it(&full));
        // One in four is enough.
        for round in 0..64 {
            full.note(round % 4 == 0);
        }
        assert!(is_worth_it(&full));
    }
}
