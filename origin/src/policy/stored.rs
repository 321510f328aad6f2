//! A policy as it is kept and travels: its text, as it was put, and what the text means.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Malformed, Policy, document};

/// A bucket's policy: serialised as its text alone, and parsed where it is first asked. So a list of buckets costs no
/// parsing, and a text that is not understood closes its own bucket and nothing else.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    text: Arc<str>,
    /// What the text means, once somebody has asked; clones share it.
    policy: Arc<OnceLock<Result<Policy, Malformed>>>,
}

impl StoredPolicy {
    /// The policy that `text` writes for `bucket`.
    ///
    /// # Errors
    /// As of [`Policy::parse`].
    pub fn new(text: &str, bucket: &str) -> Result<Self, Malformed> {
        let policy = Policy::parse(text, bucket)?;
        Ok(Self { text: text.into(), policy: Arc::new(OnceLock::from(Ok(policy))) })
    }

    /// The document, byte for byte as it was put.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means. Resources were held against the bucket when the policy was put.
    ///
    /// # Errors
    /// [`Malformed`] for a text that is not understood, as one of a later release may be: then it must not open
    /// anything that it might have meant to close.
    pub fn policy(&self) -> Result<&Policy, &Malformed> {
        self.policy.get_or_init(|| document::parse(&self.text, None)).as_ref()
    }

    /// As [`Policy::is_public`]; whatever is not understood is taken to be.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.policy().map_or(true, Policy::is_public)
    }
}

/// One text means one thing.
impl PartialEq for StoredPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoredPolicy {}

impl Serialize for StoredPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for StoredPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self { text: text.into(), policy: Arc::default() })
    }
}
