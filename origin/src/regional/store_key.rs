//! The store's own key, for objects that are encrypted and no client brings a key for (SSE-S3).
//!
//! It is random, made when the store is first opened with something to seal it, and never another one afterwards: what it
//! has encrypted is for it alone to open. It lies in the metadata file sealed, so that a copied directory opens nothing,
//! and a start seals it anew once there is a newer key to seal with.

use std::path::Path;

use zeroize::Zeroizing;

use super::db::{Db, ReadRows as _, WriteRows as _};
use super::disk::OpenError;
use super::failure::Failure;
use super::seams::{Seams, Unsealed};
use super::table::Table;
use crate::encryption::StoreKey;

/// The key's row.
const SEALED_KEY: &[u8] = b"sealed_key";

/// The key of the store of `region` in `dir`, made if there is none yet; none where nothing seals it.
///
/// # Errors
/// [`OpenError::Key`] when it does not open; the others when the disk fails.
pub(super) fn open(db: &Db, seams: &Seams, dir: &Path, region: &str) -> Result<StoreKey, OpenError> {
    let Some(sealing) = &seams.sealing else { return Ok(StoreKey::NONE) };
    let failed = OpenError::of(dir);
    let shut = |cause: String| OpenError::Key { dir: dir.to_path_buf(), cause };
    let context = [b"penstock store key\0", region.as_bytes()].concat();
    let put = |key: &[u8; 32]| put(db, &sealing.seal(key, &context)).map_err(&failed);
    let stored = db.snapshot().and_then(|rows| rows.row(Table::Store, SEALED_KEY)).map_err(&failed)?;
    let mut key = Zeroizing::new([0; 32]);
    match stored {
        None => {
            seams.random.fill(&mut *key);
            put(&key)?;
        }
        Some(sealed) => {
            let Unsealed { secret, is_by_newest } = sealing.open(&sealed, &context).map_err(shut)?;
            let secret = Zeroizing::new(secret);
            let opened: &[u8; 32] =
                secret.as_slice().try_into().map_err(|_| shut("it does not have 256 bits".to_owned()))?;
            *key = *opened;
            if !is_by_newest {
                put(&key)?;
            }
        }
    }
    Ok(StoreKey::new(key))
}

fn put(db: &Db, sealed: &[u8]) -> Result<(), Failure> {
    db.write(|batch| {
        batch.put_row(Table::Store, SEALED_KEY, sealed)?;
        batch.keep();
        Ok(())
    })
}
