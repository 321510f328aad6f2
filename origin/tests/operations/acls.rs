//! GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl, and lists set by whatever makes a bucket or an object.

use crate::region::{Answer, Region, user_of};

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

/// Whom and what, a grant a line, in the order of the answer.
fn grants(answer: &Answer) -> Vec<String> {
    let whom = |grant: &str| {
        let element =
            |name: &str| Some(grant.split_once(&format!("<{name}>"))?.1.split_once('<')?.0.to_owned());
        let whom = element("DisplayName").or_else(|| Some(element("URI")?.rsplit_once('/')?.1.to_owned()));
        format!("{} {}", whom.unwrap_or_default(), element("Permission").unwrap_or_default())
    };
    answer.elements("Grant").iter().map(|grant| whom(grant)).collect()
}

async fn of(region: &Region, target: &str) -> Vec<String> {
    grants(&region.send("GET", &format!("{target}?acl"), &[], "").await.ok())
}

fn grant(grantee: &str, permission: &str) -> String {
    format!("<Grant>{grantee}<Permission>{permission}</Permission></Grant>")
}

fn grantee(kind: &str, element: &str, name: &str) -> String {
    let xsi = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";
    format!("<Grantee {xsi} xsi:type=\"{kind}\"><{element}>{name}</{element}></Grantee>")
}

fn policy(owner: &str, grants: &str) -> String {
    format!(
        "<AccessControlPolicy><Owner><ID>{owner}</ID></Owner><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    )
}

#[tokio::test]
async fn what_nobody_said_anything_about_is_private() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    for target in ["/photos", "/photos/cat.jpg"] {
        let shown = region.send("GET", &format!("{target}?acl"), &[], "").await.ok();
        assert_eq!(grants(&shown), ["anne FULL_CONTROL"], "{target}");
        assert_eq!(shown.elements("ID"), ["anne-id", "anne-id"], "{target}");
        assert!(shown.text().contains("xsi:type=\"CanonicalUser\""), "{}", shown.text());
    }
    let missing = region.send("GET", "/photos/dog.jpg?acl", &[], "").await;
    assert_eq!(missing.error(), (404, "NoSuchKey".into()));
    assert_eq!(region.send("PUT", "/photos/dog.jpg?acl", &[("x-amz-acl", "private")], "").await.status, 404);
    assert_eq!(region.send("GET", "/nowhere?acl", &[], "").await.error(), (404, "NoSuchBucket".into()));
}

#[tokio::test]
async fn canned_lists_are_set_at_birth_and_later() {
    let region = Region::start().await;
    let public: &[(&str, &str)] = &[("x-amz-acl", "public-read")];
    region.send("PUT", "/open", public, "").await.ok();
    region.put_with("put", "meow", public).await.ok();
    let copied = [public[0], ("x-amz-copy-source", "photos/put")];
    region.send("PUT", "/photos/copied", &copied, "").await.ok();
    let upload_id = region.start_upload("joined", public).await;
    let etag = region.put_part("joined", &upload_id, 1, "meow").await.ok().header("etag").to_owned();
    region.complete("joined", &upload_id, &[(1, &etag)]).await.ok();
    for target in ["/open", "/photos/put", "/photos/copied", "/photos/joined"] {
        assert_eq!(of(&region, target).await, ["AllUsers READ", "anne FULL_CONTROL"], "{target}");
        let both = [("x-amz-acl", "authenticated-read")];
        region.send("PUT", &format!("{target}?acl"), &both, "").await.ok();
        assert_eq!(of(&region, target).await, ["AuthenticatedUsers READ", "anne FULL_CONTROL"], "{target}");
        region.send("PUT", &format!("{target}?acl"), &[("x-amz-acl", "private")], "").await.ok();
        assert_eq!(of(&region, target).await, ["anne FULL_CONTROL"], "{target}");
    }
}

#[tokio::test]
async fn a_list_is_no_part_of_what_is_copied_or_overwritten() {
    let region = Region::start().await;
    region.put_with("cat.jpg", "meow", &[("x-amz-acl", "public-read")]).await.ok();
    region.send("PUT", "/photos/copied", &[("x-amz-copy-source", "photos/cat.jpg")], "").await.ok();
    assert_eq!(of(&region, "/photos/copied").await, ["anne FULL_CONTROL"]);
    region.put("cat.jpg", "purr").await;
    assert_eq!(of(&region, "/photos/cat.jpg").await, ["anne FULL_CONTROL"]);
}

