//! Signature V4 as a client makes it (AWS, "Authenticating Requests"), written apart from the product's own check so
//! that the two can disagree. Every part can be set, wrong ones too.

use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// The payload hash of a request whose body is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A user's key pair.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The public half, sent with each request.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
}

/// What a signature covers.
#[derive(Clone, Debug)]
pub struct Signing<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The path as sent, percent-encoded.
    pub path: &'a str,
    /// The query as sent, percent-encoded, without the `?`.
    pub query: &'a str,
    /// The headers to sign, `host` among them; names in lower case.
    pub headers: &'a [(String, String)],
    /// SHA-256 of the body in hexadecimal, or one of S3's words for how it is signed.
    pub payload_hash: &'a str,
    /// When the signature says it was made.
    pub at: SystemTime,
    /// The region in the credential scope.
    pub region: &'a str,
}

impl Signing<'_> {
    /// The value of the `Authorization` header. `headers` must hold the `x-amz-date` of [`amz_date`]`(self.at)`.
    #[must_use]
    pub fn authorization(&self, keys: &Keys) -> String {
        let signature = self.signature(keys, self.query);
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            keys.access_key,
            self.scope(),
            self.signed_headers(),
        )
    }

    /// The query of a presigned request that is good for `expires` seconds.
    #[must_use]
    pub fn presigned_query(&self, keys: &Keys, expires: i64) -> String {
        let separator = if self.query.is_empty() { "" } else { "&" };
        let query = format!(
            "{}{separator}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={expires}\
             &X-Amz-SignedHeaders={}",
            self.query,
            format!("{}/{}", keys.access_key, self.scope()).replace('/', "%2F"),
            amz_date(self.at),
            self.signed_headers().replace(';', "%3B"),
        );
        let signature = self.signature(keys, &query);
        format!("{query}&X-Amz-Signature={signature}")
    }

    /// The signature of this request with `query`, in hexadecimal.
    #[must_use]
    pub fn signature(&self, keys: &Keys, query: &str) -> String {
        let canonical = self.canonical_request(query);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            amz_date(self.at),
            self.scope(),
            hex::encode(Sha256::digest(canonical.as_bytes()))
        );
        hex::encode(hmac(&self.signing_key(keys), to_sign.as_bytes()))
    }

    /// The key that signs requests (and the chunks of a streamed body) of this day, region and service.
    #[must_use]
    pub fn signing_key(&self, keys: &Keys) -> Vec<u8> {
        let secret = format!("AWS4{}", keys.secret_key);
        [&amz_date(self.at)[..8], self.region, "s3", "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, step| hmac(&key, step.as_bytes()))
    }

    /// The credential scope: day, region, service and terminator.
    #[must_use]
    pub fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", &amz_date(self.at)[..8], self.region)
    }

    fn canonical_request(&self, query: &str) -> String {
        let mut pairs: Vec<_> =
            query.split('&').filter(|pair| !pair.is_empty()).map(with_equals_sign).collect();
        // By name: `select` stands before `select-type`, though `=` comes after `-`.
        pairs.sort_by(|a, b| a.split_once('=').cmp(&b.split_once('=')));
        let headers: String =
            self.sorted_headers().iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        [self.method, self.path, &pairs.join("&"), &headers, &self.signed_headers(), self.payload_hash]
            .join("\n")
    }

    fn signed_headers(&self) -> String {
        self.sorted_headers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
    }

    fn sorted_headers(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.to_vec();
        headers.sort();
        headers
    }
}

/// The headers of a PUT of `path` under `host` whose body is not signed, all of them signed for `keys`: `host`,
/// `x-amz-content-sha256`, `x-amz-date` and `authorization`, in this order.
#[must_use]
pub fn put_headers(keys: &Keys, host: &str, path: &str) -> Vec<(String, String)> {
    let at = SystemTime::now();
    let header = |name: &str, value: String| (name.to_owned(), value);
    let mut headers = vec![
        header("host", host.to_owned()),
        header("x-amz-content-sha256", UNSIGNED_PAYLOAD.to_owned()),
        header("x-amz-date", amz_date(at)),
    ];
    let signing = Signing {
        method: "PUT",
        path,
        query: "",
        headers: &headers,
        payload_hash: UNSIGNED_PAYLOAD,
        at,
        region: "us-east-1",
    };
    let authorization = signing.authorization(keys);
    headers.push(header("authorization", authorization));
    headers
}

/// `at` as `x-amz-date` has it.
#[must_use]
pub fn amz_date(at: SystemTime) -> String {
    OffsetDateTime::from(at)
        .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .expect("a time of this century has this form")
}

/// HMAC-SHA256.
#[must_use]
pub fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn with_equals_sign(pair: &str) -> String {
    if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The example of the AWS page "Signature Calculations for the Authorization Header": GET with a range.
    #[test]
    fn signs_the_published_example() {
        let keys = Keys {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
        };
        let empty = hex::encode(Sha256::digest(b""));
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", &empty),
            ("x-amz-date", "20130524T000000Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signing = Signing {
            method: "GET",
            path: "/test.txt",
            query: "",
            headers: &headers,
            payload_hash: &empty,
            at: UNIX_EPOCH + Duration::from_secs(1_369_353_600),
            region: "us-east-1",
        };
        let wanted = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(signing.authorization(&keys).ends_with(wanted), "{}", signing.authorization(&keys));
    }
}
