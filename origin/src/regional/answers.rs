//! Values of the store as S3's answers show them, and the checksum fields that s3s repeats in many of its types.

use std::time::{Duration, SystemTime};

use s3s::dto::{
    self, ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CompletedPart, CopyObjectResult, CopyPartResult, ETag, ObjectPart, Owner, Part, PutObjectOutput,
    ServerSideEncryption, Timestamp, Type, UploadPartOutput,
};

use crate::acl::{self, Grant, Grantee};
use crate::checksums::Algorithm;
use crate::encryption::Encryption;
use crate::head::{ChecksumKind, Checksums};

/// A point in time from milliseconds since 1970.
pub(super) fn timestamp(millis: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}

/// An account as the owner of something.
pub(super) fn owner(owner: acl::Owner) -> Owner {
    Owner { display_name: Some(owner.display_name), id: Some(owner.id) }
}

/// The grants of a list, groups first: clients know the owner's own by its place at the end.
pub(super) fn grants(mut grants: Vec<Grant>) -> Vec<dto::Grant> {
    grants.sort_by_key(|grant| grant.grantee.uri().is_none());
    let shown = |grant: Grant| dto::Grant {
        permission: Some(dto::Permission::from_static(grant.permission.as_str())),
        grantee: Some(grantee(grant.grantee)),
    };
    grants.into_iter().map(shown).collect()
}

fn grantee(grantee: Grantee) -> dto::Grantee {
    let uri = grantee.uri().map(str::to_owned);
    let (kind, account) = match grantee {
        Grantee::Canonical(account) => (Type::CANONICAL_USER, Some(account)),
        Grantee::AllUsers | Grantee::AuthenticatedUsers | Grantee::LogDelivery => (Type::GROUP, None),
    };
    let (id, display_name) = account.map(|account| (account.id, account.display_name)).unzip();
    dto::Grantee { display_name, email_address: None, id, type_: Type::from_static(kind), uri }
}

/// A stored ETag, which has no quotes.
pub(super) fn etag(etag: String) -> Option<ETag> {
    Some(ETag::Strong(etag))
}

/// `x-amz-server-side-encryption`, of what is encrypted so: under the store's key.
pub(super) fn by_store(encryption: Option<&Encryption>) -> Option<ServerSideEncryption> {
    encryption
        .is_some_and(Encryption::is_by_store)
        .then(|| ServerSideEncryption::from_static(ServerSideEncryption::AES256))
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
    ObjectPart,
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
