//! Signatures that are not whole: an operation of each kind by a user who may do it, signed in its header and in its
//! query, with one part changed. Nothing is let in, at any door, and nothing is changed.

use std::time::{Duration, SystemTime};

use futures::stream::{self, StreamExt};
use tests::sign::{Keys, Signing, UNSIGNED_PAYLOAD};
use tests::{Client, Request, Signed};

use super::callers::{Level, Who};
use super::operations::content_md5;
use super::{AT_ONCE, Site, bucket_of};

/// One operation: what kind it is, its method, its target with `B` for the bucket, headers, body.
struct Kind {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const PARTS: &str = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>abc</ETag></Part></CompleteMultipartUpload>";

/// None of them changes anything when it is done again, so that what a forgery had done would be seen.
const KINDS: [Kind; 12] = [
    Kind {
        name: "object read",
        method: "GET",
        target: "/B/k?response-content-language=never",
        headers: &[("x-amz-checksum-mode", "ENABLED"), ("range", "bytes=0-3")],
        body: "",
    },
    Kind {
        name: "object write",
        method: "PUT",
        target: "/B/written",
        headers: &[("x-amz-meta-a", "b")],
        body: "a body",
    },
    Kind { name: "bucket read", method: "GET", target: "/B?location", headers: &[], body: "" },
    Kind { name: "bucket write", method: "PUT", target: "/B?tagging", headers: &[], body: TAGS },
    Kind {
        name: "list",
        method: "GET",
        target: "/B?list-type=2&prefix=w&max-keys=1",
        headers: &[],
        body: "",
    },
    Kind { name: "delete", method: "DELETE", target: "/B/gone", headers: &[], body: "" },
    Kind {
        name: "delete of many",
        method: "POST",
        target: "/B?delete",
        headers: &[],
        body: "<Delete><Object><Key>gone</Key></Object></Delete>",
    },
    Kind {
        name: "part",
        method: "PUT",
        target: "/B/parts?partNumber=1&uploadId=none",
        headers: &[],
        body: "a part",
    },
    Kind {
        name: "list of parts",
        method: "GET",
        target: "/B/parts?uploadId=none&max-parts=1",
        headers: &[],
        body: "",
    },
    Kind { name: "completion", method: "POST", target: "/B/parts?uploadId=none", headers: &[], body: PARTS },
    Kind { name: "abort", method: "DELETE", target: "/B/parts?uploadId=none", headers: &[], body: "" },
    Kind {
        name: "copy",
        method: "PUT",
        target: "/B/copied",
        headers: &[("x-amz-copy-source", "/B/k"), ("x-amz-metadata-directive", "COPY")],
        body: "",
    },
];

/// Where the signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Header,
    Query,
}

impl Kind {
    fn signed(&self, client: &Client, bucket: &str, form: Form, at: SystemTime) -> Signed {
        let fill = |text: &str| text.replacen("/B", &format!("/{bucket}"), 1);
        let mut request = Request::new(self.method, fill(self.target));
        for (name, value) in self.headers {
            let is_source = *name == "x-amz-copy-source";
            request = request.header(name, if is_source { fill(value) } else { (*value).to_owned() });
        }
        if !self.body.is_empty() {
            request = request.header("content-md5", content_md5(self.body)).body(self.body);
        }
        match form {
            Form::Header => client.sign(request, at),
            Form::Query => presigned(client, client.unsigned(request), at, LIFETIME_SECONDS),
        }
    }
}

const LIFETIME_SECONDS: i64 = 60;

/// `signed`, which is not yet, with its signature in the query; all its headers are signed.
fn presigned(client: &Client, mut signed: Signed, at: SystemTime, seconds: i64) -> Signed {
    let (path, query) = signed.target.split_once('?').unwrap_or((&signed.target, ""));
    let signing = Signing {
        method: signed.method,
        path,
        query,
        headers: &signed.headers,
        payload_hash: UNSIGNED_PAYLOAD,
        at,
        region: "us-east-1",
    };
    signed.target = format!("{path}?{}", signing.presigned_query(client.keys(), seconds));
    signed
}

