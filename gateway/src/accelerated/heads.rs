//! What is true of an object now: what its owner said and has not taken back, or what it says when asked.
//!
//! Another region's objects are what its [`Follower`](crate::coherence::Follower) says: kept heads and facts while its
//! session lives, without a message to anybody, and asked for otherwise. This region's own are kept
//! [beside the store](crate::coherence::Own), whose changes take them away.

use std::sync::Arc;

use cache::Mode;
use origin::head::{DeleteMarker, Facts};
use s3s::{S3Error, S3Result};

use super::owner::Owner;
use crate::coherence::scope::Subject;
use crate::coherence::{Kept, Unanswered, Use};
use crate::peer::messages::FullHead;

/// An object, by the names that a request gives.
#[derive(Clone, Debug)]
pub(super) struct ObjectName {
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

/// The object `name` as `owner` has it at a moment after this call. Looks at what is kept, and keeps what comes, as `mode`
/// says. The inner error is what the owner says of the object.
///
/// # Errors
/// 503 when the owner does not answer.
pub(super) async fn current(owner: &Owner, name: &ObjectName, mode: Mode) -> S3Result<S3Result<Found>> {
    let ObjectName { bucket, key, version } = name;
    let version = version.as_deref();
    let how = match mode {
        Mode::Fill => Use::LookAndKeep,
        Mode::LookOnly => Use::LookOnly,
        Mode::Bypass => Use::AskOnly,
    };
    let found = match owner {
        Owner::Own { store, kept, .. } => kept.object(store, bucket, key, version, how).await,
        Owner::Peer { objects, .. } => {
            let subject = Subject::Object {
                bucket: bucket.as_str().into(),
                key: key.as_str().into(),
                version: version.map(Into::into),
            };
            match objects.find(subject, how).await {
                Err(unanswered @ Unanswered::Asking(_)) => return Err(unanswered.into()),
                found => found.map_err(S3Error::from),
            }
        }
    };
    Ok(found.map(|found| {
        let (object, marker) = match found.value {
            Some(Kept::Marker(marker)) => (None, Some(marker.marker.clone())),
            value => (value.and_then(Kept::into_head), None),
        };
        let was_known = found.was_held && object.is_some() && mode != Mode::Bypass;
        Found { facts: found.facts.and_then(Kept::into_facts), object, marker, was_known }
    }))
}

#[cfg(test)]
mod tests;
