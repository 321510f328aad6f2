//! What a scrub finds, and how it is told.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    /// The bytes are not those that their sum was computed over.
    Sum,
    /// The data file is not there.
    Missing,
    /// There are more or fewer bytes than were written.
    Length,
    /// The disk refuses to read.
    Unreadable,
    /// A row's sum is wrong, or it does not decode, or does not go with others.
    Metadata,
}

impl DamageKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Sum, Self::Missing, Self::Length, Self::Unreadable, Self::Metadata];

    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Missing => "missing",
            Self::Length => "length",
            Self::Unreadable => "unreadable",
            Self::Metadata => "metadata",
        }
    }
}

/// What is damaged: a version of an object, a part of an unfinished upload, the upload, or something of the store's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The object's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version's id; `None` for the null version, and where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The unfinished upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// The part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_number: Option<u32>,
    /// A row that is of no object: its table, and its key where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// With what.
    #[serde(flatten)]
    pub of: Damaged,
    /// Which of its bytes, as they are stored: those of an encrypted object are 16 more for each 64 KiB. `None` where it is
    /// about none in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Range<u64>>,
    /// The data file that they are in, under the store's `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The same for people.
    pub said: String,
}

impl Damage {
    /// Takes `next` in, if it is the same damage going on; else gives it back.
    fn join(&mut self, next: Self) -> Option<Self> {
        let goes_on = |(own, next): (&Range<u64>, &Range<u64>)| own.end == next.start;
        let is_next = self.bytes.as_ref().zip(next.bytes.as_ref()).is_some_and(goes_on);
        if !is_next || (self.kind, &self.of, &self.file) != (next.kind, &next.of, &next.file) {
            return Some(next);
        }
        if let (Some(own), Some(next)) = (&mut self.bytes, next.bytes) {
            own.end = next.end;
        }
        None
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = &self.row {
            return write!(f, "row {row}");
        }
        if let Some(number) = self.part_number {
            write!(f, "part {number} of ")?;
        }
        if let Some(upload_id) = &self.upload_id {
            write!(f, "upload {upload_id} of ")?;
        }
        if let Some(version_id) = &self.version_id {
            write!(f, "version {version_id} of ")?;
        }
        let (bucket, key) = (self.bucket.as_deref().unwrap_or("?"), self.key.as_deref().unwrap_or_default());
        // Keys may hold anything: a line stays one line.
        write!(f, "{:?}", format!("s3://{bucket}/{key}"))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.of)?;
        if let Some(Range { start, end }) = &self.bytes {
            // As `Range` headers count: the last one in.
            write!(f, ", stored bytes {start}-{}", end.saturating_sub(1))?;
        }
        if let Some(file) = &self.file {
            write!(f, ", data/{file}")?;
        }
        write!(f, ": {}", self.said)
    }
}

/// Adds `next` to what was found, which may end in its beginning.
pub fn add_damage(found: &mut Vec<Damage>, next: Damage) {
    let next = match found.last_mut() {
        Some(last) => last.join(next),
        None => Some(next),
    };
    found.extend(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(key: &str, bytes: Range<u64>) -> Damage {
        Damage {
            kind: DamageKind::Sum,
            of: Damaged { bucket: Some("b".into()), key: Some(key.into()), ..Damaged::default() },
            bytes: Some(bytes),
            file: Some("1/ab/abcd".into()),
            said: "other bytes than were written".into(),
        }
    }

    #[test]
    fn what_goes_on_is_one_damage_and_what_does_not_is_another() {
        let mut found = Vec::new();
        let other_kind = Damage { kind: DamageKind::Unreadable, ..damage("k", 30..40) };
        let other_file = Damage { file: None, ..damage("k", 40..50) };
        for next in [
            damage("k", 0..10),
            damage("k", 10..20),
            damage("k", 21..30),
            other_kind,
            other_file,
            damage("l", 50..60),
        ] {
            add_damage(&mut found, next);
        }
        let ranges: Vec<_> = found.into_iter().map(|damage| damage.bytes.expect("a range")).collect();
        assert_eq!(ranges, [0..20, 21..30, 30..40, 40..50, 50..60]);
    }

    #[test]
    fn a_damage_is_one_line_and_travels() {
        let damage = damage("a\nb", 0..65_536);
        assert_eq!(
            damage.to_string(),
            r#"sum: "s3://b/a\nb", stored bytes 0-65535, data/1/ab/abcd: other bytes than were written"#
        );
        let text = serde_json::to_string(&damage).expect("plain data");
        assert_eq!(serde_json::from_str::<Damage>(&text).expect("the same"), damage);
        assert!(
            text.starts_with(r#"{"kind":"sum","bucket":"b","key":"a\nb","bytes":{"start":0,"end":65536}"#),
            "{text}"
        );
    }
}
