//! Rules as S3's document spells them: read with everything that S3 asks of them, and shown as they were put.
//!
//! Two things are not as in S3. A rule that moves objects to another storage class is refused: there is one. And several
//! elements beside each other in a `Filter`, which S3 wants inside an `And`, are taken for what they can only mean.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use s3s::dto::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration, Tag, TagSet,
    Timestamp,
};
use s3s::{S3Error, S3Result, s3_error};

use super::{Expiration, Filter, Lifecycle, NoncurrentExpiration, Rule};
use crate::tags::{self, OBJECT_TAGS_MAX, Tags};

/// S3's limit on rules.
const RULES_MAX: usize = 1000;
/// S3's limit on a rule's name, in characters.
const ID_CHARACTERS_MAX: usize = 255;
/// S3's limit on a key, and so on a prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;
/// S3's limit on versions that are kept by their number.
const NEWER_KEPT_MAX: i32 = 100;
/// What the texts of all rules may come to, in bytes: they travel with every look at the bucket. S3 has no such limit.
const TEXTS_BYTES_MAX: usize = 256 * 1024;

const DAY_MILLIS: u64 = 24 * 3600 * 1000;

impl Lifecycle {
    /// Reads rules; one without a name gets `new_id`'s.
    ///
    /// # Errors
    /// `MalformedXML` for no rules or too many, and for elements that exclude each other or are missing;
    /// `InvalidArgument` for a name or a number out of its limits and for a date that is no midnight; `InvalidTag`;
    /// `InvalidRequest` for a rule that does nothing and for an action that its filter cannot go with; `NotImplemented`
    /// for transitions.
    pub(crate) fn read(
        configuration: BucketLifecycleConfiguration,
        mut new_id: impl FnMut() -> String,
    ) -> S3Result<Self> {
        let rules = configuration.rules;
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(malformed());
        }
        let rules =
            rules.into_iter().map(|rule| Rule::read(rule, &mut new_id)).collect::<S3Result<Vec<_>>>()?;
        let mut ids = HashSet::new();
        if !rules.iter().all(|rule| ids.insert(rule.id.as_str())) {
            return Err(s3_error!(
                InvalidArgument,
                "Rule ID must be unique. Found same ID for more than one rule"
            ));
        }
        let lifecycle = Self { rules };
        if lifecycle.estimated_bytes() > TEXTS_BYTES_MAX + RULES_MAX * Rule::FIXED_BYTES {
            return Err(s3_error!(
                InvalidRequest,
                "The rules' texts may have {TEXTS_BYTES_MAX} bytes altogether."
            ));
        }
        Ok(lifecycle)
    }

    /// The rules as they were put.
    pub(crate) fn shown(&self) -> Vec<LifecycleRule> {
        self.rules.iter().map(Rule::shown).collect()
    }
}

impl Rule {
    fn read(rule: LifecycleRule, new_id: &mut impl FnMut() -> String) -> S3Result<Self> {
        verify_transitions(&rule)?;
        let id = rule.id.filter(|id| !id.is_empty()).unwrap_or_else(new_id);
        if id.chars().count() > ID_CHARACTERS_MAX {
            return Err(s3_error!(
                InvalidArgument,
                "ID length should not exceed allowed limit of {ID_CHARACTERS_MAX}"
            ));
        }
        let is_enabled = match rule.status.as_str() {
            ExpirationStatus::ENABLED => true,
            ExpirationStatus::DISABLED => false,
            _ => return Err(malformed()),
        };
        let has_filter = rule.filter.is_some();
        let abort_days = match rule.abort_incomplete_multipart_upload {
            Some(abort) => Some(days(
                abort.days_after_initiation,
                "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer",
            )?),
            None => None,
        };
        let read = Self {
            id,
            is_enabled,
            filter: Filter::read(rule.prefix, rule.filter)?,
            expiration: rule.expiration.map(Expiration::read).transpose()?,
            noncurrent: rule.noncurrent_version_expiration.map(NoncurrentExpiration::read).transpose()?,
            abort_days,
        };
        read.verify(has_filter)?;
        Ok(read)
    }

    fn verify(&self, has_filter: bool) -> S3Result<()> {
        if self.expiration.is_none() && self.noncurrent.is_none() && self.abort_days.is_none() {
            return Err(s3_error!(InvalidRequest, "At least one action needs to be specified in a rule"));
        }
        // Neither a delete marker nor an unfinished upload has tags or a size, so that nothing would ever be done.
        if self.filter.is_of_objects() {
            let of = if self.filter.has_size() { "object size" } else { "tags" };
            if matches!(self.expiration, Some(Expiration::LoneMarkers(_))) {
                return Err(s3_error!(
                    InvalidRequest,
                    "ExpiredObjectDeleteMarker cannot be specified with {of}."
                ));
            }
            if self.abort_days.is_some() {
                return Err(s3_error!(
                    InvalidRequest,
                    "AbortIncompleteMultipartUpload cannot be specified with {of}."
                ));
            }
        }
        if self.noncurrent.is_some_and(|noncurrent| noncurrent.newer_kept.is_some()) && !has_filter {
            return Err(s3_error!(
                InvalidRequest,
                "Filter element is required to specify NewerNoncurrentVersions"
            ));
        }
        Ok(())
    }

