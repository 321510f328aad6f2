//! GetBucketPolicy, PutBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus.

use crate::region::Region;

/// The example that every S3 guide has.
fn public(bucket: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Sid": "PublicRead", "Effect": "Allow", "Principal": "*",
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/*"}}]}}"#
    )
}

impl Region {
    async fn is_public(&self) -> String {
        self.send("GET", "/photos?policyStatus", &[], "").await.ok().element("IsPublic")
    }
}

#[tokio::test]
async fn a_policy_is_kept_to_the_letter_until_it_is_deleted() {
    let mut region = Region::start().await;
    let none = (404, "NoSuchBucketPolicy".to_owned());
    assert_eq!(region.send("GET", "/photos?policy", &[], "").await.error(), none);
    assert_eq!(region.send("PUT", "/photos?policy", &[], public("photos")).await.status, 204);
    region.reopen().await;
    let shown = region.send("GET", "/photos?policy", &[], "").await.ok();
    assert_eq!(shown.text(), public("photos"));
    assert_eq!(shown.header("content-type"), "application/json");
    for _ in 0..2 {
        assert_eq!(region.send("DELETE", "/photos?policy", &[], "").await.status, 204);
    }
    assert_eq!(region.send("GET", "/photos?policy", &[], "").await.error(), none);
}

#[tokio::test]
async fn a_policy_that_is_not_understood_leaves_the_one_before() {
    let region = Region::start().await;
    region.send("PUT", "/photos?policy", &[], public("photos")).await.ok();
    let nested = "[".repeat(10_000);
    for malformed in ["", "{", "{}", &public("photos2"), &public("photos").replace("Allow", "allow"), &nested]
    {
        let refused = region.send("PUT", "/photos?policy", &[], malformed.to_owned()).await;
        assert_eq!(refused.error(), (400, "MalformedPolicy".into()), "{malformed:.80}");
    }
    assert_eq!(region.send("GET", "/photos?policy", &[], "").await.text(), public("photos"));
}

#[tokio::test]
async fn a_bucket_is_public_by_policy_or_by_list() {
    let region = Region::start().await;
    assert_eq!(region.is_public().await, "false");
    region.send("PUT", "/photos?policy", &[], public("photos")).await.ok();
    assert_eq!(region.is_public().await, "true");
    let to_bob = public("photos").replace("\"*\"", "{\"AWS\": \"arn:aws:iam::bob:root\"}");
    region.send("PUT", "/photos?policy", &[], to_bob).await.ok();
    assert_eq!(region.is_public().await, "false");
    region.send("PUT", "/photos?acl", &[("x-amz-acl", "authenticated-read")], "").await.ok();
    assert_eq!(region.is_public().await, "true");
}

/// Whoever holds the facts from before must not take them for the same.
#[tokio::test]
async fn every_change_of_a_bucket_gives_its_facts_another_revision() {
    let region = Region::start().await;
    let mut seen = vec![region.store.facts("photos").await.expect("read").expect("there").revision];
    let block = "<PublicAccessBlockConfiguration></PublicAccessBlockConfiguration>";
    let rule = "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>";
    let controls = format!("<OwnershipControls>{rule}</OwnershipControls>");
    for (method, target, headers, body) in [
        ("PUT", "/photos?policy", &[][..], &*public("photos")),
        ("DELETE", "/photos?policy", &[], ""),
        ("PUT", "/photos?acl", &[("x-amz-acl", "public-read")], ""),
        ("PUT", "/photos?publicAccessBlock", &[], block),
        ("DELETE", "/photos?publicAccessBlock", &[], ""),
        ("PUT", "/photos?ownershipControls", &[], &controls),
        ("DELETE", "/photos?ownershipControls", &[], ""),
    ] {
        region.send(method, target, headers, body.to_owned()).await.ok();
        let revision = region.store.facts("photos").await.expect("read").expect("there").revision;
        assert!(!seen.contains(&revision), "{method} {target}");
        seen.push(revision);
    }
}
