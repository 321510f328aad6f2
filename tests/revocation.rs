//! What is taken away is gone: once the change was answered, the very next read of a hot object is refused at the
//! accelerated listener of every region.

use std::convert::Infallible;

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use sha2::{Digest, Sha256};
use tests::cluster::{LONG_LEASES, REGIONS};
use tests::sign::Keys;
use tests::{Answer, Client, Cluster, Endpoint, Options, Request, process};

/// A bucket of each region in turn, an object in it that every node has in its cache, and a reader.
struct Site {
    cluster: Cluster,
    owner: Keys,
    reader: Keys,
}

impl Site {
    /// The reader is of `account`, at `level`.
    async fn start(account: &str, level: &str) -> Self {
        let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
        let owner = cluster.create_user("owner", &["--account", "owners", "--level", "full"]);
        let reader = cluster.create_user("reader", &["--account", account, "--level", level]);
        for region in REGIONS {
            let client = cluster.standard(region).with_keys(owner.clone());
            client.create_bucket(&format!("hot-{region}")).await;
            let _ = client.put(&format!("hot-{region}"), "k", "hot").await.ok();
        }
        Self { cluster, owner, reader }
    }

    fn standard(&self, region: &str) -> Client {
        self.cluster.standard(region).with_keys(self.owner.clone())
    }

    async fn put_policy(&self, region: &str, statement: &str) {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{{statement},"Action":"s3:GetObject","Resource":"arn:aws:s3:::hot-{region}/*"}}]}}"#
        );
        let request = Request::new("PUT", format!("/hot-{region}?policy")).body(text);
        let _ = self.standard(region).send(request).await.ok();
    }

    async fn delete_policy(&self, region: &str) {
        let _ =
            self.standard(region).send(Request::new("DELETE", format!("/hot-{region}?policy"))).await.ok();
    }

    /// The status of a read of `region`'s object at each region's accelerated listener, and whether it was a hit.
    async fn read_everywhere(&self, region: &str, keys: Option<&Keys>) -> [(u16, bool); 3] {
        let reads = REGIONS.map(async |at| {
            let client = self.cluster.accelerated(at, region);
            let request = Request::new("GET", format!("/hot-{region}/k"));
            let answer = match keys {
                Some(keys) => client.with_keys(keys.clone()).send(request).await,
                None => client.send_signed(client.unsigned(request)).await,
            };
            (answer.status, answer.header("cache-status").contains("hit"))
        });
        let [ord1, las1, lga1] = reads;
        let (ord1, las1, lga1) = futures::join!(ord1, las1, lga1);
        [ord1, las1, lga1]
    }

    /// Reads until every node has the object: the last time from its cache.
    async fn heat(&self, region: &str, keys: Option<&Keys>) {
        let _ = self.read_everywhere(region, keys).await;
        assert_eq!(self.read_everywhere(region, keys).await, [(200, true); 3], "{region}");
    }
}

const REFUSED: [(u16, bool); 3] = [(403, false); 3];

