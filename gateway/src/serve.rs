//! `penstock serve`: the node of one region.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use crate::assemble::{self, Node, Plan, Sockets, StartError};
use crate::cli;
use crate::client_setup::ClientEndpoint;
use crate::cluster::credentials_directory;
use crate::logging;
use crate::settings::{Fault, Listen, Settings, SettingsError, TlsFiles};
use crate::signals::Signals;
use crate::tls::{Certificate, TlsError};
use crate::topology::Region;

/// Why `serve` ended without having served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration has faults.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The configuration does not say what this node needs.
    #[error("{}: {fault}", path.display())]
    Fault {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        fault: Fault,
    },
    /// The certificate of the public listeners cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// Signals cannot be listened to.
    #[error("listen to signals: {0}")]
    Signals(#[from] io::Error),
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the node until it is asked to stop; asked once more, it waits for no transfer.
///
/// # Errors
/// When it does not start.
pub async fn run(arguments: cli::Serve) -> Result<(), ServeError> {
    let cli::Place { config, data } = arguments.place;
    let settings = Settings::read(&config)?;
    let at_fault = |fault| ServeError::Fault { path: config.clone(), fault };
    let region = settings.topology.region(&arguments.region).ok_or_else(|| {
        let known = settings.topology.names();
        at_fault(Fault::new("region", format!("none is called {:?}; there are {known}", arguments.region)))
    })?;
    let region = region.name().clone();
    let listen = settings.listen(&region).map_err(at_fault)?;
    let certificate = settings.tls.as_ref().map(Certificate::read).transpose()?.map(Arc::new);
    logging::start(settings.log_level);
    let mut signals = Signals::take()?;

    let sockets = Sockets::bind(&listen)?;
    let topology = Arc::new(settings.topology.clone());
    let endpoints = client_endpoints(&settings);
    let credentials = credentials_directory();
    let plan = Plan {
        settings: &settings,
        topology: &topology,
        region: &region,
        data: &data,
        credentials: credentials.as_deref(),
        endpoints: &endpoints,
    };
    let reload = || reload(certificate.as_deref(), settings.tls.as_ref());
    let node = tokio::select! {
        node = Node::open(plan) => node?,
        // Nobody was served yet: the disk is as after a crash.
        () = signals.wait_for_the_end(reload) => return Ok(()),
    };
    let running = node.serve(sockets, certificate.as_ref())?;
    signals.wait_for_the_end(reload).await;
    assemble::stop(vec![running], settings.limits.drain, signals.wait_for_the_end(reload)).await;
    Ok(())
}

/// Where clients reach each region whose listeners the file names.
fn client_endpoints(settings: &Settings) -> Vec<ClientEndpoint> {
    let topology = &settings.topology;
    let regions = topology.regions().iter().zip(&settings.listen);
    let endpoint = |(region, listen): (&Region, &Option<Listen>)| {
        let listen = listen.as_ref()?;
        Some(ClientEndpoint::new(topology, region.name(), listen, settings.tls.is_some(), None))
    };
    regions.filter_map(endpoint).collect()
}

fn reload(certificate: Option<&Certificate>, files: Option<&TlsFiles>) {
    let (Some(certificate), Some(files)) = (certificate, files) else {
        return info!("nothing to reload: the public listeners have no certificate");
    };
    match certificate.reload(files) {
        Ok(()) => info!(certificate = %files.certificate.display(), "certificate reloaded"),
        Err(error) => warn!(%error, "the new certificate cannot be used: the old one stays"),
    }
}
