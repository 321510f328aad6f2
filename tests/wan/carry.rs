//! One connection over a link: what is read on one side is given to the other when it has arrived there.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::flight::{Event, Flight, Piece, departure, piece_bytes, room_bytes};
use super::{Break, Conditions, Direction, Passage, Passing, SenderLearns, Shared};

/// Bytes thrown away at a time.
const DRAIN_BYTES: usize = 4 << 10;

/// How a connection ended.
enum End {
    /// Both sides closed, each after the other's last byte.
    Closed,
    /// One side is gone, or the link is.
    Gone,
    Torn(Break),
}

/// One side of a connection is gone, and the other is to be reset.
struct SideGone;

/// What a connection sees of its link.
pub(super) struct Line {
    conditions: watch::Receiver<Conditions>,
    breaks: broadcast::Receiver<Break>,
    shared: Arc<Shared>,
}

impl Line {
    pub(super) fn new(
        conditions: watch::Receiver<Conditions>,
        breaks: broadcast::Receiver<Break>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { conditions, breaks, shared }
    }

    /// Carries what `near` sends to `to`, and what that answers back, until both ends have closed or one is gone.
    pub(super) async fn carry(mut self, mut near: TcpStream, to: &str) {
        let connecting = Self::connect(self.conditions.clone(), to);
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = self.breaks.recv() => None,
        };
        // Nobody listens: the near side hears of it as it would without a link.
        let Some(mut far) = connected else { return reset(near) };
        // A relay that gathers bytes would add a delay of its own.
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        match self.pump(&mut near, &mut far).await {
            End::Closed => {}
            End::Gone => {
                reset(near);
                reset(far);
            }
            End::Torn(Break { direction, sender_learns }) => {
                let (receiver, sender) = match direction {
                    Direction::There => (far, near),
                    Direction::Back => (near, far),
                };
                reset(receiver);
                self.leave_behind(sender, direction, sender_learns).await;
            }
        }
    }

    /// The connection to `to`, after the round trip that a handshake takes; `None` when nobody listens there, or the
    /// link is gone.
    async fn connect(mut conditions: watch::Receiver<Conditions>, to: &str) -> Option<TcpStream> {
        for direction in [Direction::There, Direction::Back] {
            match conditions.wait_for(|now| now.of(direction).passage != Passage::Held).await {
                Ok(now) if now.of(direction).passage == Passage::Lost => {}
                Ok(_) => continue,
                Err(_) => return None,
            }
            // The handshake is lost: this attempt comes to nothing, however long somebody waits for it.
            while conditions.changed().await.is_ok() {}
            return None;
        }
        let round_trip = conditions.borrow().round_trip();
        sleep(round_trip).await;
        TcpStream::connect(to).await.ok()
    }

    async fn pump(&mut self, near: &mut TcpStream, far: &mut TcpStream) -> End {
        let (from_near, to_near) = near.split();
        let (from_far, to_far) = far.split();
        let there = Lane::new(self, Direction::There);
        let back = Lane::new(self, Direction::Back);
        tokio::select! {
            end = async { tokio::try_join!(there.run(from_near, to_far), back.run(from_far, to_near)) } => match end {
                Ok(_) => End::Closed,
                Err(SideGone) => End::Gone,
            },
            torn = self.breaks.recv() => match torn {
                Ok(torn) => End::Torn(torn),
                Err(RecvError::Closed | RecvError::Lagged(_)) => End::Gone,
            },
        }
    }

    /// What becomes of the sending side of `direction` when the receiving side was reset.
    async fn leave_behind(mut self, mut sender: TcpStream, direction: Direction, learns: SenderLearns) {
        match learns {
            SenderLearns::AfterTheWayBack => {
                let way_back = self.conditions.borrow().of(direction.opposite()).shape.delay;
                sleep(way_back).await;
            }
            SenderLearns::Never => {
                let mut thrown_away = [0; DRAIN_BYTES];
                let draining = async { while matches!(sender.read(&mut thrown_away).await, Ok(1..)) {} };
                let link_dropped = async { while self.conditions.changed().await.is_ok() {} };
                tokio::select! { () = draining => {}, () = link_dropped => {} }
            }
        }
        reset(sender);
    }
}

/// One direction of one connection.
struct Lane {
    direction: Direction,
    conditions: watch::Receiver<Conditions>,
    shared: Arc<Shared>,
    flight: Flight,
}

impl Lane {
    fn new(line: &Line, direction: Direction) -> Self {
        Self {
            direction,
            conditions: line.conditions.clone(),
            shared: Arc::clone(&line.shared),
            flight: Flight::default(),
        }
    }

