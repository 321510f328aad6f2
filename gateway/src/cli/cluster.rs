//! `penstock cluster`: files for operators to put where they belong.

use std::path::PathBuf;

use super::{Cluster, Place};
use crate::cluster::{ClusterDir, ClusterError};
use crate::settings::Settings;

pub(super) fn run(command: Cluster) -> Result<(), String> {
    let made = match command {
        Cluster::Init { data } => ClusterDir::under(&data).init(),
        Cluster::Node { region, place } => make_node(&region, &place)?,
    };
    for path in made.map_err(|error| error.to_string())? {
        println!("made {}", path.display());
    }
    Ok(())
}

fn make_node(region: &str, place: &Place) -> Result<Result<Vec<PathBuf>, ClusterError>, String> {
    let settings = Settings::read(&place.config).map_err(|error| error.to_string())?;
    let known = settings.topology.region(region);
    let region =
        known.ok_or_else(|| format!("{}: no region is called {region:?}", place.config.display()))?;
    Ok(ClusterDir::under(&place.data).make_node(region.name(), &settings.topology))
}
