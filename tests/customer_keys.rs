//! Objects under keys that their clients keep (SSE-C): read with their key at every door, by their owner alone, and over
//! HTTPS alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use tests::cluster::REGIONS;
use tests::{Answer, Client, Cluster, Content, Endpoint, Options, Request};

const OBJECT_BYTES: u64 = 300_000;

/// A key of 32 times the same byte, as its three headers bring it.
struct Key {
    base64: String,
    md5: String,
}

impl Key {
    fn new(byte: u8) -> Self {
        Self { base64: BASE64.encode([byte; 32]), md5: BASE64.encode(Md5::digest([byte; 32])) }
    }

    fn on(&self, request: Request) -> Request {
        request
            .header("x-amz-server-side-encryption-customer-algorithm", "AES256")
            .header("x-amz-server-side-encryption-customer-key", &self.base64)
            .header("x-amz-server-side-encryption-customer-key-md5", &self.md5)
    }

    fn on_copy_source(&self, request: Request) -> Request {
        request
            .header("x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256")
            .header("x-amz-copy-source-server-side-encryption-customer-key", &self.base64)
            .header("x-amz-copy-source-server-side-encryption-customer-key-md5", &self.md5)
    }
}

/// A bucket `data` in ord1 with an object `secret` under a key, and every way to it by name.
struct Site {
    key: Key,
    content: Content,
    doors: Vec<(String, Client)>,
    cluster: Cluster,
}

impl Site {
    async fn start(options: Options) -> Self {
        let cluster = Cluster::start_with(options.tls()).await;
        let (key, content) = (Key::new(1), Content::new(1, OBJECT_BYTES));
        let owner = cluster.standard("ord1");
        owner.create_bucket("data").await;
        let put = key.on(Request::new("PUT", "/data/secret").body(content.all()));
        let _ = owner.send(put).await.ok();
        let _ = owner.put("data", "plain", content.all()).await.ok();
        let mut doors = vec![("the owner".to_owned(), owner.under(Endpoint::Standard.host("ord1")))];
        let forwarded = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
        doors.push(("the owner through las1".to_owned(), forwarded));
        doors.extend(
            REGIONS.iter().map(|at| (format!("accelerated at {at}"), cluster.accelerated(at, "ord1"))),
        );
        Self { key, content, doors, cluster }
    }
}

fn assert_is_said(answer: &Answer, key: &Key) {
    assert_eq!(answer.header("x-amz-server-side-encryption-customer-algorithm"), "AES256");
    assert_eq!(answer.header("x-amz-server-side-encryption-customer-key-md5"), key.md5);
    assert!(!format!("{answer:?}").contains(&key.base64), "the key is said");
}

#[tokio::test]
async fn every_door_opens_with_the_key_and_with_no_other() {
    let site = Site::start(Options::default()).await;
    let other = Key::new(2);
    for (name, door) in &site.doors {
        for _ in ["cold", "warm"] {
            for (range, expected) in [("", 0..OBJECT_BYTES), ("bytes=65519-131040", 65_519..131_041)] {
                let request = |target: &str| Request::new("GET", target).header("range", range);
                let got = door.send(site.key.on(request("/data/secret"))).await.ok();
                assert!(got.body == site.content.range(expected.start, expected.end), "{name} {range}");
                assert_is_said(&got, &site.key);
                let without = door.send(request("/data/secret")).await;
                assert_eq!(without.refusal(), (400, "InvalidRequest".to_owned()), "{name}");
                assert_eq!(without.header("cache-status"), "", "{name}");
                let wrong = door.send(other.on(request("/data/secret"))).await;
                assert_eq!(wrong.refusal(), (403, "AccessDenied".to_owned()), "{name}");
                let needless = door.send(site.key.on(request("/data/plain"))).await;
                assert_eq!(needless.refusal(), (400, "InvalidRequest".to_owned()), "{name}");
            }
            let head = door.send(site.key.on(Request::new("HEAD", "/data/secret"))).await.ok();
            assert_eq!(head.header("content-length"), OBJECT_BYTES.to_string(), "{name}");
            assert_is_said(&head, &site.key);
            assert_eq!(door.send(Request::new("HEAD", "/data/secret")).await.status, 400, "{name}");
            assert_eq!(door.send(other.on(Request::new("HEAD", "/data/secret"))).await.status, 403, "{name}");
        }
    }
}

/// Nothing of the object is ever in a cache, however often it is read.
#[tokio::test]
async fn a_read_with_a_key_goes_past_the_cache() {
    let site = Site::start(Options::default()).await;
    for at in REGIONS {
        let door = site.cluster.accelerated(at, "ord1");
        for _ in 0..2 {
            let got = door.send(site.key.on(Request::new("GET", "/data/secret"))).await.ok();
            assert!(!got.header("cache-status").contains("; hit"), "{}", got.header("cache-status"));
            assert!(got.body == site.content.all());
        }
        // A pre-stage brings nothing here either.
        let staged = site.key.on(Request::new("HEAD", "/data/secret").header("range", "bytes=0-0"));
        assert_eq!(door.send(staged).await.status, 206);
        let _ = door.get("data", "plain").await.ok();
        let _ = door.get("data", "secret").await;
    }
    for at in REGIONS {
        // `plain` once, and not a byte of `secret`; the owner's node reads its own store.
        let pulled = site.cluster.settled(at).await.sum("penstock_cache_origin_bytes_total", &[]) as u64;
        assert_eq!(pulled, OBJECT_BYTES, "{at}");
    }
}

