//! The cases: what is pulled, through what, and in which state the caches are.

use std::num::NonZeroU64;
use std::time::Duration;

use tests::MIB;
use tests::cluster::ALLOWANCE_BYTES;
use tests::random::Random;
use tests::wan::Shape;

use crate::ask::{Ask, Object, Tenant};
use crate::server::Kind;

const GIB: u64 = 1 << 30;

/// Of a far origin: half its round trip, and what one connection carries.
const FAR: Duration = Duration::from_millis(20);
const FAR_BYTES_PER_SECOND: NonZeroU64 = NonZeroU64::new(60 * MIB).expect("not zero");

/// Of one in the same building: half its round trip, and what all connections carry together, 2.5 Gbit/s.
const NEAR: Duration = Duration::from_micros(250);
const NEAR_BYTES_PER_SECOND: NonZeroU64 = NonZeroU64::new(298 * MIB).expect("not zero");

/// One question to several servers.
pub(crate) struct Case {
    /// As the command line names it.
    pub(crate) name: &'static str,
    /// As the table says it.
    pub(crate) what: &'static str,
    /// The first is what the others' speed is told by: a floor, or the way to the origin where that is the question.
    pub(crate) servers: &'static [Kind],
    /// The caches' memory and disk in MiB, where a server lets itself be told.
    pub(crate) memory_mib: u64,
    pub(crate) disk_mib: u64,
    pub(crate) is_tls: bool,
    pub(crate) distance: Distance,
    pub(crate) before: Before,
    pub(crate) work: Work,
}

/// How far the origin is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    /// At hand.
    None,
    /// In the same building.
    Near,
    /// In another region.
    Far,
}

/// What is done to a server before each round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// What the kernel keeps of the server's files is dropped.
    PagesDropped,
    /// It ends and starts again, and the kernel keeps nothing either.
    Restarted,
}

/// What one round does.
pub(crate) enum Work {
    /// A GiB that was read before, in ranges of 8 MiB, eight at a time, `passes` times.
    Hot { passes: usize },
    /// One small object, again and again.
    Small { bytes: u64, requests: usize },
    /// An object that no cache has seen, `connections` of them asking for all of it at once.
    ColdWhole { bytes: u64, connections: usize },
    /// The same in ranges of 8 MiB, eight at a time.
    ColdRanges { bytes: u64 },
    /// Objects of 1 MiB, some far more often than others (Zipf, 0.9).
    Zipf { objects: usize, requests: usize },
    /// One tenant reads what no cache has seen, in ranges of 1 MiB over 58 connections; another 64 KiB, hot, over six,
    /// again and again: of this one's requests the times are.
    Beside { scanned_bytes: u64 },
}

/// What CPU is counted by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    Gib,
    Request,
}

