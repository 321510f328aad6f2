//! Versions of an object: which is there, and how a change makes the newest, changes one and removes one.
//!
//! The current object has its row in [`Table::Objects`] and nothing else of its key is there, so that listings read
//! one row a key however many versions it has. Everything else of the key is in [`Table::Versions`], newest first. When
//! the newest is a delete marker there is no current object, and the marker is the first of those rows. The null
//! version, which has no id to be found by, has its place in [`Table::NullVersions`] while it is not current.

use std::ops::Bound;

use super::db::ReadRows;
use super::failure::Failure;
use super::keys;
use super::rows::{MarkerRow, NullVersionRow, ObjectRow, Reads, VersionRow, decode, encode, in_bucket};
use super::table::Table;
use super::txn::Txn;
use crate::acl::Owner;
use crate::head::{DeleteMarker, Head, Versioning};
use crate::version_id::{NamedVersion, VersionId};

/// What is under the name of an object, or of one version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Object(Box<Head>),
    Marker(DeleteMarker),
}

impl Version {
    pub(super) fn of(head: Head) -> Self {
        Self::Object(Box::new(head))
    }

    /// The object, if it is one.
    pub(crate) fn object(&self) -> Option<&Head> {
        match self {
            Self::Object(head) => Some(head),
            Self::Marker(_) => None,
        }
    }

    /// The object or else the marker.
    pub(crate) fn split(found: Option<Self>) -> (Option<Head>, Option<DeleteMarker>) {
        match found {
            Some(Self::Object(head)) => (Some(*head), None),
            Some(Self::Marker(marker)) => (None, Some(marker)),
            None => (None, None),
        }
    }

    /// `None` for the null version.
    pub(crate) fn version_id(&self) -> Option<&str> {
        match self {
            Self::Object(head) => head.version_id.as_deref(),
            Self::Marker(marker) => marker.version_id.as_deref(),
        }
    }
}

/// A version, without its parts, and its place among those of its key.
pub(crate) struct Placed {
    pub(crate) order: u64,
    pub(crate) version: Version,
}

/// With which of its parts an object is read: ten thousand take a while to decode, which the one writer has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    All,
    /// Those of an encrypted object alone, which cannot be opened without them.
    OfEncrypted,
    None,
}

impl Parts {
    fn has_those_of(self, head: &Head) -> bool {
        match self {
            Self::All => true,
            Self::OfEncrypted => head.encryption.is_some(),
            Self::None => false,
        }
    }
}

/// Finding versions; in a snapshot and in a [`Txn`].
pub(crate) trait ReadVersions: Reads {
    /// The version that is named, or the newest, with those of its parts that are wanted.
    fn version(
        &self,
        bucket: &str,
        key: &str,
        named: Option<&NamedVersion>,
        wanted: Parts,
    ) -> Result<Option<Version>, Failure> {
        let row = self.version_row(bucket, key, named)?;
        row.map(|row| match row {
            VersionRow::Object(object) if wanted.has_those_of(&object.head) => {
                self.with_parts(*object).map(Version::of)
            }
            row => Ok(row.into_version()),
        })
        .transpose()
    }

    /// The place of the newest version of a key.
    fn newest_order(&self, bucket: &str, key: &str) -> Result<Option<u64>, Failure> {
        match self.current(bucket, key)? {
            Some(current) => Ok(Some(current.order)),
            None => Ok(self.newest_older(bucket, key)?.map(|(order, _)| order)),
        }
    }

    /// The place of the version that is named; of one with an id also when it has been removed.
    fn order_of(&self, bucket: &str, key: &str, named: &NamedVersion) -> Result<Option<u64>, Failure> {
        match named {
            NamedVersion::Id(id) => Ok(Some(id.order())),
            NamedVersion::Null => match self.current(bucket, key)? {
                Some(current) if current.head.version_id.is_none() => Ok(Some(current.order)),
                _ => self.null_order(bucket, key),
            },
        }
    }

