//! Documents: the small bodies, XML or a policy's JSON, that say what an operation shall do. s3s reads them once they
//! are whole, and does not hold them against the digests that came with them; so the last piece of one waits here until
//! all of it is what the request announced, and made of nothing that s3s would pass over. One that is longer than s3s reads
//! is refused here, and one that is not what was signed: s3s takes both for faults of its own.

use bytes::Bytes;
use http::header::HeaderMap;
use origin::DocumentDigests;
use s3s::S3ErrorCode;
use s3s::header::{CONTENT_MD5, X_AMZ_CONTENT_SHA256};
use sha2::{Digest, Sha256};

use crate::elements::Elements;
use crate::refusal::Refusal;
use crate::store_service::XML_BYTES_MAX;
use crate::target::Operation;

/// In `x-amz-content-sha256`, where it is a hash. Admission has seen that others are words.
const HASH_DIGITS: usize = 64;

/// A document on its way to s3s.
pub(super) struct Document {
    digests: DocumentDigests,
    /// The hash that was signed, in hex, and that of the bytes so far.
    signed: Option<(String, Sha256)>,
    /// Of XML, as far as it has come.
    elements: Option<Result<Elements, Refusal>>,
    last: Option<Bytes>,
    bytes: usize,
}

impl Document {
    /// What the request for `operation` says of its document; `None` for one that has none, or whose body the store
    /// verifies as it takes it.
    ///
    /// # Errors
    /// For digests that are none; `InvalidRequest` for a list of keys to delete without any, which S3 does not take:
    /// one that was damaged on its way must not delete other keys.
    pub(super) fn of(operation: Operation, headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let digests = match operation {
            Operation::PutObject | Operation::UploadPart => return Ok(None),
            // Its checksums are the object's.
            Operation::CompleteMultipartUpload => {
                let md5 = headers.get(CONTENT_MD5).map(|md5| (CONTENT_MD5, md5.clone()));
                DocumentDigests::parse(&md5.into_iter().collect())?
            }
            _ => DocumentDigests::parse(headers)?,
        };
        if operation == Operation::DeleteObjects && !digests.are_announced() {
            let message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
            return Err(Refusal::new(S3ErrorCode::InvalidRequest, message));
        }
        let signed = headers.get(X_AMZ_CONTENT_SHA256).and_then(|hash| hash.to_str().ok());
        let signed =
            signed.filter(|hash| hash.len() == HASH_DIGITS).map(|hash| (hash.to_owned(), Sha256::new()));
        Ok(Some(Self { digests, signed, elements: Elements::of(operation).map(Ok), last: None, bytes: 0 }))
    }

    /// Takes the next piece and gives the one before it.
    ///
    /// # Errors
    /// `MaxMessageLengthExceeded`.
    pub(super) fn take(&mut self, piece: Bytes) -> Result<Option<Bytes>, Refusal> {
        self.bytes += piece.len();
        if self.bytes > XML_BYTES_MAX {
            return Err(S3ErrorCode::MaxMessageLengthExceeded.into());
        }
        self.digests.update(&piece);
        if let Some((_, hasher)) = &mut self.signed {
            hasher.update(&piece);
        }
        self.elements = self.elements.take().map(|elements| elements?.updated(&piece));
        Ok(self.last.replace(piece))
    }

