//! Every operation at the door: who gets through, and who does not.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use origin::acl::{Grant, Grantee, Owner, Permission};
use origin::head::Head;
use origin::instance::Instance;
use origin::permit::permit_of;
use origin::policy::StoredPolicy;
use origin::regional::UserRow;
use prometheus::Registry;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, DeleteObjectsInput, DeleteObjectsOutput,
    ListBucketsInput, ListBucketsOutput, ListPartsInput, ListPartsOutput,
};
use s3s::{Body, S3Request, S3Response};
use time::OffsetDateTime;

use super::*;
use crate::identity::Level;
use crate::metrics::{DropReason, Metrics};
use crate::permission::Denied;
use crate::quota::Quota;
use crate::refusal::read_document;
use crate::sigv4::SecretKey as Secret;
use crate::sigv4::tests::signer::{Form, Unsigned, sign};
use crate::target::parse;
use crate::target::tests::s3s_reading::{ACCESS_KEY, SECRET_KEY};
use crate::target::tests::{examples, listener, topology};
use crate::test_user::alice;

/// A store that has nothing to say to those who reach it: every operation is `NotImplemented`. Buckets belong to
/// `research`, but those named `foreign…`.
#[derive(Clone)]
struct BehindTheDoor;

#[async_trait]
impl S3 for BehindTheDoor {
    /// Proves that the caller is handed on.
    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        match Caller::of(&request.extensions)?.account.as_str() {
            "research" => Err(s3_error!(NotImplemented)),
            _ => Err(s3_error!(InternalError)),
        }
    }

    /// Proves that the permit is, and that it decides about each key.
    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let permit = permit_of(&request.extensions)?;
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let facts = self.facts(&bucket).await?.unwrap();
        for object in &delete.objects {
            let on = On::bucket(&bucket, &facts).object(&object.key, object.version_id.as_deref(), None);
            permit.decide(Role::Target, &on)?;
        }
        Err(s3_error!(NotImplemented))
    }

    /// Both prove that an upload's initiator is asked about.
    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.ask_about_upload(&request.extensions, &request.input.bucket, &request.input.key).await?;
        Err(s3_error!(NotImplemented))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.ask_about_upload(&request.extensions, &request.input.bucket, &request.input.key).await?;
        Err(s3_error!(NotImplemented))
    }
}

#[async_trait]
impl Renames for BehindTheDoor {
    async fn rename_object(&self, _request: S3Request<RenameObjectInput>) -> S3Result<S3Response<()>> {
        Err(s3_error!(NotImplemented))
    }
}

impl BehindTheDoor {
    /// Asks the permit about the upload of `key`, which somebody else began.
    async fn ask_about_upload(&self, extensions: &Extensions, bucket: &str, key: &str) -> S3Result<()> {
        let facts = self.facts(bucket).await?.unwrap();
        let on = On { initiator: Some("ef"), ..On::bucket(bucket, &facts).object(key, None, None) };
        permit_of(extensions)?.decide(Role::Target, &on)
    }
}

/// The bucket `missing` is not there; `public` has a policy that lets everybody read and delete in it, and keys that
/// start with `open` have a list that lets everybody read them.
#[async_trait]
impl Known for BehindTheDoor {
    async fn facts(&self, bucket: &str) -> S3Result<Option<Arc<Facts>>> {
        if bucket == "missing" {
            return Ok(None);
        }
        let owner = if bucket.starts_with("foreign") || bucket == "public" { "others" } else { "research" };
        let id = Instance::from_bytes([7; 16]);
        let shown = Owner { id: "cd".repeat(32), display_name: owner.to_owned() };
        let mut facts = Facts::new(id, id, owner, shown);
        if bucket == "public" {
            facts.policy = Some(StoredPolicy::new(PUBLIC, bucket).unwrap());
        }
        Ok(Some(Arc::new(facts)))
    }

    async fn object(&self, bucket: &str, key: &str, _version: Option<&str>) -> S3Result<Resolved> {
        let id = Instance::from_bytes([7; 16]);
        let facts = self.facts(bucket).await?;
        let head = facts.as_ref().filter(|_| !key.starts_with("gone")).map(|facts| {
            let mut head = Head::new(id, id);
            let mut acl = facts.acl();
            if key.starts_with("open") {
                acl.grants.push(Grant { grantee: Grantee::AllUsers, permission: Permission::Read });
            }
            head.acl = Some(acl);
            head
        });
        Ok(Resolved { facts: facts.map(Arc::unwrap_or_clone), head, ..Resolved::default() })
    }

    async fn website(&self, _bucket: &str) -> S3Result<Website> {
        Err(s3_error!(NoSuchWebsiteConfiguration))
    }
}

