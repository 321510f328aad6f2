//! `penstock cluster`: files for operators to put where they belong.

use std::path::{Path, PathBuf};

use super::{Cluster, Place, show};
use crate::clock;
use crate::cluster::{ClusterDir, ClusterError};
use crate::settings::Settings;

/// Does what `command` says, at `now`.
pub(super) fn run(command: Cluster, now: u64) -> Result<(), String> {
    let made = match command {
        Cluster::Init { data } => {
            check_clock(now, &data)?;
            ClusterDir::under(&data).init()
        }
        Cluster::RotateKey { data } => return rotate_key(&data),
        Cluster::Node { region, place } => {
            check_clock(now, &place.data.join(&region))?;
            make_node(&region, &place)?
        }
    };
    for path in made.map_err(|error| error.to_string())? {
        show(format_args!("made {}", path.display()))?;
    }
    Ok(())
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
    let known = settings.topology.region(region);
    let region =
        known.ok_or_else(|| format!("{}: no region is called {region:?}", place.config.display()))?;
    Ok(ClusterDir::under(&place.data).make_node(region.name(), &settings.topology))
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
