//! `penstock warm`: has the running nodes with their data here bring an object into their caches, over their Unix sockets.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Warm, another_question, done, explain, running, show};
use crate::accelerated::{ToWarm, Warmed};
use crate::operator::{Command, Done};

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(command: &Warm) -> Result<(), String> {
    let Warm { object, region, pin, unpin, asking } = command;
    let (bucket, key) = explain::parse(object)?;
    let key = key.ok_or_else(|| format!("{object}: not s3://BUCKET/KEY"))?;
    let pin_seconds = if *unpin { Some(0) } else { pin.map(|pin| pin.as_secs()) };
    let mut wanted = ToWarm { region: region.clone(), bucket, key, pin_seconds, start: !unpin };
    let sockets = running(&asking.data)?;
    let all =
        |wanted: &ToWarm| sockets.iter().map(|socket| warm(socket, wanted)).collect::<Result<Vec<_>, _>>();
    let mut nodes = all(&wanted)?;
    (wanted.start, wanted.pin_seconds) = (false, None);
    while nodes.iter().any(|node| node.is_running) {
        nodes.iter().for_each(|node| eprintln!("{}", line(node)));
        thread::sleep(PROGRESS_EVERY);
        nodes = all(&wanted)?;
    }
    match asking.json {
        true => show(format_args!("{:#}", serde_json::json!(nodes)))?,
        false => nodes.iter().try_for_each(|node| show(line(node)))?,
    }
    let short = nodes.iter().find(|node| node.cached_bytes < node.object_bytes && !unpin);
    short.map_or(Ok(()), |node| Err(format!("{}: not all of it is there", node.node)))
}

fn warm(socket: &Path, wanted: &ToWarm) -> Result<Warmed, String> {
    let Done::Warmed(warmed) = done(socket, &Command::Warm(wanted.clone()))? else {
        return Err(another_question());
    };
    Ok(warmed)
}

fn line(node: &Warmed) -> String {
    let Warmed { node, object_bytes, cached_bytes, .. } = node;
    let percent = (cached_bytes * 100).checked_div(*object_bytes).unwrap_or(100);
    format!("{node}: {cached_bytes} of {object_bytes} bytes, {percent} %")
}