    /// The last piece, if the document is what was announced.
    ///
    /// # Errors
    /// `XAmzContentSHA256Mismatch`, `BadDigest`; those of [`Elements::updated`].
    pub(super) fn finish(self) -> Result<Option<Bytes>, Refusal> {
        if let Some((signed, hasher)) = self.signed {
            let computed = hex::encode(hasher.finalize());
            if computed != signed {
                return Err(Refusal::content_sha256_mismatch(&computed));
            }
        }
        self.digests.verify()?;
        self.elements.transpose()?;
        Ok(self.last)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Of `<a/>`, as the checksums below.
    const MD5: &str = "8BnumgOXiv+fm3jQ3fPttw==";

    fn headers(said: &[(&'static str, &'static str)]) -> HeaderMap {
        said.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    /// What s3s gets of `<a/>` in two pieces, or the code of the refusal.
    fn passed(operation: Operation, said: &[(&'static str, &'static str)]) -> Result<String, String> {
        let code = |refusal: Refusal| refusal.code().as_str().to_owned();
        let document = Document::of(operation, &headers(said)).map_err(code)?;
        let Some(mut document) = document else { return Ok("another's".to_owned()) };
        let mut passed = Vec::new();
        for piece in ["<a", "/>"] {
            passed.extend(document.take(Bytes::from(piece)).map_err(code)?);
        }
        assert!(passed.len() < 2, "the last piece waits");
        passed.extend(document.finish().map_err(code)?);
        Ok(String::from_utf8(passed.concat()).expect("text"))
    }

    #[test]
    fn a_document_passes_as_it_was_announced() {
        let put = Operation::PutBucketTagging;
        assert_eq!(passed(put, &[]), Ok("<a/>".to_owned()));
        for (name, right, wrong) in [
            ("content-md5", MD5, "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("x-amz-checksum-crc32", "AdEc1A==", "AdEc1Q=="),
            ("x-amz-checksum-crc32c", "fElKvg==", "AdEc1A=="),
            ("x-amz-checksum-crc64nvme", "Aevfvceg6ew=", "AAAAAAAAAAA="),
            ("x-amz-checksum-sha1", "25qoZjLG8syZaEot0V0rZIKOdiI=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            (
                "x-amz-checksum-sha256",
                "KRFDY/dJoCJraYjdo8okkqlUEXq2tfOCcGwgMA2rwHk=",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
        ] {
            assert_eq!(passed(put, &[(name, right)]), Ok("<a/>".to_owned()), "{name}");
            assert_eq!(passed(put, &[(name, wrong)]), Err("BadDigest".to_owned()), "{name}");
        }
        assert_eq!(passed(put, &[("content-md5", "8Bnu")]), Err("InvalidDigest".into()));
        assert_eq!(passed(put, &[("x-amz-checksum-crc32", "AdEc1")]), Err("BadDigest".into()));
        assert_eq!(passed(put, &[("x-amz-checksum-md9", "AdEc1A==")]), Err("NotImplemented".into()));
    }

    #[test]
    fn a_document_is_the_one_that_was_signed() {
        let put = Operation::PutBucketTagging;
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (hash, expected) in [
            ("29114363f749a0226b6988dda3ca2492a954117ab6b5f382706c20300dabc079", Ok("<a/>".to_owned())),
            (of_nothing, Err("XAmzContentSHA256Mismatch".to_owned())),
            ("UNSIGNED-PAYLOAD", Ok("<a/>".to_owned())),
        ] {
            assert_eq!(passed(put, &[("x-amz-content-sha256", hash)]), expected, "{hash}");
        }
    }

    #[test]
    fn what_s3s_would_pass_over_is_refused_when_it_has_come_undamaged() {
        let refusal = |digest: &'static str| {
            let mut document =
                Document::of(Operation::PutBucketTagging, &headers(&[("content-md5", digest)]))
                    .expect("a digest")
                    .expect("a document");
            for piece in ["<Tagging><TagSe", "ts/>", "</Tagging>"] {
                document.take(Bytes::from(piece)).expect("short");
            }
            document.finish().expect_err("no such element").code().as_str().to_owned()
        };
        assert_eq!(refusal("AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest");
        assert_eq!(refusal("HS/zP5QBGLIWrgOwitjjoA=="), "MalformedXML");
    }

    #[test]
    fn a_document_of_more_than_is_read_is_refused() {
        let mut document = Document::of(Operation::PutBucketPolicy, &HeaderMap::new())
            .expect("no digests")
            .expect("a document");
        let most = Bytes::from(vec![b' '; XML_BYTES_MAX]);
        assert_eq!(document.take(most.clone()).expect("not too much"), None);
        assert_eq!(document.take(Bytes::new()).expect("not too much"), Some(most));
        let refusal = document.take(Bytes::from_static(b" ")).expect_err("too much");
        assert_eq!(refusal.code().as_str(), "MaxMessageLengthExceeded");
    }

    #[test]
    fn keys_are_deleted_by_an_announced_list_alone() {
        let delete = Operation::DeleteObjects;
        assert_eq!(passed(delete, &[]), Err("InvalidRequest".into()));
        assert_eq!(passed(delete, &[("content-md5", MD5)]), Ok("<a/>".into()));
    }

    #[test]
    fn what_completes_an_upload_says_the_objects_checksum() {
        let complete = Operation::CompleteMultipartUpload;
        let of_object = ("x-amz-checksum-crc32", "AAAAAA==");
        assert_eq!(passed(complete, &[of_object]), Ok("<a/>".into()));
        let wrong = ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(passed(complete, &[of_object, wrong]), Err("BadDigest".into()));
        assert_eq!(passed(Operation::PutObject, &[wrong]), Ok("another's".into()));
    }
}
