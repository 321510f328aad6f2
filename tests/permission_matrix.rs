//! Who may do what, walked: every operation by every kind of caller, allowed exactly where the actions that it needs
//! say so; reads of objects at every door, where no answer is different on a hit; signatures with one part changed; and
//! what browsers send beside requests.
//!
//! What each operation needs is written down here once more, from the S3 API reference, apart from the product's own
//! table. A request that is let in and then fails for another reason (there is no such upload, the document is empty,
//! the bucket is not empty, it is not implemented) was let in; so most of the walk changes nothing.

mod browsers;
mod callers;
mod forged;
mod operations;

use std::collections::BTreeMap;

use callers::{CALLERS, Level, Who};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use operations::{Operation, operations};
use tests::cluster::REGIONS;
use tests::sign::Keys;
use tests::{Answer, Client, Cluster, Endpoint, Request};

/// Requests on their way at one time.
const AT_ONCE: usize = 12;

/// Three regions, a bucket of the account `owners` in each, and callers of every kind.
struct Site {
    cluster: Cluster,
    keys: Vec<(Who, &'static str, Option<Keys>)>,
}

/// The bucket of each region.
fn bucket_of(region: &str) -> String {
    format!("walk-{region}")
}

fn policy(bucket: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Sid":"Invite","Effect":"Allow","Principal":{{"AWS":"invited"}},
              "Action":["s3:GetObject","s3:ListBucket","s3:PutObject"],
              "Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}},
            {{"Sid":"Shut","Effect":"Deny","Principal":{{"AWS":"arn:aws:iam::owners:user/denied"}},
              "Action":"s3:*","Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}}]}}"#
    )
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let owner = cluster.create_user("founder", &["--account", "owners", "--level", "full"]);
        for region in REGIONS {
            let founder = cluster.standard(region).with_keys(owner.clone());
            founder.create_bucket(&bucket_of(region)).await;
            let _ = founder.put(&bucket_of(region), "k", "the body").await.ok();
        }
        let grants: Vec<String> =
            REGIONS.iter().map(|region| format!("{region}/{}=readwrite", bucket_of(region))).collect();
        let mut keys = vec![(Who::Anonymous, "anonymous", None)];
        for (who, name, level) in CALLERS {
            let mut arguments = vec!["--account", who.account(), "--level", level];
            if who == Who::Granted {
                arguments.extend(grants.iter().flat_map(|grant| ["--grant", grant.as_str()]));
            }
            keys.push((who, name, Some(cluster.create_user(name, &arguments))));
        }
        let site = Self { cluster, keys };
        for region in REGIONS {
            site.put_policy(region).await;
        }
        site
    }

    fn keys_of(&self, wanted: Who) -> &Keys {
        let found = self.keys.iter().find(|(who, ..)| *who == wanted);
        found.and_then(|(.., keys)| keys.as_ref()).expect("a caller with keys")
    }

    fn full(&self, region: &str) -> Client {
        self.cluster.standard(region).with_keys(self.keys_of(Who::Owner(Level::Full)).clone())
    }

    async fn put_policy(&self, region: &str) {
        let bucket = bucket_of(region);
        let request = Request::new("PUT", format!("/{bucket}?policy")).body(policy(&bucket));
        let _ = self.full(region).send(request).await.ok();
    }

    /// Every listener, asked for the data of `region`.
    fn doors(&self, region: &str) -> Vec<(String, Client)> {
        let mut doors = Vec::new();
        for at in REGIONS {
            for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
                let client = self.cluster.client(at, endpoint).under(endpoint.host(region));
                doors.push((format!("{endpoint:?} of {region} at {at}"), client));
            }
        }
        doors
    }

    async fn send(&self, door: &Client, keys: Option<&Keys>, request: Request) -> Answer {
        match keys {
            Some(keys) => door.with_keys(keys.clone()).send(request).await,
            None => door.send_signed(door.unsigned(request)).await,
        }
    }
}

/// Whether somebody was let in. A list of keys is refused one by one.
fn is_let_in(answer: &Answer) -> bool {
    answer.status != 403 && !answer.text().contains("<Code>AccessDenied</Code>")
}

