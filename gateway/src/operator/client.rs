//! The operator's end of the socket.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Command, short_name};

/// A command takes milliseconds, or what a change of users may wait for nodes that are away: half a minute as shipped. A
/// node that is silent for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens on the socket.
    #[error("{}: no node is running: start `penstock dev` or `penstock serve` with the same --data", .0.display())]
    NotRunning(PathBuf),
    /// The socket is another user's.
    #[error("{}: not permitted: run this as the user that runs the node", .0.display())]
    NotPermitted(PathBuf),
    /// The connection broke.
    #[error("talk to the node on {}: {cause}", path.display())]
    Broken {
        /// Which socket.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

/// Asks the node that listens on `socket`.
///
/// # Errors
/// When there is none, or it does not answer.
pub fn ask(socket: &Path, command: &Command) -> Result<Answer, AskError> {
    converse(socket, command).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NotRunning(socket.to_owned()),
        ErrorKind::PermissionDenied => AskError::NotPermitted(socket.to_owned()),
        _ => AskError::Broken { path: socket.to_owned(), cause },
    })
}

fn converse(socket: &Path, command: &Command) -> io::Result<Answer> {
    let (_directory, name) = short_name(socket)?;
    let mut stream = UnixStream::connect(name)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
