//! The store's own series.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::expire::Applied;
use super::scrub::DamageKind;

/// What the store counts.
pub(super) struct Metrics {
    commits: IntCounterVec,
    pub(super) commit_changes: Histogram,
    pub(super) commit_rows: Histogram,
    commit_seconds: Histogram,
    read_bytes: IntCounter,
    corrupt_reads: IntCounter,
    removed_files: IntCounter,
    scrub_bytes: IntCounter,
    scrub_damage: IntCounterVec,
    scrub_completed_seconds: IntGauge,
    lifecycle_removals: IntCounterVec,
    pub(super) lifecycle_pass_seconds: Histogram,
}

impl Metrics {
    /// Registers the series.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            commits: IntCounterVec::new(
                Opts::new("store_commits_total", "Write transactions of the regional store, by outcome."),
                &["outcome"],
            )?,
            commit_changes: Histogram::with_opts(
                HistogramOpts::new("store_commit_changes", "Changes that one write transaction carried.")
                    .buckets(prometheus::exponential_buckets(1.0, 2.0, 10)?),
            )?,
            commit_rows: Histogram::with_opts(
                HistogramOpts::new("store_commit_rows", "Rows that one write transaction wrote.")
                    .buckets(prometheus::exponential_buckets(1.0, 4.0, 10)?),
            )?,
            commit_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "store_commit_seconds",
                    "Time from the first change of a batch to its sync.",
                )
                .buckets(prometheus::exponential_buckets(0.0005, 2.0, 14)?),
            )?,
            read_bytes: IntCounter::new("store_read_bytes_total", "Bytes of instances read and verified.")?,
            corrupt_reads: IntCounter::new(
                "store_corrupt_reads_total",
                "Reads that found bytes or rows that are not what was written.",
            )?,
            lifecycle_removals: IntCounterVec::new(
                Opts::new(
                    "store_lifecycle_removals_total",
                    "What lifecycle rules have removed, by what it was.",
                ),
                &["what"],
            )?,
            lifecycle_pass_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "store_lifecycle_pass_seconds",
                    "Time that one pass of the lifecycle rules through all buckets took; one that waits for room on the disk does not count.",
                )
                .buckets(prometheus::exponential_buckets(0.001, 4.0, 12)?),
            )?,
            removed_files: IntCounter::new(
                "store_removed_files_total",
                "Data files removed after their grace.",
            )?,
            scrub_bytes: IntCounter::new(
                "store_scrub_bytes_total",
                "Stored bytes that scrubs have read and held against their sums.",
            )?,
            scrub_damage: IntCounterVec::new(
                Opts::new(
                    "store_scrub_damage_total",
                    "What scrubs have found that is not as it was written, by kind.",
                ),
                &["kind"],
            )?,
            scrub_completed_seconds: IntGauge::new(
                "store_scrub_completed_seconds",
                "When a scrub of the whole store came to its end last, in seconds since 1970; 0 for never.",
            )?,
        };
        let Self { commit_changes, commit_rows, commit_seconds, lifecycle_pass_seconds, .. } = &metrics;
        for series in [commit_changes, commit_rows, commit_seconds, lifecycle_pass_seconds] {
            registry.register(Box::new(series.clone()))?;
        }
        let Self { read_bytes, corrupt_reads, removed_files, scrub_bytes, .. } = &metrics;
        for series in [read_bytes, corrupt_reads, removed_files, scrub_bytes] {
            registry.register(Box::new(series.clone()))?;
        }
        for series in [&metrics.commits, &metrics.lifecycle_removals, &metrics.scrub_damage] {
            registry.register(Box::new(series.clone()))?;
        }
        registry.register(Box::new(metrics.scrub_completed_seconds.clone()))?;
        // Shown from the start.
        metrics.lifecycle_applied(&Applied::default());
        for kind in DamageKind::ALL {
            metrics.scrub_damage.with_label_values(&[kind.as_str()]);
        }
        Ok(metrics)
    }

    /// A write transaction has ended that carried so many changes and wrote so many rows.
    pub(super) fn committed(&self, (changes, rows): (usize, usize), elapsed: Duration, succeeded: bool) {
        self.commits.with_label_values(&[if succeeded { "committed" } else { "failed" }]).inc();
        self.commit_changes.observe(changes as f64);
        self.commit_rows.observe(rows as f64);
        self.commit_seconds.observe(elapsed.as_secs_f64());
    }

    /// Verified bytes are on their way out.
    pub(super) fn read(&self, bytes: u64) {
        self.read_bytes.inc_by(bytes);
    }

    /// Something was not what was written.
    pub(super) fn corrupt(&self) {
        self.corrupt_reads.inc();
    }

    /// A scrub has read `bytes` bytes.
    pub(super) fn scrubbed(&self, bytes: u64) {
        self.scrub_bytes.inc_by(bytes);
    }

    /// A scrub has found damage.
    pub(super) fn scrub_found(&self, kind: DamageKind) {
        self.scrub_damage.with_label_values(&[kind.as_str()]).inc();
    }

    /// Everything was scrubbed last at `seconds` since 1970.
    pub(super) fn scrub_completed(&self, seconds: u64) {
        self.scrub_completed_seconds.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Lifecycle rules have removed this.
    pub(super) fn lifecycle_applied(&self, applied: &Applied) {
        let Applied { expired_count, noncurrent_count, markers_count, uploads_count } = *applied;
        for (what, count) in [
            ("current", expired_count),
            ("noncurrent", noncurrent_count),
            ("marker", markers_count),
            ("upload", uploads_count),
        ] {
            self.lifecycle_removals.with_label_values(&[what]).inc_by(count);
        }
    }

    /// A pass of the lifecycle rules has come to its end.
    pub(super) fn lifecycle_passed(&self, elapsed: Duration) {
        self.lifecycle_pass_seconds.observe(elapsed.as_secs_f64());
    }

    /// A data file was removed because nothing referred to it.
    pub(super) fn removed_file(&self) {
        self.removed_files.inc();
    }
}
