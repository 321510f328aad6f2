//! Where a scrub stands: between rows in the order of their keys, or inside the bytes that one of them is about. Whoever has
//! the place can go on from there, also after the node was started again.

use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::instance::Instance;
use crate::regional::due::Span;
use crate::regional::keys;
use crate::regional::listed_instances::SomeKeys;
use crate::regional::rows::{decode, encode};
use crate::regional::table::Table;

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScrubScope {
    /// The whole store.
    Everything,
    /// Some keys of a bucket: all versions, and the unfinished uploads.
    Keys {
        /// The bucket.
        bucket: String,
        /// Which of its keys.
        keys: SomeKeys,
    },
}

/// Where a scrub stands, and what of. Travels as text that means nothing to others, but for the region in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ScrubPlace(pub(super) Place);

/// The text is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place where a scrub stood")]
pub struct NotAPlace;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) scope: ScrubScope,
    pub(super) stage: Stage,
    /// The row behind which it stands, or inside which; `None` in front of all.
    #[serde(with = "serde_bytes")]
    pub(super) key: Option<Vec<u8>>,
    /// Of the upload under `key`, the part behind or inside which it stands; 0 in front of all.
    pub(super) part: Option<u32>,
    /// Inside the bytes of the row, or of the part.
    pub(super) inside: Option<Inside>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inside {
    /// Whose bytes: another instance under the key is another object.
    pub(super) instance: Instance,
    pub(super) offset: u64,
}

/// What is read one after the other. A version that another takes the place of goes from the first to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Current,
    Older,
    Uploads,
    /// The table of this index in [`OTHER_TABLES`].
    Rows(usize),
    /// Data files that no row names.
    Files,
}

/// Tables whose rows are of no object. Those of an object's bytes are read with it.
const OTHER_TABLES: [Table; 9] = [
    Table::Store,
    Table::Buckets,
    Table::NullVersions,
    Table::Completed,
    Table::Due,
    Table::Trash,
    Table::Users,
    Table::Usage,
    Table::Renames,
];

impl Stage {
    /// What is read next.
    fn next(self, scope: &ScrubScope) -> Option<Self> {
        match self {
            Self::Current => Some(Self::Older),
            Self::Older => Some(Self::Uploads),
            Self::Uploads => match scope {
                ScrubScope::Everything => Some(Self::Rows(0)),
                ScrubScope::Keys { .. } => None,
            },
            Self::Rows(index) if index + 1 < OTHER_TABLES.len() => Some(Self::Rows(index + 1)),
            Self::Rows(_) => Some(Self::Files),
            Self::Files => None,
        }
    }

    /// The table that is gone through; `None` where it is folders.
    pub(super) fn table(self) -> Option<Table> {
        match self {
            Self::Current => Some(Table::Objects),
            Self::Older => Some(Table::Versions),
            Self::Uploads => Some(Table::Uploads),
            Self::Rows(index) => OTHER_TABLES.get(index).copied(),
            Self::Files => None,
        }
    }
}

impl Place {
    /// In front of everything.
    pub(super) fn begin(region: String, scope: ScrubScope) -> Self {
        Self { region, scope, stage: Stage::Current, key: None, part: None, inside: None }
    }

    /// In front of what is read next; `None` at the end.
    pub(super) fn next_stage(&self) -> Option<Self> {
        let stage = self.stage.next(&self.scope)?;
        Some(Self { stage, ..Self::begin(self.region.clone(), self.scope.clone()) })
    }

    /// Behind the row `key`.
    pub(super) fn behind(&self, key: Vec<u8>) -> Self {
        Self { key: Some(key), part: None, inside: None, ..self.clone() }
    }

    /// Behind the part `part` of the upload `key`.
    pub(super) fn behind_part(&self, key: Vec<u8>, part: u32) -> Self {
        Self { part: Some(part), ..self.behind(key) }
    }

    /// The keys of the rows that are left.
    pub(super) fn span(&self) -> Span {
        let (from, to) = match &self.scope {
            ScrubScope::Everything => (Bound::Unbounded, Bound::Unbounded),
            ScrubScope::Keys { bucket, keys: SomeKeys::Prefix(prefix) } => keys::prefixed(bucket, prefix),
            ScrubScope::Keys { bucket, keys: SomeKeys::Key(key) } => {
                let key = key.as_bytes();
                let past = match keys::lower(bucket, Bound::Excluded(key)) {
                    Bound::Included(past) => Bound::Excluded(past),
                    other => other,
                };
                (keys::lower(bucket, Bound::Included(key)), past)
            }
        };
        (self.key.clone().map_or(from, Bound::Excluded), to)
    }
}

impl ScrubPlace {
    /// The region of the store.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// A place in another region's store.
    #[cfg(test)]
    pub(in crate::regional) fn test_of(region: &str) -> Self {
        Self(Place::begin(region.to_owned(), ScrubScope::Everything))
    }

