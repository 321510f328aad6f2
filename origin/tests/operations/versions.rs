//! PutBucketVersioning, GetBucketVersioning, ListObjectVersions, and what a version id or a delete marker makes of every
//! other operation.

use http::StatusCode;
use origin::regional::SomeKeys;

use crate::region::{Answer, Region, bytes};

/// An id that could have been given and was not.
const UNKNOWN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

impl Region {
    pub(crate) async fn set_versioning(&self, status: &str) -> Answer {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.send("PUT", "/photos?versioning", &[], body).await
    }

    async fn start_versioned() -> Self {
        let region = Self::start().await;
        region.set_versioning("Enabled").await.ok();
        region
    }

    /// Puts an object and returns its version id.
    async fn put_version(&self, key: &str, body: &'static str) -> String {
        self.put(key, body).await.header("x-amz-version-id").to_owned()
    }

    async fn get_version(&self, key: &str, version: &str) -> Answer {
        self.send("GET", &format!("/photos/{key}?versionId={version}"), &[], "").await
    }

    async fn delete(&self, target: &str) -> Answer {
        self.send("DELETE", &format!("/photos/{target}"), &[], "").await.ok()
    }

    /// Of each version and then each delete marker that is listed: key, version id, whether it is the latest.
    async fn versions(&self, query: &str) -> Vec<(String, String, bool)> {
        let listing = self.send("GET", &format!("/photos?versions&{query}"), &[], "").await.ok();
        let mut versions = Vec::new();
        for name in ["Version", "DeleteMarker"] {
            for inner in listing.elements(name) {
                let field = |name: &str| {
                    inner
                        .split_once(&format!("<{name}>"))
                        .and_then(|(_, rest)| rest.split_once('<'))
                        .expect(name)
                        .0
                };
                versions.push((
                    field("Key").to_owned(),
                    field("VersionId").to_owned(),
                    field("IsLatest") == "true",
                ));
            }
        }
        versions
    }
}

fn listed(versions: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
    versions.iter().map(|(key, id, latest)| ((*key).to_owned(), (*id).to_owned(), *latest)).collect()
}

#[tokio::test]
async fn a_bucket_says_whether_it_keeps_versions() {
    let mut region = Region::start().await;
    let said = async |region: &Region| {
        region.send("GET", "/photos?versioning", &[], "").await.ok().element("Status")
    };
    assert_eq!(said(&region).await, "");
    for status in ["Enabled", "Suspended", "Enabled"] {
        region.set_versioning(status).await.ok();
        region.reopen().await;
        assert_eq!(said(&region).await, status);
    }
    for (body, refused) in [
        ("<VersioningConfiguration/>", (400, "IllegalVersioningConfigurationException")),
        ("<VersioningConfiguration><Status>Off</Status></VersioningConfiguration>", (400, "MalformedXML")),
        (
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>",
            (501, "NotImplemented"),
        ),
    ] {
        let answer = region.send("PUT", "/photos?versioning", &[], body).await;
        assert_eq!(answer.error(), (refused.0, refused.1.to_owned()), "{body}");
    }
    let missing = region.send("GET", "/nowhere?versioning", &[], "").await;
    assert_eq!(missing.error(), (404, "NoSuchBucket".into()));
    assert_eq!(said(&region).await, "Enabled");
}

