//! RenameObject.

use http::{HeaderMap, HeaderName, HeaderValue};
use origin::regional::RenameObjectInput;

use crate::region::{Region, bytes, md5, user_of};

const PAST: &str = "Sun, 22 Nov 1998 15:00:00 GMT";
const FUTURE: &str = "Sun, 22 Nov 2099 15:00:00 GMT";

/// Renames an object of `photos`; the code of the refusal, if it is one.
pub(crate) async fn rename(
    region: &Region,
    from: &str,
    to: &str,
    headers: &[(&str, &str)],
) -> Result<(), String> {
    rename_as(region, "anne", from, to, headers).await
}

async fn rename_as(
    region: &Region,
    account: &str,
    from: &str,
    to: &str,
    headers: &[(&str, &str)],
) -> Result<(), String> {
    let source = format!("photos/{from}");
    let mut sent = HeaderMap::new();
    for (name, value) in headers.iter().chain([&("x-amz-rename-source", source.as_str())]) {
        let name: HeaderName = name.parse().expect("a header name");
        sent.insert(name, HeaderValue::from_str(value).expect("a header value"));
    }
    let renamed = match RenameObjectInput::parse("photos", to, &sent) {
        Ok(input) => region.rename(user_of(account), input, sent).await,
        Err(refused) => Err(refused),
    };
    renamed.map_err(|refused| refused.code().as_str().to_owned())
}

fn refused(code: &str) -> Result<(), String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn a_renamed_object_is_the_same_under_another_key() {
    let region = Region::start().await;
    for (key, body) in [("small", bytes(10)), ("large", bytes(300_000))] {
        let sent = [("content-type", "image/jpeg"), ("x-amz-meta-mood", "sleepy"), ("x-amz-tagging", "a=b")];
        region.put_with(key, body.clone(), &sent).await.ok();
        let before = region.store.resolve("photos", key, None).await.expect("read").head.expect("there");
        rename(&region, key, "new/name", &[]).await.expect("renamed");
        assert_eq!(region.get(key).await.error(), (404, "NoSuchKey".into()));
        assert!(region.get("new/name").await.ok().body == body);
        let after =
            region.store.resolve("photos", "new/name", None).await.expect("read").head.expect("there");
        assert_ne!(before.revision, after.revision);
        assert_eq!(before.instance, after.instance, "caches keep its bytes");
        assert_eq!(origin::head::Head { revision: before.revision, ..after }, before);
    }
    assert_eq!(region.list("list-type=2", "Key").await, ["new/name"]);
}

#[tokio::test]
async fn an_object_of_parts_keeps_them() {
    let region = Region::start().await;
    let upload = region.start_upload("joined", &[]).await;
    let part = region.put_part("joined", &upload, 1, bytes(1000)).await.ok();
    region.complete("joined", &upload, &[(1, part.header("etag"))]).await.ok();
    region.put("there", "before").await;
    rename(&region, "joined", "there", &[]).await.expect("renamed");
    let got = region.send("GET", "/photos/there?partNumber=1", &[], "").await.ok();
    assert_eq!((got.header("x-amz-mp-parts-count"), &got.body), ("1", &bytes(1000)));
    let dir = region.close().await;
    let report = origin::regional::RegionalStore::check_deep(dir.path()).await.expect("checked");
    assert!(report.is_sound(), "{:?}", report.faults);
}

#[tokio::test]
async fn what_cannot_be_renamed_stays() {
    let region = Region::start().await;
    region.put("cat", "meow").await;
    assert_eq!(rename(&region, "none", "new", &[]).await, refused("NoSuchKey"));
    assert_eq!(rename(&region, "cat", "cat", &[]).await, refused("InvalidRequest"));
    assert_eq!(rename_as(&region, "bob", "cat", "new", &[]).await, refused("AccessDenied"));
    let owner = [("x-amz-expected-bucket-owner", "bob-id")];
    assert_eq!(rename(&region, "cat", "new", &owner).await, refused("AccessDenied"));
    let acl = [("x-amz-acl", "public-read")];
    assert_eq!(rename(&region, "cat", "new", &acl).await, refused("NotImplemented"));
    assert_eq!(region.list("", "Key").await, ["cat"]);
}

#[tokio::test]
async fn a_bucket_that_keeps_versions_or_did_renames_nothing() {
    let region = Region::start().await;
    region.put("cat", "meow").await;
    for status in ["Enabled", "Suspended"] {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        region.send("PUT", "/photos?versioning", &[], body).await.ok();
        assert_eq!(rename(&region, "cat", "new", &[]).await, refused("InvalidBucketState"), "{status}");
    }
    assert_eq!(region.list("", "Key").await, ["cat"]);
}