    /// Whether it is inside the bytes of an object or a part.
    #[cfg(test)]
    pub(in crate::regional) fn test_is_inside(&self) -> bool {
        self.0.inside.is_some()
    }

    /// Where it stands, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        let place = &self.0;
        let key = place.key.as_deref().unwrap_or_default();
        let object = || match name_of(key) {
            Some((bucket, key, _)) => format!("{:?}", format!("s3://{bucket}/{key}")),
            None => "the first".to_owned(),
        };
        match place.stage {
            Stage::Current => format!("current objects, at {}", object()),
            Stage::Older => format!("older versions, at {}", object()),
            Stage::Uploads => format!("unfinished uploads, at {}", object()),
            Stage::Rows(_) => format!("other rows: {}", place.stage.table().map_or("", Table::name)),
            Stage::Files => format!("data files, at data/{}", String::from_utf8_lossy(key)),
        }
    }
}

/// Bucket, key and what follows of a row key of objects, versions and uploads.
pub(super) fn name_of(row_key: &[u8]) -> Option<(String, String, &[u8])> {
    let bucket = str::from_utf8(row_key.split(|byte| *byte == 0).next()?).ok()?;
    let (key, tail) = keys::split(bucket, row_key).ok()?;
    Some((bucket.to_owned(), key, tail))
}

impl fmt::Display for ScrubPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.region, hex::encode(encode(&self.0)))
    }
}

impl FromStr for ScrubPlace {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (region, place) = text.split_once(':').ok_or(NotAPlace)?;
        let place: Place = decode(&hex::decode(place).map_err(|_| NotAPlace)?).map_err(|_| NotAPlace)?;
        if place.region == region { Ok(Self(place)) } else { Err(NotAPlace) }
    }
}

impl From<ScrubPlace> for String {
    fn from(place: ScrubPlace) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for ScrubPlace {
    type Error = NotAPlace;

    fn try_from(text: String) -> Result<Self, NotAPlace> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds;

    use super::*;

    fn keys_of(bucket: &str, keys: SomeKeys) -> Place {
        Place::begin("ord1".into(), ScrubScope::Keys { bucket: bucket.into(), keys })
    }

    #[test]
    fn a_place_is_the_same_as_text() {
        let inside = Some(Inside { instance: Instance::from_bytes([7; 16]), offset: 1 << 40 });
        let begin = keys_of("b", SomeKeys::Prefix("a/".into()));
        for place in [begin.clone(), Place { inside, ..begin.behind_part(keys::upload("b", "a/k", "u"), 7) }]
        {
            let place = ScrubPlace(place);
            assert_eq!(place.to_string().parse(), Ok(place.clone()));
            assert_eq!(place.region(), "ord1");
        }
        let text = ScrubPlace(begin).to_string();
        for wrong in
            ["", "ord1", "ord1:", "ord1:zz", &text[..text.len() - 2], &text.replace("ord1:", "las1:")]
        {
            assert_eq!(wrong.parse::<ScrubPlace>(), Err(NotAPlace), "{wrong}");
        }
    }

    #[test]
    fn every_stage_comes_once_and_those_of_no_key_only_with_everything() {
        let stages = |place: Place| {
            std::iter::successors(Some(place), Place::next_stage).map(|place| place.stage).collect::<Vec<_>>()
        };
        let everything = stages(Place::begin("ord1".into(), ScrubScope::Everything));
        assert_eq!(everything.len(), 4 + OTHER_TABLES.len());
        let some = stages(keys_of("b", SomeKeys::Prefix(String::new())));
        assert_eq!(some, [Stage::Current, Stage::Older, Stage::Uploads]);
    }

    #[test]
    fn the_rows_of_one_key_are_its_own() {
        let key = keys_of("b", SomeKeys::Key("k".into())).span();
        let prefix = keys_of("b", SomeKeys::Prefix("k".into())).span();
        let bucket = keys_of("b", SomeKeys::Prefix(String::new())).span();
        for (name, in_key, in_prefix) in [
            ("k", true, true),
            ("k\0", false, true),
            ("kk", false, true),
            ("j", false, false),
            ("l", false, false),
        ] {
            for row in [keys::object("b", name), keys::version("b", name, 3), keys::upload("b", name, "u")] {
                assert_eq!((key.contains(&row), prefix.contains(&row)), (in_key, in_prefix), "{name:?}");
                assert!(bucket.contains(&row));
            }
        }
        assert!(!bucket.contains(&keys::object("b-c", "k")) && !bucket.contains(&keys::object("a", "k")));
        let behind = keys_of("b", SomeKeys::Prefix(String::new())).behind(keys::object("b", "k"));
        assert!(
            !behind.span().contains(&keys::object("b", "k"))
                && behind.span().contains(&keys::object("b", "kk"))
        );
    }
}
