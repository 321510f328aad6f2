//! A user, for tests of what is done with one.

use origin::instance::Instance;

use crate::identity::{Account, Level, User};

/// Alice of the account `research`, who may do everything and was never changed.
pub(crate) fn alice() -> User {
    User {
        name: "alice".into(),
        account: Account {
            name: "research".into(),
            canonical_id: "ab".repeat(32),
            display_name: "Research".into(),
        },
        display_name: "Alice".into(),
        email: String::new(),
        level: Level::Full,
        access_key: "PKALICE".into(),
        default_region: None,
        is_disabled: false,
        grants: Vec::new(),
        revision: Instance::from_bytes([0; 16]),
    }
}
