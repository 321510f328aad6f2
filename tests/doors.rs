//! Every door to an object gives the same answer: its owner's standard endpoint, the same forwarded by another region,
//! and the accelerated listeners of three nodes, cold and warm. What differs is told by `Cache-Status` and the ids alone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::future::join_all;
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
    let reads = ["small", "large", "sealed", "parts", "empty", "missing"].map(async |key| {
        for method in ["GET", "HEAD"] {
            for range in RANGES {
                site.compare(method, &format!("/data/{key}"), &[("range", range)]).await;
            }
            for query in QUERIES {
                site.compare(method, &format!("/data/{key}?{query}"), &[]).await;
            }
            for (header, value) in HEADERS {
                site.compare(method, &format!("/data/{key}"), &[(header, &value.replace("ETAG", &etag))])
                    .await;
            }
            site.compare(method, &format!("/data/{key}"), &[("x-amz-checksum-mode", "ENABLED")]).await;
            site.compare(method, &format!("/data/{key}"), &[("x-amz-expected-bucket-owner", "000000000000")])
                .await;
        }
    });
    join_all(reads).await;
    site.compare("GET", "/no-such-bucket/k", &[]).await;
    site.compare("HEAD", "/no-such-bucket/k", &[]).await;
}

/// What S3 ignores is ignored, signed or not: the whole object comes, at every door.
#[tokio::test]
async fn every_door_ignores_what_is_no_range() {
    let site = Site::start().await;
    for (name, door) in &site.doors {
        for range in ["bytes=0-1,5-9", "bytes=5-2", "lines=0-1"] {
            for (method, target, bytes) in
                [("GET", "/data/small", 1000), ("HEAD", "/data/small", 0), ("GET", "/data/large", 300_000)]
            {
                let answer = door.send(Request::new(method, target).header("range", range)).await;
                let said = (answer.status, answer.body.len(), answer.header("content-range"));
                assert_eq!(said, (200, bytes, ""), "{name}: {method} {target} {range}");
            }
            let part = Request::new("GET", "/data/parts?partNumber=2").header("range", range);
            let answer = door.send(part).await;
            assert_eq!((answer.status, answer.body.len()), (206, 100), "{name}: {range}");
        }
    }
}

/// A range or a checksum together with a part.
#[tokio::test]
async fn every_door_reads_parts_alike() {
    let site = Site::start().await;
    for key in ["small", "parts"] {
        for part in ["partNumber=1", "partNumber=2", "partNumber=3"] {
            let target = format!("/data/{key}?{part}");
            site.compare("GET", &target, &[("range", "bytes=0-1")]).await;
            site.compare("GET", &target, &[("x-amz-checksum-mode", "ENABLED")]).await;
            site.compare("HEAD", &target, &[("x-amz-checksum-mode", "ENABLED")]).await;
            site.compare("GET", &target, &[("if-none-match", "*")]).await;
        }
    }
}

