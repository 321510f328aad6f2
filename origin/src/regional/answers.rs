//! Values of the store as S3's answers show them, and the checksum fields that s3s repeats in many of its types.

use std::time::{Duration, SystemTime};

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CompletedPart, CopyObjectResult, CopyPartResult, ETag, Owner, Part, PutObjectOutput, Timestamp,
    UploadPartOutput,
};

use crate::caller::Caller;
use crate::checksums::Algorithm;
use crate::head::{ChecksumKind, Checksums};

/// A point in time from milliseconds since 1970.
pub(super) fn timestamp(millis: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}

/// The caller's account as the owner of what it sees: only the owner's users come this far.
pub(super) fn owner(caller: &Caller) -> Owner {
    Owner { display_name: Some(caller.display_name.clone()), id: Some(caller.canonical_id.clone()) }
}

/// A stored ETag, which has no quotes.
pub(super) fn etag(etag: String) -> Option<ETag> {
    Some(ETag::Strong(etag))
}

/// `x-amz-checksum-type`.
pub(super) fn checksum_type(kind: Option<ChecksumKind>) -> Option<ChecksumType> {
    kind.map(|kind| ChecksumType::from_static(kind.as_str()))
}

/// `x-amz-checksum-algorithm`.
pub(super) fn checksum_algorithm(algorithm: Algorithm) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(algorithm.as_str())
}

/// s3s's types with a field for each checksum.
pub(super) trait ChecksumFields: Sized {
    /// The fields: CRC32, CRC32C, CRC64NVME, SHA1, SHA256.
    fn checksum_fields(&mut self) -> [&mut Option<String>; 5];

    /// Shows these values, and no others.
    fn with_checksums(mut self, checksums: Checksums) -> Self {
        let Checksums { crc32, crc32c, crc64nvme, sha1, sha256, kind: _ } = checksums;
        let values = [crc32, crc32c, crc64nvme, sha1, sha256];
        for (field, value) in self.checksum_fields().into_iter().zip(values) {
            *field = value;
        }
        self
    }

    /// The values that are there, of a kind that is not said.
    fn take_checksums(&mut self) -> Checksums {
        let [crc32, crc32c, crc64nvme, sha1, sha256] = self.checksum_fields().map(Option::take);
        Checksums { crc32, crc32c, crc64nvme, sha1, sha256, kind: None }
    }
}

/// Each field by its name: what a macro can say of many types, and a function cannot.
macro_rules! have_checksum_fields {
    ($($of:ty),+) => {$(
        impl ChecksumFields for $of {
            fn checksum_fields(&mut self) -> [&mut Option<String>; 5] {
                [
                    &mut self.checksum_crc32,
                    &mut self.checksum_crc32c,
                    &mut self.checksum_crc64nvme,
                    &mut self.checksum_sha1,
                    &mut self.checksum_sha256,
                ]
            }
        }
    )+};
}

have_checksum_fields!(
    CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput,
    CompletedPart,
    CopyObjectResult,
    CopyPartResult,
    Part,
    PutObjectOutput,
    UploadPartOutput
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_checksum_is_in_the_field_of_its_name() {
        let value = |name: &str| Some(name.to_owned());
        let checksums = Checksums {
            crc32: value("crc32"),
            crc32c: value("crc32c"),
            crc64nvme: value("crc64nvme"),
            sha1: value("sha1"),
            sha256: value("sha256"),
            kind: None,
        };
        let mut shown = PutObjectOutput::default().with_checksums(checksums.clone());
        assert_eq!(shown.checksum_crc32, value("crc32"));
        assert_eq!(shown.checksum_crc32c, value("crc32c"));
        assert_eq!(shown.checksum_crc64nvme, value("crc64nvme"));
        assert_eq!(shown.checksum_sha1, value("sha1"));
        assert_eq!(shown.checksum_sha256, value("sha256"));
        assert_eq!(shown.take_checksums(), checksums);
    }
}