    /// The current objects of `bucket` with keys at or after `from`, in byte order; of one key only if it is older than
    /// the place `behind`.
    fn current_from<'s>(
        &'s self,
        bucket: &str,
        from: Bound<&[u8]>,
        behind: Option<(&str, u64)>,
    ) -> Result<impl Iterator<Item = Result<(String, Placed), Failure>> + use<'s, Self>, Failure> {
        let (bucket, behind) = (bucket.to_owned(), behind.map(|(key, order)| (key.to_owned(), order)));
        let rows = in_bucket(self, Table::Objects, &bucket, from)?;
        let placed = rows.map(move |row| {
            let (row_key, value) = row?;
            let ObjectRow { head, order, .. } = decode(&value)?;
            Ok((keys::split(&bucket, &row_key)?.0, Placed { order, version: Version::of(head) }))
        });
        Ok(placed.filter(move |row| match (row, &behind) {
            (Ok((key, placed)), Some((behind, order))) => key != behind || placed.order < *order,
            _ => true,
        }))
    }

    /// The other versions of `bucket`, and its delete markers, with keys at or after `from`: by key, newest first; those
    /// of one key only if they are older than the place `behind`, which must be of the first key then.
    fn older_from<'s>(
        &'s self,
        bucket: &str,
        from: Bound<&[u8]>,
        behind: Option<(&str, u64)>,
    ) -> Result<impl Iterator<Item = Result<(String, Placed), Failure>> + use<'s, Self>, Failure> {
        let bucket = bucket.to_owned();
        let from = match behind {
            Some((key, order)) => Bound::Excluded(keys::version(&bucket, key, order)),
            None => keys::lower(&bucket, from),
        };
        let to = keys::upper(&bucket);
        let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let rows = self.rows(Table::Versions, range)?;
        Ok(rows.map(move |row| {
            let (row_key, value) = row?;
            let (key, tail) = keys::split(&bucket, &row_key)?;
            let version = decode::<VersionRow>(&value)?.into_version();
            Ok((key, Placed { order: keys::order(tail)?, version }))
        }))
    }

    /// A version that is not current, or a delete marker, by its place.
    fn older_at(&self, bucket: &str, key: &str, order: u64) -> Result<Option<VersionRow>, Failure> {
        self.decoded(Table::Versions, &keys::version(bucket, key, order))
    }

    /// Whether there is any version of any key in a bucket, or a delete marker.
    fn has_older_versions(&self, bucket: &str) -> Result<bool, Failure> {
        let mut rows = in_bucket(self, Table::Versions, bucket, Bound::Unbounded)?;
        Ok(rows.next().transpose()?.is_some())
    }

    /// The current object, without its parts.
    #[doc(hidden)]
    fn current(&self, bucket: &str, key: &str) -> Result<Option<ObjectRow>, Failure> {
        self.decoded(Table::Objects, &keys::object(bucket, key))
    }

    /// A version that is not current, or a delete marker, with its place.
    #[doc(hidden)]
    fn older(
        &self,
        bucket: &str,
        key: &str,
        named: &NamedVersion,
    ) -> Result<Option<(u64, VersionRow)>, Failure> {
        let order = match named {
            NamedVersion::Id(id) => Some(id.order()),
            NamedVersion::Null => self.null_order(bucket, key)?,
        };
        let Some(order) = order else { return Ok(None) };
        let row: Option<VersionRow> = self.decoded(Table::Versions, &keys::version(bucket, key, order))?;
        // Another version may have come to this place after the one of this id was removed.
        Ok(row.filter(|row| named.is(row.version_id())).map(|row| (order, row)))
    }

    /// The newest of what is not current.
    #[doc(hidden)]
    fn newest_older(&self, bucket: &str, key: &str) -> Result<Option<(u64, VersionRow)>, Failure> {
        let range = keys::versions(bucket, key);
        let range = (Bound::Included(range.start().as_slice()), Bound::Included(range.end().as_slice()));
        let Some(first) = self.rows(Table::Versions, range)?.next().transpose()? else { return Ok(None) };
        let (_, tail) = keys::split(bucket, &first.0)?;
        Ok(Some((keys::order(tail)?, decode(&first.1)?)))
    }

    #[doc(hidden)]
    fn null_order(&self, bucket: &str, key: &str) -> Result<Option<u64>, Failure> {
        let row: Option<NullVersionRow> = self.decoded(Table::NullVersions, &keys::object(bucket, key))?;
        Ok(row.map(|row| row.order))
    }

    /// The row of the version that is named, or of the newest.
    #[doc(hidden)]
    fn version_row(
        &self,
        bucket: &str,
        key: &str,
        named: Option<&NamedVersion>,
    ) -> Result<Option<VersionRow>, Failure> {
        let current = self.current(bucket, key)?;
        match (current, named) {
            (Some(current), None) => Ok(Some(VersionRow::Object(Box::new(current)))),
            (Some(current), Some(named)) if named.is(current.head.version_id.as_deref()) => {
                Ok(Some(VersionRow::Object(Box::new(current))))
            }
            (_, Some(named)) => Ok(self.older(bucket, key, named)?.map(|(_, row)| row)),
            (None, None) => match self.newest_older(bucket, key)? {
                Some((_, row @ VersionRow::Marker(_))) => Ok(Some(row)),
                Some((_, VersionRow::Object(_))) => {
                    Err(Failure::Corrupt("the newest version is not current".into()))
                }
                None => Ok(None),
            },
        }
    }
}

