//! What the rows say: their types, and reading them by name from a snapshot or inside a transaction.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::at_hand;
use super::db::{ReadRows, RowSnapshot, Rows};
use super::failure::Failure;
use super::keys;
use super::layout;
use super::table::Table;
use super::versions::Version;
use crate::acl::{Acl, Owner};
use crate::encryption::{Encryption, sealed_bytes};
use crate::head::{ChecksumKind, Checksums, DeleteMarker, Facts, Head, Part, StoredHeaders};
use crate::instance::Instance;
use crate::tags::Tags;
use crate::website::Website;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    /// What permission and other nodes need to know of it.
    pub(crate) facts: Facts,
    /// Milliseconds since 1970.
    pub(crate) created_millis: u64,
    /// The bucket's tags; no decision reads them.
    #[serde(default)]
    pub(crate) tags: Tags,
    /// How it is shown as a website, if it is; no other node reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) website: Option<Website>,
}

impl Bucket {
    /// A bucket that nothing was said about since it was made.
    pub(crate) fn new(facts: Facts, created_millis: u64) -> Self {
        Self { facts, created_millis, tags: Tags::new(), website: None }
    }
}

/// Of a bucket's row, whose the bucket is: nothing else is decoded.
#[derive(Deserialize)]
pub(super) struct OwnedBucket {
    pub(super) facts: Owned,
}

#[derive(Deserialize)]
pub(super) struct Owned {
    pub(super) owner: String,
}

/// An object, or a version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectRow {
    /// Without parts: a listing must not carry ten thousand of them a row.
    pub(super) head: Head,
    /// Whether the parts are in a row of their own.
    pub(super) has_part_list: bool,
    /// Its place among the versions of its key; 0 where the bucket never kept any.
    #[serde(default)]
    pub(super) order: u64,
    /// When another version took its place, in milliseconds since 1970; `None` while it is current, and where that was in
    /// an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) superseded_millis: Option<u64>,
}

/// A version that is not current, or a delete marker, which may be the newest of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum VersionRow {
    Object(Box<ObjectRow>),
    Marker(MarkerRow),
}

/// A delete marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MarkerRow {
    #[serde(flatten)]
    pub(super) marker: DeleteMarker,
    /// As of an object. Where the marker is the newest again it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) superseded_millis: Option<u64>,
}

impl VersionRow {
    /// The version, without its parts.
    pub(super) fn into_version(self) -> Version {
        match self {
            Self::Object(object) => Version::of(object.head),
            Self::Marker(row) => Version::Marker(row.marker),
        }
    }

    /// `None` for the null version.
    pub(super) fn version_id(&self) -> Option<&str> {
        match self {
            Self::Object(object) => object.head.version_id.as_deref(),
            Self::Marker(row) => row.marker.version_id.as_deref(),
        }
    }

    /// When it was made, in milliseconds since 1970.
    pub(super) fn modified_millis(&self) -> u64 {
        match self {
            Self::Object(object) => object.head.modified_millis,
            Self::Marker(row) => row.marker.modified_millis,
        }
    }

    /// When another version took its place, if that is known.
    pub(super) fn superseded_millis(&self) -> Option<u64> {
        match self {
            Self::Object(object) => object.superseded_millis,
            Self::Marker(row) => row.superseded_millis,
        }
    }
}

/// Where the null version of a key is, while it is not current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NullVersionRow {
    pub(super) order: u64,
}

/// An unfinished multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRow {
    /// Milliseconds since 1970.
    pub(crate) initiated_millis: u64,
    /// The canonical id of whoever started it.
    #[serde(default)]
    pub(crate) initiator: String,
    /// What listings show of them; empty in rows of an earlier release: as the bucket's owner.
    #[serde(default)]
    pub(crate) initiator_display: String,
    /// Whose the object will be; `None`: the bucket's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Owner>,
    /// The object's list; `None`: private of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<Acl>,
    /// The object's tags.
    #[serde(default)]
    pub(crate) tags: Tags,
    #[serde(default)]
    pub(crate) headers: StoredHeaders,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// `x-amz-checksum-algorithm`, as S3 spells it.
    #[serde(default)]
    pub(crate) checksum_algorithm: Option<String>,
    #[serde(default)]
    pub(crate) checksum_kind: Option<ChecksumKind>,
    /// How all of its parts are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
}

/// A part of an unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRow {
    /// The part's bytes.
    pub(crate) instance: Instance,
    pub(crate) bytes: u64,
    /// The part's MD5 in hex, or what stands in its place where the part is encrypted.
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified_millis: u64,
    #[serde(default)]
    pub(crate) checksums: Checksums,
    /// Whether the bytes are encrypted, with the key of the upload.
    #[serde(default)]
    pub(crate) is_sealed: bool,
}

