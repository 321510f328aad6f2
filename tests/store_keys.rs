//! Objects under the key of their store (SSE-S3): read at every door as if they were plain, by their owner alone, and in
//! the clear on no disk.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::cluster::REGIONS;
use tests::disk::{data_files, flip_bit};
use tests::form::Form;
use tests::process::Process;
use tests::{Answer, Client, Cluster, Content, Endpoint, MIB, Options, Request, process};

const OBJECT_BYTES: u64 = 300_000;
const METHOD: &str = "x-amz-server-side-encryption";

fn by_store(request: Request) -> Request {
    request.header(METHOD, "AES256")
}

/// A bucket `data` in ord1 with an object `secret` under the store's key and one without, and every way to them by name.
struct Site {
    content: Content,
    doors: Vec<(String, Client)>,
    cluster: Cluster,
}

impl Site {
    async fn start(options: Options) -> Self {
        let cluster = Cluster::start_with(options).await;
        let content = Content::new(1, OBJECT_BYTES);
        let owner = cluster.standard("ord1");
        owner.create_bucket("data").await;
        let put = owner.send(by_store(Request::new("PUT", "/data/secret").body(content.all()))).await.ok();
        assert_eq!(put.header(METHOD), "AES256");
        let _ = owner.put("data", "plain", content.all()).await.ok();
        let mut doors = vec![("the owner".to_owned(), owner.under(Endpoint::Standard.host("ord1")))];
        let forwarded = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
        doors.push(("the owner through las1".to_owned(), forwarded));
        doors.extend(
            REGIONS.iter().map(|at| (format!("accelerated at {at}"), cluster.accelerated(at, "ord1"))),
        );
        Self { content, doors, cluster }
    }

    async fn assert_is_read(&self, key: &str) {
        for (name, door) in &self.doors {
            let got = door.get("data", key).await.ok();
            assert!(got.body == self.content.all(), "{name}");
            assert_is_said(&got, name);
        }
    }
}

#[track_caller]
fn assert_is_said(answer: &Answer, door: &str) {
    assert_eq!(answer.header(METHOD), "AES256", "{door}");
}

/// What every door says of every read is compared in `doors`; here, that nothing of the object comes to a cache.
#[tokio::test]
async fn every_door_reads_it_and_no_cache_keeps_it() {
    let site = Site::start(Options::default()).await;
    for (name, door) in &site.doors {
        for _ in ["cold", "warm"] {
            for range in [0..OBJECT_BYTES, 65_519..131_041] {
                let got = door.get_range("data", "secret", range.start, range.end).await.ok();
                assert!(got.body == site.content.range(range.start, range.end), "{name} {range:?}");
                assert_is_said(&got, name);
                assert!(!got.header("cache-status").contains("; hit"), "{}", got.header("cache-status"));
            }
            let head = door.head("data", "secret").await.ok();
            assert_eq!(head.header("content-length"), OBJECT_BYTES.to_string(), "{name}");
            assert_is_said(&head, name);
        }
        // A pre-stage brings nothing here either.
        let staged = Request::new("HEAD", "/data/secret").header("range", "bytes=0-0");
        assert_eq!(door.send(staged).await.status, 206);
        let _ = door.get("data", "plain").await.ok();
        let choosing = door.send(by_store(Request::new("GET", "/data/plain"))).await;
        assert_eq!(choosing.refusal(), (400, "InvalidArgument".to_owned()), "{name}");
        let stranger = door.send_signed(door.unsigned(Request::new("GET", "/data/secret"))).await;
        assert_eq!(stranger.refusal(), (403, "AccessDenied".to_owned()), "{name}");
    }
    for at in REGIONS {
        // `plain` once, and not a byte of `secret`.
        let pulled = site.cluster.settled(at).await.sum("penstock_cache_origin_bytes_total", &[]) as u64;
        assert_eq!(pulled, OBJECT_BYTES, "{at}");
    }
    let data = site.cluster.data_argument();
    let (status, said) = process::run(&["warm", "s3://data/secret", "--data", &data]);
    assert!(!status.success() && said.contains("encrypted"), "{said}");
}