#[tokio::test]
async fn a_signature_that_is_not_whole_opens_nothing() {
    let site = Site::start().await;
    let full = site.keys_of(Who::Owner(Level::Full)).clone();
    let bucket = bucket_of("lga1");
    let doors = site.doors("lga1");
    for (door, client) in &doors {
        let client = client.with_keys(full.clone());
        let _ = client.get(&bucket, "k").await.ok();
        for (kind, form) in each() {
            let answer = client.send_signed(kind.signed(&client, &bucket, form, SystemTime::now())).await;
            let is_let_in = (200..300).contains(&answer.status) || answer.element("Code") == "NoSuchUpload";
            let Kind { name, .. } = kind;
            assert!(is_let_in, "{name} in the {form:?} through {door}: {} {}", answer.status, answer.text());
        }
    }
    let before = state(&site, &bucket).await;
    let mut attempts = Vec::new();
    for (door, client) in &doors {
        let client = client.with_keys(full.clone());
        for (kind, form) in each() {
            let forged = forgeries(kind, &client, &bucket, form);
            attempts.extend(forged.into_iter().map(|(part, signed)| {
                let what = format!("{part} of {} in the {form:?} through {door}", kind.name);
                (what, client.clone(), signed)
            }));
        }
    }
    let count = attempts.len();
    assert!(count > 3000, "{count} attempts");
    let wrong: Vec<String> = stream::iter(attempts)
        .map(async |(what, client, signed)| {
            let answer = client.send_signed(signed).await;
            let (status, code) = answer.refusal();
            let tells = answer.text().contains("the body") || !answer.header("cache-status").is_empty();
            // There is no such upload, bucket or key for whoever has not shown who they are.
            // 412: a POST of nothing that is no form.
            let is_refused = matches!(status, 400 | 403 | 405 | 412 | 501) && !code.starts_with("NoSuch");
            (!is_refused || tells).then(|| format!("{what}: {status} {code}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(state(&site, &bucket).await, before, "a forgery changed something");
}

fn each() -> impl Iterator<Item = (&'static Kind, Form)> {
    KINDS.iter().flat_map(|kind| [Form::Header, Form::Query].map(|form| (kind, form)))
}

/// Everything that a forgery could have changed.
async fn state(site: &Site, bucket: &str) -> [String; 5] {
    let full = site.full("lga1");
    let get = async |target: String| full.send(Request::new("GET", target)).await.ok().text();
    [
        get(format!("/{bucket}?list-type=2")).await,
        get(format!("/{bucket}?tagging")).await,
        get(format!("/{bucket}?uploads")).await,
        get(format!("/{bucket}/written")).await,
        full.head(bucket, "written").await.ok().header("x-amz-meta-a").to_owned(),
    ]
}

/// The request with each of its parts changed, one at a time.
fn forgeries(kind: &Kind, client: &Client, bucket: &str, form: Form) -> Vec<(String, Signed)> {
    let good = || kind.signed(client, bucket, form, SystemTime::now());
    let mut forged = vec![
        ("method".to_owned(), Signed { method: another_method(kind.method), ..good() }),
        ("path".to_owned(), with_path(good())),
    ];
    forged.extend(queries(&good().target).into_iter().map(|(part, query)| {
        let path = good().target.split('?').next().unwrap_or_default().to_owned();
        (part, Signed { target: if query.is_empty() { path } else { format!("{path}?{query}") }, ..good() })
    }));
    let names: Vec<String> = good().headers.into_iter().map(|(name, _)| name).collect();
    for name in names.iter().filter(|name| !["authorization", "host"].contains(&name.as_str())) {
        forged.push((format!("{name} changed"), with_header(good(), name, last_changed)));
        // An unsigned body needs no digest, and who asks for no range has not asked for another.
        let mut without = good();
        without.headers.retain(|(header, _)| header != name);
        forged.push((format!("{name} left out"), without));
    }
    let mut more = good();
    more.headers.push(("x-amz-acl".to_owned(), "public-read".to_owned()));
    forged.push(("a header more".to_owned(), more));
    if !kind.body.is_empty() && form == Form::Header {
        let body = last_changed(kind.body);
        let mut signed = Signed { body: body.clone().into(), ..good() };
        // Whoever changes the body changes its digest.
        signed = with_header(signed, "content-md5", |_| content_md5(&body));
        forged.push(("body and digest".to_owned(), signed));
        // The head of a part is good, and its upload is looked for before its body is read.
        if kind.name != "part" {
            forged.push(("body".to_owned(), Signed { body: body.into(), ..good() }));
        }
    }
    if form == Form::Header {
        for (part, from, to) in [
            ("access key", client.keys().access_key.as_str(), "PKNOBODYNOBODYNOBODY"),
            ("region of the scope", "/us-east-1/", "/us-east-2/"),
            ("service of the scope", "/s3/", "/s4/"),
            ("end of the scope", "aws4_request", "aws4_requesu"),
            ("algorithm", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA257"),
            ("a signed header unnamed", "SignedHeaders=", "SignedHeaders=a"),
            ("length of the signature", "Signature=", "Signature=0"),
        ] {
            forged.push((
                part.to_owned(),
                with_header(good(), "authorization", |value| {
                    assert!(value.contains(from), "{part} in {value}");
                    value.replacen(from, to, 1)
                }),
            ));
        }
        forged
            .push(("last digit of the signature".into(), with_header(good(), "authorization", last_changed)));
    }
    let other = client.with_keys(Keys { secret_key: "x".repeat(40), ..client.keys().clone() });
    forged.push(("secret".to_owned(), kind.signed(&other, bucket, form, SystemTime::now())));
    let age = Duration::from_secs(if form == Form::Query { LIFETIME_SECONDS as u64 + 1 } else { 16 * 60 });
    forged.push(("age".to_owned(), kind.signed(client, bucket, form, SystemTime::now() - age)));
    let ahead = SystemTime::now() + Duration::from_secs(16 * 60);
    forged.push(("a date to come".to_owned(), kind.signed(client, bucket, form, ahead)));
    if form == Form::Query {
        // What has expired cannot be made to last.
        let old = kind.signed(client, bucket, form, SystemTime::now() - age);
        let target = old.target.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
        forged.push(("lifetime of an expired one".to_owned(), Signed { target, ..old }));
    }
    forged
}

/// The query with each parameter's value changed, its name changed, and itself left out; and with one more.
fn queries(target: &str) -> Vec<(String, String)> {
    let Some((_, query)) = target.split_once('?') else { return Vec::new() };
    let pairs: Vec<&str> = query.split('&').collect();
    let mut changed = vec![("a parameter more".to_owned(), format!("{query}&x-id=GetObject"))];
    for (at, pair) in pairs.iter().enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let with = |other: Option<String>| {
            let others = pairs.iter().enumerate().filter_map(|(index, pair)| {
                if index == at { other.clone() } else { Some((*pair).to_owned()) }
            });
            others.collect::<Vec<_>>().join("&")
        };
        changed.push((format!("value of {name}"), with(Some(format!("{name}={}", last_changed(value))))));
        changed.push((format!("name of {name}"), with(Some(format!("{}={value}", last_changed(name))))));
        changed.push((format!("{name} left out"), with(None)));
    }
    changed
}

fn another_method(method: &str) -> &'static str {
    match method {
        "GET" => "HEAD",
        "PUT" => "DELETE",
        "DELETE" => "GET",
        _ => "PUT",
    }
}

fn with_path(mut signed: Signed) -> Signed {
    let (path, query) = signed.target.split_once('?').unwrap_or((&signed.target, ""));
    let separator = if query.is_empty() { "" } else { "?" };
    signed.target = format!("{}{separator}{query}", last_changed(path));
    signed
}

fn with_header(mut signed: Signed, name: &str, change: impl FnOnce(&str) -> String) -> Signed {
    let (_, value) =
        signed.headers.iter_mut().find(|(header, _)| header == name).expect("the header is there");
    *value = change(value);
    signed
}

/// `text` with another last letter or digit; empty, it gets one.
fn last_changed(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    match chars.iter_mut().rev().find(|char| char.is_ascii_alphanumeric()) {
        Some(last) => *last = if *last == '1' { '2' } else { '1' },
        None => chars.push('1'),
    }
    chars.into_iter().collect()
}