#[tokio::test]
async fn every_operation_is_allowed_exactly_where_its_actions_are() {
    let site = Site::start().await;
    let operations = operations();
    // Every kind of caller at the owner's own listener and at another region's other one: what is not an object read is
    // forwarded. At the four other doors one who may and one who may not.
    let doors = site.doors("las1");
    let everybody = [1, 2];
    let mut cells = Vec::new();
    for operation in &operations {
        for (index, door) in doors.iter().enumerate() {
            for (who, name, keys) in &site.keys {
                if everybody.contains(&index) || matches!(who, Who::Owner(Level::Full) | Who::Other) {
                    cells.push((operation, *who, *name, keys.as_ref(), door));
                }
            }
        }
    }
    let count = cells.len();
    let wrong: Vec<String> = stream::iter(cells)
        .map(|(operation, who, name, keys, (door, client))| {
            let site = &site;
            async move {
                let request = operation.request(&bucket_of("las1"), "k", name);
                let answer = site.send(client, keys, request).await;
                let expected = operation.actions.iter().all(|action| who.may(action));
                let is_asked_twice = !operation.is_about_bucket() && answer.status == 409;
                (is_let_in(&answer) != expected && !is_asked_twice || answer.status == 500).then(|| {
                    let (status, code) = answer.refusal();
                    let Operation { method, name, .. } = operation;
                    format!("{method} {name} by {who:?} through {door}: {status} {code}, allowed: {expected}")
                })
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} of {count} cells:\n{}", wrong.len(), wrong.join("\n"));

    // What takes the policy away, one by one, and puts it back.
    for (who, name, keys) in &site.keys {
        let request = Request::new("DELETE", format!("/{}?policy", bucket_of("las1")));
        let answer = site.send(&doors[1].1, keys.as_ref(), request).await;
        assert_eq!(is_let_in(&answer), who.may("DeleteBucketPolicy"), "{who:?} {name}: {}", answer.status);
        site.put_policy("las1").await;
    }
}

/// What a reader is told: status, headers and body, without what may differ from one answer to the next.
fn told(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let own = ["date", "x-amz-request-id", "x-amz-id-2", "connection", "keep-alive", "cache-status"];
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let ids = ["RequestId", "HostId"].map(|id| format!("<{id}>{}</{id}>", answer.element(id)));
    let body = ids.iter().fold(answer.text(), |text, id| text.replace(id, ""));
    (answer.status, headers.filter(|(name, _)| !own.contains(&name.as_str())).collect(), body)
}

/// Reads by every kind of caller through every listener: of a cold object, and of the same one warm. Who may not read
/// is told the very same of an object that is not there.
#[tokio::test]
async fn no_read_is_judged_differently_on_a_hit() {
    let site = Site::start().await;
    let judged = REGIONS.map(async |region| {
        let mut wrong = Vec::new();
        for (who, name, keys) in &site.keys {
            let bucket = bucket_of(region);
            let may = who.may("GetObject");
            let may_list = who.may("ListBucket");
            for (door, client) in site.doors(region) {
                let key = format!("{name}-{}", door.replace(' ', "-"));
                let put = Request::new("PUT", format!("/{bucket}/{key}")).body(key.clone());
                let _ = site.full(region).send(put).await.ok();
                let read = |method, key: &str| {
                    site.send(&client, keys.as_ref(), Request::new(method, format!("/{bucket}/{key}")))
                };
                let cold = read("GET", &key).await;
                let warming = client.with_keys(site.keys_of(Who::Owner(Level::Full)).clone());
                let _ = warming.get(&bucket, &key).await.ok();
                let hot = read("GET", &key).await;
                let (head, missing) = (read("HEAD", &key).await, read("GET", "no-such-key").await);
                let place = format!("{who:?} through {door}");
                if (cold.status == 200) != may || told(&cold) != told(&hot) || head.status != cold.status {
                    let refusals = [cold.refusal(), hot.refusal(), head.refusal()];
                    wrong.push(format!("{place}, allowed: {may}: cold, hot and HEAD are {refusals:?}"));
                }
                if missing.status != if may_list && may { 404 } else { 403 } {
                    wrong.push(format!("{place}: a missing object is {:?}", missing.refusal()));
                }
                for refused in [&cold, &hot, &head, &missing] {
                    if refused.status >= 400 && !refused.header("cache-status").is_empty() {
                        wrong.push(format!("{place}: a refusal says what the cache did"));
                    }
                }
                let without_key = |answer: &Answer, key: &str| {
                    let (status, headers, body) = told(answer);
                    (status, headers.len(), body.replace(key, ""))
                };
                if !may && without_key(&hot, &key) != without_key(&missing, "no-such-key") {
                    wrong.push(format!("{place}: what may not be read differs from what is missing"));
                }
            }
        }
        wrong
    });
    let wrong: Vec<String> = join_all(judged).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
