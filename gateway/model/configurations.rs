//! What is explored: who reads and writes, what may go wrong, and for how long.

use crate::coherence::plant::Fault;
use crate::world::Event;

/// A change that one writer makes, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// An object is put, or overwritten.
    Put(usize),
    /// An object is put if there is none.
    Create(usize),
    /// An object is deleted.
    Delete(usize),
    /// The bucket's facts change: its policy, say.
    Facts,
    /// The bucket goes, with everything in it.
    DropBucket,
    /// The user changes, at home.
    User,
}

/// One request for an object, at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Get {
    /// The node.
    pub node: usize,
    /// The object's key.
    pub key: usize,
}

/// How often something may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A stream breaks, noticed at either end first.
    pub cuts: u8,
    /// A node's process is killed; it starts again with nothing.
    pub node_crashes: u8,
    /// An owner's process is killed; it starts again over its store.
    pub owner_crashes: u8,
    /// A node's process stands still for a while.
    pub pauses: u8,
    /// A clock gains a tick on all others.
    pub drifts: u8,
    /// A staged change is given up.
    pub aborts: u8,
    /// A node forgets the bucket, as when it needs the room.
    pub purges: u8,
    /// Renewals that reach their stream; `u8::MAX`: all of them.
    pub renewals: u8,
    /// A node is told to stop: it gives its session back.
    pub drains: u8,
    /// An owner is told to stop: it ends its sessions.
    pub closes: u8,
    /// Where time passes after a misfortune alone: it passes although nothing has gone wrong, so that messages take
    /// longer than leases last. Where it passes between messages alone: those of one stream are held up, for as long.
    pub delays: u8,
    /// How many of these go wrong in all: cuts, kills, pauses, drifts and delays.
    pub misfortunes: u8,
}

/// When a tick may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Time {
    /// At any time.
    Passes,
    /// Once something has gone wrong. Until then nobody waits for a time to come.
    AfterMisfortune,
    /// Once something has gone wrong, and while nothing is on its way that can arrive, being read, about to connect or about to
    /// start: all that takes no time.
    AfterMessages,
}

/// In which order requests and changes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// In any.
    Any,
    /// Requests as they are listed, and changes as they are: the other orders are other configurations.
    AsListed,
}

/// When messages leave a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sending {
    /// As soon as there are any; the stream may still delay them as it likes.
    AtOnce,
    /// Each by itself, when the socket takes it: control overtakes answers, and questions gather.
    OneByOne,
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// Nothing.
    Nothing,
    /// A rule that the machines keep.
    Machine(Fault),
    /// A rule that whoever uses them keeps.
    Around(Around),
}

/// A rule that is kept around the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Around {
    /// A change commits when it is announced, without waiting for its clears.
    CommitBeforeClear,
    /// After a restart the owner withholds nothing.
    NothingWithheld,
    /// An owner that starts again counts its session ids from the beginning.
    SessionIdsReused,
    /// A paused node's clock stands still.
    ClockStops,
    /// A change of a user is announced to nobody.
    UserNotCleared,
    /// Rule 3: answers are kept by those who waited for them, whenever they come to it.
    KeptByWaiters,
    /// Rule 6: the user is not looked at again after the object.
    UserSeenOnce,
    /// Rule 7: a condition is decided when the change is staged.
    ConditionWhenStaged,
    /// Rule 8: a change is sent once more after it was answered.
    SentTwice,
    /// Rule 9: a changed object has the revision of the one before.
    RevisionsRepeat,
    /// The owner adds no margin, though clocks differ.
    NoMargin,
    /// Acknowledgements do not arrive, and no time passes.
    AcksLost,
    /// A change's interval ends when it may commit, not when its commit is visible.
    EndedBeforeVisible,
}

