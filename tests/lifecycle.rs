//! What becomes of objects with time, as readers at every endpoint see it.

use tests::cluster::REGIONS;
use tests::form::Form;
use tests::{Client, Cluster, Endpoint, Options, Request, eventually, until};

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
    until("the object is gone", async || owner.head("data", "old/k").await.status == 404).await;
    for (name, door) in &doors {
        assert_eq!(door.get("data", "old/k").await.refusal(), (404, "NoSuchKey".into()), "{name}");
        assert_eq!(door.get("data", "new/k").await.ok().text(), "body", "{name}");
    }
}

fn rule(id: &str, filter: &str, does: &str) -> String {
    format!("<Rule><ID>{id}</ID><Status>Enabled</Status><Filter>{filter}</Filter>{does}</Rule>")
}

fn within(prefix: &str) -> String {
    format!("<Prefix>{prefix}</Prefix>")
}

/// Every version, marker and unfinished upload: its kind and its key.
async fn everything(owner: &Client) -> Vec<String> {
    let versions = owner.send(Request::new("GET", "/data?versions")).await.ok().text();
    let uploads = owner.send(Request::new("GET", "/data?uploads")).await.ok().text();
    let mut found = Vec::new();
    for (text, kind) in [(&versions, "Version"), (&versions, "DeleteMarker"), (&uploads, "Upload")] {
        let begin = format!("<{kind}>");
        let entries = text.split(&begin).skip(1);
        let key = |entry: &str| entry.split("<Key>").nth(1)?.split("</Key>").next().map(str::to_owned);
        found.extend(entries.map(|entry| format!("{kind} {}", key(entry).expect("a key"))));
    }
    found.sort();
    found
}

/// Waits until there is this and nothing else.
async fn wait_until(owner: &Client, expected: &[&str]) {
    let mut found = Vec::new();
    let is_reached = eventually(async || {
        found = everything(owner).await;
        (found == expected).then_some(())
    });
    let _ = is_reached.await;
    assert_eq!(found, expected);
}

