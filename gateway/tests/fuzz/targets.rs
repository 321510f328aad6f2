//! What is fuzzed, and what must hold of every input.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use gateway::bridge::aws_chunked::Framing;
use gateway::post_form::{self, Boundary, FileBody, Form, Prelude, Rules, Sizes};
use gateway::refusal::Refusal;
use gateway::sigv4::{Claim, Keys, SecretKey};
use gateway::target::{self, AmzDate, EndpointKind, Listener, Payload};
use gateway::topology::{RegionName, Topology};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use origin::policy::{Action, Ask, Lookup, Policy, Principal, StoredPolicy, TEXT_BYTES_MAX, Verdict};

use crate::vectors::{Vector, Vectors};

/// A parser of outside bytes.
pub(crate) trait Target: Sync {
    /// The folder of its corpus.
    fn name(&self) -> &'static str;

    /// Words of its language.
    fn tokens(&self) -> &'static [&'static str];

    /// What is in its corpus beside the files.
    fn more_inputs(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Runs `input` and says in a few words what came of it.
    ///
    /// # Panics
    /// When something does not hold that must.
    fn run(&self, input: &[u8]) -> String;
}

/// Bucket policies: parsed, decided, written and read again.
pub(crate) struct Policies;

impl Target for Policies {
    fn name(&self) -> &'static str {
        "policy"
    }

    fn tokens(&self) -> &'static [&'static str] {
        &[
            "Version",
            "2012-10-17",
            "2008-10-17",
            "Id",
            "Statement",
            "Sid",
            "Effect",
            "Allow",
            "Deny",
            "Principal",
            "NotPrincipal",
            "AWS",
            "CanonicalUser",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:*",
            "s3:Get*",
            "*",
            "?",
            "arn:aws:s3:::photos",
            "arn:aws:s3:::photos/*",
            "arn:aws:iam::research:root",
            "arn:aws:iam::research:user/alice",
            "arn:aws:iam:::user/alice",
            "${aws:username}",
            "${aws:userid, 'x'}",
            "${*}",
            "${?}",
            "${$}",
            "${",
            "'",
            "StringEquals",
            "StringNotEquals",
            "StringLike",
            "StringNotLike",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "NumericEquals",
            "NumericLessThan",
            "NumericGreaterThanEquals",
            "DateEquals",
            "DateGreaterThan",
            "Bool",
            "BinaryEquals",
            "IpAddress",
            "NotIpAddress",
            "ArnLike",
            "ArnNotEquals",
            "Null",
            "IfExists",
            "ForAnyValue:",
            "ForAllValues:",
            "aws:SourceIp",
            "aws:SecureTransport",
            "aws:CurrentTime",
            "aws:EpochTime",
            "aws:Referer",
            "aws:username",
            "aws:userid",
            "s3:prefix",
            "s3:max-keys",
            "s3:x-amz-acl",
            "s3:ExistingObjectTag/team",
            "s3:RequestObjectTagKeys",
            "true",
            "false",
            "null",
            "10.0.0.0/8",
            "::ffff:10.0.0.1",
            "2001:db8::/32",
            "2026-11-22T10:00:00Z",
            "1795341600",
            "QQ==",
            "\\u0000",
            "\\ud800",
            "{\"a\":",
            "[",
            "]",
            "{",
            "}",
            "\"",
            ",",
        ]
    }

    fn run(&self, input: &[u8]) -> String {
        let text = String::from_utf8_lossy(input);
        let policy = match Policy::parse(&text, "photos") {
            Err(refused) => {
                // In the place, indices and names of ours are no news.
                let place: String =
                    refused.place().chars().filter(|char| char.is_ascii_alphabetic()).take(60).collect();
                let told = refused.to_string();
                assert!(told.len() <= 12 * text.len() + 1000, "a refusal of {} bytes", told.len());
                return format!("{} {place}", told.split(" (").next().unwrap_or_default());
            }
            Ok(policy) => policy,
        };
        assert!(text.len() <= TEXT_BYTES_MAX);
        let json: serde_json::Value = serde_json::from_str(&text).expect("a policy is JSON");
        let stored = StoredPolicy::new(&text, "photos").expect("parsed once");
        let written = serde_json::to_string(&stored).expect("text");
        let read: StoredPolicy = serde_json::from_str(&written).expect("a policy of a bucket is one of any");
        assert_eq!((read.text(), read.policy()), (&*text, Ok(&policy)));

        // Another spelling of the same document decides the same.
        let verdicts = verdicts(&policy);
        let respelled = serde_json::to_string(&json).expect("text");
        if respelled.len() <= TEXT_BYTES_MAX {
            let respelled = Policy::parse(&respelled, "photos").expect("the same document");
            assert_eq!(verdicts, self::verdicts(&respelled));
            assert_eq!(policy.is_public(), respelled.is_public());
        }
        format!("{verdicts} {} {}", policy.is_public(), policy.reads_object_tags())
    }
}

