//! Waiting, in tests, for what happens on other threads and tasks.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take that is waited for: far longer than it does on a slow and busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Waits until `is_so` says that it is.
///
/// # Panics
/// When it is not in good time; `awaited` says what was waited for.
pub(crate) async fn until(awaited: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(WITHIN, waiting).await.is_ok(), "not within {WITHIN:?}: {awaited}");
}
