//! CreateBucket, HeadBucket, DeleteBucket, ListBuckets, GetBucketLocation.

use crate::region::{Region, caller, user_of};

#[tokio::test]
async fn a_bucket_is_made_found_and_removed() {
    let region = Region::start_empty().await;
    assert_eq!(region.send("HEAD", "/photos", &[], "").await.status, 404);
    assert_eq!(region.send("PUT", "/photos", &[], "").await.ok().header("location"), "/photos");
    assert_eq!(region.send("HEAD", "/photos", &[], "").await.ok().header("x-amz-bucket-region"), "ord1");
    let location = region.send("GET", "/photos?location", &[], "").await.ok();
    assert!(location.text().contains(">ord1</LocationConstraint>"), "{}", location.text());
    assert_eq!(region.send("DELETE", "/photos", &[], "").await.status, 204);
    assert_eq!(region.send("DELETE", "/photos", &[], "").await.error(), (404, "NoSuchBucket".into()));
    assert_eq!(region.send("GET", "/photos?location", &[], "").await.error(), (404, "NoSuchBucket".into()));
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let region = Region::start().await;
    let before = region.store.facts("photos").await.expect("read");
    region.put("cat.jpg", "meow").await;
    // Its owner may have lost the answer.
    assert_eq!(region.send("PUT", "/photos", &[], "").await.ok().header("location"), "/photos");
    assert_eq!(region.store.facts("photos").await.expect("read"), before, "the very same bucket");
    assert_eq!(region.get("cat.jpg").await.ok().body, "meow");
    for asked in [("x-amz-acl", "public-read"), ("x-amz-object-ownership", "BucketOwnerEnforced")] {
        let other = region.send("PUT", "/photos", &[asked], "").await;
        assert_eq!(other.error(), (409, "BucketAlreadyExists".into()), "{asked:?}");
    }
    let other = region.send_as(Some(user_of("bob")), "PUT", "/photos", &[], "").await;
    assert_eq!(other.error(), (409, "BucketAlreadyExists".into()));
}

#[tokio::test]
async fn names_are_as_s3_wants_them() {
    let region = Region::start_empty().await;
    for name in ["ab", "Photos", "a_b", "-ab", "ab-", "a.b", "192.168.1.1", "xn--abc"] {
        assert_eq!(
            region.send("PUT", &format!("/{name}"), &[], "").await.error(),
            (400, "InvalidBucketName".into()),
            "{name}"
        );
    }
    let (longest, longer) = ("a".repeat(63), "a".repeat(64));
    assert_eq!(region.send("PUT", &format!("/{longest}"), &[], "").await.status, 200);
    assert_eq!(
        region.send("PUT", &format!("/{longer}"), &[], "").await.error(),
        (400, "InvalidBucketName".into())
    );
}

#[tokio::test]
async fn a_location_is_this_region_or_none() {
    let region = Region::start_empty().await;
    let body = |location: &str| {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{location}</LocationConstraint></CreateBucketConfiguration>"
        )
    };
    let elsewhere = region.send("PUT", "/photos", &[], body("las1")).await;
    assert_eq!(elsewhere.error(), (400, "IllegalLocationConstraintException".into()));
    for location in ["ord1", "default", ""] {
        region.send("PUT", "/photos", &[], body(location)).await.ok();
        region.send("DELETE", "/photos", &[], "").await.ok();
    }
}

#[tokio::test]
async fn an_operator_reserves_names_and_asks_for_locations() {
    let region = Region::start_empty_with(|settings| {
        settings.reserved_names.prefixes = vec!["sys-".into()];
        settings.is_location_required = true;
    })
    .await;
    let here = "<CreateBucketConfiguration><LocationConstraint>ord1</LocationConstraint></CreateBucketConfiguration>";
    let reserved = region.send("PUT", "/sys-logs", &[], here).await;
    assert_eq!(reserved.error(), (400, "InvalidBucketName".into()));
    let nowhere = region.send("PUT", "/photos", &[], "").await;
    assert_eq!(nowhere.error(), (400, "IllegalLocationConstraintException".into()));
    region.send("PUT", "/photos", &[], here).await.ok();
}

#[tokio::test]
async fn what_a_bucket_cannot_have_is_refused() {
    let region = Region::start_empty().await;
    for (name, value, error) in [
        ("x-amz-tagging", "a=b", (501, "NotImplemented")),
        ("x-amz-server-side-encryption", "AES256", (400, "InvalidArgument")),
        ("x-amz-bucket-object-lock-enabled", "true", (501, "NotImplemented")),
    ] {
        let refused = region.send("PUT", "/photos", &[(name, value)], "").await;
        assert_eq!(refused.error(), (error.0, error.1.to_owned()), "{name}");
    }
    assert_eq!(region.send("HEAD", "/photos", &[], "").await.status, 404);
}

