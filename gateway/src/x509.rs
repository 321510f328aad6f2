//! What a certificate says of itself: for which names it is, and from when until when.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate, as far as it can be looked at without believing anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The DNS names that it is for, wildcards as they are written.
    pub(crate) names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

/// How a certificate stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It begins later.
    NotYetValid,
    /// It is good for so long.
    Good(Duration),
    /// It has ended.
    Expired,
}

impl Said {
    /// What `certificate` says; `None` if it is none.
    #[must_use]
    pub(crate) fn by(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut names = Vec::new();
        if let Ok(Some(extension)) = certificate.subject_alternative_name() {
            for name in &extension.value.general_names {
                if let GeneralName::DNSName(name) = name {
                    names.push((*name).to_owned());
                }
            }
        }
        let validity = certificate.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Some(Self { names, not_before, not_after })
    }

    /// The hosts that it is for.
    #[must_use]
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How it stands at `now_seconds`.
    #[must_use]
    pub(crate) fn at(&self, now_seconds: u64) -> Standing {
        let now = i64::try_from(now_seconds).unwrap_or(i64::MAX);
        if now < self.not_before {
            return Standing::NotYetValid;
        }
        let seconds_left = u64::try_from(self.not_after - now);
        seconds_left.map_or(Standing::Expired, |seconds| Standing::Good(Duration::from_secs(seconds)))
    }

    /// Its last second, counted since 1970.
    #[must_use]
    pub(crate) fn last_second(&self) -> i64 {
        self.not_after
    }

    /// From its beginning to its end.
    #[must_use]
    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.not_after.saturating_sub(self.not_before)).unwrap_or_default())
    }

    /// Whether one of its names stands for `host`: a wildcard does for one label (RFC 6125 §6.4.3).
    #[must_use]
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            None => name.eq_ignore_ascii_case(host),
            Some(above) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(above)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let said = |names: &[&str]| Said {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            not_before: 0,
            not_after: 0,
        };
        for (name, host, is_for) in [
            ("object.ord1.example.com", "object.ord1.example.com", true),
            ("Object.ord1.example.com", "object.ord1.example.com", true),
            ("*.ord1.example.com", "object.ord1.example.com", true),
            ("*.example.com", "object.ord1.example.com", false),
            ("*.object.ord1.example.com", "object.ord1.example.com", false),
            ("ord1.example.com", "object.ord1.example.com", false),
            ("*", "object", false),
        ] {
            assert_eq!(said(&["other.example.com", name]).is_for(host), is_for, "{name} {host}");
        }
    }

    #[test]
    fn the_last_second_is_good() {
        let said = Said { names: Vec::new(), not_before: 10, not_after: 20 };
        assert_eq!(said.at(9), Standing::NotYetValid);
        assert_eq!(said.at(10), Standing::Good(Duration::from_secs(10)));
        assert_eq!(said.at(20), Standing::Good(Duration::ZERO));
        assert_eq!(said.at(21), Standing::Expired);
        assert_eq!(said.lifetime(), Duration::from_secs(10));
    }
}
