//! Signature V4, checked by ourselves on the paths that s3s has no part in.

mod secret_key;

pub use secret_key::SecretKey;
