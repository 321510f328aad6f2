//! Blocks of free TCP ports, for processes that are told where to listen.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports in one block: listeners, a gate and links for each of up to four regions, ten apart.
const BLOCK_PORTS: u16 = 40;

/// Blocks below the range that outgoing connections take their ports from (32768 and up on Linux).
const BLOCKS: u16 = (32_000 - FIRST) / BLOCK_PORTS;
const FIRST: u16 = 12_000;

/// Counts the blocks given out by this process, so that tests running side by side never get the same one.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// The first port of a block in which no port was taken a moment ago.
///
/// # Panics
/// When every block is in use.
#[must_use]
pub fn free_block() -> u16 {
    // Several test processes may run at once: each starts looking elsewhere.
    let start = std::process::id() as u16;
    (0..BLOCKS)
        .map(|_| start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % BLOCKS)
        .map(|block| FIRST + block * BLOCK_PORTS)
        .find(|&base| {
            (base..base + BLOCK_PORTS).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        })
        .expect("a block of free ports")
}
