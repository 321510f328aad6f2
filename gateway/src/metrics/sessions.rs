//! The series of sessions: what an owner grants, what a node holds, and what both cost.

use std::time::Duration;

use origin::regional::LeaseClass;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::{NONE, Series};
use crate::topology::{RegionName, Topology};

/// Which way a message went, from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To another node.
    Sent,
    /// From another node.
    Received,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Received];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// The messages of a session's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A node opens a stream.
    Open,
    /// The answer to that.
    Opened,
    /// A node asks for a session.
    Hello,
    /// The answer to that.
    Welcome,
    /// The other answer to that.
    Refused,
    /// A node asks for another lease.
    Renew,
    /// The answer to that.
    Renewed,
    /// Questions.
    Resolve,
    /// Their answers.
    Answers,
    /// What was kept may be true no more.
    Clear,
    /// A node has let go of it.
    Ack,
    /// A node keeps nothing of a bucket any more.
    Release,
    /// A node ends its session.
    Goodbye,
    /// An owner ends one.
    Ended,
}

impl MessageKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Open,
        Self::Opened,
        Self::Hello,
        Self::Welcome,
        Self::Refused,
        Self::Renew,
        Self::Renewed,
        Self::Resolve,
        Self::Answers,
        Self::Clear,
        Self::Ack,
        Self::Release,
        Self::Goodbye,
        Self::Ended,
    ];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Opened => "opened",
            Self::Hello => "hello",
            Self::Welcome => "welcome",
            Self::Refused => "refused",
            Self::Renew => "renew",
            Self::Renewed => "renewed",
            Self::Resolve => "resolve",
            Self::Answers => "answers",
            Self::Clear => "clear",
            Self::Ack => "ack",
            Self::Release => "release",
            Self::Goodbye => "goodbye",
            Self::Ended => "ended",
        }
    }
}

/// How a question about what was kept from an earlier session was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It is as it was.
    Same,
    /// It is another one now, or gone.
    Changed,
}

impl Confirmation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Same, Self::Changed];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
        }
    }
}

/// What an owner knows of its sessions at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerGauges {
    /// Sessions that may be live.
    pub sessions: usize,
    /// Buckets that sessions are interested in, counted once for each session.
    pub interest: usize,
    /// Nodes that are not given a session for a while.
    pub quarantined: usize,
    /// Clears that some session has not applied yet.
    pub unapplied: usize,
    /// Until changes may be committed, after a start.
    pub hold: Duration,
    /// Sessions, of all there ever were, whose lease a change had to wait out.
    pub waited_out: u64,
}

/// The series of sessions.
#[derive(Clone, Debug)]
pub struct SessionMetrics {
    messages: IntCounterVec,
    sessions: IntGaugeVec,
    interest: IntGaugeVec,
    quarantined: IntGaugeVec,
    unapplied: IntGaugeVec,
    hold_seconds: IntGaugeVec,
    change_wait_seconds: HistogramVec,
    waited_out: IntCounterVec,
    held_back: IntCounterVec,
    live: IntGaugeVec,
    lapses: IntCounterVec,
    confirmations: IntCounterVec,
    renew_seconds: HistogramVec,
    served_known: IntCounterVec,
}

impl SessionMetrics {
    pub(super) fn new(series: &Series<'_>) -> Self {
        Self {
            messages: series.counter(
                "session_messages_total",
                "Messages of sessions between this node and one of another region, by kind.",
                &["region", "class", "direction", "kind"],
            ),
            sessions: series.gauge(
                "session_granted",
                "Sessions of other nodes with this owner that may be live.",
                &["class"],
            ),
            interest: series.gauge(
                "session_interest",
                "Buckets that other nodes' sessions are interested in, once for each session.",
                &["class"],
            ),
            quarantined: series.gauge(
                "session_quarantined",
                "Nodes that lost their sessions too often and have to ask each time for a while.",
                &["class"],
            ),
            unapplied: series.gauge(
                "session_unapplied_clears",
                "Clears sent to other nodes that some of them have not applied yet.",
                &["class"],
            ),
            hold_seconds: series.gauge(
                "session_hold_seconds",
                "Seconds until this owner may change what leases of its earlier process may be in force for.",
                &["class"],
            ),
            change_wait_seconds: series.histogram(
                "session_change_wait_seconds",
                "Seconds that a change waited for other nodes to let go of what it makes old.",
                &["class"],
            ),
            waited_out: series.counter(
                "session_leases_waited_out_total",
                "Sessions whose lease a change had to wait out, because the node did not answer.",
                &["class"],
            ),
            held_back: series.counter(
                "session_changes_held_back_total",
                "Changes refused because this owner had started too recently.",
                &["class"],
            ),
            live: series.gauge(
                "session_live",
                "1 while this node has a live session with the owner of the region.",
                &["region", "class"],
            ),
            lapses: series.counter(
                "session_lapses_total",
                "Sessions of this node whose lease ran out, or that broke.",
                &["region", "class"],
            ),
            confirmations: series.counter(
                "session_confirmations_total",
                "Things kept from an earlier session that were asked about again, by what came of it.",
                &["region", "class", "outcome"],
            ),
            renew_seconds: series.histogram(
                "session_renew_seconds",
                "Seconds from a renewal to its answer.",
                &["region", "class"],
            ),
            served_known: series.counter(
                "session_users_served_known_total",
                "Users believed after their lease because home did not answer (on_home_loss = \"serve-known\").",
                &["region"],
            ),
        }
    }

