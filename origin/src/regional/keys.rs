//! Row keys: how names become bytes that sort as S3 lists them.
//!
//! An object's row key is `bucket 00 key' 00 00 00`, where `key'` is the key with each 00 written as `00 FF`. Rows of
//! one bucket are therefore together, ordered by the bytes of their keys, and a key that is a prefix of another comes
//! first. Versions that are not current are in a table of their own, under `bucket 00 key' 00 00 order`, where the
//! bits of the version's place among those of its key are turned over: the newest comes first.

use std::ops::{Bound, RangeInclusive};

use super::failure::Failure;
use crate::instance::Instance;

/// What follows the terminator where a key has one row.
pub(super) const CURRENT: u8 = 0;

/// The row key of an object's current version.
pub(super) fn object(bucket: &str, key: &str) -> Vec<u8> {
    let mut row = within(bucket, key.as_bytes());
    row.extend_from_slice(&[0, 0, CURRENT]);
    row
}

/// The row key of the version at `order` of an object.
pub(super) fn version(bucket: &str, key: &str, order: u64) -> Vec<u8> {
    let mut row = within(bucket, key.as_bytes());
    row.extend_from_slice(&[0, 0]);
    row.extend_from_slice(&(!order).to_be_bytes());
    row
}

/// The place of a version, from what follows the terminator of its row key.
pub(super) fn order(tail: &[u8]) -> Result<u64, Failure> {
    let turned = tail.try_into().map_err(|_| Failure::Corrupt("a version's row key has no place".into()))?;
    Ok(!u64::from_be_bytes(turned))
}

/// The row keys of all versions of an object.
pub(super) fn versions(bucket: &str, key: &str) -> RangeInclusive<Vec<u8>> {
    version(bucket, key, u64::MAX)..=version(bucket, key, 0)
}

/// The row key of an unfinished upload.
pub(super) fn upload(bucket: &str, key: &str, upload_id: &str) -> Vec<u8> {
    let mut row = within(bucket, key.as_bytes());
    row.extend_from_slice(&[0, 0]);
    row.extend_from_slice(upload_id.as_bytes());
    row
}

/// The row key of a part of an unfinished upload.
pub(super) fn part(upload_id: &str, number: u32) -> Vec<u8> {
    let mut row = upload_id.as_bytes().to_vec();
    row.push(0);
    row.extend_from_slice(&number.to_be_bytes());
    row
}

/// The part number at the end of a part's row key.
pub(super) fn part_number(row: &[u8]) -> Result<u32, Failure> {
    let number = row.last_chunk().ok_or_else(|| Failure::Corrupt("a part's row key is too short".into()))?;
    Ok(u32::from_be_bytes(*number))
}

/// The row key of a rename that an account has asked for under `token`.
pub(super) fn renamed(account_id: &str, token: &str) -> Vec<u8> {
    [account_id.as_bytes(), &[0], token.as_bytes()].concat()
}

/// A run in a file or an instance: the id, then a rising number.
pub(super) fn run(id: &Instance, from: u64) -> Vec<u8> {
    [id.as_bytes().as_slice(), &from.to_be_bytes()].concat()
}

/// The number at the end of a run's row key.
pub(super) fn run_start(row: &[u8]) -> Result<u64, Failure> {
    let start = row.last_chunk().ok_or_else(|| Failure::Corrupt("a run's row key is too short".into()))?;
    Ok(u64::from_be_bytes(*start))
}

/// Where rows of `bucket` start whose object keys are at (or, excluded, after) `from`. A bound need not be UTF-8:
/// the smallest key past a common prefix is not.
pub(super) fn lower(bucket: &str, from: Bound<&[u8]>) -> Bound<Vec<u8>> {
    match from {
        Bound::Unbounded => Bound::Included(within(bucket, b"")),
        Bound::Included(key) => Bound::Included(within(bucket, key)),
        Bound::Excluded(key) => {
            // Past the terminator and whatever follows it, but not past longer keys.
            let mut row = within(bucket, key);
            row.extend_from_slice(&[0, 1]);
            Bound::Included(row)
        }
    }
}

/// Where the rows of `bucket` end.
pub(super) fn upper(bucket: &str) -> Bound<Vec<u8>> {
    let mut row = bucket.as_bytes().to_vec();
    row.push(1);
    Bound::Excluded(row)
}

