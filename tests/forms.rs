//! Browsers' upload forms: stored as their policy says at every way to the bucket, streamed, and nothing of one that
//! breaks off.

use tests::disk::data_files;
use tests::form::Form;
use tests::sign::Keys;
use tests::{Answer, Client, Cluster, Endpoint, MIB, Request, raw, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Its own endpoint, by path and by the bucket's name, another region's listener, and an accelerated one.
fn ways(cluster: &Cluster) -> [Client; 4] {
    let host = Endpoint::Standard.host("ord1");
    [
        cluster.standard("ord1"),
        cluster.standard("ord1").under(format!("photos.{host}")),
        cluster.standard("las1").under(host),
        cluster.accelerated("las1", "ord1"),
    ]
}

/// The path of the bucket `photos` by `way`.
fn path(way: &Client) -> &'static str {
    if way.host().starts_with("photos.") { "" } else { "/photos" }
}

/// Sends `form` by `way` to the bucket `photos`.
async fn send(way: &Client, form: &Form) -> Answer {
    way.send_signed(way.unsigned(form.to(path(way)))).await
}

#[tokio::test]
async fn a_form_stores_its_file_as_its_policy_says() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("photos").await;
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1 2</Value></Tag></TagSet></Tagging>";
    for (index, way) in ways(&cluster).iter().enumerate() {
        let key = format!("user/{index}/cat.jpg");
        for file in [&b"meow"[..], &vec![b'\r'; 3 << 20]] {
            let form = Form::new(&format!("user/{index}/${{filename}}"), file)
                .field("acl", "public-read")
                .field("Content-Type", "image/png")
                .field("Expires", "0")
                .field("x-amz-meta-colour", "grey")
                .field("tagging", tags)
                .field("success_action_status", "201");
            let range = r#",["content-length-range",0,10000000]"#;
            // What is signed is the name that the file has, not the word that stands for it.
            let signed = form.clone().field("key", key.as_str()).signed(cluster.keys(), "photos", range);
            let answer = send(way, &signed).await;
            assert_eq!(answer.status, 201, "{index}: {}", answer.text());
            let location = answer.element("Location");
            assert!(location.ends_with(&key) && location == answer.header("location"), "{index}: {location}");
            assert_eq!((answer.element("Bucket"), answer.element("Key")), ("photos".into(), key.clone()));
            let stored = owner.get("photos", &key).await.ok();
            assert_eq!(stored.body, file, "{index}");
            assert!(answer.text().contains(&stored.header("etag").replace('"', "&quot;")), "{index}");
            assert_eq!(stored.header("content-type"), "image/png");
            assert_eq!(stored.header("expires"), "0");
            assert_eq!(stored.header("x-amz-meta-colour"), "grey");
            assert_eq!(stored.header("x-amz-tagging-count"), "1");
            // The list that it asked for lets everybody read it.
            let anybody = Request::new("GET", format!("{}/{key}", path(way)));
            let anybody = way.send_signed(way.unsigned(anybody)).await;
            assert_eq!(anybody.status, 200, "{index}");
        }
    }
}

#[tokio::test]
async fn a_browser_goes_where_the_form_sends_it() {
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("photos").await;
    for way in &ways(&cluster) {
        let form = Form::new("a b", "meow").field("success_action_redirect", "http://localhost:1/done?x=1");
        let answer = send(way, &form.signed(cluster.keys(), "photos", "")).await;
        let etag =
            cluster.standard("ord1").head("photos", "a%20b").await.ok().header("etag").replace('"', "%22");
        let expected = format!("http://localhost:1/done?x=1&bucket=photos&key=a%20b&etag={etag}");
        assert_eq!((answer.status, answer.header("location")), (303, &*expected));
        let answer = send(way, &Form::new("c", "meow").signed(cluster.keys(), "photos", "")).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert!(answer.header("location").ends_with("/c"));
    }
}

/// A form that nobody signed is a PUT that nobody signed: where everybody may write it is stored, with what the policy of
/// the bucket asks of it, and nowhere else.
#[tokio::test]
async fn an_anonymous_form_may_what_everybody_may() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("photos").await;
    for way in &ways(&cluster) {
        assert_eq!(send(way, &Form::new("inbox/a", "meow")).await.refusal(), (403, "AccessDenied".into()));
    }
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
        "Action":["s3:PutObject","s3:PutObjectTagging"],"Resource":"arn:aws:s3:::photos/inbox/*"}]}"#;
    let _ = owner.send(Request::new("PUT", "/photos?policy").body(policy)).await.ok();
    for (index, way) in ways(&cluster).iter().enumerate() {
        let key = format!("inbox/{index}");
        assert_eq!(send(way, &Form::new(&key, "meow")).await.status, 204);
        // It is its writer's, nobody's, and the bucket's owner sees that it is there.
        let listing = format!("/photos?list-type=2&prefix=inbox%2F{index}");
        let listed = owner.send(Request::new("GET", listing)).await.ok();
        assert_eq!((listed.element("Key"), listed.element("Size")), (key, "4".into()));
        for refused in [
            Form::new("outbox/a", "meow"),
            // A list takes another action.
            Form::new("inbox/acl", "meow").field("acl", "public-read"),
        ] {
            assert_eq!(send(way, &refused).await.refusal(), (403, "AccessDenied".into()), "{index}");
        }
    }
}

