//! What does knowing who asks, and whether they may, cost of a read's CPU?
//!
//! `cargo bench -p gateway --bench verdict` prints one line a request: what admission and the answer's head take of every
//! read, the same with its signature verified, and the same verified and permitted; the median of nine rounds that take
//! turns, in microseconds of CPU. Pure functions: no socket, no store, the user and the head in hand, the signing key
//! kept, as for a hit. To be held against the 104 µs of a node's CPU that a cached read of 4 KiB takes (README).

#[path = "../src/sigv4/tests/vectors.rs"]
mod vectors;

use std::hint::black_box;
use std::time::Duration;

use gateway::client::Client;
use gateway::identity::{Account, Level, User};
use gateway::permission::{Asking, RequestContext};
use gateway::sigv4::{Claim, Keys, SecretKey};
use gateway::target::{self, AmzDate, EndpointKind, Listener, Target};
use gateway::topology::{RegionName, Topology};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use origin::acl::Owner;
use origin::head::{Facts, Head};
use origin::instance::Instance;
use origin::permit::{On, Role};
use origin::policy::StoredPolicy;
use origin::read_request::{ReadRequest, decide, object_headers};
use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use vectors::{Vector, Vectors};

/// How long each case is measured in each round, at least.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS_COUNT: usize = 9;

/// Of botocore's requests.
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Everything that a read is decided on, in hand.
struct Node {
    topology: Topology,
    listener: Listener,
    keys: Keys,
    secret: SecretKey,
    now: OffsetDateTime,
    user: User,
    head: Head,
}

/// One request for one object, of a bucket of these facts.
struct Read {
    name: String,
    method: Method,
    raw_target: String,
    headers: HeaderMap,
    facts: Facts,
}

/// How much is asked of a request before it is answered.
#[derive(Clone, Copy)]
enum Asked {
    Nothing,
    Who,
    WhoAndWhether,
}

fn main() {
    let vectors = Vectors::read();
    let node = Node::new(&vectors);
    let first = |is_presigned: bool| {
        let mut gets = vectors.requests.iter().filter(|vector| vector.method == "GET");
        let found = gets.find(|vector| vector.target.contains("X-Amz-Signature") == is_presigned);
        found.expect("botocore signed such a GET")
    };
    let mut reads = Vec::new();
    for (form, vector) in [("header", first(false)), ("presigned", first(true))] {
        for (policy, owner, text) in [
            ("own bucket, no policy", "research", None),
            ("another's, one statement", "others", Some(policy(&[statement("")]))),
            (
                "own, 10 statements of 3 conditions",
                "research",
                Some(policy(&vec![statement(CONDITIONS); 10])),
            ),
        ] {
            reads.push(Read::new(format!("{form}; {policy}"), vector, owner, text.as_deref()));
        }
    }
    let asked = [Asked::Nothing, Asked::Who, Asked::WhoAndWhether];
    let mut taken = vec![[const { Vec::new() }; 3]; reads.len()];
    for _ in 0..ROUNDS_COUNT {
        for (read, taken) in reads.iter().zip(&mut taken) {
            for (asked, taken) in asked.into_iter().zip(taken) {
                taken.push(micros(|| _ = black_box(node.answer(black_box(read), asked))));
            }
        }
    }
    println!("{:>10} {:>12} {:>14}", "without µs", "verified µs", "permitted µs");
    for (read, mut taken) in reads.iter().zip(taken) {
        let [without, verified, permitted] = std::array::from_fn(|column| median(&mut taken[column]));
        println!("{without:>10.2} {verified:>12.2} {permitted:>14.2}  {}", read.name);
    }
}

