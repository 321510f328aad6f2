//! What does a write wait for when nobody keeps what it changes, and when somebody far away does?

use std::time::Instant;

use serde_json::json;
use tests::{Client, Cluster, Content};

use crate::figures::{Latencies, milliseconds};
use crate::{FAR, OWNER, cluster, spread};

/// Writes of each case in one round.
const WRITES: usize = 100;

const BYTES: u64 = 4096;

struct Case {
    name: &'static str,
    writer: Client,
    bucket: &'static str,
    /// Reads what is about to be overwritten, so that its node keeps it.
    reader: Option<Client>,
    took: Latencies,
}

/// Writes by turns to a cluster in which nobody reads, and to two buckets of one in which las1 reads one of them.
pub(crate) async fn answer(rounds: usize) {
    let (quiet, busy) = (cluster().await, cluster().await);
    for cluster in [&quiet, &busy] {
        spread(cluster, FAR);
        for bucket in ["lonely", "watched"] {
            cluster.standard(OWNER).create_bucket(bucket).await;
        }
    }
    let case = |name, cluster: &Cluster, bucket, reader| Case {
        name,
        writer: cluster.standard(OWNER),
        bucket,
        reader,
        took: Latencies::default(),
    };
    let mut cases = [
        case("nobody reads at all", &quiet, "lonely", None),
        case("somebody reads another bucket", &busy, "lonely", None),
        case("somebody 80 ms away reads it", &busy, "watched", Some(busy.accelerated("las1", OWNER))),
    ];
    for round in 0..=rounds {
        for write in 0..WRITES {
            for case in &mut cases {
                let took = case.write((round * WRITES + write) as u64).await;
                // Round 0 opens connections and is not counted.
                if round > 0 {
                    case.took.add(took);
                }
            }
        }
    }
    print(&cases);
}

impl Case {
    async fn write(&self, seed: u64) -> std::time::Duration {
        if let Some(reader) = &self.reader {
            // Before the first write there is nothing, which is kept as well.
            let _ = reader.get(self.bucket, "k").await;
        }
        let body = Content::new(seed, BYTES).all();
        let began = Instant::now();
        let _ = self.writer.put(self.bucket, "k", body).await.ok();
        began.elapsed()
    }
}

fn print(cases: &[Case]) {
    println!("| 4 KiB written at ord1 | median | 99 % | more than alone | writes |\n|---|---|---|---|---|");
    let alone = cases[0].took.median();
    for case in cases {
        let more = case.took.median().saturating_sub(alone);
        println!(
            "| {} | {} | {} | {} | {} |",
            case.name,
            milliseconds(case.took.median()),
            milliseconds(case.took.p99()),
            milliseconds(more),
            case.took.count(),
        );
    }
    let row = |case: &Case| {
        json!({
            "case": case.name,
            "median_ms": case.took.median().as_secs_f64() * 1e3,
            "p99_ms": case.took.p99().as_secs_f64() * 1e3,
            "writes": case.took.count(),
        })
    };
    println!("{}", json!({ "writes": cases.iter().map(row).collect::<Vec<_>>() }));
}
