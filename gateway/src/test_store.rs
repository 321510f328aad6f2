//! A store with one bucket of one account, for tests of what stands in front of stores.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use origin::regional::{RegionalStore, Seams, Settings};
use origin::{Caller, On, Permit, Role};
use prometheus::Registry;
use s3s::dto::{CreateBucketInput, DeleteObjectInput, PutObjectInput, StreamingBlob};
use s3s::{Body, S3, S3Error, S3Request, S3Result, s3_error};
use tempfile::TempDir;

use crate::coherence::Sessions;
use crate::identity::Accounts;

/// The one bucket.
pub(crate) const BUCKET: &str = "photos";

/// The account that owns it.
pub(crate) const ACCOUNT: &str = "studio";

/// An open store in a fresh folder.
pub(crate) struct TestStore {
    pub(crate) store: RegionalStore,
    _dir: TempDir,
}

impl TestStore {
    /// The store of ord1, with [`BUCKET`] in it, and `sessions` about it, and about users where there are `accounts`.
    pub(crate) async fn open_with(sessions: &Arc<Sessions>, accounts: Option<Arc<Accounts>>) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let settings = Settings::new(dir.path(), "ord1");
        let seams = Seams { announcer: sessions.clone(), ..Seams::default() };
        let store = RegionalStore::open(settings, seams, &Registry::new()).await.expect("store");
        sessions.begin(&store, accounts).await.expect("sessions");
        create_bucket(&store, BUCKET, ACCOUNT).await;
        Self { store, _dir: dir }
    }

    /// PutObject.
    pub(crate) async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let input = PutObjectInput {
            bucket: BUCKET.into(),
            key: key.into(),
            content_length: Some(bytes.len() as i64),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            ..PutObjectInput::default()
        };
        self.store.put_object(request(input)).await.expect("put");
    }

    /// DeleteObject.
    pub(crate) async fn delete(&self, key: &str) {
        let input =
            DeleteObjectInput { bucket: BUCKET.into(), key: key.into(), ..DeleteObjectInput::default() };
        self.store.delete_object(request(input)).await.expect("delete");
    }
}

/// CreateBucket by a user of `account`.
pub(crate) async fn create_bucket(store: &RegionalStore, bucket: &str, account: &str) {
    let input = CreateBucketInput { bucket: bucket.into(), ..CreateBucketInput::default() };
    let mut request = request(input);
    let caller = Caller::of(&request.extensions).expect("every request here has one").clone();
    request.extensions.insert(Caller { account: account.into(), ..caller });
    store.create_bucket(request).await.expect("bucket");
}

/// Lets everything through: what is tested stands in front of the store.
struct Everything;

#[async_trait]
impl Permit for Everything {
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

fn request<T>(input: T) -> S3Request<T> {
    let mut extensions = http::Extensions::new();
    extensions.insert::<Arc<dyn Permit>>(Arc::new(Everything));
    extensions.insert(Caller {
        account: ACCOUNT.into(),
        canonical_id: "ab".repeat(32),
        display_name: ACCOUNT.into(),
        email: String::new(),
        name: "tester".into(),
    });
    S3Request {
        input,
        method: http::Method::PUT,
        uri: http::Uri::from_static("/"),
        headers: http::HeaderMap::new(),
        extensions,
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}
