//! `penstock dev`: every region of the configuration in one process on loopback, to try things out and to test.
//!
//! Regions share nothing but the process: each has its own ports, store, cache and metrics, and they talk to each
//! other through their peer listeners as they would across the world. What a cluster needs (an authority, a sealing
//! key, certificates, a first user) is made at the first start and kept.

mod credentials;
mod guide;
mod lock;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;

use crate::assemble::{self, Node, Plan, Sockets, StartError};
use crate::cli;
use crate::client_setup::ClientEndpoint;
use crate::clock::{self, ClockError};
use crate::cluster::{Authority, AuthorityError, ClusterDir, ClusterError, Purpose, write_private};
use crate::identity::UsersError;
use crate::logging;
use crate::settings::{Fault, Listen, Settings, SettingsError};
use crate::signals::Signals;
use crate::tls::{Certificate, TlsError};
use crate::topology::{RegionName, Topology};

use credentials::Credentials;
use guide::{Guide, Shown};
use lock::Lock;

/// Ports between the first ones of two regions.
const PORTS_APART: u32 = 10;

/// The configuration that Penstock comes with.
const SHIPPED: &str = include_str!("../../regions.toml");

/// Why `dev` ended without having served.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The configuration has faults.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There are not enough ports above the first one.
    #[error("--port-base {0} leaves no ports for {1} regions: at most {2}")]
    PortBase(u16, usize, u32),
    /// The regions cannot be put on loopback.
    #[error("regions on loopback: {0}")]
    Topology(Fault),
    /// A file cannot be read, written or used.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The clock is plainly wrong.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The cluster's files cannot be made.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The listeners' certificates cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The listeners' certificates cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The first user cannot be made.
    #[error("first user: {0}")]
    Users(#[from] UsersError),
    /// Signals cannot be listened to.
    #[error("listen to signals: {0}")]
    Signals(#[source] io::Error),
    /// A node does not start.
    #[error("{region}: {cause}")]
    Start {
        /// The node's region.
        region: RegionName,
        /// Why.
        cause: StartError,
    },
}

impl DevError {
    fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Runs all regions until asked to stop.
///
/// # Errors
/// When they do not start.
pub async fn run(arguments: cli::Dev) -> Result<(), DevError> {
    let mut settings = read_settings(arguments.config.as_deref())?;
    // Several nodes on a machine that is somebody's.
    settings.cache.preallocate_memory = false;
    let topology = Arc::new(on_loopback(&settings.topology, arguments.port_base)?);
    let regions: Vec<_> = topology.regions().iter().map(|region| region.name().clone()).collect();
    let listens: Vec<_> = (0..).zip(&regions).map(|(index, _)| listen(arguments.port_base, index)).collect();
    logging::start(settings.log_level);
    let mut signals = Signals::take().map_err(DevError::Signals)?;

    let mut sockets = Vec::new();
    for (region, listen) in regions.iter().zip(&listens) {
        sockets.push(Sockets::bind(listen).map_err(|cause| start_error(region, cause))?);
    }
    let data =
        std::path::absolute(&arguments.data).map_err(|error| DevError::file(&arguments.data, error))?;
    check_clock(clock::now_seconds(), &data, &regions)?;
    let _lock = Lock::take(&data)?;
    make_cluster(&ClusterDir::under(&data), &topology)?;
    let certificate = arguments.tls.then(|| issue_certificate(&data, &topology)).transpose()?;
    let ca = arguments.tls.then(|| data.join("ca.pem"));
    let endpoint =
        |(region, listen)| ClientEndpoint::new(&topology, region, listen, arguments.tls, ca.as_deref());
    let endpoints: Vec<_> = regions.iter().zip(&listens).map(endpoint).collect();

    let mut nodes = Vec::new();
    for region in &regions {
        let plan = Plan {
            settings: &settings,
            topology: &topology,
            region,
            data: &data,
            credentials: None,
            endpoints: &endpoints,
        };
        tokio::select! {
            node = Node::open(plan) => nodes.push(node.map_err(|cause| start_error(region, cause))?),
            () = signals.wait_for_the_end(nothing_to_reload) => {
                join_all(nodes.into_iter().map(Node::close)).await;
                return Ok(());
            }
        }
    }
    let credentials = first_user(&data, &nodes).await?;
    let shown: Vec<_> =
        regions.iter().zip(&listens).map(|(region, listen)| Shown { region, listen: *listen }).collect();
    let guide = Guide {
        data: &data,
        topology: &topology,
        regions: &shown,
        endpoints: &endpoints,
        https: arguments.tls,
    };
    guide.write_files(&credentials).map_err(|error| DevError::file(&data, error))?;

    let mut running = Vec::new();
    for (index, (node, sockets)) in nodes.into_iter().zip(sockets).enumerate() {
        let serving = node.serve(sockets, certificate.as_ref());
        running.push(serving.map_err(|cause| start_error(&regions[index], cause))?);
    }
    println!("{}", guide.text());
    signals.wait_for_the_end(nothing_to_reload).await;
    assemble::stop(running, settings.limits.drain, signals.wait_for_the_end(nothing_to_reload)).await;
    Ok(())
}

fn nothing_to_reload() {
    tracing::info!("nothing to reload: certificates are made at each start");
}

/// The settings in `config`, or in the current directory's file, or in the one that Penstock comes with.
fn read_settings(config: Option<&Path>) -> Result<Settings, SettingsError> {
    let usual = Path::new("regions.toml");
    match config {
        Some(config) => Settings::read(config),
        None if usual.exists() => Settings::read(usual),
        None => Settings::parse(SHIPPED).map_err(|faults| SettingsError::Faults {
            path: PathBuf::from("regions.toml, as shipped"),
            faults,
        }),
    }
}

fn start_error(region: &RegionName, cause: StartError) -> DevError {
    DevError::Start { region: region.clone(), cause }
}

/// The listeners of the region at `index` in file order; the ports exist, or there would be no topology.
fn listen(port_base: u16, index: u16) -> Listen {
    let at = |offset| SocketAddr::from((Ipv4Addr::LOCALHOST, port_base + 10 * index + offset));
    Listen { standard: at(0), accelerated: at(1), admin: at(2), peer: at(3) }
}

/// The same regions with their peer listeners on loopback.
fn on_loopback(topology: &Topology, port_base: u16) -> Result<Topology, DevError> {
    let count = topology.regions().len();
    let span = PORTS_APART * u32::try_from(count - 1).unwrap_or(u32::MAX) + 3;
    let highest_base = u32::from(u16::MAX).saturating_sub(span);
    if port_base == 0 || u32::from(port_base) > highest_base {
        return Err(DevError::PortBase(port_base, count, highest_base));
    }
    let peers: Vec<_> =
        (0..).zip(topology.regions()).map(|(index, _)| listen(port_base, index).peer.to_string()).collect();
    let regions =
        topology.regions().iter().zip(&peers).map(|(region, peer)| (region.name().as_str(), peer.as_str()));
    Topology::new(topology.domain(), topology.home().name().as_str(), regions)
        .map_err(|mut faults| DevError::Topology(faults.remove(0)))
}

/// Judges the clock before anything is made: a certificate dated by a wrong one would outlast the mistake.
fn check_clock(now: u64, data: &Path, regions: &[RegionName]) -> Result<(), ClockError> {
    regions.iter().try_for_each(|region| clock::check(now, &data.join(region.as_str())))
}

/// Makes what the cluster still lacks: all of it at the first start, a certificate for a region added later.
fn make_cluster(cluster: &ClusterDir, topology: &Topology) -> Result<(), ClusterError> {
    keep_existing(cluster.init())?;
    for region in topology.regions() {
        keep_existing(cluster.make_node(region.name(), topology))?;
    }
    Ok(())
}

fn keep_existing(made: Result<Vec<PathBuf>, ClusterError>) -> Result<(), ClusterError> {
    match made {
        Ok(_) | Err(ClusterError::Exists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The certificate of all public listeners, made anew at each start by an authority that stays: clients keep
/// `ca.pem`. It is not the cluster's authority, whose word opens the peer channel.
fn issue_certificate(data: &Path, topology: &Topology) -> Result<Arc<Certificate>, DevError> {
    let authority = client_authority(&data.join("ca.pem"), &data.join("ca.key"))?;
    let issued = authority.issue(&host_names(topology), Purpose::Server)?;
    Ok(Arc::new(Certificate::from_pem(issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes())?))
}

fn client_authority(certificate: &Path, key: &Path) -> Result<Authority, DevError> {
    if !certificate.exists() {
        let authority = Authority::create("Penstock development authority")?;
        write(key, &authority.key_pem())?;
        // The certificate last: where it is, the key is too.
        write(certificate, authority.certificate_pem())?;
    }
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| DevError::file(path, error));
    Ok(Authority::parse(&read(certificate)?, &read(key)?)?)
}

fn write(path: &Path, text: &str) -> Result<(), DevError> {
    write_private(path, text.as_bytes()).map_err(|error| DevError::file(path, error))
}

/// Every name that a client may call a listener by. Any listener answers for every endpoint, and for buckets under it.
fn host_names(topology: &Topology) -> Vec<String> {
    let hosts = topology.regions().iter().flat_map(|region| {
        let region = region.name();
        [topology.standard_host(region), topology.accelerated_host(region), topology.website_host(region)]
    });
    let mut names: Vec<_> = hosts.flat_map(|host| [format!("*.{host}"), host]).collect();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names
}

async fn first_user(data: &Path, nodes: &[Node]) -> Result<Credentials, DevError> {
    let (node, users) = nodes
        .iter()
        .find_map(|node| node.users().map(|users| (node, users)))
        .expect("home is one of the regions");
    Credentials::read_or_make(&data.join("credentials.json"), users, node.identities()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Topology {
        let peers = [("ord1", "10.0.0.1:1"), ("las1", "10.0.0.2:1"), ("lga1", "10.0.0.3:1")];
        Topology::new("penstock.localhost", "las1", peers).expect("good")
    }

    #[test]
    fn regions_are_ten_ports_apart_in_file_order() {
        let topology = on_loopback(&three(), 9000).expect("fits");
        let peers: Vec<_> = topology.regions().iter().map(|region| region.peer().to_string()).collect();
        assert_eq!(peers, ["127.0.0.1:9003", "127.0.0.1:9013", "127.0.0.1:9023"]);
        assert_eq!(topology.home().name().as_str(), "las1");
        assert_eq!(listen(9000, 2).accelerated.to_string(), "127.0.0.1:9021");
    }

    #[test]
    fn the_last_port_is_the_last_there_is() {
        assert!(on_loopback(&three(), 65512).is_ok());
        let error = on_loopback(&three(), 65513).expect_err("65536 is no port");
        assert!(error.to_string().contains("at most 65512"), "{error}");
        assert!(on_loopback(&three(), 0).is_err());
    }

    #[test]
    fn certificates_name_buckets_under_every_endpoint_that_a_listener_answers_for() {
        let names = host_names(&three());
        for name in [
            "*.object.ord1.penstock.localhost",
            "*.accel-object.lga1.penstock.localhost",
            "*.website.las1.penstock.localhost",
            "127.0.0.1",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    /// Also where nothing has been made yet, and where another region's node was the last to run.
    #[test]
    fn a_wrong_clock_is_refused_before_anything_is_made() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (now, regions) =
            (clock::now_seconds(), ["ord1", "las1"].map(|name| RegionName::parse(name).expect("a name")));
        assert!(check_clock(1_000_000_000, dir.path(), &regions).is_err());
        assert!(check_clock(now, dir.path(), &regions).is_ok());
        std::fs::create_dir(dir.path().join("las1")).expect("make a node's directory");
        clock::note(now, &dir.path().join("las1")).expect("note");
        assert!(check_clock(now - 3600, dir.path(), &regions).is_err());
        assert!(check_clock(now, dir.path(), &regions).is_ok());
    }

    #[test]
    fn the_client_authority_stays_and_the_cluster_is_made_once() {
        let dir = tempfile::tempdir().expect("temporary directory");
        issue_certificate(dir.path(), &three()).expect("first");
        let ca = std::fs::read(dir.path().join("ca.pem")).expect("read");
        issue_certificate(dir.path(), &three()).expect("second");
        assert_eq!(std::fs::read(dir.path().join("ca.pem")).expect("read"), ca);

        let cluster = ClusterDir::under(dir.path());
        make_cluster(&cluster, &three()).expect("first");
        let key = std::fs::read(cluster.cluster_key()).expect("read");
        make_cluster(&cluster, &three()).expect("second");
        assert_eq!(std::fs::read(cluster.cluster_key()).expect("read"), key);
    }
}