/// A request that says something of every key.
struct Says;

impl Lookup for Says {
    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        let values: &[&str] = match key {
            "aws:CurrentTime" => &["2026-11-22T10:00:00Z"],
            "aws:EpochTime" => &["1795341600"],
            "aws:SecureTransport" => &["true"],
            "aws:SourceIp" => &["10.0.0.1"],
            "s3:max-keys" => &["1000"],
            "s3:prefix" => &["home/*/a?b"],
            "s3:RequestObjectTagKeys" => &["team", "cost"],
            "s3:VersionId" | "s3:delimiter" => &[],
            _ => &["https://example.com/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"],
        };
        values.iter().map(|value| Cow::Borrowed(*value)).collect()
    }
}

/// A letter for each of some questions.
fn verdicts(policy: &Policy) -> String {
    let alice = Principal::User { account: "research", account_id: &"1".repeat(64), name: "alice" };
    let key = format!("arn:aws:s3:::photos/{}", "a".repeat(1024));
    let mut verdicts = String::new();
    for principal in [Principal::Anonymous, alice] {
        verdicts.push(if principal == Principal::Anonymous { 'n' } else { 'u' });
        for (action, resource) in [
            (Action::GetObject, "arn:aws:s3:::photos/home/alice/a"),
            (Action::PutObject, key.as_str()),
            (Action::ListBucket, "arn:aws:s3:::photos"),
        ] {
            let ask = Ask { principal, action, resource, owner: "research", context: &Says };
            verdicts.push(match policy.decide(&ask) {
                Verdict::Deny(_) => 'D',
                Verdict::Allow(_) => 'A',
                Verdict::Silent => '-',
            });
        }
    }
    verdicts
}

/// Heads of requests, admitted and their signatures checked. No mutation of a signed request may pass for signed.
pub(crate) struct Signatures {
    topology: Topology,
    listener: Listener,
    keys: Keys,
    now: AmzDate,
    signed: Vec<Vec<u8>>,
    /// What the signatures of the corpus cover.
    covered: HashSet<String>,
}

/// Of the requests that botocore signed.
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

impl Signatures {
    pub(crate) fn new() -> Self {
        let vectors = Vectors::read();
        let regions = [("ord1", "127.0.0.1:9003"), ("las1", "127.0.0.1:9013")];
        let mut this = Self {
            topology: Topology::new("penstock.localhost", "ord1", regions).expect("good topology"),
            listener: Listener {
                region: RegionName::parse("las1").expect("region name"),
                endpoint: EndpointKind::Standard,
            },
            keys: Keys::new(16),
            now: AmzDate::parse(&vectors.signed_at).expect("a date"),
            signed: vectors.requests.iter().map(Vector::head).collect(),
            covered: HashSet::new(),
        };
        let covered =
            this.signed.iter().map(|head| this.judge(head).expect("botocore's signatures are good"));
        this.covered = covered.map(|covered| covered.expect("signed")).collect();
        this
    }

    /// What a good signature covers; `None` for a request without one.
    fn judge(&self, input: &[u8]) -> Result<Option<String>, Refusal> {
        let (method, raw_target, headers) = head(input);
        let target = target::parse(&self.topology, &self.listener, &method, &raw_target, &headers)?;
        let Some(claim) = Claim::of(&target.query, &target.signature, self.now.moment())? else {
            return Ok(None);
        };
        claim.verify(&self.keys, &SecretKey::new(SECRET_KEY), &method, &raw_target, &headers)?;
        let signature = target.signature.signature().expect("there is a claim");
        let mut query: Vec<(&str, &str)> =
            target.query.iter().filter(|(name, _)| *name != "X-Amz-Signature").collect();
        query.sort_unstable();
        let value = |name: &HeaderName| {
            let values = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            values.collect::<Vec<_>>().join(",").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let signed_headers: Vec<_> =
            signature.signed_headers.iter().map(|name| (name, value(name))).collect();
        Ok(Some(format!("{method} {:?} {query:?} {signed_headers:?} {:?}", target.resource, target.payload)))
    }
}

impl Vector {
    fn head(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{} {}\n{headers}", self.method, self.target).into()
    }
}

/// A request's head in lines; what is no header is left out, as the listener would have refused it.
fn head(input: &[u8]) -> (Method, Vec<u8>, HeaderMap) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(2, |&byte| byte == b' ');
    let method = Method::from_bytes(words.next().unwrap_or_default()).unwrap_or(Method::GET);
    let raw_target = words.next().unwrap_or(b"/").to_vec();
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    (method, raw_target, headers)
}

