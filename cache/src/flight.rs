//! Single flight: a block on its way into the cache, and everyone who waits for it.
//!
//! There is at most one flight a block at a time. Whoever claims it brings the block: from the origin page by page,
//! in any order, each page ready for every reader at once (cut-through), or from NVMe in one go. Once the block is in a
//! tier the flight is over, and whoever waited looks there: a slow reader must not hold a block through its flight.
//!
//! The order that keeps this sound: a block is put into its tiers first, then its flight is taken off the map, then
//! the flight ends. So whoever finds neither block nor flight and claims a new one must look once more into the tiers
//! after claiming.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::block::Block;
use crate::budget::{FillRoom, OutlastingRoom};
use crate::error::ReadError;
use crate::fair::Place;
use crate::layout::BlockKey;
use crate::page::VerifiedPage;
use crate::sync::lock;

const SHARDS_COUNT: usize = 64;

/// More holders than this of one block that is on its way are a crowd, the map and the fill among them.
const CROWD_COUNT: usize = 8;
/// How long a reader in a crowd waits for the whole block before it takes the pages as they come.
const CROWD_PATIENCE: Duration = Duration::from_millis(20);

/// Held by those who want a fill to go on: a fill that nobody holds ends at its next block.
pub(crate) struct Interest {
    first: u32,
    /// Moves down when the fill could not claim as many blocks as it wanted.
    end: AtomicU32,
    /// Readers that have taken all there is and wait for more.
    waiting: AtomicUsize,
    /// A reader came to wait, or the last who held this has left.
    changed: Arc<Notify>,
    /// What it takes of the room for blocks filled ahead, until every reader has passed them, or has not come for a while.
    ahead: Mutex<Option<Place>>,
}

impl Interest {
    /// Interest in a fill of `blocks`, or of as many of them as it can claim, which has the places `ahead`.
    pub(crate) fn new(blocks: Range<u32>, ahead: Option<Place>) -> Self {
        let (first, end) = (blocks.start, AtomicU32::new(blocks.end));
        Self { first, end, waiting: AtomicUsize::new(0), changed: Arc::default(), ahead: Mutex::new(ahead) }
    }

    /// Nobody came to the blocks for so long that others may have their room.
    pub(crate) fn give_room_up(&self) {
        let place = lock(&self.ahead).take();
        drop(place);
    }

    /// The fill brings `count` blocks.
    pub(crate) fn reaches(&self, count: usize) {
        let count = u32::try_from(count).expect("a run of blocks of one object");
        self.end.store(self.first + count, Ordering::Release);
    }

    /// Whether a reader waits for the fill.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Waits until a reader waits for the fill, or nobody wants it any more.
    pub(crate) async fn reader_waits(this: &Weak<Self>) {
        Self::until(this, Self::has_waiting).await;
    }

    /// Waits until nobody wants the fill any more.
    pub(crate) async fn left(this: &Weak<Self>) {
        Self::until(this, |_| false).await;
    }

    /// Waits until `holds`, or nobody holds it any more: whoever waits here must not be one who does.
    async fn until(this: &Weak<Self>, holds: impl Fn(&Self) -> bool) {
        let Some(news) = this.upgrade().map(|interest| interest.changed.clone()) else { return };
        loop {
            let changed = news.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if this.upgrade().is_none_or(|interest| holds(&interest)) {
                return;
            }
            changed.await;
        }
    }

    /// The blocks that the fill brings.
    pub(crate) fn blocks(&self) -> Range<u32> {
        self.first..self.end.load(Ordering::Acquire)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.changed.notify_waiters();
    }
}

/// A reader that waits for a fill, for as long as this is held.
struct Waiting(Option<Arc<Interest>>);

