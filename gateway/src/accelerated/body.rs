//! The bytes of one answer: where they come from, and sending them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cache::{Plan, ReadError, Reader, Tally};

use crate::metrics::ReadSource;
use crate::response::{Sender, Sent};

/// The body of an answer, with its first bytes in hand.
pub(super) struct Body {
    plan: Plan,
    first: Bytes,
    rest: Option<Box<Reader>>,
}

impl Body {
    /// No bytes: HEAD, or nothing to send. Whether that is a hit is whether the head was here.
    pub(super) fn empty(was_known: bool) -> Self {
        Self { plan: Plan { hit: was_known, ..Plan::default() }, first: Bytes::new(), rest: None }
    }

    /// A small object's bytes, which came with its head: just now, or earlier.
    pub(super) fn inline(object: &Bytes, range: Range<u64>, was_known: bool) -> Result<Self, ReadError> {
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= object.len());
        let (Some(start), Some(end)) = (within(range.start), within(range.end)) else {
            return Err(ReadError::Broken(Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof))));
        };
        let first = object.slice(start..end);
        let bytes = range.end - range.start;
        let plan = match was_known {
            true => Plan { hit: true, memory_bytes: bytes, ..Plan::default() },
            false => Plan { origin_bytes: bytes, ..Plan::default() },
        };
        Ok(Self { plan, first, rest: None })
    }

    /// What `reader` gives; waits for its first bytes.
    pub(super) async fn blocks(mut reader: Reader) -> Result<Self, ReadError> {
        let plan = reader.plan();
        let first = reader.next().await.transpose()?.unwrap_or_default();
        Ok(Self { plan, first, rest: Some(Box::new(reader)) })
    }

    /// Where the bytes were to come from, before the first was read.
    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    /// Sends everything, holding one piece at a time. `tally` says what was sent, also of an answer that broke off.
    ///
    /// # Errors
    /// The client is gone or stalled, or the bytes ended early; the answer must then be reset.
    pub(super) async fn send(self, mut sender: Sender<'_>, tally: &mut Tally) -> pingora::Result<Sent> {
        let Self { plan, first, rest } = self;
        let Some(mut reader) = rest else {
            sender.write(first).await?;
            *tally = Tally {
                memory_bytes: plan.memory_bytes,
                origin_bytes: plan.origin_bytes,
                ..Tally::default()
            };
            return sender.finish().await;
        };
        let mut piece = Some(first);
        while let Some(bytes) = piece.take() {
            let written = sender.write(bytes).await;
            *tally = reader.tally();
            written?;
            piece = reader.next().await.transpose().map_err(cut_off)?;
        }
        sender.finish().await
    }
}

/// What was sent from where, fastest first.
pub(super) fn sources(tally: &Tally) -> [(ReadSource, u64); 5] {
    [
        (ReadSource::Memory, tally.memory_bytes),
        (ReadSource::Nvme, tally.nvme_bytes),
        (ReadSource::Joined, tally.joined_bytes),
        (ReadSource::Origin, tally.origin_bytes),
        (ReadSource::Bypass, tally.bypass_bytes),
    ]
}

fn cut_off(error: ReadError) -> Box<pingora::Error> {
    pingora::Error::because(pingora::ErrorType::ReadError, "the object cannot be read to its end", error)
}