const PUBLIC: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Everybody","Effect":"Allow","Principal":"*",
    "Action":["s3:GetObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::public/*"}]}"#;

/// One user, of the account `research`, with this level.
struct OneUser(Level);

#[async_trait]
impl Identities for OneUser {
    async fn find(&self, access_key: &str, _client: Client) -> S3Result<Option<Credential>> {
        let user = User { level: self.0, access_key: access_key.into(), ..alice() };
        let secret = Secret::new(SECRET_KEY);
        Ok((access_key == ACCESS_KEY).then(|| Credential { user: Arc::new(user), secret }))
    }

    fn open(&self, _row: &UserRow) -> S3Result<Option<Credential>> {
        Err(s3_error!(InternalError))
    }
}

/// A request as a client would send it.
#[derive(Clone)]
struct Sent {
    method: Method,
    raw_target: String,
    headers: HeaderMap,
    body: &'static str,
}

fn unsigned(method: &str, raw_target: &str, headers: &[(&'static str, &'static str)]) -> Sent {
    let mut map = HeaderMap::new();
    map.insert("host", HeaderValue::from_static("127.0.0.1"));
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Sent { method: method.parse().unwrap(), raw_target: raw_target.to_owned(), headers: map, body: "" }
}

fn signed(method: &str, raw_target: &str, headers: &[(&'static str, &'static str)]) -> Sent {
    let headers = [&[("host", "127.0.0.1")], headers].concat();
    let request = Unsigned { method: method.parse().unwrap(), raw_target: raw_target.to_owned(), headers };
    let signed = sign(&request, Form::Header, OffsetDateTime::now_utc());
    Sent { method: signed.method, raw_target: signed.raw_target, headers: signed.headers, body: "" }
}

fn admitted(sent: &Sent) -> Arc<Target> {
    let target = parse(&topology(), &listener(), &sent.method, sent.raw_target.as_bytes(), &sent.headers);
    Arc::new(target.unwrap_or_else(|refusal| panic!("{} {}: {refusal}", sent.method, sent.raw_target)))
}

/// The error code of the answer to `sent`, admitted as `target`.
async fn verdict_as(target: Arc<Target>, sent: Sent) -> String {
    verdict_and_reason(target, sent, Level::Full).await.0
}

/// The same for a user of `level`, and why the request was denied.
async fn verdict_and_reason(target: Arc<Target>, sent: Sent, level: Level) -> (String, Option<Denied>) {
    let metrics = Metrics::new(&Registry::new());
    let per_key = Gate::new(Quota::default(), DropReason::KeyRate, DropReason::KeyInFlight, metrics);
    let topology = Arc::new(topology());
    let (known, users) = (Arc::new(BehindTheDoor), Arc::new(OneUser(level)));
    let doors = StoreService::new(BehindTheDoor, known, users, topology, Arc::new(per_key));
    let denied = DeniedSlot::default();
    let mut request = http::Request::new(Body::from(sent.body.to_owned()));
    *request.method_mut() = sent.method;
    *request.uri_mut() = Uri::try_from(sent.raw_target).unwrap();
    *request.headers_mut() = sent.headers;
    let service = doors.for_request(target, Client::default(), denied.clone(), None);
    let (parts, mut body) = service.call(request).await.unwrap().into_parts();
    let body = body.store_all_limited(1 << 20).await.unwrap();
    let code = read_document(parts.status, &parts.headers, &body).unwrap().code().as_str().to_owned();
    (code, denied.get().map(|refused| refused.denied.clone()))
}

async fn verdict(sent: Sent) -> String {
    verdict_as(admitted(&sent), sent).await
}

/// What a request for one operation looks like.
struct Example {
    operation: Operation,
    method: &'static str,
    raw_target: String,
    headers: Vec<(&'static str, &'static str)>,
}

impl Example {
    fn unsigned(&self) -> Sent {
        unsigned(self.method, &self.raw_target, &self.headers)
    }

    fn signed(&self) -> Sent {
        signed(self.method, &self.raw_target, &self.headers)
    }
}

