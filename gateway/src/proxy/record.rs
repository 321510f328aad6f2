//! What is logged and counted of a request, once.

use std::io;

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};

use super::exchange::{Exchange, Passed};
use crate::access_log::Line;
use crate::audit;
use crate::metrics::{Answered, DropReason, OriginChannel, OriginOutcome};
use crate::route::Arrival;
use crate::target::Operation;

impl Exchange {
    /// Logs and counts the request, once.
    pub(super) fn record(&mut self, passed: Passed, error: Option<&Error>) {
        self.is_recorded = true;
        let Some(arrival) = self.arrival else { return };
        let operation = self.target.as_deref().map(|target| target.operation);
        if let Some(refused) = self.denied.get()
            && may_be_refusal(passed.status, operation)
        {
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

/// Whether an answer of `status` may tell of a refusal. An operation may have found once that permission is missing, and
/// the next moment that it is not: it looks again where who asks has changed. A list of keys is answered 200 with the
/// refusal of each; where there is no status nobody can say.
fn may_be_refusal(status: Option<StatusCode>, operation: Option<Operation>) -> bool {
    let is_served = status.is_some_and(|status| status.as_u16() < 400);
    !is_served || operation == Some(Operation::DeleteObjects)
}

/// Why an exchange that ended with `error` counts as let go; a client that just left does not.
fn drop_reason(error: &Error) -> Option<DropReason> {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => Some(DropReason::StalledReader),
        (ErrorSource::Downstream, ErrorType::WriteError) if has_timed_out(error) => {
            Some(DropReason::StalledReader)
        }
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(DropReason::StalledUpload),
        (ErrorSource::Downstream, _) => None,
        (ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset, _) => {
            Some(DropReason::BrokenAnswer)
        }
    }
}

/// Whether the connection gave a write up that nobody here had given a time.
fn has_timed_out(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_was_not_refused_unless_it_is_a_list_of_keys() {
        let (get, delete) = (Some(Operation::GetObject), Some(Operation::DeleteObjects));
        for (status, operation, expected) in [
            (Some(StatusCode::FORBIDDEN), get, true),
            (Some(StatusCode::NOT_FOUND), get, true),
            (Some(StatusCode::OK), get, false),
            (Some(StatusCode::PARTIAL_CONTENT), get, false),
            (Some(StatusCode::NOT_MODIFIED), get, false),
            (Some(StatusCode::OK), delete, true),
            (None, get, true),
            (None, None, true),
        ] {
            assert_eq!(may_be_refusal(status, operation), expected, "{status:?} {operation:?}");
        }
    }
}
