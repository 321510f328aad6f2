//! What was measured, as a table for readers and as JSON for programs.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, Per};
use crate::figures::{Latencies, milliseconds};
use crate::server::Kind;

const GIB: f64 = (1u64 << 30) as f64;
const MIB: u64 = 1 << 20;

/// What one server did in one case.
pub(crate) struct Measured {
    pub(crate) kind: Kind,
    pub(crate) rounds: Vec<Round>,
    pub(crate) peak_memory_bytes: u64,
}

/// What one round took.
pub(crate) struct Round {
    pub(crate) wall: Duration,
    /// Of the server's processes, in user and kernel.
    pub(crate) cpu: Duration,
    /// For which the server's core was not idle, whoever kept it.
    pub(crate) core: Duration,
    /// Served.
    pub(crate) bytes: u64,
    pub(crate) requests: usize,
    pub(crate) origin_bytes: u64,
    /// Read from the disk by the server's processes.
    pub(crate) disk_bytes: u64,
    pub(crate) first_byte: Latencies,
    pub(crate) whole: Latencies,
}

impl Measured {
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, rounds: Vec::new(), peak_memory_bytes: 0 }
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    /// Of the server's processes: seconds a GiB, or seconds a request.
    fn cpu(&self, per: Per) -> f64 {
        self.median(|round| round.each(round.cpu, per))
    }

    /// The same of the server's core.
    fn core(&self, per: Per) -> f64 {
        self.median(|round| round.each(round.core, per))
    }

    fn megabytes_per_second(&self) -> f64 {
        self.median(|round| round.bytes as f64 / 1e6 / round.wall.as_secs_f64())
    }

    /// Of the requests of all rounds together.
    fn all(&self, times: impl Fn(&Round) -> &Latencies) -> Latencies {
        let mut all = Latencies::default();
        self.rounds.iter().for_each(|round| all.extend(times(round).clone()));
        all
    }

    fn origin_share(&self) -> f64 {
        self.median(|round| round.origin_bytes as f64 / round.bytes as f64)
    }

    fn disk_share(&self) -> f64 {
        self.median(|round| round.disk_bytes as f64 / round.bytes as f64)
    }
}

impl Round {
    fn each(&self, time: Duration, per: Per) -> f64 {
        match per {
            Per::Gib => time.as_secs_f64() * GIB / self.bytes as f64,
            Per::Request => time.as_secs_f64() / self.requests as f64,
        }
    }
}

pub(crate) fn print_table(cases: &[(&Case, Vec<Measured>)]) {
    println!(
        "| case | server | CPU | its core | speed | of the floor | first byte, median | whole, median | 99 % | 99.9 % | peak memory | origin bytes a byte | disk bytes a byte |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (case, rows) in cases {
        for row in rows {
            println!("{}", line_beside(case, row, &rows[0]));
        }
    }
}

/// One row by itself, for whoever waits for the table.
pub(crate) fn line(case: &Case, row: &Measured) -> String {
    line_beside(case, row, row)
}

fn line_beside(case: &Case, row: &Measured, first: &Measured) -> String {
    let per = case.per();
    // A server without processes of its own is the origin: its CPU is no cache's.
    let each = |seconds: f64| match (row.kind, per) {
        (Kind::Direct, _) => String::new(),
        (_, Per::Gib) => format!("{seconds:.2} s/GiB"),
        (_, Per::Request) => format!("{:.0} µs/request", seconds * 1e6),
    };
    let (cpu, core) = (each(row.cpu(per)), each(row.core(per)));
    let (first_byte, whole) = (row.all(|round| &round.first_byte), row.all(|round| &round.whole));
    let memory = match row.kind {
        Kind::Direct => String::new(),
        Kind::Penstock | Kind::PenstockAtOwner => {
            format!("{} of {} MiB", row.peak_memory_bytes / MIB, case.memory_bound_bytes() / MIB)
        }
        Kind::Floor | Kind::Nginx | Kind::NginxReadAheadOfLinux | Kind::Varnish => {
            format!("{} MiB", row.peak_memory_bytes / MIB)
        }
    };
    let origin = match row.kind {
        Kind::Floor | Kind::Direct => String::new(),
        _ => format!("{:.2}", row.origin_share()),
    };
    let disk = match row.kind {
        Kind::Direct => String::new(),
        _ => format!("{:.2}", row.disk_share()),
    };
    format!(
        "| {} | {} | {cpu} | {core} | {:.0} MB/s | {:.2} | {} | {} | {} | {} | {memory} | {origin} | {disk} |",
        case.what,
        row.kind.name(),
        row.megabytes_per_second(),
        row.megabytes_per_second() / first.megabytes_per_second(),
        milliseconds(first_byte.median()),
        milliseconds(whole.median()),
        milliseconds(whole.p99()),
        milliseconds(whole.quantile(0.999)),
    )
}

pub(crate) fn print_json(cases: &[(&Case, Vec<Measured>)]) {
    let round = |round: &Round| {
        json!({
            "seconds": round.wall.as_secs_f64(),
            "cpu_seconds": round.cpu.as_secs_f64(),
            "core_seconds": round.core.as_secs_f64(),
            "bytes": round.bytes,
            "requests": round.requests,
            "origin_bytes": round.origin_bytes,
            "disk_bytes": round.disk_bytes,
            "first_byte_ms": quantiles(&round.first_byte),
            "whole_ms": quantiles(&round.whole),
        })
    };
    let row = |case: &Case, row: &Measured, first: &Measured| {
        let (per, whole) = (case.per(), row.all(|round| &round.whole));
        let (cpu, core) = match per {
            Per::Gib => ("cpu_seconds_per_gib", "core_seconds_per_gib"),
            Per::Request => ("cpu_seconds_per_request", "core_seconds_per_request"),
        };
        let is_ours = matches!(row.kind, Kind::Penstock | Kind::PenstockAtOwner);
        json!({
            "server": row.kind.name(),
            cpu: (row.kind != Kind::Direct).then(|| row.cpu(per)),
            core: (row.kind != Kind::Direct).then(|| row.core(per)),
            "megabytes_per_second": row.megabytes_per_second(),
            "speed_of_the_floor": row.megabytes_per_second() / first.megabytes_per_second(),
            "first_byte_ms": quantiles(&row.all(|round| &round.first_byte)),
            "whole_ms": quantiles(&whole),
            "peak_memory_bytes": row.peak_memory_bytes,
            "memory_bound_bytes": is_ours.then(|| case.memory_bound_bytes()),
            "origin_bytes_per_byte": row.origin_share(),
            "disk_bytes_per_byte": (row.kind != Kind::Direct).then(|| row.disk_share()),
            "rounds": row.rounds.iter().map(round).collect::<Vec<_>>(),
        })
    };
    let cases = cases.iter().map(|(case, rows)| {
        let servers: Vec<_> = rows.iter().map(|one| row(case, one, &rows[0])).collect();
        json!({ "case": case.name, "servers": servers })
    });
    println!("{}", json!({ "cases": cases.collect::<Vec<_>>() }));
}

fn quantiles(of: &Latencies) -> serde_json::Value {
    let at = |share| of.quantile(share).as_secs_f64() * 1e3;
    json!({ "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999) })
}