/// Requests for all operations but forms, which the bridge does not let through, at the bucket `bucket`.
fn requests(bucket: &str) -> Vec<Example> {
    let mut requests: Vec<Example> = examples()
        .filter(|(operation, ..)| *operation != Operation::PostObject)
        .map(|(operation, method, raw_target, headers)| {
            let raw_target = raw_target.replace("partNumber=&", "partNumber=1&");
            let mut headers = headers.to_vec();
            if operation == Operation::RenameObject {
                headers.push(("x-amz-rename-source", format!("{bucket}/b").leak()));
            }
            Example { operation, method, raw_target, headers }
        })
        .collect();
    for (operation, raw_target) in [
        (Operation::CopyObject, "/photos/a"),
        (Operation::UploadPartCopy, "/photos/a?partNumber=1&uploadId=u"),
    ] {
        let headers = vec![("content-length", "0"), ("x-amz-copy-source", "photos/b")];
        requests.push(Example { operation, method: "PUT", raw_target: raw_target.to_owned(), headers });
    }
    for request in &mut requests {
        request.raw_target = request.raw_target.replace("photos", bucket);
    }
    requests
}

#[test]
fn the_walk_covers_every_operation_of_a_store() {
    let walked: BTreeSet<Operation> =
        requests("photos").into_iter().map(|request| request.operation).collect();
    let left_out: Vec<_> = Operation::ALL.iter().filter(|operation| !walked.contains(operation)).collect();
    use Operation::{ListDirectoryBuckets, PostObject, PreflightRequest, WriteGetObjectResponse};
    assert_eq!(left_out, [&ListDirectoryBuckets, &PostObject, &PreflightRequest, &WriteGetObjectResponse]);
}

#[tokio::test]
async fn nobody_gets_through_unsigned() {
    for request in requests("photos") {
        assert_eq!(verdict(request.unsigned()).await, "AccessDenied", "{}", request.operation);
    }
}

/// The owner gets through, to a store that does nothing.
#[tokio::test]
async fn the_owner_gets_through() {
    for request in requests("photos") {
        // Of another service: nobody may.
        if request.operation == Operation::CreateSession {
            continue;
        }
        let code = verdict(request.signed()).await;
        // Some inputs are incomplete beyond what the door looks at: s3s refuses them on the way to the store.
        assert_ne!(code, "AccessDenied", "{}", request.operation);
        assert_ne!(code, "InternalError", "{}", request.operation);
    }
    assert_eq!(verdict(signed("GET", "/", &[])).await, "NotImplemented");
    assert_eq!(verdict(signed("GET", "/photos/a", &[])).await, "NotImplemented");
}

#[tokio::test]
async fn another_account_does_not_get_through() {
    for request in requests("foreign") {
        if !matches!(request.operation, Operation::ListBuckets | Operation::CreateBucket) {
            assert_eq!(verdict(request.signed()).await, "AccessDenied", "{}", request.operation);
        }
    }
}

/// One's own bucket does not open somebody else's to a copy.
#[tokio::test]
async fn a_copy_needs_its_source_too() {
    let copy_from =
        |source| signed("PUT", "/photos/a", &[("content-length", "0"), ("x-amz-copy-source", source)]);
    assert_eq!(verdict(copy_from("photos/b")).await, "NotImplemented");
    assert_eq!(verdict(copy_from("foreign/b")).await, "AccessDenied");
    assert_eq!(verdict(copy_from("/foreign/b?versionId=null")).await, "AccessDenied");
    assert_eq!(verdict(copy_from("no-key")).await, "InvalidArgument");
}

/// An owner that nobody can read guards all the same, in the routes of ours too.
#[tokio::test]
async fn an_expected_owner_that_cannot_be_read_is_refused() {
    for (method, target, more) in [
        ("GET", "/photos/a", None),
        ("GET", "/photos/a", Some(("range", "bytes=0-1,3-4"))),
        ("GET", "/photos?encryption", None),
        ("PUT", "/photos?encryption", Some(("content-length", "0"))),
        ("PUT", "/photos/a?renameObject", Some(("x-amz-rename-source", "photos/b"))),
    ] {
        let headers: Vec<_> = more.into_iter().collect();
        let mut sent = signed(method, target, &headers);
        let target = admitted(&sent);
        let owner = HeaderValue::from_bytes(b"\xe4nne").unwrap();
        sent.headers.insert("x-amz-expected-bucket-owner", owner);
        let code = verdict_as(target.clone(), sent).await;
        assert_eq!(code, "InvalidArgument", "{method} {target:?} {more:?}");
    }
}

#[tokio::test]
async fn a_signature_opens_only_what_it_signs() {
    let mut forged = signed("GET", "/photos/a", &[]);
    forged.raw_target = "/photos/b".to_owned();
    assert_eq!(verdict(forged).await, "SignatureDoesNotMatch");
}

/// Admitted as one thing and read as another by s3s: neither is done.
#[tokio::test]
async fn a_request_that_is_read_in_two_ways_is_refused() {
    let get = admitted(&signed("GET", "/photos/a", &[]));
    for (method, target) in
        [("DELETE", "/photos/a"), ("GET", "/photos/b"), ("GET", "/photos"), ("GET", "/photo/a")]
    {
        assert_eq!(
            verdict_as(get.clone(), signed(method, target, &[])).await,
            "InternalError",
            "{method} {target}"
        );
    }
}

