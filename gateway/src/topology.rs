//! The topology: which regions there are, in which order, under which domain, and which one is home.
//!
//! It is the same on every node and does not change while a process runs. Everything in it is checked: a
//! [`RegionName`] is a DNS label, names are unique, home exists, the domain can carry the endpoints' host names.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::settings::Fault;

/// Longest region name: it appears in host names, directories, certificates and metric labels.
const REGION_NAME_BYTES_MAX: usize = 32;

/// Longest domain: `<63-byte bucket>.accel-object.<region>.<domain>` must fit the 253 bytes of a host name.
const DOMAIN_BYTES_MAX: usize = 253 - (63 + 1) - "accel-object.".len() - (REGION_NAME_BYTES_MAX + 1);

/// A region's name: one DNS label of lower-case letters, digits and inner hyphens. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionName(Arc<str>);

impl RegionName {
    /// The region name in `text`, or what is wrong with it.
    ///
    /// # Errors
    /// A sentence for the operator when `text` is not a DNS label of 1 to 32 lower-case characters.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > REGION_NAME_BYTES_MAX || !is_dns_label(text) {
            return Err(format!(
                "{text:?} is not a region name: 1 to {REGION_NAME_BYTES_MAX} of a-z, 0-9 and inner hyphens"
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegionName({})", self.0)
    }
}

impl Borrow<str> for RegionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A host (name or IP address) and a port: where other nodes reach a peer listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    host: String,
    port: u16,
}

impl PeerAddress {
    /// The address in `host:port` (an IPv6 address in brackets).
    ///
    /// # Errors
    /// A sentence for the operator when `text` has no host, or no port from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        let is_address = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == (bare.len() < host.len()));
        if !is_address && !host.split('.').all(is_dns_label) {
            return Err(wrong());
        }
        Ok(Self { host: bare.to_owned(), port })
    }

    /// The host: a name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// One region: a store with its owner process, and the nodes that answer under its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    name: RegionName,
    peer: PeerAddress,
}

impl Region {
    /// The region's name.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.name
    }

    /// Where other nodes reach the peer listener of the process that owns this region's store.
    #[must_use]
    pub fn peer(&self) -> &PeerAddress {
        &self.peer
    }
}

/// All regions in file order, the domain their host names end in, and which of them is home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    domain: String,
    home: usize,
    regions: Vec<Region>,
}

impl Topology {
    /// The topology of `regions` (name and peer address, in file order) under `domain`, with users written in
    /// the region `home`.
    ///
    /// # Errors
    /// Every fault, each with its key in `regions.toml`.
    pub fn new<'a>(
        domain: &str,
        home: &str,
        regions: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if domain.len() > DOMAIN_BYTES_MAX || !domain.split('.').all(is_dns_label) {
            faults.push(Fault::new("domain", format!("{domain:?} is not a domain of lower-case DNS labels")));
        }
        let mut named: Vec<Region> = Vec::new();
        let mut given = 0;
        for (index, (name, peer)) in regions.into_iter().enumerate() {
            given += 1;
            let name = RegionName::parse(name)
                .map_err(|problem| faults.push(Fault::new(format!("region[{index}].name"), problem)));
            let peer = PeerAddress::parse(peer)
                .map_err(|problem| faults.push(Fault::new(format!("region[{index}].peer"), problem)));
            let (Ok(name), Ok(peer)) = (name, peer) else { continue };
            if named.iter().any(|earlier| earlier.name == name) {
                faults.push(Fault::new(format!("region[{index}].name"), format!("{name} is named twice")));
            }
            if let Some(earlier) = named.iter().find(|earlier| earlier.peer == peer) {
                let problem = format!("{peer} is the peer address of {} already", earlier.name);
                faults.push(Fault::new(format!("region[{index}].peer"), problem));
            }
            named.push(Region { name, peer });
        }
        if given == 0 {
            faults.push(Fault::new("region", "at least one region is needed"));
        }
        let home_index = named.iter().position(|region| region.name.as_str() == home);
        if home_index.is_none() {
            faults.push(Fault::new("home", format!("{home:?} is not one of the regions")));
        }
        match home_index {
            Some(home) if faults.is_empty() => Ok(Self { domain: domain.to_owned(), home, regions: named }),
            _ => Err(faults),
        }
    }

    /// The domain that every endpoint's host name ends in, lower case, without a dot at either end.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The region where users are written.
    #[must_use]
    pub fn home(&self) -> &Region {
        &self.regions[self.home]
    }

    /// Every region, in file order; never empty.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The names of all regions, in file order, for people.
    #[must_use]
    pub fn names(&self) -> String {
        self.regions.iter().map(|region| region.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The region called exactly `name`.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name.as_str() == name)
    }

    /// The host name of a region's standard endpoint: `object.<region>.<domain>`.
    #[must_use]
    pub fn standard_host(&self, region: &RegionName) -> String {
        format!("object.{region}.{}", self.domain)
    }

    /// The host name of a region's accelerated endpoint: `accel-object.<region>.<domain>`.
    #[must_use]
    pub fn accelerated_host(&self, region: &RegionName) -> String {
        format!("accel-object.{region}.{}", self.domain)
    }

    /// The host name that a region's websites are under, each by its bucket: `website.<region>.<domain>`.
    #[must_use]
    pub fn website_host(&self, region: &RegionName) -> String {
        format!("website.{region}.{}", self.domain)
    }
}

/// Whether `text` is 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end (RFC 1123 §2.1).
fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: [(&str, &str); 3] =
        [("ord1", "127.0.0.1:9003"), ("las1", "127.0.0.1:9013"), ("lga1", "127.0.0.1:9023")];

    #[test]
    fn regions_keep_file_order_and_home_is_found() {
        let topology = Topology::new("penstock.localhost", "las1", THREE).expect("good topology");
        let names: Vec<_> = topology.regions().iter().map(|region| region.name().as_str()).collect();
        assert_eq!(names, ["ord1", "las1", "lga1"]);
        assert_eq!(topology.home().name().as_str(), "las1");
        assert_eq!(topology.region("lga1").map(|region| region.peer().port()), Some(9023));
        assert_eq!(topology.region("LGA1"), None);
        let ord1 = topology.regions()[0].name();
        assert_eq!(topology.accelerated_host(ord1), "accel-object.ord1.penstock.localhost");
        assert_eq!(topology.website_host(ord1), "website.ord1.penstock.localhost");
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let regions = [("ord1", "127.0.0.1:9003"), ("Ord1", "127.0.0.1"), ("ord1", "127.0.0.1:9003")];
        let faults = Topology::new("Example.com", "lga1", regions).expect_err("five faults");
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["domain", "region[1].name", "region[1].peer", "region[2].name", "region[2].peer", "home"]
        );
    }

    #[test]
    fn no_region_at_all_is_a_fault() {
        let faults = Topology::new("example.com", "ord1", []).expect_err("no regions");
        assert!(faults.iter().any(|fault| fault.key == "region"), "{faults:?}");
    }

    #[test]
    fn peer_addresses_are_names_or_addresses_with_a_port() {
        for good in ["10.0.0.1:1", "node-1.peers.example.com:65535", "[::1]:9003"] {
            assert_eq!(PeerAddress::parse(good).map(|peer| peer.to_string()), Ok(good.to_owned()));
        }
        for bad in
            ["", ":1", "a", "a:", "a:0", "a:65536", "a:b:1", "::1:9003", "[10.0.0.1]:1", "-a.b:1", "a..b:1"]
        {
            assert!(PeerAddress::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