/// S3 takes no key that others could read on its way; whether they could is what a trusted proxy says.
#[tokio::test]
async fn a_key_is_taken_over_https_alone() {
    let trusting = Options::settings("[front]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    for (options, proxy_says_https) in [(Options::default(), false), (trusting, true)] {
        let cluster = Cluster::start_with(options).await;
        let owner = cluster.standard("ord1");
        owner.create_bucket("data").await;
        let key = Key::new(1);
        let doors = [
            owner.clone(),
            cluster.standard("las1").under(Endpoint::Standard.host("ord1")),
            cluster.accelerated("las1", "ord1"),
        ];
        for (door, number) in doors.iter().zip(1..) {
            for proto in ["https", "http"] {
                let through = |request: Request| request.header("x-forwarded-proto", proto);
                let target = format!("/data/{proto}{number}");
                let put = through(Request::new("PUT", target.as_str())).body("meow");
                let put = door.send(key.on(put)).await;
                let got = door.send(key.on(through(Request::new("GET", target.as_str())))).await;
                let copy = Request::new("PUT", "/data/copy").header("x-amz-copy-source", target.as_str());
                let copied = door.send(key.on_copy_source(through(copy))).await;
                for answer in [put, got, copied] {
                    if proxy_says_https && proto == "https" {
                        let _ = answer.ok();
                    } else {
                        assert_eq!(answer.refusal(), (400, "InvalidRequest".to_owned()));
                        assert!(answer.text().contains("secure connection"), "{}", answer.text());
                    }
                }
            }
        }
    }
}

/// The key is in no log, at whatever level; and what was answered is there after a crash, for who has the key.
#[tokio::test]
async fn a_key_is_in_no_log() {
    let mut site = Site::start(Options::settings("[log]\nlevel = \"debug\"\n")).await;
    let other = Key::new(0xa7);
    let owner = site.cluster.standard("ord1");
    let put = other.on(Request::new("PUT", "/data/other").body(site.content.all()));
    let _ = owner.send(put).await.ok();
    for (_, door) in &site.doors {
        let _ = door.send(other.on(Request::new("GET", "/data/other"))).await.ok();
        let _ = door.send(other.on(Request::new("GET", "/data/secret"))).await;
        let _ = door.send(other.on(Request::new("GET", "/data/missing"))).await;
        let _ = door.send_signed(door.unsigned(other.on(Request::new("GET", "/data/other")))).await;
    }
    site.cluster.kill_node("ord1");
    site.cluster.start_again().await;
    let got = owner.send(other.on(Request::new("GET", "/data/other"))).await.ok();
    assert!(got.body == site.content.all());

    let log = site.cluster.process("ord1").log();
    assert!(log.contains("GetObject") && log.contains("DEBUG"), "requests are logged, and as much as may be");
    assert!(!log.contains(&other.base64) && !log.contains(&other.md5), "the key is in the log");
}

/// What a bucket blocks is set and shown at every door (BlockedEncryptionTypes), beside what it encrypts by default or
/// without, and holds for uploads through every door.
#[tokio::test]
async fn a_bucket_blocks_keys_of_clients() {
    let site = Site::start(Options::default()).await;
    let by_default = "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>";
    let blocking = |name: &str| {
        format!("<BlockedEncryptionTypes><EncryptionType>{name}</EncryptionType></BlockedEncryptionTypes>")
    };
    for (name, door) in &site.doors {
        let put = async |rule: &str| {
            let document = format!(
                "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>{rule}</Rule>\
                 </ServerSideEncryptionConfiguration>"
            );
            door.send(Request::new("PUT", "/data?encryption").body(document)).await
        };
        let shown = async || door.send(Request::new("GET", "/data?encryption")).await;
        let upload = async || door.send(site.key.on(Request::new("PUT", "/data/new").body("meow"))).await;
        let none = (404, "ServerSideEncryptionConfigurationNotFoundError".to_owned());
        assert_eq!(shown().await.refusal(), none, "{name}");
        for (rule, is_blocked) in [
            (blocking("SSE-C"), true),
            (blocking("NONE"), false),
            (format!("{by_default}{}", blocking("SSE-C")), true),
            (by_default.to_owned(), false),
        ] {
            let _ = put(&rule).await.ok();
            let answer = shown().await.ok();
            let text = answer.text();
            for part in [by_default, &blocking("SSE-C"), &blocking("NONE")] {
                assert_eq!(text.contains(part), rule.contains(part), "{name}: {text}");
            }
            assert_eq!(answer.header("content-type"), "application/xml");
            let uploaded = upload().await;
            match is_blocked {
                true => assert_eq!(uploaded.refusal(), (403, "AccessDenied".to_owned()), "{name}"),
                false => assert_eq!(uploaded.status, 200, "{name}"),
            }
            let got = door.send(site.key.on(Request::new("GET", "/data/secret"))).await.ok();
            assert!(got.body == site.content.all(), "{name}");
        }
        for rule in [blocking("SSE-KMS"), blocking("SSE-C") + &blocking("NONE"), String::new()] {
            assert_eq!(put(&rule).await.refusal(), (400, "MalformedXML".to_owned()), "{name}: {rule}");
        }
        let empty = door.send(Request::new("PUT", "/data?encryption").body("")).await;
        assert_eq!(empty.refusal(), (400, "MissingRequestBodyError".to_owned()), "{name}");
        let stranger = door.send_signed(door.unsigned(Request::new("GET", "/data?encryption"))).await;
        assert_eq!(stranger.refusal(), (403, "AccessDenied".to_owned()), "{name}");
        assert_eq!(door.send(Request::new("DELETE", "/data?encryption")).await.status, 204, "{name}");
    }
}
