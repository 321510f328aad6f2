//! `penstock warm`: has the running nodes with their data here bring an object into their caches, over their Unix sockets.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Warm, explain, show};
use crate::accelerated::{ToWarm, Warmed};
use crate::assemble::operator_sockets;
use crate::operator::{Answer, Command, Done, ask};

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(command: &Warm) -> Result<(), String> {
    let Warm { object, region, pin, unpin, asking } = command;
    let (bucket, key) = explain::parse(object)?;
    let key = key.ok_or_else(|| format!("{object}: not s3://BUCKET/KEY"))?;
    let pin_seconds = if *unpin { Some(0) } else { pin.map(|pin| pin.as_secs()) };
    let mut wanted = ToWarm { region: region.clone(), bucket, key, pin_seconds, start: !unpin };
    let data = &asking.data;
    let sockets = operator_sockets(data).map_err(|error| format!("{}: {error}", data.display()))?;
    if sockets.is_empty() {
        return Err(format!("{}: no node is running with its data there", data.display()));
    }
    let mut nodes = Vec::new();
    for socket in &sockets {
        nodes.push(told(socket, &wanted)?);
    }
    (wanted.start, wanted.pin_seconds) = (false, None);
    while nodes.iter().any(|node| node.is_running) {
        nodes.iter().for_each(|node| eprintln!("{}", line(node)));
        thread::sleep(PROGRESS_EVERY);
        nodes = sockets.iter().map(|socket: &PathBuf| told(socket, &wanted)).collect::<Result<_, _>>()?;
    }
    match asking.json {
        true => show(format_args!("{:#}", serde_json::json!(nodes)))?,
        false => nodes.iter().try_for_each(|node| show(line(node)))?,
    }
    let short = nodes.iter().find(|node| node.cached_bytes < node.object_bytes && !unpin);
    short.map_or(Ok(()), |node| Err(format!("{}: not all of it is there", node.node)))
}

fn told(socket: &Path, wanted: &ToWarm) -> Result<Warmed, String> {
    match ask(socket, &Command::Warm(wanted.clone())).map_err(|error| error.to_string())? {
        Answer::Done(done) => match *done {
            Done::Warmed(warmed) => Ok(warmed),
            Done::User(_) | Done::Explained(_) | Done::Status(_) | Done::Purged(_) => {
                Err("the node answered another question".to_owned())
            }
        },
        Answer::Refused(reason) => Err(reason),
        Answer::NotHome { .. } => Err("the node answered another question".to_owned()),
    }
}

fn line(node: &Warmed) -> String {
    let Warmed { node, object_bytes, cached_bytes, .. } = node;
    let percent = (cached_bytes * 100).checked_div(*object_bytes).unwrap_or(100);
    format!("{node}: {cached_bytes} of {object_bytes} bytes, {percent} %")
}
