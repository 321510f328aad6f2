//! What becomes of objects with time, as readers at every endpoint see it.

use std::time::Duration;

use tests::cluster::REGIONS;
use tests::{Client, Cluster, Endpoint, Options, Request};

fn rules(prefix: &str, days: u32) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>tidy up</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>\
         <Expiration><Days>{days}</Days></Expiration></Rule></LifecycleConfiguration>"
    )
}

/// A cluster whose lifecycle days last a second, with a bucket in ord1, and every door to it.
async fn start() -> (Cluster, Client, Vec<(String, Client)>) {
    let cluster = Cluster::start_with(Options::default().and("[store]\nlifecycle_day = \"1s\"\n")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let mut doors = Vec::new();
    for at in REGIONS {
        for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
            let client = cluster.client(at, endpoint).under(endpoint.host("ord1"));
            doors.push((format!("{endpoint:?} at {at}"), client));
        }
    }
    (cluster, owner, doors)
}

async fn put_rules(owner: &Client, rules: String) {
    let _ = owner.send(Request::new("PUT", "/data?lifecycle").body(rules)).await.ok();
}

#[tokio::test]
async fn every_door_says_when_an_object_goes_as_soon_as_that_is_decided() {
    let (_cluster, owner, doors) = start().await;
    let _ = owner.put("data", "old/k", "body").await.ok();
    for (name, door) in &doors {
        assert_eq!(door.get("data", "old/k").await.ok().header("x-amz-expiration"), "", "{name}");
    }
    put_rules(&owner, rules("old/", 10_000)).await;
    let said = owner.head("data", "old/k").await.ok().header("x-amz-expiration").to_owned();
    assert!(said.contains("GMT\", rule-id=\"tidy%20up\""), "{said}");
    for (name, door) in &doors {
        for pass in ["cold", "hot"] {
            assert_eq!(
                door.get("data", "old/k").await.ok().header("x-amz-expiration"),
                said,
                "{name} {pass}"
            );
            assert_eq!(
                door.head("data", "old/k").await.ok().header("x-amz-expiration"),
                said,
                "{name} {pass}"
            );
        }
    }
    let _ = owner.send(Request::new("DELETE", "/data?lifecycle")).await.ok();
    for (name, door) in &doors {
        assert_eq!(door.get("data", "old/k").await.ok().header("x-amz-expiration"), "", "{name}");
    }
}

#[tokio::test]
async fn an_object_that_has_gone_is_gone_at_every_door() {
    let (_cluster, owner, doors) = start().await;
    for key in ["old/k", "new/k"] {
        let _ = owner.put("data", key, "body").await.ok();
        for (_, door) in &doors {
            let _ = door.get("data", key).await.ok();
        }
    }
    put_rules(&owner, rules("old/", 1)).await;
    let mut looks = 0;
    while owner.head("data", "old/k").await.status != 404 {
        looks += 1;
        assert!(looks < 600, "the object is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (name, door) in &doors {
        assert_eq!(door.get("data", "old/k").await.refusal(), (404, "NoSuchKey".into()), "{name}");
        assert_eq!(door.get("data", "new/k").await.ok().text(), "body", "{name}");
    }
}

#[tokio::test]
async fn an_account_keeps_no_more_than_its_quota() {
    let cluster = Cluster::start_with(Options::default().and("[store]\naccount_quota_bytes = 1000\n")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let full = (403, "QuotaExceeded".to_owned());
    let _ = owner.put("data", "a", vec![0_u8; 600]).await.ok();
    assert_eq!(owner.put("data", "b", vec![0_u8; 401]).await.refusal(), full);
    let _ = owner.put("data", "b", vec![0_u8; 400]).await.ok();
    assert_eq!(owner.copy("data/b", "data", "c").await.refusal(), full);
    let _ = owner.delete("data", "a").await.ok();
    let _ = owner.copy("data/b", "data", "c").await.ok();
    // Each region keeps its own.
    let other = cluster.standard("las1");
    other.create_bucket("other").await;
    let _ = other.put("other", "a", vec![0_u8; 1000]).await.ok();
}
