//! Names of versions: what they look like, and the place among the versions of its key that each carries.
//!
//! An id is 32 characters of `A–Z a–z 0–9 . _`: sixteen random bytes, and the version's place in the order of its
//! key, covered by eight of them so that neighbours do not look alike. So a version is found by its id without an
//! index, and a listing goes on behind a version that has been removed meanwhile. Ids tell clients nothing.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use s3s::{S3Result, s3_error};

/// How S3 and its clients name the version that was written while the bucket gave no ids.
pub const NULL: &str = "null";

/// Neither `-`, which would make an id an option on a command line, nor what a URL would have to escape.
static BASE64: LazyLock<GeneralPurpose> = LazyLock::new(|| {
    let characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
    GeneralPurpose::new(&Alphabet::new(characters).expect("64 different characters"), NO_PAD)
});

/// A version as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamedVersion {
    /// The one without an id: at most one of a key.
    Null,
    /// One with an id.
    Id(VersionId),
}

/// An id that was given to a version, or could have been.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId {
    text: String,
    order: u64,
}

impl NamedVersion {
    /// Reads a `versionId`.
    ///
    /// # Errors
    /// `InvalidArgument` for what was never an id.
    pub fn parse(text: &str) -> S3Result<Self> {
        match text {
            NULL => Ok(Self::Null),
            "" => Err(s3_error!(InvalidArgument, "Version id cannot be the empty string")),
            _ => VersionId::parse(text)
                .map(Self::Id)
                .ok_or_else(|| s3_error!(InvalidArgument, "Invalid version id specified")),
        }
    }

    /// As it was in the request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Null => NULL,
            Self::Id(id) => id.as_str(),
        }
    }

    /// Whether this names the version of `version_id`, where `None` is the null version.
    #[must_use]
    pub fn is(&self, version_id: Option<&str>) -> bool {
        match self {
            Self::Null => version_id.is_none(),
            Self::Id(id) => version_id == Some(id.as_str()),
        }
    }
}

impl VersionId {
    /// The id of the version at `order` of its key.
    pub(crate) fn new(random: [u8; 16], order: u64) -> Self {
        let bytes = [random.as_slice(), &(order ^ cover(&random)).to_be_bytes()].concat();
        Self { text: BASE64.encode(bytes), order }
    }

    /// The version's place: a later version of the same key has a greater one.
    pub(crate) fn order(&self) -> u64 {
        self.order
    }

    /// The id as clients see it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Every 24 bytes are an id that could have been given, and have one spelling.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = BASE64.decode(text).ok()?.try_into().ok()?;
        let (random, covered) = bytes.split_first_chunk::<16>()?;
        let order = u64::from_be_bytes(covered.try_into().ok()?) ^ cover(random);
        Some(Self { text: text.to_owned(), order })
    }
}

/// Eight of the random bytes.
fn cover(random: &[u8; 16]) -> u64 {
    let (cover, _) = random.split_first_chunk().expect("sixteen bytes are more than eight");
    u64::from_be_bytes(*cover)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, prop_assert_ne, proptest};

    use super::*;

    proptest! {
        #[test]
        fn an_id_carries_its_place_and_is_read_back(random in any::<[u8; 16]>(), order in any::<u64>()) {
            let id = VersionId::new(random, order);
            prop_assert_eq!(id.as_str().len(), 32);
            prop_assert_eq!(VersionId::parse(id.as_str()), Some(id.clone()));
            prop_assert_eq!(id.order(), order);
            let other = VersionId::new(random, order ^ 1);
            prop_assert_ne!(other.as_str(), id.as_str());
        }

        #[test]
        fn whatever_is_read_as_an_id_is_spelt_so(text in "[A-Za-z0-9._-]{0,40}") {
            if let Some(id) = VersionId::parse(&text) {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }

    #[test]
    fn what_was_never_an_id_is_refused() {
        for text in ["", "unknown", "NULL", "null ", &"a".repeat(31), &"a".repeat(33), &"-".repeat(32)] {
            let refused = NamedVersion::parse(text).expect_err(text);
            assert_eq!(refused.code(), &s3s::S3ErrorCode::InvalidArgument, "{text}");
        }
        assert!(NamedVersion::parse(NULL).expect("a name").is(None));
        assert!(NamedVersion::parse(&"a".repeat(32)).is_ok());
    }
}
