//! A browser's upload form, as the bytes that are sent, with its policy signed or not.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Request;
use crate::sign::{Keys, Signing, amz_date, hmac};

/// What stands between its parts.
const BOUNDARY: &str = "edge";

/// A form that is filled in.
#[derive(Clone)]
pub struct Form {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
    file_name: String,
    /// What follows the file's last byte.
    end: String,
}

impl Form {
    /// A form whose file is `file`, to become the object `key`.
    #[must_use]
    pub fn new(key: &str, file: impl Into<Vec<u8>>) -> Self {
        Self {
            fields: vec![("key".into(), key.into())],
            file: file.into(),
            file_name: "cat.jpg".into(),
            end: format!("\r\n--{BOUNDARY}--\r\n"),
        }
    }

    /// With one more field, or another value in one.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.into(), value.into()));
        self
    }

    /// With something else after the file than the last boundary.
    #[must_use]
    pub fn end(mut self, end: &str) -> Self {
        end.clone_into(&mut self.end);
        self
    }

    /// Signed for `keys` by a policy that is good for an hour and for `bucket`, asks for every field to be what it is,
    /// and for `conditions` (JSON, with a comma before it) beside.
    #[must_use]
    pub fn signed(self, keys: &Keys, bucket: &str, conditions: &str) -> Self {
        self.signed_until(keys, bucket, conditions, SystemTime::now() + std::time::Duration::from_secs(3600))
    }

    /// The same, good until `expiration`.
    #[must_use]
    pub fn signed_until(self, keys: &Keys, bucket: &str, conditions: &str, expiration: SystemTime) -> Self {
        let at = SystemTime::now();
        let signing = Signing {
            method: "POST",
            path: "/",
            query: "",
            headers: &[],
            payload_hash: "",
            at,
            region: "us-east-1",
        };
        let form = self
            .field("x-amz-algorithm", "AWS4-HMAC-SHA256")
            .field("x-amz-credential", format!("{}/{}", keys.access_key, signing.scope()))
            .field("x-amz-date", amz_date(at));
        let fields = form.fields.iter().map(|(name, value)| serde_json::json!({ name: value }).to_string());
        let fields = fields.collect::<Vec<_>>().join(",");
        let policy = format!(
            r#"{{"expiration":"{}","conditions":[{{"bucket":"{bucket}"}},{fields}{conditions}]}}"#,
            iso_8601(expiration)
        );
        let policy = STANDARD.encode(policy);
        let signature = hex::encode(hmac(&signing.signing_key(keys), policy.as_bytes()));
        form.field("policy", policy).field("x-amz-signature", signature)
    }

    /// Everything before the file's first byte.
    #[must_use]
    pub fn before_file(&self) -> Vec<u8> {
        let part = |(name, value): &(String, String)| {
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields: String = self.fields.iter().map(part).collect();
        let file = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: image/jpeg\r\n\r\n",
            self.file_name
        );
        (fields + &file).into_bytes()
    }

    /// The whole body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        [&self.before_file(), &self.file[..], self.end.as_bytes()].concat()
    }

    /// The `Content-Type` of a request that sends it.
    #[must_use]
    pub fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    /// A request that sends it to the bucket at `path`. It is for [`Client::unsigned`](crate::Client::unsigned).
    #[must_use]
    pub fn to(&self, path: &str) -> Request {
        Request::new("POST", format!("{path}/"))
            .header("content-type", Self::content_type())
            .body(self.body())
    }
}

/// `2026-01-02T03:04:05Z`.
fn iso_8601(at: SystemTime) -> String {
    let date = amz_date(at);
    let (day, time) = date.split_once('T').expect("a day and a time");
    format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..6])
}
