//! What does it cost that no read is ever stale: to those who read far away, to those who write, and to the owner when
//! everything starts again?
//!
//! One `penstock serve` process a region on one core, this client and the ways between the regions (a relay with delay)
//! on the other. What is compared takes turns in one run. `benches/run coherence [QUESTION [ROUNDS]]` builds and starts
//! this; without a question all are answered.

mod cores;
#[path = "coherence/fifty.rs"]
mod fifty;
mod figures;
#[path = "coherence/hits.rs"]
mod hits;
#[path = "coherence/restart.rs"]
mod restart;
#[path = "coherence/simulated_node.rs"]
mod simulated_node;
#[path = "coherence/writes.rs"]
mod writes;

use std::time::Duration;

use cores::run_on_core;
use tests::wan::{Direction, Shape};
use tests::{Cluster, Options};

/// A round trip between regions that are far apart.
const FAR: Duration = Duration::from_millis(80);

const OWNER: &str = "ord1";

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let question = arguments.next().unwrap_or_else(|| "all".to_owned());
    let rounds: usize = arguments.next().map_or(5, |text| text.parse().expect("a number of rounds"));
    match question.as_str() {
        "hits" => hits::answer(rounds).await,
        "writes" => writes::answer(rounds).await,
        "fifty" => fifty::answer(rounds).await,
        "restart" => restart::answer().await,
        "all" => {
            hits::answer(rounds).await;
            writes::answer(rounds).await;
            fifty::answer(rounds).await;
            restart::answer().await;
        }
        other => panic!("{other:?} is none of: all, hits, writes, fifty, restart"),
    }
}

/// Three processes on core 0, with links between them.
async fn cluster() -> Cluster {
    cluster_with(Options::cache("256 MiB", "256 MiB")).await
}

/// The same with caches of other sizes.
async fn cluster_with(options: Options) -> Cluster {
    run_on_core(0);
    let cluster = Cluster::start_with(options.served().distant(Duration::ZERO)).await;
    run_on_core(1);
    cluster
}

/// Puts every region `round_trip` away from every other.
fn spread(cluster: &Cluster, round_trip: Duration) {
    for (_, link) in cluster.links() {
        for direction in [Direction::There, Direction::Back] {
            link.shape(direction, Shape::delayed(round_trip / 2));
        }
    }
}

/// Requests that `region`'s node has made of other regions so far.
async fn requests_to_others(cluster: &Cluster, region: &str) -> f64 {
    cluster.scrape(region).await.sum("penstock_origin_requests_total", &[])
}
