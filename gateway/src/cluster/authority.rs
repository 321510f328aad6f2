//! A certificate authority of our own: the cluster's, and the one that `penstock dev --tls` makes for browsers and SDKs.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Clocks differ: what was signed now is good on a machine that is a day behind.
const VALID_BEFORE: Duration = DAY;

/// Ten years: a certificate that runs out takes a node off the peer channel.
const VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Both ends of the peer channel.
    Peer,
    /// A public listener.
    Server,
}

/// A certificate and its key, as PEM.
pub struct IssuedCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, PKCS #8.
    pub key_pem: String,
}

/// Signs certificates. Its key is not shown by `Debug`.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate could not be made, or what was read is not an authority's.
#[derive(Debug, thiserror::Error)]
#[error("certificate authority: {0}")]
pub struct AuthorityError(#[from] rcgen::Error);

impl Authority {
    /// A new private key, PEM.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new_key() -> Result<String, AuthorityError> {
        Ok(KeyPair::generate()?.serialize_pem())
    }

    /// A new authority with a new key.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn create(name: &str) -> Result<Self, AuthorityError> {
        Self::with_key(name, &Self::new_key()?)
    }

    /// A new authority with the key in `key_pem`.
    ///
    /// # Errors
    /// When it is not a key.
    pub fn with_key(name: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let mut params = valid_from_now(name, CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::from_pem(key_pem)?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// The authority whose certificate and key are in these PEM texts.
    ///
    /// # Errors
    /// When one of them cannot be parsed.
    pub fn parse(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The certificate, PEM: what others are told to believe.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PEM: for a file that only its owner reads.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A new key with a certificate for `names`: DNS names, wildcards too, and IP addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue(&self, names: &[String], purpose: Purpose) -> Result<IssuedCertificate, AuthorityError> {
        let key_pem = Self::new_key()?;
        Ok(IssuedCertificate { certificate_pem: self.certify(&key_pem, names, purpose)?, key_pem })
    }

    /// A certificate, PEM, of the key in `key_pem` for `names`.
    ///
    /// # Errors
    /// When it is not a key, or a name cannot stand in a certificate.
    pub fn certify(
        &self,
        key_pem: &str,
        names: &[String],
        purpose: Purpose,
    ) -> Result<String, AuthorityError> {
        let common_name = names.first().map_or("penstock", String::as_str);
        let mut params = valid_from_now(common_name, CertificateParams::new(names)?);
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match purpose {
            Purpose::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        Ok(params.signed_by(&KeyPair::from_pem(key_pem)?, &self.issuer)?.pem())
    }
}

fn valid_from_now(common_name: &str, mut params: CertificateParams) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - VALID_BEFORE;
    params.not_after = now + VALID_FOR;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
    }

    #[test]
    fn an_authority_read_back_signs_what_the_first_one_vouches_for() {
        let made = Authority::create("test authority").expect("create");
        let read = Authority::parse(made.certificate_pem(), &made.key_pem()).expect("parse");
        let leaf =
            read.issue(&["*.object.ord1.penstock.localhost".into(), "127.0.0.1".into()], Purpose::Server);
        let leaf_der = der(&leaf.expect("issue").certificate_pem);
        let (_, leaf) = X509Certificate::from_der(&leaf_der).expect("leaf");
        let ca_der = der(made.certificate_pem());
        let (_, ca) = X509Certificate::from_der(&ca_der).expect("ca");
        assert!(ca.is_ca() && !leaf.is_ca());
        assert_eq!(leaf.issuer(), ca.subject());
        let names =
            leaf.subject_alternative_name().expect("extension").expect("names").value.general_names.clone();
        assert_eq!(
            names,
            [
                GeneralName::DNSName("*.object.ord1.penstock.localhost"),
                GeneralName::IPAddress(&[127, 0, 0, 1])
            ]
        );
    }

    #[test]
    fn only_peers_may_show_their_certificate_as_clients() {
        let authority = Authority::create("test authority").expect("create");
        for (purpose, client) in [(Purpose::Peer, true), (Purpose::Server, false)] {
            let leaf = authority.issue(&["a.example.com".into()], purpose).expect("issue");
            let leaf_der = der(&leaf.certificate_pem);
            let (_, leaf) = X509Certificate::from_der(&leaf_der).expect("leaf");
            let usage = leaf.extended_key_usage().expect("extension").expect("usage").value;
            assert_eq!((usage.server_auth, usage.client_auth), (true, client));
        }
    }
}
