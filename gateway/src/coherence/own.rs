//! What this process's own store says, kept without a session: whoever changes it is in this process too.
//!
//! Where reader and owner are one process there is nothing to send, no lease to run out, and nobody for a change to wait for:
//! what it makes old is gone before it is announced to others, and so before it is committed. A reader that looked just
//! before that had asked before the commit. What remains is rule 1: what was read of the store while a change of it was
//! announced and not over serves those who asked, and is not kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use origin::head::Facts;
use origin::regional::{RegionalStore, Resolved};
use s3s::S3Result;

use super::follow::Use;
use super::kept::Kept;
use super::node::{self, Found};
use super::numbers::SessionId;
use super::room::{Keeper, Room};
use super::scope::{Scope, Subject};
use crate::peer::messages::FullHead;

/// What is kept is kept under a session; here there is but one, which never ends.
const ALWAYS: SessionId = SessionId([0; 16]);

/// Heads, facts and users of this process's own store.
pub struct Own {
    state: Mutex<State>,
    room: Arc<Room>,
}

struct State {
    kept: node::Kept<Kept>,
    /// Changes that are announced and not over.
    changing: BTreeMap<u64, Scope>,
    /// Reads of the store under way.
    reading: BTreeMap<u64, Read>,
    last: u64,
}

/// Whether it is kept that there is no such thing. Whoever makes up names shall not push out what others read: where nobody
/// counts what a client has had kept of these, it is not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    Kept,
    NotKept,
}

struct Read {
    subject: Subject,
    /// A change of it was announced before the read opened and was not over, or has been since.
    is_overlapped: bool,
}

impl Own {
    /// Keeps what there is room for. Every change of the store has to be [`announced`](Self::announced) here: where that is
    /// not so, no room keeps nothing.
    pub(crate) fn new(room: &Arc<Room>) -> Arc<Self> {
        let state = State {
            kept: node::Kept::new(room.bytes_max()),
            changing: BTreeMap::new(),
            reading: BTreeMap::new(),
            last: 0,
        };
        let own = Arc::new(Self { state: Mutex::new(state), room: room.clone() });
        let keeper: Weak<Self> = Arc::downgrade(&own);
        room.join(keeper);
        own
    }

    /// The head of an object and its bucket's facts, as `store` has them at a moment after this call.
    ///
    /// # Errors
    /// Those of [`RegionalStore::resolve`].
    pub(crate) async fn object(
        self: &Arc<Self>,
        store: &RegionalStore,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        how: Use,
    ) -> S3Result<Found<Kept>> {
        let subject =
            Subject::Object { bucket: bucket.into(), key: key.into(), version: version.map(Into::into) };
        self.find(&subject, how, Absence::Kept, async || {
            let Resolved { facts, head, marker, inline } = store.resolve(bucket, key, version).await?;
            let facts = facts.map(|facts| Kept::Facts(Arc::new(facts)));
            let value = match (head, marker) {
                (Some(head), _) => Some(Kept::Head(Arc::new(FullHead { head, inline }))),
                (None, marker) => marker.map(Kept::marker),
            };
            Ok(Found { facts, value, was_held: false })
        })
        .await
    }

    /// The facts of `bucket`, as `store` has them at a moment after this call.
    ///
    /// # Errors
    /// Those of [`RegionalStore::facts`].
    pub(crate) async fn facts(
        self: &Arc<Self>,
        store: &RegionalStore,
        bucket: &str,
        how: Use,
    ) -> S3Result<Found<Kept>> {
        self.find_facts(store, bucket, how, Absence::Kept).await
    }

    /// The same for anybody at the store's door, where it is looked for and kept; that there is no such bucket is not kept.
    ///
    /// # Errors
    /// Those of [`RegionalStore::facts`].
    pub(crate) async fn facts_at_door(
        self: &Arc<Self>,
        store: &RegionalStore,
        bucket: &str,
    ) -> S3Result<Option<Arc<Facts>>> {
        let found = self.find_facts(store, bucket, Use::LookAndKeep, Absence::NotKept).await?;
        Ok(found.value.and_then(Kept::into_facts))
    }

