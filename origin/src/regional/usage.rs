//! What each account keeps in the store, counted exactly, and how much that may be.
//!
//! Counted is what clients see: the size of every version of every object, and of every part of an unfinished upload, in
//! the buckets that the account made, whoever wrote them. A copy counts whole although it shares its source's bytes, and
//! what was deleted counts no more although its bytes stay for their grace. See ops/decisions on what an account's quota
//! counts.
//!
//! A change counts by bucket as it writes; when it has decided all, its sums go into one row an account, in the same
//! transaction. How many buckets an account has is in that row too.

use std::collections::BTreeMap;
use std::ops::Bound;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};
use serde::{Deserialize, Serialize};

use super::db::{Batch, ReadRows, WriteRows};
use super::failure::Failure;
use super::rows::{Bucket, Reads, encode};
use super::table::Table;
use super::txn::Txn;
use super::versions::ReadVersions;
use crate::head::{Facts, Head, Versioning};

/// What an account keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UsageRow {
    pub(super) bytes: u64,
    /// Rows of before buckets were counted have none.
    #[serde(default)]
    pub(super) buckets: u64,
}

/// What an account may keep; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quota {
    pub(super) bytes: Option<u64>,
    pub(super) buckets: Option<u64>,
}

/// By how much a bucket makes its account keep more than before a change, and whose it is.
pub(super) struct Counted {
    owner: String,
    bytes: i128,
    /// One for a bucket that was made, and less one for one that was removed.
    buckets: i128,
}

/// Reading what accounts keep.
pub(super) trait ReadUsage: Reads {
    /// Bytes that an account keeps.
    fn used_bytes(&self, account: &str) -> Result<u64, Failure> {
        Ok(self.usage(account)?.bytes)
    }

    /// What an account keeps.
    fn usage(&self, account: &str) -> Result<UsageRow, Failure> {
        Ok(self.decoded(Table::Usage, account.as_bytes())?.unwrap_or_default())
    }

    /// Decides before anybody is told of a new bucket whether its account may have one more: it is decided for good when it is
    /// committed.
    ///
    /// # Errors
    /// `TooManyBuckets`.
    fn verify_room_for_bucket(&self, account: &str, quota: Option<u64>) -> Result<(), S3Error> {
        match quota {
            Some(quota) if self.usage(account)?.buckets >= quota => Err(too_many_buckets()),
            Some(_) | None => Ok(()),
        }
    }

    /// Decides before bytes are taken whether there would be room for them: it is decided for good when they are
    /// committed.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    fn verify_room(
        &self,
        account: &str,
        quota: Option<u64>,
        added: u64,
        replaced: u64,
    ) -> Result<(), S3Error> {
        let Some(quota) = quota.filter(|_| added > replaced) else { return Ok(()) };
        let used = self.used_bytes(account)?.saturating_add(added - replaced);
        if used > quota { Err(quota_exceeded()) } else { Ok(()) }
    }

    /// The same of an object of `added` bytes in place of `replaced`, in the bucket of these facts.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    fn verify_room_for_object(
        &self,
        facts: &Facts,
        quota: Option<u64>,
        added: u64,
        replaced: Option<&Head>,
    ) -> Result<(), S3Error> {
        let replaced = match facts.versioning {
            Versioning::Never => replaced.map_or(0, |replaced| replaced.bytes),
            Versioning::Enabled => 0,
            // What makes way may be a null version that is not current: the commit knows.
            Versioning::Suspended => return Ok(()),
        };
        self.verify_room(&facts.owner, quota, added, replaced)
    }
}

impl<R: ReadRows + ?Sized> ReadUsage for R {}

impl Txn<'_> {
    /// Counts bytes that a change adds to a bucket, or takes from it: `after` in place of `before`.
    pub(super) fn count_bytes(&mut self, bucket: &str, before: u64, after: u64) -> Result<(), Failure> {
        if before == after {
            return Ok(());
        }
        self.counted(bucket)?.bytes += i128::from(after) - i128::from(before);
        Ok(())
    }

    /// Puts a bucket, over the one of this name.
    pub(crate) fn put_bucket(&mut self, name: &str, bucket: &Bucket) -> Result<(), Failure> {
        let is_new = self.rows.row(Table::Buckets, name.as_bytes())?.is_none();
        self.rows.put_row(Table::Buckets, name.as_bytes(), &encode(bucket))?;
        if is_new {
            self.counted(name)?.buckets += 1;
        }
        Ok(())
    }

    /// Removes a bucket's row. That it is empty is the caller's to have asked.
    pub(crate) fn delete_bucket(&mut self, name: &str) -> Result<(), Failure> {
        self.counted(name)?.buckets -= 1;
        self.rows.delete_row(Table::Buckets, name.as_bytes())
    }

    /// What was counted of a bucket, which is there.
    fn counted(&mut self, bucket: &str) -> Result<&mut Counted, Failure> {
        if !self.counted.contains_key(bucket) {
            // The owner is decoded once a bucket, now: when all is decided the bucket may be gone.
            let counted = Counted { owner: self.owner(bucket)?, bytes: 0, buckets: 0 };
            self.counted.insert(bucket.to_owned(), counted);
        }
        Ok(self.counted.get_mut(bucket).expect("put there just now"))
    }

    /// Puts what was counted into the rows of the accounts that own the buckets.
    ///
    /// # Errors
    /// `QuotaExceeded` and `TooManyBuckets` when an account would keep more than before and more than `quota`.
    pub(super) fn settle_usage(&mut self, quota: Quota) -> Result<(), S3Error> {
        let mut accounts: BTreeMap<String, (i128, i128)> = BTreeMap::new();
        for Counted { owner, bytes, buckets } in std::mem::take(&mut self.counted).into_values() {
            let account = accounts.entry(owner).or_default();
            *account = (account.0 + bytes, account.1 + buckets);
        }
        for (account, (more_bytes, more_buckets)) in accounts {
            if (more_bytes, more_buckets) == (0, 0) {
                continue;
            }
            let before = self.usage(&account)?;
            let add = |used: u64, more: i128, what: &str| {
                let used = i128::from(used) + more;
                let wrong = |_| Failure::Corrupt(format!("account {account} would keep {used} {what}"));
                u64::try_from(used).map_err(wrong)
            };
            let bytes = add(before.bytes, more_bytes, "bytes")?;
            let buckets = add(before.buckets, more_buckets, "buckets")?;
            if more_bytes > 0 && quota.bytes.is_some_and(|quota| bytes > quota) {
                return Err(quota_exceeded());
            }
            if more_buckets > 0 && quota.buckets.is_some_and(|quota| buckets > quota) {
                return Err(too_many_buckets());
            }
            put(self.rows, &account, UsageRow { bytes, buckets })?;
        }
        Ok(())
    }

    /// The account that made a bucket.
    fn owner(&self, bucket: &str) -> Result<String, Failure> {
        let missing = || Failure::Corrupt(format!("bucket {bucket} is missing"));
        Ok(self.bucket(bucket)?.ok_or_else(missing)?.facts.owner)
    }
}

