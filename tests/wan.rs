//! A long way in userland: a TCP relay with delay, bandwidth and cuts in each direction, changeable while it runs.
//!
//! Bytes are in flight: each piece waits in a queue with its own release time, so that a delay costs no throughput.
//! What a connection has in flight is bounded; past it the relay stops reading, and the sender's own TCP holds it back.
//! What a relay cannot imitate: a lost packet's retransmission, and a connection attempt that nobody answers (the kernel
//! accepts for the relay; what is sent on such a connection then waits or is lost as the cut says).

mod carry;
mod flight;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use carry::Line;

/// Connections on one link at a time; one more waits to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// Breaks that a connection may not have seen yet; it sees each within one turn of its task.
const BREAKS_MAX: usize = 64;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the side that connects to the side that listens.
    There,
    /// From the side that listens to the side that connects.
    Back,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::There => Self::Back,
            Self::Back => Self::There,
        }
    }
}

/// How long and how wide one direction is. By default there is neither delay nor limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// From a byte's departure to its arrival.
    pub delay: Duration,
    /// What one connection may send.
    pub bytes_per_second_each: Option<NonZeroU64>,
    /// What all connections together may send.
    pub bytes_per_second_all: Option<NonZeroU64>,
}

impl Shape {
    /// A delay alone.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// What goes wrong in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing comes through; once healed, everything goes on from where it was.
    BlackHole,
    /// What comes is lost. A connection that lost a byte stays silent for good; new ones work once healed.
    Drop,
    /// Each connection crawls at so many bytes a second.
    Slow(NonZeroU64),
    /// The receiving side of every connection is reset; the sending side never hears of it.
    HalfOpen,
    /// The receiving side of every connection is reset, and the sending side hears of it after the way back.
    Reset,
}

/// One way between two places, carrying any number of connections. When dropped, all of them are reset.
pub struct Link {
    address: SocketAddr,
    conditions: watch::Sender<Conditions>,
    breaks: broadcast::Sender<Break>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// Listens at `listen` (port 0: any) and carries each connection on to `to`.
    ///
    /// # Panics
    /// When `listen` cannot be bound.
    pub async fn start(listen: &str, to: &str, there: Shape, back: Shape) -> Self {
        let listener = TcpListener::bind(listen).await.expect("listen at the near end of a link");
        let address = listener.local_addr().expect("a listener has an address");
        let passing = |shape| Passing { shape, slowed_to: None, passage: Passage::Open };
        let (conditions, seen) = watch::channel(Conditions { there: passing(there), back: passing(back) });
        let (breaks, _) = broadcast::channel(BREAKS_MAX);
        let shared = Arc::new(Shared::new(to));
        let accepting = accept(listener, seen, breaks.clone(), Arc::clone(&shared));
        Self { address, conditions, breaks, shared, accepting: tokio::spawn(accepting) }
    }

