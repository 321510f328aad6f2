//! Documents of XML with characters beyond U+FFFF by their numbers, as minio-py writes them: `&#128512;`.
//!
//! s3s takes them for malformed up to U+FFFFF. So it [reads such a document again](super::read_again), with the characters
//! themselves. It was held against its signature, its length and its digests as it came.

use std::ops::RangeInclusive;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{XML_BYTES_MAX, read_again};
use crate::post_form::escaped;
use crate::target::{Operation, Target};

/// What s3s does not know of.
const CHARACTERS: RangeInclusive<char> = '\u{10000}'..='\u{10ffff}';

/// Longest number that is read: that of the last character, `1114111` or `x10ffff`, with some zeros before it.
const NUMBER_BYTES_MAX: usize = 12;

/// How a request for `target` goes on behind the path, if its document has texts of a client's own: keys, tags, prefixes,
/// names. In others there is no place for such a character.
fn query(target: &Target) -> Option<String> {
    let version = || target.query.get("versionId").map(|version| format!("&versionId={}", escaped(version)));
    Some(match target.operation {
        Operation::DeleteObjects => "?delete".to_owned(),
        Operation::PutBucketAcl => "?acl".to_owned(),
        Operation::PutBucketCors => "?cors".to_owned(),
        Operation::PutBucketLifecycleConfiguration => "?lifecycle".to_owned(),
        Operation::PutBucketTagging => "?tagging".to_owned(),
        Operation::PutBucketWebsite => "?website".to_owned(),
        Operation::PutObjectAcl => format!("?acl{}", version().unwrap_or_default()),
        Operation::PutObjectTagging => format!("?tagging{}", version().unwrap_or_default()),
        _ => return None,
    })
}

/// Whether the document of a request for `target` may have such characters.
pub(super) fn is_match(target: &Target) -> bool {
    query(target).is_some()
}

/// Does what `target` says in `store`.
pub(super) async fn call(
    store: &(impl S3 + Clone),
    target: &Target,
    mut request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let query = query(target).ok_or_else(|| S3Error::from(S3ErrorCode::InternalError))?;
    let document = whole(std::mem::take(&mut request.input)).await?;
    // As s3s does, which counts the bytes of no other bodies.
    if !document.is_empty() && !request.headers.contains_key(CONTENT_LENGTH) {
        return Err(S3ErrorCode::MissingContentLength.into());
    }
    request.input = Body::from(as_characters(document));
    read_again::call(store.clone(), target, &query, request).await
}

/// All of a document that was let in.
///
/// # Errors
/// `MaxMessageLengthExceeded`; `InternalError` for a body that broke off, which whoever feeds it knows more about.
pub(super) async fn whole(body: Body) -> S3Result<Bytes> {
    let collected = Limited::new(body, XML_BYTES_MAX).collect().await;
    let collected = collected.map_err(|cause| {
        let code = match cause.is::<LengthLimitError>() {
            true => S3ErrorCode::MaxMessageLengthExceeded,
            false => S3ErrorCode::InternalError,
        };
        S3Error::with_source(code, cause)
    })?;
    Ok(collected.to_bytes())
}

/// `document` with characters beyond U+FFFF instead of their numbers. Nothing else of it is another: such a character is no
/// markup, wherever it stands. In UTF-8 the bytes of `&#` are part of no other character.
fn as_characters(document: Bytes) -> Bytes {
    let (mut written, mut rest) = (Vec::new(), &document[..]);
    while let Some(Reference { before, character, after }) = next_reference(rest) {
        written.extend_from_slice(before);
        written.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = after;
    }
    if written.is_empty() {
        return document;
    }
    written.extend_from_slice(rest);
    written.into()
}

/// A character by its number, and what is around it.
struct Reference<'a> {
    before: &'a [u8],
    character: char,
    after: &'a [u8],
}

