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
pub use server::{OperatorSocket, SocketError};

use crate::identity::{Level, NewUser};

/// Most bytes of a command: a few names.
const COMMAND_BYTES_MAX: u64 = 64 << 10;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Make a user with a new key pair.
    CreateUser(NewUser),
    /// List all users.
    ListUsers,
}

/// What the node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The command was obeyed.
    Done(Done),
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
    /// The user was made. This is the one time that the secret is shown.
    UserCreated {
        /// Who it is.
        user: ShownUser,
        /// The secret key, in clear.
        secret_key: String,
    },
    /// Every user, by account and name.
    Users(Vec<ShownUser>),
}

/// A user as operators see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownUser {
    /// The user's name.
    pub name: String,
    /// The account's name.
    pub account: String,
    /// The account's id, as S3 shows owners.
    pub canonical_id: String,
    /// What the user may do at most.
    pub level: Level,
    /// The public half of the key pair.
    pub access_key: String,
}

/// A name for the socket at `path` that is short enough for any directory: the kernel takes 108 bytes and no more.
/// It is good for as long as the directory handle beside it lives.
fn short_name(path: &Path) -> io::Result<(File, PathBuf)> {
    let directory = File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((directory, short))
}

impl From<crate::identity::User> for ShownUser {
    fn from(user: crate::identity::User) -> Self {
        Self {
            name: user.name,
            account: user.account.name,
            canonical_id: user.account.canonical_id,
            level: user.level,
            access_key: user.access_key,
        }
    }
}
