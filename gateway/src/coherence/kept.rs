//! What nodes keep of owners' answers, and how questions and answers of the wire become those of the two machines.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use origin::acl::Owner;
use origin::head::{DeleteMarker, Facts};
use origin::instance::Instance;
use origin::regional::{Change, LeaseClass, UserRow};
use s3s::{S3ErrorCode, S3Result};
use sha2::{Digest, Sha256};

use super::node::{self, Question, Value};
use super::numbers::{Mark, Revision};
use super::scope::{Account, Area, Scope, Subject};
use super::wire::{Answered, CLEARED_KEYS_MAX, Cleared, PROTOCOL_OF_ACCESS_KEYS, Released, Said};
use crate::identity::{Credential, User};
use crate::peer::messages::{AccountAsk, Answer, Ask, FullHead, ObjectAsk, Told};

/// Something that an owner said, as a node keeps it.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// A bucket's facts.
    Facts(Arc<Facts>),
    /// An object's head.
    Head(Arc<FullHead>),
    /// The delete marker in an object's place.
    Marker(Arc<KeptMarker>),
    /// A user.
    User(Arc<KeptUser>),
    /// Accounts; never kept for another request.
    Accounts(Arc<[Owner]>),
}

/// A user's row, named by what is in it.
#[derive(Debug)]
pub(crate) struct KeptUser {
    pub(crate) row: UserRow,
    revision: Revision,
    /// What is in the row, once somebody has opened it; `None` for a user who is not to be found.
    opened: OnceLock<Option<Credential>>,
}

/// A delete marker, named by what is in it.
#[derive(Debug)]
pub(crate) struct KeptMarker {
    pub(crate) marker: DeleteMarker,
    revision: Revision,
}

impl KeptUser {
    fn new(row: UserRow) -> Self {
        Self { revision: of_content(&row.value), row, opened: OnceLock::new() }
    }

    /// What is in the row, by `open` where nobody has opened it yet.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn opened(
        &self,
        open: impl FnOnce(&UserRow) -> S3Result<Option<Credential>>,
    ) -> S3Result<Option<Credential>> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        let opened = open(&self.row)?;
        Ok(self.opened.get_or_init(|| opened).clone())
    }
}

impl KeptMarker {
    fn new(marker: DeleteMarker) -> Self {
        let bytes = rmp_serde::to_vec_named(&marker).expect("a marker holds nothing that MessagePack cannot");
        Self { revision: of_content(&bytes), marker }
    }
}

/// The name of what has no random revision: equal for what is equal, and for nothing else.
fn of_content(bytes: &[u8]) -> Revision {
    let mut revision = [0; 16];
    revision.copy_from_slice(&Sha256::digest(bytes)[..16]);
    Revision(revision)
}

impl Kept {
    /// A user's row.
    pub(super) fn user(row: UserRow) -> Self {
        Self::User(Arc::new(KeptUser::new(row)))
    }

    /// A delete marker.
    pub(super) fn marker(marker: DeleteMarker) -> Self {
        Self::Marker(Arc::new(KeptMarker::new(marker)))
    }

    /// The facts, where this is that.
    pub(crate) fn into_facts(self) -> Option<Arc<Facts>> {
        match self {
            Self::Facts(facts) => Some(facts),
            Self::Head(_) | Self::Marker(_) | Self::User(_) | Self::Accounts(_) => None,
        }
    }

    /// The head, where this is one.
    pub(crate) fn into_head(self) -> Option<Arc<FullHead>> {
        match self {
            Self::Head(head) => Some(head),
            Self::Facts(_) | Self::Marker(_) | Self::User(_) | Self::Accounts(_) => None,
        }
    }

    /// The user, where this is one.
    pub(crate) fn into_user(self) -> Option<Arc<KeptUser>> {
        match self {
            Self::User(user) => Some(user),
            Self::Facts(_) | Self::Head(_) | Self::Marker(_) | Self::Accounts(_) => None,
        }
    }
}

