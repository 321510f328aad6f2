//! Users, as identity keeps them: rows that the store does not look into.

use s3s::S3Error;

use super::RegionalStore;
use super::rows::{Reads, UserRow};
use super::seams::Change;

impl RegionalStore {
    /// Removes the users of the access keys in `removed`, and puts those in `put` over the ones of their access keys,
    /// all in one commit.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn change_users(&self, put: Vec<UserRow>, removed: Vec<String>) -> Result<(), S3Error> {
        let access_keys =
            put.iter().map(|user| user.access_key.clone()).chain(removed.iter().cloned()).collect();
        self.commit(Change::Users(access_keys), move |txn| {
            for access_key in &removed {
                txn.delete_user(access_key)?;
            }
            for user in &put {
                txn.put_user(user)?;
            }
            Ok(())
        })
        .await
    }

    /// A user.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn user(&self, access_key: &str) -> Result<Option<UserRow>, S3Error> {
        let access_key = access_key.to_owned();
        self.read_few(move |rows| Ok(rows.user(&access_key)?)).await
    }

    /// All users, by access key.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn users(&self) -> Result<Vec<UserRow>, S3Error> {
        self.read(|rows| Ok(rows.users()?)).await
    }
}
