//! What all servers of a case stand on: a folder, the origin, a certificate, and the programs that were fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tests::ports::Block;
use tests::process::target_dir;

use crate::case::{Before, Case};
use crate::cores::run_on_core;
use crate::exchange::Address;
use crate::server::{CLIENT_CORE, Program};

const FILE_BYTES: usize = 1 << 30;

/// Made anew for each case.
pub(crate) struct Ground {
    dir: TempDir,
    pub(crate) tls: Tls,
    pub(crate) origin: Address,
    _origin: Program,
    /// Held until all that listens on this ground is gone.
    ports: Mutex<Vec<Block>>,
}

/// A certificate for 127.0.0.1 that every server shows.
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: CertificateDer<'static>,
}

impl Ground {
    /// A fresh folder, and an origin on the client's core.
    pub(crate) async fn prepare(case: &Case) -> Self {
        run_on_core(CLIENT_CORE);
        let parent = target_dir().join("tmp");
        fs::create_dir_all(&parent).expect("make the folder for what benches write");
        let dir = tempfile::Builder::new().prefix("reads-").tempdir_in(parent).expect("make a fresh folder");
        let tls = Tls::issue(dir.path());
        if case.before == Before::PagesDropped {
            fs::write(file(&dir), vec![0x5a; FILE_BYTES]).expect("write the floor server's file");
        }
        let ports = Mutex::default();
        let origin = Address { at: free_address(&ports), tls: None };
        let mut command = floor();
        command.arg(&origin.at);
        let program = Program::start(command, &origin.at).await;
        Self { dir, tls, origin, _origin: program, ports }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn free_address(&self) -> String {
        free_address(&self.ports)
    }

    /// The floor server of `case`, listening at `address`.
    pub(crate) fn floor(&self, address: &str, case: &Case) -> Command {
        let mut command = floor();
        command.arg(address);
        if case.before == Before::PagesDropped {
            command.arg(file(&self.dir));
        }
        if case.is_tls {
            command.arg(&self.tls.certificate).arg(&self.tls.key);
        }
        command
    }
}

impl Tls {
    fn issue(folder: &Path) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let issued = rcgen::generate_simple_self_signed(names).expect("issue a certificate");
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificate, issued.cert.pem()).expect("write the certificate");
        fs::write(&key, issued.signing_key.serialize_pem()).expect("write its key");
        Self { certificate, key, der: issued.cert.der().clone() }
    }

    /// A client that believes it, and speaks HTTP/1.1 over TLS 1.3.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let versions = [&rustls::version::TLS13];
        let config = ClientConfig::builder_with_protocol_versions(&versions).with_root_certificates(roots);
        Arc::new(config.with_no_client_auth())
    }
}

/// A program of those that benches/set-up has unpacked, with its libraries.
pub(crate) fn tool(name: &str) -> Command {
    let unpacked = target_dir().join("peers");
    let libraries = unpacked.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(unpacked.join("usr/sbin").join(name));
    let paths = [libraries.join("varnish"), libraries];
    command.env("LD_LIBRARY_PATH", std::env::join_paths(paths).expect("paths without colons"));
    command
}

fn floor() -> Command {
    Command::new(std::env::current_exe().expect("this executable's path").with_file_name("floor"))
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("floor")
}

fn free_address(ports: &Mutex<Vec<Block>>) -> String {
    let block = Block::take();
    let address = format!("127.0.0.1:{}", block.first());
    ports.lock().expect("no panic while locked").push(block);
    address
}
