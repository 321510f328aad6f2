//! Documents that say what to do: held against their digests before anything of it is done, at the owner's listener and
//! through another region's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use tests::{Client, Cluster, Endpoint, Request};

/// What is put, and where.
const DOCUMENTS: [(&str, &str); 5] = [
    ("/data?tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"),
    ("/data/k?tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"),
    (
        "/data?publicAccessBlock",
        "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>",
    ),
    (
        "/data?ownershipControls",
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
    ),
    (
        "/data?policy",
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/x"}}"#,
    ),
];

fn md5(body: &str) -> (&'static str, String) {
    ("content-md5", BASE64.encode(Md5::digest(body)))
}

fn sha256(body: &str) -> (&'static str, String) {
    ("x-amz-checksum-sha256", BASE64.encode(Sha256::digest(body)))
}

/// Status and code of `body` sent with this digest.
async fn sent(
    client: &Client,
    method: &'static str,
    target: &str,
    body: &str,
    digest: Option<(&str, String)>,
) -> (u16, String) {
    let mut request = Request::new(method, target).unsigned_body(body.to_owned());
    if let Some((name, value)) = digest {
        request = request.header(name, value);
    }
    client.send(request).await.refusal()
}

/// However small what it says: a document of more than is read is the client's fault, whatever it is about.
#[tokio::test]
async fn a_document_that_is_too_long_is_refused() {
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("data").await;
    let long = " ".repeat((4 << 20) + 1);
    for client in [cluster.standard("ord1"), cluster.client("las1", Endpoint::Standard)] {
        let client = client.under(Endpoint::Standard.host("ord1"));
        for target in ["/data?tagging", "/data?encryption", "/data?policy"] {
            let refusal = sent(&client, "PUT", target, &long, None).await;
            assert_eq!(refusal, (400, "MaxMessageLengthExceeded".to_owned()), "{target}");
        }
    }
}

/// A carriage return would be read as a line feed, and others end a strict reader's work.
#[tokio::test]
async fn a_key_of_control_characters_is_listed_by_number() {
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("data").await;
    for client in [cluster.standard("ord1"), cluster.accelerated("las1", "ord1")] {
        let _ = client.send(Request::new("PUT", "/data/a%0D%0A%01%00b").body("hello")).await.ok();
        for listing in ["/data", "/data?list-type=2", "/data?versions", "/data?prefix=a%0D"] {
            let listed = client.send(Request::new("GET", listing)).await.ok();
            assert!(listed.text().contains("<Key>a&#xD;\n&#x1;&#x0;b</Key>"), "{listing}: {}", listed.text());
            let length = listed.header("content-length").parse::<usize>().expect("a number");
            assert_eq!(length, listed.body.len(), "{listing}");
        }
        let listed = client.send(Request::new("GET", "/data?encoding-type=url")).await.ok();
        assert!(listed.text().contains("<Key>a%0D%0A%01%00b</Key>"), "{}", listed.text());
        let deleted = client.send(Request::new("DELETE", "/data/a%0D%0A%01%00b")).await;
        assert_eq!(deleted.status, 204);
    }
}

#[tokio::test]
async fn a_document_that_was_damaged_on_its_way_does_nothing() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", "hello").await.ok();
    let forwarded = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
    let bad = (400, "BadDigest".to_owned());
    for client in [&owner, &forwarded] {
        for (target, body) in DOCUMENTS {
            let shown = async || client.send(Request::new("GET", target)).await.text();
            let before = shown().await;
            let damaged = format!("{}.", &body[..body.len() - 1]);
            for digest in [md5(body), sha256(body)] {
                assert_eq!(sent(client, "PUT", target, &damaged, Some(digest)).await, bad, "{target}");
            }
            // A client that is told of a fault of ours would send it again.
            let signed =
                Request::new("PUT", target).body(body).payload_hash(&hex::encode(Sha256::digest(&damaged)));
            let mismatch = (400, "XAmzContentSHA256Mismatch".to_owned());
            assert_eq!(client.send(signed).await.refusal(), mismatch, "{target}");
            let none = Some(("content-md5", "bm9uZQ==".to_owned()));
            assert_eq!(sent(client, "PUT", target, body, none).await, (400, "InvalidDigest".to_owned()));
            // Nothing was changed, in the elements that name no request.
            let elements =
                |text: &str| (text.contains("<Code>"), text.contains("Statement"), text.contains("<Key>a"));
            assert_eq!(elements(&shown().await), elements(&before), "{target}");
            for digest in [Some(md5(body)), Some(sha256(body)), None] {
                let (status, code) = sent(client, "PUT", target, body, digest).await;
                assert!((200..300).contains(&status), "{target}: {status} {code}");
            }
            let (status, _) = client.send(Request::new("DELETE", target)).await.refusal();
            assert_eq!(status, 204, "{target}");
        }
        let list = "<Delete><Object><Key>k</Key></Object></Delete>";
        let other = "<Delete><Object><Key>j</Key></Object></Delete>";
        let delete = async |digest| sent(client, "POST", "/data?delete", list, digest).await;
        assert_eq!(delete(None).await, (400, "InvalidRequest".to_owned()));
        assert_eq!(delete(Some(md5(other))).await, bad);
        assert_eq!(delete(Some(sha256(other))).await, bad);
        assert_eq!(client.get("data", "k").await.ok().text(), "hello");
        assert_eq!(delete(Some(md5(list))).await.0, 200);
        assert_eq!(client.get("data", "k").await.status, 404);
        let _ = client.put("data", "k", "hello").await.ok();
    }
}