/// One configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What it is about.
    pub name: &'static str,
    /// Nodes, each with a session at every owner when it begins.
    pub nodes: usize,
    /// Users are read too, from an owner of their own.
    pub has_users: bool,
    /// What nodes keep when it begins.
    pub warm: &'static [Get],
    /// Requests, each made once at any time.
    pub gets: &'static [Get],
    /// Changes, each made once at any time.
    pub changes: &'static [Change],
    /// In which order they begin.
    pub order: Order,
    /// What may happen besides.
    pub budget: Budget,
    /// When ticks pass.
    pub time: Time,
    /// When messages leave.
    pub sending: Sending,
    /// Unanswered resolves of one stream.
    pub resolves_max: usize,
    /// The one node that forgets the bucket and at which things go wrong, where it is not any.
    pub unlucky: Option<usize>,
    /// How many ticks pass.
    pub horizon: u8,
    /// Nothing breaks after this tick, so that what began can end before the last.
    pub last_breakage: u8,
    /// What is broken on purpose.
    pub broken: Broken,
    /// What must be seen to happen, or the configuration is not about what it says.
    pub shows: &'static [Event],
}

const fn get(node: usize, key: usize) -> Get {
    Get { node, key }
}

const NO_BUDGET: Budget = Budget {
    cuts: 0,
    node_crashes: 0,
    owner_crashes: 0,
    pauses: 0,
    drifts: 0,
    aborts: 0,
    purges: 0,
    renewals: 0,
    drains: 0,
    closes: 0,
    delays: 0,
    misfortunes: u8::MAX,
};

const PLAIN: Configuration = Configuration {
    name: "",
    nodes: 2,
    has_users: false,
    warm: &[],
    gets: &[],
    changes: &[],
    order: Order::Any,
    budget: NO_BUDGET,
    time: Time::Passes,
    sending: Sending::AtOnce,
    resolves_max: 2,
    unlucky: None,
    horizon: 0,
    last_breakage: 0,
    broken: Broken::Nothing,
    shows: &[],
};

/// Two nodes that keep nothing, two writers of one key of which one may give up, and readers of it.
pub const TWO_WRITERS: Configuration = Configuration {
    name: "two writers of one key",
    gets: &[get(0, 0), get(1, 0)],
    changes: &[Change::Put(0), Change::Delete(0)],
    budget: Budget { aborts: 1, ..NO_BUDGET },
    shows: &[Event::ServedOnce],
    ..PLAIN
};

/// Requests that join one another's resolves while the object changes.
pub const JOINERS: Configuration = Configuration {
    name: "joiners of a resolve in flight",
    nodes: 1,
    gets: &[get(0, 0), get(0, 0), get(0, 0)],
    changes: &[Change::Put(0), Change::Put(0)],
    shows: &[Event::Hit, Event::JoinerServed, Event::ServedOnce],
    ..PLAIN
};

/// The bucket's facts change and the bucket goes, under readers of two keys at two nodes.
pub const BUCKET: Configuration = Configuration {
    name: "bucket clears",
    warm: &[get(0, 0)],
    gets: &[get(0, 0), get(1, 1)],
    changes: &[Change::Facts, Change::DropBucket],
    shows: &[Event::Hit, Event::ServedOnce],
    ..PLAIN
};

/// A node forgets the bucket and releases its interest, while somebody asks again and somebody writes.
pub const RELEASE: Configuration = Configuration {
    name: "release of interest",
    nodes: 1,
    warm: &[get(0, 0)],
    gets: &[get(0, 0), get(0, 1)],
    changes: &[Change::Put(0), Change::Put(1)],
    budget: Budget { purges: 2, ..NO_BUDGET },
    shows: &[Event::Released, Event::ServedOnce],
    ..PLAIN
};

/// After a cut two heads are confirmed in one batch while one of them changes, or comes to be.
pub const CONFIRMATION: Configuration = Configuration {
    name: "batched confirmation after a cut",
    nodes: 1,
    warm: &[get(0, 0), get(0, 1)],
    gets: &[get(0, 0), get(0, 1)],
    changes: &[Change::Put(0), Change::Put(1)],
    budget: Budget { cuts: 1, ..NO_BUDGET },
    sending: Sending::OneByOne,
    resolves_max: 1,
    shows: &[Event::Confirmed, Event::Batched, Event::ServedOnce],
    ..PLAIN
};

/// Sockets that take one message at a time: clears overtake answers.
pub const OVERTAKING: Configuration = Configuration {
    name: "control overtakes answers",
    nodes: 1,
    gets: &[get(0, 0), get(0, 1)],
    changes: &[Change::Put(0), Change::Facts],
    sending: Sending::OneByOne,
    shows: &[Event::ServedOnce, Event::Batched],
    ..PLAIN
};

