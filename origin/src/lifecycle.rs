//! What becomes of a bucket's objects with time: its rules, and what they say of a version or an unfinished upload.
//!
//! Pure. Rules are refused when they are put if they are not understood in full (Amazon S3 API reference,
//! "PutBucketLifecycleConfiguration"; User Guide, "Lifecycle configuration elements"), and none is kept that would not be
//! acted on: [`document`] reads and shows them. Going through a bucket and doing what they say is the store's.

pub(crate) mod document;
#[cfg(test)]
mod tests;

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::head::{Facts, Head};
use crate::read_request::http_date;
use crate::tags::Tags;

/// What is encoded of a rule's id in a header: all but what is plain in a URL.
const RULE_ID_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A bucket's rules, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    rules: Vec<Rule>,
}

/// One rule. What it says holds for what its filter matches, while it is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Rule {
    id: String,
    is_enabled: bool,
    filter: Filter,
    expiration: Option<Expiration>,
    noncurrent: Option<NoncurrentExpiration>,
    /// Days after its start when an unfinished upload is aborted.
    abort_days: Option<u32>,
}

/// What a rule is about: whatever all of this is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Filter {
    /// The prefix stands in the rule itself, as it did before there were filters.
    is_bare_prefix: bool,
    prefix: Option<String>,
    tags: Tags,
    /// The object is larger than this.
    bytes_above: Option<u64>,
    /// The object is smaller than this.
    bytes_below: Option<u64>,
}

/// When a current object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Expiration {
    /// So many days after it was written; a delete marker that is all that is left of its key, too.
    Days(u32),
    /// At this midnight, in milliseconds since 1970, and from then on as soon as it is there.
    Date(u64),
    /// Never. `true`: a delete marker that is all that is left of its key goes at once.
    LoneMarkers(bool),
}

/// When a version goes that is not current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NoncurrentExpiration {
    /// So many days after another one took its place.
    days: u32,
    /// Not while there are so few newer ones that are not current either.
    newer_kept: Option<u32>,
}

/// How long a day of these rules lasts. S3's is rounded up to the next midnight UTC; a shorter one is for tests of what
/// takes days, and nothing is rounded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(Duration);

/// When a rule will act, in milliseconds since 1970, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<'r> {
    /// When.
    pub millis: u64,
    /// The rule's id.
    pub rule_id: &'r str,
}

/// A version that is not current.
#[derive(Clone, Copy, Debug)]
pub struct Noncurrent<'h> {
    /// `None` for a delete marker.
    pub head: Option<&'h Head>,
    /// When the next newer one was made, in milliseconds since 1970.
    pub since_millis: u64,
    /// How many of the key's versions are newer and not current.
    pub newer_count: u32,
}

impl Day {
    /// S3's.
    pub const S3: Self = Self(Duration::from_secs(24 * 3600));

    /// A day of this length, which is 24 hours at most.
    #[must_use]
    pub fn lasting(length: Duration) -> Self {
        Self(length.min(Self::S3.0))
    }

    /// How long it lasts.
    #[must_use]
    pub const fn length(self) -> Duration {
        self.0
    }

    /// When `days` of them have gone by since `from`; both in milliseconds since 1970.
    fn after(self, from: u64, days: u32) -> u64 {
        let day = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let after = from.saturating_add(day.saturating_mul(u64::from(days)));
        if self == Self::S3 { after.checked_next_multiple_of(day).unwrap_or(u64::MAX) } else { after }
    }
}