/// The rows of `bucket` whose object keys start with `prefix`.
pub(super) fn prefixed(bucket: &str, prefix: &str) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let to = match past_prefix(prefix.as_bytes()) {
        Some(past) => Bound::Excluded(within(bucket, &past)),
        None => upper(bucket),
    };
    (Bound::Included(within(bucket, prefix.as_bytes())), to)
}

/// The smallest bytes past everything that starts with `prefix`; `None` if there is nothing past it.
pub(crate) fn past_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut past = prefix[..=last].to_vec();
    past[last] += 1;
    Some(past)
}

/// The object key in a row key, and what follows its terminator.
pub(super) fn split<'a>(bucket: &str, row: &'a [u8]) -> Result<(String, &'a [u8]), Failure> {
    let corrupt = || Failure::Corrupt(format!("row key {}", hex::encode(row)));
    let mut rest = row.get(bucket.len() + 1..).ok_or_else(corrupt)?;
    let mut key = Vec::with_capacity(rest.len());
    loop {
        match rest {
            [0, 0, tail @ ..] => return Ok((String::from_utf8(key).map_err(|_| corrupt())?, tail)),
            [0, 0xFF, tail @ ..] => {
                key.push(0);
                rest = tail;
            }
            [0, ..] | [] => return Err(corrupt()),
            [byte, tail @ ..] => {
                key.push(*byte);
                rest = tail;
            }
        }
    }
}

fn within(bucket: &str, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(bucket.len() + key.len() + 4);
    row.extend_from_slice(bucket.as_bytes());
    row.push(0);
    for byte in key {
        row.push(*byte);
        if *byte == 0 {
            row.push(0xFF);
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn row_keys_sort_as_their_object_keys(one in "[\\x00-\\x02a\u{fe}]{0,6}", other in "[\\x00-\\x02a\u{fe}]{0,6}") {
            prop_assert_eq!(object("b", &one).cmp(&object("b", &other)), one.as_bytes().cmp(other.as_bytes()));
            let row = object("b", &one);
            prop_assert_eq!(split("b", &row).unwrap(), (one, [CURRENT].as_slice()));
        }

        #[test]
        fn a_bound_parts_rows_as_it_parts_keys(key in "[\\x00-\\x02a]{0,5}", bound in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(0xFF)], 0..5)) {
            let row = object("b", &key);
            let Bound::Included(at) = lower("b", Bound::Included(&bound)) else { unreachable!() };
            prop_assert_eq!(row >= at, key.as_bytes() >= bound.as_slice());
            let Bound::Included(after) = lower("b", Bound::Excluded(&bound)) else { unreachable!() };
            prop_assert_eq!(row >= after, key.as_bytes() > bound.as_slice());
        }
    }

    #[test]
    fn versions_of_a_key_are_together_newest_first() {
        let rows =
            [version("b", "k", u64::MAX), version("b", "k", 256), version("b", "k", 1), version("b", "k", 0)];
        assert!(rows.is_sorted());
        assert!(rows.iter().all(|row| versions("b", "k").contains(row)));
        for other in [version("b", "j", 0), version("b", "k\0", u64::MAX), version("b", "ka", u64::MAX)] {
            assert!(!versions("b", "k").contains(&other));
        }
        let (key, tail) = split("b", &rows[1]).unwrap();
        assert_eq!((key.as_str(), order(tail).unwrap()), ("k", 256));
        assert!(order(&tail[1..]).is_err());
    }

    #[test]
    fn buckets_do_not_mix_although_one_name_starts_with_the_other() {
        let (Bound::Included(from), Bound::Excluded(to)) = (lower("ab", Bound::Unbounded), upper("ab"))
        else {
            unreachable!()
        };
        for other in [object("ab-c", "k"), object("abc", ""), object("a", "\u{10ffff}")] {
            assert!(other < from || other >= to);
        }
    }

    #[test]
    fn past_prefix_is_the_least_bytes_beyond() {
        assert_eq!(past_prefix(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(past_prefix(b"a\xFF"), Some(b"b".to_vec()));
        assert_eq!(past_prefix(b"\xFF"), None);
        assert_eq!(past_prefix(b""), None);
    }
}
