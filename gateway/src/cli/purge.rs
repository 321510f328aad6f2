//! `penstock purge`: has the running nodes with their data here drop objects from their caches, over their Unix sockets.

use std::path::Path;

use origin::regional::SomeKeys;

use super::{Purge, another_question, done, explain, running, show};
use crate::accelerated::{ToPurge, WasPurged};
use crate::operator::{Command, Done};

pub(super) fn run(command: &Purge) -> Result<(), String> {
    let wanted = wanted(command)?;
    let mut nodes = Vec::new();
    for socket in running(&command.asking.data)? {
        let node = purge(&socket, wanted.clone())?;
        if !command.asking.json {
            show(line(&node))?;
        }
        nodes.push(node);
    }
    match command.asking.json {
        true => show(format_args!("{:#}", serde_json::json!(nodes))),
        false => Ok(()),
    }
}

fn wanted(command: &Purge) -> Result<ToPurge, String> {
    let Purge { objects, prefix, everything: _, region, asking: _ } = command;
    let Some(objects) = objects else { return Ok(ToPurge::Everything) };
    let (bucket, keys) = named_keys(objects, *prefix)?;
    Ok(ToPurge::Keys { region: region.clone(), bucket, keys, behind: None })
}

/// The bucket and the keys of it that a command names: one, or all that begin with it, or all.
pub(super) fn named_keys(objects: &str, is_prefix: bool) -> Result<(String, SomeKeys), String> {
    let (bucket, key) = explain::parse(objects)?;
    let keys = match key {
        Some(key) if is_prefix => SomeKeys::Prefix(key),
        Some(key) => SomeKeys::Key(key),
        None => SomeKeys::Prefix(String::new()),
    };
    Ok((bucket, keys))
}

/// One page after another, to the last; the sum of all.
fn purge(socket: &Path, mut wanted: ToPurge) -> Result<WasPurged, String> {
    let mut sum = purge_page(socket, &wanted)?;
    while let Some(to) = sum.to.take() {
        eprintln!("{}", line(&sum));
        if let ToPurge::Keys { behind, .. } = &mut wanted {
            *behind = Some(to);
        }
        let more = purge_page(socket, &wanted)?;
        sum.versions += more.versions;
        sum.memory_blocks += more.memory_blocks;
        sum.nvme_blocks += more.nvme_blocks;
        sum.to = more.to;
    }
    Ok(sum)
}

fn purge_page(socket: &Path, wanted: &ToPurge) -> Result<WasPurged, String> {
    let Done::Purged(purged) = done(socket, &Command::Purge(wanted.clone()))? else {
        return Err(another_question());
    };
    Ok(purged)
}

fn line(node: &WasPurged) -> String {
    let WasPurged { node, versions, memory_blocks, nvme_blocks, to: _ } = node;
    format!("{node}: {versions} versions: {memory_blocks} blocks from memory, {nvme_blocks} from disk")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Line};

    #[test]
    fn a_key_a_prefix_a_bucket_and_everything_are_told_apart() {
        let of = |line: &str| match Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command) {
            Ok(Line::Purge(purge)) => wanted(&purge),
            other => panic!("{other:?}"),
        };
        let keys =
            |keys| Ok(ToPurge::Keys { region: Some("ord1".into()), bucket: "b".into(), keys, behind: None });
        assert_eq!(of("penstock purge s3://b/a/k --region ord1"), keys(SomeKeys::Key("a/k".into())));
        assert_eq!(
            of("penstock purge s3://b/a/ --prefix --region ord1"),
            keys(SomeKeys::Prefix("a/".into()))
        );
        assert_eq!(of("penstock purge s3://b --region ord1"), keys(SomeKeys::Prefix(String::new())));
        assert_eq!(of("penstock purge --everything"), Ok(ToPurge::Everything));
        assert!(of("penstock purge b/k").is_err());
    }
}