impl PartRow {
    /// How many bytes the part's instance has.
    pub(super) fn stored_bytes(&self) -> u64 {
        if self.is_sealed { sealed_bytes(self.bytes) } else { self.bytes }
    }
}

/// A finished upload, remembered so that finishing it again is answered as the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompletedRow {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) etag: String,
    /// The canonical id of whoever started it; empty in rows of an earlier release: nobody but the bucket's owner.
    #[serde(default)]
    pub(crate) initiator: String,
    #[serde(default)]
    pub(crate) checksums: Checksums,
    #[serde(default)]
    pub(crate) version_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
    /// `x-amz-expiration`, as it was answered.
    #[serde(default)]
    pub(crate) expiration: Option<String>,
    /// Of the bucket that it was finished in; `None` in rows of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) incarnation: Option<Instance>,
}

/// A rename that was done, remembered so that doing it again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RenamedRow {
    /// Of the bucket.
    pub(crate) incarnation: Instance,
    /// Of what was asked.
    pub(crate) fingerprint: [u8; 32],
}

/// A user as identity keeps it. The store does not look inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The access key id: the row's name.
    pub access_key: String,
    /// Whatever identity keeps of the user; secrets are sealed.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// What an instance is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InstanceRow {
    pub(super) bytes: u64,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    /// Few bytes, in the row itself.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Slices of data files, one after the other.
    Segments(Vec<Segment>),
    /// More segments than a row should hold: they are in runs, in rows of their own.
    Runs,
}

/// A slice of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) file: Instance,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// A data file. It is named by the instance it was staged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRow {
    pub(super) bytes: u64,
    /// The epoch of the store in which it was made: the folder it is in.
    pub(super) epoch: u64,
    /// Segments that lie in it.
    pub(super) references: u64,
}

/// Segments in a run of an instance that has many.
pub(super) const RUN_SEGMENTS: usize = 128;
/// A row that takes others' time to decode: the list of some hundred parts.
const LONG_ROW_BYTES: usize = 64 * 1024;
/// Page sums in a run: 4 KiB of sums stand for 64 MiB of a data file.
pub(super) const RUN_PAGES: u64 = 1024;

/// The store as it was at one moment.
pub(crate) struct Snapshot<'a>(pub(super) RowSnapshot<'a>);

impl ReadRows for Snapshot<'_> {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.0.row(table, key)
    }

    fn rows(&self, table: Table, range: super::db::KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        self.0.rows(table, range)
    }
}

/// Unfinished uploads: key, upload id, upload.
type UploadsIn<'s> = Box<dyn Iterator<Item = Result<(String, String, UploadRow), Failure>> + 's>;

/// Reading by name; in a [`Snapshot`] and in a [`Txn`](super::txn::Txn).
pub(crate) trait Reads: ReadRows {
    /// The bucket `name`.
    fn bucket(&self, name: &str) -> Result<Option<Bucket>, Failure> {
        let Some(known) = self.known_buckets() else { return self.decoded(Table::Buckets, name.as_bytes()) };
        let row = self.row(Table::Buckets, name.as_bytes())?;
        row.map(|row| known.decoded(name, row)).transpose()
    }

