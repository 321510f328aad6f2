//! Whoever has uploaded in parts is told where the object is: by a URL, which applications hand on as it stands.

use tests::{Client, Cluster, Endpoint, Request};

/// As the client has reached the bucket, by path and by its name, at its own endpoint and through another region's.
#[tokio::test]
async fn a_completion_tells_the_objects_url() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("photos").await;
    let host = Endpoint::Standard.host("ord1");
    for (number, (way, bucket)) in [
        (owner.clone(), "/photos"),
        (owner.under(format!("photos.{host}")), ""),
        (cluster.standard("las1").under(format!("photos.{host}")), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{bucket}/{number}%20b/%C3%BC%2B%26%3C.txt");
        let location = complete(&way, &path).await;
        assert_eq!(location, format!("http://{}{path}", way.host()));
        assert_eq!(way.send(Request::new("GET", path)).await.ok().body, "meow");
        // What may stand in a path as it is comes back escaped, and names the same object.
        let location = complete(&way, &format!("{bucket}/{number}+c")).await;
        assert_eq!(location, format!("http://{}{bucket}/{number}%2Bc", way.host()));
    }
}

/// Uploads in one part, and returns what the answer says of the place.
async fn complete(way: &Client, path: &str) -> String {
    let id = way.send(Request::new("POST", format!("{path}?uploads"))).await.ok().element("UploadId");
    let part = Request::new("PUT", format!("{path}?partNumber=1&uploadId={id}")).body("meow");
    let etag = way.send(part).await.ok().header("etag").to_owned();
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    way.send(Request::new("POST", format!("{path}?uploadId={id}")).body(list)).await.ok().element("Location")
}
