//! `penstock cluster`: files for operators to put where they belong.

use std::path::{Path, PathBuf};

use super::{Cluster, Place};
use crate::cluster::{ClusterDir, ClusterError};
use crate::settings::Settings;

pub(super) fn run(command: Cluster) -> Result<(), String> {
    let made = match command {
        Cluster::Init { data } => ClusterDir::under(&data).init(),
        Cluster::RotateKey { data } => return rotate_key(&data),
        Cluster::Node { region, place } => make_node(&region, &place)?,
    };
    for path in made.map_err(|error| error.to_string())? {
        println!("made {}", path.display());
    }
    Ok(())
}

fn rotate_key(data: &Path) -> Result<(), String> {
    let path = ClusterDir::under(data).rotate_key().map_err(|error| error.to_string())?;
    println!(
        "{} has a new key in front. Copy it to every node and start each of them again, those of the home region \
         last;\nthen run `penstock user reseal` at home. After that the other keys in the file can go.",
        path.display()
    );
    Ok(())
}

fn make_node(region: &str, place: &Place) -> Result<Result<Vec<PathBuf>, ClusterError>, String> {
    let settings = Settings::read(&place.config).map_err(|error| error.to_string())?;
    let known = settings.topology.region(region);
    let region =
        known.ok_or_else(|| format!("{}: no region is called {region:?}", place.config.display()))?;
    Ok(ClusterDir::under(&place.data).make_node(region.name(), &settings.topology))
}
