//! GetBucketOwnershipControls, PutBucketOwnershipControls, DeleteBucketOwnershipControls, and what they do to lists.

use crate::region::{Region, user_of};

fn controls(ownership: &str) -> String {
    let rule = format!("<Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule>");
    format!("<OwnershipControls>{rule}</OwnershipControls>")
}

impl Region {
    async fn set_ownership(&self, ownership: &str) {
        self.send("PUT", "/photos?ownershipControls", &[], controls(ownership)).await.ok();
    }

    /// Whose an object is, and everything that its list says.
    async fn ids(&self, key: &str) -> Vec<String> {
        self.send("GET", &format!("/photos/{key}?acl"), &[], "").await.ok().elements("ID")
    }
}

#[tokio::test]
async fn ownership_is_what_was_last_said() {
    let region = Region::start().await;
    let get = || region.send("GET", "/photos?ownershipControls", &[], "");
    assert_eq!(get().await.error(), (404, "OwnershipControlsNotFoundError".into()));
    for ownership in ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"] {
        region.set_ownership(ownership).await;
        assert_eq!(get().await.ok().element("ObjectOwnership"), ownership);
    }
    for malformed in [controls("objectwriter"), "<OwnershipControls></OwnershipControls>".to_owned()] {
        let refused = region.send("PUT", "/photos?ownershipControls", &[], malformed.clone()).await;
        assert_eq!(refused.error(), (400, "MalformedXML".into()), "{malformed}");
    }
    for _ in 0..2 {
        assert_eq!(region.send("DELETE", "/photos?ownershipControls", &[], "").await.status, 204);
    }
    assert_eq!(get().await.error(), (404, "OwnershipControlsNotFoundError".into()));
}

#[tokio::test]
async fn a_bucket_can_be_made_with_its_ownership() {
    let region = Region::start().await;
    let enforced = ("x-amz-object-ownership", "BucketOwnerEnforced");
    region.send("PUT", "/mine", &[enforced, ("x-amz-acl", "private")], "").await.ok();
    let shown = region.send("GET", "/mine?ownershipControls", &[], "").await.ok();
    assert_eq!(shown.element("ObjectOwnership"), "BucketOwnerEnforced");
    let public = region.send("PUT", "/ours", &[enforced, ("x-amz-acl", "public-read")], "").await;
    assert_eq!(public.error(), (400, "InvalidBucketAclWithObjectOwnership".into()));
    let unknown = region.send("PUT", "/ours", &[("x-amz-object-ownership", "Enforced")], "").await;
    assert_eq!(unknown.error(), (400, "InvalidArgument".into()));
    assert_eq!(region.send("HEAD", "/ours", &[], "").await.status, 404);
}

#[tokio::test]
async fn lists_cannot_be_given_up_while_they_give_something() {
    let region = Region::start().await;
    region.send("PUT", "/photos?acl", &[("x-amz-acl", "public-read")], "").await.ok();
    let enforced = controls("BucketOwnerEnforced");
    let refused = region.send("PUT", "/photos?ownershipControls", &[], enforced).await;
    assert_eq!(refused.error(), (400, "InvalidBucketAclWithObjectOwnership".into()));
    region.send("PUT", "/photos?acl", &[("x-amz-acl", "private")], "").await.ok();
    region.set_ownership("BucketOwnerEnforced").await;
}

