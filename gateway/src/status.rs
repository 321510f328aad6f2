//! How a node stands, for `penstock status`: with the other nodes, the sessions that it grants, and those that it holds; and with the
//! disks of its cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, DeviceState};
use serde::{Deserialize, Serialize};

use crate::coherence::node::NodeStatus;
use crate::coherence::owner::OwnerStatus;
use crate::coherence::{Follower, Sessions, boottime};
use crate::topology::RegionName;

/// Knows how a running node stands.
pub struct Standing {
    region: RegionName,
    sessions: Arc<Sessions>,
    followers: Vec<Arc<Follower>>,
    cache: Option<Cache>,
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node's region.
    pub region: String,
    /// What it grants as an owner, by class.
    pub grants: Vec<Grants>,
    /// What it holds of other owners.
    pub holds: Vec<Held>,
    /// The disks of its cache; an older node says nothing of them.
    #[serde(default)]
    pub disks: Vec<Disk>,
}

/// A disk of a node's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The file or raw device.
    pub path: String,
    /// `in_use`, `awaited` for another process to let go of it, `silent`, or `out`.
    pub state: String,
}

/// What an owner grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// `objects` or `users`.
    pub class: String,
    /// Until changes may be committed, after a start.
    pub withheld_millis: u64,
    /// Changes that were announced and are not over.
    pub changes: usize,
    /// Leases, of all there ever were, that a change had to wait out.
    pub waited_out: u64,
    /// Sessions that may be live.
    pub sessions: Vec<Session>,
    /// Nodes that go without a session for a while.
    pub quarantined: Vec<Quarantined>,
}

/// A session, at its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The node's region.
    pub node: String,
    /// Its stream is there; without one it is waited out.
    pub is_connected: bool,
    /// What is left of its lease.
    pub lease_left_millis: u64,
    /// Buckets that it is interested in.
    pub interest: usize,
    /// Clears that it has not applied.
    pub unapplied: usize,
    /// How long the oldest of them has waited.
    pub lag_millis: u64,
}

/// A node that kept changes waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The node's region.
    pub node: String,
    /// How much longer.
    pub left_millis: u64,
    /// How often it kept changes waiting lately.
    pub strikes: u32,
}

/// What a node holds of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The owner's region.
    pub region: String,
    /// `objects` or `users`.
    pub class: String,
    /// There is a stream.
    pub is_connected: bool,
    /// What is left of the session's lease; 0 without a live one.
    pub lease_left_millis: u64,
    /// How much longer the owner gives no session.
    pub refused_millis: u64,
    /// Heads, facts or users that are kept, live or not.
    pub kept: usize,
    /// Bytes of them.
    pub kept_bytes: usize,
    /// Sessions that were lost.
    pub lapses: u64,
    /// Questions that wait to be sent, and batches that wait to be answered.
    pub waiting: usize,
    /// Why the last way to the owner led nowhere, where it did not; an older node says nothing of it.
    #[serde(default)]
    pub trouble: Option<String>,
}

impl Standing {
    /// Of the node of `region`.
    pub(crate) fn new(region: RegionName, sessions: Arc<Sessions>, followers: Vec<Arc<Follower>>) -> Self {
        Self { region, sessions, followers, cache: None }
    }

    /// Of a node with this cache.
    pub(crate) fn with_cache(self, cache: Cache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// How it stands at this moment.
    #[must_use]
    pub fn now(&self) -> Status {
        let now = boottime();
        let mut holds: Vec<_> = self
            .followers
            .iter()
            .map(|follower| {
                let (region, class) = (follower.region().as_str(), follower.class().as_str());
                Held { trouble: follower.trouble(), ..held(now, region, class, &follower.status()) }
            })
            .collect();
        holds.sort_by(|one, other| (&one.class, &one.region).cmp(&(&other.class, &other.region)));
        let grants = self.sessions.status().into_iter();
        let grants = grants.map(|(class, status)| granted(now, class.as_str(), status)).collect();
        let devices = self.cache.iter().flat_map(Cache::devices);
        let disks = devices
            .map(|(path, state)| Disk { path: path.display().to_string(), state: word_of(state).into() });
        Status { region: self.region.to_string(), grants, holds, disks: disks.collect() }
    }
}

fn word_of(state: DeviceState) -> &'static str {
    match state {
        DeviceState::InUse => "in_use",
        DeviceState::Awaited => "awaited",
        DeviceState::Silent => "silent",
        DeviceState::Out => "out",
    }
}

