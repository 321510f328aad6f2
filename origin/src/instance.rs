//! Instance ids: the name of the exact bytes of one object version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A random 128-bit id of the exact bytes of one object version. Never reused, so whoever holds bytes under an
/// instance holds the right bytes for ever; an overwrite makes a new one. Prints as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance(#[serde(with = "serde_bytes")] [u8; 16]);

impl Instance {
    /// The instance with these id bytes.
    #[must_use]
    pub const fn from_bytes(id: [u8; 16]) -> Self {
        Self(id)
    }

    /// The id's 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({self})")
    }
}

/// The text was not 32 hex digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an instance is 32 hex digits")]
pub struct NotAnInstance;

impl FromStr for Instance {
    type Err = NotAnInstance;

    fn from_str(text: &str) -> Result<Self, NotAnInstance> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| NotAnInstance)?;
        Ok(Self(id))
    }
}
