//! Every door to an object gives the same answer: its owner's standard endpoint, the same forwarded by another region,
//! and the accelerated listeners of three nodes, cold and warm. What differs is told by `Cache-Status` and the ids alone.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tests::cluster::REGIONS;
use tests::sign::Keys;
use tests::{Answer, Client, Cluster, Content, Endpoint, MIB, Request};

/// Headers that say who answered and when, not what.
const OWN_HEADERS: [&str; 6] =
    ["date", "x-amz-request-id", "x-amz-id-2", "cache-status", "connection", "keep-alive"];

/// What a read says: status, headers and body, without what may differ.
type Said = (u16, BTreeMap<String, String>, String);

#[tokio::test]
async fn every_door_gives_the_same_answer_to_a_read() {
    let site = Site::start().await;
    let etag = site.doors[0].1.head("data", "small").await.ok().header("etag").to_owned();
    for key in ["small", "large", "parts", "empty", "missing"] {
        for method in ["GET", "HEAD"] {
            for range in RANGES {
                site.compare(method, &format!("/data/{key}"), &[("range", range)]).await;
            }
            for query in QUERIES {
                site.compare(method, &format!("/data/{key}?{query}"), &[]).await;
            }
            for (header, value) in CONDITIONS {
                site.compare(method, &format!("/data/{key}"), &[(header, &value.replace("ETAG", &etag))])
                    .await;
            }
            site.compare(method, &format!("/data/{key}"), &[("x-amz-checksum-mode", "ENABLED")]).await;
            site.compare(method, &format!("/data/{key}"), &[("x-amz-expected-bucket-owner", "000000000000")])
                .await;
        }
    }
    site.compare("GET", "/no-such-bucket/k", &[]).await;
    site.compare("HEAD", "/no-such-bucket/k", &[]).await;
}

/// Conditions on entity tags and dates, alone and against each other.
#[tokio::test]
async fn every_door_judges_combined_conditions_alike() {
    let site = Site::start().await;
    let etag = site.doors[0].1.head("data", "small").await.ok().header("etag").to_owned();
    for matches in [etag.as_str(), "\"other\"", "*"] {
        for date in [PAST, FUTURE] {
            site.compare("GET", "/data/small", &[("if-match", matches), ("if-unmodified-since", date)]).await;
            site.compare("GET", "/data/small", &[("if-none-match", matches), ("if-modified-since", date)])
                .await;
            site.compare("HEAD", "/data/small", &[("if-match", matches), ("if-modified-since", date)]).await;
            site.compare("GET", "/data/small", &[("if-range", matches), ("range", "bytes=1-3")]).await;
        }
    }
}

#[tokio::test]
async fn every_door_refuses_the_same_callers() {
    let site = Site::start().await;
    let keys = site.doors[0].1.keys().clone();
    let wrong_secret = Keys { secret_key: "x".repeat(40), ..keys.clone() };
    let unknown = Keys { access_key: "AKIAUNKNOWNUNKNOWN00".into(), ..keys };
    for (keys, code) in [(wrong_secret, "SignatureDoesNotMatch"), (unknown, "InvalidAccessKeyId")] {
        for (name, door) in &site.doors {
            let answer = door.with_keys(keys.clone()).get("data", "small").await;
            assert_eq!(answer.refusal(), (403, code.into()), "{name}");
            assert!(
                !answer.element("Message").is_empty() && !answer.element("RequestId").is_empty(),
                "{name}"
            );
        }
    }
}

const PAST: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

/// Every form of a range, in and out of an object of 1000 bytes, and what is no range.
const RANGES: [&str; 16] = [
    "bytes=0-0",
    "bytes=0-99",
    "bytes=10-",
    "bytes=-10",
    "bytes=-0",
    "bytes=999-",
    "bytes=1000-",
    "bytes=990-2000",
    "bytes=5000-6000",
    "bytes=-5000",
    "bytes=5-2",
    "bytes=a-b",
    "bytes=",
    "bytes=0-1,5-9",
    "lines=0-1",
    "bytes=65530-65550",
];

const QUERIES: [&str; 10] = [
    "partNumber=1",
    "partNumber=2",
    "partNumber=3",
    "partNumber=0",
    "partNumber=x",
    "versionId=null",
    "versionId=unknown",
    "response-content-type=text%2Fplain&response-cache-control=no-store",
    "response-content-disposition=attachment%3B%20filename%3Da.bin&response-content-language=de",
    "x-id=GetObject",
];

const CONDITIONS: [(&str, &str); 9] = [
    ("if-match", "ETAG"),
    ("if-match", "\"other\""),
    ("if-match", "*"),
    ("if-none-match", "ETAG"),
    ("if-none-match", "\"other\", ETAG"),
    ("if-modified-since", PAST),
    ("if-modified-since", FUTURE),
    ("if-unmodified-since", PAST),
    ("if-unmodified-since", "not a date"),
];

/// A bucket `data` in ord1 with an object of each kind, and every way to it by name.
struct Site {
    doors: Vec<(String, Client)>,
    _cluster: Cluster,
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let owner = cluster.standard("ord1");
        owner.create_bucket("data").await;
        for (key, bytes) in [("small", 1_000), ("large", 300_000), ("empty", 0)] {
            let put = Request::new("PUT", format!("/data/{key}")).body(Content::new(1, bytes).all());
            let put = put.header("content-type", "application/x-test").header("x-amz-meta-kind", "test");
            let put = put.header("cache-control", "max-age=60");
            let _ = owner.send(put).await.ok();
        }
        let _ = owner.put_multipart("data", "parts", Content::new(2, 5 * MIB + 100), 5 * MIB).await;
        let mut doors = vec![("the owner".to_owned(), owner.under(Endpoint::Standard.host("ord1")))];
        let forwarded = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
        doors.push(("the owner through las1".to_owned(), forwarded));
        let accelerated = |at: &&str| (format!("accelerated at {at}"), cluster.accelerated(at, "ord1"));
        doors.extend(REGIONS.iter().map(accelerated));
        Self { doors, _cluster: cluster }
    }

    /// Sends the same read to every door, twice, and compares what each says with what the owner says.
    async fn compare(&self, method: &'static str, target: &str, headers: &[(&str, &str)]) {
        let mut wanted: Option<Said> = None;
        for (name, door) in &self.doors {
            for _ in 0..2 {
                let mut request = Request::new(method, target);
                for (header, value) in headers {
                    request = request.header(header, *value);
                }
                let said = said(door.send(request).await);
                match &wanted {
                    None => wanted = Some(said),
                    Some(wanted) => assert_eq!(&said, wanted, "{method} {target} {headers:?}: {name}"),
                }
            }
        }
    }
}

fn said(answer: Answer) -> Said {
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = headers.filter(|(name, _)| !OWN_HEADERS.contains(&name.as_str()));
    let body = match answer.status {
        200..300 => hex::encode(Sha256::digest(&answer.body)),
        _ => ["RequestId", "HostId"].iter().fold(answer.text(), |text, id| {
            text.replace(&format!("<{id}>{}</{id}>", answer.element(id)), &format!("<{id}/>"))
        }),
    };
    (answer.status, headers.collect(), body)
}
