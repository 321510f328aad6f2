//! Every series of the gateway, with help text and unit, in the registry of one region's node.
//!
//! Labels come from closed sets: regions of the topology, enums, status codes; never from what a client sent.
//! Where a request was refused before its region or operation was known, the label is `none`. The registry
//! puts `penstock_` before every name and says whose node it is in the label `node`.

mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub use self::sessions::{Confirmation, Direction, MessageKind, OwnerGauges, SessionMetrics};
use crate::target::{EndpointKind, Operation};
use crate::topology::{RegionName, Topology};

/// First byte and origin times, in seconds: a memory hit is well under a millisecond, a cold read over a long
/// link tens to hundreds of them, a stalled origin seconds.
const SECONDS_BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// The label of what was not known when a request was refused.
const NONE: &str = "none";

/// Where the bytes of a cached read came from; of a whole read, the slowest of them that it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadSource {
    /// The memory tier.
    Memory,
    /// The disk tier.
    Nvme,
    /// A fill that another reader had started.
    Joined,
    /// The owning region, in a fill of this reader's own.
    Origin,
    /// The owning region, around the cache.
    Bypass,
}

impl ReadSource {
    /// Every source.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Nvme, Self::Joined, Self::Origin, Self::Bypass];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nvme => "nvme",
            Self::Joined => "joined",
            Self::Origin => "origin",
            Self::Bypass => "bypass",
        }
    }
}

/// What a node asks an owning region for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginChannel {
    /// Heads, facts and users, batched, on a session's stream.
    Resolve,
    /// Pages of an instance.
    Blob,
    /// A client's request, untouched.
    Forward,
}

impl OriginChannel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Resolve, Self::Blob, Self::Forward];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Blob => "blob",
            Self::Forward => "forward",
        }
    }
}

/// How a request to an owning region ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginOutcome {
    /// Answered in full.
    Answered,
    /// The instance is not there any more.
    Gone,
    /// The owner, or a limit on this side, had no room.
    Busy,
    /// Not reached, or broken off.
    Failed,
}

impl OriginOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Gone, Self::Busy, Self::Failed];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Gone => "gone",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

/// What a certificate of a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFor {
    /// Clients, on the public listeners.
    Clients,
    /// The other nodes, on the peer channel.
    Nodes,
}

impl CertificateFor {
    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Nodes => "nodes",
        }
    }
}

/// Why a connection or request was let go without an ordinary answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// More connections than the limit: one that waited, or the new one where none did.
    Connections,
    /// More bytes of unfinished heads and handshakes than the limit.
    Heads,
    /// More requests in flight than the limit.
    InFlight,
    /// More requests on their way to other regions than the limit.
    Forwards,
    /// More uploads into the region's store than the limit.
    Uploads,
    /// More requests a second from one address than its quota.
    AddressRate,
    /// More requests at one time from one address than its quota.
    AddressInFlight,
    /// More requests a second by one access key than its quota.
    KeyRate,
    /// More requests at one time by one access key than its quota.
    KeyInFlight,
    /// The request's head was not complete by its deadline.
    HeaderDeadline,
    /// The client stopped sending its body.
    StalledUpload,
    /// The client stopped reading its answer.
    StalledReader,
    /// The answer broke off after its first byte.
    BrokenAnswer,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Connections,
        Self::Heads,
        Self::InFlight,
        Self::Forwards,
        Self::Uploads,
        Self::AddressRate,
        Self::AddressInFlight,
        Self::KeyRate,
        Self::KeyInFlight,
        Self::HeaderDeadline,
        Self::StalledUpload,
        Self::StalledReader,
        Self::BrokenAnswer,
    ];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Heads => "heads",
            Self::InFlight => "in_flight",
            Self::Forwards => "forwards",
            Self::Uploads => "uploads",
            Self::AddressRate => "address_rate",
            Self::AddressInFlight => "address_in_flight",
            Self::KeyRate => "key_rate",
            Self::KeyInFlight => "key_in_flight",
            Self::HeaderDeadline => "header_deadline",
            Self::StalledUpload => "stalled_upload",
            Self::StalledReader => "stalled_reader",
            Self::BrokenAnswer => "broken_answer",
        }
    }
}

