//! What was sealed opens in its place alone, and every range of it without the pages beside it.

use proptest::collection::vec;
use proptest::prelude::*;
use s3s::S3ErrorCode;

use super::*;
use crate::head::{Checksums, Part};

const PAGE: usize = PAGE_BYTES as usize;
const OPEN: usize = OPEN_PAGE_BYTES as usize;

/// Bytes that differ from page to page.
fn content(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

fn instance(byte: u8) -> Instance {
    Instance::from_bytes([byte; 16])
}

/// Seals a piece that comes in slices of `slice_bytes`.
fn seal(keys: &ObjectKeys, piece: Piece, open: &[u8], slice_bytes: usize) -> Vec<u8> {
    let mut sealer = Sealer::new(keys, piece);
    let mut sealed = Vec::new();
    for slice in open.chunks(slice_bytes) {
        let mut slice = Bytes::copy_from_slice(slice);
        while let Some(page) = sealer.next(&mut slice) {
            sealed.extend_from_slice(&page);
        }
    }
    sealed.extend_from_slice(&sealer.finish().unwrap_or_default());
    sealed
}

/// An encrypted object put whole, of `bytes` bytes.
fn whole(encryption: &Encryption, bytes: usize) -> Head {
    let encryption = Some(encryption.clone());
    Head { bytes: bytes as u64, encryption, ..Head::new(instance(1), instance(2)) }
}

/// `range` of the object `head` whose stored bytes are `stored`.
fn open(head: &Head, keys: &ObjectKeys, stored: &[u8], range: Range<usize>) -> Option<Vec<u8>> {
    let range = range.start as u64..range.end as u64;
    let SealedRange { stored: needed, skip, mut opener } = Opener::of(head, keys.clone(), &range)?;
    let mut sealed = BytesMut::from(stored.get(needed.start as usize..needed.end as usize)?);
    let mut opened = Vec::new();
    while let Some(page_bytes) = opener.page_bytes() {
        let mut page = sealed.split_to(page_bytes);
        opener.open(&mut page)?;
        opened.extend_from_slice(&page);
    }
    assert!(sealed.is_empty(), "more is read than is opened");
    Some(opened[skip as usize..][..(range.end - range.start) as usize].to_vec())
}

#[test]
fn sealed_bytes_are_pages_of_the_disk() {
    for (open_bytes, expected) in [
        (0, 0),
        (1, 17),
        (OPEN_PAGE_BYTES, PAGE_BYTES),
        (OPEN_PAGE_BYTES + 1, PAGE_BYTES + 17),
        (3 * OPEN_PAGE_BYTES, 3 * PAGE_BYTES),
    ] {
        assert_eq!(sealed_bytes(open_bytes), expected, "{open_bytes}");
        let (_, keys) = Encryption::by_client(&CustomerKey::test(1), [2; 32]);
        let sealed = seal(&keys, Piece::Whole, &content(open_bytes as usize), 10_000);
        assert_eq!(sealed.len() as u64, expected, "{open_bytes}");
    }
}

#[test]
fn one_key_opens_and_no_other() {
    let (encryption, keys) = Encryption::by_client(&CustomerKey::test(1), [2; 32]);
    let stored = seal(&keys, Piece::Whole, b"attack at dawn", 100);
    let head = whole(&encryption, 14);
    let right = encryption.keys(&CustomerKey::test(1)).expect("the same key");
    assert_eq!(open(&head, &right, &stored, 0..14).as_deref(), Some(b"attack at dawn".as_slice()));
    assert!(encryption.keys(&CustomerKey::test(0)).is_none());
    // Even with the verifier out of the way.
    let wrong = ObjectKeys::derive(Keeper::Client, CustomerKey::test(0).expose(), &encryption.salt);
    assert_eq!(open(&head, &wrong, &stored, 0..14), None);
}

/// Two objects of the same bytes under the same key have nothing in common, and nothing of either shows.
#[test]
fn what_is_stored_tells_nothing() {
    let key = CustomerKey::test(1);
    let zeros = vec![0; 2 * OPEN];
    let [one, other] = [2, 3].map(|salt| {
        let (encryption, keys) = Encryption::by_client(&key, [salt; 32]);
        (encryption, seal(&keys, Piece::Whole, &zeros, PAGE))
    });
    assert_ne!(one.0.verifier, other.0.verifier);
    let pages = [&one.1[..PAGE], &one.1[PAGE..], &other.1[..PAGE], &other.1[PAGE..]];
    for (index, page) in pages.iter().enumerate() {
        assert!(!page.windows(32).any(|window| window == [0; 32]), "the bytes show");
        assert!(pages[..index].iter().all(|before| before[..64] != page[..64]), "pages look alike");
    }
    assert!(!format!("{one:?}").contains("01, 01, 01, 01"), "the key is kept");
}

fn store_key(byte: u8) -> StoreKey {
    StoreKey::new(Zeroizing::new([byte; 32]))
}

/// The very bytes of a customer's key, as the store's, open nothing of the customer's, nor the other way round.
#[test]
fn what_is_under_the_stores_key_opens_with_it_alone() {
    let (encryption, keys) = Encryption::by_store(&store_key(1), [2; 32]).expect("a key");
    let stored = seal(&keys, Piece::Whole, b"attack at dawn", 100);
    let head = whole(&encryption, 14);
    let unlocked = head.unlock(None, &store_key(1)).expect("its key").expect("encrypted");
    assert_eq!(open(&head, &unlocked, &stored, 0..14).as_deref(), Some(b"attack at dawn".as_slice()));
    assert!(head.is_under_store_key() && head.verify_key(None).is_ok());
    let customer = CustomerKey::test(1);
    assert!(encryption.keys(&customer).is_none());
    for (key, of_store, code) in [
        (None, store_key(0), S3ErrorCode::InternalError),
        (None, StoreKey::NONE, S3ErrorCode::NotImplemented),
        (Some(&customer), store_key(1), S3ErrorCode::InvalidRequest),
    ] {
        let refused = head.unlock(key, &of_store).expect_err("not this way");
        assert_eq!(*refused.code(), code);
    }
    let (encryption, _) = Encryption::by_client(&customer, [2; 32]);
    assert!(encryption.keys_of_store(&store_key(1)).is_err());
    let refused = whole(&encryption, 14).unlock(None, &store_key(1)).expect_err("it takes the client's key");
    assert_eq!(*refused.code(), S3ErrorCode::InvalidRequest);
    assert_eq!(format!("{:?}", store_key(1)), "***");
}

/// S3 promises the MD5 under its own keys, and none under a client's.
#[test]
fn an_entity_tag_is_the_md5_under_the_stores_key_alone() {
    let (_, of_store) = Encryption::by_store(&store_key(1), [2; 32]).expect("a key");
    let (_, of_client) = Encryption::by_client(&CustomerKey::test(1), [2; 32]);
    assert_eq!(of_store.etag(0, &[5; 16]), [5; 16]);
    assert_ne!(of_client.etag(0, &[5; 16]), [5; 16]);
}

/// Rows of a release that knew clients' keys alone.
#[test]
fn an_encryption_of_an_earlier_release_is_its_clients() {
    #[derive(Serialize)]
    struct Earlier {
        #[serde(with = "serde_bytes")]
        salt: [u8; 32],
        #[serde(with = "serde_bytes")]
        verifier: [u8; 32],
    }
    let (encryption, _) = Encryption::by_client(&CustomerKey::test(1), [2; 32]);
    let earlier = Earlier { salt: encryption.salt, verifier: encryption.verifier };
    let row = rmp_serde::to_vec_named(&earlier).expect("plain data");
    assert_eq!(rmp_serde::from_slice::<Encryption>(&row).expect("read"), encryption);
}

/// Every page that is not the one that was sealed for its place.
#[test]
fn a_page_opens_in_its_place_alone() {
    let key = CustomerKey::test(1);
    let (encryption, keys) = Encryption::by_client(&key, [2; 32]);
    let bytes = content(2 * OPEN + 100);
    let stored = seal(&keys, Piece::Whole, &bytes, 50_001);
    let head = whole(&encryption, bytes.len());
    let opens = |head: &Head, stored: &[u8]| open(head, &keys, stored, 0..head.bytes as usize);
    assert_eq!(opens(&head, &stored), Some(bytes.clone()));

    for (at, what) in [(0, "its first byte"), (PAGE - 1, "its tag"), (2 * PAGE + 99, "its last byte")] {
        for bit in [0, 7] {
            let mut flipped = stored.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(opens(&head, &flipped), None, "bit {bit} of {what}");
        }
    }
    let pages: Vec<_> = stored.chunks(PAGE).collect();
    assert_eq!(opens(&head, &[pages[1], pages[0], pages[2]].concat()), None, "two pages swapped");
    assert_eq!(opens(&head, &[pages[0], pages[0], pages[2]].concat()), None, "a page repeated");
    // The head is made to fit what is left.
    assert_eq!(opens(&whole(&encryption, 2 * OPEN), &stored[..2 * PAGE]), None, "cut off behind a page");
    assert_eq!(
        opens(&whole(&encryption, 2 * OPEN + 99), &stored[..stored.len() - 1]),
        None,
        "a byte cut off"
    );
    let longer = seal(&keys, Piece::Whole, &content(3 * OPEN), PAGE);
    assert_eq!(opens(&whole(&encryption, 2 * OPEN), &longer[..2 * PAGE]), None, "made shorter by a page");

    let (_, others) = Encryption::by_client(&key, [3; 32]);
    let other = seal(&others, Piece::Whole, &bytes, 50_001);
    assert_eq!(opens(&head, &[&other[..PAGE], &stored[PAGE..]].concat()), None, "another object's page");
    let part = Piece::Part { number: 1, instance: instance(9) };
    let part = seal(&keys, part, &bytes, 50_001);
    assert_eq!(opens(&head, &[&part[..PAGE], &stored[PAGE..]].concat()), None, "a part's page");
}

/// A head of parts: number, what they were staged as, and their bytes; and how those are stored.
fn of_parts(
    encryption: &Encryption,
    keys: &ObjectKeys,
    parts: &[(u32, Instance, Vec<u8>)],
) -> (Head, Vec<u8>) {
    let mut stored = Vec::new();
    for (number, instance, bytes) in parts {
        stored.extend(seal(keys, Piece::Part { number: *number, instance: *instance }, bytes, 65_000));
    }
    let shown = parts.iter().map(|(number, instance, bytes)| Part {
        number: *number,
        bytes: bytes.len() as u64,
        checksums: Checksums::default(),
        sealed_as: Some(*instance),
    });
    let bytes = parts.iter().map(|(_, _, bytes)| bytes.len()).sum();
    (Head { parts: shown.collect(), ..whole(encryption, bytes) }, stored)
}

#[test]
fn a_part_opens_in_its_place_alone() {
    let (encryption, keys) = Encryption::by_client(&CustomerKey::test(1), [2; 32]);
    let parts = |first, second| [(1, instance(1), content(first)), (2, instance(2), content(second))];
    let (head, stored) = of_parts(&encryption, &keys, &parts(100, 100));
    assert_eq!(open(&head, &keys, &stored, 0..200), Some([content(100), content(100)].concat()));
    assert_eq!(head.stored_bytes(), stored.len() as u64);

    let swapped = [&stored[116..], &stored[..116]].concat();
    assert_eq!(open(&head, &keys, &swapped, 0..200), None, "two parts swapped");
    let mut renumbered = head.clone();
    renumbered.parts[1].number = 3;
    assert_eq!(open(&renumbered, &keys, &stored, 0..200), None, "a part under another number");
    let (_, sent_before) =
        of_parts(&encryption, &keys, &[(1, instance(3), content(100)), parts(0, 100)[1].clone()]);
    assert_eq!(open(&head, &keys, &sent_before, 0..200), None, "the part that was sent before it");
    let mut unnamed = head.clone();
    unnamed.parts[0].sealed_as = None;
    assert_eq!(open(&unnamed, &keys, &stored, 0..200), None, "a part that does not say how it is sealed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any range of any parts is what it was, and no page is opened that has none of it.
    #[test]
    fn every_range_opens(
        sizes in vec(prop_oneof![0..=3_usize, OPEN - 2..=OPEN + 2, 0..3 * OPEN], 0..4),
        (one_end, other_end) in (0.0..=1.0_f64, 0.0..=1.0_f64),
        is_whole in any::<bool>(),
    ) {
        let (encryption, keys) = Encryption::by_client(&CustomerKey::test(1), [2; 32]);
        let bytes = content(sizes.iter().sum());
        let (head, stored) = if is_whole {
            (whole(&encryption, bytes.len()), seal(&keys, Piece::Whole, &bytes, 50_001))
        } else {
            let mut rest = bytes.as_slice();
            let parts: Vec<_> = sizes.iter().zip(1..).map(|(size, number)| {
                let (part, behind) = rest.split_at(*size);
                rest = behind;
                (number, instance(number as u8), part.to_vec())
            }).collect();
            of_parts(&encryption, &keys, &parts)
        };
        prop_assert_eq!(head.stored_bytes(), stored.len() as u64);
        let place = |share: f64| (share * bytes.len() as f64) as usize;
        let range = place(one_end.min(other_end))..place(one_end.max(other_end));
        let SealedRange { stored: needed, .. } =
            Opener::of(&head, keys.clone(), &(range.start as u64..range.end as u64)).expect("sealed");
        // A page at each end more than the range has, and a tag for each page of each part.
        let most = range.len() + 2 * PAGE + 16 * (sizes.len() + range.len() / OPEN);
        prop_assert!((needed.end - needed.start) as usize <= most);
        prop_assert_eq!(open(&head, &keys, &stored, range.clone()), Some(bytes[range].to_vec()));
    }
}