impl Target for Signatures {
    fn name(&self) -> &'static str {
        "signature"
    }

    fn tokens(&self) -> &'static [&'static str] {
        &[
            "GET",
            "PUT",
            "POST",
            "DELETE",
            "OPTIONS",
            "AWS4-HMAC-SHA256",
            "AWS4-ECDSA-P256-SHA256",
            "AWS AKIDEXAMPLE:x",
            "Credential=",
            "SignedHeaders=",
            "Signature=",
            "AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request",
            "host",
            "host;x-amz-date",
            "x-amz-date: 20260102T030405Z\n",
            "authorization: ",
            "x-amz-content-sha256: ",
            "UNSIGNED-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-security-token: t\n",
            "x-amz-trailer: x-amz-checksum-crc32\n",
            "x-amz-copy-source: /photos/b\n",
            "x-amz-acl: public-read\n",
            "content-length: 0\n",
            "content-type: multipart/form-data; boundary=x\n",
            "host: object.las1.penstock.localhost\n",
            "host: photos.object.ord1.penstock.localhost:9000\n",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "&X-Amz-Credential=",
            "&X-Amz-Date=20260102T030405Z",
            "&X-Amz-Expires=60",
            "&X-Amz-SignedHeaders=host",
            "&X-Amz-Signature=",
            "&AWSAccessKeyId=x",
            "?acl",
            "?uploads",
            "?delete",
            "&versionId=null",
            "&partNumber=1",
            "&uploadId=u",
            "%2F",
            "%00",
            "%",
            "+",
            "//",
            "/../",
            "?",
            "&",
            "=",
            ";",
            ", ",
            "\u{e9}",
        ]
    }

    fn more_inputs(&self) -> Vec<Vec<u8>> {
        self.signed.clone()
    }

    fn run(&self, input: &[u8]) -> String {
        match self.judge(input) {
            Err(refusal) => format!("{} {}", refusal.code().as_str(), refusal.message()),
            Ok(None) => "anonymous".to_owned(),
            Ok(Some(covered)) => {
                assert!(self.covered.contains(&covered), "forged: {covered}");
                "signed".to_owned()
            }
        }
    }
}

/// Bodies in aws-chunked framing: however reads cut a body, it is taken the same, and never more than was declared.
pub(crate) struct Chunks;

impl Target for Chunks {
    fn name(&self) -> &'static str {
        "chunks"
    }

    fn tokens(&self) -> &'static [&'static str] {
        &[
            "signed",
            "signed+trailer",
            "unsigned",
            "\r\n",
            "\n",
            "0\r\n\r\n",
            "5\r\nhello\r\n",
            ";chunk-signature=",
            "x-amz-checksum-crc32:AAAAAA==\r\n",
            "x-amz-checksum-crc32",
            "x-amz-trailer-signature:",
            "ffffffffffffffff\r\n",
            "100000\r\n",
            "100001\r\n",
            "0",
            ":",
            ";",
            " ",
            "\r",
        ]
    }

    fn run(&self, input: &[u8]) -> String {
        let newline = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
        let (line, body) =
            (String::from_utf8_lossy(&input[..newline]), &input[(newline + 1).min(input.len())..]);
        let mut words = line.split(' ');
        let (signed, trailer) = match words.next() {
            Some("signed") => (true, false),
            Some("signed+trailer") => (true, true),
            _ => (false, true),
        };
        let declared: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-decoded-content-length", declared.into());
        if let Some(names) = words.next().and_then(|names| HeaderValue::from_str(names).ok()) {
            headers.insert("x-amz-trailer", names);
        }
        let whole_body = Bytes::copy_from_slice(body);
        let feed = |step: usize| {
            let mut framing = Framing::of(Payload::Chunked { signed, trailer }, &headers).expect("chunked");
            let mut passed = Vec::new();
            let pieces = (0..body.len()).step_by(step);
            let mut pieces = pieces.map(|start| whole_body.slice(start..body.len().min(start + step)));
            let taken =
                pieces.try_for_each(|piece| framing.take(piece, |bytes| passed.extend_from_slice(&bytes)));
            (taken.and_then(|()| framing.finish()), passed)
        };
        let told = |outcome: &Result<(), Refusal>| match outcome {
            Ok(()) => "taken".to_owned(),
            Err(refusal) => {
                let kind: String = refusal.message().chars().take(12).collect();
                format!("{} {kind}", refusal.code().as_str())
            }
        };
        let (whole, passed) = feed(body.len().max(1));
        for step in [1, 7] {
            let (cut, cut_passed) = feed(step);
            assert_eq!(told(&cut), told(&whole), "in steps of {step}");
            if whole.is_ok() {
                assert_eq!(data(&cut_passed), data(&passed), "in steps of {step}");
            }
        }
        if whole.is_ok() {
            assert!(!signed || passed == body, "a signed body passes as it came");
            assert_eq!(data(&passed).len() as u64, declared, "as much as was declared");
        }
        // How far it came is news too, by powers of two.
        let size = |count: usize| usize::BITS - count.leading_zeros();
        let lines_count = passed.iter().filter(|byte| **byte == b'\n').count();
        format!("{} {} {}", told(&whole), size(passed.len()), size(lines_count))
    }
}

