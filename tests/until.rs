//! Waiting for what happens elsewhere, and saying what did not.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take that is waited for: far longer than it does on a slow and busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `is_so` says that it is.
///
/// # Panics
/// When it is not in good time; `awaited` says what was waited for.
pub async fn until(awaited: &str, mut is_so: impl AsyncFnMut() -> bool) {
    until_some(awaited, async || is_so().await.then_some(())).await;
}

/// Waits until `look` finds something, and returns it.
///
/// # Panics
/// As [`until`] does.
pub async fn until_some<T>(awaited: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually(look).await.unwrap_or_else(|| panic!("not within {WITHIN:?}: {awaited}"))
}

/// What `look` finds in good time, for who says by themselves what was wrong.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => sleep(PAUSE).await,
            }
        }
    };
    timeout(WITHIN, looking).await.ok()
}
