//! Whether a node should be sent traffic: the anycast route follows this.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::peer::Peer;
use crate::peer::messages::{Answer, Ask};

/// How long home may take to answer before the node counts as cut off from it.
const HOME_PATIENCE: Duration = Duration::from_secs(2);

/// Asked for at home to see that it answers: a key that no user has, as they all begin with `PK`.
const NOBODY: &str = "READINESS";

/// What readiness stands on. A node that is not in this state yet does not listen.
#[derive(Default)]
pub struct Readiness {
    draining: AtomicBool,
    home: Option<Arc<Peer>>,
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
    /// Of a node whose region is not home and that finds users at `home`.
    #[must_use]
    pub fn away_from(home: Arc<Peer>) -> Self {
        Self { draining: AtomicBool::new(false), home: Some(home) }
    }

    /// From now on the node is not ready.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the node should get traffic, asking home where that is another region.
    ///
    /// # Errors
    /// The reason why it should not.
    pub async fn verdict(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        let Some(home) = &self.home else { return Ok(()) };
        let ask = home.ask(vec![Ask::User { access_key: NOBODY.to_owned() }]);
        match tokio::time::timeout(HOME_PATIENCE, ask).await.ok().and_then(Result::ok).as_deref() {
            Some([Answer::User(_)]) => Ok(()),
            _ => Err(NotReady::HomeOutOfReach),
        }
    }
}
