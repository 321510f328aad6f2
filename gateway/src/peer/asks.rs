//! The queue in front of an owner: questions that arrive while others are under way leave together.
//!
//! A group of questions that belong together stays in one batch and in its order, and the owner reads in that order:
//! whoever asks for an object and then for its reader's user gets a user that was looked at *after* the object. A
//! batch is closed when it is sent, so whoever shares an answer had asked before the question left;
//! equal questions in one batch are sent once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use s3s::{S3Error, S3ErrorCode, s3_error};
use tokio::sync::oneshot;

use super::messages::{ASKS_MAX, Answer, Ask, BATCH_BYTES_MAX, FRAME_BYTES_MAX};

/// Why there is no answer. All of these are the cluster's trouble, none the client's.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AskError {
    /// Too many questions are waiting already.
    #[error("too many questions are waiting for this region")]
    Busy,
    /// No connection, no answer in time, or one that broke off.
    #[error("region does not answer: {0}")]
    Unreachable(String),
    /// An answer that is not one: of another version, too large, or of another kind.
    #[error("region answers wrongly: {0}")]
    Malformed(String),
    /// A question that no batch has room for.
    #[error("a question of {0} bytes")]
    TooLong(usize),
}

impl From<AskError> for S3Error {
    /// 503 with `Retry-After`, whatever went wrong; the reason goes to the log.
    fn from(error: AskError) -> Self {
        let mut answer = match error {
            AskError::Busy => s3_error!(SlowDown, "Please reduce your request rate."),
            AskError::Unreachable(_) | AskError::Malformed(_) | AskError::TooLong(_) => {
                S3Error::with_message(
                    S3ErrorCode::ServiceUnavailable,
                    "The region that owns this is out of reach.",
                )
            }
        };
        answer.set_headers(http::HeaderMap::from_iter([(
            http::header::RETRY_AFTER,
            http::HeaderValue::from(1),
        )]));
        answer.set_source(Box::new(error));
        answer
    }
}

/// Takes a batch to its owner.
#[async_trait]
pub(super) trait Carrier: Send + Sync {
    /// The answers, in order; fewer than the questions when they grow large.
    async fn carry(&self, asks: &[Ask]) -> Result<Vec<Answer>, AskError>;
}

/// Most bytes of questions in one batch, so that the batch can be sent.
const ASKS_BYTES_MAX: usize = BATCH_BYTES_MAX - FRAME_BYTES_MAX;

/// How much may be under way at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Batches sent and not yet answered.
    pub(super) batches_max: usize,
    /// Groups waiting for a batch to leave in.
    pub(super) waiting_max: usize,
}

pub(super) struct Queue {
    carrier: Arc<dyn Carrier>,
    bounds: Bounds,
    runtime: tokio::runtime::Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Group>,
    batches_count: usize,
}

/// Questions that must be read in this order, and whoever waits for the answers.
struct Group {
    asks: Vec<Ask>,
    /// As encoded.
    bytes: usize,
    reply: oneshot::Sender<Result<Vec<Answer>, AskError>>,
}

impl Queue {
    /// A queue whose batches travel on `runtime`, whoever asks and however soon they give up.
    pub(super) fn new(carrier: Arc<dyn Carrier>, bounds: Bounds, runtime: tokio::runtime::Handle) -> Self {
        Self { carrier, bounds, runtime, state: Mutex::default() }
    }

    /// The answers to `asks`, each read at the owner after this call was made and after the one before it.
    pub(super) async fn ask(self: &Arc<Self>, asks: Vec<Ask>) -> Result<Vec<Answer>, AskError> {
        let (reply, answers) = oneshot::channel();
        let bytes = asks.iter().map(Ask::encoded_bytes).sum();
        if bytes > ASKS_BYTES_MAX {
            return Err(AskError::TooLong(bytes));
        }
        self.submit(Group { asks, bytes, reply })?;
        answers.await.unwrap_or_else(|_| Err(AskError::Unreachable("this node is shutting down".into())))
    }

    fn submit(self: &Arc<Self>, group: Group) -> Result<(), AskError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.len() >= self.bounds.waiting_max {
            return Err(AskError::Busy);
        }
        state.waiting.push_back(group);
        if state.batches_count < self.bounds.batches_max {
            state.batches_count += 1;
            self.runtime.spawn(Arc::clone(self).run());
        }
        Ok(())
    }

    /// Carries batches until nothing waits.
    async fn run(self: Arc<Self>) {
        while let Some(batch) = self.next_batch() {
            let answers = self.carrier.carry(&batch.asks).await;
            let unanswered = batch.deliver(answers);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            unanswered.into_iter().rev().for_each(|group| state.waiting.push_front(group));
        }
    }

    fn next_batch(&self) -> Option<Batch> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = Batch::fill(&mut state.waiting);
        if batch.is_none() {
            state.batches_count -= 1;
        }
        batch
    }
}

/// Questions that leave together, and where each group finds its answers.
struct Batch {
    asks: Vec<Ask>,
    groups: Vec<(Group, Vec<usize>)>,
}

impl Batch {
    /// Takes groups from the front while their questions fit, by number and by bytes; groups that nobody waits for any more are dropped.
    fn fill(waiting: &mut VecDeque<Group>) -> Option<Self> {
        let mut batch = Self { asks: Vec::new(), groups: Vec::new() };
        let mut bytes = 0;
        let mut places: HashMap<Ask, usize> = HashMap::new();
        while let Some(group) = waiting.pop_front_if(|group| {
            group.reply.is_closed()
                || batch.asks.is_empty()
                || (batch.asks.len() + group.asks.len() <= ASKS_MAX && bytes + group.bytes <= ASKS_BYTES_MAX)
        }) {
            if group.reply.is_closed() {
                continue;
            }
            let mut own = Vec::with_capacity(group.asks.len());
            for ask in &group.asks {
                // An equal question is shared only when it is read late enough to keep this group's order.
                let shared = places.get(ask).copied().filter(|place| own.last() < Some(place));
                let place = shared.unwrap_or(batch.asks.len());
                if shared.is_none() {
                    bytes += ask.encoded_bytes();
                    batch.asks.push(ask.clone());
                    places.insert(ask.clone(), place);
                }
                own.push(place);
            }
            batch.groups.push((group, own));
        }
        (!batch.groups.is_empty()).then_some(batch)
    }

    /// Hands out what came back, and returns the groups whose questions the owner did not get to.
    fn deliver(self, answers: Result<Vec<Answer>, AskError>) -> Vec<Group> {
        let answered = match &answers {
            Ok(answers) => answers.len().min(self.asks.len()),
            Err(_) => self.asks.len(),
        };
        let (done, undone): (Vec<_>, Vec<_>) =
            self.groups.into_iter().partition(|(_, places)| places.iter().all(|&place| place < answered));
        // An owner that answers no group at all would be asked for ever.
        let stuck = done.is_empty();
        for (group, places) in done {
            let own = answers.as_ref().map(|all| places.iter().map(|&place| all[place].clone()).collect());
            // Whoever asked may have gone: then nobody wants the answer.
            let _ = group.reply.send(own.map_err(Clone::clone));
        }
        if stuck {
            for (group, _) in undone {
                let _ = group
                    .reply
                    .send(Err(AskError::Malformed("fewer answers than one question needs".into())));
            }
            return Vec::new();
        }
        undone.into_iter().map(|(group, _)| group).collect()
    }
}

#[cfg(test)]
mod tests;
