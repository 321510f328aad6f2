//! What travels on a session's stream: messages, and the frames that hold them.
//!
//! ```text
//! bytes u32 BE | one message in MessagePack, with field names        repeated until the stream ends
//! ```
//!
//! A node opens the stream with [`Open`](FromNode::Open), which says the versions that it speaks; the owner chooses
//! one in [`Opened`](FromOwner::Opened). Within a version fields may be added, and a reader skips those it does not
//! know; a message that a reader must understand needs a new version. What comes in is bounded before it is read and
//! checked once it is: a peer can be of another release, or broken.

use std::collections::HashMap;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use origin::head::{DeleteMarker, Facts};
use origin::instance::Instance;
use origin::regional::LeaseClass;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::metrics::MessageKind;
use crate::peer::messages::{ANSWERS_BYTES_MAX, ASKS_MAX, Answer, Ask, BATCH_BYTES_MAX, FullHead, Told};

/// The protocol's name in the TLS handshake.
pub(crate) const ALPN: &[u8] = b"penstock-session";

/// The newest version that this release speaks.
pub(crate) const PROTOCOL: u16 = 2;

/// The first one in which single users are cleared. Before, a change of one cleared all.
pub(super) const PROTOCOL_OF_ACCESS_KEYS: u16 = 2;

/// The oldest one. A release speaks the version before its own, so that nodes can be replaced one after the other. Pages
/// have versions of their own, in the name of their protocol; see ops/decisions on versions between nodes.
pub(crate) const PROTOCOL_OLDEST: u16 = 1;

/// Most bytes of a message from a node: a full batch of questions and its envelope.
pub(crate) const FROM_NODE_BYTES_MAX: usize = BATCH_BYTES_MAX + 1024;

/// Most bytes of a message from an owner: the largest answers and their envelope.
pub(crate) const FROM_OWNER_BYTES_MAX: usize = ANSWERS_BYTES_MAX + 4096;

/// Most keys that one message clears; whoever clears more clears the bucket, or all users.
pub(crate) const CLEARED_KEYS_MAX: usize = 1000;

/// Bytes of a frame before its message.
const LENGTH_BYTES: usize = 4;

/// Most bytes of a node's name.
const NODE_NAME_BYTES_MAX: usize = 256;

/// A session's id, as it travels.
pub(crate) type Id = Instance;

/// What a stream is about. Leases of users and of objects differ in length, so their sessions do not share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Class {
    /// Heads and facts.
    Objects,
    /// Users; at home alone.
    Users,
}

impl From<LeaseClass> for Class {
    fn from(class: LeaseClass) -> Self {
        match class {
            LeaseClass::Objects => Self::Objects,
            LeaseClass::Users => Self::Users,
        }
    }
}

impl From<Class> for LeaseClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Objects => Self::Objects,
            Class::Users => Self::Users,
        }
    }
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromNode {
    /// The first message.
    Open {
        /// The newest version that the node speaks.
        newest: u16,
        /// The oldest one.
        oldest: u16,
        /// What is asked about on this stream.
        class: Class,
        /// The node's region.
        node: String,
    },
    /// Asks for a session.
    Hello {
        /// The session that the node had, and has given up.
        previous: Option<Id>,
    },
    /// Asks for another lease.
    Renew {
        /// Counts renewals.
        no: u64,
    },
    /// Questions, to be read in this order.
    Resolve {
        /// Counts batches.
        no: u64,
        /// At most [`ASKS_MAX`].
        asks: Vec<Ask>,
    },
    /// Clears up to this one have been applied.
    Ack {
        /// The clear's number.
        up_to: u64,
    },
    /// Nothing of this is kept any more.
    Release {
        /// Of what.
        area: Released,
    },
    /// The node has given up its session, and what it keeps is unverified.
    Goodbye,
}

/// What a node keeps nothing of any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Released {
    /// A bucket.
    Bucket(String),
    /// Users.
    Users,
}