impl<R: ReadRows + ?Sized> ReadVersions for R {}

impl Txn<'_> {
    /// Makes `head` the current version of an object, under an id if its bucket gives them; returns it as it is kept.
    /// The version before it stays, unless it was the null version and this one is too: then its bytes are kept for
    /// their grace.
    pub(crate) fn put_version(
        &mut self,
        bucket: &str,
        key: &str,
        versioning: Versioning,
        head: Head,
    ) -> Result<Head, Failure> {
        if versioning == Versioning::Never {
            let head = Head { version_id: None, ..head };
            self.put_object(bucket, key, &head)?;
            return Ok(head);
        }
        let (order, version_id) = self.make_place(bucket, key, versioning)?;
        let head = Head { version_id, ..head };
        self.count_bytes(bucket, 0, head.bytes)?;
        let row = self.object_row(&head, order)?;
        self.rows.put_row(Table::Objects, &keys::object(bucket, key), &encode(&row))?;
        Ok(head)
    }

    /// Makes a delete marker the newest version of a key, whether there is anything to delete or not. `versioning` is
    /// of a bucket that keeps versions or did.
    pub(crate) fn put_marker(
        &mut self,
        bucket: &str,
        key: &str,
        versioning: Versioning,
        owner: Option<Owner>,
    ) -> Result<DeleteMarker, Failure> {
        let (order, version_id) = self.make_place(bucket, key, versioning)?;
        let marker = DeleteMarker { version_id, modified_millis: self.now_millis(), owner };
        self.rows.delete_row(Table::Objects, &keys::object(bucket, key))?;
        let row = MarkerRow { marker: marker.clone(), superseded_millis: None };
        self.put_older(bucket, key, order, &VersionRow::Marker(row))?;
        Ok(marker)
    }

    /// Puts `head` over the version that it is of, which is there: its bytes are the same, and so are its parts, which
    /// stay as they are written.
    pub(crate) fn amend_version(&mut self, bucket: &str, key: &str, head: &Head) -> Result<(), Failure> {
        let missing = || Failure::Corrupt("a version to be changed is missing".into());
        let named = named(head.version_id.as_deref()).ok_or_else(missing)?;
        let head = Head { parts: Vec::new(), ..head.clone() };
        match self.current(bucket, key)? {
            Some(current) if named.is(current.head.version_id.as_deref()) => {
                let row = ObjectRow { head, ..current };
                self.rows.put_row(Table::Objects, &keys::object(bucket, key), &encode(&row))
            }
            _ => {
                let Some((order, VersionRow::Object(before))) = self.older(bucket, key, &named)? else {
                    return Err(missing());
                };
                let row = VersionRow::Object(Box::new(ObjectRow { head, ..*before }));
                self.rows.put_row(Table::Versions, &keys::version(bucket, key, order), &encode(&row))
            }
        }
    }

    /// Removes a version for good and returns it, without its parts; the newest that is left becomes current. The bytes
    /// are kept for their grace.
    pub(crate) fn remove_version(
        &mut self,
        bucket: &str,
        key: &str,
        named: &NamedVersion,
    ) -> Result<Option<Version>, Failure> {
        let removed = self.take_version(bucket, key, named)?;
        if removed.is_some() {
            self.promote(bucket, key)?;
        }
        Ok(removed)
    }

    /// A place before all others, and the id of the version that comes there; what was the newest has made way.
    fn make_place(
        &mut self,
        bucket: &str,
        key: &str,
        versioning: Versioning,
    ) -> Result<(u64, Option<String>), Failure> {
        let newest = self.newest_order(bucket, key)?;
        let order = match newest {
            Some(newest) => newest
                .checked_add(1)
                .ok_or_else(|| Failure::Corrupt("a key's versions have no end".into()))?,
            None => 0,
        };
        let version_id = match versioning {
            Versioning::Enabled => {
                let id = VersionId::new(*self.random_id().as_bytes(), order);
                Some(id.as_str().to_owned())
            }
            Versioning::Suspended | Versioning::Never => {
                self.take_version(bucket, key, &NamedVersion::Null)?;
                None
            }
        };
        if let Some(newest) = newest {
            self.supersede(bucket, key, newest)?;
        }
        Ok((order, version_id))
    }

    /// Notes of what was the newest of a key, at `order`, that it is so no more; it may have been removed.
    fn supersede(&mut self, bucket: &str, key: &str, order: u64) -> Result<(), Failure> {
        let superseded_millis = Some(self.now_millis());
        if let Some(current) = self.current(bucket, key)? {
            let row = VersionRow::Object(Box::new(ObjectRow { superseded_millis, ..current }));
            return self.put_older(bucket, key, order, &row);
        }
        match self.newest_older(bucket, key)? {
            Some((at, VersionRow::Marker(row))) if at == order => {
                let row = VersionRow::Marker(MarkerRow { superseded_millis, ..row });
                self.put_older(bucket, key, order, &row)
            }
            _ => Ok(()),
        }
    }

    /// Removes a version, and lets no other take its place.
    fn take_version(
        &mut self,
        bucket: &str,
        key: &str,
        named: &NamedVersion,
    ) -> Result<Option<Version>, Failure> {
        if let Some(current) = self.current(bucket, key)?
            && named.is(current.head.version_id.as_deref())
        {
            self.rows.delete_row(Table::Objects, &keys::object(bucket, key))?;
            self.count_bytes(bucket, current.head.bytes, 0)?;
            self.retire_object(&current)?;
            return Ok(Some(Version::of(current.head)));
        }
        let Some((order, row)) = self.older(bucket, key, named)? else { return Ok(None) };
        self.delete_older(bucket, key, order, &row)?;
        Ok(Some(match row {
            VersionRow::Object(object) => {
                self.count_bytes(bucket, object.head.bytes, 0)?;
                self.retire_object(&object)?;
                Version::of(object.head)
            }
            VersionRow::Marker(row) => Version::Marker(row.marker),
        }))
    }

    /// Makes the newest version current, if nothing is and it is not a delete marker.
    fn promote(&mut self, bucket: &str, key: &str) -> Result<(), Failure> {
        if self.current(bucket, key)?.is_some() {
            return Ok(());
        }
        if let Some((order, row)) = self.newest_older(bucket, key)?
            && let VersionRow::Object(object) = &row
        {
            let current = ObjectRow { superseded_millis: None, ..(**object).clone() };
            self.rows.put_row(Table::Objects, &keys::object(bucket, key), &encode(&current))?;
            self.delete_older(bucket, key, order, &row)?;
        }
        Ok(())
    }

    fn put_older(&mut self, bucket: &str, key: &str, order: u64, row: &VersionRow) -> Result<(), Failure> {
        if row.version_id().is_none() {
            let place = NullVersionRow { order };
            self.rows.put_row(Table::NullVersions, &keys::object(bucket, key), &encode(&place))?;
        }
        self.rows.put_row(Table::Versions, &keys::version(bucket, key, order), &encode(row))
    }

    fn delete_older(&mut self, bucket: &str, key: &str, order: u64, row: &VersionRow) -> Result<(), Failure> {
        if row.version_id().is_none() {
            self.rows.delete_row(Table::NullVersions, &keys::object(bucket, key))?;
        }
        self.rows.delete_row(Table::Versions, &keys::version(bucket, key, order))
    }
}

/// The name of a version with this id; `None` for what is no id.
pub(super) fn named(version_id: Option<&str>) -> Option<NamedVersion> {
    match version_id {
        None => Some(NamedVersion::Null),
        Some(text) => VersionId::parse(text).map(NamedVersion::Id),
    }
}