/// One answered request, recorded once, when its last byte has left.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    /// The endpoint it came to.
    pub endpoint: EndpointKind,
    /// The region that owns what was asked for, where the host named one.
    pub region: Option<&'a RegionName>,
    /// The S3 operation, where the request was one.
    pub operation: Option<Operation>,
    /// The status that was sent.
    pub status: StatusCode,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
    /// From the complete head of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
}

/// The series of one region's node.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    received_bytes: IntCounterVec,
    sent_bytes: IntCounterVec,
    first_byte_seconds: HistogramVec,
    in_flight: IntGaugeVec,
    drops: IntCounterVec,
    cache_requests: IntCounterVec,
    cache_bytes: IntCounterVec,
    origin_requests: IntCounterVec,
    origin_bytes: IntCounterVec,
    origin_seconds: HistogramVec,
    head_starts: IntCounterVec,
    certificate_expiry: IntGaugeVec,
    sessions: Arc<SessionMetrics>,
}

/// What became of the first pages of objects that were asked for along with their heads.
#[derive(Clone, Debug)]
pub struct HeadStartCounts {
    /// A reader got them.
    pub used: IntCounter,
    /// Nobody needed them.
    pub unused: IntCounter,
}

/// The registry of one region's node, and nothing of any other.
///
/// # Panics
/// Never: a prefix and one label always make a registry.
#[must_use]
pub fn registry(node: &RegionName) -> Registry {
    let labels = HashMap::from([("node".to_owned(), node.to_string())]);
    Registry::new_custom(Some("penstock".to_owned()), Some(labels)).expect("the prefix is not empty")
}