/// What an owner says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromOwner {
    /// The first message.
    Opened {
        /// The version to speak from here on.
        protocol: u16,
    },
    /// The answer to `Hello`: a session.
    Welcome {
        /// The session's id, which is never given again.
        session: Id,
        /// How long the lease lasts, counted by the node from when it sent `Hello`.
        lease_millis: u64,
        /// Batches of questions that may be unanswered.
        resolves_max: u32,
    },
    /// The answer to `Hello`: no session for now. Questions are answered all the same, and nothing of that may be kept.
    Refused {
        /// How long to wait before the next `Hello`.
        again_after_millis: u64,
        /// Batches of questions that may be unanswered.
        resolves_max: u32,
    },
    /// The answer to `Renew`: another lease, counted by the node from when it sent that renewal.
    Renewed {
        /// The renewal's number.
        no: u64,
    },
    /// Answers to the first questions of a batch, at least one; the rest is to be asked again.
    Answers {
        /// The batch's number.
        no: u64,
        /// Facts that the answers point to: each bucket's once.
        facts: Vec<Facts>,
        /// In the order of the questions.
        answers: Vec<Answered>,
    },
    /// What is kept of this is not true any more, or will not be soon.
    Clear {
        /// Counts clears.
        no: u64,
        /// Of what.
        scope: Cleared,
    },
    /// The session is over.
    Ended,
}

/// One answer, and what it may be used for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// It may be kept for as long as the session lives and it is not cleared. Otherwise it is for those who had asked
    /// before the question was sent.
    pub(crate) keep: bool,
    /// The answer.
    pub(crate) answer: Said,
}

/// An answer as it travels: facts are a place in the message's list of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// To [`Ask::Object`].
    Object {
        /// The bucket's facts.
        facts: Told<u32>,
        /// The object's head.
        head: Told<Box<FullHead>>,
        /// The delete marker in its place.
        #[serde(default)]
        marker: Option<DeleteMarker>,
    },
    /// To any other question.
    Other(Box<Answer>),
}

/// What a clear is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cleared {
    /// Every version of these keys, and that there is none.
    Keys {
        /// The bucket's name.
        bucket: String,
        /// At most [`CLEARED_KEYS_MAX`].
        keys: Vec<String>,
    },
    /// A bucket's facts and all its keys.
    Bucket(String),
    /// The users of these access keys, at most [`CLEARED_KEYS_MAX`].
    AccessKeys(Vec<String>),
    /// All users.
    Users,
}

/// The message that carries `answers`; each bucket's facts once.
pub(crate) fn answers(no: u64, answers: Vec<(Answer, bool)>) -> FromOwner {
    let mut facts: Vec<Facts> = Vec::new();
    let mut places = HashMap::new();
    let mut place = |told: Told<Facts>| match told {
        Told::Same => Told::Same,
        Told::Absent => Told::Absent,
        Told::Is(value) => Told::Is(*places.entry(value.revision).or_insert_with(|| {
            facts.push(value);
            facts.len() as u32 - 1
        })),
    };
    let said = |answer: Answer| match answer {
        Answer::Object { facts, head, marker } => Said::Object { facts: place(facts), head, marker },
        other => Said::Other(Box::new(other)),
    };
    let (answers, keeps): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let said: Vec<_> = answers.into_iter().map(said).collect();
    let answers = said.into_iter().zip(keeps).map(|(answer, keep)| Answered { keep, answer }).collect();
    FromOwner::Answers { no, facts, answers }
}

impl FromNode {
    /// Which message this is, for the metrics.
    pub(crate) fn kind(&self) -> MessageKind {
        match self {
            Self::Open { .. } => MessageKind::Open,
            Self::Hello { .. } => MessageKind::Hello,
            Self::Renew { .. } => MessageKind::Renew,
            Self::Resolve { .. } => MessageKind::Resolve,
            Self::Ack { .. } => MessageKind::Ack,
            Self::Release { .. } => MessageKind::Release,
            Self::Goodbye => MessageKind::Goodbye,
        }
    }
}

