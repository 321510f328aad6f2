//! `penstock serve`: the node of one region.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use crate::assemble::{self, Node, Plan, Sockets, StartError};
use crate::cli;
use crate::logging;
use crate::settings::{Fault, Settings, SettingsError, TlsFiles};
use crate::signals::Signals;
use crate::tls::{Certificate, TlsError};

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

/// Runs the node until it is asked to stop.
///
/// # Errors
/// When it does not start.
pub async fn run(arguments: cli::Serve) -> Result<(), ServeError> {
    let cli::Place { config, data } = arguments.place;
    let settings = Settings::read(&config)?;
    let at_fault = |fault| ServeError::Fault { path: config.clone(), fault };
    let region = settings.topology.region(&arguments.region).ok_or_else(|| {
        at_fault(Fault::new("region", format!("there is no region called {:?}", arguments.region)))
    })?;
    let region = region.name().clone();
    let listen = settings.listen(&region).map_err(at_fault)?;
    let certificate = settings.tls.as_ref().map(Certificate::read).transpose()?.map(Arc::new);
    logging::start(settings.log_level);
    let mut signals = Signals::take()?;

    let sockets = Sockets::bind(&listen)?;
    let topology = Arc::new(settings.topology.clone());
    let plan = Plan { settings: &settings, topology: &topology, region: &region, data: &data };
    let running = Node::open(plan).await?.serve(sockets, certificate.as_ref())?;
    signals.wait_for_the_end(|| reload(certificate.as_deref(), settings.tls.as_ref())).await;
    assemble::stop(vec![running], settings.limits.drain).await;
    Ok(())
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
