//! Control characters in the documents that the store answers with: by number, as S3 writes them.
//!
//! A key may hold any of them, and s3s writes them as they are. Of those only tab, line feed and carriage return may stand
//! in XML at all (XML 1.0 §2.2), and a carriage return is read as a line feed (§2.11): the client would be told of another
//! key than there is. By number a carriage return is read as what it is. The others are no XML by number either, but a
//! reader that is not strict gets the key; strict ones ask with `encoding-type=url`, and meet none of them.

use bytes::Bytes;

const fn is_written_by_number(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' && byte != b'\n'
}

/// `document` with its control characters by number. In UTF-8 such a byte is part of no other character.
pub(super) fn by_number(document: Bytes) -> Bytes {
    if !document.iter().copied().any(is_written_by_number) {
        return document;
    }
    let mut written = Vec::with_capacity(document.len() + 64);
    for &byte in &document {
        match is_written_by_number(byte) {
            true => written.extend_from_slice(format!("&#x{byte:X};").as_bytes()),
            false => written.push(byte),
        }
    }
    written.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_by_number_and_nothing_else_is() {
        for (document, expected) in [
            ("<Key>a\r\nb</Key>", "<Key>a&#xD;\nb</Key>"),
            ("<Key>\0\u{1}\u{1f}</Key>", "<Key>&#x0;&#x1;&#x1F;</Key>"),
            ("<Key>a\tb\u{7f}\u{80}ü鍵</Key>\n", "<Key>a\tb\u{7f}\u{80}ü鍵</Key>\n"),
            ("", ""),
        ] {
            assert_eq!(by_number(Bytes::from_static(document.as_bytes())), expected.as_bytes());
        }
    }
}
