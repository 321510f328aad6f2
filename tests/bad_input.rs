//! Bad input gets S3's own error and changes nothing: not the listing, not an object, not a file on disk. What can be
//! said over HTTP/1.1, HTTPS and HTTP/2 is said over each of them.

mod bodies;
mod door;
mod forms;
mod heads;
mod request;
mod slow;

use std::collections::BTreeSet;
use std::path::PathBuf;

use tests::disk::data_files;
use tests::{Client, Cluster, Endpoint, Options, Request, eventually};

use door::{Door, Wire};
use request::Raw;

/// What a test runs on, one after the other.
const TRANSPORTS: [Transport; 2] = [Transport::Plain, Transport::Tls];

/// How the public listeners of a site are reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// HTTP/1.1.
    Plain,
    /// HTTP/1.1 and HTTP/2 over TLS.
    Tls,
}

/// Three regions, a bucket `photos` in ord1 that holds one object, and three ways to it: its own standard endpoint, the
/// same forwarded by another region, and another region's accelerated listener; over TLS each in two versions of HTTP.
struct Site {
    cluster: Cluster,
    doors: Vec<Door>,
    before: State,
}

/// All that a request could change.
#[derive(Debug, PartialEq, Eq)]
struct State {
    listing: String,
    uploads: String,
    kept: Vec<u8>,
    files: BTreeSet<PathBuf>,
}

impl Site {
    async fn start(transport: Transport) -> Self {
        Self::start_with(transport, "[limits]\nstalled_upload = \"4s\"\n").await
    }

    /// With `settings` beside a short grace, so that files of removed objects are soon gone.
    async fn start_with(transport: Transport, settings: &str) -> Self {
        let options = Options::settings("[store]\ngrace = \"1s\"\n").and(settings);
        let options = if transport == Transport::Tls { options.tls() } else { options };
        let cluster = Cluster::start_with(options).await;
        let own = cluster.standard("ord1").under(Endpoint::Standard.host("ord1"));
        own.create_bucket("photos").await;
        let _ = own.put("photos", "kept", vec![b'k'; 100_000]).await.ok();
        let wires = match transport {
            Transport::Plain => vec![("HTTP", Wire::Plain)],
            Transport::Tls => Wire::over_tls(&cluster.authority()).into(),
        };
        let ways = [
            ("its own endpoint", own.clone()),
            ("forwarded by las1", cluster.standard("las1").under(Endpoint::Standard.host("ord1"))),
            ("accelerated in las1", cluster.accelerated("las1", "ord1")),
        ];
        let doors = wires.iter().flat_map(|(version, wire)| {
            ways.iter().map(move |(way, client)| {
                Door::new(format!("{way}, {version}"), client.clone(), wire.clone())
            })
        });
        let doors = doors.collect();
        let before = State::of(&cluster, &own).await;
        Self { cluster, doors, before }
    }

    /// The owner's client of its own endpoint.
    fn own(&self) -> &Client {
        &self.doors[0].client
    }

    /// A good PUT of `photos/new`, to be spoilt.
    fn put(&self, body: impl Into<Vec<u8>>) -> Raw {
        Raw::new("PUT", "/photos/new", self.own().keys().clone()).body(body)
    }

    /// A good GET of `photos/kept`, to be spoilt.
    fn get(&self) -> Raw {
        Raw::new("GET", "/photos/kept", self.own().keys().clone())
    }

    /// `request` is refused at every door with `expected` (`400 BadDigest`), and changes nothing.
    async fn refuses(&self, what: &str, request: &Raw, expected: &str) {
        for door in &self.doors {
            let reply = door.exchange(request).await;
            assert_eq!(reply.refusal(), expected, "{what}, {}: {reply:?}", door.name);
            self.is_unchanged(&format!("{what}, {}", door.name)).await;
        }
    }

    /// `request` is turned away at every door with an error of any kind, or without an answer, and changes nothing.
    async fn is_cut_off(&self, what: &str, request: &Raw) {
        for door in &self.doors {
            let reply = door.exchange(request).await;
            let is_refused = reply.status.is_none_or(|status| (400..500).contains(&status));
            assert!(is_refused, "{what}, {}: {reply:?}", door.name);
            self.is_unchanged(&format!("{what}, {}", door.name)).await;
        }
    }

    /// `request` is answered at every door: what the refused ones stand beside.
    async fn answers(&self, what: &str, request: &Raw) {
        for door in &self.doors {
            let reply = door.exchange(request).await;
            assert!(reply.is_success(), "{what}, {}: {reply:?}", door.name);
        }
    }

    /// Nothing is different from the start; files of an upload that broke off may take a moment to go.
    async fn is_unchanged(&self, after: &str) {
        let mut changed = None;
        let is_unchanged = eventually(async || {
            let now = State::of(&self.cluster, self.own()).await;
            let is_same = now == self.before;
            changed = Some(State { kept: Vec::new(), ..now });
            is_same.then_some(())
        });
        assert!(is_unchanged.await.is_some(), "changed after {after}: {changed:#?}");
    }

    /// Removes what an accepted request made.
    async fn remove_new(&self) {
        let _ = self.own().delete("photos", "new").await.ok();
    }
}

impl State {
    async fn of(cluster: &Cluster, client: &Client) -> Self {
        Self {
            listing: client.send(Request::new("GET", "/photos?list-type=2")).await.ok().text(),
            uploads: client.send(Request::new("GET", "/photos?uploads")).await.ok().text(),
            kept: client.get("photos", "kept").await.ok().body.to_vec(),
            files: BTreeSet::from_iter(data_files(&cluster.data_dir())),
        }
    }
}