    fn shown(&self) -> LifecycleRule {
        let status = if self.is_enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
        let (prefix, filter) = self.filter.shown();
        LifecycleRule {
            id: Some(self.id.clone()),
            status: ExpirationStatus::from_static(status),
            prefix,
            filter,
            expiration: self.expiration.map(Expiration::shown),
            noncurrent_version_expiration: self.noncurrent.map(|noncurrent| NoncurrentVersionExpiration {
                noncurrent_days: shown(noncurrent.days),
                newer_noncurrent_versions: noncurrent.newer_kept.and_then(shown),
            }),
            abort_incomplete_multipart_upload: self
                .abort_days
                .map(|days| AbortIncompleteMultipartUpload { days_after_initiation: shown(days) }),
            noncurrent_version_transitions: None,
            transitions: None,
        }
    }
}

impl Expiration {
    fn read(expiration: LifecycleExpiration) -> S3Result<Self> {
        let LifecycleExpiration { date, days, expired_object_delete_marker } = expiration;
        match (days, date, expired_object_delete_marker) {
            (Some(_), None, None) => {
                self::days(days, "'Days' for Expiration action must be a positive integer").map(Self::Days)
            }
            (None, Some(date), None) => midnight(date).map(Self::Date),
            (None, None, Some(removes)) => Ok(Self::LoneMarkers(removes)),
            _ => Err(malformed()),
        }
    }

    fn shown(self) -> LifecycleExpiration {
        let none = LifecycleExpiration::default();
        match self {
            Self::Days(days) => LifecycleExpiration { days: shown(days), ..none },
            Self::Date(millis) => {
                let date = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
                LifecycleExpiration { date: Some(Timestamp::from(date)), ..none }
            }
            Self::LoneMarkers(removes) => {
                LifecycleExpiration { expired_object_delete_marker: Some(removes), ..none }
            }
        }
    }
}

impl NoncurrentExpiration {
    fn read(expiration: NoncurrentVersionExpiration) -> S3Result<Self> {
        let days = days(
            Some(expiration.noncurrent_days.ok_or_else(malformed)?),
            "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer",
        )?;
        let newer_kept = match expiration.newer_noncurrent_versions {
            None => None,
            Some(kept) if (1..=NEWER_KEPT_MAX).contains(&kept) => Some(kept.unsigned_abs()),
            Some(_) => {
                return Err(s3_error!(
                    InvalidArgument,
                    "'NewerNoncurrentVersions' must be an integer between 1 and {NEWER_KEPT_MAX}"
                ));
            }
        };
        Ok(Self { days, newer_kept })
    }
}

impl Filter {
    fn read(prefix: Option<String>, filter: Option<LifecycleRuleFilter>) -> S3Result<Self> {
        let read = match (prefix, filter) {
            (Some(prefix), None) => Self { is_bare_prefix: true, prefix: Some(prefix), ..Self::default() },
            (None, Some(filter)) => Self::read_elements(filter)?,
            (Some(_), Some(_)) | (None, None) => return Err(malformed()),
        };
        if read.prefix().len() > PREFIX_BYTES_MAX {
            return Err(s3_error!(InvalidRequest, "The maximum size of a prefix is {PREFIX_BYTES_MAX}."));
        }
        if let (Some(above), Some(below)) = (read.bytes_above, read.bytes_below)
            && above >= below
        {
            return Err(s3_error!(
                InvalidRequest,
                "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
            ));
        }
        Ok(read)
    }

    fn read_elements(filter: LifecycleRuleFilter) -> S3Result<Self> {
        let LifecycleRuleFilter { and, object_size_greater_than, object_size_less_than, prefix, tag } =
            filter;
        let beside = LifecycleRuleAndOperator {
            object_size_greater_than,
            object_size_less_than,
            prefix,
            tags: tag.map(|tag| vec![tag]),
        };
        let beside = Self::read_and(beside)?;
        let Some(and) = and else { return Ok(beside) };
        let within = Self::read_and(and)?;
        if within.elements_count() < 2 && beside.elements_count() == 0 {
            return Err(malformed());
        }
        within.joined(beside)
    }

