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
use crate::client::Client;
use crate::coherence::node;
use crate::coherence::scope::Subject;
use crate::coherence::{Kept, Unanswered, Use};
use crate::misses::Misses;
use crate::peer::messages::FullHead;

/// An object, by the names that a request gives.
#[derive(Clone, Debug)]
pub(super) struct ObjectName {
    pub(super) bucket: String,
    pub(super) key: String,
    /// `None` for the newest version.
    pub(super) version: Option<String>,
}

impl ObjectName {
    /// What its owner is asked about.
    pub(super) fn subject(&self) -> Subject {
        Subject::Object {
            bucket: self.bucket.as_str().into(),
            key: self.key.as_str().into(),
            version: self.version.as_deref().map(Into::into),
        }
    }
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
    /// Past its limit a client is answered as before; what it asks is asked each time, and nothing of it is kept.
    misses: Misses,
}

impl Heads {
    /// Nobody has missed anything yet.
    pub(super) fn new() -> Self {
        Self { misses: Misses::new() }
    }

    /// The object `name` as `owner` has it at a moment after this call. Looks at what is kept, and keeps what comes, as
    /// `mode` says; of what is not there, what `client` may have kept. The inner error is what the owner says of the object.
    ///
    /// # Errors
    /// 503 when the owner does not answer.
    pub(super) async fn current(
        &self,
        owner: &Owner,
        name: &ObjectName,
        mode: Mode,
        client: Client,
    ) -> S3Result<S3Result<Found>> {
        let how = match mode {
            Mode::Fill if self.misses.has_room(client).await => Use::LookAndKeep,
            Mode::Fill | Mode::LookOnly => Use::LookOnly,
            Mode::Bypass => Use::AskOnly,
        };
        let found = match owner {
            Owner::Own { store, kept, .. } => {
                kept.object(store, &name.bucket, &name.key, name.version.as_deref(), how).await
            }
            Owner::Peer { objects, .. } => match objects.find(name.subject(), how).await {
                Err(unanswered @ Unanswered::Asking(_)) => return Err(unanswered.into()),
                found => found.map_err(S3Error::from),
            },
        };
        let found = match found {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        self.note_miss(&found, how, client).await;
        let (object, marker) = match found.value {
            Some(Kept::Marker(marker)) => (None, Some(marker.marker.clone())),
            value => (value.and_then(Kept::into_head), None),
        };
        let was_known = found.was_held && object.is_some() && mode != Mode::Bypass;
        Ok(Ok(Found { facts: found.facts.and_then(Kept::into_facts), object, marker, was_known }))
    }

    /// A bucket's facts as `owner` has them after this call; `None` if there is no such bucket.
    ///
    /// # Errors
    /// When the owner cannot be asked, or refuses.
    pub(super) async fn facts(
        &self,
        owner: &Owner,
        bucket: &str,
        client: Client,
    ) -> S3Result<Option<Arc<Facts>>> {
        let how = if self.misses.has_room(client).await { Use::LookAndKeep } else { Use::LookOnly };
        let found = owner.find_facts(bucket, how).await?;
        self.note_miss(&found, how, client).await;
        Ok(found.value.and_then(Kept::into_facts))
    }

    /// Charges `client` for what it has had kept of what is not there; what was held already costs nothing more.
    async fn note_miss(&self, found: &node::Found<Kept>, how: Use, client: Client) {
        if how == Use::LookAndKeep && found.value.is_none() && !found.was_held {
            self.misses.note(client).await;
        }
    }
}

#[cfg(test)]
mod tests;
