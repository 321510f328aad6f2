//! A fill: brings a run of missing blocks from the origin, page by page, to whoever waits for them, then into the tiers.
//!
//! One fill is one range read of its origin, from the page that its first reader wants to the end of the run; if that
//! page is not the first of its block, the pages before it are read beside it as soon as the wanted one is there. A
//! fill goes on as long as somebody holds its [`Interest`]; when the last reader has left, it ends with the block that
//! it is in the middle of. So a reader that goes away costs the origin at most one block (two at the start of a run).
//!
//! A block in the middle of a fill counts against `fill_bytes_max`. Its pages are the origin's own buffers: nothing is
//! copied before the block is whole, so that a page leaves as soon as it is verified.

use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Weak};

use futures::future::{Either, select, try_join};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::block::Block;
use crate::buffer::For;
use crate::cache::Shared;
use crate::error::ReadError;
use crate::fair::{Place, Urgency};
use crate::flight::{Claim, Flight, From, Interest};
use crate::layout;
use crate::metrics::{FillEnd, NotKept};
use crate::object::Object;
use crate::slab::{Keep, Offered};
use crate::source::Purpose;

/// Why a fill is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// A reader waits for its first block.
    Demand,
    /// A reader will come to it: only if there is a place among the origin's fills now.
    Ahead,
    /// Nobody waits: it takes its time, and spares the memory tier.
    Prestage,
}

struct Fill {
    shared: Arc<Shared>,
    object: Object,
    /// Of consecutive blocks, at least one.
    flights: Vec<Arc<Flight>>,
    /// Where the pull starts: a page of the first block.
    first_page: u64,
    interest: Weak<Interest>,
    why: Why,
    place: Option<Place>,
}

/// Starts to fill the blocks from the start of `blocks` up to the first that is there or on its way, with
/// `first_page` first. `None` when the very first is, or when there is no place for a fill [`Why::Ahead`].
pub(crate) fn start(
    shared: &Arc<Shared>,
    object: &Object,
    blocks: Range<u32>,
    first_page: u64,
    why: Why,
) -> Option<Arc<Interest>> {
    let (place, ahead) = match why {
        Why::Ahead => {
            let missing_count = blocks.clone().take_while(|index| is_missing(shared, object, *index)).count();
            let ahead = shared.budget.blocks_ahead(object.tenant, missing_count)?;
            (Some(shared.budget.fill_ahead(object.source.origin(), object.tenant)?), Some(ahead))
        }
        Why::Demand | Why::Prestage => (None, None),
    };
    let interest = Arc::new(Interest::new(blocks.clone(), ahead));
    let mut flights = Vec::new();
    for index in blocks {
        match claim(shared, object, index, &interest) {
            Some(flight) => flights.push(flight),
            None => break,
        }
    }
    if flights.is_empty() {
        return None;
    }
    interest.reaches(flights.len());
    let fill = Fill {
        shared: shared.clone(),
        object: object.clone(),
        flights,
        first_page,
        interest: Arc::downgrade(&interest),
        why,
        place,
    };
    shared.runtime.spawn(fill.run());
    Some(interest)
}

fn is_missing(shared: &Shared, object: &Object, index: u32) -> bool {
    let key = object.key(index);
    !shared.has(&key) && shared.flights.get(&key).is_none()
}

fn claim(shared: &Arc<Shared>, object: &Object, index: u32, interest: &Arc<Interest>) -> Option<Arc<Flight>> {
    let key = object.key(index);
    let from = || From::Origin(Arc::downgrade(interest));
    let Claim::New(flight) = shared.flights.claim(key, object.pages_count(index), from) else { return None };
    // Another fill may have brought the block between the caller's look and the claim.
    if shared.has(&key) {
        shared.flights.over(&flight);
        return None;
    }
    Some(flight)
}

impl Fill {
    async fn run(mut self) {
        match self.take_place().await {
            Ok(()) if self.unwanted() => return,
            Ok(()) => {}
            Err(error) => return self.fail(&error),
        }
        self.shared.metrics.fill_started();
        let end = match self.bring_all().await {
            Ok(end) => end,
            Err(error) => {
                self.fail(&error);
                FillEnd::Broken
            }
        };
        self.shared.metrics.fill_ended(end);
        if self.why == Why::Ahead && !self.unwanted() {
            let (interest, unread_max) = (self.interest.clone(), self.shared.settings.wait_max);
            drop(self);
            sleep(unread_max).await;
            if let Some(interest) = interest.upgrade() {
                interest.give_room_up();
            }
        }
    }

    /// Takes a place among the fills of the origin, unless nobody wants this one any more.
    async fn take_place(&mut self) -> Result<(), ReadError> {
        if self.place.is_none() {
            let (origin, tenant) = (self.object.source.origin(), self.object.tenant);
            let place = self.take(|urgency| self.shared.budget.fill(origin, tenant, urgency)).await?;
            self.place = place;
        }
        Ok(())
    }

