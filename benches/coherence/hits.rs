//! Does a hit take longer when its owner is far away?

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Client, Cluster, Content, MIB, Request};

use crate::figures::{Latencies, milliseconds};
use crate::{FAR, OWNER, cluster, requests_to_others, spread};

const BUCKET: &str = "weights";

/// Reads of one turn, and how long a turn may take.
const READS: usize = 1000;
const TURN: Duration = Duration::from_secs(4);

/// Reads at the beginning of a turn that are not counted.
const WARM_UP: usize = 50;

struct Case {
    key: &'static str,
    bytes: u64,
    distance: Duration,
    first_byte: Latencies,
    /// Requests to other regions, in all turns.
    requests: f64,
}

/// Reads two hot objects at las1, by turns 0 and 80 ms away from their owner.
pub(crate) async fn answer(rounds: usize) {
    let cluster = cluster().await;
    let owner = cluster.standard(OWNER);
    owner.create_bucket(BUCKET).await;
    let mut cases = Vec::new();
    for (key, bytes) in [("small", 4096), ("large", MIB)] {
        let _ = owner.put(BUCKET, key, Content::new(1, bytes).all()).await.ok();
        for distance in [Duration::ZERO, FAR] {
            cases.push(Case { key, bytes, distance, first_byte: Latencies::default(), requests: 0.0 });
        }
    }
    let reader = cluster.accelerated("las1", OWNER);
    for round in 0..=rounds {
        for case in &mut cases {
            spread(&cluster, case.distance);
            let (took, requests) = turn(&cluster, &reader, case).await;
            // Round 0 fills the cache and is not counted.
            if round > 0 {
                case.first_byte.extend(took);
                case.requests += requests;
            }
        }
    }
    print(&cases);
}

async fn turn(cluster: &Cluster, reader: &Client, case: &Case) -> (Latencies, f64) {
    for _ in 0..WARM_UP {
        first_byte(reader, case).await;
    }
    let before = requests_to_others(cluster, "las1").await;
    let (began, mut took) = (Instant::now(), Latencies::default());
    while took.count() < READS && began.elapsed() < TURN {
        took.add(first_byte(reader, case).await);
    }
    (took, requests_to_others(cluster, "las1").await - before)
}

/// From before the request is signed to the first byte of the body.
async fn first_byte(reader: &Client, case: &Case) -> Duration {
    let began = Instant::now();
    let request = Request::new("GET", format!("/{BUCKET}/{}", case.key));
    let mut answer = reader.open(request).await.expect("an answer");
    let first = answer.chunk().await.expect("an unbroken answer").expect("a body");
    let took = began.elapsed();
    let mut bytes = first.len() as u64;
    while let Some(piece) = answer.chunk().await.expect("an unbroken answer") {
        bytes += piece.len() as u64;
    }
    assert_eq!(bytes, case.bytes);
    took
}

fn print(cases: &[Case]) {
    println!(
        "| hit at las1 | owner away | to the first byte, median | 99 % | of the near one | reads | requests to other regions |"
    );
    println!("|---|---|---|---|---|---|---|");
    for pair in cases.chunks(2) {
        for case in pair {
            println!(
                "| {} bytes | {} ms | {} | {} | {:.2} | {} | {} |",
                case.bytes,
                case.distance.as_millis(),
                milliseconds(case.first_byte.median()),
                milliseconds(case.first_byte.p99()),
                case.first_byte.median().as_secs_f64() / pair[0].first_byte.median().as_secs_f64(),
                case.first_byte.count(),
                case.requests,
            );
        }
    }
    let row = |case: &Case| {
        json!({
            "bytes": case.bytes,
            "round_trip_ms": case.distance.as_millis() as u64,
            "median_ms": case.first_byte.median().as_secs_f64() * 1e3,
            "p99_ms": case.first_byte.p99().as_secs_f64() * 1e3,
            "reads": case.first_byte.count(),
            "requests_to_others": case.requests,
        })
    };
    println!("{}", json!({ "hits": cases.iter().map(row).collect::<Vec<_>>() }));
}
