//! One node's stream, at its owner: three parts that never wait for each other, around the one machine of all streams.

use std::sync::Arc;
use std::time::Duration;

use origin::regional::RegionalStore;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{End, Ended, Opened, Stir};
use crate::coherence::clocks::boottime;
use crate::coherence::kept;
use crate::coherence::numbers::{ClearNo, Mark, RenewalNo, ResolveNo, SessionId, StreamNo};
use crate::coherence::owner::{Outgoing, Read, Todo};
use crate::coherence::wire::{self, FromNode, FromOwner, Id};
use crate::identity::Accounts;
use crate::metrics::{Direction, MessageKind};
use crate::peer::messages::{ANSWERS_BYTES_FULL, Answer, Ask};
use crate::peer::{answer_one, estimated_bytes};
use crate::topology::RegionName;

/// For one write; a node that reads takes none of it.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// One stream, at its owner.
pub(super) struct Conversation {
    pub(super) end: Arc<End>,
    pub(super) no: StreamNo,
    pub(super) stir: Arc<Stir>,
    pub(super) region: RegionName,
    /// The version that both speak.
    pub(super) protocol: u16,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.end.lock().streams.remove(&self.no);
        self.end.act(|owner, now| owner.lost(now, self.no));
    }
}

impl Conversation {
    /// Takes messages as they come; waits for nothing else.
    pub(super) async fn hear(
        &self,
        store: &RegionalStore,
        mut stream: impl AsyncRead + Unpin,
    ) -> Result<(), Ended> {
        loop {
            let message = wire::read::<FromNode>(&mut stream).await?.ok_or(Ended::Closed)?;
            self.count(Direction::Received, message.kind());
            if matches!(message, FromNode::Hello { .. }) {
                self.end.note(store).await?;
            }
            self.take(message)?;
        }
    }

    fn take(&self, message: FromNode) -> Result<(), Ended> {
        let mut state = self.end.lock();
        let now = boottime();
        let owner = &mut state.owner;
        let todo = match message {
            FromNode::Open { .. } => return Err(Ended::Violation("opened twice".to_owned())),
            FromNode::Hello { previous } => {
                let previous = previous.map(|id| SessionId(*id.as_bytes()));
                owner.hello(now, self.no, fresh_id(), previous)
            }
            FromNode::Renew { no } => owner.renew(now, self.no, RenewalNo(no)),
            FromNode::Ack { up_to } => owner.ack(now, self.no, ClearNo(up_to)),
            FromNode::Release { area } => {
                owner.release(self.no, &area.into());
                Todo::default()
            }
            FromNode::Goodbye => owner.goodbye(now, self.no),
            FromNode::Resolve { no, asks } => {
                let questions = asks.into_iter().map(|ask| (kept::subject(&ask), ask)).collect();
                let todo = owner
                    .resolve(now, self.no, ResolveNo(no), questions)
                    .map_err(|violation| Ended::Violation(format!("{violation:?}")))?;
                self.stir.reading_store.notify_one();
                todo
            }
        };
        self.end.obey(&mut state, todo);
        Ok(())
    }

    /// Reads the store for questions whose turn has come. Rule 1: each read opens after its turn was given.
    pub(super) async fn read_store(&self, opened: &Opened) -> Result<(), Ended> {
        loop {
            let next = self.end.lock().owner.next_read(self.no);
            let Some(Read { no, questions, .. }) = next else {
                self.stir.reading_store.notified().await;
                continue;
            };
            let (store, accounts) = (opened.store.clone(), opened.accounts.clone());
            let answering = async move { answer_all(&store, accounts.as_deref(), &questions).await };
            // A task of its own: one row that waits for the disk would keep the stream's other parts waiting too.
            let answering = AbortOnDropHandle::new(tokio::spawn(answering));
            let (answers, bytes) = answering.await.map_err(|error| Ended::Store(error.to_string()))?;
            self.end.act(|owner, now| owner.answered(now, self.no, no, answers, bytes));
        }
    }

    pub(super) async fn write(&self, mut stream: impl AsyncWrite + Unpin) -> Result<(), Ended> {
        loop {
            let next = self.end.lock().owner.next_outgoing(boottime(), self.no);
            let Some(message) = next else {
                timeout(WRITE_PATIENCE, stream.flush()).await.map_err(|_| Ended::Stalled)??;
                self.stir.writing.notified().await;
                continue;
            };
            // What went makes room for what is to be read.
            self.stir.reading_store.notify_one();
            let message = travelling(message, self.protocol);
            self.count(Direction::Sent, message.kind());
            let frame = wire::encode(&message);
            let writing = timeout(WRITE_PATIENCE, stream.write_all(&frame));
            writing.await.map_err(|_| Ended::Stalled)??;
        }
    }

    fn count(&self, direction: Direction, kind: MessageKind) {
        self.end.metrics.sessions().message(Some(&self.region), self.end.class, direction, kind);
    }
}

/// The message as it travels to a node that speaks version `protocol`.
fn travelling(message: Outgoing<Answer>, protocol: u16) -> FromOwner {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match message {
        Outgoing::Welcome { session, lease, resolves_max } => FromOwner::Welcome {
            session: Id::from_bytes(session.0),
            lease_millis: millis(lease),
            resolves_max: resolves_max as u32,
        },
        Outgoing::Refused { again_after, resolves_max } => {
            FromOwner::Refused { again_after_millis: millis(again_after), resolves_max: resolves_max as u32 }
        }
        Outgoing::Renewed { no } => FromOwner::Renewed { no: no.0 },
        Outgoing::Clear { no, scope } => {
            FromOwner::Clear { no: no.0, scope: kept::cleared(&scope, protocol) }
        }
        Outgoing::Ended => FromOwner::Ended,
        Outgoing::Answers { no, answers } => wire::answers(
            no.0,
            answers.into_iter().map(|(answer, mark)| (answer, mark == Mark::Keep)).collect(),
        ),
    }
}

/// A session's id, never given before.
fn fresh_id() -> SessionId {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).expect("the kernel gives random bytes");
    SessionId(id)
}

/// Answers to as many of `questions` as one message holds, in their order, and how many bytes they are. The rest is
/// asked again.
async fn answer_all(
    store: &RegionalStore,
    accounts: Option<&Accounts>,
    questions: &[Ask],
) -> (Vec<Answer>, usize) {
    let (mut answers, mut bytes) = (Vec::with_capacity(questions.len()), 0);
    for ask in questions {
        let answer = answer_one(store, accounts, ask).await;
        bytes += estimated_bytes(&answer);
        answers.push(answer);
        if bytes >= ANSWERS_BYTES_FULL {
            break;
        }
    }
    (answers, bytes)
}
