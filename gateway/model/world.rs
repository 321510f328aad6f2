//! Everything around the machines: processes, clocks, streams, the store, readers and writers, and what must be true.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use stateright::{Model, Property};

use crate::coherence::node::{Answered, Found, Keeping, Message, Node, NodeSettings, Question};
use crate::coherence::numbers::{ChangeNo, Mark, ResolveNo, StreamNo, Waiter};
use crate::coherence::owner::{Outgoing, Owner, OwnerSettings};
use crate::coherence::plant::{Fault, Plant};
use crate::configurations::{Around, Broken, Budget, Configuration};

mod first;
mod happenings;
mod merged;
mod processes;
mod requests;
mod shared;
mod streams;
mod truth;
mod wrong;

use shared::Shared;
use truth::{Seen, Truth, Val, object, user};

/// The lease, in ticks.
const LEASE: u64 = 2;
/// What the owner waits longer: as much as one clock may gain on another.
const MARGIN: u64 = 1;
/// How long a clear may wait to be acknowledged.
const MAX_ACK_WAIT: u64 = 1;
/// A node that delayed a writer is without a session for this long.
const VALIDATE: u64 = LEASE + MARGIN;
/// A request looks again this often before it gives up.
const LOOKS_MAX: u8 = 2;

/// The owner of objects, and of users.
const OBJECTS: usize = 0;
const HOME: usize = 1;

/// What was seen on the way, so that no configuration is thought to show what it never reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// A request was answered without a message.
    Hit = 1 << 0,
    /// A request that came after a resolve had left was answered by it.
    JoinerServed = 1 << 1,
    /// An answer was demoted to serve-once.
    ServedOnce = 1 << 2,
    /// A node said "same" was enough.
    Confirmed = 1 << 3,
    /// A change was settled by a session that ran out.
    WaitedOut = 1 << 4,
    /// A lease was extended.
    Renewed = 1 << 5,
    /// Interest was released.
    Released = 1 << 6,
    /// A resolve asked about more than one thing.
    Batched = 1 << 7,
    /// A change was withheld after a restart.
    Withheld = 1 << 8,
    /// A request was answered from two owners.
    Judged = 1 << 9,
    /// A request looked again because its user had changed meanwhile.
    LookedAgain = 1 << 10,
    /// A node was refused a session.
    Refused = 1 << 11,
}

/// What was found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// A node keeps something as live that is not so, or a request was answered with what was true at no instant since it
    /// began.
    Stale,
    /// A change of the same writer was committed twice, or two of which only one may be.
    ChangedTwice,
}

/// Breaks at most one rule of the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Planted(Option<Fault>);

impl Plant for Planted {
    fn broken(&self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }
}