    /// All buckets with names after `after`, by name.
    fn buckets(
        &self,
        after: Option<&str>,
    ) -> Result<impl Iterator<Item = Result<(String, Bucket), Failure>>, Failure> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_bytes()));
        let rows = self.rows(Table::Buckets, (from, Bound::Unbounded))?;
        Ok(rows.map(|row| {
            let (name, value) = row?;
            Ok((text(name)?, decode(&value)?))
        }))
    }

    /// The buckets of an account with names after `after`, by name. Of others it is decoded whose they are and no more: a
    /// row may be some hundred KiB long.
    fn buckets_of(
        &self,
        account: &str,
        after: Option<&str>,
    ) -> Result<impl Iterator<Item = Result<(String, Bucket), Failure>>, Failure> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_bytes()));
        let owned = move |(name, value): (Vec<u8>, Vec<u8>)| {
            let is_owned = decode::<OwnedBucket>(&value)?.facts.owner == account;
            is_owned.then(|| Ok((text(name)?, decode(&value)?))).transpose()
        };
        let rows = self.rows(Table::Buckets, (from, Bound::Unbounded))?;
        Ok(rows.filter_map(move |row| row.and_then(owned).transpose()))
    }

    /// The current version of an object, **without** its parts.
    fn head(&self, bucket: &str, key: &str) -> Result<Option<Head>, Failure> {
        let current = self.decoded::<ObjectRow>(Table::Objects, &keys::object(bucket, key))?;
        Ok(current.map(|object| object.head))
    }

    /// A head with its parts.
    #[doc(hidden)]
    fn with_parts(&self, object: ObjectRow) -> Result<Head, Failure> {
        let mut head = object.head;
        if object.has_part_list {
            head.parts = self.part_list(&head.instance)?;
        }
        Ok(head)
    }

    /// The parts of an object that has a list of them.
    #[doc(hidden)]
    fn part_list(&self, instance: &Instance) -> Result<Vec<Part>, Failure> {
        let missing = || Failure::Corrupt(format!("the part list of instance {instance} is missing"));
        self.decoded(Table::PartLists, instance.as_bytes())?.ok_or_else(missing)
    }

    /// The objects of `bucket` with keys at or after `from`, in byte order, **without** their parts.
    ///
    /// To pass over a common prefix ask anew from [`keys::past_prefix`]: a seek costs about as much as four rows.
    fn objects<'s>(
        &'s self,
        bucket: &str,
        from: Bound<&[u8]>,
    ) -> Result<impl Iterator<Item = Result<(String, Head), Failure>> + use<'s, Self>, Failure> {
        let bucket = bucket.to_owned();
        let rows = in_bucket(self, Table::Objects, &bucket, from)?;
        Ok(rows.map(move |row| {
            let (row_key, value) = row?;
            Ok((keys::split(&bucket, &row_key)?.0, decode::<ObjectRow>(&value)?.head))
        }))
    }

    /// An unfinished upload.
    fn upload(&self, bucket: &str, key: &str, upload_id: &str) -> Result<Option<UploadRow>, Failure> {
        self.decoded(Table::Uploads, &keys::upload(bucket, key, upload_id))
    }

    /// The unfinished uploads of `bucket` with keys at or after `from`: key, upload id, upload; by key, then by upload id.
    fn uploads<'s>(&'s self, bucket: &str, from: Bound<&[u8]>) -> Result<UploadsIn<'s>, Failure> {
        self.uploads_in(bucket, keys::lower(bucket, from))
    }

    /// The unfinished uploads of `bucket` behind one of them, whether it is there or not.
    fn uploads_behind<'s>(
        &'s self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<UploadsIn<'s>, Failure> {
        self.uploads_in(bucket, Bound::Excluded(keys::upload(bucket, key, upload_id)))
    }

    /// The unfinished uploads of `bucket` from a row key on.
    #[doc(hidden)]
    fn uploads_in<'s>(&'s self, bucket: &str, from: Bound<Vec<u8>>) -> Result<UploadsIn<'s>, Failure> {
        let bucket = bucket.to_owned();
        let to = keys::upper(&bucket);
        let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let rows = self.rows(Table::Uploads, range)?;
        Ok(Box::new(rows.map(move |row| {
            let (row_key, value) = row?;
            let (key, upload_id) = keys::split(&bucket, &row_key)?;
            Ok((key, text(upload_id.to_vec())?, decode(&value)?))
        })))
    }

    /// One part of an unfinished upload.
    fn part(&self, upload_id: &str, number: u32) -> Result<Option<PartRow>, Failure> {
        self.decoded(Table::Parts, &keys::part(upload_id, number))
    }

    /// The parts of an unfinished upload with numbers after `after`, by number.
    fn parts(
        &self,
        upload_id: &str,
        after: u32,
    ) -> Result<impl Iterator<Item = Result<(u32, PartRow), Failure>>, Failure> {
        let (from, to) = (keys::part(upload_id, after), keys::part(upload_id, u32::MAX));
        let rows =
            self.rows(Table::Parts, (Bound::Excluded(from.as_slice()), Bound::Included(to.as_slice())))?;
        Ok(rows.map(|row| {
            let (row_key, value) = row?;
            Ok((keys::part_number(&row_key)?, decode(&value)?))
        }))
    }

    /// An upload that was finished not long ago.
    fn completed(&self, upload_id: &str) -> Result<Option<CompletedRow>, Failure> {
        self.decoded(Table::Completed, upload_id.as_bytes())
    }

    /// A rename that was done not long ago, under a client token of an account's.
    fn renamed(&self, account_id: &str, token: &str) -> Result<Option<RenamedRow>, Failure> {
        self.decoded(Table::Renames, &keys::renamed(account_id, token))
    }

    /// The size of an instance.
    fn instance_bytes(&self, instance: &Instance) -> Result<Option<u64>, Failure> {
        Ok(self.decoded::<InstanceRow>(Table::Instances, instance.as_bytes())?.map(|row| row.bytes))
    }

    /// The bytes of an instance that is kept in its row; `None` for one in files.
    fn inline(&self, instance: &Instance) -> Result<Option<Bytes>, Failure> {
        Ok(match layout::instance(self, instance)?.content {
            Content::Inline(inline) => Some(Bytes::from(inline)),
            Content::Segments(_) | Content::Runs => None,
        })
    }

    /// A user.
    fn user(&self, access_key: &str) -> Result<Option<UserRow>, Failure> {
        self.decoded(Table::Users, access_key.as_bytes())
    }

    /// All users, by access key.
    fn users(&self) -> Result<Vec<UserRow>, Failure> {
        self.rows(Table::Users, (Bound::Unbounded, Bound::Unbounded))?.map(|row| decode(&row?.1)).collect()
    }

    /// The row under `key`, decoded.
    #[doc(hidden)]
    fn decoded<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, Failure> {
        let Some(value) = self.row(table, key)? else { return Ok(None) };
        let decoding = || decode(&value).map(Some);
        if value.len() > LONG_ROW_BYTES { at_hand::at_length(decoding) } else { decoding() }
    }
}

