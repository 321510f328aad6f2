//! What the store takes from outside so that tests can move it: time, randomness, faults, and whoever must be
//! told before a change is committed.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use ring::rand::SecureRandom;
use s3s::S3Result;

use crate::acl::Owner;
use crate::directory::Directory;

/// Everything the store takes from outside. The default is the real thing, with nobody to clear and nobody known.
#[derive(Clone)]
pub struct Seams {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Fills ids with random bytes.
    pub random: Arc<dyn Random>,
    /// Is told of every change before its commit.
    pub announcer: Arc<dyn Announcer>,
    /// Knows the accounts that lists name.
    pub directory: Arc<dyn Directory>,
    /// Seals what the store keeps secret. Without it the store encrypts nothing but under keys of clients.
    pub sealing: Option<Arc<dyn Sealing>>,
    /// Breaks disks on purpose.
    pub faults: Arc<dyn Faults>,
}

impl Default for Seams {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom(ring::rand::SystemRandom::new())),
            announcer: Arc::new(NobodyToClear),
            directory: Arc::new(NobodyKnown),
            sealing: None,
            faults: Arc::new(NoFaults),
        }
    }
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

/// Two clocks: one for people, one for waiting.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, for times that clients see.
    fn now_millis(&self) -> u64;
    /// Time since some fixed moment. Never runs backwards and counts suspended time.
    fn elapsed(&self) -> Duration;
}

struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> u64 {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(now).unwrap_or_default()
    }
}

/// A source of unguessable bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

struct SystemRandom(ring::rand::SystemRandom);

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the kernel gives random bytes");
    }
}

/// What a commit is about to change, as far as caches of heads and facts are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that a cached head or cached facts show, such as a part of an unfinished upload.
    Nothing,
    /// These keys of one bucket.
    Keys {
        /// The bucket's name.
        bucket: String,
        /// The keys.
        keys: Vec<String>,
    },
    /// The bucket itself and every key in it.
    Bucket(String),
    /// The users of these access keys.
    Users(Vec<String>),
}

/// Whoever may hold heads, facts or users that a commit makes old.
pub trait Announcer: Send + Sync {
    /// Returns once nobody will answer from what `change` makes old. Called after the change is staged durably and
    /// before it is committed, at the same time for many changes; the commit may still be refused. The change counts
    /// as announced from this call until what it returns is dropped, which is once the commit is visible or refused.
    ///
    /// # Errors
    /// When the change cannot be made now; nothing of it is committed then.
    fn announce(&self, change: &Change) -> BoxFuture<'_, S3Result<Announced>>;
}

/// A change that was announced, for as long as it may become visible at any moment.
pub struct Announced {
    _until_dropped: Option<Box<dyn Send>>,
}

impl Announced {
    /// To nobody: nobody asks when the change is over.
    pub const NOBODY: Self = Self { _until_dropped: None };

    /// The change is over when `interval` is dropped.
    pub fn during(interval: impl Send + 'static) -> Self {
        Self { _until_dropped: Some(Box::new(interval)) }
    }
}

struct NobodyToClear;

impl Announcer for NobodyToClear {
    fn announce(&self, _change: &Change) -> BoxFuture<'_, S3Result<Announced>> {
        Box::pin(std::future::ready(Ok(Announced::NOBODY)))
    }
}

struct NobodyKnown;

#[async_trait]
impl Directory for NobodyKnown {
    async fn by_id(&self, _canonical_id: &str) -> S3Result<Option<Owner>> {
        Ok(None)
    }

    async fn by_email(&self, _email: &str) -> S3Result<Vec<Owner>> {
        Ok(Vec::new())
    }
}

/// Seals secrets, so that only who has its key reads them in what the store writes down.
pub trait Sealing: Send + Sync {
    /// `secret` sealed by the newest key, bound to `context`.
    fn seal(&self, secret: &[u8], context: &[u8]) -> Vec<u8>;

    /// The secret in `sealed`, which must have been sealed with this very `context`.
    ///
    /// # Errors
    /// What is in the way, in words for the operator.
    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Unsealed, String>;
}

/// A secret that was sealed.
pub struct Unsealed {
    /// The secret.
    pub secret: Vec<u8>,
    /// Whether the newest key has sealed it.
    pub is_by_newest: bool,
}

/// A place where a disk can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskStep {
    /// A data file is made.
    CreateFile,
    /// Bytes are written to a data file.
    WriteFile,
    /// A data file is synced.
    SyncFile,
    /// A directory is synced.
    SyncDirectory,
    /// Bytes are read from a data file.
    ReadFile,
    /// A data file is removed.
    RemoveFile,
    /// A page of the metadata file is read.
    ReadMetadata,
    /// A page of the metadata file is written.
    WriteMetadata,
    /// The metadata file is synced.
    SyncMetadata,
    /// The disk is asked how much room it has; it has none where this fails.
    AskRoom,
}

/// Asked before every step on the disk.
pub trait Faults: Send + Sync {
    /// # Errors
    /// The error that the step shall fail with.
    fn before(&self, step: DiskStep) -> io::Result<()>;

    /// Asked before these bytes of the metadata file are read; is [`DiskStep::ReadMetadata`] wherever they are, if nothing
    /// else is said.
    ///
    /// # Errors
    /// As [`Self::before`].
    fn before_metadata(&self, _bytes: Range<u64>) -> io::Result<()> {
        self.before(DiskStep::ReadMetadata)
    }
}

struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _step: DiskStep) -> io::Result<()> {
        Ok(())
    }
}