impl Waiting {
    fn on(flight: &Flight) -> Self {
        let interest = match &flight.from {
            From::Origin(interest) => interest.upgrade(),
            From::Nvme => None,
        };
        if let Some(interest) = &interest {
            interest.waiting.fetch_add(1, Ordering::AcqRel);
            interest.changed.notify_waiters();
        }
        Self(interest)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(interest) = &self.0 {
            interest.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Where a flight's block comes from.
pub(crate) enum From {
    Origin(Weak<Interest>),
    Nvme,
}

/// One block on its way.
pub(crate) struct Flight {
    pub(crate) key: BlockKey,
    pub(crate) from: From,
    state: Mutex<State>,
    /// A page came, or the end.
    changed: Notify,
    has_ended: Notify,
}

struct State {
    /// By place in the block.
    pages: Vec<Option<VerifiedPage>>,
    missing_count: usize,
    /// The room that the pages take out of the budget of fills, for as long as they are held here.
    room: Option<FillRoom>,
    end: Option<End>,
}

enum End {
    /// Loaded from NVMe. The flight holds the block for those who wait: there may be no memory tier.
    Loaded(Block),
    /// In the tiers now, or not to be had: look again.
    Over,
    /// Every page is here; no tier has them. They keep their room for as long as somebody holds the flight.
    Pages {
        _leave: OutlastingRoom,
    },
    Failed(ReadError),
}

/// What a waiting reader gets.
pub(crate) enum Ready {
    Block(Block),
    Page(VerifiedPage),
    Failed(ReadError),
    /// Look again.
    Over,
}

impl Flight {
    fn new(key: BlockKey, pages_count: usize, from: From) -> Self {
        let state =
            State { pages: vec![None; pages_count], missing_count: pages_count, room: None, end: None };
        Self { key, from, state: Mutex::new(state), changed: Notify::new(), has_ended: Notify::new() }
    }

    /// Waits for the page at `place` in the block, or for anything better or worse.
    pub(crate) async fn ready(&self, place: usize) -> Ready {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(ready) = self.now(place) {
                return ready;
            }
            let _waiting = Waiting::on(self);
            changed.await;
        }
    }

    /// Whether so many readers are at this block that each of them does better to take the rest of it at once: a page
    /// by itself is a turn and a write for each of them, and the fill has to wait for all of those.
    pub(crate) fn is_crowded(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > CROWD_COUNT
    }

    /// Waits for the end, but not for long.
    pub(crate) async fn end_comes(&self) {
        let _waiting = Waiting::on(self);
        // Whether it came or not is seen by whoever asks for a page next.
        let _ = timeout(CROWD_PATIENCE, self.ended()).await;
    }

    fn now(&self, place: usize) -> Option<Ready> {
        let state = lock(&self.state);
        match &state.end {
            Some(End::Loaded(block)) => Some(Ready::Block(block.clone())),
            Some(End::Failed(error)) => Some(Ready::Failed(error.clone())),
            Some(End::Over) => Some(Ready::Over),
            Some(End::Pages { .. }) | None => state.pages.get(place)?.clone().map(Ready::Page),
        }
    }

    /// Waits until the flight has ended; the error if it failed.
    pub(crate) async fn ended(&self) -> Result<(), ReadError> {
        loop {
            let ended = self.has_ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            match &lock(&self.state).end {
                Some(End::Failed(error)) => return Err(error.clone()),
                Some(End::Loaded(_) | End::Over | End::Pages { .. }) => return Ok(()),
                None => {}
            }
            ended.await;
        }
    }

    /// Whether the block is here, whole.
    pub(crate) fn has_block(&self) -> bool {
        matches!(lock(&self.state).end, Some(End::Loaded(_)))
    }

    /// Whether the flight has nothing to give any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(lock(&self.state).end, Some(End::Over))
    }

    /// Whether the flight holds room for its pages.
    pub(crate) fn has_room(&self) -> bool {
        lock(&self.state).room.is_some()
    }

    /// Gives the flight the room that its pages take.
    pub(crate) fn hold(&self, room: FillRoom) {
        lock(&self.state).room = Some(room);
    }

    /// Puts a page in its place; true when it was the last one missing.
    pub(crate) fn put(&self, place: usize, page: VerifiedPage) -> bool {
        let whole = {
            let mut state = lock(&self.state);
            if state.end.is_some() || state.pages[place].is_some() {
                return false;
            }
            state.pages[place] = Some(page);
            state.missing_count -= 1;
            state.missing_count == 0
        };
        self.changed.notify_waiters();
        whole
    }

    /// The pages of a flight that has them all.
    pub(crate) fn pages(&self) -> Vec<VerifiedPage> {
        lock(&self.state).pages.iter().flatten().cloned().collect()
    }

    fn end(&self, end: End) {
        let (pages, room) = {
            let mut state = lock(&self.state);
            if state.end.is_some() {
                return;
            }
            let keeps = matches!(end, End::Pages { .. });
            state.end = Some(end);
            if keeps { (Vec::new(), None) } else { (std::mem::take(&mut state.pages), state.room.take()) }
        };
        drop((pages, room));
        self.changed.notify_waiters();
        self.has_ended.notify_waiters();
    }
}

/// A flight, claimed or joined.
pub(crate) enum Claim {
    /// It is the caller's to bring the block.
    New(Arc<Flight>),
    /// Somebody does.
    Joined(Arc<Flight>),
}

type Shard = Mutex<HashMap<BlockKey, Arc<Flight>>>;

/// Every flight there is.
pub(crate) struct Flights {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS_COUNT).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    pub(crate) fn get(&self, key: &BlockKey) -> Option<Arc<Flight>> {
        lock(self.shard(key)).get(key).cloned()
    }

    /// Claims the flight of a block of `pages_count` pages, unless there is one.
    pub(crate) fn claim(&self, key: BlockKey, pages_count: usize, from: impl FnOnce() -> From) -> Claim {
        match lock(self.shard(&key)).entry(key) {
            Entry::Occupied(there) => Claim::Joined(there.get().clone()),
            Entry::Vacant(free) => {
                let flight = Arc::new(Flight::new(key, pages_count, from()));
                Claim::New(free.insert(flight).clone())
            }
        }
    }

    /// The block was loaded, and is in the memory tier if there is one.
    pub(crate) fn loaded(&self, flight: &Flight, block: Block) {
        self.take_off(flight, End::Loaded(block));
    }

