//! What is true of an object now: heads and facts kept here, and confirmed by their owner before each use.
//!
//! Freshness is *validate*: every call asks the owner, naming the revisions that are held here, so that an unchanged
//! object costs a small answer. An answer serves only those who had asked before its question left; the queue in
//! front of the owner sees to that ([`peer`](crate::peer)). What is kept here is therefore never believed by itself,
//! and a stale entry costs one longer answer and nothing else. "There is no such object" is asked for each time too,
//! and is small enough not to be kept.

use std::sync::Arc;

use cache::Mode;
use moka::future::Cache;
use origin::head::{DeleteMarker, Facts};
use origin::regional::UserRow;
use s3s::{S3Result, s3_error};

use super::owner::Owner;
use crate::peer::messages::{Answer, Ask, FullHead, ObjectAsk, Told, failure};
use crate::topology::RegionName;

/// An object, by the names that a request gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectName {
    pub(super) region: RegionName,
    pub(super) bucket: String,
    pub(super) key: String,
    /// `None` for the newest version.
    pub(super) version: Option<String>,
}

/// An object as it was at one moment after it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// `None`: there is no such bucket.
    pub(super) facts: Option<Arc<Facts>>,
    /// `None`: there is no such object.
    pub(super) object: Option<Arc<FullHead>>,
    /// The delete marker that is there instead.
    pub(super) marker: Option<DeleteMarker>,
    /// The object's head was held here already and its owner confirmed it.
    pub(super) was_known: bool,
}

/// What an owner says of an object and, when it was asked, of a user; the user is looked at after the object.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) found: S3Result<Found>,
    /// `None` when no user was asked for.
    pub(super) user: Option<S3Result<Option<UserRow>>>,
}

/// Heads and facts, bounded by the bytes they take.
pub(super) struct Heads {
    objects: Cache<ObjectName, Arc<FullHead>>,
    facts: Cache<(RegionName, String), Arc<Facts>>,
}

impl Heads {
    /// Keeps at most `bytes_max` of heads, small objects' bytes included.
    pub(super) fn new(bytes_max: u64) -> Self {
        /// A bucket's facts take half a kilobyte, and 125 with the largest policy and list.
        const FACTS_BYTES_MAX: u64 = 32 << 20;
        let objects = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|name: &ObjectName, object: &Arc<FullHead>| {
                let bytes = name.bucket.len() + name.key.len() + object.estimated_bytes();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        let facts = Cache::builder()
            .max_capacity(FACTS_BYTES_MAX)
            .weigher(|(_, bucket): &(RegionName, String), facts: &Arc<Facts>| {
                u32::try_from(bucket.len() + facts.estimated_bytes()).unwrap_or(u32::MAX)
            })
            .build();
        Self { objects, facts }
    }

    /// The object `name` as `owner` has it at a moment after this call, and the user of `access_key` there when one
    /// is given. Looks at what is held and keeps what comes as `mode` says.
    ///
    /// # Errors
    /// 503 when the owner does not answer. What the owner says of the object or of the user alone is in [`Current`].
    pub(super) async fn current(
        &self,
        owner: &Owner,
        name: &ObjectName,
        access_key: Option<&str>,
        mode: Mode,
    ) -> S3Result<Current> {
        let held = match mode {
            Mode::Fill | Mode::LookOnly => self.held(name).await,
            Mode::Bypass => Held::default(),
        };
        let mut asks = vec![Ask::Object(ObjectAsk {
            bucket: name.bucket.clone(),
            key: name.key.clone(),
            version: name.version.clone(),
            known_head: held.object.as_ref().map(|object| object.head.revision),
            known_facts: held.facts.as_ref().map(|facts| facts.revision),
        })];
        asks.extend(access_key.map(|key| Ask::User { access_key: key.to_owned() }));
        let mut answers = owner.ask(asks).await?.into_iter();
        let found = found(answers.next(), held);
        if let (Ok(found), Mode::Fill) = (&found, mode) {
            self.keep(name, found).await;
        }
        Ok(Current { found, user: access_key.map(|_| user(answers.next())) })
    }

    async fn held(&self, name: &ObjectName) -> Held {
        let bucket = (name.region.clone(), name.bucket.clone());
        Held { facts: self.facts.get(&bucket).await, object: self.objects.get(name).await }
    }

    async fn keep(&self, name: &ObjectName, found: &Found) {
        if !found.was_known {
            match &found.object {
                Some(object) => self.objects.insert(name.clone(), object.clone()).await,
                None => self.objects.invalidate(name).await,
            }
        }
        let bucket = (name.region.clone(), name.bucket.clone());
        match &found.facts {
            Some(facts) => self.facts.insert(bucket, facts.clone()).await,
            None => self.facts.invalidate(&bucket).await,
        }
    }
}

/// What was held when the question was put: an answer of "same" means exactly this.
#[derive(Default)]
struct Held {
    facts: Option<Arc<Facts>>,
    object: Option<Arc<FullHead>>,
}

fn found(answer: Option<Answer>, held: Held) -> S3Result<Found> {
    match answer {
        Some(Answer::Object { facts, head, marker }) => {
            let was_known = matches!(head, Told::Same);
            if let Told::Is(full) = &head
                && full.inline.as_ref().is_some_and(|page| !page.is_intact())
            {
                return Err(s3_error!(InternalError, "a small object's bytes were damaged on the way"));
            }
            let (facts, object) = (told(facts, held.facts)?, told(head, held.object)?);
            Ok(Found { facts, object, marker, was_known })
        }
        Some(Answer::Failed { code, message }) => Err(failure(&code, message)),
        _ => Err(s3_error!(InternalError, "answer of another kind than the question")),
    }
}

fn user(answer: Option<Answer>) -> S3Result<Option<UserRow>> {
    match answer {
        Some(Answer::User(user)) => Ok(user),
        Some(Answer::Failed { code, message }) => Err(failure(&code, message)),
        _ => Err(s3_error!(InternalError, "answer of another kind than the question")),
    }
}

fn told<T>(told: Told<impl Into<Arc<T>>>, held: Option<Arc<T>>) -> S3Result<Option<Arc<T>>> {
    match told {
        Told::Same => held
            .map(Some)
            .ok_or_else(|| s3_error!(InternalError, "owner confirms what it was not asked about")),
        Told::Is(value) => Ok(Some(value.into())),
        Told::Absent => Ok(None),
    }
}

#[cfg(test)]
mod tests;
