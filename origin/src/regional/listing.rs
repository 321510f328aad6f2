//! One page of a listing in key order, with common prefixes passed over by a seek.
//!
//! An *entry* is a key or a common prefix: what the listing shows once. Entries are in the order of their bytes,
//! and a page goes on after a marker with the first entry greater than it, so a page that ended with a common
//! prefix is continued past all its keys. What is behind the keys (objects, uploads) is the caller's.

use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{CommonPrefix, EncodingType};
use s3s::{S3Result, s3_error};

use super::failure::Failure;
use super::keys::past_prefix;

/// Entries on a page unless the client wants fewer: S3's limit.
const PAGE_ENTRIES_MAX: usize = 1000;

/// Which part of the keys a page shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Keys start with this.
    pub(super) prefix: String,
    /// Keys are grouped by what they have up to this, after the prefix; empty: not at all.
    pub(super) delimiter: String,
    /// Entries are greater than this.
    pub(super) after: Option<String>,
    /// At most this many entries.
    pub(super) entries_max: usize,
}

/// One page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) entries: Vec<Entry<T>>,
    /// Whether more entries follow. A page of no entries says no, as S3's does: it could not be continued.
    pub(super) is_truncated: bool,
}

/// What a listing shows once.
#[derive(Debug)]
pub(super) enum Entry<T> {
    Key(String, T),
    CommonPrefix(String),
}

impl<T> Page<T> {
    /// The last entry's key or prefix: the marker of the next page.
    pub(super) fn last(&self) -> Option<&str> {
        self.entries.last().map(|entry| match entry {
            Entry::Key(text, _) | Entry::CommonPrefix(text) => text.as_str(),
        })
    }

    /// The page's keys with what is behind them, and its common prefixes in the client's encoding.
    pub(super) fn split(self, encoding: Encoding) -> (Vec<(String, T)>, Vec<CommonPrefix>) {
        let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
        for entry in self.entries {
            match entry {
                Entry::Key(key, item) => keys.push((key, item)),
                Entry::CommonPrefix(prefix) => {
                    prefixes.push(CommonPrefix { prefix: Some(encoding.apply(prefix)) });
                }
            }
        }
        (keys, prefixes)
    }
}

impl Scope {
    /// Reads what every listing has in its request; what is empty is as good as not said.
    ///
    /// # Errors
    /// `InvalidArgument`, which names the parameter, for a page of less than no entries.
    pub(super) fn parse(
        prefix: Option<String>,
        delimiter: Option<String>,
        after: Option<String>,
        (parameter, entries): (&str, Option<i32>),
    ) -> S3Result<Self> {
        Ok(Self {
            prefix: prefix.unwrap_or_default(),
            delimiter: delimiter.unwrap_or_default(),
            after: after.filter(|after| !after.is_empty()),
            entries_max: entries_max(entries, parameter)?,
        })
    }

    /// The delimiter for the answer, if there is one.
    pub(super) fn shown_delimiter(&self, encoding: Encoding) -> Option<String> {
        Some(self.delimiter.clone())
            .filter(|delimiter| !delimiter.is_empty())
            .map(|text| encoding.apply(text))
    }

    /// Where the first row of the page may be.
    fn start(&self) -> Bound<&[u8]> {
        match &self.after {
            Some(after) if after.as_str() >= self.prefix.as_str() => Bound::Excluded(after.as_bytes()),
            // No key is empty. A delete marker of an earlier release may be under none, and no marker names it.
            _ if self.prefix.is_empty() => Bound::Excluded(b""),
            _ => Bound::Included(self.prefix.as_bytes()),
        }
    }

    /// The common prefix of `key`, delimiter included, if it has one.
    fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let after_prefix = key.get(self.prefix.len()..)?;
        let end = self.prefix.len() + after_prefix.find(&self.delimiter)? + self.delimiter.len();
        Some(&key[..end])
    }
}

/// Reads one page; `rows` gives what lies at or after a bound, in key order.
pub(super) fn page<T, I>(
    scope: &Scope,
    mut rows: impl FnMut(Bound<&[u8]>) -> Result<I, Failure>,
) -> Result<Page<T>, Failure>
where
    I: Iterator<Item = Result<(String, T), Failure>>,
{
    let mut page = Page { entries: Vec::new(), is_truncated: false };
    if scope.entries_max == 0 {
        return Ok(page);
    }
    let mut current = rows(scope.start())?;
    while let Some(row) = current.next() {
        let (key, item) = row?;
        if !key.starts_with(&scope.prefix) {
            break;
        }
        let common_prefix = scope.common_prefix(&key).map(str::to_owned);
        let is_shown = match (&common_prefix, &scope.after) {
            (Some(prefix), Some(after)) => prefix > after,
            _ => true,
        };
        if is_shown && page.entries.len() == scope.entries_max {
            page.is_truncated = true;
            break;
        }
        match common_prefix {
            None => page.entries.push(Entry::Key(key, item)),
            Some(prefix) => {
                let Some(past) = past_prefix(prefix.as_bytes()) else { break };
                if is_shown {
                    page.entries.push(Entry::CommonPrefix(prefix));
                }
                current = rows(Bound::Included(&past))?;
            }
        }
    }
    Ok(page)
}