#[tokio::test]
async fn every_version_is_read_by_its_id_and_the_newest_without() {
    let mut region = Region::start().await;
    let before = region.put("cat.jpg", "null").await;
    assert_eq!(before.header("x-amz-version-id"), "", "a bucket that never kept versions names none");
    assert_eq!(region.get("cat.jpg").await.header("x-amz-version-id"), "");
    region.set_versioning("Enabled").await.ok();
    assert_eq!(region.get("cat.jpg").await.header("x-amz-version-id"), "null");
    let one = region.put_version("cat.jpg", "one").await;
    let two = region.put_version("cat.jpg", "two").await;
    assert!(one.len() == 32 && two.len() == 32 && one != two, "{one} {two}");
    region.reopen().await;
    for method in ["GET", "HEAD"] {
        for (query, version, body) in
            [("", two.as_str(), "two"), (&two, &two, "two"), (&one, &one, "one"), ("null", "null", "null")]
        {
            let target = match query {
                "" => "/photos/cat.jpg".to_owned(),
                id => format!("/photos/cat.jpg?versionId={id}"),
            };
            let answer = region.send(method, &target, &[], "").await.ok();
            assert_eq!(answer.header("x-amz-version-id"), version, "{method} {target}");
            if method == "GET" {
                assert_eq!(answer.body, body, "{target}");
            }
        }
    }
    assert_eq!(region.get_version("cat.jpg", UNKNOWN).await.error(), (404, "NoSuchVersion".into()));
    assert_eq!(
        region.get_version("dog.jpg", &one).await.error(),
        (404, "NoSuchVersion".into()),
        "of another key"
    );
    assert_eq!(region.get_version("cat.jpg", &one[1..]).await.error(), (400, "InvalidArgument".into()));
    assert_eq!(
        region.versions("").await,
        listed(&[("cat.jpg", &two, true), ("cat.jpg", &one, false), ("cat.jpg", "null", false)])
    );
    assert_eq!(region.list("list-type=2", "Key").await, ["cat.jpg"]);
}

#[tokio::test]
async fn a_delete_marker_hides_the_object_and_goes_by_its_id() {
    let region = Region::start_versioned().await;
    let one = region.put_version("cat.jpg", "one").await;
    let deleted = region.delete("cat.jpg").await;
    assert_eq!((deleted.status, deleted.header("x-amz-delete-marker")), (StatusCode::NO_CONTENT, "true"));
    let marker = deleted.header("x-amz-version-id").to_owned();
    for method in ["GET", "HEAD"] {
        let gone = region.send(method, "/photos/cat.jpg", &[], "").await;
        assert_eq!(gone.status, 404, "{method}");
        assert_eq!(
            (gone.header("x-amz-delete-marker"), gone.header("x-amz-version-id")),
            ("true", marker.as_str())
        );
        let itself = region.send(method, &format!("/photos/cat.jpg?versionId={marker}"), &[], "").await;
        assert_eq!((itself.status.as_u16(), itself.header("allow")), (405, "DELETE"), "{method}");
        assert_eq!(itself.header("x-amz-delete-marker"), "true");
        assert_ne!(itself.header("last-modified"), "");
    }
    assert_eq!(region.get("cat.jpg").await.error(), (404, "NoSuchKey".into()));
    assert_eq!(region.get_version("cat.jpg", &marker).await.error(), (405, "MethodNotAllowed".into()));
    assert_eq!(region.get_version("cat.jpg", &one).await.ok().body, "one");
    assert_eq!(region.list("", "Key").await, Vec::<String>::new());
    assert_eq!(region.versions("").await, listed(&[("cat.jpg", &one, false), ("cat.jpg", &marker, true)]));

    let undone = region.delete(&format!("cat.jpg?versionId={marker}")).await;
    assert_eq!(undone.header("x-amz-delete-marker"), "true");
    assert_eq!(undone.header("x-amz-version-id"), marker);
    assert_eq!(region.get("cat.jpg").await.ok().body, "one");
    assert_eq!(region.versions("").await, listed(&[("cat.jpg", &one, true)]));
}