impl Lifecycle {
    /// When a current object goes, by the first rule to act.
    #[must_use]
    pub fn expiration(&self, key: &str, head: &Head, day: Day) -> Option<Due<'_>> {
        first(self.about(key, Some(head)).filter_map(|rule| {
            let millis = match rule.expiration? {
                Expiration::Days(days) => day.after(head.modified_millis, days),
                Expiration::Date(millis) => millis,
                Expiration::LoneMarkers(_) => return None,
            };
            Some(Due { millis, rule_id: &rule.id })
        }))
    }

    /// When a delete marker goes that was made at `modified_millis` and is all that is left of its key.
    #[must_use]
    pub fn lone_marker_expiration(&self, key: &str, modified_millis: u64, day: Day) -> Option<Due<'_>> {
        first(self.about(key, None).filter_map(|rule| {
            let millis = match rule.expiration? {
                Expiration::Days(days) => day.after(modified_millis, days),
                Expiration::LoneMarkers(true) => modified_millis,
                Expiration::LoneMarkers(false) | Expiration::Date(_) => return None,
            };
            Some(Due { millis, rule_id: &rule.id })
        }))
    }

    /// When a version goes that is not current, as long as nothing becomes of the newer ones.
    #[must_use]
    pub fn noncurrent_expiration(&self, key: &str, version: Noncurrent<'_>, day: Day) -> Option<Due<'_>> {
        first(self.about(key, version.head).filter_map(|rule| {
            let NoncurrentExpiration { days, newer_kept } = rule.noncurrent?;
            let is_kept = newer_kept.is_some_and(|kept| version.newer_count < kept);
            (!is_kept).then(|| Due { millis: day.after(version.since_millis, days), rule_id: &rule.id })
        }))
    }

    /// When an unfinished upload that was started at `initiated_millis` is aborted.
    #[must_use]
    pub fn abortion(&self, key: &str, initiated_millis: u64, day: Day) -> Option<Due<'_>> {
        first(self.about(key, None).filter_map(|rule| {
            Some(Due { millis: day.after(initiated_millis, rule.abort_days?), rule_id: &rule.id })
        }))
    }

    /// Whether any rule is enabled.
    pub(crate) fn is_active(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_enabled)
    }

    /// How many newer versions matter of one that is not current.
    pub(crate) fn newer_kept_max(&self) -> usize {
        let kept = self.rules.iter().filter_map(|rule| rule.noncurrent?.newer_kept);
        kept.max().map_or(0, |kept| kept as usize)
    }

    /// The prefixes of the keys whose versions any rule may act on.
    pub(crate) fn prefixes_of_versions(&self) -> impl Iterator<Item = &str> {
        self.prefixes(|rule| rule.expiration.is_some() || rule.noncurrent.is_some())
    }

    /// The prefixes of the keys whose unfinished uploads any rule may act on.
    pub(crate) fn prefixes_of_uploads(&self) -> impl Iterator<Item = &str> {
        self.prefixes(|rule| rule.abort_days.is_some())
    }

    /// About as many bytes as the rules take, in memory or on the way.
    #[must_use]
    pub fn estimated_bytes(&self) -> usize {
        self.rules.iter().map(Rule::estimated_bytes).sum()
    }

    fn prefixes(&self, acts: impl Fn(&Rule) -> bool) -> impl Iterator<Item = &str> {
        let rules = self.rules.iter().filter(move |rule| rule.is_enabled && acts(rule));
        rules.map(|rule| rule.filter.prefix())
    }

    /// The rules that hold for a key and what is under it; without a head that is a delete marker or an upload.
    fn about(&self, key: &str, head: Option<&Head>) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.is_enabled && rule.filter.matches(key, head))
    }
}

/// `x-amz-expiration` of a current object, if a rule of its bucket will take it away.
#[must_use]
pub fn expiration_header(facts: &Facts, key: &str, head: &Head, day: Day) -> Option<String> {
    let Due { millis, rule_id } = facts.lifecycle.as_ref()?.expiration(key, head, day)?;
    let rule_id = utf8_percent_encode(rule_id, RULE_ID_ENCODED);
    Some(format!("expiry-date=\"{}\", rule-id=\"{rule_id}\"", http_date(millis)?))
}

/// The one that comes first in time, and of several in the order of the rules.
fn first<'r>(due: impl Iterator<Item = Due<'r>>) -> Option<Due<'r>> {
    due.min_by_key(|due| due.millis)
}

impl Rule {
    const FIXED_BYTES: usize = 256;

    fn estimated_bytes(&self) -> usize {
        let Filter { prefix, tags, .. } = &self.filter;
        // As many bytes again for what holds each text.
        let tags: usize = tags.iter().map(|(key, value)| 48 + key.len() + value.len()).sum();
        Self::FIXED_BYTES + self.id.len() + prefix.as_ref().map_or(0, String::len) + tags
    }
}

impl Filter {
    fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// Whether it asks for what only an object has.
    fn is_of_objects(&self) -> bool {
        !self.tags.is_empty() || self.has_size()
    }

    fn has_size(&self) -> bool {
        self.bytes_above.is_some() || self.bytes_below.is_some()
    }

    fn matches(&self, key: &str, head: Option<&Head>) -> bool {
        key.starts_with(self.prefix())
            && head.map_or(!self.is_of_objects(), |head| {
                self.tags.iter().all(|(key, value)| head.tags.get(key) == Some(value))
                    && self.bytes_above.is_none_or(|bytes| head.bytes > bytes)
                    && self.bytes_below.is_none_or(|bytes| head.bytes < bytes)
            })
    }
}