#[tokio::test]
async fn renames_are_conditional_on_both_ends() {
    let region = Region::start().await;
    let (cat, dog) = (format!("\"{}\"", md5(b"meow")), format!("\"{}\"", md5(b"woof")));
    let fails = "PreconditionFailed";
    for (headers, expected) in [
        (&[("x-amz-rename-source-if-match", cat.as_str())][..], None),
        (&[("x-amz-rename-source-if-match", &dog)], Some(fails)),
        (&[("x-amz-rename-source-if-none-match", &dog)], None),
        (&[("x-amz-rename-source-if-none-match", &cat)], Some(fails)),
        (&[("x-amz-rename-source-if-none-match", "*")], Some(fails)),
        (&[("x-amz-rename-source-if-modified-since", PAST)], None),
        (&[("x-amz-rename-source-if-modified-since", FUTURE)], Some(fails)),
        (&[("x-amz-rename-source-if-unmodified-since", FUTURE)], None),
        (&[("x-amz-rename-source-if-unmodified-since", PAST)], Some(fails)),
        (&[("x-amz-rename-source-if-match", &cat), ("x-amz-rename-source-if-unmodified-since", PAST)], None),
        (&[("if-match", &dog)], None),
        (&[("if-match", &cat)], Some(fails)),
        (&[("if-match", "*")], None),
        (&[("if-none-match", &cat)], None),
        (&[("if-none-match", &dog)], Some(fails)),
        (&[("if-none-match", "*")], Some(fails)),
        (&[("if-modified-since", PAST)], None),
        (&[("if-modified-since", FUTURE)], Some(fails)),
        (&[("if-unmodified-since", FUTURE)], None),
        (&[("if-unmodified-since", PAST)], Some(fails)),
        (&[("if-unmodified-since", "yesterday")], Some("InvalidArgument")),
    ] {
        region.put("cat", "meow").await;
        region.put("dog", "woof").await;
        let expected = expected.map_or(Ok(()), refused);
        assert_eq!(rename(&region, "cat", "dog", headers).await, expected, "{headers:?}");
        let left = if expected.is_ok() { vec!["dog"] } else { vec!["cat", "dog"] };
        assert_eq!(region.list("", "Key").await, left, "{headers:?}");
    }
    for (headers, expected) in [
        (&[("if-none-match", "*")][..], Ok(())),
        (&[("if-none-match", &cat)], Ok(())),
        (&[("if-unmodified-since", PAST)], Ok(())),
        (&[("if-none-match", "*"), ("if-modified-since", PAST)], Ok(())),
        (&[("if-modified-since", PAST)], refused(fails)),
        (&[("if-match", &cat)], refused("NoSuchKey")),
        (&[("if-match", "*")], refused("NoSuchKey")),
    ] {
        region.put("cat", "meow").await;
        region.send("DELETE", "/photos/none", &[], "").await.ok();
        assert_eq!(rename(&region, "cat", "none", headers).await, expected, "{headers:?}");
    }
}

/// A client that has lost the answer asks once more, with the same token.
#[tokio::test]
async fn the_same_rename_is_done_once_and_another_one_of_its_token_never() {
    let mut region = Region::start().await;
    let token = [("x-amz-client-token", "t")];
    region.put("cat", "meow").await;
    rename(&region, "cat", "new", &token).await.expect("renamed");
    rename(&region, "cat", "new", &token).await.expect("known to have been done");
    // What has come since is not touched.
    region.put("cat", "purr").await;
    region.reopen().await;
    rename(&region, "cat", "new", &token).await.expect("known to have been done");
    assert_eq!(region.get("cat").await.body, "purr");
    assert_eq!(region.get("new").await.body, "meow");

    let differs = refused("IdempotencyParameterMismatch");
    assert_eq!(rename(&region, "cat", "newer", &token).await, differs);
    assert_eq!(rename(&region, "new", "newer", &token).await, differs);
    let conditional = [token[0], ("if-none-match", "*")];
    assert_eq!(rename(&region, "cat", "new", &conditional).await, differs);
    assert_eq!(rename_as(&region, "bob", "cat", "new", &token).await, refused("AccessDenied"));
    rename(&region, "cat", "new", &[("x-amz-client-token", "u")]).await.expect("another token");
    assert_eq!(region.get("new").await.body, "purr");
    // The bucket of this name is another one now.
    region.send("DELETE", "/photos/new", &[], "").await.ok();
    region.send("DELETE", "/photos", &[], "").await.ok();
    region.send("PUT", "/photos", &[], "").await.ok();
    assert_eq!(rename(&region, "cat", "new", &token).await, differs);
}

/// What was refused was not done: it may be tried again under its token.
#[tokio::test]
async fn a_rename_that_failed_leaves_its_token_free() {
    let region = Region::start().await;
    let token = [("x-amz-client-token", "t")];
    assert_eq!(rename(&region, "cat", "new", &token).await, refused("NoSuchKey"));
    region.put("cat", "meow").await;
    rename(&region, "cat", "new", &token).await.expect("renamed");
}

/// Of two who want one object, one gets it.
#[tokio::test]
async fn an_object_is_renamed_by_one_of_many() {
    let region = Region::start().await;
    region.put("cat", "meow").await;
    let names: Vec<String> = (0..16).map(|number| format!("new{number}")).collect();
    let renames = names.iter().map(|name| rename(&region, "cat", name, &[]));
    let renamed = futures::future::join_all(renames).await;
    assert_eq!(renamed.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(renamed.iter().filter(|done| done.is_err()).all(|lost| *lost == refused("NoSuchKey")));
    assert_eq!(region.list("", "Key").await.len(), 1);
}