#[tokio::test]
async fn a_marker_is_made_of_what_is_not_there_and_over_another_marker() {
    let region = Region::start_versioned().await;
    for _ in 0..2 {
        assert_eq!(region.delete("cat.jpg").await.header("x-amz-delete-marker"), "true");
    }
    let markers = region.versions("").await;
    assert_eq!(markers.iter().map(|(_, _, latest)| *latest).collect::<Vec<_>>(), [true, false]);
    let one = region.put_version("cat.jpg", "one").await;
    assert_eq!(region.get("cat.jpg").await.ok().body, "one");
    region.delete(&format!("cat.jpg?versionId={one}")).await;
    assert_eq!(region.get("cat.jpg").await.header("x-amz-version-id"), markers[0].1);
}

#[tokio::test]
async fn removing_the_current_version_brings_back_the_one_before() {
    let mut region = Region::start_versioned().await;
    let one = region.put_version("cat.jpg", "one").await;
    let two = region.put_version("cat.jpg", "two").await;
    let three = region.put_version("cat.jpg", "three").await;
    let removed = region.delete(&format!("cat.jpg?versionId={two}")).await;
    assert_eq!(
        (removed.header("x-amz-version-id"), removed.header("x-amz-delete-marker")),
        (two.as_str(), "")
    );
    assert_eq!(region.get("cat.jpg").await.body, "three");
    region.delete(&format!("cat.jpg?versionId={three}")).await;
    region.reopen().await;
    assert_eq!(region.get("cat.jpg").await.header("x-amz-version-id"), one);
    assert_eq!(region.versions("").await, listed(&[("cat.jpg", &one, true)]));
    region.delete(&format!("cat.jpg?versionId={one}")).await;
    assert_eq!(region.get("cat.jpg").await.error(), (404, "NoSuchKey".into()));
    assert_eq!(region.get("cat.jpg").await.header("x-amz-delete-marker"), "");
    // What is gone is gone already.
    let again = region.delete(&format!("cat.jpg?versionId={one}")).await;
    assert_eq!((again.status, again.header("x-amz-version-id")), (StatusCode::NO_CONTENT, one.as_str()));
    assert_eq!(region.versions("").await, []);
}

#[tokio::test]
async fn where_versions_are_suspended_the_null_version_alone_is_replaced() {
    let region = Region::start().await;
    region.put("cat.jpg", "first").await;
    region.set_versioning("Enabled").await.ok();
    let one = region.put_version("cat.jpg", "one").await;
    region.set_versioning("Suspended").await.ok();
    // The null version of before, now the oldest, makes way for this one.
    region.put("cat.jpg", "second").await;
    assert_eq!(region.get("cat.jpg").await.header("x-amz-version-id"), "null");
    assert_eq!(region.versions("").await, listed(&[("cat.jpg", "null", true), ("cat.jpg", &one, false)]));
    assert_eq!(region.get_version("cat.jpg", "null").await.body, "second");
    // A delete marker is the null version too.
    let deleted = region.delete("cat.jpg").await;
    assert_eq!((deleted.header("x-amz-delete-marker"), deleted.header("x-amz-version-id")), ("true", "null"));
    assert_eq!(region.versions("").await, listed(&[("cat.jpg", &one, false), ("cat.jpg", "null", true)]));
    assert_eq!(region.get_version("cat.jpg", "null").await.error(), (405, "MethodNotAllowed".into()));
    assert_eq!(region.delete("cat.jpg").await.header("x-amz-version-id"), "null");
    assert_eq!(region.versions("").await.len(), 2, "one null version at most");
    region.put("cat.jpg", "third").await;
    assert_eq!(region.get_version("cat.jpg", "null").await.body, "third");
    region.delete("cat.jpg?versionId=null").await;
    assert_eq!(region.get("cat.jpg").await.body, "one");
    region.set_versioning("Enabled").await.ok();
    let two = region.put_version("cat.jpg", "two").await;
    assert_eq!(region.versions("").await, listed(&[("cat.jpg", &two, true), ("cat.jpg", &one, false)]));
}

