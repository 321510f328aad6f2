//! Blocks of free TCP ports, for processes that are told where to listen.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports in one block: listeners, a gate and links for each of up to four regions, ten apart, and one to hold it by.
const BLOCK_PORTS: u16 = 40;

/// Blocks below the range that outgoing connections take their ports from (32768 and up on Linux).
const BLOCKS: u16 = (32_000 - FIRST) / BLOCK_PORTS;
const FIRST: u16 = 12_000;

/// Counts the blocks that this process has looked at, so that tests running side by side look at different ones.
static LOOKED_AT: AtomicU16 = AtomicU16::new(0);

/// A block of ports that is nobody else's for as long as this lives, also while nobody listens: a node that starts again finds
/// its ports free, whatever other test processes start meanwhile.
pub struct Block {
    first: u16,
    /// At the last port.
    _held: TcpListener,
}

impl Block {
    /// One of whose ports none was taken.
    ///
    /// # Panics
    /// When every block is in use.
    #[must_use]
    pub fn take() -> Self {
        // Several test processes may run at once: each starts looking elsewhere.
        let start = std::process::id() as u16;
        (0..BLOCKS)
            .map(|_| start.wrapping_add(LOOKED_AT.fetch_add(1, Ordering::Relaxed)) % BLOCKS)
            .find_map(|block| Self::at(FIRST + block * BLOCK_PORTS))
            .expect("a block of free ports")
    }

    fn at(first: u16) -> Option<Self> {
        let last = first + BLOCK_PORTS - 1;
        let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        // Held before the others are looked at: of two that look at the same moment one finds it taken.
        let held = listen(last)?;
        (first..last).all(|port| listen(port).is_some()).then_some(Self { first, _held: held })
    }

    /// Its first port.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However often somebody else looks at it while nobody listens there.
    #[test]
    fn a_block_is_given_to_nobody_else() {
        let block = Block::take();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, block.first())).is_ok(), "nobody listens");
        assert!(Block::at(block.first()).is_none());
    }
}