#[tokio::test]
async fn grants_in_headers_are_the_whole_list() {
    let region = Region::start().await;
    let all_users = format!("uri=\"{ALL_USERS}\"");
    let headers = [
        ("x-amz-grant-full-control", "id=\"bob-id\", emailAddress=carl@example.com"),
        ("x-amz-grant-read", &all_users),
        ("x-amz-grant-write-acp", "id=anne-id"),
    ];
    region.put_with("cat.jpg", "meow", &headers).await.ok();
    let expected = ["AllUsers READ", "anne WRITE_ACP", "bob FULL_CONTROL", "carl FULL_CONTROL"];
    assert_eq!(of(&region, "/photos/cat.jpg").await, expected);
    region.send("PUT", "/photos?acl", &headers, "").await.ok();
    assert_eq!(of(&region, "/photos").await, expected);
}

#[tokio::test]
async fn a_list_in_xml_replaces_the_one_before() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    let etag = region.get("cat.jpg").await.header("etag").to_owned();
    let modified = region.get("cat.jpg").await.header("last-modified").to_owned();
    let some = [
        grant(&grantee("CanonicalUser", "ID", "bob-id"), "READ_ACP"),
        grant(&grantee("AmazonCustomerByEmail", "EmailAddress", "carl@example.com"), "WRITE"),
        grant(&grantee("Group", "URI", AUTHENTICATED), "READ"),
    ];
    for target in ["/photos", "/photos/cat.jpg"] {
        let acl = format!("{target}?acl");
        region.send("PUT", &acl, &[], policy("anne-id", &some.concat())).await.ok();
        assert_eq!(of(&region, target).await, ["AuthenticatedUsers READ", "bob READ_ACP", "carl WRITE"]);
        // Nobody is locked out of what is theirs.
        region.send("PUT", &acl, &[], policy("anne-id", "")).await.ok();
        assert_eq!(of(&region, target).await, [""; 0]);
    }
    let after = region.get("cat.jpg").await;
    assert_eq!((after.header("etag"), after.header("last-modified")), (&*etag, &*modified));
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    let nobody = policy("anne-id", &grant(&grantee("CanonicalUser", "ID", "dora-id"), "READ"));
    let email = |name: &str| {
        policy("anne-id", &grant(&grantee("AmazonCustomerByEmail", "EmailAddress", name), "READ"))
    };
    let fine = policy("anne-id", "");
    let too_many = policy("anne-id", &grant(&grantee("CanonicalUser", "ID", "bob-id"), "READ").repeat(101));
    let as_another_kind = policy("anne-id", &grant(&grantee("Group", "ID", "bob-id"), "READ"));
    let unknown_permission = policy("anne-id", &grant(&grantee("CanonicalUser", "ID", "bob-id"), "READALL"));
    let other_group = policy("anne-id", &grant(&grantee("Group", "URI", &ALL_USERS.to_lowercase()), "READ"));
    for (headers, body, status, code) in [
        (&[][..], "", 400, "MissingSecurityHeader"),
        (&[("x-amz-acl", "public")], "", 400, "InvalidArgument"),
        (&[("x-amz-acl", "aws-exec-read")], "", 501, "NotImplemented"),
        (&[("x-amz-acl", "private"), ("x-amz-grant-read", "id=bob-id")], "", 400, "InvalidRequest"),
        (&[("x-amz-acl", "private")], &fine, 400, "UnexpectedContent"),
        (&[("x-amz-grant-read", "id=bob-id")], &fine, 400, "UnexpectedContent"),
        (&[("x-amz-grant-read", "id=dora-id")], "", 400, "InvalidArgument"),
        (&[("x-amz-grant-read", "bob-id")], "", 400, "InvalidArgument"),
        (&[], &nobody, 400, "InvalidArgument"),
        (&[], &email("dora@example.com"), 400, "UnresolvableGrantByEmailAddress"),
        (&[], &email("shared@example.com"), 400, "AmbiguousGrantByEmailAddress"),
        (&[], &policy("bob-id", ""), 403, "AccessDenied"),
        (&[], "<AccessControlPolicy></AccessControlPolicy>", 400, "MalformedACLError"),
        (&[], &as_another_kind, 400, "MalformedACLError"),
        (&[], &unknown_permission, 400, "MalformedACLError"),
        (&[], &other_group, 400, "InvalidArgument"),
        (&[], &too_many, 400, "MalformedACLError"),
    ] {
        for target in ["/photos?acl", "/photos/cat.jpg?acl"] {
            let refused = region.send("PUT", target, headers, body.to_owned()).await;
            assert_eq!(refused.error(), (status, code.to_owned()), "{target} {headers:?} {body}");
        }
    }
    let not_made = region.put_with("dog.jpg", "wuff", &[("x-amz-grant-read", "id=dora-id")]).await;
    assert_eq!(not_made.error(), (400, "InvalidArgument".into()));
    assert_eq!(region.get("dog.jpg").await.status, 404);
    assert_eq!(of(&region, "/photos/cat.jpg").await, ["anne FULL_CONTROL"]);
}

