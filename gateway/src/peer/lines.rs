//! Connections to one owner for pages: one for each answer on its way, and some that wait.
//!
//! A connection that has to be made first costs an answer two more round trips. So some are kept open and looked after
//! while the node has a session with the owner ([`Lines::tend`]), however long nothing was filled; any more that fills
//! have needed stay for a while. Without a session none waits ([`Lines::rest`]), but beside an answer on its way: a pull
//! that outlives the session still goes from window to window over the connections that it has.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache::{Page, Pages, SourceError};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;

use super::client::Limits;
use super::frames::{self, For, Of, Question, Said, Spare};
use super::way::{Protocol, Way, Wire};
use crate::coherence::wire;

/// Connections that are kept open: for as many windows as a reader begins with, and some head starts.
pub(super) const KEPT_OPEN: usize = 12;

/// Below the 60 s for which an owner keeps an idle connection: whoever closes first should be the node.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// How often connections are looked after; one that was idle for so long is tried.
const TEND_INTERVAL: Duration = Duration::from_secs(15);

/// All connections to one owner that carry pages.
pub(super) struct Lines {
    way: Way,
    protocol: Protocol,
    spare: Arc<Spare>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that was used last at the end.
    idle: Vec<Idle>,
    /// Connections being made, or tried, to be kept open.
    tended_count: usize,
    tended_at: Option<Instant>,
    /// Answers that are asked for or on their way.
    answers_count: usize,
    /// Once none of those is left, no connection waits.
    is_resting: bool,
}

struct Idle {
    wire: Wire,
    since: Instant,
}

/// An answer that is asked for or on its way.
struct Underway(Arc<Lines>);

impl Underway {
    fn begin(lines: &Arc<Lines>) -> Self {
        lines.lock().answers_count += 1;
        Self(lines.clone())
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.answers_count -= 1;
        let surplus = state.surplus(&self.0.way.limits);
        drop(state);
        drop(surplus);
    }
}

/// A connection that pages come over.
struct Reading {
    lines: Arc<Lines>,
    /// `None` from the end of the answer on.
    wire: Option<(Wire, Underway)>,
    is_within_a_page: bool,
}

impl Reading {
    /// The next page; `None` after the last, with the connection put back.
    async fn page(&mut self) -> io::Result<Option<(Bytes, u32)>> {
        let Some((wire, _)) = &mut self.wire else { return Ok(None) };
        self.is_within_a_page = true;
        let page = self.lines.page(wire).await?;
        self.is_within_a_page = false;
        if page.is_none()
            && let Some((wire, _underway)) = self.wire.take()
        {
            self.lines.put_back(wire);
        }
        Ok(page)
    }
}

impl Drop for Reading {
    /// Whoever has all the pages that were wanted does not look for what says that there are no more. It is read here, and
    /// the connection is free for others; where another page comes instead, the connection is closed.
    fn drop(&mut self) {
        let Some((mut wire, underway)) = self.wire.take().filter(|_| !self.is_within_a_page) else { return };
        let (Ok(runtime), lines) = (Handle::try_current(), self.lines.clone()) else { return };
        runtime.spawn(async move {
            if let Ok(None) = lines.page(&mut wire).await {
                lines.put_back(wire);
            }
            drop(underway);
        });
    }
}

/// An answer that has begun.
pub(super) enum Answer {
    /// Pages of this instance.
    Pages(origin::instance::Instance, Pages),
    /// There is nothing to send.
    Nothing,
}

impl Lines {
    pub(super) fn new(way: Way, protocol: Protocol, spare: Arc<Spare>) -> Self {
        Self { way, protocol, spare, state: Mutex::default() }
    }

    /// Asks, over a connection that waits if there is one. Pages are read as the stream is polled; dropping it before
    /// its end closes the connection.
    pub(super) async fn ask(self: &Arc<Self>, question: &Question) -> Result<Answer, SourceError> {
        let underway = Underway::begin(self);
        let (said, wire) = self.first_word(question).await?;
        let nothing = match said {
            Said::Pages(instance) => return Ok(Answer::Pages(instance, self.clone().pages(wire, underway))),
            Said::Nothing => Ok(Answer::Nothing),
            Said::Gone => Err(SourceError::Gone),
            Said::Busy => Err(SourceError::Busy),
            Said::Failed => Err(SourceError::broken("the owner cannot read the pages")),
        };
        // No pages follow: the connection is free.
        self.put_back(wire);
        nothing
    }

