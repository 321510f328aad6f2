//! Networks and the addresses in them (RFC 4632, RFC 4291).

use std::net::IpAddr;

/// The addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

/// S3 calls a network wider than this the whole internet ("The meaning of public").
const NARROW_V4_BITS: u32 = 8;
const NARROW_V6_BITS: u32 = 32;

impl Network {
    /// `a.b.c.d/n`, `x::y/n`, or one address. Bits after the first n may be anything and mean nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (start, bits) = text.split_once('/').map_or((text, None), |(start, bits)| (start, Some(bits)));
        let written: IpAddr = start.parse().ok()?;
        let bits_max = width(written);
        let prefix_bits = match bits {
            None => bits_max,
            Some(bits) => {
                let is_number = (1..=3).contains(&bits.len()) && bits.bytes().all(|b| b.is_ascii_digit());
                bits.parse().ok().filter(|bits| is_number && *bits <= bits_max)?
            }
        };
        // IPv4 written as IPv6 is IPv4, if the network holds nothing else.
        match written.to_canonical() {
            IpAddr::V4(address) if written.is_ipv6() && prefix_bits >= 96 => {
                Some(Self { address: address.into(), prefix_bits: prefix_bits - 96 })
            }
            _ => Some(Self { address: written, prefix_bits }),
        }
    }

    /// Whether `address` is in it. An IPv4 address is in no IPv6 network.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && top_bits(address, self.prefix_bits) == top_bits(self.address, self.prefix_bits)
    }

    /// Whether S3 takes it for somewhere, not for the whole internet.
    pub(super) fn is_narrow(&self) -> bool {
        self.prefix_bits >= if self.address.is_ipv4() { NARROW_V4_BITS } else { NARROW_V6_BITS }
    }
}

/// The address that `text` writes; IPv4 in IPv6's clothes is IPv4.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn top_bits(address: IpAddr, bits: u32) -> u128 {
    let value = match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    value.checked_shr(width(address) - bits).unwrap_or(0)
}