/// The first character beyond U+FFFF in `document` by its number.
fn next_reference(document: &[u8]) -> Option<Reference<'_>> {
    let mut from = 0;
    while let Some(ampersand) = document[from..].windows(2).position(|pair| pair == b"&#") {
        let begin = from + ampersand;
        from = begin + 2;
        if let Some((character, length)) = character(&document[from..]) {
            return Some(Reference {
                before: &document[..begin],
                character,
                after: &document[from + length..],
            });
        }
    }
    None
}

/// The character whose number `text` begins with, if it is such a one, and how long that is with its semicolon.
fn character(text: &[u8]) -> Option<(char, usize)> {
    let end = text.iter().take(NUMBER_BYTES_MAX + 1).position(|&byte| byte == b';')?;
    let number = str::from_utf8(&text[..end]).ok()?;
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
    // `from_str_radix` takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let character = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    CHARACTERS.contains(&character).then_some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use s3s::xml::Deserializer;

    use super::*;

    fn read(document: &str) -> String {
        let read = as_characters(Bytes::copy_from_slice(document.as_bytes()));
        String::from_utf8(read.to_vec()).expect("text")
    }

    #[test]
    fn characters_beyond_the_first_plane_are_read_by_number() {
        for (document, expected) in [
            ("<Key>&#128512;</Key>", "<Key>\u{1f600}</Key>"),
            ("&#x1F600;&#x0001f600;&#65536;", "\u{1f600}\u{1f600}\u{10000}"),
            ("&#1114111;&#x10FFFF;", "\u{10ffff}\u{10ffff}"),
            ("a&#128512;b&#128513;", "a\u{1f600}b\u{1f601}"),
            ("&&#128512;", "&\u{1f600}"),
            ("&#&#128512;", "&#\u{1f600}"),
        ] {
            assert_eq!(read(document), expected, "{document}");
        }
    }

    /// s3s knows them, or refuses them.
    #[test]
    fn all_else_stays_as_it_is() {
        for document in [
            "",
            "&",
            "&#",
            "&#;",
            "&#x;",
            "&#38;#128512;",
            "&#60;",
            "&#65535;",
            "&#xD83D;&#xDE00;",
            "&#1114112;",
            "&#+128512;",
            "&#x+1F600;",
            "&#X1F600;",
            "&#128512",
            "&#128512 ;",
            "&#0000000128512;",
            "&#12851a;",
            "&# 128512;",
            "\u{1f600}ü鍵",
        ] {
            assert_eq!(read(document), document);
        }
    }

    #[tokio::test]
    async fn a_document_of_more_than_is_read_is_refused() {
        assert_eq!(whole(Body::from(vec![b' '; XML_BYTES_MAX])).await.expect("whole").len(), XML_BYTES_MAX);
        let refusal = whole(Body::from(vec![b' '; XML_BYTES_MAX + 1])).await.expect_err("too much");
        assert_eq!(*refusal.code(), S3ErrorCode::MaxMessageLengthExceeded);
    }

    proptest! {
        /// However it is written, s3s reads the same of every character.
        #[test]
        fn s3s_reads_each_character_by_its_number(key in any::<char>()) {
            let number = u32::from(key);
            let read_by_s3s = |written: &str| {
                let document = read(&format!("<Tag><Key>{written}</Key><Value>v</Value></Tag>"));
                let mut reader = Deserializer::new(document.as_bytes());
                let tag = reader.named_element("Tag", |reader| reader.content::<s3s::dto::Tag>());
                tag.ok().and_then(|tag| tag.key)
            };
            // What is no character of XML is refused by number.
            let is_of_xml = matches!(key, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
            let expected = is_of_xml.then(|| key.to_string());
            for written in [format!("&#{number};"), format!("&#x{number:x};"), format!("&#x{number:X};")] {
                prop_assert_eq!(read_by_s3s(&written), expected.clone(), "{}", written);
            }
        }
    }
}
