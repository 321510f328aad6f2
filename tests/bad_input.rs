//! Bad input gets S3's own error and changes nothing: not the listing, not an object, not a file on disk.

mod bodies;
mod heads;
mod request;
mod slow;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::disk::data_files;
use tests::{Client, Cluster, Endpoint, Options, Request, raw};

use request::Raw;

/// How long the store may take to drop what an upload that broke off had staged.
const CLEAN_WITHIN: Duration = Duration::from_secs(20);

/// Three regions, a bucket `photos` in ord1 that holds one object, and three doors to it: its own standard endpoint, the
/// same forwarded by another region, and another region's accelerated listener.
struct Site {
    cluster: Cluster,
    doors: [(&'static str, Client); 3],
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
    async fn start() -> Self {
        Self::start_with("[limits]\nstalled_upload = \"3s\"\n").await
    }

    /// With `settings` beside a short grace, so that files of removed objects are soon gone.
    async fn start_with(settings: &str) -> Self {
        let cluster = Cluster::start_with(Options::settings("[store]\ngrace = \"1s\"\n").and(settings)).await;
        let own = cluster.standard("ord1").under(Endpoint::Standard.host("ord1"));
        own.create_bucket("photos").await;
        let _ = own.put("photos", "kept", vec![b'k'; 100_000]).await.ok();
        let doors = [
            ("its own endpoint", own.clone()),
            ("forwarded by las1", cluster.standard("las1").under(Endpoint::Standard.host("ord1"))),
            ("accelerated in las1", cluster.accelerated("las1", "ord1")),
        ];
        let before = State::of(&cluster, &own).await;
        Self { cluster, doors, before }
    }

    /// A good PUT of `photos/new`, to be spoilt.
    fn put(&self, body: impl Into<Vec<u8>>) -> Raw {
        Raw::new("PUT", "/photos/new", self.doors[0].1.keys().clone()).body(body)
    }

    /// A good GET of `photos/kept`, to be spoilt.
    fn get(&self) -> Raw {
        Raw::new("GET", "/photos/kept", self.doors[0].1.keys().clone())
    }

    /// `request` is refused at every door with `expected` (`400 BadDigest`), and changes nothing.
    async fn refuses(&self, what: &str, request: &Raw, expected: &str) {
        self.refuses_with_one_of(what, request, &[expected]).await;
    }

    /// As [`refuses`](Self::refuses), where more than one answer is right: `""` is a connection closed without one.
    async fn refuses_with_one_of(&self, what: &str, request: &Raw, expected: &[&str]) {
        for (name, door) in &self.doors {
            let answer = raw::exchange(address(door), &request.bytes(door.host())).await;
            let refusal = refusal(&answer);
            assert!(expected.contains(&refusal.as_str()), "{what}, {name}: {refusal:?}\n{answer}");
            self.is_unchanged(&format!("{what}, {name}")).await;
        }
    }

    /// `request` is turned away at every door with an error of any kind, or without an answer, and changes nothing.
    async fn is_cut_off(&self, what: &str, request: &Raw) {
        for (name, door) in &self.doors {
            let answer = raw::exchange(address(door), &request.bytes(door.host())).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}, {name}: {answer}");
            self.is_unchanged(&format!("{what}, {name}")).await;
        }
    }

    /// `request` is answered at every door: what the refused ones stand beside.
    async fn answers(&self, what: &str, request: &Raw) {
        for (name, door) in &self.doors {
            let answer = raw::exchange(address(door), &request.bytes(door.host())).await;
            assert!(answer.starts_with("HTTP/1.1 20"), "{what}, {name}: {answer}");
        }
    }

    /// Nothing is different from the start; files of an upload that broke off may take a moment to go.
    async fn is_unchanged(&self, after: &str) {
        let deadline = Instant::now() + CLEAN_WITHIN;
        loop {
            let now = State::of(&self.cluster, &self.doors[0].1).await;
            if now == self.before {
                return;
            }
            let changed = State { kept: Vec::new(), ..now };
            assert!(Instant::now() < deadline, "changed after {after}: {changed:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Removes what an accepted request made.
    async fn remove_new(&self) {
        let _ = self.doors[0].1.delete("photos", "new").await.ok();
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

/// Address and port that `client` connects to.
fn address(client: &Client) -> &str {
    client.origin().trim_start_matches("http://")
}

/// `404 NoSuchKey` from a whole response, `""` when there is none. An error must have a message and ids: aws-cli
/// fails without the first.
fn refusal(answer: &str) -> String {
    if answer.is_empty() {
        return String::new();
    }
    let element = |name: &str| {
        let inner = answer.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
        inner.map_or("", |(inner, _)| inner)
    };
    let last = answer.rmatches("HTTP/1.1 ").count();
    let head = answer.split("HTTP/1.1 ").nth(last).unwrap_or_default();
    let status = head.split(' ').next().unwrap_or_default();
    for name in ["Message", "RequestId"] {
        assert!(status.starts_with('2') || !element(name).is_empty(), "no {name}: {answer}");
    }
    format!("{status} {}", element("Code"))
}
