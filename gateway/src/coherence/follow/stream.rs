//! A node's stream to an owner: one part writes what the machine wants sent, the other reads and hands over what comes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{Follower, Sent, State, Unanswered};
use crate::coherence::clocks::{boottime, monotonic};
use crate::coherence::kept::{self, Failure, Kept};
use crate::coherence::node::{Message as ToSend, Question, Served};
use crate::coherence::numbers::{ClearNo, RenewalNo, ResolveNo, SessionId};
use crate::coherence::wire::{self, FromNode, FromOwner, Id, PROTOCOL, PROTOCOL_OLDEST, Said, WireError};
use crate::metrics::{Confirmation, Direction, MessageKind, OriginChannel, OriginOutcome};
use crate::peer::messages::Told;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the owner said nothing for too long")]
    Silence,
    #[error("the owner broke the protocol: {0}")]
    Violation(&'static str),
    #[error("the owner closed it")]
    Closed,
    #[error("nothing was asked for a while")]
    Idle,
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Wire(error.into())
    }
}

impl Follower {
    /// Speaks with the owner until the stream ends, and says why it did.
    pub(super) async fn converse(&self, stream: impl AsyncRead + AsyncWrite) -> Ended {
        {
            let mut state = self.lock();
            state.node.connected();
            state.is_opened = false;
        }
        let (reader, writer) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = self.read(BufReader::new(reader)) => ended,
            ended = self.write(BufWriter::new(writer)) => ended,
        };
        ended.err().unwrap_or(Ended::Closed)
    }

    async fn write(&self, mut stream: impl AsyncWrite + Unpin) -> Result<(), Ended> {
        let patience = self.parts.peer.limits().ask_timeout;
        let open = FromNode::Open {
            newest: PROTOCOL,
            oldest: PROTOCOL_OLDEST,
            class: self.class().into(),
            node: self.parts.here.to_string(),
        };
        stream.write_all(&wire::encode(&open)).await?;
        let mut said_goodbye = false;
        loop {
            let (message, deadline, is_waited_for) = self.next_message();
            match message {
                Some(message) => {
                    self.count(Direction::Sent, message.kind());
                    said_goodbye = match message {
                        FromNode::Goodbye => true,
                        FromNode::Hello { .. } => false,
                        _ => said_goodbye,
                    };
                    let frame = wire::encode(&message);
                    let writing = timeout(patience, stream.write_all(&frame));
                    writing.await.map_err(|_| Ended::Silence)??;
                }
                None => {
                    timeout(patience, stream.flush()).await.map_err(|_| Ended::Silence)??;
                    if said_goodbye && !is_waited_for {
                        // Goodbye is to arrive, not to be reset away.
                        stream.shutdown().await?;
                        return Err(Ended::Idle);
                    }
                    self.rest_until(deadline).await?;
                }
            }
        }
    }

    /// The next message, when to look again if there is none, and whether somebody waits for an answer.
    fn next_message(&self) -> (Option<FromNode>, Option<Duration>, bool) {
        let mut state = self.lock();
        let now = boottime();
        state.node.tick(now, monotonic());
        let message = state.node.next_outgoing(now).map(|message| state.sent(now, message));
        if matches!(message, Some(FromNode::Hello { .. } | FromNode::Renew { .. } | FromNode::Resolve { .. }))
            && state.unheard_since.is_none()
        {
            state.unheard_since = Some(Instant::now());
        }
        if message == Some(FromNode::Goodbye) {
            // Given back, not lost.
            state.shows_live = false;
            self.sessions().live(self.region(), self.class(), false);
        }
        self.show(&mut state);
        (message, state.node.deadline(), !state.waiters.is_empty())
    }

    /// Waits until there may be something to send, but not for an owner that is silent.
    async fn rest_until(&self, deadline: Option<Duration>) -> Result<(), Ended> {
        let silent_at = self.lock().unheard_since.map(|since| since + self.parts.peer.limits().ask_timeout);
        let due = deadline.map(|at| Instant::now() + at.saturating_sub(boottime()));
        let wake = [silent_at, due].into_iter().flatten().min();
        let sleeping = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stir.notified() => {}
            () = sleeping => {}
        }
        let unheard = self.lock().unheard_since;
        match unheard.is_some_and(|since| since.elapsed() >= self.parts.peer.limits().ask_timeout) {
            true => Err(Ended::Silence),
            false => Ok(()),
        }
    }

    async fn read(&self, mut stream: impl AsyncRead + Unpin) -> Result<(), Ended> {
        match wire::read::<FromOwner>(&mut stream).await?.ok_or(Ended::Closed)? {
            FromOwner::Opened { protocol } if (PROTOCOL_OLDEST..=PROTOCOL).contains(&protocol) => {}
            _ => return Err(Ended::Violation("no version that both speak")),
        }
        self.note_opened();
        loop {
            let (message, bytes) =
                wire::read_counted::<FromOwner>(&mut stream).await?.ok_or(Ended::Closed)?;
            self.count(Direction::Received, message.kind());
            self.parts.metrics.origin_bytes(self.region(), OriginChannel::Resolve, bytes as u64);
            let brings_something = matches!(message, FromOwner::Answers { .. });
            self.take(message)?;
            if brings_something {
                self.parts.room.settle();
            }
            self.stir.notify_one();
        }
    }

    fn note_opened(&self) {
        let mut state = self.lock();
        state.is_opened = true;
        if state.trouble.take().is_some() {
            info!(region = %self.region(), class = self.class().as_str(), "the owner answers again");
        }
    }

    /// What a message changes; waits for nothing (rule 10).
    fn take(&self, message: FromOwner) -> Result<(), Ended> {
        let mut state = self.lock();
        let now = boottime();
        match message {
            FromOwner::Opened { .. } => return Err(Ended::Violation("opened twice")),
            FromOwner::Welcome { session, lease_millis, resolves_max } => {
                let (session, lease) = (SessionId(*session.as_bytes()), Duration::from_millis(lease_millis));
                state.renewals.clear();
                state.node.welcomed(now, session, lease, (resolves_max as usize).max(1));
            }
            FromOwner::Refused { again_after_millis, resolves_max } => {
                let again_after = Duration::from_millis(again_after_millis);
                state.renewals.clear();
                state.node.refused(now, again_after, (resolves_max as usize).max(1));
            }
            FromOwner::Renewed { no } => {
                state.node.renewed(now, RenewalNo(no));
                if let Some(sent) = state.renewals.remove(&no) {
                    self.sessions().renewed(self.region(), self.class(), now.saturating_sub(sent));
                }
                // Those before it are not answered any more.
                state.renewals.retain(|earlier, _| *earlier > no);
                self.keep_pages_coming();
            }
            FromOwner::Clear { no, scope } => state.node.clear(ClearNo(no), &scope.into()),
            FromOwner::Ended => state.node.ended(now),
            FromOwner::Answers { no, facts, answers } => {
                let took = self.note_answers(&mut state, now, no, &answers);
                self.parts.metrics.origin_request(
                    self.region(),
                    OriginChannel::Resolve,
                    OriginOutcome::Answered,
                    took,
                );
                let served = state.node.answers(now, ResolveNo(no), kept::answers(facts, answers));
                let served = served.map_err(|_| Ended::Violation("answers to no question"))?;
                state.serve(served);
            }
        }
        // A word about one thing is none about the others: they are waited for anew, not given up.
        state.unheard_since = state.is_owed().then(Instant::now);
        self.show(&mut state);
        Ok(())
    }

    /// Counts what was confirmed, and returns how long the answers took.
    fn note_answers(
        &self,
        state: &mut State,
        now: Duration,
        no: u64,
        answers: &[wire::Answered],
    ) -> Duration {
        let Some(sent) = state.resolves.remove(&no) else { return Duration::ZERO };
        for (answered, _) in answers.iter().zip(&sent.named).filter(|(_, named)| **named) {
            let is_same = matches!(answered.answer, Said::Object { head: Told::Same, .. });
            let outcome = if is_same { Confirmation::Same } else { Confirmation::Changed };
            self.sessions().confirmed(self.region(), self.class(), outcome);
        }
        now.saturating_sub(sent.at)
    }

    fn count(&self, direction: Direction, kind: MessageKind) {
        self.sessions().message(Some(self.region()), self.class(), direction, kind);
    }
}

