//! `penstock cluster`: files for operators to put where they belong.

use std::path::{Path, PathBuf};

use super::{Cluster, Place, show};
use crate::clock;
use crate::cluster::{ClusterDir, ClusterError, node_files};
use crate::settings::Settings;

/// Does what `command` says, at `now`.
pub(super) fn run(command: Cluster, now: u64) -> Result<(), String> {
    let (made, next) = match command {
        Cluster::Init { data } => {
            check_clock(now, &data)?;
            let next =
                "next, with the same --data: `penstock cluster node REGION` for each region".to_owned();
            (ClusterDir::under(&data).init(), next)
        }
        Cluster::RotateKey { data } => return rotate_key(&data),
        Cluster::Node { region, place } => {
            check_clock(now, &place.data.join(&region))?;
            let made = make_node(&region, &place)?;
            (made, format!("next: copy {} into DIR/cluster of its node", node_files(&region).join(", ")))
        }
    };
    for path in made.map_err(|error| error.to_string())? {
        show(format_args!("made {}", path.display()))?;
    }
    show(next)
}

/// A certificate dated by a wrong clock would outlast the mistake.
fn check_clock(now: u64, used: &Path) -> Result<(), String> {
    clock::check(now, used).map_err(|error| error.to_string())
}

fn rotate_key(data: &Path) -> Result<(), String> {
    let path = ClusterDir::under(data).rotate_key().map_err(|error| error.to_string())?;
    show(format_args!(
        "{} has a new key in front. Copy it to every node and start each of them again, those of the home region \
         last;\nthen run `penstock user reseal` at home. After that the other keys in the file can go.",
        path.display()
    ))
}

fn make_node(region: &str, place: &Place) -> Result<Result<Vec<PathBuf>, ClusterError>, String> {
    let settings = Settings::read(&place.config).map_err(|error| error.to_string())?;
    let topology = &settings.topology;
    let region = topology.region(region).ok_or_else(|| {
        let (file, known) = (place.config.display(), topology.names());
        format!("{file}: no region is called {region:?}; there are {known}")
    })?;
    Ok(ClusterDir::under(&place.data).make_node(region.name(), topology))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_under_a_clock_that_is_plainly_wrong() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let init = || Cluster::Init { data: dir.path().to_owned() };
        let error = run(init(), 1_000_000_000).expect_err("2001");
        assert!(error.contains("2001-09-09"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
        run(init(), clock::now_seconds()).expect("today");
    }
}
