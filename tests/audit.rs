//! The audit log: one line for each request that somebody was not allowed to make, by the node that decided.

use tests::sign::Keys;
use tests::{Client, Cluster, Endpoint, Options, Request};

/// What is refused to whoever asks.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"NotThis","Effect":"Deny","Principal":"*",
    "Action":"s3:GetObject","Resource":"arn:aws:s3:::data/closed"}]}"#;

/// Who asks for what, and what their line says.
struct Case<'a> {
    what: &'a str,
    client: Client,
    key: &'a str,
    line: &'a [&'a str],
}

/// Every refusal has one line, on each way to the object; what is served has none. The log's level does not silence it.
#[tokio::test]
async fn every_refusal_has_one_line() {
    let cluster = Cluster::start_with(Options::settings("[log]\nlevel = \"error\"\n")).await;
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("data").await;
    let _ = ord1.send(Request::new("PUT", "/data?policy").body(POLICY)).await.ok();
    for key in ["open", "closed"] {
        let _ = ord1.put("data", key, "hello").await.ok();
    }
    let own = &ord1.keys().access_key.clone();
    let writer = cluster.create_user("writer", &["--account", "dev", "--level", "write"]);
    let nobodys = Keys { access_key: "PKNOBODYNOBODYNOBODY".into(), ..ord1.keys().clone() };
    let forged = Keys { secret_key: "not the secret of this key".into(), ..ord1.keys().clone() };
    for at in ["ord1", "las1"] {
        for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
            let client = cluster.client(at, endpoint).under(endpoint.host("ord1"));
            let cases = [
                Case {
                    what: "an explicit deny",
                    client: client.clone(),
                    key: "closed",
                    line: &[
                        "\"reason\":\"explicit_deny\"",
                        "NotThis",
                        "\"account\":\"dev\"",
                        own,
                        "s3:GetObject",
                    ],
                },
                Case {
                    what: "a level that does not reach",
                    client: client.with_keys(writer.clone()),
                    key: "open",
                    line: &[
                        "\"reason\":\"level\"",
                        "\"user\":\"writer\"",
                        "\"level\":\"Write\"",
                        &writer.access_key,
                        "s3:GetObject",
                    ],
                },
                Case {
                    what: "a wrong secret",
                    client: client.with_keys(forged.clone()),
                    key: "open",
                    line: &["\"reason\":\"signature\"", "SignatureDoesNotMatch", own],
                },
                Case {
                    what: "a key of nobody",
                    client: client.with_keys(nobodys.clone()),
                    key: "open",
                    line: &["\"reason\":\"signature\"", "InvalidAccessKeyId", "PKNOBODYNOBODYNOBODY"],
                },
            ];
            for case in cases {
                let answer = case.client.get("data", case.key).await;
                assert_eq!(answer.status, 403, "{}: {}", case.what, answer.text());
                expect_line(&cluster, &case, answer.header("x-amz-request-id")).await;
            }
            let anonymous = tests::cluster::http_client()
                .get(format!("{}/data/open", client.origin()))
                .header("host", client.host())
                .send()
                .await
                .expect("an answer");
            let id = anonymous.headers()["x-amz-request-id"].to_str().expect("text").to_owned();
            let line = ["\"reason\":\"no_allow\"", "\"access_key\":\"anonymous\"", "data/open"];
            let case = Case { what: "anonymous", client: client.clone(), key: "open", line: &line };
            expect_line(&cluster, &case, &id).await;

            let served = client.get("data", "open").await.ok();
            let id = served.header("x-amz-request-id").to_owned();
            // One more refusal, whose line comes after where the served one's would be.
            let after = client.get("data", "closed").await.header("x-amz-request-id").to_owned();
            let _ = cluster.process(at).log_lines(&[&after], 1).await;
            assert!(!cluster.process(at).log().contains(&id), "what is served is not in the audit log");
        }
    }
}

async fn expect_line(cluster: &Cluster, case: &Case<'_>, id: &str) {
    let lines = cluster.process("ord1").log_lines(&["\"target\":\"audit\"", id], 1).await;
    let everywhere = ["\"client\":\"127.0.0.1\"", "arn:aws:s3:::data/"];
    for text in case.line.iter().chain(&everywhere) {
        assert!(lines[0].contains(text), "{}: {text} in {lines:?}", case.what);
    }
}