impl Metrics {
    /// The gateway's series, registered in `registry`.
    ///
    /// # Panics
    /// When `registry` already holds them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let series = Series(registry);
        series
            .gauge("build_info", "Always 1; the version of this binary is its label.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Self {
            requests: series.counter(
                "requests_total",
                "Requests answered, by endpoint, owning region, S3 operation and status.",
                &["endpoint", "region", "operation", "status"],
            ),
            received_bytes: series.counter(
                "received_bytes_total",
                "Body bytes received from clients.",
                &["endpoint", "region"],
            ),
            sent_bytes: series.counter(
                "sent_bytes_total",
                "Body bytes sent to clients.",
                &["endpoint", "region"],
            ),
            first_byte_seconds: series.histogram(
                "first_byte_seconds",
                "Seconds from a complete request head to the first byte of its answer.",
                &["endpoint", "region"],
            ),
            in_flight: series.gauge(
                "requests_in_flight",
                "Requests whose answer has not ended yet.",
                &["endpoint"],
            ),
            drops: series.counter(
                "drops_total",
                "Connections and requests let go without an ordinary answer, by reason.",
                &["reason"],
            ),
            cache_requests: series.counter(
                "cache_requests_total",
                "Object reads at the accelerated endpoint, by the slowest source of their bytes.",
                &["endpoint", "region", "result"],
            ),
            cache_bytes: series.counter(
                "cache_bytes_total",
                "Object bytes sent by the accelerated endpoint, by where they came from.",
                &["endpoint", "region", "result"],
            ),
            origin_requests: series.counter(
                "origin_requests_total",
                "Requests to owning regions, by channel and how they ended.",
                &["region", "channel", "outcome"],
            ),
            origin_bytes: series.counter(
                "origin_bytes_total",
                "Bytes received from owning regions, by channel.",
                &["region", "channel"],
            ),
            origin_seconds: series.histogram(
                "origin_seconds",
                "Seconds from asking an owning region to its first answer.",
                &["region", "channel"],
            ),
            head_starts: series.counter(
                "head_starts_total",
                "First pages of objects asked for along with their heads, by whether they were used.",
                &["region", "outcome"],
            ),
            certificate_expiry: series.gauge(
                "certificate_expiry_timestamp_seconds",
                "When the certificate that this node shows ends, in seconds since 1970, by whom it is for.",
                &["certificate"],
            ),
            sessions: Arc::new(SessionMetrics::new(&series)),
        }
    }

    /// Where it is said when the node's certificate for these ends, in seconds since 1970.
    #[must_use]
    pub fn certificate_expiry(&self, of: CertificateFor) -> IntGauge {
        self.certificate_expiry.with_label_values(&[of.as_str()])
    }

    /// Counts what first pages from `region` come to.
    #[must_use]
    pub fn head_starts(&self, region: &RegionName) -> HeadStartCounts {
        let [used, unused] =
            ["used", "unused"].map(|outcome| self.head_starts.with_label_values(&[region.as_str(), outcome]));
        HeadStartCounts { used, unused }
    }

    /// The series of sessions.
    #[must_use]
    pub fn sessions(&self) -> &SessionMetrics {
        &self.sessions
    }

    /// Shows every series from the start, at 0: a rate needs the count before the first event, and a dashboard
    /// should not have to guess what exists.
    pub fn begin(&self, topology: &Topology) {
        self.sessions.begin(topology);
        for reason in DropReason::ALL {
            self.drops.with_label_values(&[reason.as_str()]);
        }
        for endpoint in EndpointKind::LISTENING.map(EndpointKind::as_str) {
            self.in_flight.with_label_values(&[endpoint]);
        }
        for endpoint in EndpointKind::ALL.map(EndpointKind::as_str) {
            for region in topology.regions().iter().map(|region| region.name().as_str()) {
                self.requests.with_label_values(&[endpoint, region, Operation::GetObject.as_str(), "200"]);
                self.received_bytes.with_label_values(&[endpoint, region]);
                self.sent_bytes.with_label_values(&[endpoint, region]);
                self.first_byte_seconds.with_label_values(&[endpoint, region]);
            }
        }
        for region in topology.regions().iter().map(|region| region.name().as_str()) {
            for source in ReadSource::ALL {
                let labels = [EndpointKind::Accelerated.as_str(), region, source.as_str()];
                self.cache_requests.with_label_values(&labels);
                self.cache_bytes.with_label_values(&labels);
            }
            for outcome in ["used", "unused"] {
                self.head_starts.with_label_values(&[region, outcome]);
            }
            for channel in OriginChannel::ALL.map(OriginChannel::as_str) {
                self.origin_bytes.with_label_values(&[region, channel]);
                self.origin_seconds.with_label_values(&[region, channel]);
                for outcome in OriginOutcome::ALL {
                    self.origin_requests.with_label_values(&[region, channel, outcome.as_str()]);
                }
            }
        }
    }

    /// A request has arrived; it is in flight until the guard is dropped.
    #[must_use]
    pub fn request_arrived(&self, endpoint: EndpointKind) -> InFlight {
        let gauge = self.in_flight.with_label_values(&[endpoint.as_str()]);
        gauge.inc();
        InFlight(gauge)
    }

    /// A request has been answered, whatever the answer.
    pub fn request_answered(&self, answered: &Answered<'_>) {
        let endpoint = answered.endpoint.as_str();
        let region = answered.region.map_or(NONE, RegionName::as_str);
        let operation = answered.operation.map_or(NONE, Operation::as_str);
        self.requests.with_label_values(&[endpoint, region, operation, answered.status.as_str()]).inc();
        self.received_bytes.with_label_values(&[endpoint, region]).inc_by(answered.received_bytes);
        self.sent_bytes.with_label_values(&[endpoint, region]).inc_by(answered.sent_bytes);
        if let Some(elapsed) = answered.first_byte {
            self.first_byte_seconds.with_label_values(&[endpoint, region]).observe(elapsed.as_secs_f64());
        }
    }

    /// A connection or request was let go without an ordinary answer.
    pub fn dropped(&self, reason: DropReason) {
        self.drops.with_label_values(&[reason.as_str()]).inc();
    }

    /// An object read went through the cache; `slowest` is the slowest source that its bytes came from.
    pub fn cached_read(&self, endpoint: EndpointKind, region: &RegionName, slowest: ReadSource) {
        self.cache_requests.with_label_values(&[endpoint.as_str(), region.as_str(), slowest.as_str()]).inc();
    }

    /// `bytes` of an object left for a client, from `source`.
    pub fn cached_bytes(&self, endpoint: EndpointKind, region: &RegionName, source: ReadSource, bytes: u64) {
        let labels = [endpoint.as_str(), region.as_str(), source.as_str()];
        self.cache_bytes.with_label_values(&labels).inc_by(bytes);
    }

    /// A request to the owning region `region` has ended; `first_answer` is how long its first answer took.
    pub fn origin_request(
        &self,
        region: &RegionName,
        channel: OriginChannel,
        outcome: OriginOutcome,
        first_answer: Duration,
    ) {
        let (region, channel) = (region.as_str(), channel.as_str());
        self.origin_requests.with_label_values(&[region, channel, outcome.as_str()]).inc();
        self.origin_seconds.with_label_values(&[region, channel]).observe(first_answer.as_secs_f64());
    }

    /// `bytes` came from the owning region `region`.
    pub fn origin_bytes(&self, region: &RegionName, channel: OriginChannel, bytes: u64) {
        self.origin_bytes.with_label_values(&[region.as_str(), channel.as_str()]).inc_by(bytes);
    }
}