/// Documents with something in them that would be passed over: what is put by which, and how it is refused.
const BEYOND: [(&str, &str, &str); 17] = [
    ("/data?tagging", "<Tagging><TagSet/><Tags/></Tagging>", "MalformedXML"),
    ("/data/k?tagging", "<Tagging><TagSet><Label><Key>a</Key></Label></TagSet></Tagging>", "MalformedXML"),
    (
        "/data/k?tagging",
        "<Tagging><TagSet><Tag><Key>a</Key><Value><![CDATA[b]]></Value></Tag></TagSet></Tagging>",
        "NotImplemented",
    ),
    (
        "/data?publicAccessBlock",
        "<PublicAccessBlockConfiguration><BlockPublicAcl>true</BlockPublicAcl></PublicAccessBlockConfiguration>",
        "MalformedXML",
    ),
    ("/data?ownershipControls", "<OwnershipControls><Rule/><Rules/></OwnershipControls>", "MalformedXML"),
    (
        "/data?versioning",
        "<VersioningConfiguration><Status>Enabled</Status><MFADelete>Enabled</MFADelete></VersioningConfiguration>",
        "MalformedXML",
    ),
    (
        "/data?lifecycle",
        "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefx>a/</Prefx></Filter>\
         <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
        "MalformedXML",
    ),
    (
        "/data?lifecycle",
        "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefix><![CDATA[a/]]></Prefix></Filter>\
         <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
        "NotImplemented",
    ),
    (
        "/data?lifecycle",
        "<LifecycleConfiguration><Rule><Status>Enabled</Status><Prefix>a/</Prefix>\
         <Expiration><Days>1</Days></Expiration></Rule><Rules/></LifecycleConfiguration>",
        "MalformedXML",
    ),
    (
        "/data?cors",
        "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>\
         <AllowCredentials>false</AllowCredentials></CORSConfiguration>",
        "MalformedXML",
    ),
    (
        "/data?website",
        "<WebsiteConfiguration><IndexDocument><Suffix>a</Suffix></IndexDocument><Password>p</Password></WebsiteConfiguration>",
        "MalformedXML",
    ),
    (
        "/data?acl",
        "<AccessControlPolicy><Owner/><AccessControlList><Grants/></AccessControlList></AccessControlPolicy>",
        "MalformedXML",
    ),
    (
        "/data/k?acl",
        "<AccessControlPolicy><Owner/><AccessControlList/><Deny/></AccessControlPolicy>",
        "MalformedXML",
    ),
    (
        "/data?notification",
        "<NotificationConfiguration><LambdaConfiguration/></NotificationConfiguration>",
        "MalformedXML",
    ),
    ("/data?logging", "<BucketLoggingStatus><Logging/></BucketLoggingStatus>", "MalformedXML"),
    (
        "/other",
        "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>",
        "UnsupportedArgument",
    ),
    (
        "/other",
        "<CreateBucketConfiguration><Region>las1</Region></CreateBucketConfiguration>",
        "MalformedXML",
    ),
];

#[tokio::test]
async fn what_would_be_passed_over_in_a_document_is_refused() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", "hello").await.ok();
    let shown = async |target: &str| {
        // Ids and times of requests differ.
        let text = owner.send(Request::new("GET", target)).await.text();
        text.split("<RequestId>").next().unwrap_or_default().to_owned()
    };
    for client in [&owner, &cluster.standard("las1").under(Endpoint::Standard.host("ord1"))] {
        for (target, document, code) in BEYOND {
            let before = shown(target).await;
            let (status, found) = sent(client, "PUT", target, document, None).await;
            assert!(
                (status == 400 || status == 501) && found == code,
                "{target} {document}: {status} {found}"
            );
            assert_eq!(shown(target).await, before, "{target} {document}");
        }
        let list = "<Delete><Object><Key>k</Key></Object><Objects/></Delete>";
        let refused = sent(client, "POST", "/data?delete", list, Some(md5(list))).await;
        assert_eq!(refused, (400, "MalformedXML".to_owned()));
        assert_eq!(client.get("data", "k").await.ok().text(), "hello");
    }
}