#[tokio::test]
async fn a_bucket_with_old_versions_is_not_empty() {
    let region = Region::start_versioned().await;
    let one = region.put_version("cat.jpg", "one").await;
    let marker = region.delete("cat.jpg").await.header("x-amz-version-id").to_owned();
    let delete_bucket = async || region.send("DELETE", "/photos", &[], "").await;
    assert_eq!(delete_bucket().await.error(), (409, "BucketNotEmpty".into()));
    region.delete(&format!("cat.jpg?versionId={one}")).await;
    assert_eq!(
        delete_bucket().await.error(),
        (409, "BucketNotEmpty".into()),
        "a delete marker alone counts too"
    );
    region.delete(&format!("cat.jpg?versionId={marker}")).await;
    assert_eq!(delete_bucket().await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn tags_and_lists_are_of_a_version() {
    let region = Region::start_versioned().await;
    let one = region.put_version("cat.jpg", "one").await;
    let two = region.put_version("cat.jpg", "two").await;
    let tag = |tag: &str| format!("<Tagging><TagSet><Tag><Key>{tag}</Key><Value/></Tag></TagSet></Tagging>");
    let target = |id: &str, what: &str| format!("/photos/cat.jpg?{what}&versionId={id}");
    let put = region.send("PUT", &target(&one, "tagging"), &[], tag("old")).await.ok();
    assert_eq!(put.header("x-amz-version-id"), one);
    let put = region.send("PUT", "/photos/cat.jpg?tagging", &[], tag("new")).await.ok();
    assert_eq!(put.header("x-amz-version-id"), two);
    for (id, key) in [(&one, "old"), (&two, "new")] {
        let shown = region.send("GET", &target(id, "tagging"), &[], "").await.ok();
        assert_eq!((shown.element("Key").as_str(), shown.header("x-amz-version-id")), (key, id.as_str()));
        assert_eq!(region.get_version("cat.jpg", id).await.header("x-amz-tagging-count"), "1");
    }
    let removed = region.send("DELETE", &target(&one, "tagging"), &[], "").await.ok();
    assert_eq!(removed.header("x-amz-version-id"), one);
    assert_eq!(region.get_version("cat.jpg", &one).await.header("x-amz-tagging-count"), "");
    assert_eq!(region.get("cat.jpg").await.header("x-amz-tagging-count"), "1");

    let public = [("x-amz-acl", "public-read")];
    region.send("PUT", &target(&one, "acl"), &public, "").await.ok();
    let grants =
        async |id: &str| region.send("GET", &target(id, "acl"), &[], "").await.ok().elements("Grant").len();
    assert_eq!((grants(&one).await, grants(&two).await), (2, 1));

    let marker = region.delete("cat.jpg").await.header("x-amz-version-id").to_owned();
    for what in ["tagging", "acl"] {
        let of_marker = region.send("GET", &target(&marker, what), &[], "").await;
        assert_eq!(of_marker.error(), (405, "MethodNotAllowed".into()), "{what}");
        let gone = region.send("GET", &format!("/photos/cat.jpg?{what}"), &[], "").await;
        assert_eq!(gone.error(), (404, "NoSuchKey".into()), "{what}");
        assert_eq!(
            region.send("GET", &target(UNKNOWN, what), &[], "").await.error(),
            (404, "NoSuchVersion".into())
        );
    }
}

#[tokio::test]
async fn a_copy_reads_the_version_it_names_and_makes_a_new_one() {
    let region = Region::start_versioned().await;
    let one = region.put_version("cat.jpg", "one").await;
    let two = region.put_version("cat.jpg", "two").await;
    let copy = async |source: &str, target: &str| {
        region.send("PUT", target, &[("x-amz-copy-source", source)], "").await
    };
    let copied = copy(&format!("photos/cat.jpg?versionId={one}"), "/photos/copy").await.ok();
    assert_eq!(copied.header("x-amz-copy-source-version-id"), one);
    assert_eq!(region.get("copy").await.header("x-amz-version-id"), copied.header("x-amz-version-id"));
    assert_eq!(region.get("copy").await.body, "one");
    // An old version comes back as a new one of its own key; the newest onto itself would change nothing.
    let restored = copy(&format!("photos/cat.jpg?versionId={one}"), "/photos/cat.jpg").await.ok();
    let three = restored.header("x-amz-version-id").to_owned();
    assert_eq!(copy("photos/cat.jpg", "/photos/cat.jpg").await.error(), (400, "InvalidRequest".into()));
    assert_eq!(region.get("cat.jpg").await.body, "one");
    for id in [&one, &three] {
        region.delete(&format!("cat.jpg?versionId={id}")).await;
    }
    assert_eq!(region.get("cat.jpg").await.header("x-amz-version-id"), two);
    assert_eq!(region.get("copy").await.body, "one", "whatever becomes of its source");

    let marker = region.delete("cat.jpg").await.header("x-amz-version-id").to_owned();
    assert_eq!(copy("photos/cat.jpg", "/photos/x").await.error(), (404, "NoSuchKey".into()));
    let of_marker = copy(&format!("photos/cat.jpg?versionId={marker}"), "/photos/x").await;
    assert_eq!(of_marker.error(), (400, "InvalidRequest".into()));
    let unknown = copy(&format!("photos/cat.jpg?versionId={UNKNOWN}"), "/photos/x").await;
    assert_eq!(unknown.error(), (404, "NoSuchVersion".into()));
}

#[tokio::test]
async fn finished_uploads_are_versions_with_their_parts() {
    let region = Region::start_versioned().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let upload = region.start_upload("big", &[]).await;
        let part = region.put_part("big", &upload, 1, bytes(100_000)).await.ok().header("etag").to_owned();
        let completed = region.complete("big", &upload, &[(1, &part)]).await.ok();
        // Finished again it is the version that it was.
        let again = region.complete("big", &upload, &[(1, &part)]).await.ok();
        assert_eq!(again.header("x-amz-version-id"), completed.header("x-amz-version-id"));
        ids.push(completed.header("x-amz-version-id").to_owned());
    }
    for id in &ids {
        let part =
            region.send("GET", &format!("/photos/big?partNumber=1&versionId={id}"), &[], "").await.ok();
        assert_eq!((part.header("x-amz-mp-parts-count"), part.body.len()), ("1", 100_000));
    }
    region.delete(&format!("big?versionId={}", ids[1])).await;
    let part = region.send("GET", "/photos/big?partNumber=1", &[], "").await.ok();
    assert_eq!(
        (part.header("x-amz-mp-parts-count"), part.header("x-amz-version-id")),
        ("1", ids[0].as_str())
    );
}

#[tokio::test]
async fn many_are_deleted_by_key_and_by_version() {
    let region = Region::start_versioned().await;
    let one = region.put_version("a", "one").await;
    let two = region.put_version("a", "two").await;
    region.put("b", "b").await;
    let object = |key: &str, id: &str| match id {
        "" => format!("<Object><Key>{key}</Key></Object>"),
        id => format!("<Object><Key>{key}</Key><VersionId>{id}</VersionId></Object>"),
    };
    let objects =
        [object("a", &one), object("b", ""), object("c", ""), object("a", "unknown"), object("a", UNKNOWN)];
    let body = format!("<Delete>{}</Delete>", objects.concat());
    let answer = region.send("POST", "/photos?delete", &[], body).await.ok();
    let deleted = answer.elements("Deleted");
    assert_eq!(deleted.len(), 4);
    assert!(
        deleted[0].contains(&format!("<VersionId>{one}</VersionId>")) && !deleted[0].contains("DeleteMarker")
    );
    for marker in &deleted[1..3] {
        assert!(marker.contains("<DeleteMarker>true</DeleteMarker>"), "{marker}");
        assert!(marker.contains("<DeleteMarkerVersionId>") && !marker.contains("<VersionId>"), "{marker}");
    }
    assert_eq!(answer.elements("Error").len(), 1);
    assert_eq!(answer.element("Code"), "InvalidArgument");
    let versions = region.versions("").await;
    let markers: Vec<_> =
        versions[2..].iter().map(|(key, id, latest)| (key.as_str(), id.clone(), *latest)).collect();
    assert_eq!(versions[0], ("a".into(), two, true));
    assert_eq!((markers[0].0, markers[0].2, markers[1].0, markers[1].2), ("b", true, "c", true));
    let body = format!("<Delete>{}</Delete>", object("b", &markers[0].1));
    let answer = region.send("POST", "/photos?delete", &[], body).await.ok();
    assert!(answer.elements("Deleted")[0].contains("<DeleteMarker>true</DeleteMarker>"));
    assert_eq!(region.get("b").await.body, "b");
}

/// Nobody could list past a delete marker under no key, nor name it to remove it: its bucket would stay for ever.
#[tokio::test]
async fn no_marker_is_made_under_an_empty_key() {
    let region = Region::start_versioned().await;
    region.put("a", "a").await;
    for empty in ["<Key></Key>", "<Key/>", "<Key></Key><VersionId>null</VersionId>"] {
        let body = format!("<Delete><Object><Key>a</Key></Object><Object>{empty}</Object></Delete>");
        let refused = region.send("POST", "/photos?delete", &[], body).await;
        assert_eq!(refused.error(), (400, "MalformedXML".into()), "{empty}");
    }
    assert_eq!(region.versions("").await.len(), 1);
}

#[tokio::test]
async fn conditions_are_about_what_is_there_and_not_about_a_marker() {
    let region = Region::start_versioned().await;
    let etag = region.put("k", "one").await.header("etag").to_owned();
    region.delete("k").await;
    assert_eq!(region.put_with("k", "two", &[("if-match", &etag)]).await.error(), (404, "NoSuchKey".into()));
    region.put_with("k", "two", &[("if-none-match", "*")]).await.ok();
    assert_eq!(
        region.put_with("k", "three", &[("if-none-match", "*")]).await.error(),
        (412, "PreconditionFailed".into())
    );
    let kept = region.send("DELETE", "/photos/k", &[("if-match", &etag)], "").await;
    assert_eq!(kept.error(), (412, "PreconditionFailed".into()));
    assert_eq!(region.get("k").await.body, "two");
}

#[tokio::test]
async fn versions_are_listed_page_by_page_from_any_marker() {
    let region = Region::start_versioned().await;
    let mut all = Vec::new();
    for key in ["a", "b/1", "b/2", "c"] {
        let mut ids = vec![region.put_version(key, "1").await, region.put_version(key, "2").await];
        if key == "c" {
            ids.push(region.delete(key).await.header("x-amz-version-id").to_owned());
        }
        all.extend(ids.into_iter().rev().map(|id| (key.to_owned(), id)));
    }
    for max in 1..=all.len() + 1 {
        let (mut found, mut query) = (Vec::new(), String::new());
        loop {
            let page = region.versions(&format!("max-keys={max}&{query}")).await;
            let listing =
                region.send("GET", &format!("/photos?versions&max-keys={max}&{query}"), &[], "").await;
            // Versions come before markers in the document, and here the one marker is the newest of its key.
            let mut page: Vec<_> = page.into_iter().map(|(key, id, _)| (key, id)).collect();
            page.sort_by_key(|entry| all.iter().position(|listed| listed == entry));
            found.extend(page);
            if listing.element("IsTruncated") != "true" {
                break;
            }
            query = format!(
                "key-marker={}&version-id-marker={}",
                listing.element("NextKeyMarker"),
                listing.element("NextVersionIdMarker")
            );
        }
        assert_eq!(found, all, "{max} a page");
    }
    let keys =
        |versions: Vec<(String, String, bool)>| versions.into_iter().map(|(key, ..)| key).collect::<Vec<_>>();
    assert_eq!(keys(region.versions("key-marker=b/1").await), ["b/2", "b/2", "c", "c", "c"]);
    assert_eq!(keys(region.versions("prefix=b/&key-marker=b/1").await), ["b/2", "b/2"]);
    let grouped = region.send("GET", "/photos?versions&delimiter=/", &[], "").await.ok();
    assert_eq!(grouped.elements("CommonPrefixes"), ["<Prefix>b/</Prefix>"]);
    assert_eq!(keys(region.versions("delimiter=/").await), ["a", "a", "c", "c", "c"]);
    assert_eq!(keys(region.versions("delimiter=/&key-marker=b/&max-keys=1").await), ["c"]);
    for (query, code) in [
        ("version-id-marker=null", "InvalidArgument"),
        ("key-marker=a&version-id-marker=x", "InvalidArgument"),
        ("max-keys=-1", "InvalidArgument"),
        ("encoding-type=html", "InvalidArgument"),
    ] {
        let refused = region.send("GET", &format!("/photos?versions&{query}"), &[], "").await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{query}");
    }
}

/// Whoever removes versions page by page, as every tool that empties a bucket, misses none.
#[tokio::test]
async fn a_page_goes_on_behind_a_version_that_has_been_removed() {
    let region = Region::start().await;
    for key in ["a", "b"] {
        region.put(key, "null").await;
    }
    region.set_versioning("Enabled").await.ok();
    for key in ["a", "b"] {
        region.put(key, "one").await;
    }
    region.set_versioning("Suspended").await.ok();
    // The newest of `a` is the null version, and then comes the one with an id.
    region.put("a", "second null").await;
    let mut query = String::new();
    for _ in 0..4 {
        let listing = region.send("GET", &format!("/photos?versions&max-keys=1&{query}"), &[], "").await.ok();
        let (key, id) = (listing.element("Key"), listing.element("VersionId"));
        region.delete(&format!("{key}?versionId={id}")).await;
        query = format!("key-marker={key}&version-id-marker={id}");
    }
    assert_eq!(region.versions("").await, []);
}

#[tokio::test]
async fn names_are_encoded_when_asked() {
    let region = Region::start_versioned().await;
    region.put("a%20b%2Bc", "1").await;
    region.delete("a%20b%2Bc").await;
    let listing = region.send("GET", "/photos?versions&encoding-type=url&prefix=a%20b", &[], "").await.ok();
    assert_eq!(listing.elements("Key"), ["a%20b%2Bc", "a%20b%2Bc"]);
    assert_eq!(listing.element("Prefix"), "a%20b");
    assert_eq!(listing.element("EncodingType"), "url");
}

/// Bytes stay as long as a version is made of them, and go with it.
#[tokio::test]
async fn a_removed_version_gives_its_bytes_back() {
    let mut region = Region::start_versioned().await;
    let before = region.files_count();
    let one = region.put_with("k", bytes(200_000), &[]).await.ok().header("x-amz-version-id").to_owned();
    let two = region.put_with("k", bytes(300_000), &[]).await.ok().header("x-amz-version-id").to_owned();
    assert!(region.files_count() >= before + 2);
    region.delete(&format!("k?versionId={two}")).await;
    region.delete(&format!("k?versionId={one}")).await;
    region.reopen().await;
    assert_eq!(region.get("k").await.status, 404);
    let dir = region.close().await;
    let report = origin::regional::RegionalStore::check_deep(dir.path()).await.expect("checked");
    assert_eq!(report.faults, Vec::<String>::new());
}

#[tokio::test]
async fn attributes_are_of_a_version_and_no_more_than_was_asked_for() {
    let region = Region::start_versioned().await;
    let asked = |names| [("x-amz-object-attributes", names)];
    let upload = region.start_upload("k", &[]).await;
    let part = region.put_part("k", &upload, 1, bytes(100_000)).await.ok().header("etag").to_owned();
    let one = region.complete("k", &upload, &[(1, &part)]).await.ok().header("x-amz-version-id").to_owned();
    let two = region.put_version("k", "two").await;
    let target = format!("/photos/k?attributes&versionId={one}");
    let all = region
        .send("GET", &target, &asked("ETag,Checksum,ObjectParts,StorageClass,ObjectSize"), "")
        .await
        .ok();
    assert_eq!(all.header("x-amz-version-id"), one);
    assert_ne!(all.header("last-modified"), "");
    for (name, value) in [
        ("ObjectSize", "100000"),
        ("StorageClass", "STANDARD"),
        ("PartsCount", "1"),
        ("PartNumber", "1"),
        ("Size", "100000"),
    ] {
        assert_eq!(all.element(name), value, "{name}");
    }
    assert!(all.element("ETag").contains("-1"), "{}", all.element("ETag"));
    let size = region.send("GET", "/photos/k?attributes", &asked("ObjectSize"), "").await.ok();
    assert_eq!((size.header("x-amz-version-id"), size.element("ObjectSize").as_str()), (two.as_str(), "3"));
    for absent in ["ETag", "Checksum", "ObjectParts", "StorageClass"] {
        assert_eq!(size.elements(absent), Vec::<String>::new());
    }
    let whole = region.send("GET", "/photos/k?attributes", &asked("ObjectParts,Checksum"), "").await.ok();
    assert_eq!(whole.elements("ObjectParts"), Vec::<String>::new(), "of an object put whole");
    assert_eq!(whole.elements("ChecksumCRC64NVME").len(), 1);
    let refused =
        async |target: &str, headers: &[(&str, &str)]| region.send("GET", target, headers, "").await.error();
    let invalid = (400, "InvalidArgument".to_owned());
    assert_eq!(refused("/photos/k?attributes", &asked("Owner")).await, invalid);
    assert_eq!(refused("/photos/k?attributes", &[]).await.0, 400);
    assert_eq!(refused("/photos/none?attributes", &asked("ETag")).await, (404, "NoSuchKey".into()));
    let target = format!("/photos/k?attributes&versionId={UNKNOWN}");
    assert_eq!(refused(&target, &asked("ETag")).await, (404, "NoSuchVersion".into()));
    region.delete("k").await;
    assert_eq!(refused("/photos/k?attributes", &asked("ETag")).await, (404, "NoSuchKey".into()));
}

/// The instances of one key, of a prefix and of a bucket: of every version that has bytes, and of nothing else.
#[tokio::test]
async fn instances_are_listed_of_every_version() {
    let region = Region::start_versioned().await;
    let mut put = Vec::new();
    for (key, body) in [("a/1", "x"), ("a/1", "xx"), ("a/2", "xxx"), ("a", "xxxx"), ("b", "xxxxx")] {
        region.put_version(key, body).await;
        let head = region.store.resolve("photos", key, None).await.expect("resolve").head.expect("head");
        put.push((head.instance, head.bytes));
    }
    region.delete("a/2").await;
    let listed = async |bucket: &str, keys: SomeKeys| {
        let page = region.store.list_instances(bucket, &keys, None).await.expect("listed");
        assert_eq!(page.to, None);
        page.instances
    };
    assert_eq!(listed("photos", SomeKeys::Key("a/1".into())).await, [put[1], put[0]]);
    assert_eq!(listed("photos", SomeKeys::Prefix("a/".into())).await, [put[1], put[0], put[2]]);
    assert_eq!(
        listed("photos", SomeKeys::Prefix(String::new())).await,
        [put[3], put[1], put[4], put[0], put[2]]
    );
    assert!(listed("photos", SomeKeys::Key("a/".into())).await.is_empty());
    assert!(listed("videos", SomeKeys::Prefix(String::new())).await.is_empty());
}
