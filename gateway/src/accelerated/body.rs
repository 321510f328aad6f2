//! The bytes of one answer: where they come from, and sending them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cache::{Mode, Plan, ReadError, Reader, Tally};

use crate::metrics::ReadSource;
use crate::response::{Sender, Sent};

/// What is sent in one write at the most, about: each write ends in a packet of its own and wakes the client once more.
const TOGETHER_BYTES: usize = 4 << 20;

/// The body of an answer, with its first bytes in hand.
pub(super) struct Body {
    plan: Plan,
    first: Bytes,
    began_at_origin: bool,
    rest: Rest,
}

/// What follows the first bytes.
enum Rest {
    /// Nothing; and where the first bytes came from.
    None(Tally),
    /// What the reader gives.
    Blocks(Box<Reader>),
}

impl Body {
    /// No bytes: HEAD, or nothing to send. Whether that is a hit is whether the head was here.
    pub(super) fn empty(was_known: bool) -> Self {
        Self {
            plan: Plan { hit: was_known, ..Plan::default() },
            first: Bytes::new(),
            began_at_origin: false,
            rest: Rest::None(Tally::default()),
        }
    }

    /// A small object's bytes, which came with its head: just now, or earlier.
    pub(super) fn inline(
        object: &Bytes,
        range: Range<u64>,
        was_known: bool,
        mode: Mode,
    ) -> Result<Self, ReadError> {
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= object.len());
        let (Some(start), Some(end)) = (within(range.start), within(range.end)) else {
            return Err(ReadError::Broken(Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof))));
        };
        let first = object.slice(start..end);
        let bytes = range.end - range.start;
        let (plan, tally) = match (was_known, mode) {
            (true, _) => (
                Plan { hit: true, memory_bytes: bytes, ..Plan::default() },
                Tally { memory_bytes: bytes, ..Tally::default() },
            ),
            (false, mode) => {
                let plan = Plan { origin_bytes: bytes, ..Plan::default() };
                let tally = match mode {
                    Mode::Fill => Tally { origin_bytes: bytes, ..Tally::default() },
                    Mode::LookOnly | Mode::Bypass => Tally { bypass_bytes: bytes, ..Tally::default() },
                };
                (plan, tally)
            }
        };
        Ok(Self { plan, first, began_at_origin: false, rest: Rest::None(tally) })
    }

    /// What `reader` gives; waits for its first bytes.
    pub(super) async fn blocks(mut reader: Reader) -> Result<Self, ReadError> {
        let plan = reader.plan();
        let first = reader.next().await.transpose()?.unwrap_or_default();
        let tally = reader.tally();
        let began_at_origin = tally.origin_bytes + tally.joined_bytes > 0;
        let rest = match reader.is_done() {
            true => Rest::None(tally),
            false => Rest::Blocks(Box::new(reader)),
        };
        Ok(Self { plan, first, began_at_origin, rest })
    }

    /// Where the bytes were to come from, before the first was read.
    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    /// The first bytes of blocks were not here: they came from the origin, for this read or for another one.
    pub(super) fn began_at_origin(&self) -> bool {
        self.began_at_origin
    }

    /// More than what is in hand is to be sent.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.rest, Rest::Blocks(_))
    }

    /// Sends everything, holding a few pieces at a time. `tally` says what was handed to the connection, also of an answer that
    /// broke off.
    ///
    /// # Errors
    /// The client is gone or stalled, or the bytes ended early; the answer must then be reset.
    pub(super) async fn send(self, mut sender: Sender<'_>, tally: &mut Tally) -> pingora::Result<Sent> {
        let mut reader = match self.rest {
            Rest::Blocks(reader) => reader,
            Rest::None(whole) => {
                let written = sender.write(self.first).await;
                *tally = whole;
                written?;
                return sender.finish().await;
            }
        };
        let mut piece = Some(self.first);
        while let Some(bytes) = piece.take() {
            let written = send_together(bytes, &mut reader, &mut sender).await;
            *tally = reader.tally();
            written?;
            piece = reader.next().await.transpose().map_err(cut_off)?;
        }
        sender.finish().await
    }
}

