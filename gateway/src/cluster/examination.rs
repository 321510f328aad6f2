//! Looking at a node's certificate as its peers will, so that the operator hears of a fault before they do.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

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
    /// It begins later than now.
    #[error("not valid yet, by this clock")]
    NotYetValid,
    /// It has ended.
    #[error("expired: make it anew with `penstock cluster node`")]
    Expired,
}

/// How long the certificate in `pem` is still good at `now_seconds` for the peer called `name`.
///
/// # Errors
/// [`CertificateFault`] when it is not.
pub(super) fn examine(pem: &[u8], name: &str, now_seconds: u64) -> Result<Duration, CertificateFault> {
    let der = CertificateDer::from_pem_slice(pem).map_err(|_| CertificateFault::Unreadable)?;
    let said = Said::by(&der).ok_or(CertificateFault::Unreadable)?;
    if !said.names.iter().any(|found| found == name) {
        return Err(CertificateFault::OtherName { found: said.names.join(", "), expected: name.to_owned() });
    }
    match said.at(now_seconds) {
        Standing::NotYetValid => Err(CertificateFault::NotYetValid),
        Standing::Expired => Err(CertificateFault::Expired),
        Standing::Good(left) => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::cluster::{Authority, Purpose};

    const NAME: &str = "las1.peer.penstock.localhost";
    const YEAR: u64 = 365 * 24 * 3600;

    fn certificate() -> Vec<u8> {
        let authority = Authority::create("test authority").expect("create");
        authority.issue(&[NAME.into()], Purpose::Peer).expect("issue").certificate_pem.into_bytes()
    }

    #[test]
    fn a_new_certificate_is_good_for_years_and_then_expired() {
        let (pem, now) = (certificate(), clock::now_seconds());
        let left = examine(&pem, NAME, now).expect("good");
        assert!(left > Duration::from_secs(9 * YEAR), "{left:?}");
        assert_eq!(examine(&pem, NAME, now + 11 * YEAR), Err(CertificateFault::Expired));
        assert_eq!(examine(&pem, NAME, now - YEAR), Err(CertificateFault::NotYetValid));
    }

    #[test]
    fn a_certificate_of_another_region_is_told_by_name() {
        let fault = examine(&certificate(), "ord1.peer.penstock.localhost", clock::now_seconds());
        let message = fault.expect_err("other name").to_string();
        assert!(message.contains(NAME) && message.contains("ord1.peer"), "{message}");
    }

    #[test]
    fn text_that_is_no_certificate_is_a_fault() {
        assert_eq!(examine(b"nothing", NAME, 0), Err(CertificateFault::Unreadable));
    }
}
