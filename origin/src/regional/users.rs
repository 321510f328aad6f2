//! Users, as identity keeps them: rows that the store does not look into.

use s3s::S3Error;

use super::RegionalStore;
use super::rows::{Reads, UserRow};
use super::seams::Change;

impl RegionalStore {
    /// Puts a user, over the one of this access key.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn put_user(&self, user: UserRow) -> Result<(), S3Error> {
        self.commit(Change::Users, move |txn| Ok(txn.put_user(&user)?)).await
    }

    /// Removes a user; `false` if there was none.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn delete_user(&self, access_key: &str) -> Result<bool, S3Error> {
        let access_key = access_key.to_owned();
        self.commit(Change::Users, move |txn| {
            let found = txn.user(&access_key)?.is_some();
            txn.delete_user(&access_key)?;
            Ok(found)
        })
        .await
    }

    /// A user.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn user(&self, access_key: &str) -> Result<Option<UserRow>, S3Error> {
        let access_key = access_key.to_owned();
        self.read(move |rows| Ok(rows.user(&access_key)?)).await
    }

    /// All users, by access key.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn users(&self) -> Result<Vec<UserRow>, S3Error> {
        self.read(|rows| Ok(rows.users()?)).await
    }
}