#[tokio::test]
async fn where_the_owner_is_enforced_lists_give_nothing() {
    let region = Region::start().await;
    let bob = || user_of("bob");
    region.send_let(bob(), "PUT", "/photos/before", &[("x-amz-acl", "public-read")], "meow").await.ok();
    region.set_ownership("BucketOwnerEnforced").await;
    assert_eq!(region.ids("before").await, ["anne-id", "anne-id"]);
    for acl in ["private", "public-read", "authenticated-read", "bucket-owner-read", "log-delivery-write"] {
        for target in ["/photos?acl", "/photos/before?acl", "/photos/after"] {
            let refused = region.send("PUT", target, &[("x-amz-acl", acl)], "").await;
            let expected = (400, "AccessControlListNotSupported".to_owned());
            assert_eq!(refused.error(), expected, "{acl} {target}");
        }
    }
    let to_bob = [("x-amz-grant-full-control", "id=bob-id")];
    let refused = region.send_let(bob(), "PUT", "/photos/after", &to_bob, "meow").await;
    assert_eq!(refused.error(), (400, "AccessControlListNotSupported".into()));
    let allowed = [("x-amz-acl", "bucket-owner-full-control"), ("x-amz-grant-full-control", "id=anne-id")];
    for said in [&[][..], &allowed[..1], &allowed[1..]] {
        region.send_let(bob(), "PUT", "/photos/after", said, "meow").await.ok();
        assert_eq!(region.ids("after").await, ["anne-id", "anne-id"], "{said:?}");
        if !said.is_empty() {
            let refused = region.send("PUT", "/photos/after?acl", said, "").await;
            assert_eq!(refused.error(), (400, "AccessControlListNotSupported".into()), "{said:?}");
        }
    }
    // What was written then stays the bucket owner's; lists of before were out of force, not gone.
    region.set_ownership("ObjectWriter").await;
    assert_eq!(region.ids("after").await, ["anne-id", "anne-id"]);
    assert_eq!(region.ids("before").await, ["bob-id", "bob-id"]);
    let shown = region.send("GET", "/photos/before?acl", &[], "").await.ok();
    assert_eq!(shown.elements("Permission"), ["READ", "FULL_CONTROL"]);
}

#[tokio::test]
async fn where_the_owner_is_preferred_a_writer_gives_up_by_one_word() {
    let region = Region::start().await;
    region.set_ownership("BucketOwnerPreferred").await;
    for (acl, expected) in [
        ("bucket-owner-full-control", &["anne-id", "anne-id"][..]),
        ("bucket-owner-read", &["bob-id", "anne-id", "bob-id"]),
        ("private", &["bob-id", "bob-id"]),
    ] {
        region.send_let(user_of("bob"), "PUT", "/photos/cat.jpg", &[("x-amz-acl", acl)], "meow").await.ok();
        assert_eq!(region.ids("cat.jpg").await, expected, "{acl}");
    }
    region.set_ownership("ObjectWriter").await;
    let given = [("x-amz-acl", "bucket-owner-full-control")];
    region.send_let(user_of("bob"), "PUT", "/photos/cat.jpg", &given, "meow").await.ok();
    assert_eq!(region.list("", "ID").await, ["bob-id"]);
}

/// An upload that was begun with a list, where lists have gone since, is the bucket owner's and says nothing.
#[tokio::test]
async fn an_upload_is_completed_under_the_ownership_that_holds_then() {
    let region = Region::start().await;
    let bob = || user_of("bob");
    for (ownership, owner, permissions) in
        [("BucketOwnerEnforced", "anne-id", 1), ("ObjectWriter", "bob-id", 2)]
    {
        region.set_ownership("ObjectWriter").await;
        let public = [("x-amz-acl", "public-read")];
        let begun = region.send_let(bob(), "POST", "/photos/big?uploads", &public, "").await.ok();
        let of_upload = format!("/photos/big?uploadId={}", begun.element("UploadId"));
        let part = format!("{of_upload}&partNumber=1");
        let etag = region.send_let(bob(), "PUT", &part, &[], "meow").await.ok().header("etag").to_owned();
        region.set_ownership(ownership).await;
        let list = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
        let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        region.send_let(bob(), "POST", &of_upload, &[], list).await.ok();
        // Back in force, lists say what they said: nothing of this one.
        region.set_ownership("ObjectWriter").await;
        let shown = region.send("GET", "/photos/big?acl", &[], "").await.ok();
        assert_eq!(shown.elements("Permission").len(), permissions, "{ownership}");
        assert_eq!(shown.element("ID"), owner, "{ownership}");
    }
}
