//! A node's certificate and key, and the cluster's authority: everything TLS on the peer channel stands on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName as TlsName, RootCertStore,
    SignatureScheme,
};
use tracing::warn;

use super::peer_name;
use crate::topology::{RegionName, Topology};
use crate::x509::Said;

/// Between two words to the operator about nodes that are not let in.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A node's own certificate chain and key, and the one authority it believes on the peer channel. The key is not
/// shown by `Debug`.
pub struct Credentials {
    authority: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// Why peer certificates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file that cannot be read, or holds no PEM of the kind wanted.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The files were read, but do not make a working identity together.
    #[error("peer certificate: {0}")]
    Unusable(String),
}

impl Credentials {
    /// Reads `ca.pem`, `<region>.pem` (leaf first) and `<region>.key` in `directory`.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, or the key is not the certificate's.
    pub fn load(directory: &Path, region: &RegionName) -> Result<Self, CredentialsError> {
        let read = |name: String| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|e| CredentialsError::File { path, problem: e.to_string() })
        };
        let authority = read("ca.pem".into())?;
        let chain = read(format!("{region}.pem"))?;
        let key = read(format!("{region}.key"))?;
        Self::from_pem(&authority, &chain, &key).map_err(|e| CredentialsError::File {
            path: directory.join(format!("{region}.pem")),
            problem: e.to_string(),
        })
    }

    /// The same from PEM text in memory.
    ///
    /// # Errors
    /// When one cannot be parsed, or the key is not the certificate's.
    pub fn from_pem(authority: &[u8], chain: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let unusable =
            |what: &str, e: &dyn std::fmt::Display| CredentialsError::Unusable(format!("{what}: {e}"));
        let authority = CertificateDer::from_pem_slice(authority).map_err(|e| unusable("authority", &e))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|e| unusable("certificate", &e))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| unusable("key", &e))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|e| unusable("authority", &e))?;
        let credentials = Self {
            authority,
            chain,
            key,
            roots: Arc::new(roots),
            provider: Arc::new(ring::default_provider()),
        };
        credentials.certified_key()?;
        Ok(credentials)
    }

    /// The last second in which the node's own certificate is good, counted since 1970; `None` where it does not say.
    #[must_use]
    pub fn last_second(&self) -> Option<i64> {
        Some(Said::by(self.chain.first()?)?.last_second())
    }

    /// What the peer listener shows to whoever connects.
    ///
    /// # Errors
    /// When the key cannot be used with the certificate.
    pub fn server_certificate(&self) -> Result<Arc<dyn ResolvesServerCert>, CredentialsError> {
        Ok(Arc::new(SingleCertAndKey::from(self.certified_key()?)))
    }

    /// What the peer listener demands of whoever connects: a certificate of the cluster's authority that is for the node of a
    /// region of `topology`, nothing less.
    ///
    /// # Errors
    /// When the authority's certificate cannot be used as one.
    pub fn client_verifier(
        &self,
        topology: &Topology,
    ) -> Result<Arc<dyn ClientCertVerifier>, CredentialsError> {
        let signed = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
            .build()
            .map_err(|e| CredentialsError::Unusable(e.to_string()))?;
        let regions = topology.regions().iter();
        let names = regions.map(|region| peer_name(region.name(), topology.domain())).collect();
        Ok(Arc::new(NodesAlone { signed, names, told: Mutex::default() }))
    }

    /// TLS towards other nodes: our certificate shown, theirs accepted from the cluster's authority alone.
    pub(super) fn client_config(&self) -> Result<ClientConfig, CredentialsError> {
        let unusable = |e: rustls::Error| CredentialsError::Unusable(e.to_string());
        ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(unusable)
    }

    /// The same for a pingora upstream: the client's certificate and key, and the authorities believed.
    pub(super) fn upstream(&self) -> (Arc<CertKey>, Arc<CaType>) {
        let chain = self.chain.iter().map(|certificate| certificate.to_vec()).collect();
        let authority = WrappedX509::new(self.authority.to_vec(), pingora::utils::tls::parse_x509);
        (Arc::new(CertKey::new(chain, self.key.secret_der().to_vec())), Arc::new([authority]))
    }

    fn certified_key(&self) -> Result<CertifiedKey, CredentialsError> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &self.provider)
            .map_err(|e| CredentialsError::Unusable(e.to_string()))
    }
}

/// Lets in who shows a certificate of the authority with one of these names.
///
/// Whoever is let in may read any object's pages and is believed about clients, whichever region their node is of: so that of
/// a region that is no more must not do, however long its certificate is good.
#[derive(Debug)]
struct NodesAlone {
    signed: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
    /// When somebody was told of one that was not let in. Their node tries again every few seconds.
    told: Mutex<Option<Instant>>,
}

impl NodesAlone {
    /// Tells the operator of a node that is not of `regions.toml`, where nobody was told of one for a while.
    fn tell(&self, certificate: Option<&Said>) {
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
                return;
            }
            *told = Some(Instant::now());
        }
        let names = certificate.map(Said::names).unwrap_or_default();
        warn!(
            ?names,
            "a node with a certificate of the cluster is not let in: its region is not in this node's regions.toml"
        );
    }
}

impl ClientCertVerifier for NodesAlone {
    fn root_hint_subjects(&self) -> &[TlsName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.signed.verify_client_cert(certificate, intermediates, now)?;
        let said = Said::by(certificate);
        if said.as_ref().is_some_and(|said| self.names.iter().any(|name| said.is_for(name))) {
            return Ok(verified);
        }
        self.tell(said.as_ref());
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("chain", &self.chain.len())
            .field("key", &"***")
            .finish_non_exhaustive()
    }
}