#[tokio::test]
async fn a_bucket_with_objects_stays() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    assert_eq!(region.send("DELETE", "/photos", &[], "").await.error(), (409, "BucketNotEmpty".into()));
    region.send("DELETE", "/photos/cat.jpg", &[], "").await.ok();
    assert_eq!(region.send("DELETE", "/photos", &[], "").await.status, 204);
}

/// Only objects keep a bucket: S3 aborts what was not finished.
#[tokio::test]
async fn unfinished_uploads_go_with_their_bucket() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    region.put_part("big", &upload, 1, "part").await.ok();
    assert_eq!(region.send("DELETE", "/photos", &[], "").await.status, 204);
    region.send("PUT", "/photos", &[], "").await.ok();
    assert!(region.list("uploads", "UploadId").await.is_empty());
    assert_eq!(region.put_part("big", &upload, 1, "part").await.error(), (404, "NoSuchUpload".into()));
}

#[tokio::test]
async fn a_bucket_made_again_is_another_one() {
    let region = Region::start().await;
    let before = region.store.facts("photos").await.expect("read").expect("there");
    region.send("DELETE", "/photos", &[], "").await.ok();
    region.send_as(Some(user_of("bob")), "PUT", "/photos", &[], "").await.ok();
    let after = region.store.facts("photos").await.expect("read").expect("there");
    assert_ne!(before.incarnation, after.incarnation);
    assert_eq!(after.owner, "bob");
}

#[tokio::test]
async fn each_account_sees_its_own_buckets() {
    let region = Region::start().await;
    for name in ["archive", "photos-2"] {
        region.send("PUT", &format!("/{name}"), &[], "").await.ok();
    }
    region.send_as(Some(user_of("bob")), "PUT", "/models", &[], "").await.ok();
    let mine = region.send("GET", "/", &[], "").await.ok();
    assert_eq!(mine.elements("Name"), ["archive", "photos", "photos-2"]);
    assert_eq!((mine.element("ID"), mine.element("DisplayName")), ("anne-id".into(), "anne".into()));
    let his = region.send_as(Some(user_of("bob")), "GET", "/", &[], "").await.ok();
    assert_eq!(his.elements("Name"), ["models"]);
}

#[tokio::test]
async fn buckets_are_listed_in_pages() {
    let region = Region::start().await;
    for name in ["photos-1", "photos-2", "videos"] {
        region.send("PUT", &format!("/{name}"), &[], "").await.ok();
    }
    let first = region.send("GET", "/?max-buckets=2&prefix=photos", &[], "").await.ok();
    assert_eq!(first.elements("Name"), ["photos", "photos-1"]);
    let token = first.element("ContinuationToken");
    let second = region
        .send("GET", &format!("/?max-buckets=2&prefix=photos&continuation-token={token}"), &[], "")
        .await
        .ok();
    assert_eq!(second.elements("Name"), ["photos-2"]);
    assert_eq!(second.element("ContinuationToken"), "");
    for wrong in ["0", "10001", "-1"] {
        let refused = region.send("GET", &format!("/?max-buckets={wrong}"), &[], "").await;
        assert_eq!(refused.error(), (400, "InvalidArgument".into()), "{wrong}");
    }
}

/// Nothing is served around the door that authenticates, and nobody else's bucket through it.
#[tokio::test]
async fn strangers_are_refused_everywhere() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    for stranger in [None, Some(user_of("bob"))] {
        for (method, target) in [
            ("HEAD", "/photos"),
            ("GET", "/photos?location"),
            ("DELETE", "/photos"),
            ("GET", "/photos"),
            ("GET", "/photos?list-type=2"),
            ("PUT", "/photos/dog.jpg"),
            ("GET", "/photos/cat.jpg"),
            ("HEAD", "/photos/cat.jpg"),
            ("DELETE", "/photos/cat.jpg"),
        ] {
            let refused = region.send_as(stranger.clone(), method, target, &[], "").await;
            assert_eq!(refused.status, 403, "{method} {target}");
        }
    }
    assert_eq!(region.send_as(None, "GET", "/", &[], "").await.status, 403);
    assert_eq!(region.send_as(None, "PUT", "/anybodys", &[], "").await.status, 403);
    assert_eq!(region.get("cat.jpg").await.body, "meow");
}

#[tokio::test]
async fn the_expected_owner_has_to_be_the_owner() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    for (method, target) in [
        ("HEAD", "/photos"),
        ("GET", "/photos"),
        ("GET", "/photos/cat.jpg"),
        ("HEAD", "/photos/cat.jpg"),
        ("PUT", "/photos/cat.jpg"),
        ("DELETE", "/photos/cat.jpg"),
        ("DELETE", "/photos"),
    ] {
        let refused = region.send(method, target, &[("x-amz-expected-bucket-owner", "bob")], "").await;
        assert_eq!(refused.status, 403, "{method} {target}");
    }
    let owner = caller().account;
    let served = region.get_with("cat.jpg", &[("x-amz-expected-bucket-owner", &owner)]).await;
    assert_eq!(served.body, "meow");
}