    pub(super) fn begin(&self, topology: &Topology) {
        let regions: Vec<_> = topology.regions().iter().map(|region| region.name().as_str()).collect();
        for class in LeaseClass::ALL.map(LeaseClass::as_str) {
            for gauge in
                [&self.sessions, &self.interest, &self.quarantined, &self.unapplied, &self.hold_seconds]
            {
                gauge.with_label_values(&[class]);
            }
            self.change_wait_seconds.with_label_values(&[class]);
            self.waited_out.with_label_values(&[class]);
            self.held_back.with_label_values(&[class]);
            for region in &regions {
                self.live.with_label_values(&[region, class]);
                self.lapses.with_label_values(&[region, class]);
                self.renew_seconds.with_label_values(&[region, class]);
                for outcome in Confirmation::ALL.map(Confirmation::as_str) {
                    self.confirmations.with_label_values(&[region, class, outcome]);
                }
                for direction in Direction::ALL.map(Direction::as_str) {
                    for kind in MessageKind::ALL.map(MessageKind::as_str) {
                        self.messages.with_label_values(&[region, class, direction, kind]);
                    }
                }
            }
        }
        for region in regions {
            self.served_known.with_label_values(&[region]);
        }
    }

    /// A message went to, or came from, a node of `region`; `None` where it has not said which.
    pub fn message(
        &self,
        region: Option<&RegionName>,
        class: LeaseClass,
        direction: Direction,
        kind: MessageKind,
    ) {
        let region = region.map_or(NONE, RegionName::as_str);
        self.messages.with_label_values(&[region, class.as_str(), direction.as_str(), kind.as_str()]).inc();
    }

    /// How this owner's sessions of `class` stand.
    pub fn owner(&self, class: LeaseClass, gauges: OwnerGauges) {
        let show = |gauge: &IntGaugeVec, count: usize| {
            gauge.with_label_values(&[class.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        show(&self.sessions, gauges.sessions);
        show(&self.interest, gauges.interest);
        show(&self.quarantined, gauges.quarantined);
        show(&self.unapplied, gauges.unapplied);
        show(&self.hold_seconds, gauges.hold.as_millis().div_ceil(1000) as usize);
        let waited_out = self.waited_out.with_label_values(&[class.as_str()]);
        waited_out.inc_by(gauges.waited_out.saturating_sub(waited_out.get()));
    }

    /// A change waited for other nodes.
    pub fn change_waited(&self, class: LeaseClass, waited: Duration) {
        self.change_wait_seconds.with_label_values(&[class.as_str()]).observe(waited.as_secs_f64());
    }

    /// A change was refused: this owner had started too recently.
    pub fn held_back(&self, class: LeaseClass) {
        self.held_back.with_label_values(&[class.as_str()]).inc();
    }

    /// This node's session with the owner of `region` begins or ends.
    pub fn live(&self, region: &RegionName, class: LeaseClass, is_live: bool) {
        self.live.with_label_values(&[region.as_str(), class.as_str()]).set(i64::from(is_live));
    }

    /// This node's session with the owner of `region` was lost.
    pub fn lapsed(&self, region: &RegionName, class: LeaseClass) {
        self.lapses.with_label_values(&[region.as_str(), class.as_str()]).inc();
    }

    /// What was kept from an earlier session was asked about.
    pub fn confirmed(&self, region: &RegionName, class: LeaseClass, outcome: Confirmation) {
        self.confirmations.with_label_values(&[region.as_str(), class.as_str(), outcome.as_str()]).inc();
    }

    /// A renewal was answered.
    pub fn renewed(&self, region: &RegionName, class: LeaseClass, took: Duration) {
        self.renew_seconds.with_label_values(&[region.as_str(), class.as_str()]).observe(took.as_secs_f64());
    }

    /// A user was believed although `home` could not confirm them.
    pub fn served_known(&self, home: &RegionName) {
        self.served_known.with_label_values(&[home.as_str()]).inc();
    }
}