impl Node {
    fn new(vectors: &Vectors) -> Self {
        let id = Instance::from_bytes([7; 16]);
        let account = Account {
            name: "research".into(),
            canonical_id: "ab".repeat(32),
            display_name: "Research".into(),
        };
        Self {
            topology: Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:9003")])
                .expect("a good topology"),
            listener: Listener {
                region: RegionName::parse("ord1").expect("a region's name"),
                endpoint: EndpointKind::Standard,
            },
            keys: Keys::new(16),
            secret: SecretKey::new(SECRET_KEY),
            now: AmzDate::parse(&vectors.signed_at).expect("a date").moment(),
            user: User {
                name: "alice".into(),
                account,
                display_name: "Alice".into(),
                email: String::new(),
                level: Level::Read,
                access_key: "AKIDEXAMPLE".into(),
                default_region: None,
                is_disabled: false,
                grants: Vec::new(),
                revision: id,
            },
            head: Head { bytes: 4096, etag: "ab".repeat(16), ..Head::new(id, id) },
        }
    }

    /// The head of the answer to `read`.
    fn answer(&self, read: &Read, asked: Asked) -> HeaderMap {
        let raw_target = read.raw_target.as_bytes();
        let target = target::parse(&self.topology, &self.listener, &read.method, raw_target, &read.headers)
            .expect("admitted");
        if !matches!(asked, Asked::Nothing) {
            let claim = Claim::of(&target.query, &target.signature, self.now).expect("in time");
            let claim = claim.expect("signed");
            let verified = claim.verify(&self.keys, &self.secret, &read.method, raw_target, &read.headers);
            verified.expect("botocore's signatures are good");
        }
        if matches!(asked, Asked::WhoAndWhether) {
            self.permit(read, &target);
        }
        // The version is of the signature's sake; this object has none.
        let query = target.query.iter().filter(|(name, _)| *name != "versionId");
        let request = ReadRequest::parse(&read.headers, query).expect("a read");
        let reading = decide(&self.head, &request).expect("the object is there");
        object_headers(&read.facts, &self.head, &request, &reading)
    }

    fn permit(&self, read: &Read, target: &Target) {
        let client = Client { address: Some([192, 0, 2, 7].into()), is_tls: true };
        let (query, headers) = (&target.query, &read.headers);
        let request = RequestContext { region: "ord1", query, headers, client, now: self.now };
        let asking = Asking { caller: Some(&self.user), operation: target.operation, request };
        let (bucket, key) = (target.bucket().expect("a bucket"), target.key().expect("a key"));
        let version = target.query.get("versionId");
        let on = On::bucket(bucket, &read.facts).object(key, version, Some(&self.head));
        asking.decide(Role::Target, &on).expect("permitted");
    }
}

impl Read {
    fn new(name: String, vector: &Vector, owner: &str, policy: Option<&str>) -> Self {
        let headers = vector.headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            (name, HeaderValue::from_str(value).expect("a header's value"))
        });
        let id = Instance::from_bytes([7; 16]);
        let shown = Owner { id: "cd".repeat(32), display_name: owner.to_owned() };
        let mut facts = Facts::new(id, id, owner, shown);
        facts.policy = policy.map(|text| StoredPolicy::new(text, "photos").expect("a good policy"));
        Self {
            name,
            method: Method::GET,
            raw_target: vector.target.clone(),
            headers: headers.collect(),
            facts,
        }
    }
}

/// Three that hold of every request here.
const CONDITIONS: &str = r#","Condition":{"Bool":{"aws:SecureTransport":"true"},
    "IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.0/24"]},"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}"#;

fn statement(conditions: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:GetObjectVersion"],
            "Resource":"arn:aws:s3:::photos/*"{conditions}}}"#
    )
}

fn policy(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

/// CPU time of one call, over as many as fit into a round.
fn micros(mut call: impl FnMut()) -> f64 {
    let (started, mut calls_count) = (cpu_time(), 0_u32);
    loop {
        for _ in 0..16 {
            call();
        }
        calls_count += 16;
        let taken = cpu_time() - started;
        if taken >= ROUND {
            return taken.as_secs_f64() * 1e6 / f64::from(calls_count);
        }
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .expect("a thread's time does not run backwards from nothing")
}

fn median(taken: &mut [f64]) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}