/// Taken back from everybody, and from a user of another account.
#[tokio::test]
async fn a_policy_that_is_deleted_lets_nobody_in_anymore() {
    let site = Site::start("visitors", "read").await;
    for region in REGIONS {
        for (principal, keys) in [(r#""*""#, None), (r#"{"AWS":"visitors"}"#, Some(&site.reader))] {
            assert_eq!(site.read_everywhere(region, keys).await, REFUSED, "{region} {principal}");
            for _ in 0..3 {
                site.put_policy(region, &format!(r#""Effect":"Allow","Principal":{principal}"#)).await;
                site.heat(region, keys).await;
                site.delete_policy(region).await;
                assert_eq!(site.read_everywhere(region, keys).await, REFUSED, "{region} {principal}");
            }
        }
    }
}

/// A deny stops the bucket's own account, and its full user too.
#[tokio::test]
async fn a_policy_that_denies_stops_the_next_read() {
    let site = Site::start("owners", "read").await;
    for region in REGIONS {
        for keys in [&site.reader, &site.owner] {
            for _ in 0..3 {
                site.heat(region, Some(keys)).await;
                site.put_policy(region, r#""Effect":"Deny","Principal":"*""#).await;
                assert_eq!(site.read_everywhere(region, Some(keys)).await, REFUSED, "{region}");
                site.delete_policy(region).await;
            }
        }
    }
}

/// A list that gave an object to everybody, taken back.
#[tokio::test]
async fn a_list_that_is_taken_back_lets_nobody_in_anymore() {
    let site = Site::start("visitors", "read").await;
    for region in REGIONS {
        for acl in ["public-read", "private", "public-read", "private"] {
            let request = Request::new("PUT", format!("/hot-{region}/k?acl")).header("x-amz-acl", acl);
            let _ = site.standard(region).send(request).await.ok();
            match acl {
                "private" => assert_eq!(site.read_everywhere(region, None).await, REFUSED, "{region}"),
                _ => site.heat(region, None).await,
            }
        }
    }
}

/// A bucket made again under its name has none of what the one before it had given.
#[tokio::test]
async fn a_grant_does_not_survive_its_bucket() {
    let site = Site::start("owners", "full").await;
    let granted = |region: &str| format!("{region}/hot-{region}=read");
    let grants = REGIONS.map(granted);
    let grants: Vec<&str> = grants.iter().flat_map(|grant| ["--grant", grant.as_str()]).collect();
    let line = [&["--account", "visitors", "--level", "read"], &grants[..]].concat();
    let visitor = site.cluster.create_user("visitor", &line);
    for region in REGIONS {
        site.heat(region, Some(&visitor)).await;
        let owner = site.standard(region);
        let bucket = format!("hot-{region}");
        let _ = owner.delete(&bucket, "k").await.ok();
        let _ = owner.send(Request::new("DELETE", format!("/{bucket}"))).await.ok();
        owner.create_bucket(&bucket).await;
        let _ = owner.put(&bucket, "k", "of the new bucket").await.ok();
        assert_eq!(site.read_everywhere(region, Some(&visitor)).await, REFUSED, "{region}");
    }
}

/// What takes a user away while a request of theirs is under way.
const TAKEN_AWAY: [&[&str]; 4] = [&["delete"], &["disable"], &["rotate"], &["set-access", "--level", "read"]];

/// A user who is gone, or may no more, when the last byte of an upload arrives has uploaded nothing, whichever region
/// they reached: neither an object, nor a part, nor the end of an upload whose list of parts took its time.
#[tokio::test]
async fn an_upload_is_not_committed_for_whoever_is_gone_at_its_end() {
    let cluster = Cluster::start().await;
    cluster.standard("las1").create_bucket("data").await;
    for (at, command) in TAKEN_AWAY.into_iter().enumerate() {
        let name = format!("writer{at}");
        let keys = cluster.create_user(&name, &["--account", "dev", "--level", "full"]);
        let region = REGIONS[at % REGIONS.len()];
        let client = cluster.standard(region).under(Endpoint::Standard.host("las1")).with_keys(keys);
        let _ = client.put("data", "before", "hello").await.ok();
        let upload = client.create_multipart_upload("data", "parts").await;
        let (_, part) = client.upload_part("data", "parts", &upload, 1, Bytes::from("part")).await;
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>"
        );
        let target = format!("/data/parts?uploadId={upload}");
        let mut uploads = Vec::new();
        for (request, body) in [
            (Request::new("PUT", "/data/after"), "x".repeat(100_000)),
            (Request::new("PUT", format!("{target}&partNumber=2")), "x".repeat(100_000)),
            (Request::new("POST", target), list),
        ] {
            uploads.push(Held::begin(&client, request, &body).await);
        }
        // As long as it takes to be let in, and longer.
        for _ in 0..5 {
            let _ = client.get("data", "before").await.ok();
        }
        take_away(&cluster, command, &name);
        for upload in uploads {
            let answer = upload.finish().await;
            let code = if command[0] == "set-access" { "AccessDenied" } else { "InvalidAccessKeyId" };
            assert_eq!(answer.refusal(), (403, code.to_owned()), "{command:?} at {region}");
        }
        let owner = cluster.standard("las1");
        for key in ["after", "parts"] {
            assert_eq!(owner.get("data", key).await.status, 404, "{command:?}: {key}");
        }
    }
}

/// Whoever gives a command about users and is gone, or may no more, when its last byte arrives has commanded nothing: a
/// stolen key does not outlive its user by making another one.
#[tokio::test]
async fn a_command_is_not_obeyed_for_whoever_is_gone_at_its_end() {
    let cluster = Cluster::start().await;
    for (at, command) in TAKEN_AWAY.into_iter().enumerate() {
        let name = format!("chief{at}");
        let keys = cluster.create_user(&name, &["--account", "dev", "--level", "full"]);
        let chief = cluster.manager("ord1").with_keys(keys);
        let request = Request::new("POST", "/v1/users").header("content-type", "application/json");
        let making = Held::begin(&chief, request, r#"{"name":"spy","level":"full"}"#).await;
        // As long as it takes to be believed, and longer.
        for _ in 0..5 {
            let _ = chief.send(Request::new("GET", "/v1/users")).await.ok();
        }
        take_away(&cluster, command, &name);
        let answer = making.finish().await;
        assert!(answer.status == 403, "{command:?}: {} {}", answer.status, answer.text());
        assert!(answer.text().contains("InvalidAccessKeyId"), "{command:?}: {}", answer.text());
        let users = cluster.manager("ord1").send(Request::new("GET", "/v1/users")).await.ok().text();
        assert!(!users.contains("spy"), "{command:?}: {users}");
    }
}

/// Has the operator do this to the user `name`.
fn take_away(cluster: &Cluster, command: &[&str], name: &str) {
    let data = cluster.data_argument();
    let line = [&["user"], &command[..1], &[name], &command[1..], &["--data", &data]].concat();
    let (status, said) = process::run(&line);
    assert!(status.success(), "{said}");
}

/// A request of which the head and the first half of its body were sent.
struct Held {
    rest: mpsc::Sender<Result<Bytes, Infallible>>,
    second_half: Bytes,
    answer: tokio::task::JoinHandle<Answer>,
}

impl Held {
    async fn begin(client: &Client, request: Request, body: &str) -> Self {
        let (first, second) = body.split_at(body.len() / 2);
        let [first, second_half] = [first, second].map(|half| Bytes::copy_from_slice(half.as_bytes()));
        let (mut rest, pieces) = mpsc::channel(0);
        let request = request.streamed_body(body.len() as u64, pieces);
        let request = request.payload_hash(&hex::encode(Sha256::digest(body)));
        let client = client.clone();
        let answer = tokio::spawn(async move { client.send(request).await });
        rest.send(Ok(first)).await.expect("the body is read");
        Self { rest, second_half, answer }
    }

    async fn finish(mut self) -> Answer {
        self.rest.send(Ok(self.second_half)).await.expect("the body is read");
        drop(self.rest);
        self.answer.await.expect("an answer")
    }
}
