//! What each account keeps in the store, counted exactly, and how much that may be.
//!
//! Counted is what clients see: the size of every version of every object, and of every part of an unfinished upload, in
//! the buckets that the account made, whoever wrote them. A copy counts whole although it shares its source's bytes, and
//! what was deleted counts no more although its bytes stay for their grace. See ops/decisions on what an account's quota
//! counts.
//!
//! A change counts by bucket as it writes; when it has decided all, its sums go into one row an account, in the same
//! transaction.

use std::collections::BTreeMap;
use std::ops::Bound;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode};
use serde::{Deserialize, Serialize};

use super::db::{Batch, ReadRows, WriteRows};
use super::failure::Failure;
use super::rows::{Reads, encode};
use super::table::Table;
use super::txn::Txn;
use super::versions::ReadVersions;
use crate::head::{Facts, Head, Versioning};

/// What an account keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UsageRow {
    pub(super) bytes: u64,
}

/// Bytes by which a bucket holds more than before a change, and whose it is.
pub(super) struct Counted {
    owner: String,
    change: i128,
}

/// Reading what accounts keep.
pub(super) trait ReadUsage: Reads {
    /// Bytes that an account keeps.
    fn used_bytes(&self, account: &str) -> Result<u64, Failure> {
        let row: Option<UsageRow> = self.decoded(Table::Usage, account.as_bytes())?;
        Ok(row.unwrap_or_default().bytes)
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
        let change = i128::from(after) - i128::from(before);
        match self.counted.get_mut(bucket) {
            Some(counted) => counted.change += change,
            // The owner is asked for now: when all is decided the bucket may be gone.
            None => {
                let counted = Counted { owner: self.owner(bucket)?, change };
                self.counted.insert(bucket.to_owned(), counted);
            }
        }
        Ok(())
    }

    /// Puts what was counted into the rows of the accounts that own the buckets.
    ///
    /// # Errors
    /// `QuotaExceeded` when an account would keep more than before and more than `quota`.
    pub(super) fn settle_usage(&mut self, quota: Option<u64>) -> Result<(), S3Error> {
        let mut accounts: BTreeMap<String, i128> = BTreeMap::new();
        for Counted { owner, change } in std::mem::take(&mut self.counted).into_values() {
            *accounts.entry(owner).or_default() += change;
        }
        for (account, change) in accounts.into_iter().filter(|(_, change)| *change != 0) {
            let used = i128::from(self.used_bytes(&account)?) + change;
            let wrong = || Failure::Corrupt(format!("account {account} would keep {used} bytes"));
            let bytes = u64::try_from(used).map_err(|_| wrong())?;
            if change > 0 && quota.is_some_and(|quota| bytes > quota) {
                return Err(quota_exceeded());
            }
            put(self.rows, &account, bytes)?;
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
    for (account, bytes) in recount(batch, |failure| tracing::error!(%failure, "not counted"))? {
        put(batch, &account, bytes)?;
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
) -> Result<BTreeMap<String, u64>, Failure> {
    let mut damaged = |failure| match failure {
        Failure::Corrupt(_) => {
            damaged(failure);
            Ok(())
        }
        Failure::Io(_) | Failure::NotOpen => Err(failure),
    };
    let mut used = BTreeMap::new();
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
        if bytes > 0 {
            *used.entry(bucket.facts.owner).or_default() += bytes;
        }
    }
    Ok(used)
}

fn put(rows: &mut dyn WriteRows, account: &str, bytes: u64) -> Result<(), Failure> {
    match bytes {
        0 => rows.delete_row(Table::Usage, account.as_bytes()),
        bytes => rows.put_row(Table::Usage, account.as_bytes(), &encode(&UsageRow { bytes })),
    }
}

fn quota_exceeded() -> S3Error {
    let message = "The account keeps as much as it may in this region.";
    let mut error = S3Error::with_message(S3ErrorCode::Custom("QuotaExceeded".into()), message);
    error.set_status_code(StatusCode::FORBIDDEN);
    error
}