impl Value for Kept {
    fn revision(&self) -> Revision {
        match self {
            Self::Facts(facts) => Revision(*facts.revision.as_bytes()),
            Self::Head(full) => Revision(*full.head.revision.as_bytes()),
            Self::Marker(marker) => marker.revision,
            Self::User(user) => user.revision,
            // Never held, so never named in a question.
            Self::Accounts(_) => Revision([0; 16]),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Facts(facts) => facts.estimated_bytes(),
            Self::Head(full) => full.estimated_bytes(),
            // Its version's id and its account's names.
            Self::Marker(_) => size_of::<KeptMarker>() + 256,
            // The row, and as much again for what is in it.
            Self::User(user) => {
                size_of::<KeptUser>()
                    + size_of::<User>()
                    + user.row.access_key.len()
                    + 2 * user.row.value.len()
            }
            Self::Accounts(accounts) => size_of_val(&**accounts),
        }
    }
}

/// Why an owner could not answer one question, in S3's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: Option<String>,
}

impl Failure {
    fn damaged() -> Self {
        Self { code: S3ErrorCode::InternalError.as_str().to_owned(), message: None }
    }
}

/// The question as it travels.
pub(crate) fn ask(question: &Question) -> Ask {
    let instance = |revision: Revision| Instance::from_bytes(revision.0);
    match &question.subject {
        Subject::Facts { bucket } => Ask::Facts { bucket: bucket.to_string() },
        Subject::Object { bucket, key, version } => Ask::Object(ObjectAsk {
            bucket: bucket.to_string(),
            key: key.to_string(),
            version: version.as_ref().map(ToString::to_string),
            known_head: question.known.map(instance),
            known_facts: question.known_facts.map(instance),
        }),
        Subject::User { access_key } => Ask::User { access_key: access_key.to_string() },
        Subject::Account(Account::Id(id)) => Ask::Account(AccountAsk::Id(id.to_string())),
        Subject::Account(Account::Email(email)) => Ask::Account(AccountAsk::Email(email.to_string())),
    }
}

/// What a question that came is about.
pub(crate) fn subject(ask: &Ask) -> Subject {
    match ask {
        Ask::Facts { bucket } => Subject::Facts { bucket: bucket.as_str().into() },
        Ask::Object(ObjectAsk { bucket, key, version, .. }) => Subject::Object {
            bucket: bucket.as_str().into(),
            key: key.as_str().into(),
            version: version.as_deref().map(Into::into),
        },
        Ask::User { access_key } => Subject::User { access_key: access_key.as_str().into() },
        Ask::Account(AccountAsk::Id(id)) => Subject::Account(Account::Id(id.as_str().into())),
        Ask::Account(AccountAsk::Email(email)) => Subject::Account(Account::Email(email.as_str().into())),
    }
}

/// Answers that came, as the node's machine takes them. `facts` are those that they point to, all of which are there.
pub(crate) fn answers(
    facts: Vec<Facts>,
    answers: Vec<Answered>,
) -> Vec<(node::Answered<Kept, Failure>, Mark)> {
    let facts: Vec<_> = facts.into_iter().map(Arc::new).collect();
    let marked = |Answered { keep, answer }| {
        let mark = if keep { Mark::Keep } else { Mark::ServeOnce };
        (answered(&facts, answer), mark)
    };
    answers.into_iter().map(marked).collect()
}

fn answered(shared: &[Arc<Facts>], said: Said) -> node::Answered<Kept, Failure> {
    match said {
        Said::Object { facts, head, marker } => {
            if let Told::Is(full) = &head
                && full.inline.as_ref().is_some_and(|page| !page.is_intact())
            {
                return node::Answered::Failed(Failure::damaged());
            }
            node::Answered::Object {
                facts: told(facts, |place| Kept::Facts(shared[place as usize].clone())),
                head: in_place(head, marker),
            }
        }
        Said::Other(answer) => other(*answer),
    }
}