/// Streams break under two nodes with something to lose, without time passing.
pub const CUTS: Configuration = Configuration {
    name: "stream cuts",
    warm: &[get(0, 0), get(1, 0)],
    gets: &[get(0, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { cuts: 2, ..NO_BUDGET },
    shows: &[Event::Confirmed, Event::Hit],
    ..PLAIN
};

/// A lease runs out, or is renewed, while its stream breaks.
pub const LEASES: Configuration = Configuration {
    name: "leases, a renewal and a cut",
    nodes: 1,
    warm: &[get(0, 0)],
    gets: &[get(0, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { cuts: 1, renewals: 1, ..NO_BUDGET },
    horizon: 4,
    last_breakage: 0,
    shows: &[Event::WaitedOut, Event::Refused],
    ..PLAIN
};

/// Renewals whose answers come late and out of step, while a clock gains on the other.
pub const RENEWALS: Configuration = Configuration {
    name: "late renewals and drift",
    nodes: 1,
    warm: &[get(0, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { drifts: 1, renewals: 3, ..NO_BUDGET },
    horizon: 9,
    last_breakage: 3,
    shows: &[Event::Renewed, Event::WaitedOut],
    ..PLAIN
};

/// Two nodes, one of which stands still for longer than its lease.
pub const PAUSE: Configuration = Configuration {
    name: "a node pauses",
    warm: &[get(0, 0), get(1, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { pauses: 1, ..NO_BUDGET },
    horizon: 5,
    last_breakage: 0,
    shows: &[Event::WaitedOut],
    ..PLAIN
};

/// A node is killed and starts again with nothing.
pub const CRASH: Configuration = Configuration {
    name: "a node is killed",
    nodes: 1,
    warm: &[get(0, 0)],
    gets: &[get(0, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { node_crashes: 1, ..NO_BUDGET },
    horizon: 4,
    last_breakage: 0,
    shows: &[Event::WaitedOut],
    ..PLAIN
};

/// The owner is killed and starts again under a session that it knows nothing of.
pub const RESTART: Configuration = Configuration {
    name: "the owner restarts",
    nodes: 1,
    warm: &[get(0, 0)],
    gets: &[get(0, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { owner_crashes: 1, ..NO_BUDGET },
    horizon: 5,
    last_breakage: 1,
    shows: &[Event::Withheld, Event::Confirmed],
    ..PLAIN
};

/// The user changes at home while an object changes at its owner.
pub const USERS: Configuration = Configuration {
    name: "users and objects of two owners",
    nodes: 1,
    has_users: true,
    warm: &[get(0, 0)],
    gets: &[get(0, 0), get(0, 0)],
    changes: &[Change::User, Change::Put(0)],
    shows: &[Event::Judged, Event::LookedAgain, Event::Hit],
    ..PLAIN
};

/// Users and facts change under one request, over streams that break.
pub const REVOCATION: Configuration = Configuration {
    name: "revocation over streams that break",
    nodes: 1,
    has_users: true,
    gets: &[get(0, 0)],
    warm: &[get(0, 0)],
    changes: &[Change::User, Change::Facts],
    budget: Budget { cuts: 1, ..NO_BUDGET },
    shows: &[Event::Judged, Event::LookedAgain],
    ..PLAIN
};

/// Two writers who put an object only if there is none.
pub const CONDITIONS: Configuration = Configuration {
    name: "conditions",
    nodes: 1,
    gets: &[get(0, 1)],
    changes: &[Change::Create(1), Change::Create(1)],
    shows: &[Event::ServedOnce],
    ..PLAIN
};

/// A node and an owner stop, both as they should: nobody waits for a lease.
pub const STOPPING: Configuration = Configuration {
    name: "clean stops",
    warm: &[get(0, 0), get(1, 0)],
    gets: &[get(0, 0)],
    changes: &[Change::Put(0)],
    budget: Budget { drains: 1, closes: 1, ..NO_BUDGET },
    shows: &[Event::ServedOnce, Event::Refused],
    ..PLAIN
};

/// Everything that there is, together: too much to explore to the end, and walked through at random.
pub const EVERYTHING: Configuration = Configuration {
    name: "everything at once",
    has_users: true,
    warm: &[get(0, 0), get(1, 0)],
    gets: &[get(0, 0), get(0, 0), get(1, 0), get(1, 1)],
    changes: &[
        Change::Put(0),
        Change::Delete(0),
        Change::Put(1),
        Change::Facts,
        Change::User,
        Change::User,
        Change::DropBucket,
    ],
    budget: Budget {
        cuts: 3,
        node_crashes: 1,
        owner_crashes: 1,
        pauses: 1,
        drifts: 1,
        aborts: 1,
        purges: 2,
        renewals: 8,
        ..NO_BUDGET
    },
    horizon: 14,
    last_breakage: 5,
    shows: &[
        Event::Hit,
        Event::JoinerServed,
        Event::ServedOnce,
        Event::Confirmed,
        Event::WaitedOut,
        Event::Renewed,
        Event::Released,
        Event::Withheld,
        Event::Judged,
        Event::LookedAgain,
        Event::Refused,
    ],
    ..PLAIN
};

/// All that sessions must stand, in one configuration: two nodes and two keys of one bucket, two writers of one key, a
/// change of the whole bucket, requests that join a resolve, a release of interest, and confirmation in batches. What may
/// go wrong besides is in [`MISFORTUNES`].
pub const WHOLE: Configuration = Configuration {
    name: "all at once, and nothing goes wrong",
    warm: &[get(0, 0), get(0, 1), get(1, 0)],
    gets: &[get(0, 0), get(0, 0), get(0, 1), get(1, 0)],
    changes: &[Change::Put(0), Change::Put(0), Change::Facts],
    budget: Budget { purges: 1, ..NO_BUDGET },
    time: Time::AfterMisfortune,
    resolves_max: 1,
    horizon: 4,
    last_breakage: 0,
    shows: &[Event::Hit, Event::JoinerServed, Event::ServedOnce, Event::Released, Event::Batched],
    ..PLAIN
};

/// The same while one thing goes wrong in each run, and then while any two do.
pub const MISFORTUNES: &[&Configuration] = &[
    &WHOLE,
    &Configuration {
        name: "all at once, and a stream breaks",
        budget: Budget { cuts: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..WHOLE
    },
    &Configuration {
        name: "all at once, and a node stands still",
        budget: Budget { pauses: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..WHOLE
    },
    &Configuration {
        name: "all at once, and a node is killed",
        budget: Budget { node_crashes: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..WHOLE
    },
    &Configuration {
        name: "all at once, and the owner is killed",
        budget: Budget { owner_crashes: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..WHOLE
    },
    &Configuration {
        name: "all at once, and messages take longer than leases last",
        budget: Budget { delays: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..WHOLE
    },
    &Configuration {
        name: "all at once, and any two of these go wrong",
        budget: Budget {
            cuts: 1,
            pauses: 1,
            node_crashes: 1,
            owner_crashes: 1,
            delays: 1,
            misfortunes: 2,
            renewals: 1,
            ..WHOLE.budget
        },
        horizon: 5,
        last_breakage: 1,
        ..WHOLE
    },
];

/// [`WHOLE`] without requests at the second node, which keeps what the first one asks about.
const AT_ONE_NODE: Configuration =
    Configuration { name: "read at one node", gets: &[get(0, 0), get(0, 0), get(0, 1)], ..WHOLE };

/// The same while one thing goes wrong: fewer states, so that more of these come to their end.
pub const MISFORTUNES_AT_ONE_NODE: &[&Configuration] = &[
    &AT_ONE_NODE,
    &Configuration {
        name: "read at one node, and a stream breaks",
        budget: Budget { cuts: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..AT_ONE_NODE
    },
    &Configuration {
        name: "read at one node, and a node stands still",
        budget: Budget { pauses: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..AT_ONE_NODE
    },
    &Configuration {
        name: "read at one node, and a node is killed",
        budget: Budget { node_crashes: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..AT_ONE_NODE
    },
    &Configuration {
        name: "read at one node, and the owner is killed",
        budget: Budget { owner_crashes: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..AT_ONE_NODE
    },
    &Configuration {
        name: "read at one node, and messages take longer than leases last",
        budget: Budget { delays: 1, misfortunes: 1, renewals: 1, ..WHOLE.budget },
        ..AT_ONE_NODE
    },
];

/// A configuration, called by a name, in which nothing goes wrong: once for each thing that may, once in each run.
macro_rules! each_misfortune {
    ($name:literal, $of:ident) => {
        &[
            &Configuration {
                name: concat!($name, ", and a stream breaks"),
                budget: Budget { cuts: 1, misfortunes: 1, ..$of.budget },
                ..$of
            },
            &Configuration {
                name: concat!($name, ", and messages are late"),
                budget: Budget { delays: 1, misfortunes: 1, ..$of.budget },
                ..$of
            },
            &Configuration {
                name: concat!($name, ", and a node stands still"),
                budget: Budget { pauses: 1, misfortunes: 1, ..$of.budget },
                ..$of
            },
            &Configuration {
                name: concat!($name, ", and a node is killed"),
                budget: Budget { node_crashes: 1, misfortunes: 1, ..$of.budget },
                ..$of
            },
            &Configuration {
                name: concat!($name, ", and the owner is killed"),
                budget: Budget { owner_crashes: 1, misfortunes: 1, ..$of.budget },
                horizon: 4,
                ..$of
            },
        ]
    };
}

/// All of [`WHOLE`] that one node asks, in one order: once both keys are kept and asked for, one of them again by a request that
/// may join; two writers of that key, and between them a change of the whole bucket. The first node may forget the bucket.
/// How long anything takes is left open but for this: between two ticks, whatever is on its way arrives.
pub const ONE_ORDER: Configuration = Configuration {
    name: "all at once in one order, and nothing goes wrong",
    gets: &[get(0, 0), get(0, 1), get(0, 0)],
    changes: &[Change::Put(0), Change::Facts, Change::Put(0)],
    order: Order::AsListed,
    budget: Budget { purges: 1, renewals: u8::MAX, ..NO_BUDGET },
    time: Time::AfterMessages,
    unlucky: Some(0),
    horizon: 3,
    ..WHOLE
};

/// The same while one thing goes wrong at the first node, or at the owner.
pub const MISFORTUNES_IN_ONE_ORDER: &[&Configuration] =
    each_misfortune!("all at once in one order", ONE_ORDER);

/// A put and a change of the whole bucket while both keys are asked for: small enough for every misfortune to be looked at each time.
const TWO_CHANGES: Configuration = Configuration {
    name: "a put and a change of the bucket",
    gets: &[get(0, 0), get(0, 1)],
    changes: &[Change::Put(0), Change::Facts],
    budget: Budget { purges: 0, ..ONE_ORDER.budget },
    shows: &[Event::Hit, Event::ServedOnce],
    ..ONE_ORDER
};

/// The same while one thing goes wrong.
pub const MISFORTUNES_OF_TWO_CHANGES: &[&Configuration] =
    each_misfortune!("a put and a change of the bucket", TWO_CHANGES);

/// The same with more of everything: minutes to hours, and asked for by name.
pub const FULL: &[&Configuration] = &[
    &Configuration {
        name: "two writers, bucket clears, two keys at two nodes",
        warm: &[get(0, 0)],
        gets: &[get(0, 0), get(1, 1)],
        changes: &[Change::Facts, Change::DropBucket, Change::Put(1)],
        ..PLAIN
    },
    &Configuration {
        name: "two writers, joiners, a release and a cut at two nodes",
        warm: &[get(0, 0), get(1, 0)],
        gets: &[get(0, 0), get(0, 0)],
        changes: &[Change::Put(0), Change::Put(0)],
        budget: Budget { cuts: 1, purges: 1, ..NO_BUDGET },
        ..PLAIN
    },
    &Configuration { name: "leases, a renewal and a later cut", horizon: 6, last_breakage: 1, ..LEASES },
    &Configuration {
        name: "leases, a renewal, a cut and drift",
        budget: Budget { cuts: 1, drifts: 1, renewals: 1, ..NO_BUDGET },
        horizon: 5,
        ..LEASES
    },
    &Configuration { name: "a node pauses while the other reads", gets: &[get(1, 0)], ..PAUSE },
    &Configuration { name: "one of two nodes is killed", nodes: 2, warm: &[get(0, 0), get(1, 0)], ..CRASH },
    &Configuration {
        name: "the owner restarts, with a renewal and drift",
        budget: Budget { owner_crashes: 1, drifts: 1, renewals: 1, ..NO_BUDGET },
        horizon: 7,
        last_breakage: 1,
        ..RESTART
    },
];
