//! What browsers send beside requests: questions about CORS, and forms that nobody signed. Both are refused by S3's error
//! at every door, with no word of what is there.

use std::collections::BTreeSet;

use tests::Request;

use super::{Site, bucket_of, told};

/// A form as a browser sends it, and its type.
const FORM: &str = "--edge\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--edge\r\n\
                    Content-Disposition: form-data; name=\"file\"; filename=\"k\"\r\n\r\nforged\r\n--edge--\r\n";

#[tokio::test]
async fn preflights_and_forms_are_refused_and_tell_nothing() {
    let site = Site::start().await;
    let bucket = bucket_of("lga1");
    for (door, client) in site.doors("lga1") {
        for (what, method, is_form) in [("preflight", "OPTIONS", false), ("form", "POST", true)] {
            let mut answers = BTreeSet::new();
            // Everybody may know that a bucket is not there: a form is told, a preflight is not.
            let missing = if is_form { 404 } else { 403 };
            for (bucket, status_expected) in [(bucket.as_str(), 403), ("no-such-bucket", missing)] {
                // A form is sent to a bucket, a preflight is about what is in it.
                for key in if is_form { &[""][..] } else { &["", "/k", "/no-such-key"] } {
                    let target = format!("/{bucket}{key}");
                    let mut request =
                        Request::new(method, target.clone()).header("origin", "http://a.example");
                    request = match is_form {
                        true => {
                            request.header("content-type", "multipart/form-data; boundary=edge").body(FORM)
                        }
                        false => request.header("access-control-request-method", "GET"),
                    };
                    let answer = site.send(&client, None, request).await;
                    let (status, headers, body) = told(&answer);
                    let place = format!("{what} of {target} through {door}: {status} {body}");
                    assert_eq!(status, status_expected, "{place}");
                    assert!(
                        !answer.element("Code").is_empty() && !answer.element("Message").is_empty(),
                        "{place}"
                    );
                    assert!(!headers.contains_key("access-control-allow-origin"), "{place}");
                    if status == 403 {
                        answers.insert((answer.element("Code"), answer.element("Message")));
                    }
                }
            }
            assert_eq!(answers.len(), 1, "{what} through {door} tells what is there: {answers:?}");
        }
    }
    assert_eq!(site.full("lga1").get(&bucket, "k").await.ok().text(), "the body", "a form changed something");
}