/// Who signs a form may do no more by it than by a PUT.
#[tokio::test]
async fn a_signed_form_may_what_its_signer_may() {
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("photos").await;
    let account = "dev";
    let reader = cluster.create_user("reader", &["--account", account, "--level", "read"]);
    let writer = cluster.create_user("writer", &["--account", account, "--level", "write"]);
    let stranger = cluster.create_user("stranger", &["--account", "others", "--level", "full"]);
    for way in &ways(&cluster) {
        for (keys, status) in [(&reader, 403), (&stranger, 403), (&writer, 204)] {
            let answer = send(way, &Form::new("a", "meow").signed(keys, "photos", "")).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
}

/// A form's key and its signer are in its body; the owner's lines say them as of any other request.
#[tokio::test]
async fn logs_name_what_a_form_is_about_and_who_signed_it() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("photos").await;
    let reader = cluster.create_user("reader", &["--account", "dev", "--level", "read"]);
    let forged = Keys { secret_key: "not the secret of this key".into(), ..reader.clone() };
    for (keys, status, line) in [
        (cluster.keys(), 204, "\"target\":\"access\""),
        (&reader, 403, "\"reason\":\"level\""),
        (&forged, 403, "\"reason\":\"signature\""),
    ] {
        let answer = send(&owner, &Form::new("a cat", "meow").signed(keys, "photos", "")).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let id = answer.header("x-amz-request-id").to_owned();
        let expected = [id.as_str(), line, "a cat", &keys.access_key, "PostObject"];
        let _ = cluster.process("ord1").log_lines(&expected, 1).await;
    }
}

/// Connects to ord1 and sends a form of `announced` bytes in all, as far as `sent`.
async fn begin(cluster: &Cluster, announced: u64, sent: &[u8]) -> TcpStream {
    let address = cluster.address("ord1", Endpoint::Standard);
    let head = format!(
        "POST /photos HTTP/1.1\r\nHost: {address}\r\nContent-Type: {}\r\nContent-Length: {announced}\r\n\
         Connection: close\r\n\r\n",
        Form::content_type()
    );
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(head.as_bytes()).await.expect("send the head");
    stream.write_all(sent).await.expect("send the beginning of the form");
    stream
}

/// Waits until the store holds `expected` data files.
async fn data_files_become(cluster: &Cluster, expected: usize) {
    until(&format!("{expected} data files"), async || data_files(&cluster.data_dir()).len() == expected)
        .await;
}

/// A file is on its way to the disk before its end has come; when that never comes, nothing stays.
#[tokio::test]
async fn a_file_is_streamed_and_leaves_nothing_when_it_breaks_off() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("photos").await;
    let file = vec![b'x'; 4 << 20];
    let form = Form::new("a", file).signed(cluster.keys(), "photos", "");
    let whole = form.body();
    let last_boundary = whole.len() - "--\r\n".len();
    for end in [form.before_file().len() + (2 << 20), last_boundary, last_boundary + 1] {
        let stream = begin(&cluster, whole.len() as u64, &whole[..end]).await;
        data_files_become(&cluster, 1).await;
        drop(stream);
        data_files_become(&cluster, 0).await;
        assert_eq!(owner.get("photos", "a").await.status, 404);
    }
}

/// What can be refused by a form's fields is refused while the file is still to come; its size as soon as it is past.
#[tokio::test]
async fn a_form_is_refused_before_its_file_has_come() {
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("photos").await;
    let good = Form::new("a", "").signed(cluster.keys(), "photos", r#",["content-length-range",0,1000000]"#);
    let unsigned = Form::new("a", "");
    let forged = good.clone().field("x-amz-signature", "0".repeat(64));
    let other_key = good.clone().field("key", "b");
    let too_large = [good.before_file(), vec![b'x'; 1_000_100]].concat();
    let too_long = Form::new("a", "").field("x-ignore-me", "x".repeat(30_000)).before_file();
    for (sent, expected) in [
        (unsigned.before_file(), "AccessDenied"),
        (forged.before_file(), "SignatureDoesNotMatch"),
        (other_key.before_file(), "AccessDenied"),
        (too_large, "EntityTooLarge"),
        (too_long, "MaxPostPreDataLengthExceededError"),
    ] {
        let mut stream = begin(&cluster, 1 << 30, &sent).await;
        let answer = String::from_utf8_lossy(&raw::read_to_close(&mut stream).await).into_owned();
        assert!(answer.contains(&format!("<Code>{expected}</Code>")), "{expected}: {answer}");
    }
    // A file that is given up is removed after the answer.
    data_files_become(&cluster, 0).await;
}

/// A form as large as a node's whole allowance of memory is stored in little of it.
#[tokio::test]
async fn a_large_file_takes_little_memory() {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("photos").await;
    let before = cluster.process("ord1").peak_memory_bytes();
    let form = Form::new("a", "").signed(cluster.keys(), "photos", "");
    let (head, end, file_bytes) = (form.before_file(), "\r\n--edge--\r\n", 256 * MIB);
    let bytes = head.len() as u64 + file_bytes + end.len() as u64;
    let mut stream = begin(&cluster, bytes, &head).await;
    let piece = vec![b'x'; MIB as usize];
    for _ in 0..256 {
        stream.write_all(&piece).await.expect("the file is taken");
    }
    stream.write_all(end.as_bytes()).await.expect("the end is taken");
    let answer = String::from_utf8_lossy(&raw::read_to_close(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(owner.head("photos", "a").await.ok().header("content-length"), file_bytes.to_string());
    let grown = cluster.process("ord1").peak_memory_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB, "{grown} bytes for a file of {file_bytes}");
}
