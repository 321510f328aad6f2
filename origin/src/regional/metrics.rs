//! The store's own series.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::expire::Applied;

/// What the store counts.
pub(super) struct Metrics {
    commits: IntCounterVec,
    commit_changes: Histogram,
    commit_seconds: Histogram,
    read_bytes: IntCounter,
    corrupt_reads: IntCounter,
    removed_files: IntCounter,
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
                    "Time that one pass of the lifecycle rules through all buckets took.",
                )
                .buckets(prometheus::exponential_buckets(0.001, 4.0, 12)?),
            )?,
            removed_files: IntCounter::new(
                "store_removed_files_total",
                "Data files removed after their grace.",
            )?,
        };
        for series in [&metrics.commit_changes, &metrics.commit_seconds, &metrics.lifecycle_pass_seconds] {
            registry.register(Box::new(series.clone()))?;
        }
        for series in [&metrics.read_bytes, &metrics.corrupt_reads, &metrics.removed_files] {
            registry.register(Box::new(series.clone()))?;
        }
        for series in [&metrics.commits, &metrics.lifecycle_removals] {
            registry.register(Box::new(series.clone()))?;
        }
        // Shown from the start.
        metrics.lifecycle_applied(&Applied::default());
        Ok(metrics)
    }

    /// A write transaction of `changes` changes has ended.
    pub(super) fn committed(&self, changes: usize, elapsed: Duration, succeeded: bool) {
        self.commits.with_label_values(&[if succeeded { "committed" } else { "failed" }]).inc();
        self.commit_changes.observe(changes as f64);
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
