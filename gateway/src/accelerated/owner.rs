//! Where a region's objects are read: this process's own store without a network, any other over the peer channel.

use std::ops::Range;
use std::sync::Arc;

use cache::{Instance, Page, Pages, Purpose, Source, SourceError};
use futures::StreamExt;
use futures::future::BoxFuture;
use origin::head::{Facts, Head};
use origin::regional::{ListedInstances, ListedTo, ReadError, RegionalStore, SomeKeys};
use s3s::{S3Result, s3_error};

use super::head_start::{HeadStart, HeadStarts};
use super::heads::ObjectName;
use crate::coherence::node::Found;
use crate::coherence::scope::Subject;
use crate::coherence::{Follower, Kept, Own, Use};
use crate::metrics::{Metrics, OriginChannel};
use crate::peer::Peer;
use crate::peer::messages::FullHead;
use crate::topology::RegionName;

/// One region's owner, as this node reaches it.
pub enum Owner {
    /// The store that this process owns.
    Own {
        /// The store's region.
        region: RegionName,
        /// The store.
        store: RegionalStore,
        /// What it said, and has not changed since.
        kept: Arc<Own>,
        /// Counts what fills read from it.
        metrics: Metrics,
    },
    /// Another process.
    Peer {
        /// The way to it.
        peer: Arc<Peer>,
        /// What it said, and whether that is still so.
        objects: Arc<Follower>,
        /// What it is asked for before it has said anything.
        head_starts: HeadStarts,
    },
}

impl Owner {
    /// A bucket's facts, and the head of an object in it, from one snapshot of the owner's after this call; nothing that is
    /// kept is believed.
    ///
    /// # Errors
    /// When the owner cannot be asked, or refuses.
    pub async fn object(
        &self,
        bucket: &str,
        key: &str,
    ) -> S3Result<(Option<Arc<Facts>>, Option<Arc<FullHead>>)> {
        let found = match self {
            Self::Own { store, kept, .. } => kept.object(store, bucket, key, None, Use::AskOnly).await?,
            Self::Peer { objects, .. } => {
                let subject = Subject::Object { bucket: bucket.into(), key: key.into(), version: None };
                objects.find(subject, Use::AskOnly).await?
            }
        };
        Ok((found.facts.and_then(Kept::into_facts), found.value.and_then(Kept::into_head)))
    }

    /// A bucket's facts after this call: out of what is kept and true, or asked. Kept as `how` says.
    ///
    /// # Errors
    /// When the owner cannot be asked, or refuses.
    pub(crate) async fn facts(&self, bucket: &str, how: Use) -> S3Result<Option<Arc<Facts>>> {
        Ok(self.find_facts(bucket, how).await?.value.and_then(Kept::into_facts))
    }

    /// The same, and whether that was held here already.
    ///
    /// # Errors
    /// Those of [`Self::facts`].
    pub(super) async fn find_facts(&self, bucket: &str, how: Use) -> S3Result<Found<Kept>> {
        match self {
            Self::Own { store, kept, .. } => kept.facts(store, bucket, how).await,
            Self::Peer { objects, .. } => {
                Ok(objects.find(Subject::Facts { bucket: bucket.into() }, how).await?)
            }
        }
    }

    /// The instances of all versions of some keys of a bucket, as far as one page goes, behind where another ended. Another
    /// region is asked for the current version of one key and no more: it lists for nobody but its own node.
    ///
    /// # Errors
    /// When the owner cannot be asked, or refuses; `NotImplemented` for a prefix in another region.
    pub(super) async fn instances(
        &self,
        bucket: &str,
        keys: SomeKeys,
        behind: Option<ListedTo>,
    ) -> S3Result<ListedInstances> {
        match self {
            Self::Own { store, .. } => store.list_instances(bucket, &keys, behind).await,
            Self::Peer { .. } => match keys {
                SomeKeys::Key(key) => {
                    let (_, object) = self.object(bucket, &key).await?;
                    let instances = object.map(|object| (object.head.instance, object.head.bytes));
                    Ok(ListedInstances { instances: instances.into_iter().collect(), to: None })
                }
                SomeKeys::Prefix(_) => Err(s3_error!(
                    NotImplemented,
                    "keys are listed at the node of their own region alone: name objects one by one"
                )),
            },
        }
    }
}

impl Owner {
    /// Whether nothing is known of `name`, so that its first pages may be asked for along with its head.
    pub(super) fn knows_nothing_of(&self, name: &ObjectName) -> bool {
        match self {
            Self::Own { .. } => false,
            Self::Peer { objects, .. } => !objects.holds(&name.subject()),
        }
    }

    /// Asks for the first pages of `name`, where that takes a network and is worth it.
    pub(super) fn begin(&self, name: &ObjectName, pages: Range<u64>) -> Option<Arc<HeadStart>> {
        match self {
            Self::Own { .. } => None,
            Self::Peer { peer, head_starts, .. } => head_starts.begin(peer, name, pages),
        }
    }

    /// Of an object that nothing was known of, the first pages were needed, or were not.
    pub(super) fn note_first_pages(&self, were_needed: bool) {
        if let Self::Peer { head_starts, .. } = self {
            head_starts.note(were_needed);
        }
    }

    /// Whether `head` is known, without asking anybody, to be what is there of `name`.
    pub(super) fn has_current(&self, name: &ObjectName, head: &Head) -> bool {
        let subject = name.subject();
        let found = match self {
            Self::Own { kept, .. } => kept.look(&subject),
            Self::Peer { objects, .. } => objects.look(&subject),
        };
        match found {
            Some(Found { value: Some(Kept::Head(current)), .. }) => current.head.instance == head.instance,
            Some(_) | None => false,
        }
    }
}

impl Source for Owner {
    fn origin(&self) -> &str {
        match self {
            Self::Own { region, .. } => region.as_str(),
            Self::Peer { peer, .. } => peer.origin(),
        }
    }

    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        match self {
            Self::Own { region, store, metrics, .. } => {
                let (region, metrics) = (region.clone(), metrics.clone());
                Box::pin(async move {
                    let instance = origin::instance::Instance::from_bytes(instance.0);
                    let stored = store.read_pages(instance, pages).await.map_err(source_error)?;
                    let pages = stored.map(move |page| {
                        let page = page.map_err(source_error)?;
                        metrics.origin_bytes(&region, OriginChannel::Blob, page.bytes.len() as u64);
                        Ok(Page { bytes: page.bytes, crc32c: page.crc32c })
                    });
                    Ok(pages.boxed())
                })
            }
            Self::Peer { peer, .. } => peer.pages(instance, pages, purpose),
        }
    }
}

fn source_error(error: ReadError) -> SourceError {
    match error {
        ReadError::Gone => SourceError::Gone,
        other => SourceError::broken(other),
    }
}
