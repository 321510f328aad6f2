//! An object's `Expires` comes back as it was sent, whether it is a date or not.

use tests::{Client, Cluster, Endpoint, Request};

/// Dates of each form (RFC 9110 §5.6.7), and what browsers take for a time that is over.
const TEXTS: [&str; 7] = [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Wed Nov 16 08:49:37 1994",
    "2026-11-30T00:00:00Z",
    "0",
    "-1",
    "never",
];

async fn expires(client: &Client, key: &str) -> String {
    let [head, get] = ["HEAD", "GET"].map(|method| client.send(Request::new(method, format!("/data/{key}"))));
    let (head, get) = (head.await.ok(), get.await.ok());
    assert_eq!(head.header("expires"), get.header("expires"), "{key}");
    assert_eq!(get.body, "content");
    get.header("expires").to_owned()
}

/// By each way that makes an object, and read at each way that gives one.
#[tokio::test]
async fn expires_comes_back_as_it_was_sent() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    let through = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
    owner.create_bucket("data").await;
    let readers = [&owner, &cluster.accelerated("las1", "ord1"), &cluster.accelerated("ord1", "ord1")];
    for (number, text) in TEXTS.into_iter().enumerate() {
        let named = |way: &str| format!("{way} {number}").replace(' ', "%20");
        let request = |method, key: &str| Request::new(method, format!("/data/{key}"));
        let with_text = |method, key: &str| request(method, key).header("expires", text);
        for (way, client) in [("put", &owner), ("through", &through)] {
            let put = with_text("PUT", &named(way)).header("x-amz-meta-mood", "calm").body("content");
            let _ = client.send(put).await.ok();
        }
        let source = format!("/data/{}", named("put"));
        let copy = request("PUT", &named("copy")).header("x-amz-copy-source", &source);
        let _ = owner.send(copy).await.ok();
        // The source's are kept, whatever the request says.
        let kept = request("PUT", &named("kept")).header("expires", "tomorrow");
        let _ = owner.send(kept.header("x-amz-copy-source", &source)).await.ok();
        let replaced = with_text("PUT", &named("replaced")).header("x-amz-metadata-directive", "REPLACE");
        let _ = owner.send(replaced.header("x-amz-copy-source", &source)).await.ok();
        let parts = named("parts");
        let begin = Request::new("POST", format!("/data/{parts}?uploads")).header("expires", text);
        let upload_id = owner.send(begin).await.ok().element("UploadId");
        let part = format!("/data/{parts}?partNumber=1&uploadId={upload_id}");
        let etag = owner.send(Request::new("PUT", part).body("content")).await.ok().header("etag").to_owned();
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let complete = Request::new("POST", format!("/data/{parts}?uploadId={upload_id}")).body(list);
        let _ = owner.send(complete).await.ok();
        for way in ["put", "through", "copy", "kept", "replaced", "parts"] {
            for reader in readers {
                assert_eq!(expires(reader, &named(way)).await, text, "{way}");
            }
        }
        let put = owner.send(Request::new("HEAD", source)).await.ok();
        assert_eq!(put.header("x-amz-meta-mood"), "calm", "what else is said is read as ever");
    }
}

/// A text that no header gives back is refused, and so is everything that is refused beside a date.
#[tokio::test]
async fn what_is_refused_beside_a_date_is_refused_beside_any_text() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let put = |expires: &str| Request::new("PUT", "/data/k").header("expires", expires).body("content");
    assert_eq!(owner.send(put("f\u{fc}nf")).await.refusal(), (400, "InvalidArgument".into()));
    for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "0"] {
        let other = put(text).header("x-amz-storage-class", "GOLD");
        assert_eq!(owner.send(other).await.refusal(), (400, "InvalidStorageClass".into()), "{text}");
        let damaged = put(text).header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert_eq!(owner.send(damaged).await.refusal(), (400, "BadDigest".into()), "{text}");
        let mut signed = owner.sign(put(text), std::time::SystemTime::now());
        let sent = signed.headers.iter_mut().find(|(name, _)| name == "expires").expect("it is sent");
        sent.1 = "1".to_owned();
        assert_eq!(
            owner.send_signed(signed).await.refusal(),
            (403, "SignatureDoesNotMatch".into()),
            "{text}"
        );
        assert_eq!(owner.send_signed(owner.unsigned(put(text))).await.refusal().0, 403, "{text}");
    }
    assert_eq!(owner.head("data", "k").await.status, 404);
}
