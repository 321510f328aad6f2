//! Tags of objects and buckets: how many there may be, of which characters, and how a header spells them.
//!
//! Limits and characters are S3's (Amazon S3 User Guide, "Categorizing your objects using tags").

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use s3s::{S3Result, s3_error};

/// Tags by their keys. S3 promises no order; ours is the alphabet's.
pub type Tags = BTreeMap<String, String>;

/// Tags that one object may have.
pub const OBJECT_TAGS_MAX: usize = 10;
/// Tags that one bucket may have.
pub const BUCKET_TAGS_MAX: usize = 50;
/// Characters of a key, counted as UTF-16 counts.
const KEY_CHARACTERS_MAX: usize = 128;
/// Characters of a value, counted as UTF-16 counts.
const VALUE_CHARACTERS_MAX: usize = 256;
/// Keys that begin so are AWS's own.
const RESERVED: &str = "aws:";

/// The tags of `pairs`.
///
/// # Errors
/// `InvalidTag` for a key or value that S3 would not have, for a key that is there twice, and for more than
/// `tags_max`.
pub fn verify(pairs: impl IntoIterator<Item = (String, String)>, tags_max: usize) -> S3Result<Tags> {
    let mut tags = Tags::new();
    for (key, value) in pairs {
        verify_key(&key)?;
        if !is_text_of(&value, VALUE_CHARACTERS_MAX) {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    if tags.len() > tags_max {
        return Err(s3_error!(InvalidTag, "Tags cannot be more than {tags_max}"));
    }
    Ok(tags)
}

/// The tags of an object that the header `x-amz-tagging` spells: the pairs of a URL's query.
///
/// # Errors
/// `InvalidArgument` for what is no such query, or names a tag twice; those of [`verify`], whatever comes behind more than
/// an object may have.
pub fn parse_header(text: &str) -> S3Result<Tags> {
    let malformed = || {
        s3_error!(
            InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name \
             duplicates."
        )
    };
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(String::from).map_err(|_| malformed())
    };
    let mut pairs = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decode(key)?, decode(value)?);
        if pairs.iter().any(|(before, _)| *before == key) {
            return Err(malformed());
        }
        pairs.push((key, value));
        // Each is compared with all before it: thousands fit into a header, and these are too many already.
        if pairs.len() > OBJECT_TAGS_MAX {
            break;
        }
    }
    verify(pairs, OBJECT_TAGS_MAX)
}

fn verify_key(key: &str) -> S3Result<()> {
    if key.is_empty() || !is_text_of(key, KEY_CHARACTERS_MAX) {
        return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
    }
    if key.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
        return Err(s3_error!(InvalidTag, "System tags cannot be added/updated by requester"));
    }
    Ok(())
}

fn is_text_of(text: &str, characters_max: usize) -> bool {
    text.encode_utf16().count() <= characters_max && text.chars().all(is_allowed)
}

/// Letters, digits, spaces and `_ . : / = + - @`.
fn is_allowed(character: char) -> bool {
    character.is_alphanumeric()
        || character.is_whitespace() && !character.is_control()
        || "_.:/=+-@".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(outcome: S3Result<Tags>) -> Result<Tags, String> {
        outcome.map_err(|error| error.code().as_str().to_owned())
    }

    fn one(key: &str, value: &str) -> Result<Tags, String> {
        code(verify([(key.to_owned(), value.to_owned())], OBJECT_TAGS_MAX))
    }

    #[test]
    fn keys_and_values_have_their_lengths_and_characters() {
        let invalid = Err("InvalidTag".to_owned());
        for (key, value) in [
            ("a", ""),
            (&*"k".repeat(128), &*"v".repeat(256)),
            ("Größe 1_.:/=+-@", "größer\u{a0}九"),
            (&*"\u{10400}".repeat(64), ""),
            ("xaws:a", "aws:b"),
        ] {
            assert!(one(key, value).is_ok(), "{key}={value}");
        }
        for (key, value) in [
            ("", "v"),
            (&*"k".repeat(129), "v"),
            ("k", &*"v".repeat(257)),
            (&*"\u{10400}".repeat(65), ""),
            ("k?", "v"),
            ("k", "v&w"),
            ("k", "v\n"),
            ("k\0", "v"),
            ("aws:k", "v"),
            ("AWS:k", "v"),
        ] {
            assert_eq!(one(key, value), invalid, "{key}={value}");
        }
    }

    #[test]
    fn a_tag_more_than_allowed_is_refused() {
        let pairs = |count| (0..count).map(|number: usize| (number.to_string(), String::new()));
        for max in [OBJECT_TAGS_MAX, BUCKET_TAGS_MAX] {
            assert_eq!(code(verify(pairs(max), max)).map(|tags| tags.len()), Ok(max));
            assert_eq!(code(verify(pairs(max + 1), max)), Err("InvalidTag".to_owned()));
        }
        let twice = [("k".to_owned(), "v".to_owned()), ("k".to_owned(), "w".to_owned())];
        assert_eq!(code(verify(twice, 10)), Err("InvalidTag".to_owned()));
    }

    #[test]
    fn a_header_is_a_query() {
        let tags = |pairs: &[(&str, &str)]| -> Result<Tags, String> {
            Ok(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let eleven: Vec<_> = (0..11).map(|number| format!("{number}=v")).collect();
        let eleven = eleven.join("&");
        for (text, expected) in [
            ("", tags(&[])),
            ("a=b", tags(&[("a", "b")])),
            ("foo=bar&bar", tags(&[("bar", ""), ("foo", "bar")])),
            ("a%20b=c+d&e=%C3%A9", tags(&[("a b", "c d"), ("e", "é")])),
            ("a=b=c", tags(&[("a", "b=c")])),
            ("a=b&A=b", tags(&[("A", "b"), ("a", "b")])),
            ("a=b&a=b", Err("InvalidArgument".to_owned())),
            ("a=%FF", Err("InvalidArgument".to_owned())),
            ("a=%26", Err("InvalidTag".to_owned())),
            ("=b", Err("InvalidTag".to_owned())),
            (&*eleven, Err("InvalidTag".to_owned())),
            (&*format!("{eleven}&a=%FF"), Err("InvalidTag".to_owned())),
        ] {
            assert_eq!(code(parse_header(text)), expected, "{text}");
        }
    }
}
