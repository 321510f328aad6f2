//! GetPublicAccessBlock, PutPublicAccessBlock, DeletePublicAccessBlock, and what is refused where they block it.

use crate::region::Region;

const SWITCHES: [&str; 4] =
    ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];

impl Region {
    /// Blocks what is named and nothing else.
    async fn block(&self, switches: &[&str]) {
        let switches: String = switches.iter().map(|switch| format!("<{switch}>true</{switch}>")).collect();
        let body = format!("<PublicAccessBlockConfiguration>{switches}</PublicAccessBlockConfiguration>");
        self.send("PUT", "/photos?publicAccessBlock", &[], body).await.ok();
    }

    async fn put_acl(&self, target: &str, acl: &str) -> (u16, String) {
        self.send("PUT", target, &[("x-amz-acl", acl)], "").await.error()
    }
}

#[tokio::test]
async fn what_is_blocked_is_what_was_last_said() {
    let region = Region::start().await;
    let get = || region.send("GET", "/photos?publicAccessBlock", &[], "");
    let never = (404, "NoSuchPublicAccessBlockConfiguration".to_owned());
    assert_eq!(get().await.error(), never);
    for switch in SWITCHES {
        region.block(&[switch]).await;
        let shown = get().await.ok();
        let on: Vec<_> = SWITCHES.into_iter().filter(|switch| shown.element(switch) == "true").collect();
        assert_eq!(on, [switch]);
    }
    region.block(&[]).await;
    assert_eq!(get().await.ok().element("BlockPublicAcls"), "false");
    for _ in 0..2 {
        assert_eq!(region.send("DELETE", "/photos?publicAccessBlock", &[], "").await.status, 204);
    }
    assert_eq!(get().await.error(), never);
}

#[tokio::test]
async fn public_lists_are_refused_where_they_are_blocked() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    let denied = (403, "AccessDenied".to_owned());
    region.block(&["BlockPublicAcls"]).await;
    for target in ["/photos?acl", "/photos/cat.jpg?acl", "/photos/dog.jpg", "/photos/dog.jpg?uploads"] {
        let method = if target.ends_with("?uploads") { "POST" } else { "PUT" };
        for acl in ["public-read", "public-read-write", "authenticated-read"] {
            let refused = region.send(method, target, &[("x-amz-acl", acl)], "").await;
            assert_eq!(refused.error(), denied, "{target} {acl}");
        }
        region.send(method, target, &[("x-amz-acl", "bucket-owner-read")], "").await.ok();
        let grant = [("x-amz-grant-read", "id=bob-id")];
        region.send(method, target, &grant, "").await.ok();
    }
    region.block(&["IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]).await;
    assert_eq!(region.put_acl("/photos?acl", "public-read").await.0, 200);
}

#[tokio::test]
async fn public_policies_are_refused_where_they_are_blocked() {
    let region = Region::start().await;
    let policy = |principal: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject",
            "Resource":"arn:aws:s3:::photos/*"}}]}}"#
        )
    };
    let put = |body: String| region.send("PUT", "/photos?policy", &[], body);
    region.block(&["BlockPublicPolicy"]).await;
    assert_eq!(put(policy("\"*\"")).await.error(), (403, "AccessDenied".into()));
    assert_eq!(region.send("GET", "/photos?policy", &[], "").await.error().1, "NoSuchBucketPolicy");
    put(policy(r#"{"AWS":"arn:aws:iam::bob:root"}"#)).await.ok();
    region.block(&["BlockPublicAcls", "IgnorePublicAcls", "RestrictPublicBuckets"]).await;
    put(policy("\"*\"")).await.ok();
}

/// The list of an upload is from when it was started; what it may say is decided when it comes into force.
#[tokio::test]
async fn an_upload_with_a_public_list_is_not_completed_where_they_have_come_to_be_blocked() {
    let region = Region::start().await;
    for (acl, blocked, expected) in [
        ("public-read", "BlockPublicAcls", 403),
        ("authenticated-read", "BlockPublicAcls", 403),
        ("bucket-owner-read", "BlockPublicAcls", 200),
        ("public-read", "IgnorePublicAcls", 200),
    ] {
        region.block(&[]).await;
        let upload = region.start_upload("big", &[("x-amz-acl", acl)]).await;
        let part = region.put_part("big", &upload, 1, "meow").await.ok().header("etag").to_owned();
        region.block(&[blocked]).await;
        let completed = region.complete("big", &upload, &[(1, &part)]).await;
        assert_eq!(completed.status.as_u16(), expected, "{acl} {blocked}");
        if expected == 403 {
            assert_eq!(completed.error().1, "AccessDenied");
            assert_eq!(region.get("big").await.status, 404, "{acl}: nothing is published");
            // The upload is still there, for when its list may be.
            region.block(&[]).await;
            region.complete("big", &upload, &[(1, &part)]).await.ok();
        }
        region.send("DELETE", "/photos/big", &[], "").await;
    }
}
