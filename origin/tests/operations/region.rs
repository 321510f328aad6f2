//! One store in a fresh folder behind s3s, and requests to it as a client would send them, less the signature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use origin::acl::Owner;
use origin::head::BlockedEncryption;
use origin::regional::{
    Announced, Announcer, Change, Clock, OpenError, RegionalStore, RenameObjectInput, Sealing, Seams,
    Settings, Unsealed,
};
use origin::{Caller, Directory, On, Permit, Role};
use prometheus::Registry;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::{PutBucketEncryptionInput, ServerSideEncryptionConfiguration, ServerSideEncryptionRule};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3Request, S3Result, s3_error};
use tempfile::TempDir;

use crate::test_until::until;

/// 2026-11-22T12:00:00Z: when every region starts, so that no test runs into midnight.
pub(crate) const NOON_MILLIS: u64 = 1_795_348_800_000;

/// A clock that goes by itself and that tests set forward.
pub(crate) struct AheadClock {
    started: Instant,
    ahead_millis: AtomicU64,
}

impl AheadClock {
    fn new() -> Self {
        Self { started: Instant::now(), ahead_millis: AtomicU64::new(0) }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for AheadClock {
    fn now_millis(&self) -> u64 {
        NOON_MILLIS + self.elapsed().as_millis() as u64
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed() + Duration::from_millis(self.ahead_millis.load(Ordering::SeqCst))
    }
}

/// Notes what is announced.
#[derive(Default)]
pub(crate) struct Announcements(Mutex<Vec<Change>>);

impl Announcements {
    /// What was announced since this was asked.
    pub(crate) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }

    fn is_empty(&self) -> bool {
        self.0.lock().expect("no panic").is_empty()
    }
}

impl Announcer for Announcements {
    fn announce(&self, change: &Change) -> BoxFuture<'_, S3Result<Announced>> {
        self.0.lock().expect("no panic").push(change.clone());
        Box::pin(ready(Ok(Announced::NOBODY)))
    }
}

/// A region with one bucket, `photos`, of [`caller`]'s account.
pub(crate) struct Region {
    pub(crate) store: RegionalStore,
    pub(crate) clock: Arc<AheadClock>,
    /// What seals the store's key from the next start on, the newest first.
    pub(crate) sealing: SealingKeys,
    pub(crate) announcements: Arc<Announcements>,
    service: S3Service,
    settings: Settings,
    /// What the store counts since it was opened.
    counted: Registry,
    /// Removed with the region, unless the folder is somebody else's.
    dir: Option<TempDir>,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

async fn open(
    settings: Settings,
    clock: Arc<AheadClock>,
    sealing: SealingKeys,
    announcer: Arc<Announcements>,
) -> Result<(RegionalStore, Registry), OpenError> {
    let seams = Seams {
        directory: Arc::new(Accounts),
        clock,
        sealing: Some(Arc::new(sealing)),
        announcer,
        ..Seams::default()
    };
    let counted = Registry::new();
    Ok((RegionalStore::open(settings, seams, &counted).await?, counted))
}

/// Keys of 32 times the same byte. What one has sealed begins with that byte.
#[derive(Clone)]
pub(crate) struct SealingKeys(pub(crate) Vec<u8>);

impl SealingKeys {
    fn of(byte: u8) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[byte; 32]).expect("a key"))
    }
}

impl Sealing for SealingKeys {
    fn seal(&self, secret: &[u8], context: &[u8]) -> Vec<u8> {
        let newest = self.0[0];
        let mut sealed = secret.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        Self::of(newest).seal_in_place_append_tag(nonce, Aad::from(context), &mut sealed).expect("sealed");
        [&[newest], sealed.as_slice()].concat()
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Unsealed, String> {
        let (key, sealed) = sealed.split_first().ok_or("nothing is sealed")?;
        if !self.0.contains(key) {
            return Err(format!("sealed with key {key}"));
        }
        let (mut secret, nonce) = (sealed.to_vec(), Nonce::assume_unique_for_key([0; 12]));
        let opened = Self::of(*key).open_in_place(nonce, Aad::from(context), &mut secret);
        let secret = opened.map_err(|_| "altered")?.to_vec();
        Ok(Unsealed { secret, is_by_newest: *key == self.0[0] })
    }
}

/// A user of the account that owns `photos`.
pub(crate) fn caller() -> Caller {
    user_of("anne")
}

/// A user of this account.
pub(crate) fn user_of(account: &str) -> Caller {
    Caller {
        account: account.to_owned(),
        canonical_id: format!("{account}-id"),
        display_name: account.to_owned(),
        email: format!("{account}@example.com"),
        name: format!("{account}-user"),
    }
}

/// The accounts `anne`, `bob` and `carl`, as [`user_of`] makes them. `shared@example.com` is used by two.
struct Accounts;

#[async_trait]
impl Directory for Accounts {
    async fn by_id(&self, canonical_id: &str) -> S3Result<Option<Owner>> {
        let known = ["anne", "bob", "carl"].map(|account| user_of(account).as_owner());
        Ok(known.into_iter().find(|account| account.id == canonical_id))
    }