impl<R: ReadRows + ?Sized> Reads for R {}

pub(super) fn in_bucket<'a, R: ReadRows + ?Sized>(
    rows: &'a R,
    table: Table,
    bucket: &str,
    from: Bound<&[u8]>,
) -> Result<Rows<'a>, Failure> {
    let (from, to) = (keys::lower(bucket, from), keys::upper(bucket));
    rows.rows(table, (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice)))
}

/// A row's value as bytes. Fields carry their names: a row of an earlier release stays readable.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("rows are plain data")
}

/// A row's value from bytes whose sum was right.
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Failure> {
    rmp_serde::from_slice(value).map_err(|cause| Failure::Corrupt(format!("decode row: {cause}")))
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::Corrupt("a name is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use super::super::at_hand::AtHand;
    use super::super::db::KeyRange;
    use super::*;

    /// A table in memory, of one row.
    struct OneRow(Vec<u8>);

    impl ReadRows for OneRow {
        fn row(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
            Ok(Some(self.0.clone()))
        }

        fn rows(&self, _: Table, _: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
            Ok(Box::new(std::iter::once(Ok((Vec::new(), self.0.clone())))))
        }
    }

    /// It is decoded at length, and waits for no disk: the reads after it are not sent elsewhere.
    #[test]
    fn a_long_row_is_no_sign_of_waiting() {
        let at_hand = AtHand::default();
        let user = UserRow { access_key: "a".into(), value: vec![7; 2 * LONG_ROW_BYTES] };
        let read = at_hand.run(|| OneRow(encode(&user)).user("a")).expect("a read");
        assert_eq!(read, Some(user));
        assert!(at_hand.is_likely());
    }

    /// Rows of a release that did not say since when a version is not current.
    #[test]
    fn rows_of_an_earlier_release_are_read() {
        #[derive(Serialize)]
        enum Earlier {
            Object(Box<EarlierObject>),
            Marker(DeleteMarker),
        }
        #[derive(Serialize)]
        struct EarlierObject {
            head: Head,
            has_part_list: bool,
            order: u64,
        }
        let id = Instance::from_bytes([7; 16]);
        let head = Head { modified_millis: 5, ..Head::new(id, id) };
        let marker = DeleteMarker { version_id: Some("v".into()), modified_millis: 6, owner: None };
        let object = EarlierObject { head: head.clone(), has_part_list: false, order: 3 };
        let object: VersionRow = decode(&encode(&Earlier::Object(Box::new(object)))).expect("an object");
        let expected = ObjectRow { head, has_part_list: false, order: 3, superseded_millis: None };
        assert_eq!(object, VersionRow::Object(Box::new(expected)));
        let row: VersionRow = decode(&encode(&Earlier::Marker(marker.clone()))).expect("a marker");
        assert_eq!(row, VersionRow::Marker(MarkerRow { marker: marker.clone(), superseded_millis: None }));
        assert_eq!((row.version_id(), row.modified_millis()), (Some("v"), 6));
        let row = VersionRow::Marker(MarkerRow { marker, superseded_millis: Some(9) });
        assert_eq!(decode::<VersionRow>(&encode(&row)).expect("a marker"), row);
    }
}