/// As minio-py writes them, beside what others write: by number, however the document comes.
#[tokio::test]
async fn characters_beyond_the_first_plane_may_come_by_number() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let lifecycle = "<LifecycleConfiguration><Rule><ID>&#x1F600;</ID><Status>Enabled</Status><Filter><Prefix>&#128512;/\
                     </Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
    let tagging = "<Tagging><TagSet><Tag><Key>&#134071;+</Key><Value>&#252;</Value></Tag></TagSet></Tagging>";
    for client in [&owner, &cluster.standard("las1").under(Endpoint::Standard.host("ord1"))] {
        let put = async |target, document: &str| {
            let signed = Request::new("PUT", target).body(document.to_owned());
            let _ = client.send(signed).await.ok();
            // The digest is of what came.
            assert_eq!(sent(client, "PUT", target, document, Some(md5(document))).await.0, 200, "{target}");
            let damaged = format!("{document} ");
            let refused = sent(client, "PUT", target, &damaged, Some(md5(document))).await;
            assert_eq!(refused, (400, "BadDigest".to_owned()), "{target}");
            client.send(Request::new("GET", target)).await.ok().text()
        };
        let _ = client.put("data", "%F0%9F%98%80&", "hello").await.ok();
        let _ = client.put("data", "%F0%9F%98%81", "hello").await.ok();
        let shown = put("/data?lifecycle", lifecycle).await;
        assert!(
            shown.contains("<ID>\u{1f600}</ID>") && shown.contains("<Prefix>\u{1f600}/</Prefix>"),
            "{shown}"
        );
        for target in
            ["/data?tagging", "/data/%F0%9F%98%81?tagging", "/data/%F0%9F%98%81?tagging&versionId=null"]
        {
            let shown = put(target, tagging).await;
            assert!(shown.contains("<Key>\u{20bb7}+</Key><Value>\u{fc}</Value>"), "{target}: {shown}");
        }
        let list = "<Delete><Object><Key>&#128512;&amp;</Key></Object><Object><Key>\u{1f601}</Key></Object></Delete>";
        let deleted =
            client.send(Request::new("POST", "/data?delete").header(md5(list).0, md5(list).1).body(list));
        let told = deleted.await.ok().text();
        assert!(
            told.contains("<Key>\u{1f600}&amp;</Key>") && told.contains("<Key>\u{1f601}</Key>"),
            "{told}"
        );
        let listed = client.send(Request::new("GET", "/data")).await.ok().text();
        assert!(!listed.contains("<Key>"), "{listed}");
        // What is no character is none by number either.
        let surrogate = "<Delete><Object><Key>&#xD83D;&#xDE00;</Key></Object></Delete>";
        let refused = sent(client, "POST", "/data?delete", surrogate, Some(md5(surrogate))).await;
        assert_eq!(refused, (400, "MalformedXML".to_owned()));
    }
}

/// How many tags an object has is told to whoever may read them, at both endpoints, cold and hot.
#[tokio::test]
async fn tags_are_counted_for_who_may_read_them() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let tagged = Request::new("PUT", "/data/k").header("x-amz-tagging", "a=1&b=2").body("hello");
    let _ = owner.send(tagged).await.ok();
    let allow = |actions: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":[{actions}],"Resource":"arn:aws:s3:::data/*"}}}}"#
        )
    };
    for (actions, strangers) in [
        (r#""s3:GetObject""#, ""),
        (r#""s3:GetObject","s3:GetObjectTagging""#, "2"),
        (r#""s3:GetObject""#, ""),
    ] {
        let _ = owner.send(Request::new("PUT", "/data?policy").body(allow(actions))).await.ok();
        for client in [&owner, &cluster.accelerated("las1", "ord1")] {
            for method in ["GET", "HEAD", "GET"] {
                let request = || Request::new(method, "/data/k");
                let stranger = client.send_signed(client.unsigned(request())).await.ok();
                assert_eq!(stranger.header("x-amz-tagging-count"), strangers, "{actions} {method}");
                assert_eq!(client.send(request()).await.ok().header("x-amz-tagging-count"), "2");
            }
        }
    }
}
