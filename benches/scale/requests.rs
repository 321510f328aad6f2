//! PUT, GET and DELETE of many small objects by a number of clients.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use tests::Content;

use crate::engine::Engine;
use crate::figures::Latencies;
use crate::names::Names;

/// Requests of each kind in one round.
pub(crate) const REQUESTS: u64 = 10_000;
pub(crate) const CLIENTS: usize = 32;
const OBJECT_BYTES: u64 = 4096;

/// What a round does, in this order: what was put is read, and then deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Put,
    Get,
    /// Of the keys that the bucket was filled with, as large as their names.
    GetAny,
    Delete,
}

/// What one round took.
pub(crate) struct Round {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) latencies: Latencies,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Put, Self::Get, Self::GetAny, Self::Delete];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "PUT 4 KiB",
            Self::Get => "GET 4 KiB",
            Self::GetAny => "GET of any key",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) fn is_for(self, engine: &Engine) -> bool {
        self != Self::GetAny || engine.is_filled
    }
}

/// Does `work` once for each of the round's keys.
pub(crate) async fn round(work: Work, engine: &Engine, names: &Names, round: usize) -> Round {
    let content = Content::new(round as u64, OBJECT_BYTES).all();
    let (client, bucket, content) = (&engine.client, engine.bucket, &content);
    let ask = |nth| async move {
        let key = names.beside(round, nth);
        let began = Instant::now();
        match work {
            Work::Put => drop(client.put(bucket, &key, content.clone()).await.ok()),
            Work::Get => {
                let answer = client.get(bucket, &key).await.ok();
                assert_eq!(answer.body.len() as u64, OBJECT_BYTES);
            }
            Work::GetAny => {
                let key = names.any(round as u64 * REQUESTS + nth);
                assert_eq!(client.get(bucket, &key).await.ok().body, key);
            }
            Work::Delete => drop(client.delete(bucket, &key).await.ok()),
        }
        began.elapsed()
    };
    let (cpu, began) = (engine.cpu_time(), Instant::now());
    let mut asking = stream::iter(0..REQUESTS).map(ask).buffer_unordered(CLIENTS);
    let mut latencies = Latencies::default();
    while let Some(took) = asking.next().await {
        latencies.add(took);
    }
    Round { wall: began.elapsed(), cpu: engine.cpu_time() - cpu, latencies }
}
