//! `penstock status`: asks the running nodes with their data here, over their Unix sockets, how they stand.

use super::{Asking, show};
use crate::assemble::operator_sockets;
use crate::operator::{Answer, Command, Done, ask};

pub(super) fn run(asking: &Asking) -> Result<(), String> {
    let data = &asking.data;
    let sockets = operator_sockets(data).map_err(|error| format!("{}: {error}", data.display()))?;
    if sockets.is_empty() {
        return Err(format!("{}: no node is running with its data there", data.display()));
    }
    let mut nodes = Vec::new();
    for socket in sockets {
        match ask(&socket, &Command::Status).map_err(|error| error.to_string())? {
            Answer::Done(done) => match *done {
                Done::Status(status) => nodes.push(status),
                Done::User(_) | Done::Explained(_) | Done::Warmed(_) | Done::Purged(_) => {
                    return Err("the node answered another question".to_owned());
                }
            },
            Answer::Refused(reason) => return Err(reason),
            Answer::NotHome { .. } => return Err("the node answered another question".to_owned()),
        }
    }
    match asking.json {
        true => show(format_args!("{:#}", serde_json::json!(nodes))),
        // A node's lines end the last one too.
        false => nodes.iter().try_for_each(|node| show(node.to_string().trim_end())),
    }
}