    async fn by_email(&self, email: &str) -> S3Result<Vec<Owner>> {
        let uses = |account: &&str| {
            email == "shared@example.com" && *account != "anne" || email == user_of(account).email
        };
        Ok(["anne", "bob", "carl"]
            .into_iter()
            .filter(uses)
            .map(|account| user_of(account).as_owner())
            .collect())
    }
}

/// Lets everybody do everything.
struct Everybody;

#[async_trait]
impl Permit for Everybody {
    fn decide(&self, _role: Role, _on: &On<'_>) -> S3Result<()> {
        Ok(())
    }

    fn missing(&self, _role: Role, _on: &On<'_>) -> S3Error {
        s3_error!(NoSuchKey)
    }

    fn shows_tags(&self, _on: &On<'_>) -> bool {
        true
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        Ok(true)
    }
}

/// Lets everybody do everything but to objects that have a tag `locked`.
struct UnlessLocked;

#[async_trait]
impl Permit for UnlessLocked {
    fn decide(&self, _role: Role, on: &On<'_>) -> S3Result<()> {
        let is_locked = on.head.is_some_and(|head| head.tags.iter().any(|(key, _)| key == "locked"));
        if is_locked { Err(s3_error!(AccessDenied, "Access Denied")) } else { Ok(()) }
    }

    fn missing(&self, _role: Role, _on: &On<'_>) -> S3Error {
        s3_error!(NoSuchKey)
    }

    fn shows_tags(&self, _on: &On<'_>) -> bool {
        true
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        Ok(true)
    }
}

/// Lets the caller do everything, until they are gone: when that is asked of whether anything was decided about them yet.
struct UntilGone<F> {
    is_gone: F,
    is_decided: AtomicBool,
}

impl<F: Fn(bool) -> bool> UntilGone<F> {
    fn new(is_gone: F) -> Self {
        Self { is_gone, is_decided: AtomicBool::new(false) }
    }
}

#[async_trait]
impl<F: Fn(bool) -> bool + Send + Sync> Permit for UntilGone<F> {
    fn decide(&self, _role: Role, _on: &On<'_>) -> S3Result<()> {
        self.is_decided.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        self.decide(role, on).err().unwrap_or_else(|| s3_error!(NoSuchKey))
    }

    fn shows_tags(&self, _on: &On<'_>) -> bool {
        true
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        match (self.is_gone)(self.is_decided.load(Ordering::SeqCst)) {
            true => Err(s3_error!(InvalidAccessKeyId)),
            false => Ok(true),
        }
    }
}

/// Lets the caller do everything, who is gone as soon as that is decided.
fn until_decided() -> impl Permit + 'static {
    UntilGone::new(|is_decided| is_decided)
}

/// Notes which operation a request is for, and lets none in.
#[derive(Default)]
struct NotesOperation(Arc<Mutex<String>>);

#[async_trait]
impl S3Access for NotesOperation {
    async fn check(&self, asked: &mut S3AccessContext<'_>) -> S3Result<()> {
        asked.s3_op().name().clone_into(&mut self.0.lock().expect("no panic"));
        Err(s3_error!(AccessDenied))
    }
}

/// Lets the caller do everything until they are looked at once more: from then on they are somebody who may do nothing.
#[derive(Default)]
struct ChangedSince {
    is_seen: AtomicBool,
}

#[async_trait]
impl Permit for ChangedSince {
    fn decide(&self, _role: Role, _on: &On<'_>) -> S3Result<()> {
        match self.is_seen.load(Ordering::SeqCst) {
            true => Err(s3_error!(AccessDenied)),
            false => Ok(()),
        }
    }

    fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        self.decide(role, on).err().unwrap_or_else(|| s3_error!(NoSuchKey))
    }

    fn shows_tags(&self, _on: &On<'_>) -> bool {
        true
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        Ok(self.is_seen.swap(true, Ordering::SeqCst))
    }
}

/// Lets the owner's account do everything and others nothing.
struct OwnersOnly {
    account: String,
}

#[async_trait]
impl Permit for OwnersOnly {
    fn decide(&self, _role: Role, on: &On<'_>) -> S3Result<()> {
        on.facts.verify_owner(Some(&self.account))
    }

    fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        self.decide(role, on).err().unwrap_or_else(|| s3_error!(NoSuchKey))
    }

    fn shows_tags(&self, _on: &On<'_>) -> bool {
        true
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        Ok(true)
    }
}

impl Region {
    pub(crate) async fn start() -> Self {
        let region = Self::start_empty().await;
        assert_eq!(region.send("PUT", "/photos", &[], "").await.status, StatusCode::OK);
        region
    }

    pub(crate) async fn start_empty() -> Self {
        Self::start_empty_with(|_| {}).await
    }

    /// A region without buckets, its settings chosen.
    pub(crate) async fn start_empty_with(choose: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let region = Self::open_with(dir.path(), Duration::ZERO, choose).await;
        Self { dir: Some(dir), ..region }
    }

    /// The region in this folder, as it was left, when so much time has gone by since regions start.
    pub(crate) async fn open_after(path: &Path, time: Duration) -> Self {
        Self::open_with(path, time, |_| {}).await
    }