/// What a path may hold reaches every door as it was sent.
#[tokio::test]
async fn every_door_takes_a_key_as_it_was_sent() {
    let site = Site::start().await;
    let keys = [
        "a%20b", "a%2Bb", "a+b", "%C3%BC", "a//b", "/a", "a/./b", "a/../b", "a%2Fb", "~", "a%25b", "%01",
        "%ff",
    ];
    for key in keys {
        let target = format!("/data/{key}");
        let put = site.doors[0].1.send(Request::new("PUT", &target).body(key)).await;
        for method in ["GET", "HEAD"] {
            site.compare(method, &target, &[]).await;
        }
        let got = site.doors[0].1.send(Request::new("GET", &target)).await;
        assert_eq!(put.status == 200, got.status == 200, "{key}: {} {}", put.text(), got.text());
    }
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

/// Whoever may not read learns the same everywhere, whatever else is wrong with the request.
#[tokio::test]
async fn every_door_refuses_before_it_tells_anything() {
    let site = Site::start().await;
    let stranger = Keys { access_key: "AKIAUNKNOWNUNKNOWN00".into(), ..site.doors[0].1.keys().clone() };
    let strangers: Vec<_> =
        site.doors.iter().map(|(name, door)| (name.clone(), door.with_keys(stranger.clone()))).collect();
    let targets =
        ["/data/small", "/data/sealed", "/data/missing", "/no-such-bucket/k", "/data/small?partNumber=9"];
    for target in targets {
        for header in
            [("range", "bytes=5000-"), ("if-match", "\"other\""), ("x-amz-checksum-mode", "enabled")]
        {
            let mut wanted = None;
            for (name, door) in &strangers {
                let said = said(door.send(Request::new("GET", target).header(header.0, header.1)).await);
                assert_eq!(said.0, 403, "{name}: {target} {header:?}");
                assert!(!said.1.contains_key("etag"), "{name}: {target} {header:?}");
                assert_eq!(&said, wanted.get_or_insert_with(|| said.clone()), "{name}: {target} {header:?}");
            }
        }
        site.compare_unsigned("GET", target, |_| String::new()).await;
        site.compare_unsigned("HEAD", target, |_| String::new()).await;
    }
}

/// Versions, delete markers, and what is neither.
#[tokio::test]
async fn every_door_reads_versions_alike() {
    let site = Site::start().await;
    let owner = &site.doors[0].1;
    owner.create_bucket("versions").await;
    let versioning = async |status: &str| {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        let _ = owner.send(Request::new("PUT", "/versions?versioning").body(body)).await.ok();
    };
    let mut ids = vec![String::new(), "null".to_owned(), "a".repeat(32), "unknown".to_owned()];
    let _ = owner.put("versions", "k", "of no version").await.ok();
    site.compare("GET", "/versions/k", &[]).await;
    versioning("Enabled").await;
    // The same head in a bucket that names versions from now on.
    site.compare("GET", "/versions/k", &[]).await;
    for (seed, bytes) in [(1, 1_000), (2, 300_000)] {
        let put = owner.put("versions", "k", Content::new(seed, bytes).all()).await.ok();
        ids.push(put.header("x-amz-version-id").to_owned());
        site.compare("GET", "/versions/k", &[]).await;
    }
    let marker = owner.delete("versions", "k").await.ok();
    ids.push(marker.header("x-amz-version-id").to_owned());
    for state in ["Enabled", "Suspended"] {
        versioning(state).await;
        for id in &ids {
            for key in ["k", "missing"] {
                let query = if id.is_empty() { String::new() } else { format!("?versionId={id}") };
                let target = format!("/versions/{key}{query}");
                for headers in [&[][..], &[("range", "bytes=5-9")], &[("if-none-match", "*")]] {
                    site.compare("GET", &target, headers).await;
                    site.compare("HEAD", &target, headers).await;
                }
                site.compare_unsigned("GET", &target, |_| String::new()).await;
            }
        }
        // The null version is replaced by a marker, and what an id names is as it was.
        let _ = owner.delete("versions", "k").await.ok();
    }
}

/// Presigned reads: good ones, and each nearest wrong neighbour.
#[tokio::test]
async fn every_door_judges_presigned_reads_alike() {
    let site = Site::start().await;
    for (expires, status) in [(60, 200), (604_800, 200), (604_801, 403), (0, 403), (-1, 403)] {
        let query = |door: &Client| format!("?{}", door.presigned("GET", "/data/small", expires));
        assert_eq!(site.compare_unsigned("GET", "/data/small", query).await, status, "expires in {expires}");
    }
    let of_another_object = |door: &Client| format!("?{}", door.presigned("GET", "/data/large", 60));
    assert_eq!(site.compare_unsigned("GET", "/data/small", of_another_object).await, 403);
    let of_another_method = |door: &Client| format!("?{}", door.presigned("HEAD", "/data/small", 60));
    assert_eq!(site.compare_unsigned("GET", "/data/small", of_another_method).await, 403);
    let with_more = |door: &Client| format!("?{}&versionId=null", door.presigned("GET", "/data/small", 60));
    assert_eq!(site.compare_unsigned("GET", "/data/small", with_more).await, 403);
}

const PAST: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

/// Every form of a range, in and out of an object of 1000 bytes, and what is no range.
const RANGES: [&str; 20] = [
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
    "bytes=-99999999",
    "bytes=99999999999999999999-",
    "Bytes=0-1",
    "bytes = 0-1",
];

const QUERIES: [&str; 32] = [
    "partNumber=1",
    "partNumber=2",
    "partNumber=3",
    "partNumber=0",
    "partNumber=10000",
    "partNumber=10001",
    "partNumber=x",
    "partNumber=",
    "partNumber=%2B1",
    "partNumber=1&partNumber=1",
    "versionId=null",
    "versionId=unknown",
    "versionId=",
    "response-content-type=text%2Fplain&response-cache-control=no-store",
    "response-content-disposition=attachment%3B%20filename%3Da.bin&response-content-language=de",
    "response-content-encoding=identity",
    "response-content-type=",
    "response-content-type=a%0Ab",
    "response-expires=Wed%2C%2001%20Jan%202020%2000%3A00%3A00%20GMT",
    "response-expires=soon",
    "response-expires=0",
    "response-expires=",
    "response-expires=a%0Ab",
    "response-nothing=1",
    "unknown=1",
    "versionId=null&partNumber=1&response-content-type=text%2Fplain",
    "x-id=GetObject",
    "x-id=HeadObject",
    "acl",
    "tagging",
    "attributes",
    "torrent",
];

const HEADERS: [(&str, &str); 26] = [
    ("if-match", "ETAG"),
    ("if-match", "\"other\""),
    ("if-match", "*"),
    ("if-match", "\"other\", ETAG"),
    ("if-match", "W/ETAG"),
    ("if-match", ""),
    ("if-match", "x y"),
    ("if-none-match", "ETAG"),
    ("if-none-match", "W/ETAG"),
    ("if-none-match", "*"),
    ("if-none-match", "\"other\", ETAG"),
    ("if-modified-since", PAST),
    ("if-modified-since", FUTURE),
    ("if-modified-since", "Wednesday, 01-Jan-20 00:00:00 GMT"),
    ("if-modified-since", "not a date"),
    ("if-unmodified-since", PAST),
    ("if-unmodified-since", FUTURE),
    ("if-unmodified-since", "Wed Jan  1 00:00:00 2020"),
    ("if-unmodified-since", "not a date"),
    ("x-amz-checksum-mode", "enabled"),
    ("x-amz-checksum-mode", "on"),
    ("x-amz-server-side-encryption", "AES256"),
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ("x-amz-request-payer", "requester"),
    ("accept-encoding", "gzip"),
    ("cache-control", "no-store"),
];

/// A bucket `data` in ord1 with an object of each kind, and every way to it by name.
struct Site {
    doors: Vec<(String, Client)>,
    /// Each read that was not answered alike, with both answers.
    differences: Mutex<Vec<String>>,
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
        let put = Request::new("PUT", "/data/sealed").body(Content::new(1, 300_000).all());
        let _ = owner.send(put.header("x-amz-server-side-encryption", "AES256")).await.ok();
        let _ = owner.put_multipart("data", "parts", Content::new(2, 5 * MIB + 100), 5 * MIB).await;
        let mut doors = vec![("the owner".to_owned(), owner.under(Endpoint::Standard.host("ord1")))];
        let forwarded = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
        doors.push(("the owner through las1".to_owned(), forwarded));
        let accelerated = |at: &&str| (format!("accelerated at {at}"), cluster.accelerated(at, "ord1"));
        doors.extend(REGIONS.iter().map(accelerated));
        Self { doors, differences: Mutex::default(), _cluster: cluster }
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
                let read = format!("{method} {target} {headers:?}: {name}");
                self.hold_against(&mut wanted, said, &read);
            }
        }
    }

    /// Sends the same read without an Authorization header, with a query made for each door; returns the status.
    async fn compare_unsigned(&self, method: &str, path: &str, query: impl Fn(&Client) -> String) -> u16 {
        let http = reqwest::Client::builder().no_proxy().build().expect("client");
        let mut wanted: Option<Said> = None;
        for (name, door) in &self.doors {
            let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
            let url = format!("{}{path}{}", door.origin(), query(door));
            let response =
                http.request(method, url).header("host", door.host()).send().await.expect("an exchange");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let said = said(Answer { status, headers, body: response.bytes().await.expect("a body") });
            self.hold_against(&mut wanted, said, &format!("{path} without Authorization: {name}"));
        }
        wanted.map_or(0, |(status, ..)| status)
    }

    /// The first door's answer is wanted of all others.
    fn hold_against(&self, wanted: &mut Option<Said>, said: Said, read: &str) {
        let wanted = wanted.get_or_insert_with(|| said.clone());
        if *wanted != said {
            let difference = format!("{read}\n  the owner: {wanted:?}\n  this door: {said:?}");
            self.differences.lock().expect("no panic while locked").push(difference);
        }
    }
}

/// All differences of a test are told together.
impl Drop for Site {
    fn drop(&mut self) {
        let differences = self.differences.lock().expect("no panic while locked");
        assert!(
            differences.is_empty() || std::thread::panicking(),
            "{} reads were not answered alike:\n{}",
            differences.len(),
            differences.join("\n")
        );
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
