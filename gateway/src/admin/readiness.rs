//! Whether a node should be sent traffic: the anycast route follows this.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use origin::regional::LeaseClass;

use crate::coherence::scope::Subject;
use crate::coherence::{Follower, OnHomeLoss, Sessions, Use};

/// How long home may take to answer before the node counts as cut off from it.
const HOME_PATIENCE: Duration = Duration::from_secs(2);

/// Asked for at home to see that it answers: a key that no user has, as they all begin with `PK`.
const NOBODY: &str = "READINESS";

/// What readiness stands on. A node that is not in this state yet does not listen.
#[derive(Default)]
pub struct Readiness {
    draining: AtomicBool,
    home: Option<(Arc<Follower>, OnHomeLoss)>,
    sessions: Option<Arc<Sessions>>,
}

/// Why a node should get no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It is going away.
    Draining,
    /// Without home nobody can be told apart, so every request would be refused.
    HomeOutOfReach,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "draining",
            Self::HomeOutOfReach => "the home region does not answer, so no user can be identified",
        })
    }
}

impl Readiness {
    /// Of a node whose region is not home and that finds users through `home`.
    pub(crate) fn away_from(home: Arc<Follower>, on_home_loss: OnHomeLoss) -> Self {
        Self { home: Some((home, on_home_loss)), ..Self::default() }
    }

    /// The same of a node that owns a store, whose changes `sessions` announces.
    #[must_use]
    pub fn of_owner(self, sessions: Arc<Sessions>) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// From now on the node is not ready.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What a node that is ready cannot do yet: changes, where leases of an earlier process may be in force.
    #[must_use]
    pub fn withheld(&self) -> Vec<(LeaseClass, Duration)> {
        let left = |class| Some((class, self.sessions.as_ref()?.withheld(class)?));
        LeaseClass::ALL.into_iter().filter_map(left).collect()
    }

    /// Whether the node should get traffic. Where home is another region it is asked, unless its users are known under a
    /// session that lives.
    ///
    /// # Errors
    /// The reason why it should not.
    pub async fn verdict(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        let Some((home, on_home_loss)) = &self.home else { return Ok(()) };
        if home.is_live() {
            return Ok(());
        }
        let nobody = home.find(Subject::User { access_key: NOBODY.into() }, Use::LookAndKeep);
        let answered = tokio::time::timeout(HOME_PATIENCE, nobody).await.is_ok_and(|found| found.is_ok());
        let goes_on = match on_home_loss {
            OnHomeLoss::Refuse => false,
            OnHomeLoss::ServeKnown(at_most) => home.was_live_within(*at_most),
        };
        if answered || goes_on { Ok(()) } else { Err(NotReady::HomeOutOfReach) }
    }
}