    async fn open_with(path: &Path, time: Duration, choose: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(path, "ord1");
        choose(&mut settings);
        let clock = Arc::new(AheadClock::new());
        clock.advance(time);
        let sealing = SealingKeys(vec![1]);
        let announcements = Arc::<Announcements>::default();
        let opening = open(settings.clone(), Arc::clone(&clock), sealing.clone(), Arc::clone(&announcements));
        let (store, counted) = opening.await.expect("opened");
        let service = S3ServiceBuilder::new(store.clone()).build();
        Self { store, clock, sealing, announcements, service, settings, counted, dir: None }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopen(&mut self) {
        self.try_reopen().await.expect("opened");
    }

    /// The same, if it opens; closed otherwise.
    pub(crate) async fn try_reopen(&mut self) -> Result<(), OpenError> {
        self.store.close().await;
        let (settings, clock, sealing) =
            (self.settings.clone(), Arc::clone(&self.clock), self.sealing.clone());
        (self.store, self.counted) = open(settings, clock, sealing, Arc::clone(&self.announcements)).await?;
        self.service = S3ServiceBuilder::new(self.store.clone()).build();
        Ok(())
    }

    /// Closes the store and returns its folder.
    pub(crate) async fn close(self) -> TempDir {
        self.store.close().await;
        self.dir.expect("a folder of its own")
    }

    /// Waits until the store has made the pass of the lifecycle rules that it begins with: what goes from then on goes by
    /// passes of the test's.
    pub(crate) async fn first_pass(&self) {
        let passes = || {
            let families = self.counted.gather();
            let family = families.iter().find(|family| family.name() == "store_lifecycle_pass_seconds");
            family.expect("counted").get_metric()[0].get_histogram().get_sample_count()
        };
        until("the first pass", async || passes() > 0).await;
    }

    /// How many files there are in the store's folder.
    pub(crate) fn files_count(&self) -> usize {
        self.files().len()
    }

    /// The files in the store's folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.settings.dir.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => files.push(entry.path()),
                }
            }
        }
        files
    }

    /// Sends a request as [`caller`].
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_as(Some(caller()), method, target, headers, body).await
    }

    pub(crate) async fn send_as(
        &self,
        caller: Option<Caller>,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (headers, body) = with_length(headers, body.into());
        self.send_body(caller, method, target, headers, body).await
    }

    /// Sends a request with exactly these headers and this body.
    pub(crate) async fn send_body(
        &self,
        caller: Option<Caller>,
        method: &str,
        target: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Answer {
        let permit = caller
            .as_ref()
            .map(|caller| Arc::new(OwnersOnly { account: caller.account.clone() }) as Arc<dyn Permit>);
        self.send_permitted(caller.zip(permit), method, target, headers, body).await
    }

    /// Sends a request as `caller`, about whom `permit` decides.
    async fn send_under(
        &self,
        caller: Caller,
        permit: impl Permit + 'static,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (headers, body) = with_length(headers, body.into());
        let permit: Arc<dyn Permit> = Arc::new(permit);
        self.send_permitted(Some((caller, permit)), method, target, headers, body).await
    }

    /// Sends a request as somebody who may do everything.
    pub(crate) async fn send_let(
        &self,
        caller: Caller,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_under(caller, Everybody, method, target, headers, body).await
    }

    /// Sends a request as the owner of `photos`, who may not touch an object with a tag `locked`.
    pub(crate) async fn send_unless_locked(
        &self,
        method: &str,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_under(caller(), UnlessLocked, method, target, &[], body).await
    }

    /// Sends a request as the owner of `photos`, who is let in and may then do nothing any more.
    pub(crate) async fn send_and_lose_rights(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_under(caller(), ChangedSince::default(), method, target, headers, body).await
    }

    /// Sends a request as the owner of `photos`, who is deleted while it arrives.
    pub(crate) async fn send_and_go(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_under(caller(), UntilGone::new(|_| true), method, target, headers, body).await
    }

    /// Sends a request as the owner of `photos`, who is deleted when it is decided that they may.
    pub(crate) async fn send_and_go_once_decided(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_under(caller(), until_decided(), method, target, headers, body).await
    }

    /// Sends a request as the owner of `photos`, who is deleted while what the request changes is announced.
    pub(crate) async fn send_and_go_once_announced(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_under(caller(), self.until_announced(), method, target, headers, body).await
    }

    /// The operation that s3s takes a request for.
    pub(crate) async fn operation_of(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> String {
        let (operation, (headers, body)) = (NotesOperation::default(), with_length(headers, body.into()));
        let noted = Arc::clone(&operation.0);
        let mut service = S3ServiceBuilder::new(self.store.clone());
        // s3s asks nobody where it knows no keys.
        service.set_auth(SimpleAuth::from_single("nobody", "nothing"));
        service.set_access(operation);
        let request = request_of(method, target, headers, body);
        service.build().call(request).await.expect("answered");
        std::mem::take(&mut *noted.lock().expect("no panic"))
    }

    async fn send_permitted(
        &self,
        asker: Option<(Caller, Arc<dyn Permit>)>,
        method: &str,
        target: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Answer {
        let mut request = request_of(method, target, headers, body);
        if let Some((caller, permit)) = asker {
            request.extensions_mut().insert(permit);
            request.extensions_mut().insert(caller);
        }
        let (head, body) = self.service.call(request).await.expect("answered").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Renames an object, past s3s, which has no such operation.
    pub(crate) async fn rename(
        &self,
        caller: Caller,
        input: RenameObjectInput,
        headers: HeaderMap,
    ) -> S3Result<()> {
        self.store.rename_object(past_s3s(caller, input, headers)).await.map(|_| ())
    }

    /// Renames an object as the owner of `photos`, who is deleted while the change is announced.
    pub(crate) async fn rename_and_go(&self, input: RenameObjectInput, headers: HeaderMap) -> S3Result<()> {
        self.rename_under(self.until_announced(), input, headers).await
    }

    /// Renames an object as the owner of `photos`, who is deleted when it is decided that they may.
    pub(crate) async fn rename_and_go_once_decided(
        &self,
        input: RenameObjectInput,
        headers: HeaderMap,
    ) -> S3Result<()> {
        self.rename_under(until_decided(), input, headers).await
    }

    /// Renames an object as the owner of `photos`, about whom `permit` decides.
    async fn rename_under(
        &self,
        permit: impl Permit + 'static,
        input: RenameObjectInput,
        headers: HeaderMap,
    ) -> S3Result<()> {
        let permit: Arc<dyn Permit> = Arc::new(permit);
        let mut request = past_s3s(caller(), input, headers);
        request.extensions.insert(permit);
        self.store.rename_object(request).await.map(|_| ())
    }

    /// Lets the caller do everything, who is gone as soon as a change is announced.
    fn until_announced(&self) -> impl Permit + 'static {
        self.announcements.take();
        let announcements = Arc::clone(&self.announcements);
        UntilGone::new(move |_| !announcements.is_empty())
    }

    /// Says what encryption `photos` blocks and nothing else of it, past s3s, which has no field for that.
    pub(crate) async fn block_encryption(&self, blocked: BlockedEncryption) {
        let rules = vec![ServerSideEncryptionRule::default()];
        let input = PutBucketEncryptionInput {
            bucket: "photos".to_owned(),
            checksum_algorithm: None,
            content_md5: None,
            expected_bucket_owner: None,
            server_side_encryption_configuration: ServerSideEncryptionConfiguration { rules },
        };
        let mut request = past_s3s(caller(), input, HeaderMap::new());
        request.extensions.insert(blocked);
        self.store.put_bucket_encryption(request).await.expect("blocked");
    }

    pub(crate) async fn put(&self, key: &str, body: impl Into<Bytes>) -> Answer {
        self.put_with(key, body, &[]).await.ok()
    }

    pub(crate) async fn put_with(
        &self,
        key: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send("PUT", &format!("/photos/{key}"), headers, body).await
    }

    pub(crate) async fn get(&self, key: &str) -> Answer {
        self.get_with(key, &[]).await
    }

    pub(crate) async fn get_with(&self, key: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", &format!("/photos/{key}"), headers, "").await
    }

    /// Starts an upload and returns its id.
    pub(crate) async fn start_upload(&self, key: &str, headers: &[(&str, &str)]) -> String {
        self.send("POST", &format!("/photos/{key}?uploads"), headers, "").await.ok().element("UploadId")
    }

    pub(crate) async fn put_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u32,
        body: impl Into<Bytes>,
    ) -> Answer {
        let target = format!("/photos/{key}?partNumber={number}&uploadId={upload_id}");
        self.send("PUT", &target, &[], body).await
    }

    /// Finishes an upload of these parts: number and ETag.
    pub(crate) async fn complete(&self, key: &str, upload_id: &str, parts: &[(u32, &str)]) -> Answer {
        self.complete_with(key, upload_id, parts, &[]).await
    }

    pub(crate) async fn complete_with(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[(u32, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let parts = parts.iter().map(|(number, etag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let body =
            format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
        self.send("POST", &format!("/photos/{key}?uploadId={upload_id}"), headers, body).await
    }

    /// The elements `name` of a listing of `photos`, in order.
    pub(crate) async fn list(&self, query: &str, name: &str) -> Vec<String> {
        self.send("GET", &format!("/photos?{query}"), &[], "").await.ok().elements(name)
    }
}

/// A request as it comes from s3s.
fn past_s3s<T>(caller: Caller, input: T, headers: HeaderMap) -> S3Request<T> {
    let mut extensions = Extensions::new();
    extensions.insert::<Arc<dyn Permit>>(Arc::new(OwnersOnly { account: caller.account.clone() }));
    extensions.insert(caller);
    S3Request {
        input,
        method: Method::PUT,
        uri: Uri::default(),
        headers,
        extensions,
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

fn request_of(method: &str, target: &str, headers: HeaderMap, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
    *request.uri_mut() = target.parse().expect("a target");
    *request.headers_mut() = headers;
    request
}

fn with_length(headers: &[(&str, &str)], body: Bytes) -> (HeaderMap, Body) {
    let mut all = HeaderMap::new();
    all.insert("content-length", HeaderValue::from(body.len()));
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header name");
        all.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    (all, Body::from(body))
}

impl Answer {
    /// The answer, if it is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }

    /// Status and S3's error code.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.elements("Code").first().cloned().unwrap_or_default())
    }

    /// The text of every element of this name, in order. Good for XML that s3s has written.
    pub(crate) fn elements(&self, name: &str) -> Vec<String> {
        let (text, open, close) = (self.text(), format!("<{name}>"), format!("</{name}>"));
        text.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0.to_owned())).collect()
    }

    pub(crate) fn element(&self, name: &str) -> String {
        self.elements(name).into_iter().next().unwrap_or_default()
    }

    /// The user metadata.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let metadata = self.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix("x-amz-meta-")?.to_owned(), value.to_str().ok()?.to_owned()))
        });
        metadata.collect()
    }
}

/// Bytes that differ from page to page.
pub(crate) fn bytes(count: usize) -> Bytes {
    static MADE: LazyLock<Bytes> = LazyLock::new(|| make(6 << 20));
    if count <= MADE.len() { MADE.slice(..count) } else { make(count) }
}

fn make(count: usize) -> Bytes {
    (0..count).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

/// MD5 in hex: the ETag of an object put whole, without quotes.
pub(crate) fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    hex::encode(md5::Md5::digest(bytes))
}
