//! What operators ask of a running node: over a Unix socket with mode 0600, so that the file system says who may.
//!
//! One command a connection: a line of JSON each way. Operators are not tenants: no S3 credential opens this door.

mod client;
mod server;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use client::{AskError, ask};
pub use server::{Cached, OperatorSocket, SocketError};

use crate::accelerated::{ToPurge, ToWarm, Warmed, WasPurged};
use crate::explain::{Explanation, Question};
use crate::scrub::{ScrubStep, ToScrub};
use crate::status::Status;
use crate::user_admin::{Done as UsersDone, UserCommand};

/// Most bytes of a command: a user with all the grants there can be, with room to spare.
const COMMAND_BYTES_MAX: u64 = 64 << 10;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Something about users.
    User(UserCommand),
    /// Say whether somebody may do something, and why.
    Explain(Question),
    /// Say how the node stands with the other nodes.
    Status,
    /// Bring an object into the node's cache, or say how it stands there.
    Warm(ToWarm),
    /// Drop objects from the node's cache.
    Purge(ToPurge),
    /// Read some of what the node stores, and say what is damaged.
    Scrub(ToScrub),
}

/// What the node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The command was obeyed.
    Done(Box<Done>),
    /// Nothing was done: users are written elsewhere.
    NotHome {
        /// In this region.
        home: String,
    },
    /// Nothing was done; why.
    Refused(String),
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Of one about users.
    User(Box<UsersDone>),
    /// Of a question about permission.
    Explained(Explanation),
    /// How the node stands.
    Status(Status),
    /// How an object stands in the node's cache.
    Warmed(Warmed),
    /// What was dropped from the node's cache.
    Purged(WasPurged),
    /// What was read of the node's store, and found.
    Scrubbed(Box<ScrubStep>),
}

/// A name for the socket at `path` that is short enough for any directory: the kernel takes 108 bytes and no more.
/// It is good for as long as the directory handle beside it lives.
fn short_name(path: &Path) -> io::Result<(File, PathBuf)> {
    let directory = File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((directory, short))
}
