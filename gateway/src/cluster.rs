//! What makes nodes one cluster, as files: an authority that signs node certificates, and the key that seals secrets.
//!
//! `DIR/cluster/` holds `ca.pem`, `ca.key`, `cluster.key` and for each region `<region>.pem` and `<region>.key`.
//! A node needs `ca.pem`, `cluster.key` and its own pair; `ca.key` belongs where the operator makes nodes, not on
//! the nodes. Whoever has a certificate of this authority for a region of `regions.toml` is believed on the peer channel, so it
//! signs nothing else.

mod authority;
mod examination;
mod private_file;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use authority::{Authority, AuthorityError, IssuedCertificate, Purpose};
pub use examination::CertificateFault;
pub use private_file::{Written, make_private_directory, write_new_private, write_private};

use crate::identity::{ClusterKeys, ClusterKeysError};
use crate::peer::peer_name;
use crate::topology::{RegionName, Topology};

/// The file of the keys that seal secrets, and systemd's name for the same.
const CLUSTER_KEY: &str = "cluster.key";

/// The authority's certificate.
const AUTHORITY: &str = "ca.pem";

/// Where systemd has put the credentials of the service that this process is; `None` when it is none. Asked once, when
/// a command starts.
#[must_use]
pub fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty()).map(PathBuf::from)
}

/// The files in a cluster's directory that the node of `region` needs.
#[must_use]
pub fn node_files(region: &str) -> [String; 4] {
    [CLUSTER_KEY.to_owned(), AUTHORITY.to_owned(), format!("{region}.pem"), format!("{region}.key")]
}

/// Where a cluster's files are.
#[derive(Clone, Debug)]
pub struct ClusterDir(PathBuf);

