//! A policy as it is kept and travels: its text, as it was put, and what the text means.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Malformed, Policy, document};

/// A bucket's policy: serialised as its text alone, and parsed again where it arrives.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    text: Arc<str>,
    policy: Arc<Policy>,
}

impl StoredPolicy {
    /// The policy that `text` writes for `bucket`.
    ///
    /// # Errors
    /// As of [`Policy::parse`].
    pub fn new(text: &str, bucket: &str) -> Result<Self, Malformed> {
        let policy = Policy::parse(text, bucket)?;
        Ok(Self { text: text.into(), policy: Arc::new(policy) })
    }

    /// The document, byte for byte as it was put.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
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
    /// Resources were held against the bucket when the policy was put. A text that is not understood is an error, so
    /// that a policy written by a later release closes the bucket here instead of opening it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let policy = document::parse(&text, None).map_err(serde::de::Error::custom)?;
        Ok(Self { text: text.into(), policy: Arc::new(policy) })
    }
}
