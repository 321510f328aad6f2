//! Millions of keys into one bucket, by PUT: what is measured later is what clients have made.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use tests::Client;
use tests::process::cpu_time;

use crate::names::Names;
use crate::{BUCKET, seconds};

/// As many as a node takes at once.
const UPLOADS_AT_ONCE: usize = 64;

/// What a tenth of the keys took.
pub(crate) struct Tenth {
    pub(crate) keys_count: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Puts every key, each with its name as its bytes. `process` serves `client`.
pub(crate) async fn fill(client: &Client, names: &Names, process: u32) -> Vec<Tenth> {
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        let (from, to) = (names.count() * tenth / 10, names.count() * (tenth + 1) / 10);
        let put = |nth| async move {
            let key = names.any(nth);
            let _ = client.put(BUCKET, &key, key.clone()).await.ok();
        };
        let (cpu, began) = (cpu_time(process), Instant::now());
        stream::iter(from..to).map(put).buffer_unordered(UPLOADS_AT_ONCE).collect::<()>().await;
        let took = Tenth { keys_count: to - from, wall: began.elapsed(), cpu: cpu_time(process) - cpu };
        eprintln!("{to} of {} keys, {}", names.count(), seconds(took.wall));
        tenths.push(took);
    }
    tenths
}

/// How large the metadata files are of the stores in the data folder `data`.
pub(crate) fn metadata_bytes(data: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(data).expect("list a data folder") {
        let entry = entry.expect("an entry of the data folder");
        let path = entry.path();
        if path.is_dir() {
            bytes += metadata_bytes(&path);
        } else if path.extension().is_some_and(|extension| extension == "redb") {
            bytes += entry.metadata().expect("the size of a file").len();
        }
    }
    bytes
}