    async fn find_facts(
        self: &Arc<Self>,
        store: &RegionalStore,
        bucket: &str,
        how: Use,
        absence: Absence,
    ) -> S3Result<Found<Kept>> {
        let subject = Subject::Facts { bucket: bucket.into() };
        self.find(&subject, how, absence, async || {
            let facts = store.facts(bucket).await?;
            let value = facts.map(|facts| Kept::Facts(Arc::new(facts)));
            Ok(Found { facts: None, value, was_held: false })
        })
        .await
    }

    /// The user of `access_key`, as `store` has it at a moment after this call.
    ///
    /// # Errors
    /// Those of [`RegionalStore::user`].
    pub(crate) async fn user(
        self: &Arc<Self>,
        store: &RegionalStore,
        access_key: &str,
    ) -> S3Result<Found<Kept>> {
        let subject = Subject::User { access_key: access_key.into() };
        self.find(&subject, Use::LookAndKeep, Absence::NotKept, async || {
            let value = store.user(access_key).await?.map(Kept::user);
            Ok(Found { facts: None, value, was_held: false })
        })
        .await
    }

    async fn find(
        self: &Arc<Self>,
        subject: &Subject,
        how: Use,
        absence: Absence,
        read: impl AsyncFnOnce() -> S3Result<Found<Kept>>,
    ) -> S3Result<Found<Kept>> {
        if how != Use::AskOnly
            && let Some(found) = self.look(subject)
        {
            return Ok(found);
        }
        let reading = (how == Use::LookAndKeep).then(|| self.begin_to_read(subject));
        let found = read().await?;
        if let Some(reading) = reading
            && (found.value.is_some() || absence == Absence::Kept)
        {
            reading.keep(&found);
            self.room.settle();
        }
        Ok(found)
    }

    /// What is kept of `subject`; asks nobody.
    pub(crate) fn look(&self, subject: &Subject) -> Option<Found<Kept>> {
        self.lock().kept.found(subject, Some(ALWAYS))
    }

    fn begin_to_read(self: &Arc<Self>, subject: &Subject) -> Reading {
        let mut state = self.lock();
        let is_overlapped = state.changing.values().any(|scope| scope.touches(subject));
        state.last += 1;
        let no = state.last;
        state.reading.insert(no, Read { subject: subject.clone(), is_overlapped });
        Reading { own: self.clone(), no }
    }

    /// Takes away what a change of `scope` makes old, and keeps nothing of it until what is returned is dropped.
    pub(crate) fn announced(self: &Arc<Self>, scope: &Scope) -> Changing {
        let mut state = self.lock();
        state.kept.remove(scope, false);
        for read in state.reading.values_mut() {
            read.is_overlapped |= scope.touches(&read.subject);
        }
        state.last += 1;
        let no = state.last;
        state.changing.insert(no, scope.clone());
        Changing { own: self.clone(), no }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Own {
    fn kept_bytes(&self) -> usize {
        self.lock().kept.weight()
    }

    fn keep_at_most(&self, bytes: usize) {
        // Nobody is told of what has to go.
        let _ = self.lock().kept.shrink(bytes);
    }
}

/// A read of the store that has not ended.
struct Reading {
    own: Arc<Own>,
    no: u64,
}

impl Reading {
    /// Keeps what was read, unless a change of it came in between.
    fn keep(self, found: &Found<Kept>) {
        let mut state = self.own.lock();
        if let Some(Read { subject, is_overlapped: false }) = state.reading.remove(&self.no) {
            // Nobody is told of what had to go for it.
            let _ = state.kept.keep(&subject, found, ALWAYS);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.own.lock().reading.remove(&self.no);
    }
}

/// A change that is announced and not over.
pub(crate) struct Changing {
    own: Arc<Own>,
    no: u64,
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.own.lock().changing.remove(&self.no);
    }
}

#[cfg(test)]
mod tests;
