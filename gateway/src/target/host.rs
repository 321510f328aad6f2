//! Which endpoint a host name means, and which bucket it names.
//!
//! `object.<region>.<domain>` is a region's standard endpoint, `accel-object.<region>.<domain>` its accelerated one, and
//! under `website.<region>.<domain>` are its websites; one label before any of them is a bucket. A bucket whose name has dots is reached by path only: two labels before an
//! endpoint are no host of ours, so that `a.b.object.…` can never mean one bucket here and another in a certificate.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use s3s::host::{S3Host, VirtualHost};
use s3s::{S3ErrorCode, S3Result};

use super::EndpointKind;
use crate::refusal::Refusal;
use crate::topology::{RegionName, Topology};

/// What the value of a `Host` header means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address or `localhost`: the listener's own region and endpoint kind, buckets in the path.
    OfListener,
    /// A region's endpoint, and the bucket when the host name names one.
    Endpoint {
        /// The region.
        region: RegionName,
        /// Which of the three.
        kind: EndpointKind,
        /// The label before the endpoint's name, lower case.
        bucket: Option<String>,
    },
}

impl Host {
    /// The meaning of `value`: in any case, with or without a port and a trailing dot.
    ///
    /// # Errors
    /// `InvalidHostHeader` for anything that is not an endpoint under the topology's domain, an IP address or
    /// `localhost`.
    pub fn parse(topology: &Topology, value: &str) -> Result<Self, Refusal> {
        let name = without_port(value).ok_or_else(unknown_host)?;
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name == "localhost" || is_ip_address(&name) {
            return Ok(Self::OfListener);
        }
        let under_domain = name.strip_suffix(topology.domain()).and_then(|rest| rest.strip_suffix('.'));
        let (rest, region) = under_domain.and_then(|rest| rest.rsplit_once('.')).ok_or_else(unknown_host)?;
        let region = topology.region(region).ok_or_else(unknown_host)?.name().clone();
        let (bucket, endpoint) = match rest.rsplit_once('.') {
            Some((bucket, endpoint)) => (Some(bucket), endpoint),
            None => (None, rest),
        };
        let kind = match endpoint {
            "object" => EndpointKind::Standard,
            "accel-object" => EndpointKind::Accelerated,
            "website" => EndpointKind::Website,
            _ => return Err(unknown_host()),
        };
        if bucket.is_some_and(|bucket| bucket.is_empty() || bucket.contains('.')) {
            return Err(unknown_host());
        }
        Ok(Self::Endpoint { region, kind, bucket: bucket.map(str::to_owned) })
    }
}

/// s3s's way to ask: the same [`Host::parse`], so that both see the same bucket.
pub struct Hosts(pub Arc<Topology>);

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let bucket = match Host::parse(&self.0, host).map_err(Refusal::into_s3_error)? {
            Host::Endpoint { bucket, .. } => bucket,
            Host::OfListener => None,
        };
        let host = VirtualHost::new(self.0.domain());
        Ok(match bucket {
            Some(bucket) => host.with_bucket(bucket),
            None => host,
        })
    }
}

/// `value` without its port; `None` when what follows the colon is no port.
fn without_port(value: &str) -> Option<&str> {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    match value.strip_prefix('[') {
        Some(_) => {
            let (address, after) = value.split_at(value.find(']')? + 1);
            (after.is_empty() || after.strip_prefix(':').is_some_and(is_port)).then_some(address)
        }
        None => match value.split_once(':') {
            Some((name, port)) => is_port(port).then_some(name),
            None => Some(value),
        },
    }
}

fn is_ip_address(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<IpAddr>().is_ok(),
    }
}

fn unknown_host() -> Refusal {
    Refusal::new(S3ErrorCode::InvalidHostHeader, "The Host header does not name an endpoint of this service.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:9003"), ("las1", "127.0.0.1:9013")])
            .expect("good topology")
    }

    #[test]
    fn endpoints_are_known_in_any_case_with_port_and_trailing_dot() {
        use EndpointKind::{Accelerated, Standard, Website};
        let cases = [
            ("object.ord1.penstock.localhost", "ord1", Standard, None),
            ("accel-object.las1.penstock.localhost:9011", "las1", Accelerated, None),
            ("OBJECT.Ord1.Penstock.LOCALHOST.:9000", "ord1", Standard, None),
            ("Photos.accel-object.las1.penstock.localhost.", "las1", Accelerated, Some("photos")),
            ("website.ord1.penstock.localhost", "ord1", Website, None),
            ("Blog.Website.LAS1.penstock.localhost.:443", "las1", Website, Some("blog")),
            ("website.website.ord1.penstock.localhost", "ord1", Website, Some("website")),
            ("website.object.ord1.penstock.localhost", "ord1", Standard, Some("website")),
            ("object.object.ord1.penstock.localhost", "ord1", Standard, Some("object")),
            ("accel-object.object.ord1.penstock.localhost", "ord1", Standard, Some("accel-object")),
        ];
        for (value, region, kind, bucket) in cases {
            let region = RegionName::parse(region).expect("region name");
            let expected = Host::Endpoint { region, kind, bucket: bucket.map(str::to_owned) };
            assert_eq!(Host::parse(&topology(), value).ok(), Some(expected), "{value}");
        }
    }

    #[test]
    fn addresses_and_localhost_mean_the_listener() {
        for value in ["127.0.0.1", "10.1.2.3:80", "[::1]", "[::1]:9000", "localhost", "LocalHost.:9000"] {
            assert_eq!(Host::parse(&topology(), value).ok(), Some(Host::OfListener), "{value}");
        }
    }

    #[test]
    fn other_hosts_are_refused() {
        let others = [
            "",
            ":9000",
            ".",
            "penstock.localhost",
            "ord1.penstock.localhost",
            "object.penstock.localhost",
            "object.lga1.penstock.localhost",
            "objects.ord1.penstock.localhost",
            "object.ord1.penstock.localhost..",
            "object.ord1.penstock.localhost:",
            "object.ord1.penstock.localhost:65536",
            "object.ord1.penstock.localhost:+80",
            "object.ord1.penstock.localhost:80:80",
            "object.ord1.penstock.localhost.example.com",
            "object.ord1.evilpenstock.localhost",
            ".object.ord1.penstock.localhost",
            "a.b.object.ord1.penstock.localhost",
            "www.example.website.ord1.penstock.localhost",
            ".website.ord1.penstock.localhost",
            "blog-website.ord1.penstock.localhost",
            "blog.s3-website.ord1.penstock.localhost",
            "blog.website.penstock.localhost",
            "www.example.com",
            "s3.amazonaws.com",
            "::1",
            "[127.0.0.1]",
            "[::1",
            "[::1]x",
            "127.0.0.1.1",
            "user@object.ord1.penstock.localhost",
        ];
        for value in others {
            let refusal = Host::parse(&topology(), value).expect_err(value);
            assert_eq!(refusal.code().as_str(), "InvalidHostHeader", "{value}");
        }
    }
}
