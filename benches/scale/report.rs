//! Rows as a reader compares them, and every round as JSON.

use std::time::Duration;

use serde_json::json;

use crate::engine::Engine;
use crate::figures::{Latencies, milliseconds};
use crate::fill::Tenth;
use crate::listing::Walk;
use crate::requests::{CLIENTS, REQUESTS, Round, Work};
use crate::seconds;

const MIB: u64 = 1 << 20;

/// What one engine took for one kind of request.
pub(crate) struct Measured {
    work: Work,
    engine: String,
    durable: &'static str,
    pub(crate) rounds: Vec<Round>,
}

/// How a bucket was filled, and what became of its store.
pub(crate) struct Filled {
    pub(crate) keys_count: u64,
    pub(crate) tenths: Vec<Tenth>,
    /// From the start of the process after SIGKILL until it is ready.
    pub(crate) start: Duration,
    pub(crate) metadata_bytes: u64,
    pub(crate) peak_memory_bytes: u64,
}

impl Measured {
    pub(crate) fn of(work: Work, engine: &Engine) -> Self {
        Self { work, engine: engine.name.clone(), durable: engine.durable, rounds: Vec::new() }
    }

    pub(crate) fn is_of(&self, work: Work, engine: &Engine) -> bool {
        self.work == work && self.engine == engine.name
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    fn line(&self) -> String {
        let mut latencies = Latencies::default();
        self.rounds.iter().for_each(|round| latencies.extend(round.latencies.clone()));
        let durable = if matches!(self.work, Work::Put | Work::Delete) { self.durable } else { "" };
        format!(
            "| {} | {} | {durable} | {:.0} requests/s | {:.0} µs/request | {} | {} |",
            self.work.name(),
            self.engine,
            self.median(|round| REQUESTS as f64 / round.wall.as_secs_f64()),
            self.median(|round| round.cpu.as_secs_f64() * 1e6 / REQUESTS as f64),
            milliseconds(latencies.median()),
            milliseconds(latencies.p99()),
        )
    }
}

pub(crate) fn print(filled: &Filled, walks: &[Walk], measured: &[Measured], memory: &[(String, u64)]) {
    println!(
        "| request, {CLIENTS} clients | engine | on the disk when answered | speed | CPU | median | 99 % |"
    );
    println!("|---|---|---|---|---|---|---|");
    measured.iter().for_each(|row| println!("{}", row.line()));
    println!(
        "\n| listing of {} keys | pages | first | middle | last | 99 % | CPU a page |",
        filled.keys_count
    );
    println!("|---|---|---|---|---|---|---|");
    walks.iter().for_each(|walk| println!("{}", walk.line()));
    println!("\n{}", filled.told());
    for (engine, bytes) in memory {
        println!("Peak memory of {engine}: {} MiB.", bytes / MIB);
    }
    print_json(filled, walks, measured, memory);
}

impl Filled {
    fn told(&self) -> String {
        let speed = |tenth: &Tenth| tenth.keys_count as f64 / tenth.wall.as_secs_f64();
        let cpu = |tenth: &Tenth| tenth.cpu.as_secs_f64() * 1e6 / tenth.keys_count as f64;
        let (first, last) =
            (self.tenths.first().expect("ten of them"), self.tenths.last().expect("ten of them"));
        format!(
            "Filled by PUT with {} keys in {}: {:.0}/s and {:.0} µs each for the first tenth, {:.0}/s and {:.0} µs for the \
             last; {} MiB of metadata, peak memory {} MiB. Ready {} after a start that followed SIGKILL.",
            self.keys_count,
            seconds(self.tenths.iter().map(|tenth| tenth.wall).sum()),
            speed(first),
            cpu(first),
            speed(last),
            cpu(last),
            self.metadata_bytes / MIB,
            self.peak_memory_bytes / MIB,
            seconds(self.start),
        )
    }
}

fn print_json(filled: &Filled, walks: &[Walk], measured: &[Measured], memory: &[(String, u64)]) {
    let round = |round: &Round| {
        json!({
            "seconds": round.wall.as_secs_f64(),
            "cpu_seconds": round.cpu.as_secs_f64(),
            "ms": quantiles(&round.latencies),
        })
    };
    let row = |row: &Measured| {
        json!({
            "request": row.work.name(),
            "engine": row.engine,
            "rounds": row.rounds.iter().map(round).collect::<Vec<_>>(),
        })
    };
    let walk = |walk: &Walk| {
        json!({
            "listing": walk.name,
            "pages": walk.pages.len(),
            "first_middle_last_ms": walk.parts().map(|part| part.median().as_secs_f64() * 1e3),
            "ms": quantiles(&walk.all()),
            "cpu_seconds": walk.cpu.as_secs_f64(),
        })
    };
    let tenth = |tenth: &Tenth| json!({ "seconds": tenth.wall.as_secs_f64(), "cpu_seconds": tenth.cpu.as_secs_f64() });
    println!(
        "{}",
        json!({
            "keys": filled.keys_count,
            "requests": REQUESTS,
            "clients": CLIENTS,
            "rows": measured.iter().map(row).collect::<Vec<_>>(),
            "listings": walks.iter().map(walk).collect::<Vec<_>>(),
            "fill": filled.tenths.iter().map(tenth).collect::<Vec<_>>(),
            "start_seconds": filled.start.as_secs_f64(),
            "metadata_bytes": filled.metadata_bytes,
            "peak_memory_bytes": memory.iter().map(|(engine, bytes)| json!({ "engine": engine, "bytes": bytes })).collect::<Vec<_>>(),
        })
    );
}

fn quantiles(of: &Latencies) -> serde_json::Value {
    let at = |share| of.quantile(share).as_secs_f64() * 1e3;
    json!({ "p50": at(0.5), "p99": at(0.99), "longest": at(1.0) })
}
