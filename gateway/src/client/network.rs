//! A range of IP addresses, written as one address or as a prefix (CIDR, RFC 4632).

use std::net::IpAddr;
use std::str::FromStr;

/// All addresses with the same first bits. An IPv4 address written as an IPv6 one (`::ffff:192.0.2.1`) is the IPv4
/// address, in a network as anywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Zero beyond the prefix.
    first: IpAddr,
    prefix_bits: u32,
}

/// What is wrong with a network's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is no address, or no prefix length follows the slash.
    #[error("is no IP address or network, such as \"192.0.2.1\" or \"10.0.0.0/8\"")]
    Unreadable,
    /// The address is inside a network, not its first one: it may have been meant alone.
    #[error("has bits set beyond its prefix")]
    NotFirst,
}

impl Network {
    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && masked(address, self.prefix_bits) == masked(self.first, self.prefix_bits)
    }

    /// How many first bits all its addresses share; 0 is everybody.
    #[must_use]
    pub fn prefix_bits(&self) -> u32 {
        self.prefix_bits
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| NetworkError::Unreadable)?;
        let written_bits = bits(written);
        let prefix_bits = match prefix {
            None => written_bits,
            // `+8` is a number to Rust.
            Some(digits) if digits.starts_with('+') => return Err(NetworkError::Unreadable),
            Some(digits) => digits.parse().map_err(|_| NetworkError::Unreadable)?,
        };
        if prefix_bits > written_bits {
            return Err(NetworkError::Unreadable);
        }
        let first = written.to_canonical();
        // 96: the bits before the IPv4 address in an IPv6 one.
        let prefix_bits = match first.is_ipv4() == written.is_ipv4() {
            true => prefix_bits,
            false => prefix_bits.checked_sub(96).ok_or(NetworkError::NotFirst)?,
        };
        if masked(first, prefix_bits) != value(first) {
            return Err(NetworkError::NotFirst);
        }
        Ok(Self { first, prefix_bits })
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `prefix_bits` bits of `address`, zeros after them.
fn masked(address: IpAddr, prefix_bits: u32) -> u128 {
    let rest = bits(address) - prefix_bits.min(bits(address));
    value(address).checked_shr(rest).unwrap_or(0).checked_shl(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    /// The first and the last address of each network, and their neighbours outside.
    #[test]
    fn a_network_ends_where_its_prefix_does() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]),
            ("192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.0", "192.0.2.2"]),
            ("192.0.2.1/32", ["192.0.2.1", "192.0.2.1"], ["192.0.2.0", "::c000:201"]),
            ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db7:ffff::", "2001:db9::"]),
            ("::1", ["::1", "::1"], ["::2", "127.0.0.1"]),
            ("::ffff:10.0.0.0/104", ["10.0.0.0", "::ffff:10.1.2.3"], ["11.0.0.0", "::a00:0"]),
        ] {
            assert!(inside.iter().all(|address| contains(network, address)), "{network} {inside:?}");
            assert!(!outside.iter().any(|address| contains(network, address)), "{network} {outside:?}");
        }
        assert!(contains("0.0.0.0/0", "255.255.255.255") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "ffff::") && !contains("::/0", "::ffff:1.2.3.4"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        use NetworkError::{NotFirst, Unreadable};
        for (text, error) in [
            ("", Unreadable),
            ("10", Unreadable),
            ("10.0.0/8", Unreadable),
            ("10.0.0.0/", Unreadable),
            ("10.0.0.0/+8", Unreadable),
            ("10.0.0.0/33", Unreadable),
            ("10.0.0.0/8/8", Unreadable),
            ("10.0.0.0/255.0.0.0", Unreadable),
            ("::/129", Unreadable),
            ("proxy.example.com", Unreadable),
            ("10.0.0.1/8", NotFirst),
            ("2001:db8::1/32", NotFirst),
            ("::ffff:10.0.0.0/8", NotFirst),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }
}
