//! Whether a store goes on where the one before it left off, or was put in its place: out of a backup, most likely.
//!
//! A store counts its starts, and the node notes the count beside it. One that was put back has counted less. It knows nothing
//! of the leases that were granted since, and nodes that hold them nothing of it: what they keep is not what it has.

use std::fs;
use std::path::{Path, PathBuf};

use origin::regional::{LeaseClass, RegionalStore};
use s3s::S3Result;
use tracing::warn;

use crate::coherence;

/// Sees to it that no other node answers for `store`, which was just opened, with what one in its place had told: returns
/// once leases over objects have run out, if it is another store than the one before in `directory`. Changes of users wait
/// for theirs as after any start.
///
/// # Errors
/// Of the store. A note that cannot be made costs the next start that wait.
pub(super) async fn settle(
    directory: &Path,
    store: &RegionalStore,
    settings: &coherence::Settings,
) -> S3Result<()> {
    let epoch = store.epoch();
    if !goes_on(noted(directory), epoch) {
        store.note_longest_lease(LeaseClass::Users, settings.users_lease).await?;
        let wait = settings.lease + settings.margin;
        warn!(
            ?directory,
            epoch,
            ?wait,
            "the store is another than before: leases on that one are waited out"
        );
        tokio::time::sleep(wait).await;
    }
    if let Err(error) = fs::write(noted_in(directory), format!("{epoch}\n")) {
        warn!(%error, ?directory, "the store's epoch was not noted");
    }
    Ok(())
}

/// Whether `epoch` follows the one that was noted. Without a note a store is believed to be new if it is.
fn goes_on(noted: Option<u64>, epoch: u64) -> bool {
    noted.unwrap_or(0).checked_add(1) == Some(epoch)
}

/// A file that cannot be read or parsed says nothing.
fn noted(directory: &Path) -> Option<u64> {
    fs::read_to_string(noted_in(directory)).ok()?.trim().parse().ok()
}

fn noted_in(directory: &Path) -> PathBuf {
    directory.join("store.epoch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_epoch_goes_on_and_any_other_does_not() {
        assert!(goes_on(None, 1) && goes_on(Some(1), 2) && goes_on(Some(41), 42));
        assert!(!goes_on(None, 2), "nobody knows what was here");
        for another in [0, 1, 40, 41, 43] {
            assert!(!goes_on(Some(41), another), "{another}");
        }
        assert!(!goes_on(Some(u64::MAX), 0));
    }
}
