//! Waiting for what mostly need not be waited for.
//!
//! tokio's own timeout reads the clock and makes a timer before it looks. A hit does neither: its head is there and the
//! socket takes its answer.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use tokio::time::timeout;

/// What `future` gives; `None` where it has not come when it has been waited for as long as `allowance`.
pub(crate) async fn at_most<F: Future>(allowance: Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
    match poll!(&mut future) {
        Poll::Ready(given) => Some(given),
        Poll::Pending => timeout(allowance, future).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn what_comes_in_time_is_given_and_what_does_not_is_given_up() {
        let (no_time, some, much) = (Duration::ZERO, Duration::from_millis(10), Duration::from_secs(600));
        assert_eq!(at_most(no_time, pin!(ready(1))).await, Some(1));
        assert_eq!(at_most(much, pin!(yield_now())).await, Some(()));
        assert_eq!(at_most(some, pin!(pending::<()>())).await, None);
    }
}
