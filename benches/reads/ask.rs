//! What is asked for, whoever is asked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::exchange::{Address, Connection};
use crate::figures::Latencies;

/// Whose objects: the two tenants have a bucket each, and read with keys of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tenant {
    First,
    Second,
}

/// An object that every server has, or gets from its origin.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    pub(crate) tenant: Tenant,
    pub(crate) key: String,
    pub(crate) bytes: u64,
}

/// One GET.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ask {
    pub(crate) object: Object,
    /// First byte, and one past the last; without, the whole object.
    pub(crate) range: Option<(u64, u64)>,
}

impl Object {
    pub(crate) fn new(key: impl Into<String>, bytes: u64) -> Self {
        Self { tenant: Tenant::First, key: key.into(), bytes }
    }

    /// Asks for all of it at once.
    pub(crate) fn whole(&self) -> Ask {
        Ask { object: self.clone(), range: None }
    }

    /// Asks for all of it in ranges of `bytes`, in their order.
    pub(crate) fn ranges(&self, bytes: u64) -> Vec<Ask> {
        let starts = (0..self.bytes.div_ceil(bytes)).map(|index| index * bytes);
        let range = |start: u64| Some((start, self.bytes.min(start + bytes)));
        starts.map(|start| Ask { object: self.clone(), range: range(start) }).collect()
    }
}

/// What many GETs took together.
pub(crate) struct Pulled {
    pub(crate) wall: Duration,
    pub(crate) bytes: u64,
    pub(crate) first_byte: Latencies,
    pub(crate) whole: Latencies,
}

/// Connections to one server, each of which has had an answer.
pub(crate) struct Pool(Vec<Connection>);

impl Pool {
    /// Opens `count` connections, and asks for `warm_up` on each.
    pub(crate) async fn open(address: &Address, count: usize, warm_up: &[u8]) -> Self {
        let mut connections = Vec::new();
        for _ in 0..count {
            let mut connection = Connection::open(address).await;
            connection.exchange(warm_up).await;
            connections.push(connection);
        }
        Self(connections)
    }

    /// Sends `requests` in their order, each on the connection that is free first.
    pub(crate) async fn pull(&mut self, requests: &[Rc<[u8]>]) -> Pulled {
        let next = Cell::new(0);
        let take = || {
            next.set(next.get() + 1);
            requests.get(next.get() - 1).map(|request| &**request)
        };
        self.pull_while(take).await
    }

    /// Sends `request` again and again until `is_over`.
    pub(crate) async fn repeat(&mut self, request: &[u8], is_over: &Cell<bool>) -> Pulled {
        self.pull_while(|| (!is_over.get()).then_some(request)).await
    }

    async fn pull_while<'a>(&mut self, take: impl Fn() -> Option<&'a [u8]>) -> Pulled {
        let began = Instant::now();
        let pull = async |connection: &mut Connection| {
            let (mut bytes, mut first_byte, mut whole) = (0, Latencies::default(), Latencies::default());
            while let Some(request) = take() {
                let took = connection.exchange(request).await;
                bytes += took.bytes;
                first_byte.add(took.first_byte);
                whole.add(took.whole);
            }
            (bytes, first_byte, whole)
        };
        let each = join_all(self.0.iter_mut().map(pull)).await;
        let wall = began.elapsed();
        let mut pulled =
            Pulled { wall, bytes: 0, first_byte: Latencies::default(), whole: Latencies::default() };
        for (bytes, first_byte, whole) in each {
            pulled.bytes += bytes;
            pulled.first_byte.extend(first_byte);
            pulled.whole.extend(whole);
        }
        pulled
    }
}
