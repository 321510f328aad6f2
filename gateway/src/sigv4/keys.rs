//! Signing keys: derived from a secret for one day and region, and kept.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::SecretKey;
use crate::target::Signature;

/// Signing keys by access key id, day and region: at most a fixed number, each good for the very secret it was derived
/// from. Deriving one costs four HMACs, as much as all the rest of a check.
pub struct Keys {
    kept: RwLock<HashMap<String, Kept>>,
    count_max: usize,
}

struct Kept {
    secret: SecretKey,
    key: SigningKey,
}

impl Keys {
    /// No keys yet, and never more than `count_max`.
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        Self { kept: RwLock::default(), count_max }
    }

    /// The signing key of `secret` for the scope of `signature`.
    pub(super) fn signing_key(&self, signature: &Signature, secret: &SecretKey) -> Found {
        let scope = scope(signature);
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&scope) {
            // A key id that was given a new secret must not verify with the old one.
            Some(kept) if kept.secret == *secret => Found::Kept(kept.key.clone()),
            _ => Found::Derived(SigningKey::derive(signature, secret), scope),
        }
    }

    /// Keeps what was found for the next request of the same scope. When there is no room, all others go: it happens once
    /// in `count_max` scopes, and costs each of them one derivation.
    pub(super) fn keep(&self, found: Found, secret: &SecretKey) {
        let Found::Derived(key, scope) = found else { return };
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.count_max {
            kept.clear();
        }
        kept.insert(scope, Kept { secret: secret.clone(), key });
    }
}

/// A signing key, and where it is from.
pub(super) enum Found {
    /// It is kept.
    Kept(SigningKey),
    /// It was derived, for this scope.
    Derived(SigningKey, String),
}

impl Found {
    /// The signature of `text`, in lower-case hex.
    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        match self {
            Self::Kept(key) | Self::Derived(key, _) => key.sign(text),
        }
    }
}

/// The key of one day, region and secret, ready to sign.
#[derive(Clone)]
pub(super) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    pub(super) fn derive(signature: &Signature, secret: &SecretKey) -> Self {
        // In a `SecretKey`, so that the copy is wiped.
        let secret = SecretKey::new(format!("AWS4{}", secret.expose()));
        let day = hmac(secret.expose().as_bytes(), signature.signed_at.day());
        let region = hmac(&day, &signature.region);
        let service = hmac(&region, "s3");
        Self(keyed(&hmac(&service, "aws4_request")))
    }

    /// The signature of `text`, in lower-case hex.
    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        hex_digits(self.0.clone().chain_update(text).finalize().into_bytes().into())
    }
}

/// `bytes` in lower-case hex.
pub(super) fn hex_digits(bytes: [u8; 32]) -> [u8; 64] {
    let mut hex = [0; 64];
    hex::encode_to_slice(bytes, &mut hex).expect("32 bytes are 64 digits");
    hex
}

fn scope(signature: &Signature) -> String {
    [signature.access_key.as_str(), signature.signed_at.day(), &signature.region].join("/")
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    keyed(key).chain_update(text).finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}