    async fn first_word(self: &Arc<Self>, question: &Question) -> Result<(Said, Wire), SourceError> {
        if let Some(mut wire) = self.take() {
            match self.exchange(&mut wire, question).await {
                Ok(said) => return Ok((said, wire)),
                // It may have been closed on the other side meanwhile: a question may be asked again, over a new one. What that
                // one died of the others that wait have most likely died of too, and each would cost a round trip, or more where
                // nothing comes back.
                Err(error) => {
                    debug!(%error, "a connection that waited is gone");
                    self.try_waiting();
                    // Not the kernel's word for one that nobody has acknowledged.
                    if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
                        return Err(SourceError::broken(error));
                    }
                }
            }
        }
        let mut wire = self.way.connect(&self.protocol).await.map_err(SourceError::broken)?;
        let said = self.exchange(&mut wire, question).await.map_err(SourceError::broken)?;
        Ok((said, wire))
    }

    async fn exchange(&self, wire: &mut Wire, question: &Question) -> io::Result<Said> {
        let exchanging = async {
            wire.write_all(&wire::encode(question)).await?;
            wire.flush().await?;
            match wire::read::<Said>(wire).await {
                Ok(said) => said.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
                Err(wire::WireError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        };
        timeout(self.way.limits.read_timeout, exchanging).await.unwrap_or_else(|_| Err(silent()))
    }

    fn pages(self: Arc<Self>, wire: Wire, underway: Underway) -> Pages {
        let reading = Reading { lines: self, wire: Some((wire, underway)), is_within_a_page: false };
        futures::stream::try_unfold(reading, |mut reading| async move {
            let page = reading.page().await.map_err(SourceError::broken)?;
            Ok(page.map(|(bytes, crc32c)| (Page { bytes, crc32c }, reading)))
        })
        .boxed()
    }

    async fn page(&self, wire: &mut Wire) -> io::Result<Option<(Bytes, u32)>> {
        let reading = frames::read(wire, &self.spare);
        timeout(self.way.limits.read_timeout, reading).await.unwrap_or_else(|_| Err(silent()))
    }

    fn take(&self) -> Option<Wire> {
        let mut state = self.lock();
        let surplus = state.surplus(&self.way.limits);
        let wire = state.idle.pop().map(|idle| idle.wire);
        drop(state);
        drop(surplus);
        wire
    }

    fn put_back(&self, wire: Wire) {
        let mut state = self.lock();
        state.idle.push(Idle { wire, since: Instant::now() });
        let surplus = state.surplus(&self.way.limits);
        drop(state);
        drop(surplus);
    }

    /// Sees to it that some connections are open, and stay so. To be called now and then while the owner may be asked;
    /// does something once in a while, and waits for nothing.
    pub(super) fn tend(self: &Arc<Self>) {
        let now = Instant::now();
        let (waited, missing_count) = {
            let mut state = self.lock();
            state.is_resting = false;
            if state.tended_at.is_some_and(|at| now - at < TEND_INTERVAL) {
                return;
            }
            state.tended_at = Some(now);
            let fresh_from = state.idle.partition_point(|idle| now - idle.since >= TEND_INTERVAL);
            let fresh_count = state.idle.len() - fresh_from;
            let wanted_count = KEPT_OPEN.saturating_sub(fresh_count + state.tended_count);
            let waited = state.idle.drain(fresh_from.saturating_sub(wanted_count)..fresh_from);
            let waited: Vec<_> = waited.collect();
            state.tended_count += wanted_count;
            let missing_count = wanted_count - waited.len();
            (waited, missing_count)
        };
        let tried = waited.into_iter().map(|idle| Some(idle.wire));
        for wire in tried.chain(std::iter::repeat_with(|| None).take(missing_count)) {
            let lines = self.clone();
            tokio::spawn(async move {
                let tended = lines.tended(wire).await;
                lines.lock().tended_count -= 1;
                if let Some(wire) = tended {
                    lines.put_back(wire);
                }
            });
        }
    }

    /// Takes all connections that wait, and puts back those that are answered on. Others may be made in their place at once.
    fn try_waiting(self: &Arc<Self>) {
        let waited = {
            let mut state = self.lock();
            state.tended_at = None;
            std::mem::take(&mut state.idle)
        };
        for idle in waited {
            let lines = self.clone();
            tokio::spawn(async move {
                if let Some(wire) = lines.tended(Some(idle.wire)).await {
                    lines.put_back(wire);
                }
            });
        }
    }

    /// `wire`, tried, or a new one where there is none.
    async fn tended(&self, wire: Option<Wire>) -> Option<Wire> {
        let Some(mut wire) = wire else { return self.way.connect(&self.protocol).await.ok() };
        let question = Question { of: Of::Nothing, first: 0, count: 0, purpose: For::Fill };
        let said = self.exchange(&mut wire, &question).await;
        matches!(said, Ok(Said::Nothing)).then_some(wire)
    }

    /// Closes what waits, and from now on what comes back behind the last answer on its way: the owner will not be asked for
    /// a while.
    pub(super) fn rest(&self) {
        let mut state = self.lock();
        state.tended_at = None;
        state.is_resting = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.lock().idle.len()
    }

    /// Shuts down the one that would be used next.
    #[cfg(test)]
    pub(super) async fn break_next(&self) {
        let mut idle = self.lock().idle.pop().expect("one waits");
        idle.wire.get_mut().0.get_mut().shutdown().await.expect("an open connection");
        self.lock().idle.push(idle);
    }

    /// Shuts down what waits, as a network does that has forgotten it.
    #[cfg(test)]
    pub(super) async fn break_idle(&self) {
        let mut idle = std::mem::take(&mut self.lock().idle);
        for idle in &mut idle {
            idle.wire.get_mut().0.get_mut().shutdown().await.expect("an open connection");
        }
        self.lock().idle = idle;
    }
}

impl State {
    /// Takes out what need not wait: what has waited for too long, what is more than may, and everything once the owner will
    /// not be asked. To be dropped outside of the lock.
    fn surplus(&mut self, limits: &Limits) -> Vec<Idle> {
        if self.is_resting && self.answers_count == 0 {
            return std::mem::take(&mut self.idle);
        }
        let now = Instant::now();
        let fresh_from = self.idle.partition_point(|idle| now - idle.since > IDLE_TIMEOUT);
        let kept_from = fresh_from.max(self.idle.len().saturating_sub(limits.idle_connections_max));
        self.idle.drain(..kept_from).collect()
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the owner was silent for too long")
}
