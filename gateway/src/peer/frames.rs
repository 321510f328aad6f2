//! Pages between two nodes: the question, what is said to it, and the frames that pages travel in.
//!
//! ```text
//! bytes u32 BE | a message in MessagePack                     the question; then what is said to it
//! crc32c u32 LE | bytes u32 LE | the page, 1 to 65,536 bytes  repeated, where pages were promised
//! 0 u32 | 0 u32                                               after the last
//! ```
//!
//! The version is part of the protocol's name in the TLS handshake: a node offers every version that it speaks, and the
//! owner chooses. Within one, fields may be added to messages, and a reader skips those it does not know.
//!
//! A connection carries one question after another. An answer that ends without the last line broke off, and its
//! connection with it. The sum is the one the store computed when the object was put. It is carried, not checked, here:
//! whoever is about to use or keep the page checks it.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cache::Purpose;
use origin::head::PAGE_BYTES;
use origin::instance::Instance;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::coherence::wire::Message;

/// The protocol's name in the TLS handshake. This is the first version; a release that speaks a second one will go on
/// speaking this one, so that nodes can be replaced one after the other.
pub(super) const ALPN: &[u8] = b"penstock-pages/1";

/// Most pages in one answer: 1 GiB. Whoever wants more asks again.
pub(super) const PAGES_MAX: u64 = 16_384;

const PAGE_LEN: usize = PAGE_BYTES as usize;
const HEADER_BYTES: usize = 8;

/// Page buffers kept for pages to come: those of four blocks, which come back when a block is whole.
const SPARE_MAX: usize = 64;

/// What they take.
pub(super) const SPARE_BYTES_MAX: usize = SPARE_MAX * PAGE_LEN;

/// What a node asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) of: Of,
    /// The first page, and how many: cut to those that there are.
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) purpose: For,
}

/// Whose pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Of {
    /// This instance's.
    Instance(Instance),
    /// Those of whatever instance the name stands for when the question comes.
    Object(Name),
    /// None: whether the connection still works.
    Nothing,
}

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// `None` for the newest version.
    pub(crate) version: Option<String>,
}

/// [`Purpose`], as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum For {
    Fill,
    Direct,
}

impl From<Purpose> for For {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Fill => Self::Fill,
            Purpose::Direct => Self::Direct,
        }
    }
}

/// What the owner says before the first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    /// Pages of this instance follow.
    Pages(Instance),
    /// There is nothing to send: no such object, one that travels with its head, or one under a key of its client's.
    Nothing,
    /// The instance is no longer kept.
    Gone,
    /// All places are taken.
    Busy,
    /// The pages cannot be read.
    Failed,
}

impl Message for Question {
    /// A bucket, a key of 1,024 bytes and a version, with room to spare.
    const BYTES_MAX: usize = 4096;

    fn fault(&self) -> Option<&'static str> {
        match self.of {
            Of::Nothing => None,
            Of::Instance(_) | Of::Object(_) if (1..=PAGES_MAX).contains(&self.count) => {
                self.first.checked_add(self.count).is_none().then_some("pages past the last one there can be")
            }
            Of::Instance(_) | Of::Object(_) => Some("no pages, or too many"),
        }
    }
}

impl Message for Said {
    const BYTES_MAX: usize = 256;

    fn fault(&self) -> Option<&'static str> {
        None
    }
}

/// Writes `pages`, each with its sum.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    pages: &[origin::regional::Page],
) -> io::Result<()> {
    let headers: Vec<_> = pages.iter().map(|page| header(page.crc32c, page.bytes.len())).collect();
    let slices = headers.iter().zip(pages).flat_map(|(header, page)| [&header[..], &page.bytes[..]]);
    let mut slices: Vec<_> = slices.map(IoSlice::new).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = stream.write_vectored(left).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}

/// Says that there are no more pages.
pub(super) async fn write_end(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(&header(0, 0)).await
}

fn header(crc32c: u32, page_bytes: usize) -> [u8; HEADER_BYTES] {
    let page_bytes = u32::try_from(page_bytes).expect("a page is at most 64 KiB");
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&crc32c.to_le_bytes());
    header[4..].copy_from_slice(&page_bytes.to_le_bytes());
    header
}

