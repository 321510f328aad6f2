//! The certificate of the public listeners, which can be replaced while connections are served.
//!
//! A handshake takes the certificate that is current when it begins; established connections keep theirs. New
//! files that cannot be used leave the old certificate in place.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::TlsFiles;
use crate::x509::Said;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The files can be read, and not used.
    #[error("{} and {}: {cause}", files.certificate.display(), files.key.display())]
    Files {
        /// Which files.
        files: TlsFiles,
        /// Why not.
        cause: Box<TlsError>,
    },
    /// No PEM of the kind wanted.
    #[error("{what}: {cause}")]
    Pem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the parser said.
        cause: rustls_pki_types::pem::Error,
    },
    /// The certificate file holds none.
    #[error("certificate: none in the file")]
    Empty,
    /// The two do not work together, or not with this TLS library.
    #[error("certificate and key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The certificate that handshakes are answered with.
pub struct Certificate {
    current: ArcSwap<CertifiedKey>,
    /// Where it is said when it ends: one for each node of this process.
    expiries: Mutex<Vec<IntGauge>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(chain of {})", self.current.load().cert.len())
    }
}

impl Certificate {
    /// The certificate chain (leaf first) and private key in these PEM texts.
    ///
    /// # Errors
    /// When one cannot be parsed, or the key is another certificate's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self::of(certified(chain, key)?))
    }

    /// The certificate in `files`.
    ///
    /// # Errors
    /// When a file cannot be read, or as [`from_pem`](Self::from_pem).
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self::of(read(files)?))
    }

    fn of(certified: CertifiedKey) -> Self {
        Self { current: ArcSwap::from_pointee(certified), expiries: Mutex::default() }
    }

    /// Has `expiry` say from now on when the certificate in use ends.
    pub fn show_expiry(&self, expiry: IntGauge) {
        self.expiries.lock().unwrap_or_else(PoisonError::into_inner).push(expiry);
        self.tell_expiry();
    }

    fn tell_expiry(&self) {
        // What no parser of ours can read is shown to clients all the same; nothing is said of it.
        let Some(said) = Said::by(&self.leaf()) else { return };
        for expiry in self.expiries.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            expiry.set(said.last_second());
        }
    }

    /// The certificate of the listener itself, without those above it.
    #[must_use]
    pub fn leaf(&self) -> CertificateDer<'static> {
        // There is one: a chain of none is refused.
        self.current.load().cert[0].clone()
    }

    /// Takes what `files` hold now for the handshakes to come.
    ///
    /// # Errors
    /// As [`read`](Self::read); the certificate in use stays.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(files)?));
        self.tell_expiry();
        Ok(())
    }

    /// TLS 1.2 and 1.3 with this certificate, HTTP/2 offered before HTTP/1.1.
    ///
    /// # Panics
    /// Never: ring supports both versions.
    #[must_use]
    pub fn server_config(self: &Arc<Self>) -> Arc<rustls::ServerConfig> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|cause| TlsError::Read { path: path.clone(), cause });
    certified(&read(&files.certificate)?, &read(&files.key)?)
        .map_err(|cause| TlsError::Files { files: files.clone(), cause: Box::new(cause) })
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| TlsError::Pem { what: "certificate", cause })?;
    if chain.is_empty() {
        return Err(TlsError::Empty);
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|cause| TlsError::Pem { what: "private key", cause })?;
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Authority, IssuedCertificate, Purpose};

    fn issued() -> IssuedCertificate {
        let authority = Authority::create("test authority").expect("create");
        authority.issue(&["object.ord1.penstock.localhost".into()], Purpose::Server).expect("issue")
    }

    struct Files {
        _dir: tempfile::TempDir,
        tls: TlsFiles,
    }

    impl Files {
        fn with(issued: &IssuedCertificate) -> Self {
            let dir = tempfile::tempdir().expect("temporary directory");
            let tls = TlsFiles { certificate: dir.path().join("a.pem"), key: dir.path().join("a.key") };
            let files = Self { _dir: dir, tls };
            files.write(&issued.certificate_pem, &issued.key_pem);
            files
        }

        fn write(&self, certificate: &str, key: &str) {
            std::fs::write(&self.tls.certificate, certificate).expect("write");
            std::fs::write(&self.tls.key, key).expect("write");
        }
    }

    #[test]
    fn a_reload_takes_the_new_certificate() {
        let (old, new) = (issued(), issued());
        let files = Files::with(&old);
        let certificate = Certificate::read(&files.tls).expect("read");
        let before = certificate.leaf();
        files.write(&new.certificate_pem, &new.key_pem);
        certificate.reload(&files.tls).expect("reload");
        assert_ne!(certificate.leaf(), before);
    }

    /// When the certificate in use ends is said of each in turn.
    #[test]
    fn the_expiry_that_is_shown_is_of_the_certificate_in_use() {
        let ending = |year| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new(["a.example.com".to_owned()]).expect("a name");
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate_pem = params.self_signed(&key).expect("signed").pem();
            IssuedCertificate { certificate_pem, key_pem: key.serialize_pem() }
        };
        let (first, second) = (ending(2030), ending(2040));
        let files = Files::with(&first);
        let certificate = Certificate::read(&files.tls).expect("read");
        let expiry = IntGauge::new("expiry", "When it ends.").expect("a name");
        certificate.show_expiry(expiry.clone());
        assert_eq!(expiry.get(), 1_893_456_000);
        files.write("", "");
        certificate.reload(&files.tls).expect_err("refused");
        assert_eq!(expiry.get(), 1_893_456_000, "the old one stays in use");
        files.write(&second.certificate_pem, &second.key_pem);
        certificate.reload(&files.tls).expect("reload");
        assert_eq!(expiry.get(), 2_208_988_800);
    }

    #[test]
    fn bad_new_files_leave_the_old_certificate() {
        let (old, other) = (issued(), issued());
        let files = Files::with(&old);
        let certificate = Certificate::read(&files.tls).expect("read");
        let before = certificate.leaf();
        for (chain, key) in [
            ("", old.key_pem.as_str()),
            ("not PEM", old.key_pem.as_str()),
            (other.certificate_pem.as_str(), ""),
            (other.certificate_pem.as_str(), old.key_pem.as_str()),
        ] {
            files.write(chain, key);
            certificate.reload(&files.tls).expect_err("refused");
            assert_eq!(certificate.leaf(), before);
        }
        std::fs::remove_file(&files.tls.key).expect("remove");
        assert!(matches!(certificate.reload(&files.tls), Err(TlsError::Read { .. })));
    }
}
