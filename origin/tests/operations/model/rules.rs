//! Lifecycle rules as the map understands them: in whole days, at noon of each.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use serde::{Deserialize, Serialize};

use super::map::Entry;

/// Two rules at most, and none as often as one.
const RULES_MAX: usize = 2;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    is_enabled: bool,
    prefix: String,
    is_of_tagged: bool,
    bytes_above: Option<usize>,
    expiration: Expiration,
    noncurrent: Option<Noncurrent>,
    abort_days: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Expiration {
    #[default]
    None,
    Days(u64),
    /// At the midnight before this noon.
    Date(u64),
    LoneMarkers,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Noncurrent {
    days: u64,
    newer_kept: Option<usize>,
}

pub(super) fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 0..=RULES_MAX).prop_map(|mut rules| {
        let ids = rules.iter_mut().map(|rule| &mut rule.id).enumerate();
        ids.for_each(|(place, id)| *id = format!("{place}-{id}"));
        rules
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let about = (
        any::<u32>(),
        prop::bool::weighted(0.9),
        prop::sample::select(&["", "a", "a/", "b"][..]),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, Just(16 * 1024)),
    );
    let expiration = prop_oneof![
        2 => Just(Expiration::None),
        2 => (1..4_u64).prop_map(Expiration::Days),
        1 => (0..8_u64).prop_map(Expiration::Date),
        1 => Just(Expiration::LoneMarkers),
    ];
    let noncurrent = (1..4_u64, prop::option::of(1..3_usize));
    let noncurrent = noncurrent.prop_map(|(days, newer_kept)| Noncurrent { days, newer_kept });
    (about, expiration, prop::option::of(noncurrent), prop::option::of(1..3_u64)).prop_map(
        |((id, is_enabled, prefix, is_of_tagged, bytes_above), expiration, noncurrent, abort_days)| {
            let rule = Rule {
                id: id.to_string(),
                is_enabled,
                prefix: prefix.to_owned(),
                is_of_tagged,
                bytes_above,
                expiration,
                noncurrent,
                abort_days,
            };
            rule.acceptable()
        },
    )
}

impl Rule {
    /// The rule as far as S3 takes it: it does something, and markers and uploads have neither tags nor a size.
    fn acceptable(mut self) -> Self {
        if self.is_of_objects() {
            self.abort_days = None;
            if self.expiration == Expiration::LoneMarkers {
                self.expiration = Expiration::None;
            }
        }
        if self.expiration == Expiration::None && self.noncurrent.is_none() && self.abort_days.is_none() {
            self.expiration = Expiration::Days(1);
        }
        self
    }

    /// What listings of rules show of it.
    pub(super) fn named(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    pub(super) fn document(rules: &[Self]) -> String {
        let rules: String = rules.iter().map(Self::element).collect();
        format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
    }

    fn element(&self) -> String {
        let Self { id, prefix, .. } = self;
        let status = if self.is_enabled { "Enabled" } else { "Disabled" };
        let tag = if self.is_of_tagged { "<Tag><Key>k</Key><Value>v</Value></Tag>" } else { "" };
        let size = self.bytes_above.map_or_else(String::new, |bytes| {
            format!("<ObjectSizeGreaterThan>{bytes}</ObjectSizeGreaterThan>")
        });
        let filter = format!("<Prefix>{prefix}</Prefix>{tag}{size}");
        let filter = if self.is_of_objects() { format!("<And>{filter}</And>") } else { filter };
        let expiration = match self.expiration {
            Expiration::None => String::new(),
            Expiration::Days(days) => format!("<Expiration><Days>{days}</Days></Expiration>"),
            // Day 0 is that on which every region starts.
            Expiration::Date(day) => {
                format!("<Expiration><Date>2026-11-{}T00:00:00Z</Date></Expiration>", 22 + day)
            }
            Expiration::LoneMarkers => {
                "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
                    .to_owned()
            }
        };
        let noncurrent = self.noncurrent.map_or_else(String::new, |Noncurrent { days, newer_kept }| {
            let kept = newer_kept.map_or_else(String::new, |kept| {
                format!("<NewerNoncurrentVersions>{kept}</NewerNoncurrentVersions>")
            });
            format!(
                "<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays>{kept}</NoncurrentVersionExpiration>"
            )
        });
        let abort = self.abort_days.map_or_else(String::new, |days| {
            format!(
                "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
            )
        });
        format!(
            "<Rule><ID>{id}</ID><Status>{status}</Status><Filter>{filter}</Filter>{expiration}{noncurrent}{abort}</Rule>"
        )
    }

    fn is_of_objects(&self) -> bool {
        self.is_of_tagged || self.bytes_above.is_some()
    }

    fn is_about(&self, key: &str, entry: Option<&Entry>) -> bool {
        let matches = match entry.and_then(|entry| Some((entry, entry.body?))) {
            Some((entry, body)) => {
                (entry.is_tagged || !self.is_of_tagged)
                    && self.bytes_above.is_none_or(|bytes| body.bytes > bytes)
            }
            None => !self.is_of_objects(),
        };
        self.is_enabled && key.starts_with(&self.prefix) && matches
    }

    /// Whether a current object of `key` goes on `day`.
    pub(super) fn expires(&self, key: &str, current: &Entry, day: u64) -> bool {
        let is_over = match self.expiration {
            Expiration::Days(days) => is_over(current.day, days, day),
            Expiration::Date(date) => date <= day,
            Expiration::None | Expiration::LoneMarkers => false,
        };
        is_over && self.is_about(key, Some(current))
    }

    /// Whether a delete marker goes on `day` that is all there is of `key`.
    pub(super) fn removes_lone(&self, key: &str, marker: &Entry, day: u64) -> bool {
        let is_over = match self.expiration {
            Expiration::Days(days) => is_over(marker.day, days, day),
            Expiration::LoneMarkers => true,
            Expiration::None | Expiration::Date(_) => false,
        };
        is_over && self.is_about(key, None)
    }

    /// Whether a version goes on `day` that is not current, after `newer_count` others of which that is true.
    pub(super) fn removes(&self, key: &str, version: &Entry, newer_count: usize, day: u64) -> bool {
        let since = version.since.expect("another one took its place");
        let is_due = self.noncurrent.is_some_and(|Noncurrent { days, newer_kept }| {
            is_over(since, days, day) && newer_kept.is_none_or(|kept| newer_count >= kept)
        });
        is_due && self.is_about(key, Some(version))
    }

    /// Whether an unfinished upload to `key` is aborted on `day` that was started on `started`.
    pub(super) fn aborts(&self, key: &str, started: u64, day: u64) -> bool {
        self.abort_days.is_some_and(|days| is_over(started, days, day)) && self.is_about(key, None)
    }
}

/// Whether `days` have gone by since noon of `from`, and the midnight after them.
fn is_over(from: u64, days: u64, day: u64) -> bool {
    day > from + days
}