/// How many entries a page may have.
///
/// # Errors
/// `InvalidArgument` for less than none.
pub(super) fn entries_max(asked: Option<i32>, parameter: &str) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(PAGE_ENTRIES_MAX),
        Some(Ok(count)) => Ok(count.min(PAGE_ENTRIES_MAX)),
        Some(Err(_)) => Err(s3_error!(
            InvalidArgument,
            "Argument {parameter} must be an integer between 0 and 2147483647"
        )),
    }
}

/// How many entries the page could have had, for the answer.
pub(super) fn shown_max(entries_max: usize) -> i32 {
    i32::try_from(entries_max).unwrap_or(i32::MAX)
}

/// How names are written in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    /// Reads `encoding-type`.
    ///
    /// # Errors
    /// `InvalidArgument` for anything but `url`.
    pub(super) fn parse(encoding_type: Option<&EncodingType>) -> S3Result<Self> {
        match encoding_type.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    /// The name as the client wants it.
    pub(super) fn apply(self, name: String) -> String {
        /// All but what is plain in a URL's path.
        const ENCODED: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
        match self {
            Self::Plain => name,
            Self::Url => utf8_percent_encode(&name, ENCODED).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::{Strategy, prop, prop_assert_eq, proptest};

    use super::*;

    type Keys = BTreeMap<Vec<u8>, String>;

    fn keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> Keys {
        keys.into_iter().map(|key| (key.as_bytes().to_vec(), key.to_owned())).collect()
    }

    /// The page's entries, whether it is truncated, and how many rows were read for it.
    fn read(keys: &Keys, scope: &Scope) -> (Vec<String>, bool, usize) {
        let rows_read = Cell::new(0);
        let rows = |from: Bound<&[u8]>| {
            let range = keys.range::<[u8], _>((from, Bound::Unbounded));
            Ok(range.map(|(_, key)| {
                rows_read.set(rows_read.get() + 1);
                Ok((key.clone(), ()))
            }))
        };
        let page = page(scope, rows).expect("rows without failures");
        let entries = page.entries.iter().map(|entry| match entry {
            Entry::Key(text, ()) | Entry::CommonPrefix(text) => text.clone(),
        });
        (entries.collect(), page.is_truncated, rows_read.get())
    }

    /// What a listing means, without a thought of speed.
    fn expected(keys: &Keys, scope: &Scope) -> (Vec<String>, bool) {
        let entries: BTreeSet<&str> = keys
            .values()
            .filter(|key| !key.is_empty() && key.starts_with(&scope.prefix))
            .map(|key| scope.common_prefix(key).unwrap_or(key))
            .filter(|entry| scope.after.as_deref().is_none_or(|after| *entry > after))
            .collect();
        let page = entries.iter().take(scope.entries_max).map(|entry| (*entry).to_owned()).collect();
        (page, scope.entries_max > 0 && entries.len() > scope.entries_max)
    }

    fn names() -> impl Strategy<Value = String> {
        "[ab/\u{7f}\u{80}\u{10ffff}]{0,5}"
    }

    proptest! {
        #[test]
        fn a_page_is_what_it_means(
            names in prop::collection::btree_set(names(), 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in prop::sample::select(&["", "/", "b", "/b"][..]),
            after in prop::option::of(names()),
            entries_max in 0_usize..8,
        ) {
            let keys = keys(names.iter().map(String::as_str));
            let scope = Scope { prefix, delimiter: delimiter.to_owned(), after, entries_max };
            let (entries, is_truncated, _) = read(&keys, &scope);
            prop_assert_eq!((entries, is_truncated), expected(&keys, &scope));
        }
    }

    /// A store may have one from a release that took it, and a page that ends with it could not be continued.
    #[test]
    fn an_empty_key_is_passed_over() {
        let keys = keys(["", "a", "b"]);
        let first = Scope { entries_max: 1, ..Scope::default() };
        assert_eq!(read(&keys, &first), (vec!["a".into()], true, 2));
    }

    #[test]
    fn common_prefixes_are_passed_over_by_a_seek() {
        let names: Vec<_> = (0..30_000).map(|n| format!("dir{}/{n:05}", n % 3)).collect();
        let keys = keys(names.iter().map(String::as_str));
        let scope = Scope { delimiter: "/".to_owned(), entries_max: 1000, ..Scope::default() };
        let (entries, is_truncated, rows_read) = read(&keys, &scope);
        assert_eq!((entries, is_truncated), (vec!["dir0/".into(), "dir1/".into(), "dir2/".into()], false));
        assert_eq!(rows_read, 3);
    }

    #[test]
    fn names_are_encoded_as_in_a_path() {
        assert_eq!(Encoding::Url.apply("a b/c+d~é\n".to_owned()), "a%20b/c%2Bd~%C3%A9%0A");
        assert_eq!(Encoding::Plain.apply("a b".to_owned()), "a b");
    }
}
