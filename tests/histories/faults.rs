//! What goes wrong during one history: a plan drawn from its seed, and how it is carried out.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use rustix::process::Signal;
use tests::Cluster;
use tests::cluster::REGIONS;
use tests::random::Random;
use tests::wan::{Cut, Direction, Shape};
use tokio::time::sleep;

/// One way between regions, in milliseconds.
const DISTANCE_MIN: u64 = 40;
const DISTANCE_MAX: u64 = 80;

/// How long a node of a history may be silent to be missed, in milliseconds: shorter than any lease, and longer than
/// the lease of a session over objects (3 s) with its margin.
const SHORT: (u64, u64) = (50, 700);
const LONGER_THAN_A_LEASE: (u64, u64) = (3_500, 4_500);

/// As slow as a line that still carries something.
const CRAWL: u64 = 2_000;

/// Seeds in a row that go through every kind of fault.
pub(super) const KINDS: u64 = 10;

/// One thing that goes wrong, and for how long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// After the one before it ended.
    after: Duration,
    what: What,
    lasts: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Nothing, over a long way.
    Nothing,
    /// One link, in one direction or both.
    Cut { from: &'static str, to: &'static str, direction: Option<Direction>, cut: Cut },
    /// Every link from and to a region.
    Isolate(&'static str),
    /// SIGSTOP, then SIGCONT.
    Pause(&'static str),
    /// SIGKILL, then a start.
    Kill(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasts = self.lasts.as_millis();
        match self.what {
            What::Nothing => write!(f, "nothing for {lasts} ms"),
            What::Cut { from, to, direction, cut } => {
                let direction =
                    direction.map_or("both ways".to_owned(), |direction| format!("{direction:?}"));
                write!(f, "{cut:?} {from}>{to} {direction} {lasts} ms")
            }
            What::Isolate(region) => write!(f, "isolate {region} {lasts} ms"),
            What::Pause(region) => write!(f, "pause {region} {lasts} ms"),
            What::Kill(region) => write!(f, "kill {region} {lasts} ms"),
        }
    }
}

/// The faults of the history called `seed`: the first is of the kind that its seed stands for.
pub(super) fn plan(seed: u64, random: &mut Random) -> Vec<Fault> {
    let more = random.below(3);
    let mut faults = vec![draw(seed % KINDS, random)];
    for _ in 0..more {
        // Long pauses take most of a run's time: they come with their own seeds alone.
        let kind = random.below(KINDS - 2);
        faults.push(draw(kind, random));
    }
    faults
}

fn draw(kind: u64, random: &mut Random) -> Fault {
    let region = REGIONS[random.below(3) as usize];
    let mut between = |(least, most): (u64, u64)| Duration::from_millis(least + random.below(most - least));
    let (after, short, long) = (between((200, 800)), between(SHORT), between(LONGER_THAN_A_LEASE));
    let mut cut = |cut| {
        let to = REGIONS[random.below(3) as usize];
        let to = if to == region { next_to(region) } else { to };
        let direction = [None, Some(Direction::There), Some(Direction::Back)][random.below(3) as usize];
        What::Cut { from: region, to, direction, cut }
    };
    let crawl = NonZeroU64::new(CRAWL).expect("not zero");
    let (what, lasts) = match kind {
        0 => (What::Nothing, short),
        1 => (cut(Cut::BlackHole), short),
        2 => (cut(Cut::Drop), short),
        3 => (cut(Cut::HalfOpen), short),
        4 => (cut(Cut::Reset), Duration::ZERO),
        5 => (cut(Cut::Slow(crawl)), short),
        6 => (What::Pause(region), short),
        7 => (What::Kill(region), short),
        8 => (What::Pause(region), long),
        _ => (What::Isolate(region), long),
    };
    Fault { after, what, lasts }
}

fn next_to(region: &str) -> &'static str {
    let index = REGIONS.iter().position(|known| *known == region).expect("a region");
    REGIONS[(index + 1) % REGIONS.len()]
}

/// Puts every region at a distance of its own from each other one.
pub(super) fn spread(cluster: &Cluster, random: &mut Random) {
    for (_, link) in cluster.links() {
        for direction in [Direction::There, Direction::Back] {
            let distance = DISTANCE_MIN + random.below(DISTANCE_MAX - DISTANCE_MIN + 1);
            link.shape(direction, Shape::delayed(Duration::from_millis(distance)));
        }
    }
}

/// Lets `faults` happen one after the other, each healed before the next.
pub(super) async fn play(cluster: &mut Cluster, faults: &[Fault]) {
    for fault in faults {
        sleep(fault.after).await;
        match fault.what {
            What::Nothing => sleep(fault.lasts).await,
            What::Cut { from, to, direction, cut } => {
                let link = cluster.link(from, to);
                match direction {
                    Some(direction) => link.cut(direction, cut),
                    None => link.cut_both(cut),
                }
                sleep(fault.lasts).await;
                link.heal();
            }
            What::Isolate(region) => {
                let touches = |ends: (&str, &str)| ends.0 == region || ends.1 == region;
                let cut_off = || cluster.links().filter(|(ends, _)| touches(*ends));
                cut_off().for_each(|(_, link)| link.cut_both(Cut::BlackHole));
                sleep(fault.lasts).await;
                cut_off().for_each(|(_, link)| link.heal());
            }
            What::Pause(region) => {
                cluster.process(region).signal(Signal::STOP);
                sleep(fault.lasts).await;
                cluster.process(region).signal(Signal::CONT);
            }
            What::Kill(region) => {
                cluster.kill_node(region);
                sleep(fault.lasts).await;
                cluster.launch_node(region);
            }
        }
    }
}
