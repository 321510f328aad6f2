//! What does a read cost here, and what does it cost nginx, Varnish, and a server that does nothing but write?
//!
//! One server at a time is on one core; this client, the origin, and the way to it are on the other. The servers of a
//! case take turns, round by round, so that a machine whose speed drifts drifts for all of them. Every request to a
//! node of ours is signed and permitted; no other server asks who it is from.
//!
//! `benches/run reads [ROUNDS [CASE…]]` fetches the others, builds, and starts this in a network namespace of its own.

#[path = "reads/ask.rs"]
mod ask;
#[path = "reads/case.rs"]
mod case;
mod cores;
#[path = "reads/cpu_time.rs"]
mod cpu_time;
#[path = "reads/exchange.rs"]
mod exchange;
mod figures;
#[path = "reads/ground.rs"]
mod ground;
#[path = "reads/nginx.rs"]
mod nginx;
#[path = "reads/penstock.rs"]
mod penstock;
#[path = "reads/read_ahead.rs"]
mod read_ahead;
#[path = "reads/report.rs"]
mod report;
#[path = "reads/server.rs"]
mod server;
#[path = "reads/varnish.rs"]
mod varnish;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use ask::{Ask, Pool, Pulled};
use case::{CASES, Case};
use figures::Latencies;
use ground::Ground;
use report::{Measured, Round};
use server::{Server, core_idle_time, warm_up};

/// A cache that has not kept everything by then is one that does not.
const WARM_ROUNDS_MAX: usize = 4;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(5, |text| text.parse().expect("a number of rounds"));
    let names: Vec<String> = arguments.collect();
    for name in &names {
        let known: Vec<_> = CASES.iter().map(|case| case.name).collect();
        assert!(known.contains(&name.as_str()), "{name:?} is none of {known:?}");
    }
    let mut measured = Vec::new();
    for case in CASES.iter().filter(|case| names.is_empty() || names.iter().any(|name| name == case.name)) {
        let began = Instant::now();
        let rows = run(case, rounds).await;
        eprintln!("{}: {:.0} s", case.name, began.elapsed().as_secs_f64());
        rows.iter().for_each(|row| eprintln!("{}", report::line(case, row)));
        measured.push((case, rows));
    }
    report::print_table(&measured);
    report::print_json(&measured);
}

/// All rounds of one case, with servers of its own.
async fn run(case: &'static Case, rounds: usize) -> Vec<Measured> {
    let ground = Ground::prepare(case).await;
    let mut servers = Vec::new();
    for kind in case.servers.iter().filter(|kind| kind.differs_when_set(&ground)) {
        servers.push((Server::start(*kind, case, &ground).await, Measured::of(*kind)));
    }
    for round in case.first_round()..=rounds {
        let objects = case.work.objects(round);
        for (server, measured) in &mut servers {
            server.provide(&objects).await;
            match round {
                0 => warm(case, server).await,
                _ => {
                    server.ready(case.before).await;
                    measured.rounds.push(one_round(case, server, round).await);
                }
            }
            measured.peak_memory_bytes = measured.peak_memory_bytes.max(server.peak_memory_bytes());
        }
    }
    servers.into_iter().map(|(_, measured)| measured).collect()
}

/// Reads until the server has what it keeps: caches may decline some of what comes faster than they can write it.
async fn warm(case: &Case, server: &Server) {
    for _ in 0..WARM_ROUNDS_MAX {
        let took = one_round(case, server, 0).await;
        if took.origin_bytes < took.bytes / 1000 {
            return;
        }
    }
}

async fn one_round(case: &Case, server: &Server, round: usize) -> Round {
    let asks = case.work.asks(round);
    let requests = requests(server, &asks);
    let warm_up = server.request(&warm_up().whole());
    let mut pool = Pool::open(&server.address, case.work.connections(), &warm_up).await;
    let mut beside = match case.work.beside() {
        Some((ask, connections)) => {
            let request = server.request(&ask);
            // The first request of each connection is what warms this tenant's object.
            let pool = Pool::open(&server.address, connections, &request).await;
            Some((pool, request))
        }
        None => None,
    };
    let read_ahead = server.read_ahead();
    let (cpu, origin, disk) = (server.cpu_times(), server.origin_bytes(), server.disk_bytes());
    let (idle, began) = (core_idle_time(), Instant::now());
    let (pulled, timed) = match &mut beside {
        None => {
            let pulled = pool.pull(&requests).await;
            let timed = (pulled.first_byte.clone(), pulled.whole.clone());
            (pulled, timed)
        }
        Some((others, request)) => pull_beside(&mut pool, &requests, others, request).await,
    };
    // Two clocks, one of them coarse: what is idle may come out a little longer than all.
    let core = began.elapsed().saturating_sub(core_idle_time() - idle);
    drop(read_ahead);
    Round {
        wall: pulled.wall,
        cpu: server.cpu_times().since(&cpu),
        core,
        bytes: pulled.bytes,
        requests: pulled.whole.count(),
        origin_bytes: server.origin_bytes() - origin,
        disk_bytes: server.disk_bytes() - disk,
        first_byte: timed.0,
        whole: timed.1,
    }
}

/// Pulls `requests`, and meanwhile `request` again and again over `others`: of that one the times are.
async fn pull_beside(
    pool: &mut Pool,
    requests: &[Rc<[u8]>],
    others: &mut Pool,
    request: &[u8],
) -> (Pulled, (Latencies, Latencies)) {
    let is_over = Cell::new(false);
    let scanning = async {
        let pulled = pool.pull(requests).await;
        is_over.set(true);
        pulled
    };
    let (mut pulled, beside) = tokio::join!(scanning, others.repeat(request, &is_over));
    pulled.bytes += beside.bytes;
    (pulled, (beside.first_byte, beside.whole))
}

/// What is sent for `asks`; what is asked for again is signed once.
fn requests(server: &Server, asks: &[Ask]) -> Vec<Rc<[u8]>> {
    let mut made: HashMap<&Ask, Rc<[u8]>> = HashMap::new();
    let make = |ask| made.entry(ask).or_insert_with(|| server.request(ask).into()).clone();
    asks.iter().map(make).collect()
}
