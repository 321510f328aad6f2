//! Looking at a node's certificate as its peers will, so that the operator hears of a fault before they do.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::x509::{Said, Standing};

/// Why peers will not talk to a node.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CertificateFault {
    /// There is no certificate in the text.
    #[error("not a certificate")]
    Unreadable,
    /// It was made for another region or domain.
    #[error("made for {found}, peers expect {expected}: make it anew with `penstock cluster node`")]
    OtherName {
        /// The names in it.
        found: String,
        /// The name that peers verify.
        expected: String,
    },
    /// Another cluster's authority signed it, or another one's certificate lies beside it.
    #[error(
        "not signed by the ca.pem beside it: take both from where `penstock cluster init` was run, once for all nodes"
    )]
    OtherAuthority,
    /// It begins later than now.
    #[error("not valid yet, by this clock")]
    NotYetValid,
    /// It has ended.
    #[error("expired: make it anew with `penstock cluster node`")]
    Expired,
}

/// How long the certificate in `pem` is still good at `now_seconds` for the peer called `name`, which believes the
/// authority in `authority_pem`.
///
/// # Errors
/// [`CertificateFault`] when it is not.
pub(super) fn examine(
    pem: &[u8],
    authority_pem: &[u8],
    name: &str,
    now_seconds: u64,
) -> Result<Duration, CertificateFault> {
    let der = CertificateDer::from_pem_slice(pem).map_err(|_| CertificateFault::Unreadable)?;
    let said = Said::by(&der).ok_or(CertificateFault::Unreadable)?;
    if !said.names.iter().any(|found| found == name) {
        return Err(CertificateFault::OtherName { found: said.names.join(", "), expected: name.to_owned() });
    }
    match said.at(now_seconds) {
        Standing::NotYetValid => Err(CertificateFault::NotYetValid),
        Standing::Expired => Err(CertificateFault::Expired),
        Standing::Good(left) => match is_signed_by(&der, authority_pem, now_seconds) {
            Some(true) => Ok(left),
            Some(false) => Err(CertificateFault::OtherAuthority),
            None => Err(CertificateFault::Unreadable),
        },
    }
}

/// Whether whoever believes the authority believes `certificate`; `None` when there is no authority in the text.
fn is_signed_by(certificate: &CertificateDer<'_>, authority_pem: &[u8], now_seconds: u64) -> Option<bool> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem).ok()?).ok()?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_seconds));
    Some(verifier.verify_client_cert(certificate, &[], now).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::cluster::{Authority, Purpose};

    const NAME: &str = "las1.peer.penstock.localhost";
    const YEAR: u64 = 365 * 24 * 3600;

    /// A certificate of a new authority, and the authority's.
    fn certificates() -> (String, String) {
        let authority = Authority::create("test authority").expect("create");
        let issued = authority.issue(&[NAME.into()], Purpose::Peer).expect("issue");
        (issued.certificate_pem, authority.certificate_pem().to_owned())
    }

    fn examined(certificate: &str, authority: &str, now: u64) -> Result<Duration, CertificateFault> {
        examine(certificate.as_bytes(), authority.as_bytes(), NAME, now)
    }

    #[test]
    fn a_new_certificate_is_good_for_years_and_then_expired() {
        let ((pem, authority), now) = (certificates(), clock::now_seconds());
        let left = examined(&pem, &authority, now).expect("good");
        assert!(left > Duration::from_secs(9 * YEAR), "{left:?}");
        assert_eq!(examined(&pem, &authority, now + 11 * YEAR), Err(CertificateFault::Expired));
        assert_eq!(examined(&pem, &authority, now - YEAR), Err(CertificateFault::NotYetValid));
    }

    /// Two clusters' authorities have the same name: the signature decides.
    #[test]
    fn a_certificate_of_another_cluster_is_a_fault() {
        let ((pem, _), (_, authority)) = (certificates(), certificates());
        let now = clock::now_seconds();
        assert_eq!(examined(&pem, &authority, now), Err(CertificateFault::OtherAuthority));
        assert_eq!(examined(&pem, "nothing", now), Err(CertificateFault::Unreadable));
    }

    #[test]
    fn a_certificate_of_another_region_is_told_by_name() {
        let (pem, authority) = certificates();
        let name = "ord1.peer.penstock.localhost";
        let fault = examine(pem.as_bytes(), authority.as_bytes(), name, clock::now_seconds());
        let message = fault.expect_err("other name").to_string();
        assert!(message.contains(NAME) && message.contains("ord1.peer"), "{message}");
    }

    #[test]
    fn text_that_is_no_certificate_is_a_fault() {
        assert_eq!(examined("nothing", "nothing", 0), Err(CertificateFault::Unreadable));
    }
}
