//! PutObjectTagging, GetObjectTagging, DeleteObjectTagging, the same of buckets, and tags set by whatever makes an object.

use crate::region::Region;

fn tag_set(tags: &[(&str, &str)]) -> String {
    let tag = |(key, value): &(&str, &str)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.iter().map(tag).collect::<String>())
}

impl Region {
    async fn tags(&self, key: &str) -> Vec<(String, String)> {
        let shown = self.send("GET", &format!("/photos/{key}?tagging"), &[], "").await.ok();
        shown.elements("Key").into_iter().zip(shown.elements("Value")).collect()
    }

    async fn tag(&self, target: &str, tags: &[(&str, &str)]) -> (u16, String) {
        self.send("PUT", target, &[], tag_set(tags)).await.error()
    }
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn an_object_has_the_tags_it_was_last_given() {
    let mut region = Region::start().await;
    let put = region.put("cat.jpg", "meow").await;
    let target = "/photos/cat.jpg?tagging";
    assert_eq!(region.tags("cat.jpg").await, []);
    assert_eq!(region.get("cat.jpg").await.header("x-amz-tagging-count"), "");
    assert_eq!(region.tag(target, &[("mood", "sleepy"), ("colour", "")]).await.0, 200);
    assert_eq!(region.tags("cat.jpg").await, pairs(&[("colour", ""), ("mood", "sleepy")]));
    region.reopen().await;
    for method in ["GET", "HEAD"] {
        let read = region.send(method, "/photos/cat.jpg", &[], "").await.ok();
        assert_eq!(read.header("x-amz-tagging-count"), "2", "{method}");
        assert_eq!(read.header("etag"), put.header("etag"));
    }
    assert_eq!(region.tag(target, &[("colour", "red")]).await.0, 200);
    assert_eq!(region.tags("cat.jpg").await, pairs(&[("colour", "red")]));
    assert_eq!(region.send("DELETE", target, &[], "").await.status, 204);
    assert_eq!(region.tags("cat.jpg").await, []);
}

#[tokio::test]
async fn tags_of_nothing_are_refused() {
    let region = Region::start().await;
    let missing = (404, "NoSuchKey".to_owned());
    let target = "/photos/cat.jpg?tagging";
    assert_eq!(region.send("GET", target, &[], "").await.error(), missing);
    assert_eq!(region.tag(target, &[]).await, missing);
    assert_eq!(region.send("DELETE", target, &[], "").await.error(), missing);
    region.put("cat.jpg", "meow").await;
    assert_eq!(region.tag(&format!("{target}&versionId=null"), &[]).await.0, 200);
    for method in ["GET", "PUT", "DELETE"] {
        let target = format!("{target}&versionId=3HL4kqtJlcpXroDTDmJ");
        let refused = region.send(method, &target, &[], tag_set(&[])).await;
        assert_eq!(refused.error(), (400, "InvalidArgument".into()), "{method}");
    }
}

#[tokio::test]
async fn tags_are_set_by_whatever_makes_an_object() {
    let region = Region::start().await;
    let tagging = [("x-amz-tagging", "mood=sleepy&tail")];
    let tagged = pairs(&[("mood", "sleepy"), ("tail", "")]);
    region.put_with("put", "meow", &tagging).await.ok();
    assert_eq!(region.tags("put").await, tagged);
    let upload_id = region.start_upload("joined", &tagging).await;
    let etag = region.put_part("joined", &upload_id, 1, "meow").await.ok().header("etag").to_owned();
    region.complete("joined", &upload_id, &[(1, &etag)]).await.ok();
    assert_eq!(region.tags("joined").await, tagged);
    region.put("put", "purr").await;
    assert_eq!(region.tags("put").await, []);
}

#[tokio::test]
async fn a_copy_has_its_source_s_tags_or_its_own() {
    let region = Region::start().await;
    region.put_with("cat.jpg", "meow", &[("x-amz-tagging", "mood=sleepy")]).await.ok();
    let source = ("x-amz-copy-source", "photos/cat.jpg");
    let other = ("x-amz-tagging", "mood=awake");
    for (headers, expected) in [
        (&[source][..], &[("mood", "sleepy")][..]),
        (&[source, other], &[("mood", "sleepy")]),
        (&[source, other, ("x-amz-tagging-directive", "COPY")], &[("mood", "sleepy")]),
        (&[source, other, ("x-amz-tagging-directive", "REPLACE")], &[("mood", "awake")]),
        (&[source, ("x-amz-tagging-directive", "REPLACE")], &[]),
    ] {
        region.send("PUT", "/photos/copied", headers, "").await.ok();
        assert_eq!(region.tags("copied").await, pairs(expected), "{headers:?}");
    }
    let unknown = [source, ("x-amz-tagging-directive", "replace")];
    assert_eq!(
        region.send("PUT", "/photos/copied", &unknown, "").await.error(),
        (400, "InvalidArgument".into())
    );
}

#[tokio::test]
async fn tags_beyond_s3_s_limits_are_refused_and_change_nothing() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    let invalid = (400, "InvalidTag".to_owned());
    let names: Vec<_> = (0..51).map(|number| number.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let (key, value) = ("k".repeat(128), "v".repeat(256));
    for (target, max) in [("/photos/cat.jpg?tagging", 10), ("/photos?tagging", 50)] {
        assert_eq!(region.tag(target, &many[..max]).await.1, "", "{target}");
        assert_eq!(region.tag(target, &many[..=max]).await, invalid, "{target}");
        assert_eq!(region.tag(target, &[(&format!("{key}k"), "")]).await, invalid);
        assert_eq!(region.tag(target, &[("k", &format!("{value}v"))]).await, invalid);
        assert_eq!(region.tag(target, &[("k", "a"), ("k", "b")]).await, invalid);
        let shown = region.send("GET", target, &[], "").await.ok();
        assert_eq!(shown.elements("Key").len(), max, "{target}");
        assert_eq!(region.tag(target, &[(&key, &value)]).await.1, "");
    }
    let keyless = "<Tagging><TagSet><Tag><Value>v</Value></Tag></TagSet></Tagging>";
    let refused = region.send("PUT", "/photos/cat.jpg?tagging", &[], keyless).await;
    assert_eq!(refused.error(), (400, "MalformedXML".into()));
    for header in ["a=1&a=2", "%FF=1"] {
        let refused = region.put_with("dog.jpg", "wuff", &[("x-amz-tagging", header)]).await;
        assert_eq!(refused.error(), (400, "InvalidArgument".into()), "{header}");
    }
    assert_eq!(region.get("dog.jpg").await.status, 404);
}

#[tokio::test]
async fn a_bucket_s_tags_are_its_own() {
    let region = Region::start().await;
    let none = (404, "NoSuchTagSet".to_owned());
    assert_eq!(region.send("GET", "/photos?tagging", &[], "").await.error(), none);
    assert_eq!(region.tag("/photos?tagging", &[("team", "cats")]).await.0, 200);
    let shown = region.send("GET", "/photos?tagging", &[], "").await.ok();
    assert_eq!((shown.element("Key"), shown.element("Value")), ("team".into(), "cats".into()));
    assert_eq!(region.send("DELETE", "/photos?tagging", &[], "").await.status, 204);
    assert_eq!(region.send("GET", "/photos?tagging", &[], "").await.error(), none);
}

/// Caches hold heads by their revisions.
#[tokio::test]
async fn tags_and_lists_give_an_object_another_revision_and_leave_its_bytes() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    let resolve =
        async || region.store.resolve("photos", "cat.jpg", None).await.expect("read").head.expect("there");
    let mut seen = vec![resolve().await];
    for (method, target, headers, body) in [
        ("PUT", "/photos/cat.jpg?tagging", &[][..], tag_set(&[("a", "b")])),
        ("DELETE", "/photos/cat.jpg?tagging", &[], String::new()),
        ("PUT", "/photos/cat.jpg?acl", &[("x-amz-acl", "public-read")], String::new()),
    ] {
        region.send(method, target, headers, body).await.ok();
        let head = resolve().await;
        assert!(seen.iter().all(|before| before.revision != head.revision), "{method} {target}");
        assert_eq!(head.instance, seen[0].instance);
        assert_eq!(head.modified_millis, seen[0].modified_millis);
        seen.push(head);
    }
}