fn granted(now: Duration, class: &str, status: OwnerStatus) -> Grants {
    let session = |session: crate::coherence::owner::SessionStatus| Session {
        node: session.node.to_string(),
        is_connected: session.is_connected,
        lease_left_millis: left(now, Some(session.until)),
        interest: session.areas_count,
        unapplied: session.unacknowledged_count,
        lag_millis: session.waiting_since.map_or(0, |since| millis(now.saturating_sub(since))),
    };
    let quarantined = status.validating.iter().map(|(node, until, strikes)| Quarantined {
        node: node.to_string(),
        left_millis: left(now, Some(*until)),
        strikes: *strikes,
    });
    Grants {
        class: class.to_owned(),
        withheld_millis: left(now, status.withheld_until),
        changes: status.changes_count,
        waited_out: status.waited_out_count,
        quarantined: quarantined.collect(),
        sessions: status.sessions.into_iter().map(session).collect(),
    }
}

fn held(now: Duration, region: &str, class: &str, status: &NodeStatus) -> Held {
    Held {
        region: region.to_owned(),
        class: class.to_owned(),
        is_connected: status.is_connected,
        lease_left_millis: left(now, status.live_until),
        refused_millis: left(now, status.refused_until.filter(|until| *until < Duration::MAX)),
        kept: status.kept_count,
        kept_bytes: status.kept_weight,
        lapses: status.lapses_count,
        waiting: status.waiting_count + status.resolves_count,
        trouble: None,
    }
}

fn left(now: Duration, until: Option<Duration>) -> u64 {
    until.map_or(0, |until| millis(until.saturating_sub(now)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.region)?;
        for grants in &self.grants {
            write!(f, "  grants {}: {} sessions", grants.class, grants.sessions.len())?;
            if grants.withheld_millis > 0 {
                write!(f, ", changes wait {} ms more for earlier leases", grants.withheld_millis)?;
            }
            writeln!(f, ", {} leases waited out", grants.waited_out)?;
            for session in &grants.sessions {
                let how = if session.is_connected { "connected" } else { "out of reach" };
                let Session { node, lease_left_millis, interest, unapplied, lag_millis, .. } = session;
                writeln!(
                    f,
                    "    {node}: {how}, lease {lease_left_millis} ms, interest {interest}, unapplied {unapplied}, lag {lag_millis} ms"
                )?;
            }
            for Quarantined { node, left_millis, strikes } in &grants.quarantined {
                writeln!(f, "    {node}: asks each time for {left_millis} ms more, strikes {strikes}")?;
            }
        }
        for held in &self.holds {
            let Held { region, class, lease_left_millis, kept, kept_bytes, lapses, waiting, .. } = held;
            let how = match (lease_left_millis, held.is_connected, &held.trouble) {
                (0, _, Some(trouble)) => format!("no session, {trouble}"),
                (0, true, None) => "asks each time".to_owned(),
                (0, false, None) => "no session, as nobody asks".to_owned(),
                (left, _, _) => format!("lease {left} ms"),
            };
            writeln!(
                f,
                "  {class} of {region}: {how}, keeps {kept} ({kept_bytes} bytes), lapses {lapses}, waiting {waiting}"
            )?;
        }
        for Disk { path, state } in &self.disks {
            let how = match state.as_str() {
                "in_use" => "in use",
                "awaited" => "another process holds it",
                "silent" => "does not answer",
                "out" => "out, and tried again from time to time",
                other => other,
            };
            writeln!(f, "  cache on {path}: {how}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::owner::SessionStatus;

    #[test]
    fn a_session_is_shown_with_what_is_left_and_how_far_it_lags() {
        let seconds = Duration::from_secs;
        let status = OwnerStatus {
            sessions: vec![SessionStatus {
                node: "las1".into(),
                until: seconds(12),
                areas_count: 2,
                unacknowledged_count: 3,
                waiting_since: Some(seconds(9)),
                unsent_bytes: 0,
                is_connected: true,
                is_taken_up: true,
            }],
            validating: vec![("lga1".into(), seconds(15), 2)],
            changes_count: 3,
            withheld_until: Some(seconds(11)),
            waited_out_count: 1,
        };
        let grants = granted(seconds(10), "objects", status);
        let session = &grants.sessions[0];
        assert_eq!((session.lease_left_millis, session.lag_millis, session.unapplied), (2000, 1000, 3));
        assert_eq!((grants.withheld_millis, grants.quarantined[0].left_millis), (1000, 5000));
        let disk = Disk { path: "/cache/slab".into(), state: word_of(DeviceState::Silent).into() };
        let status =
            Status { region: "ord1".into(), grants: vec![grants], holds: Vec::new(), disks: vec![disk] };
        let read: Status =
            serde_json::from_str(&serde_json::to_string(&status).expect("JSON")).expect("read");
        assert_eq!(read, status);
        assert!(
            status
                .to_string()
                .contains("las1: connected, lease 2000 ms, interest 2, unapplied 3, lag 1000 ms")
        );
        assert!(status.to_string().ends_with("cache on /cache/slab: does not answer\n"));
    }
}
