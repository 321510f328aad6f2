//! `penstock check`: every fault of the configuration and of the files that it needs, found at once.

use std::path::Path;
use std::time::Duration;

use origin::regional::RegionalStore;

use crate::cli;
use crate::clock;
use crate::cluster::{ClusterDir, credentials_directory};
use crate::peer::Credentials;
use crate::settings::Settings;
use crate::tls::Certificate;
use crate::topology::Region;

const DAY_SECONDS: u64 = 24 * 3600;

/// A node's certificate should be replaced from this long before its end: without it the node is cut off.
const RENEWAL_DUE: Duration = Duration::from_secs(60 * DAY_SECONDS);

/// Checks what `arguments` name; one line on stdout where there is nothing to report.
///
/// # Errors
/// Every fault, a line each.
pub async fn run(arguments: cli::Check) -> Result<(), String> {
    let cli::Place { config, data } = &arguments.place;
    let settings = Settings::read(config).map_err(|error| error.to_string())?;
    let mut faults = Vec::new();
    if let Some(files) = &settings.tls
        && let Err(error) = Certificate::read(files)
    {
        faults.push(format!("{}: tls: {error}", config.display()));
    }
    check_cluster(&settings, data, &mut faults);
    if arguments.deep {
        check_stores(&settings, data, &mut faults).await;
    }
    if faults.is_empty() {
        return cli::show("no fault found");
    }
    Err(faults.join("\n"))
}

/// The cluster's files, as far as they are here: a node has its own certificate alone.
fn check_cluster(settings: &Settings, data: &Path, faults: &mut Vec<String>) {
    let cluster = ClusterDir::under(data);
    if !cluster.path().exists() {
        return;
    }
    if let Err(error) = cluster.read_cluster_keys(credentials_directory().as_deref()) {
        faults.push(error.to_string());
    }
    for region in settings.topology.regions().iter().map(Region::name) {
        if !cluster.node_certificate(region).exists() {
            continue;
        }
        match cluster.examine_node(region, &settings.topology, clock::now_seconds()) {
            Ok(left) if left < RENEWAL_DUE => {
                let path = cluster.node_certificate(region);
                faults.push(format!("{}: expires in {} days", path.display(), left.as_secs() / DAY_SECONDS));
            }
            Ok(_) => {}
            Err(error) => faults.push(error.to_string()),
        }
        if let Err(error) = Credentials::load(cluster.path(), region) {
            faults.push(error.to_string());
        }
    }
}

/// Reads every row and every byte of the stores that are here.
async fn check_stores(settings: &Settings, data: &Path, faults: &mut Vec<String>) {
    for region in settings.topology.regions().iter().map(Region::name) {
        let store = data.join(region.as_str()).join("store");
        if !store.exists() {
            continue;
        }
        match RegionalStore::check_deep(&store).await {
            Ok(report) => {
                faults.extend(report.faults.iter().map(|fault| format!("{region}: {fault}")));
                if report.unnamed_faults_count > 0 {
                    faults.push(format!("{region}: and {} more faults", report.unnamed_faults_count));
                }
            }
            Err(error) => faults.push(format!("{region}: {error}")),
        }
    }
}
