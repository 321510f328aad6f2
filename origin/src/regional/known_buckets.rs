//! Buckets that the writer has decoded: every change asks for its bucket, whose documents may be some hundred KiB long, and
//! nobody else writes meanwhile.
//!
//! A bucket counts as known while its row is the same, byte for byte, so that whatever was written since is another one.
//! There may be thousands of short rows: they are found by name, and those that nobody asks for go all at once, so that no
//! change goes through all of them.

use std::cell::RefCell;
use std::collections::HashMap;

use super::failure::Failure;
use super::rows::{Bucket, decode};

/// Bytes of rows after which those that were not asked for meanwhile go; as many may be waiting for that. Decoded they take
/// several times as many.
const ASKED_BYTES_MAX: usize = 512 * 1024;

/// The buckets that were asked for last.
#[derive(Default)]
pub(crate) struct KnownBuckets(RefCell<Kept>);

#[derive(Default)]
struct Kept {
    asked: HashMap<String, Known>,
    /// Of their rows.
    asked_bytes: usize,
    /// Those from before: they go next, unless they are asked for.
    before: HashMap<String, Known>,
}

struct Known {
    row: Vec<u8>,
    bucket: Bucket,
}

impl KnownBuckets {
    /// The bucket `name`, of this row. What its policy says is parsed once for all who are given it.
    pub(super) fn decoded(&self, name: &str, row: Vec<u8>) -> Result<Bucket, Failure> {
        let mut kept = self.0.borrow_mut();
        if let Some(known) = kept.asked.get(name).filter(|known| known.row == row) {
            return Ok(known.bucket.clone());
        }
        let bucket = match kept.before.remove(name) {
            Some(known) if known.row == row => known.bucket,
            Some(_) | None => decode(&row)?,
        };
        kept.put(name, Known { row, bucket: bucket.clone() });
        Ok(bucket)
    }
}

impl Kept {
    fn put(&mut self, name: &str, known: Known) {
        self.asked_bytes += known.row.len();
        if let Some(replaced) = self.asked.insert(name.to_owned(), known) {
            self.asked_bytes -= replaced.row.len();
        }
        if self.asked_bytes > ASKED_BYTES_MAX {
            self.before = std::mem::take(&mut self.asked);
            self.asked_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Owner;
    use crate::head::Facts;
    use crate::instance::Instance;
    use crate::policy::StoredPolicy;
    use crate::regional::rows::encode;

    /// A bucket's row with a policy of `policy_bytes` bytes.
    fn row(policy_bytes: usize) -> Vec<u8> {
        let owner = Owner { id: "id".into(), display_name: "anne".into() };
        let id = Instance::from_bytes([1; 16]);
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}]}"#;
        let policy = StoredPolicy::new(&format!("{policy:policy_bytes$}"), "photos").unwrap();
        let facts = Facts { policy: Some(policy), ..Facts::new(id, id, "anne", owner) };
        encode(&Bucket::new(facts, 1))
    }

    impl KnownBuckets {
        fn policy(&self, name: &str, row: &[u8]) -> StoredPolicy {
            self.decoded(name, row.to_vec()).unwrap().facts.policy.unwrap()
        }

        /// Asks for as many others, with this in their names, as are kept in all.
        fn ask_for_others(&self, of: &str, meanwhile: impl Fn()) {
            let other = row(10_000);
            for n in 0..2 * ASKED_BYTES_MAX / other.len() + 2 {
                self.decoded(&format!("{of}{n}"), other.clone()).unwrap();
                meanwhile();
            }
        }

        fn kept_bytes(&self) -> usize {
            let kept = self.0.borrow();
            kept.asked.values().chain(kept.before.values()).map(|known| known.row.len()).sum()
        }
    }

    fn is_same(one: &StoredPolicy, other: &StoredPolicy) -> bool {
        std::ptr::eq(one.policy().unwrap(), other.policy().unwrap())
    }

    #[test]
    fn a_bucket_is_known_while_it_is_asked_for() {
        let (known, row) = (KnownBuckets::default(), row(0));
        let first = known.policy("photos", &row);
        known.ask_for_others("a", || assert!(is_same(&known.policy("photos", &row), &first)));
        assert!(known.kept_bytes() <= 2 * (ASKED_BYTES_MAX + 20_000), "{}", known.kept_bytes());
        known.ask_for_others("b", || {});
        assert!(!is_same(&known.policy("photos", &row), &first));
    }

    /// Whether it was asked for just now or a while ago.
    #[test]
    fn a_bucket_with_another_row_is_another_one() {
        let known = KnownBuckets::default();
        known.policy("photos", &row(200));
        assert_eq!(known.policy("photos", &row(300)).text().len(), 300);
        for n in 0.. {
            known.decoded(&n.to_string(), row(10_000)).unwrap();
            if known.0.borrow().before.contains_key("photos") {
                break;
            }
        }
        assert_eq!(known.policy("photos", &row(400)).text().len(), 400);
    }
}