/// Why a cluster's files could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file of this name is there already; it is never overwritten.
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A node has not all of its files.
    #[error(
        "{} has no {missing}: `penstock cluster init`, once for all nodes, and `penstock cluster node {region}` make them, \
         to be copied there",
        directory.display()
    )]
    Incomplete {
        /// Where they belong.
        directory: PathBuf,
        /// The node's region.
        region: RegionName,
        /// Their names.
        missing: String,
    },
    /// What only the machine has that made the cluster is not here.
    #[error("there is no {}: this is for where `penstock cluster init` was run", .0.display())]
    Elsewhere(PathBuf),
    /// The keys that seal secrets cannot be used.
    #[error("cluster key {}: {cause}", path.display())]
    Keys {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ClusterKeysError,
    },
    /// The node's peers will refuse its certificate.
    #[error("{}: {fault}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        fault: CertificateFault,
    },
    /// A certificate could not be made, or the authority's files are not an authority's.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl ClusterDir {
    /// The cluster's files under the data directory `data`.
    #[must_use]
    pub fn under(data: &Path) -> Self {
        Self(data.join("cluster"))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file of the keys that seal secrets.
    #[must_use]
    pub fn cluster_key(&self) -> PathBuf {
        self.0.join(CLUSTER_KEY)
    }

    /// The keys that seal secrets: those that systemd has put into `credentials` under `cluster.key`, or else those in
    /// this directory.
    ///
    /// # Errors
    /// `Keys`.
    pub fn read_cluster_keys(&self, credentials: Option<&Path>) -> Result<ClusterKeys, ClusterError> {
        let (path, keys) = match credential(credentials) {
            Some(path) => (path.clone(), ClusterKeys::read_credential(&path)),
            None => (self.cluster_key(), ClusterKeys::read(&self.cluster_key())),
        };
        keys.map_err(|cause| ClusterError::Keys { path, cause })
    }

    /// Looks whether all is here that the node of `region` needs, before anything is done with it.
    ///
    /// # Errors
    /// `Incomplete`, with all that is missing.
    pub fn look_for_node(&self, region: &RegionName, credentials: Option<&Path>) -> Result<(), ClusterError> {
        let mut missing = node_files(region.as_str()).to_vec();
        missing.retain(|name| !self.0.join(name).exists());
        if credential(credentials).is_some() {
            missing.retain(|name| name != CLUSTER_KEY);
        }
        if missing.is_empty() {
            return Ok(());
        }
        let (directory, missing) = (self.0.clone(), missing.join(", "));
        Err(ClusterError::Incomplete { directory, region: region.clone(), missing })
    }

    /// Puts a new key in front of those that seal secrets; the old ones still open. Returns the file.
    ///
    /// # Errors
    /// `Elsewhere` when there are none, `Keys`, `Io`.
    pub fn rotate_key(&self) -> Result<PathBuf, ClusterError> {
        let path = self.cluster_key();
        if !path.exists() {
            return Err(ClusterError::Elsewhere(path));
        }
        ClusterKeys::read(&path).map_err(|cause| ClusterError::Keys { path: path.clone(), cause })?;
        let text = ClusterKeys::generate() + &self.read(CLUSTER_KEY)?;
        write_private(&path, text.as_bytes())
            .map_err(|cause| ClusterError::Io { path: path.clone(), cause })?;
        Ok(path)
    }

    /// Makes a new cluster: an authority and a sealing key. Returns the files made. `ca.pem` is written last: without it
    /// there is no cluster yet, only what is left of an attempt that was cut short, and the rest is made to fit that.
    ///
    /// # Errors
    /// `Exists` when there is one already, before anything is written.
    pub fn init(&self) -> Result<Vec<PathBuf>, ClusterError> {
        let mut making = self.making(AUTHORITY)?;
        making.keep_or_write(CLUSTER_KEY, || Ok(ClusterKeys::generate()))?;
        let key_pem = making.keep_or_write("ca.key", Authority::new_key)?;
        making.finish(Authority::with_key("Penstock cluster authority", &key_pem)?.certificate_pem())
    }

    /// Makes the certificate and the key of `region`'s node. Returns the files made. The certificate is written last, as
    /// with [`init`](Self::init).
    ///
    /// # Errors
    /// `Exists` when the node has a certificate already, `Elsewhere` when the authority is not here; before anything is
    /// written.
    pub fn make_node(&self, region: &RegionName, topology: &Topology) -> Result<Vec<PathBuf>, ClusterError> {
        let mut making = self.making(&format!("{region}.pem"))?;
        let authority = self.authority()?;
        let key_pem = making.keep_or_write(&format!("{region}.key"), Authority::new_key)?;
        let names = [peer_name(region, topology.domain())];
        making.finish(&authority.certify(&key_pem, &names, Purpose::Peer)?)
    }

    /// Begins to make the files that `last` completes.
    fn making(&self, last: &str) -> Result<Making<'_>, ClusterError> {
        let last = self.0.join(last);
        match last.exists() {
            true => Err(ClusterError::Exists(last)),
            false => Ok(Making { cluster: self, last, made: Vec::new() }),
        }
    }

    /// The authority in this directory.
    ///
    /// # Errors
    /// When its files cannot be read, or are not an authority's.
    pub fn authority(&self) -> Result<Authority, ClusterError> {
        for path in [AUTHORITY, "ca.key"].map(|name| self.0.join(name)) {
            if !path.exists() {
                return Err(ClusterError::Elsewhere(path));
            }
        }
        Ok(Authority::parse(&self.read(AUTHORITY)?, &self.read("ca.key")?)?)
    }

    /// The certificate of `region`'s node.
    #[must_use]
    pub fn node_certificate(&self, region: &RegionName) -> PathBuf {
        self.0.join(format!("{region}.pem"))
    }

    /// How long the certificate of `region`'s node is still good for its peers in `topology`, at `now_seconds`.
    ///
    /// # Errors
    /// `Io`, or `Certificate` when they will refuse it.
    pub fn examine_node(
        &self,
        region: &RegionName,
        topology: &Topology,
        now_seconds: u64,
    ) -> Result<Duration, ClusterError> {
        let path = self.node_certificate(region);
        let pem = std::fs::read(&path).map_err(|cause| ClusterError::Io { path: path.clone(), cause })?;
        let (authority, name) = (self.read(AUTHORITY)?, peer_name(region, topology.domain()));
        examination::examine(&pem, authority.as_bytes(), &name, now_seconds)
            .map_err(|fault| ClusterError::Certificate { path, fault })
    }

    fn read(&self, name: &str) -> Result<String, ClusterError> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).map_err(|cause| ClusterError::Io { path, cause })
    }
}