/// The next page and its sum; `None` after the last. Each page has a buffer of its own, so that one that is kept for a
/// while pins no other.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    spare: &Arc<Spare>,
) -> io::Result<Option<(Bytes, u32)>> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let [crc32c, page_bytes] =
        [0, 4].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[at + byte])));
    match (page_bytes as usize, crc32c) {
        (0, 0) => Ok(None),
        (len @ 1..=PAGE_LEN, crc32c) => {
            let mut page = spare.take(len);
            stream.read_exact(&mut page.bytes[..len]).await?;
            Ok(Some((Bytes::from_owner(page), crc32c)))
        }
        (len, _) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a page of {len} bytes"))),
    }
}

/// Page buffers that come back: memory that was used before costs a ninth of what fresh memory does.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Box<[u8]>>>);

impl Spare {
    fn take(self: &Arc<Self>, len: usize) -> Lent {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = spare.unwrap_or_else(|| vec![0; PAGE_LEN].into_boxed_slice());
        Lent { bytes, len, home: self.clone() }
    }
}

/// A page's buffer, until it is dropped.
struct Lent {
    bytes: Box<[u8]>,
    len: usize,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut spare = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use origin::regional::Page;
    use proptest::prelude::*;
    use tokio_util::io::StreamReader;

    use super::*;
    use crate::coherence::wire;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
    }

    fn framed(pages: &[Page]) -> Vec<u8> {
        let mut bytes = Vec::new();
        block_on(async {
            write(&mut bytes, pages).await.expect("memory takes everything");
            write_end(&mut bytes).await.expect("memory takes everything");
        });
        bytes
    }

    fn read_all(bytes: &[u8], piece_bytes: usize) -> io::Result<Vec<(Bytes, u32)>> {
        let pieces: Vec<_> =
            bytes.chunks(piece_bytes).map(Bytes::copy_from_slice).map(io::Result::Ok).collect();
        let mut stream = StreamReader::new(futures::stream::iter(pieces));
        let (spare, mut pages) = (Arc::default(), Vec::new());
        block_on(async {
            while let Some(page) = read(&mut stream, &spare).await? {
                pages.push(page);
            }
            Ok(pages)
        })
    }

    proptest! {
        #[test]
        fn pages_survive_any_cutting_of_the_stream(
            sizes in prop::collection::vec(prop_oneof![1usize..50, Just(65_536), Just(65_535)], 0..5),
            piece_bytes in prop_oneof![1usize..20, 1_000usize..200_000],
        ) {
            let page = |(at, &bytes): (usize, &usize)| {
                Page { bytes: Bytes::from(vec![at as u8; bytes]), crc32c: at as u32 }
            };
            let pages: Vec<_> = sizes.iter().enumerate().map(page).collect();
            let bytes = framed(&pages);
            let wanted: Vec<_> = pages.into_iter().map(|page| (page.bytes, page.crc32c)).collect();
            prop_assert_eq!(read_all(&bytes, piece_bytes).expect("whole"), wanted);
            let cut = read_all(&bytes[..bytes.len() - 1], piece_bytes);
            prop_assert_eq!(cut.expect_err("cut").kind(), io::ErrorKind::UnexpectedEof);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), piece_bytes in 1usize..100) {
            let _ = read_all(&bytes, piece_bytes);
        }
    }

    #[test]
    fn a_page_is_one_to_65536_bytes() {
        for (bytes, kind) in [
            (1u32, io::ErrorKind::UnexpectedEof),
            (65_536, io::ErrorKind::UnexpectedEof),
            (0, io::ErrorKind::InvalidData),
            (65_537, io::ErrorKind::InvalidData),
            (u32::MAX, io::ErrorKind::InvalidData),
        ] {
            let framed = [7u32.to_le_bytes(), bytes.to_le_bytes()].concat();
            assert_eq!(read_all(&framed, 8).expect_err("no page").kind(), kind, "{bytes}");
        }
    }

    /// A page keeps its bytes although the buffers of pages before it are used again.
    #[test]
    fn buffers_are_used_again_once_they_are_free() {
        let page = |fill: u8| Page { bytes: Bytes::from(vec![fill; 100]), crc32c: 0 };
        let bytes = framed(&[page(1), page(2), page(3)]);
        let (spare, mut stream) = (Arc::<Spare>::default(), &bytes[..]);
        block_on(async {
            let (first, _) = read(&mut stream, &spare).await.expect("whole").expect("a page");
            let address = first.as_ptr();
            let (second, _) = read(&mut stream, &spare).await.expect("whole").expect("a page");
            drop(first);
            let (third, _) = read(&mut stream, &spare).await.expect("whole").expect("a page");
            assert_eq!((third.as_ptr(), &third[..], &second[..]), (address, &[3; 100][..], &[2; 100][..]));
        });
    }

    /// What is said in the first version, byte for byte: a release that says or reads it otherwise cannot stand beside one
    /// that is a version older.
    #[test]
    fn the_first_version_is_said_and_read_as_recorded() {
        let instance = Instance::from_bytes([7; 16]);
        let object = |version: Option<&str>| {
            Of::Object(Name { bucket: "b".into(), key: "k".into(), version: version.map(str::to_owned) })
        };
        let fill = |of| Question { of, first: 3, count: 300, purpose: For::Fill };
        for (recorded, question) in [
            (
                "0000003d84a26f6681a8496e7374616e6365c41007070707070707070707070707070707a5666972737403a5636f756e74cd012ca770\
                 7572706f7365a446696c6c",
                fill(Of::Instance(instance)),
            ),
            (
                "0000004284a26f6681a64f626a65637483a66275636b6574a162a36b6579a16ba776657273696f6ec0a5666972737403a5636f756e74\
                 cd012ca7707572706f7365a446696c6c",
                fill(object(None)),
            ),
            (
                "0000004684a26f6681a64f626a65637483a66275636b6574a162a36b6579a16ba776657273696f6ea27631a5666972737403a5636f75\
                 6e74cd012ca7707572706f7365a6446972656374",
                Question { purpose: For::Direct, ..fill(object(Some("v1"))) },
            ),
            (
                "0000002784a26f66a74e6f7468696e67a5666972737400a5636f756e7400a7707572706f7365a446696c6c",
                Question { of: Of::Nothing, first: 0, count: 0, purpose: For::Fill },
            ),
        ] {
            is_said_and_read(recorded, &question);
        }
        for (recorded, said) in [
            ("0000001981a55061676573c41007070707070707070707070707070707", Said::Pages(instance)),
            ("00000008a74e6f7468696e67", Said::Nothing),
            ("00000005a4476f6e65", Said::Gone),
            ("00000005a442757379", Said::Busy),
            ("00000007a64661696c6564", Said::Failed),
        ] {
            is_said_and_read(recorded, &said);
        }
        let page = Page { bytes: Bytes::from_static(b"abc"), crc32c: 0x0403_0201 };
        assert_eq!(hex::encode(framed(&[page])), "01020304030000006162630000000000000000");
    }

    fn is_said_and_read<M: Message + PartialEq + std::fmt::Debug>(recorded: &str, message: &M) {
        assert_eq!(hex::encode(wire::encode(message)), recorded);
        let bytes = hex::decode(recorded).expect("hex");
        assert_eq!(block_on(wire::read::<M>(&mut &bytes[..])).expect("read").as_ref(), Some(message));
    }

    /// What a newer release adds to a question is passed over.
    #[test]
    fn fields_of_a_newer_release_are_passed_over() {
        let recorded = "0000002e85a26f66a74e6f7468696e67a5666972737400a5636f756e7400a7707572706f7365a446696c6ca5746f6b656e07";
        let bytes = hex::decode(recorded).expect("hex");
        let question = block_on(wire::read::<Question>(&mut &bytes[..])).expect("read").expect("a question");
        assert_eq!((question.of, question.count), (Of::Nothing, 0));
    }

    #[test]
    fn a_question_is_for_a_bounded_range() {
        let of = || Of::Instance(Instance::from_bytes([7; 16]));
        let is_taken = |of: Of, first: u64, count: u64| {
            let question = Question { of, first, count, purpose: For::Fill };
            let frame = wire::encode(&question);
            let read = block_on(wire::read::<Question>(&mut &frame[..]));
            read.is_ok_and(|read| read == Some(question))
        };
        let name = Name { bucket: "b".repeat(63), key: "k".repeat(1024), version: Some("v".repeat(32)) };
        assert!(is_taken(of(), 3, 2) && is_taken(of(), 0, PAGES_MAX) && is_taken(Of::Nothing, 0, 0));
        assert!(is_taken(Of::Object(name), 3, 2));
        for (first, count) in [(0, 0), (0, PAGES_MAX + 1), (u64::MAX, 1)] {
            assert!(!is_taken(of(), first, count), "{first} {count}");
        }
    }
}
