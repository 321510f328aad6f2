//! `penstock status`: asks the running nodes with their data here, over their Unix sockets, how they stand.

use super::{Asking, another_question, done, running, show};
use crate::operator::{Command, Done};

pub(super) fn run(asking: &Asking) -> Result<(), String> {
    let mut nodes = Vec::new();
    for socket in running(&asking.data)? {
        let Done::Status(status) = done(&socket, &Command::Status)? else {
            return Err(another_question());
        };
        nodes.push(status);
    }
    match asking.json {
        true => show(format_args!("{:#}", serde_json::json!(nodes))),
        // A node's lines end the last one too.
        false => nodes.iter().try_for_each(|node| show(node.to_string().trim_end())),
    }
}