/// The file of sealing keys that systemd has put into `credentials`, if it has.
fn credential(credentials: Option<&Path>) -> Option<PathBuf> {
    credentials.map(|directory| directory.join(CLUSTER_KEY)).filter(|file| file.exists())
}

/// Files that make one identity together, the last of which makes it complete.
struct Making<'a> {
    cluster: &'a ClusterDir,
    last: PathBuf,
    made: Vec<PathBuf>,
}

impl Making<'_> {
    /// The text of the file `name`, which `make` gives where there is no such file yet.
    fn keep_or_write(
        &mut self,
        name: &str,
        make: impl FnOnce() -> Result<String, AuthorityError>,
    ) -> Result<String, ClusterError> {
        let path = self.cluster.0.join(name);
        if !path.exists() {
            let text = make()?;
            match write_new_private(&path, text.as_bytes()) {
                Ok(Written::New) => self.made.push(path),
                // Somebody else's, made meanwhile, is as good.
                Ok(Written::Existed) => {}
                Err(cause) => return Err(ClusterError::Io { path, cause }),
            }
        }
        self.cluster.read(name)
    }

    /// Writes the last file, and returns all that were made.
    fn finish(mut self, text: &str) -> Result<Vec<PathBuf>, ClusterError> {
        match write_new_private(&self.last, text.as_bytes()) {
            Ok(Written::New) => {
                self.made.push(self.last);
                Ok(self.made)
            }
            Ok(Written::Existed) => Err(ClusterError::Exists(self.last)),
            Err(cause) => Err(ClusterError::Io { path: self.last, cause }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::peer::Credentials;

    fn topology() -> Topology {
        Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:1"), ("las1", "127.0.0.1:2")])
            .expect("good")
    }

    #[test]
    fn a_new_cluster_has_private_files_that_a_node_can_use() {
        let data = tempfile::tempdir().expect("temporary directory");
        let (cluster, topology) = (ClusterDir::under(data.path()), topology());
        let las1 = topology.regions()[1].name();
        let mut files = cluster.init().expect("init");
        files.extend(cluster.make_node(las1, &topology).expect("node"));
        for file in files {
            let mode = std::fs::metadata(&file).expect("made").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        ClusterKeys::read(&cluster.cluster_key()).expect("the sealing key is one");
        let credentials = Credentials::load(cluster.path(), las1).expect("the node's certificate is usable");
        credentials.client_verifier(&topology).expect("the authority is one");
    }

    #[test]
    fn nothing_is_overwritten() {
        let data = tempfile::tempdir().expect("temporary directory");
        let (cluster, topology) = (ClusterDir::under(data.path()), topology());
        let las1 = topology.regions()[1].name();
        cluster.init().expect("init");
        cluster.make_node(las1, &topology).expect("node");
        let before = std::fs::read(cluster.cluster_key()).expect("read");
        assert!(matches!(cluster.init(), Err(ClusterError::Exists(_))));
        assert!(matches!(cluster.make_node(las1, &topology), Err(ClusterError::Exists(_))));
        assert_eq!(std::fs::read(cluster.cluster_key()).expect("read"), before);
    }

    #[test]
    fn a_rotated_key_seals_and_the_old_one_still_opens() {
        let data = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::under(data.path());
        assert!(matches!(cluster.rotate_key(), Err(ClusterError::Elsewhere(_))), "there is none to rotate");
        cluster.init().expect("init");
        let sealed = cluster.read_cluster_keys(None).expect("keys").seal("s3cret", b"alice");
        let path = cluster.rotate_key().expect("rotate");
        assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        let keys = cluster.read_cluster_keys(None).expect("keys");
        assert_eq!(keys.open(&sealed, b"alice").expect("opens"), "s3cret");
        assert!(!keys.is_newest(&sealed.key_id));
    }

    /// systemd gives a service's user access by an ACL, whose mask shows as the group's bits.
    #[test]
    fn a_key_that_systemd_hands_over_comes_first_whatever_its_mode() {
        let data = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::under(data.path());
        cluster.init().expect("init");
        let credentials = tempfile::tempdir().expect("temporary directory");
        let sealed = cluster.read_cluster_keys(Some(credentials.path())).expect("keys").seal("s3cret", b"");
        let file = credentials.path().join("cluster.key");
        std::fs::write(&file, ClusterKeys::generate()).expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).expect("chmod");
        let keys = cluster.read_cluster_keys(Some(credentials.path())).expect("keys");
        assert!(keys.open(&sealed, b"").is_err(), "another key than the one in the folder");
        assert!(matches!(ClusterKeys::read(&file), Err(ClusterKeysError::TooOpen(0o440))));
    }

    /// A start that was cut short after any of its files is taken up where it stopped; keys that are there stay, since
    /// something may have been sealed or signed with them.
    #[test]
    fn what_was_cut_short_is_completed() {
        for left_over in [&["cluster.key"][..], &["cluster.key", "ca.key"]] {
            let data = tempfile::tempdir().expect("temporary directory");
            let (cluster, topology) = (ClusterDir::under(data.path()), topology());
            let whole = cluster.init().expect("init");
            let before = |name: &&str| std::fs::read(cluster.path().join(name)).expect("read");
            let kept: Vec<_> = left_over.iter().map(before).collect();
            for path in whole.iter().filter(|path| !left_over.iter().any(|name| path.ends_with(name))) {
                std::fs::remove_file(path).expect("remove");
            }
            let made = cluster.init().expect("the rest");
            assert_eq!(made.len(), whole.len() - left_over.len());
            assert_eq!(left_over.iter().map(before).collect::<Vec<_>>(), kept);

            let las1 = topology.regions()[1].name();
            let node = cluster.make_node(las1, &topology).expect("node");
            let key = std::fs::read(&node[0]).expect("read");
            std::fs::remove_file(&node[1]).expect("remove the certificate");
            assert_eq!(cluster.make_node(las1, &topology).expect("the rest"), node[1..]);
            assert_eq!(std::fs::read(&node[0]).expect("read"), key);
            let credentials = Credentials::load(cluster.path(), las1).expect("key and certificate fit");
            credentials.client_verifier(&topology).expect("the authority is one");
            credentials.server_certificate().expect("the pair is one");
        }
    }

    /// A leftover that is no key is not built upon.
    #[test]
    fn a_key_that_is_none_stops_the_making() {
        let data = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::under(data.path());
        std::fs::create_dir_all(cluster.path()).expect("create");
        std::fs::write(cluster.path().join("ca.key"), "old").expect("write");
        assert!(matches!(cluster.init(), Err(ClusterError::Authority(_))));
        assert!(!cluster.path().join("ca.pem").exists());
    }

    /// An authority left over from another cluster must not be mixed with new keys.
    #[test]
    fn a_complete_authority_stops_all_of_them() {
        let data = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::under(data.path());
        std::fs::create_dir_all(cluster.path()).expect("create");
        std::fs::write(cluster.path().join("ca.pem"), "old").expect("write");
        assert!(matches!(cluster.init(), Err(ClusterError::Exists(_))));
        assert!(!cluster.cluster_key().exists());
    }
}
