//! Rule 11: a response in progress renews the grace of its instance, also where all that it has sent was here already.
//!
//! Its owner keeps the bytes of an overwritten object for those who have begun to read them, and hears of a reader only from
//! fills. A slow client of a cached object may outlast that, and then come to a block that is not here. So while a response
//! goes on, its instance is looked after a few times in each grace: what is current under a live session needs nothing; of
//! anything else one page is read at its owner, which counts as a reader there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cache::{Instance, Purpose, Source};
use futures::TryStreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::debug;

use super::Granted;
use super::heads::ObjectName;
use super::owner::Owner;
use crate::peer::messages::FullHead;

/// So often in one grace: two may fail.
const RENEWALS_PER_GRACE: u32 = 3;

/// No more often than this: nothing is removed sooner.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The instance of a response in progress.
pub(super) struct Renewal {
    owner: Arc<Owner>,
    name: ObjectName,
    object: Arc<FullHead>,
    every: Duration,
}

impl Renewal {
    pub(super) fn new(granted: &Granted, grace: Duration) -> Self {
        let Granted { owner, name, object, .. } = granted;
        let (owner, name, object) = (owner.clone(), name.clone(), object.clone());
        Self { owner, name, object, every: (grace / RENEWALS_PER_GRACE).max(PAUSE_MIN) }
    }

    /// Looks after the instance for as long as it is polled.
    async fn go_on(self) -> Infallible {
        let mut due = interval_at(Instant::now() + self.every, self.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            if !self.owner.has_current(&self.name, &self.object.head) {
                self.renew().await;
            }
        }
    }

    async fn renew(&self) {
        let instance = Instance(*self.object.head.instance.as_bytes());
        let reading = async {
            let pages = self.owner.pages(instance, 0..1, Purpose::Fill).await?;
            pages.try_for_each(|_| async { Ok(()) }).await
        };
        // The response finds out by itself, if it comes to need the owner.
        if let Err(error) = reading.await {
            debug!(%instance, ?error, "grace not renewed");
        }
    }
}

/// What `sending` comes to, with its instance looked after meanwhile.
pub(super) async fn during<T>(renewal: Option<Renewal>, sending: impl Future<Output = T>) -> T {
    let Some(renewal) = renewal else { return sending.await };
    tokio::select! {
        sent = sending => sent,
        never = Box::pin(renewal.go_on()) => match never {},
    }
}