    /// Every page arrived, and no tier keeps the block: those who wait take the pages from the flight.
    pub(crate) fn pages_only(&self, flight: &Flight, leave: OutlastingRoom) {
        self.take_off(flight, End::Pages { _leave: leave });
    }

    pub(crate) fn failed(&self, flight: &Flight, error: ReadError) {
        self.take_off(flight, End::Failed(error));
    }

    /// The block is in a tier, or nobody brings it after all. Does nothing to a flight that has ended.
    pub(crate) fn over(&self, flight: &Flight) {
        self.take_off(flight, End::Over);
    }

    fn take_off(&self, flight: &Flight, end: End) {
        {
            let mut shard = lock(self.shard(&flight.key));
            // A flight that ended has left the map, where there may be another by now.
            if shard.get(&flight.key).is_some_and(|there| std::ptr::eq(&raw const **there, flight)) {
                shard.remove(&flight.key);
            }
        }
        flight.end(end);
    }

    fn shard(&self, key: &BlockKey) -> &Shard {
        // The remainder is less than SHARDS_COUNT, which fits.
        &self.shards[(self.hasher.hash_one(key) % SHARDS_COUNT as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::{Instance, page};

    const KEY: BlockKey = BlockKey { instance: Instance([1; 16]), index: 2 };

    fn page(fill: u8) -> VerifiedPage {
        let sum = page::checksum(&[fill; 8]);
        page::verify(vec![fill; 8].into(), sum).expect("its own sum")
    }

    fn claimed(flights: &Flights, interest: &Arc<Interest>) -> Arc<Flight> {
        match flights.claim(KEY, 2, || From::Origin(Arc::downgrade(interest))) {
            Claim::New(flight) => flight,
            Claim::Joined(_) => panic!("there is one already"),
        }
    }

    fn interest() -> Arc<Interest> {
        Arc::new(Interest::new(2..3, None))
    }

    /// A page is ready at once for whoever wants it, in any order; the others still wait.
    #[test]
    fn pages_are_ready_as_they_arrive() {
        let (flights, interest) = (Flights::new(), interest());
        let flight = claimed(&flights, &interest);
        assert!(!flight.put(1, page(9)));
        assert!(matches!(flight.ready(1).now_or_never(), Some(Ready::Page(page)) if page.bytes()[0] == 9));
        assert!(flight.ready(0).now_or_never().is_none());
        assert!(flight.put(0, page(8)));
        assert!(matches!(flight.ready(0).now_or_never(), Some(Ready::Page(page)) if page.bytes()[0] == 8));
        assert!(!flight.put(0, page(7)), "a page that is there counts once");
    }

    /// Once a block is in a tier its flight holds nothing, whoever still holds the flight.
    #[test]
    fn a_flight_that_is_over_holds_no_page() {
        let (flights, interest) = (Flights::new(), interest());
        let flight = claimed(&flights, &interest);
        let bytes = bytes::Bytes::from(vec![5; 8]);
        flight.put(0, page::verify(bytes.clone(), page::checksum(&bytes)).expect("its own sum"));
        assert!(!bytes.is_unique());
        flights.over(&flight);
        assert!(bytes.is_unique());
        assert!(matches!(flight.ready(0).now_or_never(), Some(Ready::Over)));
        assert!(flights.get(&KEY).is_none());
    }

    /// Ending a flight twice does not end the one that came after it.
    #[test]
    fn a_late_end_leaves_the_next_flight_alone() {
        let (flights, interest) = (Flights::new(), interest());
        let first = claimed(&flights, &interest);
        flights.failed(&first, ReadError::Gone);
        let second = claimed(&flights, &interest);
        flights.over(&first);
        assert!(flights.get(&KEY).is_some_and(|there| Arc::ptr_eq(&there, &second)));
        assert!(matches!(first.ready(0).now_or_never(), Some(Ready::Failed(ReadError::Gone))));
        assert!(second.ready(0).now_or_never().is_none());
    }

    /// A fill learns of a reader that has taken all there is, and of its leaving.
    #[tokio::test]
    async fn a_fill_is_told_when_a_reader_waits() {
        let (flights, interest) = (Flights::new(), interest());
        let flight = claimed(&flights, &interest);
        let watched = Arc::downgrade(&interest);
        assert!(Interest::reader_waits(&watched).now_or_never().is_none());
        let reader = tokio::spawn(async move { flight.ready(0).await });
        Interest::reader_waits(&watched).await;
        reader.abort();
        assert!(reader.await.is_err());
        assert!(Interest::reader_waits(&watched).now_or_never().is_none());
    }

    /// Whoever waits for readers does not keep the fill wanted, and is told when nobody wants it.
    #[tokio::test]
    async fn a_fill_is_told_when_nobody_wants_it() {
        let interest = interest();
        let watched = Arc::downgrade(&interest);
        let waits = async { tokio::join!(Interest::reader_waits(&watched), Interest::left(&watched)) };
        tokio::pin!(waits);
        assert!((&mut waits).now_or_never().is_none());
        drop(interest);
        assert!(watched.upgrade().is_none());
        assert!(waits.now_or_never().is_some());
        assert!(Interest::left(&watched).now_or_never().is_some());
    }
}
