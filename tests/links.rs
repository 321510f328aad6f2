//! Links to upload to say in their query what the object shall be, as the SDK for JavaScript makes them.

use tests::{Client, Cluster, Endpoint, Request};

/// What a link says: of a page that everybody may read.
const SAID: &str = "x-amz-acl=public-read&x-amz-meta-colour=red%20%2B%201&x-amz-storage-class=STANDARD&x-amz-tagging=a%3Db%26c%3Dd";

/// Sends `body` by a link of `client`'s to `target`, without anything that the link does not say.
async fn follow(client: &Client, method: &'static str, target: &str, body: &'static str) -> tests::Answer {
    let query = client.presigned(method, target, 60);
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    client.send_signed(client.unsigned(Request::new(method, format!("{path}?{query}")).body(body))).await
}

#[tokio::test]
async fn a_link_says_what_the_object_shall_be() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let controls =
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
    let _ = owner.send(Request::new("PUT", "/data?ownershipControls").body(controls)).await.ok();
    let _ = owner.send(Request::new("DELETE", "/data?publicAccessBlock")).await.ok();
    let ways = [
        owner,
        cluster.standard("las1").under(Endpoint::Standard.host("ord1")),
        cluster.accelerated("lga1", "ord1"),
    ];
    for way in &ways {
        let _ = follow(way, "PUT", &format!("/data/whole?{SAID}"), "hello").await.ok();
        let begun = follow(way, "POST", &format!("/data/parts?uploads&{SAID}"), "").await.ok();
        let upload = begun.element("UploadId");
        let part =
            follow(way, "PUT", &format!("/data/parts?partNumber=1&uploadId={upload}"), "hello").await.ok();
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
            part.header("etag")
        );
        let complete = Request::new("POST", format!("/data/parts?uploadId={upload}")).body(list);
        let _ = way.send(complete).await.ok();
        for key in ["whole", "parts"] {
            // Nobody signs: the link has made it public.
            let stored =
                way.send_signed(way.unsigned(Request::new("GET", format!("/data/{key}")))).await.ok();
            assert_eq!(stored.body, "hello", "{key}");
            assert_eq!(stored.header("x-amz-meta-colour"), "red + 1", "{key}");
            let tags = way.send(Request::new("GET", format!("/data/{key}?tagging"))).await.ok();
            let expected = "<Tag><Key>a</Key><Value>b</Value></Tag><Tag><Key>c</Key><Value>d</Value></Tag>";
            assert!(tags.text().contains(expected), "{}", tags.text());
            let deleted = way.send(Request::new("DELETE", format!("/data/{key}"))).await;
            assert_eq!(deleted.status, 204);
        }
    }
}

/// A link is followed as it is: nobody adds to it or takes from it, and what is no link has nothing in its query.
#[tokio::test]
async fn what_a_link_says_cannot_be_changed() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    for way in [&owner, &cluster.accelerated("las1", "ord1")] {
        let signed = way.presigned("PUT", "/data/k?x-amz-meta-colour=red", 60);
        for changed in [
            signed.replace("colour=red", "colour=blue"),
            signed.replace("x-amz-meta-colour=red&", ""),
            format!("{signed}&x-amz-meta-size=big"),
        ] {
            let put = Request::new("PUT", format!("/data/k?{changed}")).body("hello");
            let (status, code) = way.send_signed(way.unsigned(put)).await.refusal();
            assert_eq!((status, code.as_str()), (403, "SignatureDoesNotMatch"), "{changed}");
        }
        let put =
            Request::new("PUT", format!("/data/k?{signed}")).header("x-amz-meta-colour", "red").body("hello");
        let refused = way.send_signed(way.unsigned(put)).await.refusal();
        assert_eq!(refused, (403, "AccessDenied".to_owned()));
        let put = Request::new("PUT", "/data/k?x-amz-meta-colour=red").body("hello");
        assert_eq!(way.send(put).await.refusal(), (501, "NotImplemented".to_owned()));
        assert_eq!(way.get("data", "k").await.status, 404);
    }
}