    /// Takes a place out of the budget; `None` where nobody wants this fill any more. What no reader waits for stands in
    /// line with its like, and from the moment that one does, with readers.
    async fn take<T, F>(&self, place: impl Fn(Urgency) -> F) -> Result<Option<T>, ReadError>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let urgency = match self.why {
            Why::Demand => None,
            Why::Ahead => Some(Urgency::Ahead),
            Why::Prestage => Some(Urgency::Background),
        };
        if let Some(urgency) = urgency
            && let Some(taken) = self.unless_reader_waits(place(urgency)).await
        {
            return taken.map(Some);
        }
        match select(pin!(Interest::left(&self.interest)), pin!(place(Urgency::Demand))).await {
            Either::Left(_) => Ok(None),
            Either::Right((taken, _)) => taken.map(Some),
        }
    }

    /// What `patient` brings, or `None` once a reader waits for this fill, or nobody wants it any more.
    async fn unless_reader_waits<T>(&self, patient: impl Future<Output = T>) -> Option<T> {
        match select(pin!(patient), pin!(Interest::reader_waits(&self.interest))).await {
            Either::Left((brought, _)) => Some(brought),
            Either::Right(_) => None,
        }
    }

    /// Whether the last who wanted the blocks has left.
    fn unwanted(&self) -> bool {
        self.interest.strong_count() == 0 || self.shared.is_closed()
    }

    fn fail(&self, error: &ReadError) {
        for flight in &self.flights {
            self.shared.flights.failed(flight, error.clone());
        }
    }

    async fn bring_all(&self) -> Result<FillEnd, ReadError> {
        let first = &self.flights[0];
        let last = &self.flights[self.flights.len() - 1];
        let head = self.object.layout.block_pages(first.key.index).start..self.first_page;
        let rest = self.first_page..self.object.layout.block_pages(last.key.index).end;
        let begun = Notify::new();
        let head = async {
            if head.is_empty() {
                return Ok(FillEnd::Completed);
            }
            begun.notified().await;
            self.bring(head, || {}).await
        };
        let rest = async {
            let end = self.bring(rest, || begun.notify_one()).await;
            // Where it ended before its first page, so does what waits for that.
            begun.notify_one();
            end
        };
        let (end, _) = try_join(rest, head).await?;
        Ok(end)
    }

    /// Brings `pages`, and tells of the first.
    async fn bring(&self, pages: Range<u64>, first: impl FnOnce()) -> Result<FillEnd, ReadError> {
        let mut first = Some(first);
        let mut pull = self.object.pull(pages.clone(), Purpose::Fill, &self.shared);
        for page in pages.clone() {
            let flight = self.flight_of(page);
            if !flight.has_room() {
                if page != pages.start && self.unwanted() {
                    return Ok(FillEnd::Abandoned);
                }
                let (origin, tenant) = (self.object.source.origin(), self.object.tenant);
                let count = self.object.pages_count(flight.key.index);
                let room = |urgency| self.shared.budget.fill_pages(origin, tenant, count, urgency);
                let Some(room) = self.take(room).await? else { return Ok(FillEnd::Abandoned) };
                flight.hold(room);
            }
            let Some(arrived) = pull.next().await else { break };
            if flight.put(self.place_of(page, flight), arrived?) {
                self.keep(flight).await;
            }
            if let Some(first) = first.take() {
                first();
            }
        }
        Ok(FillEnd::Completed)
    }

    fn flight_of(&self, page: u64) -> &Arc<Flight> {
        let index = self.object.layout.block_of_page(page);
        &self.flights[(index - self.flights[0].key.index) as usize]
    }

    fn place_of(&self, page: u64, flight: &Flight) -> usize {
        layout::to_len(page - self.object.layout.block_pages(flight.key.index).start)
    }

    /// Puts a block whose pages have all arrived into the tiers, as far as there is room.
    async fn keep(&self, flight: &Flight) {
        let shared = &self.shared;
        let len = self.object.layout.block_len(flight.key.index);
        let buffer = match self.why {
            Why::Demand | Why::Ahead => shared.pool.try_take(len, For::Demand),
            Why::Prestage => {
                let patient = self.unless_reader_waits(shared.pool.take(len, shared.settings.wait_max)).await;
                patient.unwrap_or_else(|| shared.pool.try_take(len, For::Demand))
            }
        };
        let Some(buffer) = buffer else {
            shared.metrics.not_kept(NotKept::NoBuffer);
            return self.leave_pages(flight);
        };
        let pages = flight.pages();
        let block = Block::assemble(pages.iter(), buffer);
        let sums = pages.iter().map(|page| page.crc32c()).collect();
        let on_nvme = self.offer(flight, &block, sums).await;
        let in_memory = (self.why != Why::Prestage || !on_nvme) && shared.memory.insert(flight.key, block);
        match on_nvme || in_memory {
            true => shared.flights.over(flight),
            false => self.leave_pages(flight),
        }
    }

    /// A reader that waits has taken the block's pages as they came, and memory has it for those close behind. What was
    /// filled ahead of its reader must be there when that comes.
    fn matters(&self) -> Keep {
        let waited_for = self.interest.upgrade().is_some_and(|interest| interest.has_waiting());
        match waited_for && self.why != Why::Prestage && self.shared.memory.lasts() {
            true => Keep::IfWorthIt,
            false => Keep::Surely,
        }
    }

    /// Leaves a block that no tier keeps to those who wait for it.
    fn leave_pages(&self, flight: &Flight) {
        match self.shared.budget.outlast(self.object.pages_count(flight.key.index)) {
            Some(leave) => self.shared.flights.pages_only(flight, leave),
            None => self.shared.flights.over(flight),
        }
    }

    /// Offers the block to the NVMe tier; true if it is kept there. While no reader waits for this fill, it waits for
    /// a full queue of writes; a reader is not made to.
    async fn offer(&self, flight: &Flight, block: &Block, sums: Vec<u32>) -> bool {
        let Some(slab) = &self.shared.slab else { return false };
        self.unless_reader_waits(slab.room(&flight.key, block.footprint())).await;
        match slab.offer(flight.key, block, sums, self.object.tenant, self.matters()) {
            Offered::Kept => true,
            Offered::Refused(reason) => {
                self.shared.metrics.not_kept(reason);
                false
            }
        }
    }
}

impl Drop for Fill {
    /// Whoever still waits for a block that this fill did not bring looks again.
    fn drop(&mut self) {
        for flight in &self.flights {
            self.shared.flights.over(flight);
        }
    }
}