/// In parts, by form, by copy and under another name; and once more after a power cut.
#[tokio::test]
async fn however_it_was_made_it_is_read_after_a_crash() {
    let mut site = Site::start(Options::default()).await;
    let owner = site.cluster.standard("ord1");
    let big = Content::new(2, 5 * MIB + 100_000);
    let started = owner.send(by_store(Request::new("POST", "/data/parts?uploads"))).await.ok();
    assert_is_said(&started, "started");
    let id = started.element("UploadId");
    let mut named = String::new();
    for (number, range) in [(1, 0..5 * MIB), (2, 5 * MIB..big.bytes)] {
        let target = format!("/data/parts?partNumber={number}&uploadId={id}");
        let part = Request::new("PUT", target).body(big.range(range.start, range.end));
        let part = owner.send(part).await.ok();
        assert_is_said(&part, "a part");
        named +=
            &format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", part.header("etag"));
    }
    let body = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let complete = Request::new("POST", format!("/data/parts?uploadId={id}")).body(body);
    assert_is_said(&owner.send(complete).await.ok(), "completed");

    let form = Form::new("form", site.content.all()).field(METHOD, "AES256");
    let form = form.signed(site.cluster.keys(), "data", "").to("/data");
    assert_is_said(&owner.send_signed(owner.unsigned(form)).await.ok(), "a form");
    for (source, target) in [("plain", "copy of plain"), ("secret", "copy")] {
        let copy = Request::new("PUT", format!("/data/{}", target.replace(' ', "%20")));
        let copy = copy.header("x-amz-copy-source", format!("data/{source}"));
        assert_is_said(&owner.send(by_store(copy)).await.ok(), target);
    }
    let rename = Request::new("PUT", "/data/renamed?renameObject");
    let _ = owner.send(rename.header("x-amz-rename-source", "data/copy")).await.ok();

    site.cluster.kill_node("ord1");
    site.cluster.start_again().await;
    for key in ["secret", "form", "copy%20of%20plain", "renamed"] {
        site.assert_is_read(key).await;
    }
    for (name, door) in &site.doors {
        let got = door.get_range("data", "parts", 5 * MIB - 70_000, 5 * MIB + 70_000).await.ok();
        assert!(got.body == big.range(5 * MIB - 70_000, 5 * MIB + 70_000), "{name}");
        assert_is_said(&got, name);
    }
}