/// The address, the level, the list of each object: what is denied says why, for the audit log.
#[tokio::test]
async fn a_refusal_leaves_its_reason() {
    let reason = async |sent: Sent, level| {
        let (code, denied) = verdict_and_reason(admitted(&sent), sent, level).await;
        (code, denied.map(|denied| denied.to_string()))
    };
    let denied = |reason: &str| ("AccessDenied".to_owned(), Some(reason.to_owned()));
    let put = || signed("PUT", "/photos/a", &[("content-length", "0")]);
    assert_eq!(reason(put(), Level::Read).await, denied("level s3:PutObject"));
    assert_eq!(reason(put(), Level::Write).await, ("NotImplemented".to_owned(), None));
    assert_eq!(reason(signed("GET", "/photos/a", &[]), Level::Write).await, denied("level s3:GetObject"));
    assert_eq!(reason(unsigned("GET", "/photos/a", &[]), Level::Full).await, denied("no_allow s3:GetObject"));
    assert_eq!(reason(signed("GET", "/foreign", &[]), Level::Full).await, denied("no_allow s3:ListBucket"));
    // Copying reads: who may only write does not.
    let copy = signed("PUT", "/photos/a", &[("content-length", "0"), ("x-amz-copy-source", "photos/b")]);
    assert_eq!(reason(copy, Level::Write).await, denied("level s3:GetObject"));
}

/// What everybody is given needs no key; what is next to it does.
#[tokio::test]
async fn anonymous_callers_have_what_everybody_has() {
    for (method, target, code) in [
        ("GET", "/public/a", "NotImplemented"),
        ("HEAD", "/public/a", "NotImplemented"),
        ("GET", "/public/a?versionId=null", "AccessDenied"),
        ("GET", "/public/a?acl", "AccessDenied"),
        ("GET", "/public", "AccessDenied"),
        ("DELETE", "/public/a", "NotImplemented"),
        ("GET", "/foreign/open", "NotImplemented"),
        ("GET", "/foreign/open?acl", "AccessDenied"),
        ("GET", "/foreign/closed", "AccessDenied"),
        ("DELETE", "/foreign/open", "AccessDenied"),
        // Missing, and who asks may not list: no different from one that they may not read.
        ("GET", "/foreign/gone", "AccessDenied"),
        // Reading was allowed before it was looked for; the store says the rest.
        ("GET", "/public/gone", "NotImplemented"),
        // That there is no such bucket everybody may know; whose buckets there are, nobody without a name.
        ("GET", "/missing/a", "NotImplemented"),
        ("GET", "/", "AccessDenied"),
    ] {
        assert_eq!(verdict(unsigned(method, target, &[])).await, code, "{method} {target}");
    }
}

/// A source that is readable by its own list, or by its bucket's policy.
#[tokio::test]
async fn a_copy_reads_what_it_may() {
    let copy_from =
        |source| signed("PUT", "/photos/a", &[("content-length", "0"), ("x-amz-copy-source", source)]);
    for (source, code) in [
        ("public/a", "NotImplemented"),
        ("public/a?versionId=null", "AccessDenied"),
        ("foreign/open", "NotImplemented"),
        ("foreign/open?versionId=null", "NotImplemented"),
        ("foreign/closed", "AccessDenied"),
        ("foreign/gone", "AccessDenied"),
        ("missing/a", "NotImplemented"),
    ] {
        assert_eq!(verdict(copy_from(source)).await, code, "{source}");
    }
}

/// Keys are in the body: the door lets pass whom the policy may speak of, and each key is decided about behind it.
#[tokio::test]
async fn each_key_to_delete_is_decided_about() {
    let delete = |bucket: &str, key: &'static str| {
        let mut sent = unsigned("POST", &format!("/{bucket}?delete"), &[]);
        let body: &'static str = format!("<Delete><Object>{key}</Object></Delete>").leak();
        sent.headers.insert("content-length", HeaderValue::from(body.len()));
        Sent { body, ..sent }
    };
    for (bucket, key, code) in [
        ("public", "<Key>a</Key>", "NotImplemented"),
        ("public", "<Key>a</Key><VersionId>null</VersionId>", "AccessDenied"),
        ("foreign", "<Key>a</Key>", "AccessDenied"),
        ("photos", "<Key>a</Key>", "AccessDenied"),
    ] {
        assert_eq!(verdict(delete(bucket, key)).await, code, "{bucket} {key}");
    }
}