/// Each action and each filter, with what lies beside it.
#[tokio::test]
async fn each_rule_takes_what_it_is_about_and_leaves_its_neighbour() {
    let (_cluster, owner, doors) = start().await;
    let put = async |key: &str, tags: &str, body: &'static str| {
        let request = Request::new("PUT", format!("/data/{key}")).header("x-amz-tagging", tags).body(body);
        let _ = owner.send(request).await.ok();
    };
    // What was there before versions were kept is one of them too.
    for (key, tags, body) in [
        ("tagged/goes", "k=v&l=w", "body"),
        ("tagged/other", "k=w", "body"),
        ("sized/3", "", "123"),
        ("sized/4", "", "1234"),
        ("sized/5", "", "12345"),
        ("dated/goes", "", "body"),
        ("later/stays", "", "body"),
        ("off/stays", "", "body"),
        ("beside", "", "body"),
    ] {
        put(key, tags, body).await;
    }
    for key in ["parts/goes", "other/stays"] {
        let upload_id = owner.create_multipart_upload("data", key).await;
        let _ = owner.upload_part("data", key, &upload_id, 1, "part".into()).await;
    }
    let days = |days: u32| format!("<Expiration><Days>{days}</Days></Expiration>");
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let sizes = "<ObjectSizeGreaterThan>3</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan>";
    let date = |date: &str| format!("<Expiration><Date>{date}T00:00:00Z</Date></Expiration>");
    let rules = [
        rule("tag", &format!("<And>{}{tag}</And>", within("tagged/")), &days(1)),
        rule("size", &format!("<And>{}{sizes}</And>", within("sized/")), &days(1)),
        rule("date", &within("dated/"), &date("2020-01-01")),
        rule("later", &within("later/"), &date("2099-01-01")),
        rule("off", &within("off/"), &days(1)).replace("Enabled", "Disabled"),
        rule(
            "parts",
            &within("parts/"),
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        ),
    ];
    let put_all = async |rules: &[String]| {
        put_rules(&owner, format!("<LifecycleConfiguration>{}</LifecycleConfiguration>", rules.concat()))
            .await;
    };
    put_all(&rules).await;
    let left = [
        "Upload other/stays",
        "Version beside",
        "Version later/stays",
        "Version off/stays",
        "Version sized/3",
        "Version sized/5",
        "Version tagged/other",
    ];
    wait_until(&owner, &left).await;
    // Another one that goes: whatever was due with it would have gone too.
    put("tagged/after", "k=v", "body").await;
    wait_until(&owner, &left).await;
    for (name, door) in &doors {
        assert_eq!(door.get("data", "sized/4").await.refusal(), (404, "NoSuchKey".into()), "{name}");
        assert_eq!(door.get("data", "sized/5").await.ok().text(), "12345", "{name}");
    }

    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let _ = owner.send(Request::new("PUT", "/data?versioning").body(enabled)).await.ok();
    for key in ["old/k", "new/k", "few/k"] {
        for body in ["1", "2", "3"] {
            put(key, "", body).await;
        }
    }
    put("gone/over", "", "body").await;
    put("hidden/goes", "", "body").await;
    for key in ["gone/over", "gone/alone", "lone/stays"] {
        let _ = owner.delete("data", key).await.ok();
    }
    let noncurrent = |more: &str| {
        format!(
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>{more}</NoncurrentVersionExpiration>"
        )
    };
    put_all(&[
        rule("old", &within("old/"), &noncurrent("")),
        rule("few", &within("few/"), &noncurrent("<NewerNoncurrentVersions>1</NewerNoncurrentVersions>")),
        rule(
            "gone",
            &within("gone/"),
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
        ),
        rule("hidden", &within("hidden/"), &days(1)),
    ])
    .await;
    let mut left: Vec<&str> = left.into();
    left.extend(["DeleteMarker gone/over", "DeleteMarker hidden/goes", "DeleteMarker lone/stays"]);
    left.extend(["Version few/k", "Version few/k", "Version gone/over", "Version hidden/goes"]);
    left.extend(["Version new/k", "Version new/k", "Version new/k", "Version old/k"]);
    left.sort_unstable();
    wait_until(&owner, &left).await;
    let _ = owner.delete("data", "gone/after").await.ok();
    put("old/k", "", "4").await;
    wait_until(&owner, &left).await;
    for (name, door) in &doors {
        assert_eq!(door.get("data", "old/k").await.ok().text(), "4", "{name}");
        assert_eq!(door.get("data", "hidden/goes").await.status, 404, "{name}");
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

/// To the byte, whatever becomes of what it keeps: overwritten, versioned, in parts, from a form.
#[tokio::test]
async fn all_that_an_account_keeps_counts() {
    let cluster = Cluster::start_with(Options::default().and("[store]\naccount_quota_bytes = 1000\n")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let ways = [owner.clone(), cluster.accelerated("las1", "ord1")];
    let full = (403, "QuotaExceeded".to_owned());
    let bytes = |count: usize| vec![b'x'; count];
    for way in &ways {
        // So many are left, by a write of one more and then of just as many, which goes again.
        let assert_left = async |left: usize| {
            assert_eq!(way.put("data", "probe", bytes(left + 1)).await.refusal(), full, "{left} are left");
            let form = Form::new("probe", bytes(left + 1)).signed(way.keys(), "data", "");
            assert_eq!(way.send_signed(way.unsigned(form.to("/data"))).await.refusal(), full);
            let put = way.put("data", "probe", bytes(left)).await.ok();
            let id = put.header("x-amz-version-id").to_owned();
            let version = if id.is_empty() { String::new() } else { format!("?versionId={id}") };
            assert_eq!(way.delete("data", &format!("probe{version}")).await.status, 204);
        };
        assert_left(1000).await;
        let _ = way.put("data", "a", bytes(600)).await.ok();
        // What is replaced makes room for what replaces it.
        let _ = way.put("data", "a", bytes(900)).await.ok();
        assert_eq!(way.put("data", "a", bytes(1001)).await.refusal(), full);
        let _ = way.put("data", "a", bytes(500)).await.ok();
        assert_left(500).await;
        let upload_id = way.create_multipart_upload("data", "p").await;
        let (_, first) = way.upload_part("data", "p", &upload_id, 1, bytes(300).into()).await;
        let target = format!("/data/p?partNumber=2&uploadId={upload_id}");
        let more = |count| Request::new("PUT", target.clone()).body(bytes(count));
        assert_eq!(way.send(more(201)).await.refusal(), full);
        let copied = Request::new("PUT", target.clone()).header("x-amz-copy-source", "/data/a");
        assert_eq!(way.send(copied).await.refusal(), full);
        let _ = way.send(more(200)).await.ok();
        assert_left(0).await;
        // A part in place of another one; and one that is not named goes with the completion.
        let _ = way.send(more(100)).await.ok();
        assert_left(100).await;
        let _ = way.complete_multipart_upload("data", "p", &upload_id, &[(1, first)]).await.ok();
        assert_left(200).await;
        let upload_id = way.create_multipart_upload("data", "q").await;
        let _ = way.upload_part("data", "q", &upload_id, 1, bytes(200).into()).await;
        assert_left(0).await;
        let abort = Request::new("DELETE", format!("/data/q?uploadId={upload_id}"));
        assert_eq!(way.send(abort).await.status, 204);
        assert_left(200).await;
        assert_eq!(way.delete("data", "p").await.status, 204);
        assert_eq!(way.delete("data", "a").await.status, 204);
    }
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let _ = owner.send(Request::new("PUT", "/data?versioning").body(enabled)).await.ok();
    for way in &ways {
        let old = way.put("data", "a", bytes(600)).await.ok().header("x-amz-version-id").to_owned();
        assert_eq!(way.put("data", "a", bytes(401)).await.refusal(), full, "the old one stays");
        let new = way.put("data", "a", bytes(400)).await.ok().header("x-amz-version-id").to_owned();
        // A marker makes no room.
        let marker = way.delete("data", "a").await.header("x-amz-version-id").to_owned();
        assert_eq!(way.put("data", "a", bytes(1)).await.refusal(), full);
        assert_eq!(way.delete("data", &format!("a?versionId={old}")).await.status, 204);
        assert_eq!(way.put("data", "b", bytes(601)).await.refusal(), full);
        let last = way.put("data", "b", bytes(600)).await.ok().header("x-amz-version-id").to_owned();
        for version in
            [format!("b?versionId={last}"), format!("a?versionId={new}"), format!("a?versionId={marker}")]
        {
            assert_eq!(way.delete("data", &version).await.status, 204);
        }
    }
}