/// Counts one request as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes series and registers them.
struct Series<'a>(&'a Registry);

impl Series<'_> {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let vec = IntCounterVec::new(Opts::new(name, help), labels);
        self.register(vec)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let vec = IntGaugeVec::new(Opts::new(name, help), labels);
        self.register(vec)
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(SECONDS_BUCKETS.to_vec());
        self.register(HistogramVec::new(options, labels))
    }

    fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let series = made.expect("names and labels are well formed");
        self.0.register(Box::new(series.clone())).expect("each series is registered once");
        series
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).expect("metrics encode")
    }

    #[test]
    fn a_request_is_counted_under_its_node_with_closed_labels() {
        let ord1 = RegionName::parse("ord1").expect("name");
        let registry = registry(&RegionName::parse("las1").expect("name"));
        let metrics = Metrics::new(&registry);
        let in_flight = metrics.request_arrived(EndpointKind::Accelerated);
        assert!(
            text(&registry).contains(r#"penstock_requests_in_flight{endpoint="accelerated",node="las1"} 1"#)
        );
        metrics.request_answered(&Answered {
            endpoint: EndpointKind::Accelerated,
            region: Some(&ord1),
            operation: Some(Operation::GetObject),
            status: StatusCode::PARTIAL_CONTENT,
            received_bytes: 0,
            sent_bytes: 10,
            first_byte: Some(Duration::from_millis(3)),
        });
        drop(in_flight);
        let text = text(&registry);
        for line in [
            r#"penstock_requests_total{endpoint="accelerated",operation="GetObject",region="ord1",status="206",node="las1"} 1"#,
            r#"penstock_sent_bytes_total{endpoint="accelerated",region="ord1",node="las1"} 10"#,
            r#"penstock_first_byte_seconds_bucket{endpoint="accelerated",region="ord1",node="las1",le="0.005"} 1"#,
            r#"penstock_first_byte_seconds_bucket{endpoint="accelerated",region="ord1",node="las1",le="0.002"} 0"#,
            r#"penstock_requests_in_flight{endpoint="accelerated",node="las1"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_request_refused_before_it_was_understood_is_counted_under_none() {
        let registry = registry(&RegionName::parse("ord1").expect("name"));
        Metrics::new(&registry).request_answered(&Answered {
            endpoint: EndpointKind::Standard,
            region: None,
            operation: None,
            status: StatusCode::BAD_REQUEST,
            received_bytes: 0,
            sent_bytes: 0,
            first_byte: None,
        });
        assert!(text(&registry).contains(r#"operation="none",region="none",status="400""#));
    }
}