/// Counts everything in a store that has not been counted. What is damaged is not: nothing will ever remove it.
pub(super) fn count_all(batch: &mut Batch<'_>) -> Result<(), Failure> {
    for (account, used) in recount(batch, |failure| tracing::error!(%failure, "not counted"))? {
        put(batch, &account, used)?;
    }
    Ok(())
}

/// Counts the buckets in a store that has counted bytes alone. A row that is damaged stays as it is.
pub(super) fn count_buckets(batch: &mut Batch<'_>) -> Result<(), Failure> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for bucket in batch.buckets(None)? {
        match bucket {
            Ok((_, bucket)) => *counts.entry(bucket.facts.owner).or_default() += 1,
            Err(failure @ Failure::Corrupt(_)) => tracing::error!(%failure, "not counted"),
            Err(failure @ (Failure::Io(_) | Failure::NotOpen | Failure::Closed)) => return Err(failure),
        }
    }
    for (account, buckets) in counts {
        match batch.used_bytes(&account) {
            Ok(bytes) => put(batch, &account, UsageRow { bytes, buckets })?,
            Err(failure @ Failure::Corrupt(_)) => tracing::error!(account, %failure, "not counted"),
            Err(failure @ (Failure::Io(_) | Failure::NotOpen | Failure::Closed)) => return Err(failure),
        }
    }
    Ok(())
}

/// What each account keeps, from the rows themselves; those that are not what was written are told to `damaged`.
///
/// # Errors
/// Where the disk refuses: what it holds is not known, and must not count as nothing.
pub(super) fn recount<R: ReadRows>(
    rows: &R,
    mut damaged: impl FnMut(Failure),
) -> Result<BTreeMap<String, UsageRow>, Failure> {
    let mut damaged = |failure| match failure {
        Failure::Corrupt(_) => {
            damaged(failure);
            Ok(())
        }
        Failure::Io(_) | Failure::NotOpen | Failure::Closed => Err(failure),
    };
    let mut used: BTreeMap<String, UsageRow> = BTreeMap::new();
    for bucket in rows.buckets(None)? {
        let (name, bucket) = match bucket {
            Ok(bucket) => bucket,
            Err(failure) => {
                damaged(failure)?;
                continue;
            }
        };
        let objects = rows.objects(&name, Bound::Unbounded)?.map(|row| row.map(|(_, head)| head.bytes));
        let older = rows.older_from(&name, Bound::Unbounded, None)?;
        let older =
            older.map(|row| row.map(|(_, placed)| placed.version.object().map_or(0, |head| head.bytes)));
        let mut parts = Vec::new();
        for upload in rows.uploads(&name, Bound::Unbounded)? {
            match upload {
                Ok((_, upload_id, _)) => {
                    parts.extend(rows.parts(&upload_id, 0)?.map(|row| row.map(|(_, part)| part.bytes)));
                }
                Err(failure) => damaged(failure)?,
            }
        }
        let all = objects.chain(older).chain(parts);
        let mut bytes = 0;
        for row in all {
            match row {
                Ok(row) => bytes += row,
                Err(failure) => damaged(failure)?,
            }
        }
        let account = used.entry(bucket.facts.owner).or_default();
        *account = UsageRow { bytes: account.bytes + bytes, buckets: account.buckets + 1 };
    }
    Ok(used)
}

fn put(rows: &mut dyn WriteRows, account: &str, used: UsageRow) -> Result<(), Failure> {
    match used {
        UsageRow { bytes: 0, buckets: 0 } => rows.delete_row(Table::Usage, account.as_bytes()),
        used => rows.put_row(Table::Usage, account.as_bytes(), &encode(&used)),
    }
}

fn too_many_buckets() -> S3Error {
    s3_error!(TooManyBuckets, "You have attempted to create more buckets than allowed")
}

fn quota_exceeded() -> S3Error {
    let message = "The account keeps as much as it may in this region.";
    let mut error = S3Error::with_message(S3ErrorCode::Custom("QuotaExceeded".into()), message);
    error.set_status_code(StatusCode::FORBIDDEN);
    error
}