impl State {
    /// The owner has something to answer.
    fn is_owed(&self) -> bool {
        self.node.is_greeting() || !self.renewals.is_empty() || !self.resolves.is_empty()
    }

    /// The message as it travels, noted as sent.
    fn sent(&mut self, now: Duration, message: ToSend) -> FromNode {
        match message {
            ToSend::Hello { previous } => {
                FromNode::Hello { previous: previous.map(|session| Id::from_bytes(session.0)) }
            }
            ToSend::Renew { no } => {
                self.renewals.insert(no.0, now);
                FromNode::Renew { no: no.0 }
            }
            ToSend::Ack { up_to } => FromNode::Ack { up_to: up_to.0 },
            ToSend::Release(area) => FromNode::Release { area: area.into() },
            ToSend::Resolve { no, questions } => {
                let named = questions.iter().map(|question| question.known.is_some()).collect();
                self.resolves.insert(no.0, Sent { at: now, named });
                FromNode::Resolve {
                    no: no.0,
                    asks: questions.iter().map(|asked: &Question| kept::ask(asked)).collect(),
                }
            }
            ToSend::Goodbye => FromNode::Goodbye,
        }
    }

    fn serve(&mut self, served: Served<Kept, Failure>) {
        for (waiter, answer) in served {
            if let Some(reply) = self.waiters.remove(&waiter) {
                // Whoever asked may have gone.
                let _ = reply.send(answer.map_err(Unanswered::Refused));
            }
        }
    }
}
