//! The longest leases that owners of this store have granted: who starts after one of them waits as long before it
//! changes what a node may still answer from.

use std::time::Duration;

use s3s::S3Error;

use super::RegionalStore;
use super::commit::Growth;
use super::db::ReadRows;
use super::table::Table;
use super::txn::Txn;

/// What a lease is of. Each kind has a length of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeaseClass {
    /// Heads and facts.
    Objects,
    /// Users.
    Users,
}

impl LeaseClass {
    /// Every class.
    pub const ALL: [Self; 2] = [Self::Objects, Self::Users];

    /// The class's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Users => "users",
        }
    }

    const fn row_key(self) -> &'static [u8] {
        match self {
            Self::Objects => b"lease_objects",
            Self::Users => b"lease_users",
        }
    }
}

impl RegionalStore {
    /// The longest lease of `class` that may be in force. Zero when none was ever granted, or all are known to be over.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn longest_lease(&self, class: LeaseClass) -> Result<Duration, S3Error> {
        self.read(move |rows| Ok(Duration::from_millis(rows.0.store_number(class.row_key())?))).await
    }

    /// Notes the longest lease of `class` that may be in force from now on. It is durable when this returns: a longer
    /// lease than the one noted is granted after that, and a shorter one is noted once the longer are over.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn note_longest_lease(&self, class: LeaseClass, longest: Duration) -> Result<(), S3Error> {
        // Up to the next millisecond: never less than was granted.
        let millis = u64::try_from(longest.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        // However full the disk is: without the note nothing can be removed either.
        let put = move |txn: &mut Txn<'_>| {
            Ok(txn.rows.put_row(Table::Store, class.row_key(), &millis.to_be_bytes())?)
        };
        self.writer()?.submit(Growth::Free, put).await
    }
}