fn other(answer: Answer) -> node::Answered<Kept, Failure> {
    let one = |value: Option<Kept>| node::Answered::One(value.map_or(node::Told::Absent, node::Told::Is));
    match answer {
        Answer::Facts(facts) => one(facts.map(|facts| Kept::Facts(Arc::new(facts)))),
        Answer::User(row) => one(row.map(Kept::user)),
        Answer::Accounts(accounts) => one(Some(Kept::Accounts(accounts.into()))),
        Answer::Failed { code, message } => node::Answered::Failed(Failure { code, message }),
        Answer::Object { facts, head, marker } => node::Answered::Object {
            facts: told(facts, |facts| Kept::Facts(Arc::new(facts))),
            head: in_place(head, marker),
        },
    }
}

/// The head, or the marker that is there instead.
fn in_place(head: Told<Box<FullHead>>, marker: Option<DeleteMarker>) -> node::Told<Kept> {
    match (head, marker) {
        (Told::Absent, Some(marker)) => node::Told::Is(Kept::marker(marker)),
        (head, _) => told(head, |full| Kept::Head(Arc::from(full))),
    }
}

fn told<T>(told: Told<T>, kept: impl FnOnce(T) -> Kept) -> node::Told<Kept> {
    match told {
        Told::Same => node::Told::Same,
        Told::Is(value) => node::Told::Is(kept(value)),
        Told::Absent => node::Told::Absent,
    }
}

/// What a change makes old, and under which leases; `None` when that is nothing that anybody keeps.
pub(crate) fn scope(change: &Change) -> Option<(LeaseClass, Scope)> {
    match change {
        Change::Nothing => None,
        Change::Keys { bucket, keys } => {
            let keys: BTreeSet<Arc<str>> = keys.iter().map(|key| key.as_str().into()).collect();
            Some((LeaseClass::Objects, Scope::Keys { bucket: bucket.as_str().into(), keys }))
        }
        Change::Bucket(bucket) => Some((LeaseClass::Objects, Scope::Bucket(bucket.as_str().into()))),
        Change::Users(access_keys) => {
            let access_keys = access_keys.iter().map(|access_key| access_key.as_str().into()).collect();
            Some((LeaseClass::Users, Scope::AccessKeys(access_keys)))
        }
    }
}

/// The clear of `scope` as it travels to a node that speaks version `protocol`. What cannot be said so narrowly is said more
/// broadly.
pub(super) fn cleared(scope: &Scope, protocol: u16) -> Cleared {
    let texts = |keys: &BTreeSet<Arc<str>>| keys.iter().map(ToString::to_string).collect();
    match scope {
        Scope::Keys { bucket, keys } if keys.len() <= CLEARED_KEYS_MAX => {
            Cleared::Keys { bucket: bucket.to_string(), keys: texts(keys) }
        }
        Scope::Keys { bucket, .. } | Scope::Bucket(bucket) => Cleared::Bucket(bucket.to_string()),
        Scope::AccessKeys(access_keys)
            if access_keys.len() <= CLEARED_KEYS_MAX && protocol >= PROTOCOL_OF_ACCESS_KEYS =>
        {
            Cleared::AccessKeys(texts(access_keys))
        }
        Scope::AccessKeys(_) | Scope::Users => Cleared::Users,
    }
}

impl From<Cleared> for Scope {
    fn from(cleared: Cleared) -> Self {
        match cleared {
            Cleared::Keys { bucket, keys } => {
                Self::Keys { bucket: bucket.into(), keys: keys.into_iter().map(Into::into).collect() }
            }
            Cleared::Bucket(bucket) => Self::Bucket(bucket.into()),
            Cleared::AccessKeys(access_keys) => {
                Self::AccessKeys(access_keys.into_iter().map(Into::into).collect())
            }
            Cleared::Users => Self::Users,
        }
    }
}

impl From<Area> for Released {
    fn from(area: Area) -> Self {
        match area {
            Area::Bucket(bucket) => Self::Bucket(bucket.to_string()),
            Area::Users => Self::Users,
        }
    }
}

impl From<Released> for Area {
    fn from(released: Released) -> Self {
        match released {
            Released::Bucket(bucket) => Self::Bucket(bucket.into()),
            Released::Users => Self::Users,
        }
    }
}