impl FromOwner {
    /// Which message this is, for the metrics.
    pub(crate) fn kind(&self) -> MessageKind {
        match self {
            Self::Opened { .. } => MessageKind::Opened,
            Self::Welcome { .. } => MessageKind::Welcome,
            Self::Refused { .. } => MessageKind::Refused,
            Self::Renewed { .. } => MessageKind::Renewed,
            Self::Answers { .. } => MessageKind::Answers,
            Self::Clear { .. } => MessageKind::Clear,
            Self::Ended => MessageKind::Ended,
        }
    }
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection broke, or the message ends before its end.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A longer message than there can be.
    #[error("a message of {0} bytes")]
    TooLong(usize),
    /// Bytes that are not a message of this protocol.
    #[error("not a message: {0}")]
    Malformed(String),
}

/// A message that says no more than may be said.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// Most bytes that it may take.
    const BYTES_MAX: usize;

    /// What is wrong with it, if something is.
    fn fault(&self) -> Option<&'static str>;
}

impl Message for FromNode {
    const BYTES_MAX: usize = FROM_NODE_BYTES_MAX;

    fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Open { node, .. } if node.len() > NODE_NAME_BYTES_MAX => Some("a long name"),
            Self::Open { newest, oldest, .. } if newest < oldest => Some("versions out of order"),
            Self::Resolve { asks, .. } if asks.is_empty() => Some("no question"),
            Self::Resolve { asks, .. } if asks.len() > ASKS_MAX => Some("too many questions"),
            _ => None,
        }
    }
}

impl Message for FromOwner {
    const BYTES_MAX: usize = FROM_OWNER_BYTES_MAX;

    fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Answers { answers, .. } if answers.is_empty() => Some("no answer"),
            Self::Answers { answers, .. } if answers.len() > ASKS_MAX => Some("too many answers"),
            Self::Answers { facts, answers, .. } if !all_in(facts, answers) => {
                Some("facts that are not there")
            }
            Self::Clear { scope: Cleared::Keys { keys, .. } | Cleared::AccessKeys(keys), .. }
                if keys.len() > CLEARED_KEYS_MAX =>
            {
                Some("too many keys")
            }
            _ => None,
        }
    }
}

fn all_in(facts: &[Facts], answers: &[Answered]) -> bool {
    answers.iter().all(|answered| match &answered.answer {
        Said::Object { facts: Told::Is(place), .. } => (*place as usize) < facts.len(),
        Said::Object { .. } | Said::Other(_) => true,
    })
}

/// The version to speak with a node of these versions; `None` when there is none in common.
pub(crate) fn common_protocol(newest: u16, oldest: u16) -> Option<u16> {
    let common = newest.min(PROTOCOL);
    (common >= oldest.max(PROTOCOL_OLDEST)).then_some(common)
}

/// The frame of `message`.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(256);
    frame.put_u32(0);
    let mut writer = frame.writer();
    rmp_serde::encode::write_named(&mut writer, message)
        .expect("a message holds nothing that MessagePack cannot");
    let mut frame = writer.into_inner();
    let bytes = u32::try_from(frame.len() - LENGTH_BYTES).expect("a message is shorter than 4 GiB");
    frame[..LENGTH_BYTES].copy_from_slice(&bytes.to_be_bytes());
    frame.freeze()
}

/// The next message on `stream` and the bytes that it took; `None` where the stream ends between two.
///
/// # Errors
/// [`WireError`]; nothing more can be read then.
pub(crate) async fn read_counted<M: Message>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<(M, usize)>, WireError> {
    let bytes = match stream.read_u32().await {
        Ok(bytes) => bytes as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if bytes > M::BYTES_MAX {
        return Err(WireError::TooLong(bytes));
    }
    // Room is made as the bytes come: a length alone costs nothing.
    let mut body = Vec::new();
    if stream.take(bytes as u64).read_to_end(&mut body).await? < bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some((parse(&body)?, LENGTH_BYTES + bytes)))
}

/// The same, without counting.
///
/// # Errors
/// As [`read_counted`].
pub(crate) async fn read<M: Message>(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<M>, WireError> {
    Ok(read_counted(stream).await?.map(|(message, _)| message))
}

fn parse<M: Message>(body: &[u8]) -> Result<M, WireError> {
    let message: M = rmp_serde::from_slice(body).map_err(|e| WireError::Malformed(e.to_string()))?;
    match message.fault() {
        Some(fault) => Err(WireError::Malformed(fault.to_owned())),
        None => Ok(message),
    }
}

#[cfg(test)]
mod tests;
