//! What is true of an object now: from its owner's session, or out of this process's own store.
//!
//! Another region's objects are what its [`Follower`](crate::coherence::Follower) says: kept heads and facts while its
//! session lives, without a message to anybody, and asked for otherwise. This region's own are read in the store each
//! time; heads are remembered here only to tell whether an object is one that this node has seen, and never believed.

use std::sync::Arc;

use cache::Mode;
use moka::future::Cache;
use origin::head::{DeleteMarker, Facts};
use origin::instance::Instance;
use s3s::S3Result;

use super::owner::Owner;
use crate::coherence::scope::Subject;
use crate::coherence::{Kept, Unanswered, Use};
use crate::peer::messages::FullHead;
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
    /// The object's head was held here already.
    pub(super) was_known: bool,
}

/// Finds objects.
pub(super) struct Heads {
    /// Revisions of this region's own heads, as last seen.
    seen: Cache<ObjectName, Instance>,
}

/// What a remembered revision takes beside its name.
const SEEN_BYTES: usize = 200;

impl Heads {
    /// Remembers at most `bytes_max` of what was seen of this region's own.
    pub(super) fn new(bytes_max: u64) -> Self {
        let seen = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|name: &ObjectName, _: &Instance| {
                u32::try_from(name.bucket.len() + name.key.len() + SEEN_BYTES).unwrap_or(u32::MAX)
            })
            .build();
        Self { seen }
    }

    /// The object `name` as `owner` has it at a moment after this call. Looks at what is kept, and keeps what comes, as
    /// `mode` says. The inner error is what the owner says of the object.
    ///
    /// # Errors
    /// 503 when the owner does not answer.
    pub(super) async fn current(
        &self,
        owner: &Owner,
        name: &ObjectName,
        mode: Mode,
    ) -> S3Result<S3Result<Found>> {
        match owner {
            Owner::Own { store, .. } => {
                let resolved = match store.resolve(&name.bucket, &name.key, name.version.as_deref()).await {
                    Ok(resolved) => resolved,
                    Err(refused) => return Ok(Err(refused)),
                };
                let inline = resolved.inline;
                let object = resolved.head.map(|head| Arc::new(FullHead { head, inline }));
                let was_known = self.was_seen(name, object.as_deref(), mode).await;
                let (facts, marker) = (resolved.facts.map(Arc::new), resolved.marker);
                Ok(Ok(Found { facts, object, marker, was_known }))
            }
            Owner::Peer { objects, .. } => {
                let subject = Subject::Object {
                    bucket: name.bucket.as_str().into(),
                    key: name.key.as_str().into(),
                    version: name.version.as_deref().map(Into::into),
                };
                let how = match mode {
                    Mode::Fill => Use::LookAndKeep,
                    Mode::LookOnly => Use::LookOnly,
                    Mode::Bypass => Use::AskOnly,
                };
                match objects.find(subject, how).await {
                    Ok(found) => {
                        let (object, marker) = match found.value {
                            Some(Kept::Marker(marker)) => (None, Some(marker.marker.clone())),
                            value => (value.and_then(Kept::into_head), None),
                        };
                        let was_known = found.was_held && object.is_some() && mode != Mode::Bypass;
                        let facts = found.facts.and_then(Kept::into_facts);
                        Ok(Ok(Found { facts, object, marker, was_known }))
                    }
                    Err(refused @ Unanswered::Refused(_)) => Ok(Err(refused.into())),
                    Err(unanswered @ Unanswered::Asking(_)) => Err(unanswered.into()),
                }
            }
        }
    }

    /// Whether this very head was seen here before.
    async fn was_seen(&self, name: &ObjectName, object: Option<&FullHead>, mode: Mode) -> bool {
        let revision = object.map(|object| object.head.revision);
        let was_seen = match mode {
            Mode::Fill | Mode::LookOnly => revision.is_some() && self.seen.get(name).await == revision,
            Mode::Bypass => false,
        };
        match revision {
            Some(revision) if mode == Mode::Fill && !was_seen => {
                self.seen.insert(name.clone(), revision).await;
            }
            None if mode == Mode::Fill => self.seen.invalidate(name).await,
            _ => {}
        }
        was_seen
    }
}

#[cfg(test)]
mod tests;
