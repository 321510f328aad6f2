//! What nodes ask owners: questions, and their answers in the same order. They travel on a session's stream
//! ([`coherence`](crate::coherence)).
//!
//! A node that already holds a head or a bucket's facts names their random revisions; an answer then says
//! [`Same`](Told::Same) instead of repeating them, so confirming costs a few bytes whatever the object is.

use origin::acl::Owner;
use origin::head::{DeleteMarker, Facts, Head};
use origin::instance::Instance;
use origin::regional::{Page, UserRow};
use s3s::{S3Error, S3ErrorCode};
use serde::{Deserialize, Serialize};

/// Most questions in one batch.
pub const ASKS_MAX: usize = 256;

/// Most bytes of the questions of a batch, as encoded: 256 keys of 1,024 bytes, their buckets and versions, with room to
/// spare. Whoever makes a batch closes it before it grows past this; whoever reads one refuses more.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Past this many bytes of answers no further question of the batch is answered; the rest is asked again.
pub const ANSWERS_BYTES_FULL: usize = 4 << 20;

/// Most bytes of answers that a node reads: what is full, and one more head with 10,000 parts.
pub const ANSWERS_BYTES_MAX: usize = 16 << 20;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// The head of an object and the facts of its bucket, in one snapshot.
    Object(ObjectAsk),
    /// A bucket's facts, where no object is read.
    Facts {
        /// The bucket's name.
        bucket: String,
    },
    /// A user, at home.
    User {
        /// The user's access key.
        access_key: String,
    },
    /// The accounts of this name, at home.
    Account(AccountAsk),
}

/// What an ACL may name an account by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccountAsk {
    /// Its canonical id.
    Id(String),
    /// The e-mail address of one of its users.
    Email(String),
}

/// Which object, and what is already known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectAsk {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// `None` for the newest version.
    #[serde(default)]
    pub version: Option<String>,
    /// Revision of the head that the asker holds.
    #[serde(default)]
    pub known_head: Option<Instance>,
    /// Revision of the facts that the asker holds.
    #[serde(default)]
    pub known_facts: Option<Instance>,
}

/// The answer to one question, of the same kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Object`].
    Object {
        /// The bucket's facts; without them there is no head either.
        facts: Told<Facts>,
        /// The object's head.
        head: Told<Box<FullHead>>,
        /// The delete marker in its place.
        #[serde(default)]
        marker: Option<DeleteMarker>,
    },
    /// To [`Ask::Facts`].
    Facts(Option<Facts>),
    /// To [`Ask::User`].
    User(Option<UserRow>),
    /// To [`Ask::Account`]; of many that share an address, two.
    Accounts(Vec<Owner>),
    /// The store refused or failed.
    Failed {
        /// S3's error code.
        code: String,
        /// For the client; never names a machine or a file.
        message: Option<String>,
    },
}

/// A head, with the object's bytes when they are few enough to live in the store's metadata.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FullHead {
    /// The head.
    pub head: Head,
    /// All bytes of a small object.
    #[serde(default)]
    pub inline: Option<Page>,
}

/// An answer about something the asker may already hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told<T> {
    /// It is as the asker knows it.
    Same,
    /// It is this.
    Is(T),
    /// There is none.
    Absent,
}

impl<T> Told<T> {
    /// What to say of `current` to someone who holds the revision `known`.
    #[must_use]
    pub fn of(current: Option<T>, revision: impl Fn(&T) -> Instance, known: Option<Instance>) -> Self {
        match current {
            None => Self::Absent,
            Some(value) if Some(revision(&value)) == known => Self::Same,
            Some(value) => Self::Is(value),
        }
    }
}

impl From<S3Error> for Answer {
    fn from(error: S3Error) -> Self {
        Self::Failed { code: error.code().as_str().to_owned(), message: error.message().map(str::to_owned) }
    }
}

/// The error that an [`Answer::Failed`] carried here.
#[must_use]
pub fn failure(code: &str, message: Option<String>) -> S3Error {
    let mut error =
        S3Error::new(S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError));
    if let Some(message) = message {
        error.set_message(message);
    }
    error
}
