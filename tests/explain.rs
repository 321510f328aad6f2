//! `penstock explain` says what decides, and what it says is what happens.

use serde_json::Value;
use tests::sign::Keys;
use tests::{Client, Cluster, Request, process};

struct Site {
    cluster: Cluster,
    owner: Client,
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let keys = cluster.create_user("alice", &["--account", "research", "--level", "full"]);
        let owner = cluster.standard("las1").with_keys(keys);
        owner.create_bucket("models").await;
        let _ = owner.put("models", "a/weights", "bytes").await.ok();
        Self { cluster, owner }
    }

    fn ask(&self, arguments: &[&str]) -> (bool, String) {
        let data = self.cluster.data_argument();
        let (status, said) = process::run(&[&["explain"], arguments, &["--data", &data]].concat());
        (status.success(), said)
    }

    /// What is said of reading the object, by `who`, and whether the object is then read.
    async fn explain(&self, who: &[&str], keys: Option<&Keys>) -> (Value, bool) {
        let line = [who, &["--action", "s3:GetObject", "s3://models/a/weights", "--json"]].concat();
        let (went_well, said) = self.ask(&line);
        assert!(went_well, "{said}");
        let request = Request::new("GET", "/models/a/weights");
        let answer = match keys {
            Some(keys) => self.owner.with_keys(keys.clone()).send(request).await,
            None => self.owner.send_signed(self.owner.unsigned(request)).await,
        };
        (serde_json::from_str(&said).expect("--json answers in JSON"), answer.status == 200)
    }

    async fn put_policy(&self, statement: &str) {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{statement},
                {{"Effect":"Deny","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::models/*"}}]}}"#
        );
        let _ = self.owner.send(Request::new("PUT", "/models?policy").body(text)).await.ok();
    }
}

#[tokio::test]
async fn each_reason_is_told_and_true() {
    let site = Site::start().await;
    let visitor = site.cluster.create_user("victor", &["--account", "visitors", "--level", "full"]);
    let granted = ["--account", "visitors", "--level", "full", "--grant", "las1/models=read"];
    let granted = site.cluster.create_user("greta", &granted);
    let writer = site.cluster.create_user("walter", &["--account", "research", "--level", "write"]);
    let alice = site.owner.keys().clone();
    let read = r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*""#;

    let check = async |who: &[&str], keys: Option<&Keys>, reason: &str, statement: Option<&str>, allowed| {
        let (told, is_read) = site.explain(who, keys).await;
        assert_eq!(
            (told["reason"].as_str(), told["statement"].as_str()),
            (Some(reason), statement),
            "{told}"
        );
        assert_eq!((told["is_allowed"].as_bool(), is_read), (Some(allowed), allowed), "{told}");
    };
    check(&["--as", "alice"], Some(&alice), "bucket_owner", None, true).await;
    check(&["--as", "walter"], Some(&writer), "level", None, false).await;
    check(&["--as", "victor"], Some(&visitor), "no_allow", None, false).await;
    check(&["--as", "greta", "--account", "visitors"], Some(&granted), "grant", None, true).await;
    check(&["--anonymous"], None, "no_allow", None, false).await;

    site.put_policy(&format!(
        r#"{{"Sid":"Share","Effect":"Allow","Principal":{{"AWS":"visitors"}},{read}}}"#
    ))
    .await;
    check(&["--as", "victor"], Some(&visitor), "policy", Some("Share"), true).await;
    check(&["--anonymous"], None, "no_allow", None, false).await;
    site.put_policy(&format!(r#"{{"Effect":"Deny","Principal":"*",{read}}}"#)).await;
    check(&["--as", "alice"], Some(&alice), "explicit_deny", Some("#1"), false).await;

    site.put_policy(&format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"research"}},{read}}}"#)).await;
    let list = Request::new("PUT", "/models/a/weights?acl").header("x-amz-acl", "public-read");
    let _ = site.owner.send(list).await.ok();
    check(&["--anonymous"], None, "object_acl", None, true).await;
    let block = "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>";
    let _ = site.owner.send(Request::new("PUT", "/models?publicAccessBlock").body(block)).await.ok();
    check(&["--anonymous"], None, "public_access_block", None, false).await;

    let (went_well, said) = site.ask(&["--as", "alice", "--action", "s3:listbucket", "s3://models"]);
    assert!(
        went_well && said.starts_with("allowed: the bucket is of the user's account, research\n"),
        "{said}"
    );
}

/// What cannot be answered is refused with what is wrong.
#[tokio::test]
async fn a_question_about_nothing_is_refused() {
    let site = Site::start().await;
    for (line, wrong) in [
        ("--as nobody --action s3:GetObject s3://models/k", "nobody"),
        ("--as alice --action s3:GetObjekt s3://models/k", "s3:GetObjekt"),
        ("--as alice --action s3:GetObject s3://models", "s3://BUCKET/KEY"),
        ("--as alice --action s3:ListBucket s3://models/k", "s3://BUCKET"),
        ("--as alice --action s3:ReplicateObject s3://models/k", "ReplicateObject"),
        ("--as alice --action s3:GetObject s3://nowhere/k", "nowhere"),
        ("--as alice --action s3:GetObject s3://models/k --region ord1", "models"),
        ("--as alice --action s3:GetObject s3://models/k --region mars1", "mars1"),
    ] {
        let (went_well, said) = site.ask(&line.split(' ').collect::<Vec<_>>());
        assert!(!went_well && said.contains(wrong), "{line}: {said}");
    }
}
