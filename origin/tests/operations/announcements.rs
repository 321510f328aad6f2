//! Of what caches are told before it is done: of what changes, and of nothing that is refused.

use http::HeaderMap;
use origin::regional::{Change, RenameObjectInput};

use crate::region::{Region, user_of};

const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";

fn keys(keys: &[&str]) -> Change {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Change::Keys { bucket: "photos".to_owned(), keys }
}

fn bucket(name: &str) -> Change {
    Change::Bucket(name.to_owned())
}

fn delete(keys: &[&str]) -> String {
    let objects = keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>"));
    format!("<Delete>{}</Delete>", objects.collect::<String>())
}

impl Region {
    async fn rename_as(&self, account: &str, from: &str, to: &str) -> Result<(), String> {
        let source = format!("photos/{from}").parse().expect("a header");
        let headers = HeaderMap::from_iter([("x-amz-rename-source".parse().expect("a name"), source)]);
        let input = RenameObjectInput::parse("photos", to, &headers).expect("a rename");
        let renamed = self.rename(user_of(account), input, headers).await;
        renamed.map_err(|refused| refused.code().as_str().to_owned())
    }
}

/// Every node that follows the bucket would drop what it has of it, for whoever asks for what they may not do.
#[tokio::test]
async fn what_is_refused_is_announced_to_nobody() {
    let region = Region::start().await;
    region.put("k", "k").await;
    region.announcements.take();
    let (one, none) = (delete(&["k"]), delete(&["none", "neither"]));
    for (account, method, target, body, status) in [
        ("bob", "PUT", "/photos", "", 409),
        ("anne", "PUT", "/photos", "", 200),
        ("bob", "DELETE", "/photos", "", 403),
        ("anne", "DELETE", "/photos", "", 409),
        ("bob", "POST", "/photos?delete", &one, 200),
        ("anne", "POST", "/photos?delete", &none, 200),
        ("bob", "PUT", "/photos/k?tagging", TAGS, 403),
        ("anne", "PUT", "/photos/none?tagging", TAGS, 404),
        ("bob", "PUT", "/photos?tagging", TAGS, 403),
    ] {
        let answer = region.send_as(Some(user_of(account)), method, target, &[], body.to_owned()).await;
        assert_eq!(answer.status, status, "{account} {method} {target}: {}", answer.text());
        assert_eq!(region.announcements.take(), [], "{account} {method} {target}");
    }
    assert_eq!(region.rename_as("bob", "k", "l").await, Err("AccessDenied".into()));
    assert_eq!(region.rename_as("anne", "none", "l").await, Err("NoSuchKey".into()));
    assert_eq!(region.announcements.take(), []);
    assert_eq!(region.get("k").await.ok().body, "k");
}

#[tokio::test]
async fn what_is_done_is_announced() {
    let region = Region::start().await;
    assert_eq!(region.announcements.take(), [bucket("photos")]);
    for key in ["j", "k", "l"] {
        region.put(key, key).await;
    }
    let locks = TAGS.replace("<Key>a</Key>", "<Key>locked</Key>");
    region.send("PUT", "/photos/k?tagging", &[], locks).await.ok();
    let changes = [keys(&["j"]), keys(&["k"]), keys(&["l"]), keys(&["k"])];
    assert_eq!(region.announcements.take(), changes);

    let deletes = delete(&["l", "none", "k", "j"]);
    let answer = region.send_unless_locked("POST", "/photos?delete", deletes).await.ok();
    assert_eq!(answer.elements("Key"), ["l", "none", "j", "k"], "what is refused comes last");
    assert_eq!(answer.elements("Code"), ["AccessDenied"]);
    assert_eq!(region.announcements.take(), [keys(&["j", "l"])]);

    region.rename_as("anne", "k", "m").await.expect("renamed");
    assert_eq!(region.announcements.take(), [keys(&["k", "m"])]);
    region.send("DELETE", "/photos/m", &[], "").await.ok();
    region.send("DELETE", "/photos", &[], "").await.ok();
    assert_eq!(region.announcements.take(), [keys(&["m"]), bucket("photos")]);
}

/// A marker is made of what is not there, too.
#[tokio::test]
async fn a_marker_to_be_made_is_announced() {
    let region = Region::start().await;
    region.set_versioning("Enabled").await.ok();
    region.announcements.take();
    region.send("POST", "/photos?delete", &[], delete(&["none"])).await.ok();
    assert_eq!(region.announcements.take(), [keys(&["none"])]);
    assert_eq!(region.list("versions", "Key").await, ["none"]);
}

/// Others write between two of them, for an upload may have ten thousand parts.
#[tokio::test]
async fn uploads_of_a_deleted_bucket_go_each_in_a_change_of_its_own() {
    const UPLOADS: usize = 40;
    let region = Region::start().await;
    for number in 0..UPLOADS {
        let key = format!("{}", number % 3);
        let upload = region.start_upload(&key, &[]).await;
        region.put_part(&key, &upload, 1, "part").await.ok();
    }
    region.put("k", "k").await;
    let refused = region.send("DELETE", "/photos", &[], "").await;
    assert_eq!(refused.error(), (409, "BucketNotEmpty".into()));
    assert_eq!(region.list("uploads", "UploadId").await.len(), UPLOADS, "none is aborted for nothing");

    region.send("DELETE", "/photos/k", &[], "").await.ok();
    region.announcements.take();
    region.send("DELETE", "/photos", &[], "").await.ok();
    let mut changes = region.announcements.take();
    assert_eq!(changes.pop(), Some(bucket("photos")));
    assert_eq!(changes, vec![Change::Nothing; UPLOADS]);
    region.send("PUT", "/photos", &[], "").await.ok();
    assert!(region.list("uploads", "UploadId").await.is_empty());
}