/// Browsers' forms: however reads cut one, its fields and its file are the same, and nothing of them is its boundary.
pub(crate) struct Forms;

/// A form as it was read: its fields, and its file's name and bytes.
type Read = (Vec<(String, String)>, Option<String>, Vec<u8>);

impl Forms {
    fn read(body: &[u8], step: usize) -> Result<Read, Refusal> {
        let content_type = HeaderValue::from_static("multipart/form-data; boundary=edge");
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, content_type)]);
        let boundary = Boundary::of(&headers).expect("a boundary");
        let mut prelude = Prelude::new(boundary.clone());
        let mut pieces = body.chunks(step);
        let begun = loop {
            let Some(piece) = pieces.next() else { return Err(prelude.cut_short()) };
            if let Some(begun) = prelude.take(piece)? {
                break begun;
            }
        };
        let (mut file, mut bytes) = (FileBody::new(boundary, Sizes { min: 0, max: 10_000 }), Vec::new());
        for piece in [begun.rest].into_iter().chain(pieces.map(Bytes::copy_from_slice)) {
            file.take(piece, |piece| bytes.extend_from_slice(&piece))?;
        }
        file.finish()?;
        Ok((begun.fields, begun.file_name, bytes))
    }

    /// What is said of a form's fields: who signed it, and what its policy allows.
    fn judge(fields: Vec<(String, String)>, file_name: Option<String>) -> Result<(), Refusal> {
        let form = Form::of(fields, file_name)?;
        let claim = post_form::Claim::of(&form, Rules { allow_v2: true, allow_uncovered_file: true })?;
        if let Some(claim) = claim {
            assert!(claim.verify(&SecretKey::new(SECRET_KEY)).is_err(), "forged: {}", claim.policy());
        }
        if let Some(policy) = form.get("policy") {
            let now = AmzDate::parse("20260102T030405Z").expect("a date").moment();
            post_form::Policy::parse(policy)?.verify(&form, "photos", now)?;
        }
        Ok(())
    }
}

impl Target for Forms {
    fn name(&self) -> &'static str {
        "forms"
    }

    fn tokens(&self) -> &'static [&'static str] {
        &[
            "--edge\r\n",
            "\r\n--edge\r\n",
            "\r\n--edge--\r\n",
            "\r\n--edg",
            "Content-Disposition: form-data; name=\"key\"\r\n\r\n",
            "Content-Disposition: form-data; name=\"file\"; filename=\"cat.jpg\"\r\n\r\n",
            "; filename=\"",
            "name=",
            "\\",
            "\"",
            "\r\n",
            "\r",
            "policy",
            "AWSAccessKeyId",
            "signature",
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Signature",
            "${filename}",
            "e30=",
            "eyJleHBpcmF0aW9uIjoiMjAyNi0wMS0wMlQwMzowNDowNloiLCJjb25kaXRpb25zIjpbXX0=",
        ]
    }

    fn run(&self, input: &[u8]) -> String {
        let told = |refusal: Refusal| format!("{} {}", refusal.code().as_str(), refusal.message());
        let whole = Self::read(input, input.len().max(1)).map_err(told);
        for step in [1, 7] {
            assert_eq!(Self::read(input, step).map_err(told), whole, "in steps of {step}");
        }
        match whole {
            Err(told) => told.chars().take(120).collect(),
            Ok((fields, file_name, bytes)) => {
                let is_divided = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"\r\n--edge");
                assert!(!is_divided(&bytes) && !fields.iter().any(|(_, value)| is_divided(value.as_bytes())));
                let size = usize::BITS - bytes.len().leading_zeros();
                let judged = Self::judge(fields, file_name).map_err(told);
                let judged: String = judged.err().unwrap_or_default().chars().take(40).collect();
                format!("read {size} {judged}")
            }
        }
    }
}

/// What chunks hold, read in the plainest way.
fn data(mut framed: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let line = framed.iter().position(|&byte| byte == b'\n').expect("a chunk's header has an end");
        let header = String::from_utf8_lossy(&framed[..line]);
        let digits = header.split([';', '\r']).next().expect("split has a first");
        let size = usize::from_str_radix(digits, 16).expect("a size");
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&framed[line + 1..][..size]);
        framed = &framed[line + 1 + size + 2..];
    }
}
