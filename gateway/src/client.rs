//! The client of a request: what permission and limits may depend on beside who asks.
//!
//! Believed is the connection itself; what one of the [`TrustedProxies`] says in `X-Forwarded-For` and
//! `X-Forwarded-Proto`; and on the peer channel what the node says that the client reached. Nobody else is believed,
//! whatever a request's headers claim.

mod network;

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use s3s::{S3Result, s3_error};

pub use network::{Network, NetworkError};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where a request came from, and whether anybody could listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Never an IPv4 address in an IPv6 one's clothes. `None` where it is not known: no condition on addresses holds
    /// then.
    pub address: Option<IpAddr>,
    /// Whether the client's connection is encrypted.
    pub is_tls: bool,
}

impl Client {
    /// Whether the client may send a customer's key (SSE-C) on its connection: S3 takes none that others could read.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub fn verify_may_bring_key(&self) -> S3Result<()> {
        if self.is_tls {
            return Ok(());
        }
        Err(s3_error!(
            InvalidRequest,
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
        ))
    }
}

/// The networks whose word about their clients is believed. At first none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// The proxies in `networks`.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// The client of a request with `headers` that came over `connection`.
    ///
    /// Each proxy appends to `X-Forwarded-For` whom it heard from. Read from the end, the first address that is not a
    /// trusted proxy's is the client's: what stands before it is the client's own claim. Where the list ends, or stops
    /// being one, before that, the farthest proxy is all that is known.
    #[must_use]
    pub fn client_behind(&self, connection: Client, headers: &HeaderMap) -> Client {
        let Some(proxy) = connection.address.filter(|address| self.trust(*address)) else {
            return connection;
        };
        Client {
            address: Some(self.farthest(proxy, headers)),
            is_tls: forwarded_is_tls(headers).unwrap_or(connection.is_tls),
        }
    }

    fn farthest(&self, proxy: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
        let mut known = proxy;
        for hop in hops {
            match parse_hop(hop) {
                Some(address) if self.trust(address) => known = address,
                Some(address) => return address,
                None => return known,
            }
        }
        known
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// One address in `X-Forwarded-For`; some proxies add the port.
fn parse_hop(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// What proxies say of the client's connection: encrypted only if each that says something says so; `None` when none
/// does.
fn forwarded_is_tls(headers: &HeaderMap) -> Option<bool> {
    let mut said = headers.get_all(X_FORWARDED_PROTO).iter().peekable();
    said.peek()?;
    let mut words = said.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    Some(words.all(|word| word.trim_ascii().eq_ignore_ascii_case(b"https")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).into())
    }

    fn client(address: &str, is_tls: bool) -> Client {
        Client { address: Some(address.parse().unwrap()), is_tls }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    /// Who the client of a request is that came from `source` with these lines of `X-Forwarded-For`.
    fn behind(source: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let found = proxies().client_behind(client(source, false), &headers(&lines));
        found.address.unwrap().to_string()
    }

    /// The rightmost address that is no trusted proxy's, across several lines, whatever the client wrote before it.
    #[test]
    fn the_nearest_untrusted_hop_is_the_client() {
        let table: [(&str, &[&str], &str); 12] = [
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", &["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["1.1.1.1, 192.0.2.7,10.0.0.2 "], "192.0.2.7"),
            ("10.0.0.1", &["1.1.1.1", "192.0.2.7", "10.0.0.2"], "192.0.2.7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
            ("fd00::1", &["192.0.2.7, fd12::1"], "192.0.2.7"),
            ("10.0.0.1", &["11.0.0.1, 10.255.255.255"], "11.0.0.1"),
        ];
        for (source, lines, expected) in table {
            assert_eq!(behind(source, lines), expected, "{source} {lines:?}");
        }
    }

    /// Somebody who is no proxy says nothing about themselves, the neighbours of a trusted network included.
    #[test]
    fn nobody_else_is_believed() {
        for source in ["192.0.2.9", "11.0.0.0", "9.255.255.255", "fc00::1", "::ffff:b00:1", "127.0.0.1"] {
            let said = headers(&[("x-forwarded-for", "10.0.0.9"), ("x-forwarded-proto", "https")]);
            assert_eq!(proxies().client_behind(client(source, false), &said), client(source, false));
            assert_eq!(
                TrustedProxies::default().client_behind(client(source, true), &said),
                client(source, true)
            );
        }
        assert_eq!(proxies().client_behind(Client::default(), &HeaderMap::new()), Client::default());
    }

    /// Where the list does not say more, the farthest proxy that it names is what is known.
    #[test]
    fn what_is_no_address_ends_the_list() {
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["unknown"], "10.0.0.1"),
            (&["192.0.2.7, _hidden"], "10.0.0.1"),
            (&["192.0.2.7,"], "10.0.0.1"),
            (&["192.0.2.7, garbage, 10.0.0.3"], "10.0.0.3"),
            (&["192.0.2.7, 10.0.0.3.4, 10.0.0.2"], "10.0.0.2"),
            (&["fe80::1%eth0"], "10.0.0.1"),
            (&["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        ] {
            assert_eq!(behind("10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    /// A trusted proxy's word about TLS counts, and one hop without it is enough to be heard.
    #[test]
    fn tls_is_what_all_proxies_say() {
        let is_tls = |connection: bool, lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-proto", *line)).collect();
            proxies().client_behind(client("10.0.0.1", connection), &headers(&lines)).is_tls
        };
        for said in [&["https"][..], &["HTTPS"], &["https, https"], &["https", "https"]] {
            assert!(is_tls(false, said), "{said:?}");
        }
        for said in [&["http"][..], &["https,http"], &["http", "https"], &["httpss"], &[""], &["wss"]] {
            assert!(!is_tls(true, said), "{said:?}");
        }
        assert!(is_tls(true, &[]) && !is_tls(false, &[]), "unsaid, the connection counts");
    }
}
