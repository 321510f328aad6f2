//! The tables of the metadata file, and the sum that every row in them carries.

use crc_fast::{CrcAlgorithm, Digest};

use super::failure::Failure;

/// The tables. A table's number is part of its rows' CRCs: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Table {
    /// What the store knows of itself.
    Store = 0,
    /// Buckets by name.
    Buckets = 1,
    /// Heads of current objects, by bucket and key: what listings show.
    Objects = 2,
    /// The parts of multipart objects, by instance.
    PartLists = 3,
    /// What each instance is made of.
    Instances = 4,
    /// The segments of instances that have many, in runs, by instance and offset.
    Segments = 5,
    /// Data files and how often they are referred to.
    Files = 6,
    /// The page sums of data files, in runs, by file and page.
    Sums = 7,
    /// Unfinished multipart uploads by bucket, key and upload id.
    Uploads = 8,
    /// Parts of unfinished uploads by upload id and number.
    Parts = 9,
    /// Finished multipart uploads, remembered for a while so that they can be finished again.
    Completed = 10,
    /// What is to be removed, by when that may happen.
    Due = 11,
    /// Data files that nothing refers to any more.
    Trash = 12,
    /// Users by access key.
    Users = 13,
    /// Versions that are not current, and delete markers, by bucket and key, newest first.
    Versions = 14,
    /// Where among those the null version of a key is, by bucket and key.
    NullVersions = 15,
    /// How much each account keeps, by its name.
    Usage = 16,
    /// Renames that were done, by account and client token, remembered so that they are not done again.
    Renames = 17,
}

/// In the order of their numbers.
const TABLES: [(Table, &str); 18] = [
    (Table::Store, "store"),
    (Table::Buckets, "buckets"),
    (Table::Objects, "objects"),
    (Table::PartLists, "part_lists"),
    (Table::Instances, "instances"),
    (Table::Segments, "segments"),
    (Table::Files, "files"),
    (Table::Sums, "sums"),
    (Table::Uploads, "uploads"),
    (Table::Parts, "parts"),
    (Table::Completed, "completed"),
    (Table::Due, "due"),
    (Table::Trash, "trash"),
    (Table::Users, "users"),
    (Table::Versions, "versions"),
    (Table::NullVersions, "null_versions"),
    (Table::Usage, "usage"),
    (Table::Renames, "renames"),
];

impl Table {
    /// Every table.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        TABLES.iter().map(|(table, _)| *table)
    }

    /// The table's name, in the metadata file and in errors.
    pub(super) fn name(self) -> &'static str {
        TABLES[self as usize].1
    }
}

const SUM_BYTES: usize = 4;

/// `value` with its sum, as it is stored.
pub(super) fn seal(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + SUM_BYTES);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&row_sum(table, key, value).to_le_bytes());
    sealed
}

/// The value of a stored row whose sum is right.
pub(super) fn unseal(table: Table, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Failure> {
    match sealed.split_last_chunk::<SUM_BYTES>() {
        Some((value, sum)) if u32::from_le_bytes(*sum) == row_sum(table, key, value) => Ok(value.to_vec()),
        _ => Err(Failure::Corrupt(format!("row {} of table {}", hex::encode(key), table.name()))),
    }
}

fn row_sum(table: Table, key: &[u8], value: &[u8]) -> u32 {
    let mut sum = Digest::new(CrcAlgorithm::Crc32Iscsi);
    sum.update(&[table as u8]);
    // The length keeps a byte that moved between key and value from going unseen.
    sum.update(&(key.len() as u64).to_le_bytes());
    sum.update(key);
    sum.update(value);
    sum.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_by_their_numbers() {
        assert!(Table::all().enumerate().all(|(number, table)| table as usize == number));
    }

    #[test]
    fn a_row_is_itself_under_its_own_key_in_its_own_table_alone() {
        let sealed = seal(Table::Objects, b"key", b"value");
        assert_eq!(unseal(Table::Objects, b"key", &sealed).unwrap(), b"value");
        assert!(unseal(Table::Users, b"key", &sealed).is_err());
        assert!(unseal(Table::Objects, b"kez", &sealed).is_err());
        assert!(unseal(Table::Objects, b"keyv", &sealed[1..]).is_err());
        assert!(unseal(Table::Objects, b"key", &sealed[..3]).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(Table::Objects, b"key", &flipped).is_err(), "bit {bit}");
        }
    }
}