/// Sends `piece`, and in the same write what of the reader's next ones is in memory already.
async fn send_together(
    mut piece: Bytes,
    reader: &mut Reader,
    sender: &mut Sender<'_>,
) -> pingora::Result<()> {
    let mut together = piece.len();
    while together < TOGETHER_BYTES
        && let Some(next) = reader.next_at_hand()
    {
        sender.write_before_next(std::mem::replace(&mut piece, next)).await?;
        together += piece.len();
    }
    sender.write(piece).await
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

#[cfg(test)]
mod tests {
    use cache::{Cache, Instance, PAGE_BYTES, Page, Pages, Purpose, Source, SourceError, Tenant};
    use futures::future::BoxFuture;
    use futures::stream::{self, StreamExt};
    use prometheus::Registry;

    use super::*;

    /// The bytes of a small object count as what they are: kept ones as memory's, others by whether they are kept.
    #[test]
    fn a_small_objects_bytes_are_counted_by_where_they_were() {
        let object = Bytes::from_static(b"0123456789");
        let counted = |was_known, mode| {
            let body = Body::inline(&object, 2..5, was_known, mode).expect("within the object");
            assert_eq!(body.first, "234");
            match body.rest {
                Rest::None(tally) => tally,
                Rest::Blocks(_) => panic!("a small object has no blocks"),
            }
        };
        let none = Tally::default();
        assert_eq!(counted(true, Mode::Fill), Tally { memory_bytes: 3, ..none });
        assert_eq!(counted(false, Mode::Fill), Tally { origin_bytes: 3, ..none });
        assert_eq!(counted(false, Mode::LookOnly), Tally { bypass_bytes: 3, ..none });
        assert_eq!(counted(false, Mode::Bypass), Tally { bypass_bytes: 3, ..none });
    }

    /// Of a page of zeros.
    const CRC32C_OF_ZEROS: u32 = 0x72c0_c4a4;

    /// Pages of zeros.
    struct Zeros;

    impl Source for Zeros {
        fn origin(&self) -> &str {
            "ord1"
        }

        fn pages(
            &self,
            _instance: Instance,
            pages: Range<u64>,
            _purpose: Purpose,
        ) -> BoxFuture<'_, Result<Pages, SourceError>> {
            let bytes = Bytes::from(vec![0; PAGE_BYTES as usize]);
            let page = move |_| Ok(Page { bytes: bytes.clone(), crc32c: CRC32C_OF_ZEROS });
            Box::pin(async move { Ok(stream::iter(pages.map(page)).boxed()) })
        }
    }

    /// What a read lacks further on is no word about its first bytes.
    #[tokio::test]
    async fn a_read_began_at_the_origin_if_its_first_bytes_were_not_here() {
        let cache = Cache::open(cache::Settings::default(), &Registry::new()).await.expect("opens");
        let block_bytes = cache.block_bytes();
        let read = async |object: u8, range: Range<u64>| {
            let (tenant, instance) = (Tenant::named("lab"), Instance([object; 16]));
            let reader = cache.read(tenant, instance, 4 * block_bytes, range, Mode::Fill, Arc::new(Zeros));
            let mut body = Body::blocks(reader).await.expect("reads");
            let said = (body.plan().hit, body.began_at_origin());
            // What is whole in hand has no more.
            if let Rest::Blocks(reader) = &mut body.rest {
                while let Some(piece) = reader.next().await {
                    piece.expect("reads");
                }
            }
            said
        };
        assert_eq!(read(1, 0..block_bytes).await, (false, true));
        assert_eq!(read(1, 0..2 * block_bytes).await, (false, false));
        assert_eq!(read(1, 0..block_bytes).await, (true, false));
        // Whole in one piece.
        assert_eq!(read(2, 0..100).await, (false, true));
    }

    #[test]
    fn a_head_that_promises_more_bytes_than_came_with_it_is_refused() {
        let object = Bytes::from_static(b"0123456789");
        assert!(Body::inline(&object, 5..10, true, Mode::Fill).is_ok());
        assert!(Body::inline(&object, 5..11, true, Mode::Fill).is_err());
    }
}