    async fn run(&self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), SideGone> {
        // Bounded by the room in flight, which counts bytes and not pieces.
        let (departing, arriving) = mpsc::unbounded_channel();
        tokio::try_join!(self.take_in(from, departing), self.give_out(to, arriving)).map(drop)
    }

    /// Reads what the sender sends, no faster than it can leave, and puts each piece on its way.
    async fn take_in(
        &self,
        mut from: ReadHalf<'_>,
        departing: mpsc::UnboundedSender<Piece>,
    ) -> Result<(), SideGone> {
        let mut conditions = self.conditions.clone();
        let mut busy_until = Instant::now();
        let mut last_release = busy_until;
        loop {
            // Conditions are those of when there is something to read, not of when the wait for it began.
            let readable = from.readable().await;
            let passing = self.wait_while_held(&mut conditions).await?;
            self.flight.wait_for_room(room_bytes(&passing)).await;
            let mut bytes = vec![0; piece_bytes(&passing)];
            let event = match readable.and(from.read(&mut bytes).await) {
                Ok(0) => Event::End,
                Err(_) => Event::Reset,
                Ok(read) => {
                    bytes.truncate(read);
                    self.shared.of(self.direction).taken.fetch_add(read as u64, Ordering::Relaxed);
                    self.flight.depart(read);
                    self.leave(read, &mut busy_until, &mut conditions).await;
                    Event::Bytes(bytes)
                }
            };
            let is_last = !matches!(event, Event::Bytes(_));
            // A shorter delay from now on does not let bytes overtake each other.
            let delay = conditions.borrow().of(self.direction).shape.delay;
            last_release = last_release.max(Instant::now() + delay);
            // The other half of this lane lives as long as this one.
            let _ = departing.send(Piece { release: last_release, event });
            if is_last {
                return Ok(());
            }
        }
    }

    /// Waits until `bytes` have left at the rates of the moment; a change of conditions lets them go at once.
    async fn leave(
        &self,
        bytes: usize,
        busy_until: &mut Instant,
        conditions: &mut watch::Receiver<Conditions>,
    ) {
        let passing = *conditions.borrow_and_update().of(self.direction);
        let now = Instant::now();
        let each = passing.rate_of_each().map(|rate| {
            *busy_until = departure(*busy_until, bytes, rate, now);
            *busy_until
        });
        let all = passing
            .shape
            .bytes_per_second_all
            .map(|rate| self.shared.of(self.direction).departure(bytes, rate, now));
        if let Some(left) = each.into_iter().chain(all).max() {
            tokio::select! {
                () = sleep_until(left) => {}
                _ = conditions.changed() => *busy_until = Instant::now(),
            }
        }
    }

    /// Gives the receiver what has arrived.
    async fn give_out(
        &self,
        mut to: WriteHalf<'_>,
        mut arriving: mpsc::UnboundedReceiver<Piece>,
    ) -> Result<(), SideGone> {
        let mut conditions = self.conditions.clone();
        while let Some(piece) = arriving.recv().await {
            sleep_until(piece.release).await;
            if self.wait_while_held(&mut conditions).await?.passage == Passage::Lost {
                self.flight.tear_hole();
            }
            match piece.event {
                Event::Bytes(bytes) => {
                    if !self.flight.has_hole() {
                        self.deliver(&mut to, &bytes).await?;
                    }
                    self.flight.land(bytes.len());
                }
                // What would say so is lost like everything after the hole.
                Event::End | Event::Reset if self.flight.has_hole() => return pending().await,
                // A receiver that is gone already has nothing to be told.
                Event::End => return to.shutdown().await.map_err(|_| SideGone),
                Event::Reset => return Err(SideGone),
            }
        }
        Ok(())
    }

    async fn deliver(&self, to: &mut WriteHalf<'_>, bytes: &[u8]) -> Result<(), SideGone> {
        if to.write_all(bytes).await.is_err() {
            // The sender hears that the receiver is gone after the way back.
            let way_back = self.conditions.borrow().of(self.direction.opposite()).shape.delay;
            sleep(way_back).await;
            return Err(SideGone);
        }
        self.shared.of(self.direction).delivered.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The conditions as soon as something passes or is lost.
    async fn wait_while_held(
        &self,
        conditions: &mut watch::Receiver<Conditions>,
    ) -> Result<Passing, SideGone> {
        let now = conditions.wait_for(|now| now.of(self.direction).passage != Passage::Held).await;
        now.map(|now| *now.of(self.direction)).map_err(|_| SideGone)
    }
}

/// Ends a connection as a machine does that does not know it.
fn reset(stream: TcpStream) {
    // A socket that is gone already needs no reset.
    let _ = stream.set_zero_linger();
}