type Answer = Answered<Val, ()>;
type TheOwner = Owner<Question, Answer, Planted>;
type TheNode = Node<Val, Planted>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OwnerProcess {
    /// `None`: killed.
    machine: Option<Shared<TheOwner>>,
    /// Ticks that its clock has gained.
    ahead: u64,
    reads: Vec<OpenRead>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OpenRead {
    stream: StreamNo,
    no: ResolveNo,
    questions: Vec<Question>,
    snapshot: Truth,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NodeProcess {
    /// One for each owner.
    ends: Vec<End>,
    ahead: u64,
    /// Ticks that its clock has missed, which it does not when it is sound.
    behind: u64,
    is_paused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct End {
    machine: Shared<TheNode>,
    stream: Option<StreamNo>,
    /// Answers that wait for whoever is to keep them: what rule 3 forbids.
    astray: Vec<(ResolveNo, Vec<(Answer, Mark)>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stream {
    node: usize,
    owner: usize,
    /// Each end closes by itself; what is on the way to an open one still arrives.
    node_is_open: bool,
    owner_is_open: bool,
    /// Nothing arrives for a while.
    is_held_up: bool,
    to_owner: VecDeque<Message>,
    to_node: VecDeque<Outgoing<Answer>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Step {
    #[default]
    Before,
    User,
    Object,
    UserAgain,
    Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Reader {
    step: Step,
    is_waiting: bool,
    /// What was true at some instant since it began. In which order makes no difference to it.
    seen: BTreeSet<Seen>,
    user: Option<Val>,
    object: Option<Found<Val>>,
    looks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writing {
    Before,
    /// At this time of its owner's.
    Announced(ChangeNo, u64),
    Settled(ChangeNo),
    Done,
    /// Given up, refused, or its owner is gone.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Writer {
    state: Writing,
    commits: u8,
    /// What its condition said when it was staged.
    staged: bool,
}

/// A state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    time: u64,
    owners: Vec<OwnerProcess>,
    nodes: Vec<NodeProcess>,
    streams: BTreeMap<StreamNo, Stream>,
    /// Sessions that each node was given.
    sessions_given: Vec<u8>,
    truth: Truth,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    budget: Budget,
    violation: Option<Violation>,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A message arrives at the owner.
    ToOwner(StreamNo),
    /// A message arrives at the node.
    ToNode(StreamNo),
    /// The owner's socket takes a message.
    OwnerSends(StreamNo),
    /// The node's socket takes a message.
    NodeSends(StreamNo),
    /// What an owner's read found is queued.
    ReadEnds(usize, usize),
    /// Somebody who waited for an answer keeps it.
    WaiterKeeps(usize, usize),
    /// A request goes on.
    Reads(usize),
    /// A change is staged and announced.
    Announces(usize),
    /// A change commits.
    Commits(usize),
    /// A change is given up.
    GivesUp(usize),
    /// A node opens a stream to an owner.
    Connects(usize, usize),
    /// A node's end of a stream breaks.
    NodeLoses(StreamNo),
    /// An owner's end of a stream breaks.
    OwnerLoses(StreamNo),
    /// Nothing arrives on a stream for a while, at either end.
    HoldsUp(StreamNo),
    /// It arrives again.
    LetsGo(StreamNo),
    /// A node forgets the bucket.
    Purges(usize),
    /// A node is told to stop.
    Drains(usize),
    /// An owner is told to stop.
    OwnerCloses(usize),
    /// A node is killed and starts again.
    NodeCrashes(usize),
    /// A node stands still.
    Pauses(usize),
    /// It goes on.
    Resumes(usize),
    /// An owner is killed.
    OwnerCrashes(usize),
    /// It starts again.
    OwnerStarts(usize),
    /// A tick passes.
    Tick,
    /// A node's clock gains a tick.
    NodeDrifts(usize),
    /// An owner's clock gains a tick.
    OwnerDrifts(usize),
}

/// A configuration, to be explored.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// What is explored.
    pub configuration: Configuration,
    /// Bits of [`Event`]. Beside the states, so that having seen something makes no two of them different.
    pub seen: Arc<AtomicU32>,
    /// Nothing happens any more, wherever it has come to.
    pub stopped: Arc<AtomicBool>,
}

impl Exploration {
    /// Explores `configuration`.
    #[must_use]
    pub fn new(configuration: Configuration) -> Self {
        Self { configuration, seen: Arc::default(), stopped: Arc::default() }
    }

    fn note(&self, event: Event) {
        self.seen.fetch_or(event as u32, Ordering::Relaxed);
    }

    fn is_broken(&self, around: Around) -> bool {
        self.configuration.broken == Broken::Around(around)
    }

    fn plant(&self) -> Planted {
        match self.configuration.broken {
            Broken::Machine(fault) => Planted(Some(fault)),
            Broken::Nothing | Broken::Around(_) => Planted(None),
        }
    }

    fn margin(&self) -> u64 {
        if self.is_broken(Around::NoMargin) { 0 } else { MARGIN }
    }

    fn owner_settings(&self) -> OwnerSettings {
        OwnerSettings {
            lease: ticks(LEASE),
            margin: ticks(self.margin()),
            max_ack_wait: ticks(MAX_ACK_WAIT),
            sessions_max: 8,
            areas_max: 8,
            resolves_max: self.configuration.resolves_max,
            asks_max: 4,
            unsent_bytes_max: 2,
            validate_first: ticks(VALIDATE),
            validate_longest: ticks(VALIDATE),
        }
    }

    fn owner(&self, granted_before: Duration, now: Duration) -> Shared<TheOwner> {
        Shared::new(Owner::planted(self.owner_settings(), granted_before, now, self.plant()))
    }

    fn node(&self) -> Shared<TheNode> {
        let settings = NodeSettings {
            weight_max: 1 << 20,
            asks_max: 4,
            ask_bytes_max: 1 << 10,
            waiting_max: 8,
            idle_after: None,
        };
        Shared::new(Node::planted(settings, self.plant()))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Something can still happen, or could.
    fn goes_on(&self, world: &World) -> bool {
        if self.is_stopped() {
            return true;
        }
        let mut actions = Vec::new();
        self.actions(world, &mut actions);
        // A socket that could take a message may find none; everything else that is listed happens.
        let is_sending = |action: Action| matches!(action, Action::OwnerSends(_) | Action::NodeSends(_));
        let happens = |action: Action| !is_sending(action) || self.next_state(world, action).is_some();
        actions.into_iter().any(happens)
    }

    fn owners_count(&self) -> usize {
        1 + usize::from(self.configuration.has_users)
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl World {
    fn new(model: &Exploration) -> Self {
        let configuration = &model.configuration;
        let owner = |_| OwnerProcess {
            machine: Some(model.owner(Duration::ZERO, Duration::ZERO)),
            ahead: 0,
            reads: Vec::new(),
        };
        let end = |_| End { machine: model.node(), stream: None, astray: Vec::new() };
        let node = |_| NodeProcess {
            ends: (0..model.owners_count()).map(end).collect(),
            ahead: 0,
            behind: 0,
            is_paused: false,
        };
        let writer = Writer { state: Writing::Before, commits: 0, staged: true };
        Self {
            time: 0,
            owners: (0..model.owners_count()).map(owner).collect(),
            nodes: (0..configuration.nodes).map(node).collect(),
            streams: BTreeMap::new(),
            sessions_given: vec![0; configuration.nodes],
            truth: Truth::new(),
            readers: vec![Reader::default(); configuration.gets.len()],
            writers: vec![writer; configuration.changes.len()],
            budget: configuration.budget,
            violation: None,
        }
    }

    /// Every node has a session everywhere, and keeps what it shall.
    fn warmed(model: &Exploration) -> Self {
        const WARMER: Waiter = Waiter(u64::MAX);
        let mut world = Self::new(model);
        for node in 0..world.nodes.len() {
            for owner in 0..world.owners.len() {
                world.connect(model, node, owner);
            }
        }
        world.run_streams(model);
        for get in model.configuration.warm {
            let wanted = [(OBJECTS, object(get.key)), (HOME, user())];
            for (owner, subject) in wanted.into_iter().take(world.owners.len()) {
                let machine = &mut world.nodes[get.node].ends[owner].machine;
                if machine.look(Duration::ZERO, &subject).is_none() {
                    machine.ask(subject, WARMER, Keeping::IfAllowed).expect("room for a question");
                }
                world.run_streams(model);
            }
        }
        world
    }

    /// Lets every message arrive, in some order.
    fn run_streams(&mut self, model: &Exploration) {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        for _ in 0..8 {
            for no in &streams {
                self.flush_node(model, *no);
                while !self.streams[no].to_owner.is_empty() {
                    self.arrives_at_owner(model, *no);
                }
                for owner in 0..self.owners.len() {
                    while !self.owners[owner].reads.is_empty() {
                        self.read_ends(model, owner, 0);
                    }
                }
                self.flush_owner(model, *no);
                while !self.streams[no].to_node.is_empty() {
                    self.arrives_at_node(model, *no);
                }
            }
        }
    }

    fn owner_now(&self, owner: usize) -> Duration {
        ticks(self.time + self.owners[owner].ahead)
    }

    fn node_now(&self, node: usize) -> Duration {
        ticks(self.time + self.nodes[node].ahead - self.nodes[node].behind)
    }
}

/// The property that reads break.
pub const LINEARIZABLE: &str = "what is read was true at one instant of the request, and hits are true";
/// The property that changes break.
pub const ONCE: &str = "a change happens once, on the condition that it names";
/// The property that waits break.
pub const BOUNDED: &str = "a change waits for at most max_ack_wait, lease and margin";
/// The property that nodes break.
pub const TRUSTED: &str = "no node trusts a session that its owner does not count on";
/// The property that everybody breaks who waits for nobody.
pub const LIVE: &str = "nothing waits for ever";

impl Model for Exploration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::warmed(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if self.is_stopped() {
            return;
        }
        if let Some(first) = world.first(self) {
            actions.push(first);
            return;
        }
        world.stream_actions(self, actions);
        world.request_actions(self, actions);
        world.process_actions(self, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        if !next.act(self, action) {
            return None;
        }
        next.check();
        next.merge(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LINEARIZABLE, |_, world: &World| world.violation != Some(Violation::Stale)),
            Property::always(ONCE, |_, world: &World| world.violation != Some(Violation::ChangedTwice)),
            Property::always(BOUNDED, |model: &Self, world: &World| !world.is_overdue(model)),
            Property::always(TRUSTED, |_, world: &World| !world.trusts_lost_session()),
            Property::always(LIVE, |model: &Self, world: &World| {
                world.is_done(model) || model.goes_on(world)
            }),
        ]
    }
}
