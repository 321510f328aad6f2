//! Where a region's objects are read: this process's own store without a network, any other over the peer channel.

use std::ops::Range;
use std::sync::Arc;

use cache::{Instance, Page, Pages, Purpose, Source, SourceError};
use futures::StreamExt;
use futures::future::BoxFuture;
use origin::regional::{ReadError, RegionalStore};

use crate::metrics::{Metrics, OriginChannel};
use crate::peer::messages::{Answer, Ask};
use crate::peer::{self, AskError, Peer};
use crate::topology::RegionName;

/// One region's owner, as this node reaches it.
pub enum Owner {
    /// The store that this process owns.
    Own {
        /// The store's region.
        region: RegionName,
        /// The store.
        store: RegionalStore,
        /// Counts what fills read from it.
        metrics: Metrics,
    },
    /// Another process.
    Peer(Arc<Peer>),
}

impl Owner {
    /// The answers to `asks` in order, each read after this call was made and after the one before it.
    ///
    /// # Errors
    /// When the owner cannot be asked; each single answer may still be a refusal.
    pub async fn ask(&self, asks: Vec<Ask>) -> Result<Vec<Answer>, AskError> {
        match self {
            Self::Own { store, .. } => Ok(peer::answer(store, &asks).await),
            Self::Peer(peer) => peer.ask(asks).await,
        }
    }
}

impl Source for Owner {
    fn origin(&self) -> &str {
        match self {
            Self::Own { region, .. } => region.as_str(),
            Self::Peer(peer) => peer.origin(),
        }
    }

    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        match self {
            Self::Own { region, store, metrics } => {
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
            Self::Peer(peer) => peer.pages(instance, pages, purpose),
        }
    }
}

fn source_error(error: ReadError) -> SourceError {
    match error {
        ReadError::Gone => SourceError::Gone,
        other => SourceError::broken(other),
    }
}