#[tokio::test]
async fn an_object_is_whoever_wrote_it_s() {
    let region = Region::start().await;
    let bob = || user_of("bob");
    region.send_let(bob(), "PUT", "/photos/his", &[], "meow").await.ok();
    let given = [("x-amz-acl", "bucket-owner-full-control")];
    region.send_let(bob(), "PUT", "/photos/given", &given, "meow").await.ok();
    region.send_let(origin::Caller::anonymous(), "PUT", "/photos/nobodys", &[], "meow").await.ok();
    region.put("hers", "meow").await;
    assert_eq!(of(&region, "/photos/his").await, ["bob FULL_CONTROL"]);
    assert_eq!(of(&region, "/photos/given").await, ["bob FULL_CONTROL", "anne FULL_CONTROL"]);
    let owners = region.list("", "ID").await;
    assert_eq!(owners, ["bob-id", "anne-id", "bob-id", "65a011a29cdf8ec533ec3d1ccaae921c"]);
    assert_eq!(region.list("list-type=2&fetch-owner=true", "ID").await, owners);
    assert_eq!(region.list("list-type=2", "ID").await, [""; 0]);
    // A list goes on being its owner's, whoever changes it.
    region.send_let(user_of("carl"), "PUT", "/photos/his?acl", &[], policy("bob-id", "")).await.ok();
    let shown = region.send("GET", "/photos/his?acl", &[], "").await.ok();
    assert_eq!(shown.elements("ID"), ["bob-id"]);
}

#[tokio::test]
async fn an_upload_is_whoever_started_it_s() {
    let region = Region::start().await;
    let started = region.send_let(user_of("bob"), "POST", "/photos/cat.jpg?uploads", &[], "").await.ok();
    let upload_id = started.element("UploadId");
    let target = format!("/photos/cat.jpg?uploadId={upload_id}");
    for listing in [&*target, "/photos?uploads"] {
        let shown = region.send("GET", listing, &[], "").await.ok();
        assert_eq!(shown.elements("ID"), ["bob-id", "bob-id"], "{listing}");
        assert_eq!(shown.elements("DisplayName"), ["bob", "bob"], "{listing}");
    }
    let etag = region.put_part("cat.jpg", &upload_id, 1, "meow").await.ok().header("etag").to_owned();
    region.complete("cat.jpg", &upload_id, &[(1, &etag)]).await.ok();
    assert_eq!(of(&region, "/photos/cat.jpg").await, ["bob FULL_CONTROL"]);
}

#[tokio::test]
async fn a_bucket_made_again_keeps_its_list() {
    let region = Region::start().await;
    let public = [("x-amz-acl", "public-read")];
    let taken = (409, "BucketAlreadyExists".into());
    region.send("PUT", "/photos", &[], "").await.ok();
    assert_eq!(region.send("PUT", "/photos", &public, "").await.error(), taken);
    region.send("PUT", "/open", &public, "").await.ok();
    region.send("PUT", "/open", &public, "").await.ok();
    assert_eq!(region.send("PUT", "/open", &[], "").await.error(), taken);
    assert_eq!(of(&region, "/open").await, ["AllUsers READ", "anne FULL_CONTROL"]);
    assert_eq!(of(&region, "/photos").await, ["anne FULL_CONTROL"]);
}

#[tokio::test]
async fn lists_survive_a_restart() {
    let mut region = Region::start().await;
    let public = [("x-amz-acl", "public-read")];
    region.send("PUT", "/photos?acl", &public, "").await.ok();
    region.put_with("cat.jpg", "meow", &public).await.ok();
    region.reopen().await;
    for target in ["/photos", "/photos/cat.jpg"] {
        assert_eq!(of(&region, target).await, ["AllUsers READ", "anne FULL_CONTROL"], "{target}");
    }
}