/// Once it was read everywhere, neither the owner nor any cache has it on disk as it is; of a plain one both have.
#[tokio::test]
async fn it_is_in_the_clear_on_no_disk() {
    let mut cluster = Cluster::start_with(Options::cache("0", "64 MiB")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let (secret, plain) = ("what only the store may read ", "what lies open on the disk ");
    for (key, text) in [("secret", secret), ("plain", plain)] {
        for (size, body) in [("small", text.to_owned()), ("large", text.repeat(20_000))] {
            let put = Request::new("PUT", format!("/data/{size}-{key}")).body(body);
            let put = if key == "secret" { by_store(put) } else { put };
            let _ = owner.send(put).await.ok();
            for at in REGIONS {
                let door = cluster.accelerated(at, "ord1");
                let _ = door.get("data", &format!("{size}-{key}")).await.ok();
            }
        }
    }
    cluster.stop();
    let holding = |text: &str| {
        let folder = cluster.data_dir();
        let found = Command::new("grep").args(["-rlaF", text]).arg(&folder).output().expect("grep runs");
        String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(holding(secret), [""; 0]);
    let open = holding(plain);
    assert!(open.iter().any(|path| path.contains("/ord1/store/")), "{open:?}");
    assert!(open.iter().any(|path| path.contains("/las1/cache.slab")), "{open:?}");
}

#[tokio::test]
async fn a_flipped_bit_is_never_served() {
    let mut site = Site::start(Options::default()).await;
    site.cluster.stop();
    let sealed = |path: &&PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > OBJECT_BYTES);
    let files = data_files(&site.cluster.data_dir().join("ord1/store"));
    flip_bit(files.iter().find(sealed).expect("the object's data file"), 70_000);
    site.cluster.expect_errors("");
    site.cluster.start_again().await;
    for (name, door) in &site.doors {
        let spoilt = door.get_range("data", "secret", 70_000, 70_100).await;
        assert_eq!(spoilt.refusal(), (500, "InternalError".to_owned()), "{name}");
        let whole = door.get_range("data", "secret", 0, 60_000).await.ok();
        assert!(whole.body == site.content.range(0, 60_000), "{name}");
    }
}

/// Each node seals its store's key anew as it starts; without the key that sealed it, it says which one is missing.
#[tokio::test]
async fn the_cluster_key_is_rotated() {
    let mut site = Site::start(Options::default().served()).await;
    site.cluster.stop();
    let file = site.cluster.data_dir().join("cluster/cluster.key");
    let old = fs::read_to_string(&file).expect("read the key");
    let (status, said) = process::run(&["cluster", "rotate-key", "--data", &site.cluster.data_argument()]);
    assert!(status.success(), "{said}");
    let both = fs::read_to_string(&file).expect("read the keys");
    let new = both.lines().next().expect("the new key").to_owned() + "\n";

    fs::write(&file, &new).expect("drop the old key too early");
    let (data, config) = (site.cluster.data_argument(), site.cluster.config_argument("ord1"));
    let arguments = ["serve", "--region", "ord1", "--data", &data, "--config", &config].map(str::to_owned);
    let mut early = Process::start(&arguments, &site.cluster.data_dir().join("early.log"));
    assert!(!early.wait().success() && early.log().contains(&old[..8]), "{}", early.log());

    fs::write(&file, &both).expect("bring the old key back");
    site.cluster.start_again().await;
    site.assert_is_read("secret").await;
    let (status, said) = process::run(&["user", "reseal", "--data", &site.cluster.data_argument()]);
    assert!(status.success(), "{said}");
    site.cluster.stop();
    fs::write(&file, &new).expect("drop the old key");
    site.cluster.start_again().await;
    site.assert_is_read("secret").await;
}

/// A policy that asks for encryption, the one that S3's own guide shows, can be met.
#[tokio::test]
async fn a_policy_may_demand_it() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject",
        "Resource":"arn:aws:s3:::data/*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}}]}"#;
    let _ = owner.send(Request::new("PUT", "/data?policy").body(policy)).await.ok();
    for door in [owner, cluster.accelerated("las1", "ord1")] {
        let put = |method: Option<&str>| {
            let put = Request::new("PUT", "/data/k").body("meow");
            method.iter().fold(put, |put, method| put.header(METHOD, *method))
        };
        for refused in [None, Some("AES192"), Some("aws:kms")] {
            assert_eq!(
                door.send(put(refused)).await.refusal(),
                (403, "AccessDenied".to_owned()),
                "{refused:?}"
            );
        }
        assert_is_said(&door.send(put(Some("AES256"))).await.ok(), "a put");
        assert_is_said(&door.get("data", "k").await.ok(), "a get");

        // In parts, where it is said once, when the upload begins; and a completion may be repeated.
        let begin = || Request::new("POST", "/data/parts?uploads");
        assert_eq!(door.send(begin()).await.refusal(), (403, "AccessDenied".to_owned()));
        let id = door.send(by_store(begin())).await.ok().element("UploadId");
        let part = Request::new("PUT", format!("/data/parts?partNumber=1&uploadId={id}")).body("meow");
        let part = door.send(part).await.ok();
        assert_is_said(&part, "a part");
        let named = format!("<Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>", part.header("etag"));
        let body = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
        for told in ["completed", "completed once more"] {
            let complete = Request::new("POST", format!("/data/parts?uploadId={id}")).body(body.clone());
            assert_is_said(&door.send(complete).await.ok(), told);
        }
        assert_eq!(door.get("data", "parts").await.ok().body, "meow");
    }

    // An upload that began without, before the policy was there, gets no part.
    let bare = cluster.standard("ord1");
    let _ = bare.send(Request::new("DELETE", "/data?policy")).await.ok();
    let id = bare.send(Request::new("POST", "/data/bare?uploads")).await.ok().element("UploadId");
    let _ = bare.send(Request::new("PUT", "/data?policy").body(policy)).await.ok();
    let part = Request::new("PUT", format!("/data/bare?partNumber=1&uploadId={id}")).body("meow");
    assert_eq!(bare.send(part).await.refusal(), (403, "AccessDenied".to_owned()));
}