    fn read_and(and: LifecycleRuleAndOperator) -> S3Result<Self> {
        Ok(Self {
            is_bare_prefix: false,
            prefix: and.prefix,
            tags: read_tags(and.tags.unwrap_or_default())?,
            bytes_above: and.object_size_greater_than.map(|bytes| size(bytes, 0)).transpose()?,
            bytes_below: and.object_size_less_than.map(|bytes| size(bytes, 1)).transpose()?,
        })
    }

    /// Whatever both are about.
    ///
    /// # Errors
    /// `MalformedXML` where they say the same thing differently.
    fn joined(self, other: Self) -> S3Result<Self> {
        let prefix = match (self.prefix, other.prefix) {
            (Some(one), Some(other)) if one.starts_with(&other) => Some(one),
            (Some(one), Some(other)) if other.starts_with(&one) => Some(other),
            (Some(_), Some(_)) => return Err(malformed()),
            (one, other) => one.or(other),
        };
        let either = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(_), Some(_)) => Err(malformed()),
            (one, other) => Ok(one.or(other)),
        };
        Ok(Self {
            is_bare_prefix: false,
            prefix,
            tags: tags::verify(self.tags.into_iter().chain(other.tags), OBJECT_TAGS_MAX)?,
            bytes_above: either(self.bytes_above, other.bytes_above)?,
            bytes_below: either(self.bytes_below, other.bytes_below)?,
        })
    }

    fn elements_count(&self) -> usize {
        let others = [self.prefix.is_some(), self.bytes_above.is_some(), self.bytes_below.is_some()];
        self.tags.len() + others.into_iter().filter(|is_there| *is_there).count()
    }

    /// The bare prefix, or else the filter.
    fn shown(&self) -> (Option<String>, Option<LifecycleRuleFilter>) {
        let Self { is_bare_prefix, prefix, tags, bytes_above, bytes_below } = self;
        if *is_bare_prefix {
            return (prefix.clone(), None);
        }
        let mut tags: TagSet = tags.iter().map(|(key, value)| shown_tag(key, value)).collect();
        let object_size_greater_than = bytes_above.and_then(|bytes| bytes.try_into().ok());
        let object_size_less_than = bytes_below.and_then(|bytes| bytes.try_into().ok());
        let filter = if self.elements_count() < 2 {
            LifecycleRuleFilter {
                and: None,
                object_size_greater_than,
                object_size_less_than,
                prefix: prefix.clone(),
                tag: tags.pop(),
            }
        } else {
            let and = LifecycleRuleAndOperator {
                object_size_greater_than,
                object_size_less_than,
                prefix: prefix.clone(),
                tags: Some(tags).filter(|tags| !tags.is_empty()),
            };
            LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() }
        };
        (None, Some(filter))
    }
}

/// What is wrong with a transition is told before that there are none here.
fn verify_transitions(rule: &LifecycleRule) -> S3Result<()> {
    let transitions = rule.transitions.as_deref().unwrap_or_default();
    for date in transitions.iter().filter_map(|transition| transition.date.clone()) {
        midnight(date)?;
    }
    if transitions.is_empty() && rule.noncurrent_version_transitions.as_ref().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    Err(s3_error!(NotImplemented, "There is one storage class: rules cannot move objects to another."))
}

fn read_tags(tags: TagSet) -> S3Result<Tags> {
    let pairs = tags
        .into_iter()
        .map(|Tag { key, value }| Ok((key.ok_or_else(malformed)?, value.unwrap_or_default())));
    tags::verify(pairs.collect::<S3Result<Vec<_>>>()?, OBJECT_TAGS_MAX)
}

fn shown_tag(key: &str, value: &str) -> Tag {
    Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

fn days(days: Option<i32>, otherwise: &'static str) -> S3Result<u32> {
    match days.ok_or_else(malformed)? {
        days @ 1.. => Ok(days.unsigned_abs()),
        _ => Err(s3_error!(InvalidArgument, "{otherwise}")),
    }
}

fn shown(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

fn midnight(date: Timestamp) -> S3Result<u64> {
    let date = time::OffsetDateTime::from(date);
    let days = u64::try_from(date.unix_timestamp() / (24 * 3600)).ok();
    match days.filter(|_| date.to_offset(time::UtcOffset::UTC).time() == time::Time::MIDNIGHT) {
        Some(days) => Ok(days * DAY_MILLIS),
        None => Err(s3_error!(InvalidArgument, "'Date' must be at midnight GMT")),
    }
}

fn size(bytes: i64, least: u64) -> S3Result<u64> {
    u64::try_from(bytes).ok().filter(|bytes| *bytes >= least).ok_or_else(|| {
        s3_error!(InvalidArgument, "An object size of a filter must be a number of bytes, {least} at least")
    })
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}