    /// Carries new connections on to `to` from now on.
    pub fn lead_to(&self, to: String) {
        *self.shared.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how long and wide `direction` is; what is in flight arrives when it would have.
    pub fn shape(&self, direction: Direction, shape: Shape) {
        self.conditions.send_modify(|conditions| conditions.of_mut(direction).shape = shape);
    }

    /// Breaks `direction`: of every connection, and of new ones while it lasts.
    pub fn cut(&self, direction: Direction, cut: Cut) {
        let set = |change: &dyn Fn(&mut Passing)| {
            self.conditions.send_modify(|conditions| change(conditions.of_mut(direction)));
        };
        match cut {
            Cut::BlackHole => set(&|passing| passing.passage = Passage::Held),
            Cut::Drop => set(&|passing| passing.passage = Passage::Lost),
            Cut::Slow(rate) => set(&|passing| passing.slowed_to = Some(rate)),
            Cut::HalfOpen => self.tear(direction, SenderLearns::Never),
            Cut::Reset => self.tear(direction, SenderLearns::AfterTheWayBack),
        }
    }

    /// Breaks both directions in the same way.
    pub fn cut_both(&self, cut: Cut) {
        self.cut(Direction::There, cut);
        self.cut(Direction::Back, cut);
    }

    /// Lets everything pass again, as fast as its shape says. What was reset or lost stays so.
    pub fn heal(&self) {
        self.conditions.send_modify(|conditions| {
            for passing in [&mut conditions.there, &mut conditions.back] {
                passing.passage = Passage::Open;
                passing.slowed_to = None;
            }
        });
    }

    /// Bytes that were taken from senders in `direction` so far.
    #[must_use]
    pub fn taken(&self, direction: Direction) -> u64 {
        self.shared.of(direction).taken.load(Ordering::Relaxed)
    }

    /// Bytes that were given to receivers in `direction` so far.
    #[must_use]
    pub fn delivered(&self, direction: Direction) -> u64 {
        self.shared.of(direction).delivered.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    fn tear(&self, direction: Direction, sender_learns: SenderLearns) {
        // Without a connection there is nobody to hear it.
        let _ = self.breaks.send(Break { direction, sender_learns });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Connections end by themselves: what they watch is gone.
        self.accepting.abort();
    }
}

/// Both directions at this moment.
#[derive(Clone, Copy)]
struct Conditions {
    there: Passing,
    back: Passing,
}

impl Conditions {
    fn of(&self, direction: Direction) -> &Passing {
        match direction {
            Direction::There => &self.there,
            Direction::Back => &self.back,
        }
    }

    fn of_mut(&mut self, direction: Direction) -> &mut Passing {
        match direction {
            Direction::There => &mut self.there,
            Direction::Back => &mut self.back,
        }
    }

    fn round_trip(&self) -> Duration {
        self.there.shape.delay + self.back.shape.delay
    }
}

/// One direction at this moment.
#[derive(Clone, Copy)]
struct Passing {
    shape: Shape,
    slowed_to: Option<NonZeroU64>,
    passage: Passage,
}

impl Passing {
    /// What one connection may send a second.
    fn rate_of_each(&self) -> Option<NonZeroU64> {
        self.slowed_to.or(self.shape.bytes_per_second_each)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Open,
    Held,
    Lost,
}

/// Something that happens to every connection there is.
#[derive(Clone, Copy)]
struct Break {
    direction: Direction,
    sender_learns: SenderLearns,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SenderLearns {
    Never,
    AfterTheWayBack,
}

/// What all connections of a link have in common.
struct Shared {
    /// Where new connections are carried on to.
    to: Mutex<String>,
    there: OneWay,
    back: OneWay,
    connections: AtomicU64,
}

struct OneWay {
    /// Until when all connections' bytes together keep the link busy.
    busy_until: Mutex<Instant>,
    taken: AtomicU64,
    delivered: AtomicU64,
}

impl Shared {
    fn new(to: &str) -> Self {
        let one_way = || OneWay {
            busy_until: Mutex::new(Instant::now()),
            taken: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        };
        Self { to: to.to_owned().into(), there: one_way(), back: one_way(), connections: AtomicU64::new(0) }
    }

    fn of(&self, direction: Direction) -> &OneWay {
        match direction {
            Direction::There => &self.there,
            Direction::Back => &self.back,
        }
    }
}

impl OneWay {
    /// When `bytes` more will have departed at `rate` over the link as a whole.
    fn departure(&self, bytes: usize, rate: NonZeroU64, now: Instant) -> Instant {
        // Nothing under the lock panics.
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        *busy_until = flight::departure(*busy_until, bytes, rate, now);
        *busy_until
    }
}

/// Takes connections in until the link is dropped.
async fn accept(
    listener: TcpListener,
    conditions: watch::Receiver<Conditions>,
    breaks: broadcast::Sender<Break>,
    shared: Arc<Shared>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let (Ok(place), Ok((near, _))) =
        (Arc::clone(&places).acquire_owned().await, listener.accept().await)
    {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let line = Line::new(conditions.clone(), breaks.subscribe(), Arc::clone(&shared));
        let to = shared.to.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::spawn(async move {
            line.carry(near, &to).await;
            drop(place);
        });
    }
}