pub(crate) const CASES: [Case; 12] = [
    Case {
        name: "memory",
        what: "1 GiB hot in memory, 8 × 8 MiB ranges",
        work: Work::Hot { passes: 3 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        ..BASE
    },
    Case {
        name: "tls",
        what: "the same over TLS 1.3",
        work: Work::Hot { passes: 1 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Penstock],
        is_tls: true,
        ..BASE
    },
    Case {
        name: "disk",
        what: "the same from disk, page cache cold",
        work: Work::Hot { passes: 1 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::NginxReadAheadOfLinux, Kind::Penstock],
        // Two blocks: less than the ranges in flight, so that every range is read from the disk.
        memory_mib: 2,
        before: Before::PagesDropped,
        ..BASE
    },
    Case {
        name: "4k",
        what: "4 KiB, 64 connections",
        work: Work::Small { bytes: 4 << 10, requests: 20_000 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock, Kind::PenstockAtOwner],
        ..SMALL
    },
    Case {
        name: "64k",
        what: "64 KiB, 64 connections",
        work: Work::Small { bytes: 64 << 10, requests: 20_000 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock, Kind::PenstockAtOwner],
        ..SMALL
    },
    Case {
        name: "cold-get",
        what: "cold 64 MiB, one GET, origin 40 ms away at 60 MiB/s a connection",
        work: Work::ColdWhole { bytes: 64 * MIB, connections: 1 },
        servers: &[Kind::Direct, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        distance: Distance::Far,
        ..BASE
    },
    Case {
        name: "cold-ranges",
        what: "cold 256 MiB, 8 × 8 MiB ranges, the same origin",
        work: Work::ColdRanges { bytes: 256 * MIB },
        servers: &[Kind::Direct, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        distance: Distance::Far,
        ..BASE
    },
    Case {
        name: "cold-near",
        what: "cold 256 MiB, 8 × 8 MiB ranges, origin 0.5 ms away, 2.5 Gbit/s in all",
        work: Work::ColdRanges { bytes: 256 * MIB },
        servers: &[Kind::Direct, Kind::Nginx, Kind::Penstock],
        distance: Distance::Near,
        ..BASE
    },
    Case {
        name: "herd",
        what: "64 readers of a cold 256 MiB",
        work: Work::ColdWhole { bytes: 256 * MIB, connections: 64 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        ..BASE
    },
    Case {
        name: "zipf",
        what: "512 × 1 MiB, twice the memory, Zipf 0.9, 16 connections",
        work: Work::Zipf { objects: 512, requests: 2000 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        memory_mib: 256,
        disk_mib: 1024,
        ..BASE
    },
    Case {
        name: "restart",
        what: "1 GiB just after a restart, 8 × 8 MiB ranges",
        work: Work::Hot { passes: 1 },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        before: Before::Restarted,
        ..BASE
    },
    Case {
        name: "tenants",
        what: "64 KiB, hot, 6 connections, while another tenant scans cold data over 58",
        work: Work::Beside { scanned_bytes: 512 * MIB },
        servers: &[Kind::Floor, Kind::Nginx, Kind::Varnish, Kind::Penstock],
        ..BASE
    },
];

const BASE: Case = Case {
    name: "",
    what: "",
    servers: &[],
    memory_mib: 1280,
    disk_mib: 2048,
    is_tls: false,
    distance: Distance::None,
    before: Before::Nothing,
    work: Work::Hot { passes: 1 },
};

const SMALL: Case = Case { memory_mib: 64, disk_mib: 128, ..BASE };

impl Case {
    /// How long and wide the way to the origin is, in each direction.
    pub(crate) fn way(&self) -> Shape {
        match self.distance {
            Distance::None => Shape::default(),
            Distance::Near => {
                Shape { bytes_per_second_all: Some(NEAR_BYTES_PER_SECOND), ..Shape::delayed(NEAR) }
            }
            Distance::Far => {
                Shape { bytes_per_second_each: Some(FAR_BYTES_PER_SECOND), ..Shape::delayed(FAR) }
            }
        }
    }

    /// Round 0 fills the caches, and is not counted; where caches must be cold there is none.
    pub(crate) fn first_round(&self) -> usize {
        match self.work {
            Work::Hot { .. } | Work::Small { .. } | Work::Zipf { .. } => 0,
            Work::ColdWhole { .. } | Work::ColdRanges { .. } | Work::Beside { .. } => 1,
        }
    }

    /// What our node may have at its peak: its cache's memory, and what any node may take beyond that.
    pub(crate) fn memory_bound_bytes(&self) -> u64 {
        self.memory_mib * MIB + ALLOWANCE_BYTES
    }

    pub(crate) fn per(&self) -> Per {
        match self.work {
            Work::Small { .. } => Per::Request,
            _ => Per::Gib,
        }
    }
}

impl Work {
    pub(crate) fn connections(&self) -> usize {
        match self {
            Self::Hot { .. } | Self::ColdRanges { .. } => 8,
            Self::Small { .. } => 64,
            Self::ColdWhole { connections, .. } => *connections,
            Self::Zipf { .. } => 16,
            Self::Beside { .. } => 58,
        }
    }

    /// What has to be in the store before round `round`, beside what earlier rounds had.
    pub(crate) fn objects(&self, round: usize) -> Vec<Object> {
        match self {
            Self::Hot { .. } | Self::Small { .. } if round > 0 => Vec::new(),
            Self::Hot { .. } => vec![hot(GIB)],
            Self::Small { bytes, .. } => vec![hot(*bytes)],
            Self::ColdWhole { bytes, .. } | Self::ColdRanges { bytes } => vec![cold(round, *bytes)],
            Self::Zipf { .. } if round > 0 => Vec::new(),
            Self::Zipf { objects, .. } => (0..*objects).map(numbered).collect(),
            Self::Beside { scanned_bytes } if round > 1 => vec![cold(round, *scanned_bytes)],
            Self::Beside { scanned_bytes } => vec![cold(round, *scanned_bytes), beside()],
        }
    }

    /// What round `round` asks for.
    pub(crate) fn asks(&self, round: usize) -> Vec<Ask> {
        match self {
            Self::Hot { passes } => (0..*passes).flat_map(|_| hot(GIB).ranges(8 * MIB)).collect(),
            Self::Small { bytes, requests } => vec![hot(*bytes).whole(); *requests],
            Self::ColdWhole { bytes, connections } => vec![cold(round, *bytes).whole(); *connections],
            Self::ColdRanges { bytes } => cold(round, *bytes).ranges(8 * MIB),
            Self::Zipf { objects, requests } => {
                zipf(*objects, *requests, round).map(|index| numbered(index).whole()).collect()
            }
            Self::Beside { scanned_bytes } => cold(round, *scanned_bytes).ranges(MIB),
        }
    }

    /// What a second tenant asks for meanwhile, again and again, and over how many connections.
    pub(crate) fn beside(&self) -> Option<(Ask, usize)> {
        match self {
            Self::Beside { .. } => Some((beside().whole(), 6)),
            _ => None,
        }
    }
}

fn hot(bytes: u64) -> Object {
    Object::new("hot", bytes)
}

fn cold(round: usize, bytes: u64) -> Object {
    Object::new(format!("cold-{round}"), bytes)
}

fn numbered(index: usize) -> Object {
    Object::new(format!("object-{index}"), MIB)
}

fn beside() -> Object {
    Object { tenant: Tenant::Second, ..hot(64 << 10) }
}

/// The numbers of `count` objects of `of`, the same for each server.
fn zipf(of: usize, count: usize, round: usize) -> impl Iterator<Item = usize> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (0..of)
        .map(|rank| {
            sum += ((rank + 1) as f64).powf(-0.9);
            sum
        })
        .collect();
    let mut random = Random::new(round as u64 + 1);
    (0..count).map(move |_| {
        let drawn = (random.draw() >> 11) as f64 / (1u64 << 53) as f64 * sum;
        sums.partition_point(|upto| *upto <= drawn).min(of - 1)
    })
}
