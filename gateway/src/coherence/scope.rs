//! What a resolve asks about, what a clear names, and whether the one touches the other.

use std::collections::BTreeSet;
use std::sync::Arc;

/// What one question is about; what is kept is kept under the same name.
///
/// Ordered so that everything of one bucket, and of one key in it, lies together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A bucket's facts.
    Facts {
        /// The bucket's name.
        bucket: Arc<str>,
    },
    /// An object's head. Its answer brings the facts of the bucket along, of one snapshot with it.
    Object {
        /// The bucket's name.
        bucket: Arc<str>,
        /// The object's key.
        key: Arc<str>,
        /// `None` for the newest version.
        version: Option<Arc<str>>,
    },
    /// The user of an access key.
    User {
        /// The access key.
        access_key: Arc<str>,
    },
    /// The accounts that an access control list may mean. Never kept.
    Account(Account),
}

/// What an access control list may name an account by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Its canonical id.
    Id(Arc<str>),
    /// The e-mail address of one of its users.
    Email(Arc<str>),
}

impl Subject {
    /// What a session must be interested in to keep the answer; `None` when it is never kept.
    #[must_use]
    pub fn area(&self) -> Option<Area> {
        match self {
            Self::Facts { bucket } | Self::Object { bucket, .. } => Some(Area::Bucket(Arc::clone(bucket))),
            Self::User { .. } => Some(Area::Users),
            Self::Account(_) => None,
        }
    }

    /// The key, or the access key, that it is about in its area; `None` when it is about all of it.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<str>> {
        match self {
            Self::Object { key, .. } | Self::User { access_key: key } => Some(key),
            Self::Facts { .. } | Self::Account(_) => None,
        }
    }

    /// Under what the facts that come along with it are kept; `None` when none do.
    #[must_use]
    pub fn facts(&self) -> Option<Self> {
        match self {
            Self::Object { bucket, .. } => Some(Self::Facts { bucket: Arc::clone(bucket) }),
            Self::Facts { .. } | Self::User { .. } | Self::Account(_) => None,
        }
    }

    /// Bytes of the names in it.
    #[must_use]
    pub fn name_bytes(&self) -> usize {
        match self {
            Self::Facts { bucket } => bucket.len(),
            Self::Object { bucket, key, version } => {
                bucket.len() + key.len() + version.as_ref().map_or(0, |version| version.len())
            }
            Self::User { access_key: text } | Self::Account(Account::Id(text) | Account::Email(text)) => {
                text.len()
            }
        }
    }
}

/// What a session is interested in: all of a bucket, or all users. An owner keeps this much per session, however many
/// keys the node holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// A bucket, there or not, with every key in it.
    Bucket(Arc<str>),
    /// The table of users.
    Users,
}

/// What a change makes old.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// These keys of one bucket, every version of them.
    Keys {
        /// The bucket's name.
        bucket: Arc<str>,
        /// The keys.
        keys: BTreeSet<Arc<str>>,
    },
    /// A bucket's facts and every key in it.
    Bucket(Arc<str>),
    /// The users of these access keys.
    AccessKeys(BTreeSet<Arc<str>>),
    /// All users.
    Users,
}

impl Scope {
    /// Whom it concerns.
    #[must_use]
    pub fn area(&self) -> Area {
        match self {
            Self::Keys { bucket, .. } | Self::Bucket(bucket) => Area::Bucket(Arc::clone(bucket)),
            Self::AccessKeys(_) | Self::Users => Area::Users,
        }
    }

    /// The keys, or the access keys, that it names in its area; `None` when it is all of it.
    #[must_use]
    pub fn keys(&self) -> Option<&BTreeSet<Arc<str>>> {
        match self {
            Self::Keys { keys, .. } | Self::AccessKeys(keys) => Some(keys),
            Self::Bucket(_) | Self::Users => None,
        }
    }

    /// An answer about `subject` may be old once a change of this scope was committed. Rule 4: a key's change touches
    /// every version's head and the negative, which are all answers about that key; it leaves the facts as they are.
    /// Accounts are never kept.
    #[must_use]
    pub fn touches(&self, subject: &Subject) -> bool {
        let is_named = |keys: &BTreeSet<Arc<str>>| subject.key().is_some_and(|key| keys.contains(key));
        subject.area().is_some_and(|area| area == self.area()) && self.keys().is_none_or(is_named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bucket: &str, key: &str, version: Option<&str>) -> Subject {
        Subject::Object { bucket: bucket.into(), key: key.into(), version: version.map(Into::into) }
    }

    fn keys(bucket: &str, keys: &[&str]) -> Scope {
        Scope::Keys { bucket: bucket.into(), keys: keys.iter().map(|key| Arc::from(*key)).collect() }
    }

    #[test]
    fn a_key_s_change_touches_every_version_and_no_other_key() {
        let scope = keys("b", &["k", "l"]);
        assert!(scope.touches(&object("b", "k", None)));
        assert!(scope.touches(&object("b", "k", Some("1"))));
        assert!(!scope.touches(&object("b", "kk", None)));
        assert!(!scope.touches(&object("c", "k", None)));
    }

    #[test]
    fn only_a_bucket_s_change_touches_its_facts() {
        let facts = Subject::Facts { bucket: "b".into() };
        assert!(!keys("b", &["k"]).touches(&facts));
        assert!(Scope::Bucket("b".into()).touches(&facts));
        assert!(Scope::Bucket("b".into()).touches(&object("b", "k", None)));
        assert!(!Scope::Bucket("c".into()).touches(&facts));
        assert!(!Scope::Users.touches(&facts));
    }

    #[test]
    fn a_change_of_a_user_touches_its_access_keys_and_nothing_else() {
        let scope = Scope::AccessKeys(["A".into(), "B".into()].into());
        let user = |access_key: &str| Subject::User { access_key: access_key.into() };
        assert!(scope.touches(&user("A")) && scope.touches(&user("B")) && !scope.touches(&user("C")));
        assert!(!scope.touches(&object("A", "A", None)));
        assert!(!keys("A", &["A"]).touches(&user("A")));
    }

    #[test]
    fn a_change_of_users_touches_every_user_and_nothing_else() {
        assert!(Scope::Users.touches(&Subject::User { access_key: "A".into() }));
        assert!(!Scope::Bucket("A".into()).touches(&Subject::User { access_key: "A".into() }));
        assert!(!Scope::Users.touches(&Subject::Account(Account::Id("A".into()))));
    }
}
