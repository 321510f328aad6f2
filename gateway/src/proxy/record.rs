//! What is logged and counted of a request, once.

use pingora::{Error, ErrorSource, ErrorType};

use super::exchange::{Exchange, Passed};
use crate::access_log::Line;
use crate::audit;
use crate::metrics::{Answered, DropReason, OriginChannel, OriginOutcome};
use crate::route::Arrival;

impl Exchange {
    /// Logs and counts the request, once.
    pub(super) fn record(&mut self, passed: Passed, error: Option<&Error>) {
        self.is_recorded = true;
        let Some(arrival) = self.arrival else { return };
        if let Some(refused) = self.denied.get() {
            audit::permission_refused(self.asked(), refused);
        }
        let line = Line {
            id: self.id,
            arrival,
            client: self.client.address,
            target: self.target.as_deref(),
            form: self.form.get(),
            endpoint: self.endpoint,
            status: passed.status,
            received_bytes: passed.received_bytes,
            sent_bytes: passed.sent_bytes,
            tally: self.read.as_ref().map(|read| &read.tally),
            first_byte: self.first_byte.map(|first_byte| first_byte - self.arrived),
            total: self.arrived.elapsed(),
            broken: error.filter(|_| !self.is_cut_short),
        };
        line.write();
        if arrival == Arrival::FromClient {
            self.count(&line);
        }
        if self.upstream.is_some() {
            self.count_forwarded(&line);
        }
    }

    fn count(&self, line: &Line<'_>) {
        let metrics = &self.node.metrics;
        if let Some(status) = line.status {
            metrics.request_answered(&Answered {
                endpoint: line.endpoint,
                region: line.target.map(|target| &target.region),
                operation: line.target.map(|target| target.operation),
                status,
                received_bytes: line.received_bytes,
                sent_bytes: line.sent_bytes,
                first_byte: line.first_byte,
            });
        }
        if let Some(reason) = line.broken.and_then(drop_reason) {
            metrics.dropped(reason);
        }
    }

    fn count_forwarded(&self, line: &Line<'_>) {
        let Some(region) = line.target.map(|target| &target.region) else { return };
        let outcome = match line.broken.is_some_and(|error| *error.esource() == ErrorSource::Upstream) {
            true => OriginOutcome::Failed,
            false => OriginOutcome::Answered,
        };
        let elapsed = line.first_byte.unwrap_or(line.total);
        self.node.metrics.origin_request(region, OriginChannel::Forward, outcome, elapsed);
        self.node.metrics.origin_bytes(region, OriginChannel::Forward, line.sent_bytes);
    }
}

/// Why an exchange that ended with `error` counts as let go; a client that just left does not.
fn drop_reason(error: &Error) -> Option<DropReason> {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => Some(DropReason::StalledReader),
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(DropReason::StalledUpload),
        (ErrorSource::Downstream, _) => None,
        (ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset, _) => {
            Some(DropReason::BrokenAnswer)
        }
    }
}
