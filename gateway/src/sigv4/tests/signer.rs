//! Requests signed by aws-sigv4, as a client would send them.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign as aws_sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;

use crate::target::tests::s3s_reading::{ACCESS_KEY, SECRET_KEY};

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Unsigned {
    pub(crate) method: Method,
    pub(crate) raw_target: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Unsigned {
    pub(crate) fn get(raw_target: &str) -> Self {
        let headers = vec![("host", "127.0.0.1:9000"), ("x-amz-meta-colour", "red"), ("range", "bytes=0-9")];
        Self { method: Method::GET, raw_target: raw_target.to_owned(), headers }
    }
}

/// A signed request.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) method: Method,
    pub(crate) raw_target: String,
    pub(crate) headers: HeaderMap,
}

impl Signed {
    /// The same with the digit at `index` of its signature changed.
    pub(crate) fn with_digit_changed(&self, index: usize) -> Self {
        let change = |text: &str| {
            let start = text.find("Signature=").expect("signature") + "Signature=".len() + index;
            let digit = if &text[start..=start] == "0" { "1" } else { "0" };
            format!("{}{digit}{}", &text[..start], &text[start + 1..])
        };
        let mut changed = self.clone();
        match changed.headers.get_mut("authorization") {
            Some(value) => {
                *value = change(value.to_str().expect("text")).parse().expect("header value");
            }
            None => changed.raw_target = change(&self.raw_target),
        }
        changed
    }

    /// The same with `name` set to `value`.
    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The same without `name`.
    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The same with `from` replaced in its target and its Authorization header.
    pub(crate) fn with_text(mut self, from: &str, to: &str) -> Self {
        self.raw_target = self.raw_target.replace(from, to);
        if let Some(value) = self.headers.get_mut("authorization") {
            *value = value.to_str().expect("text").replace(from, to).parse().expect("header value");
        }
        self
    }
}

/// Where the signature goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Header,
    Presigned { seconds: u64 },
}

pub(crate) fn sign(request: &Unsigned, form: Form, now: OffsetDateTime) -> Signed {
    sign_for_region(request, form, now, "us-east-1")
}

pub(crate) fn sign_for_region(request: &Unsigned, form: Form, now: OffsetDateTime, region: &str) -> Signed {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.excluded_headers = None;
    if let Form::Presigned { seconds } = form {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(seconds));
    }
    let identity = Credentials::from_keys(ACCESS_KEY, SECRET_KEY, None).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(SystemTime::from(now))
        .settings(settings)
        .build()
        .expect("signing parameters")
        .into();
    let body = match form {
        Form::Header => SignableBody::Bytes(b""),
        Form::Presigned { .. } => SignableBody::UnsignedPayload,
    };
    let headers = request.headers.iter().copied();
    let signable = SignableRequest::new(request.method.as_str(), &request.raw_target, headers, body);
    let (instructions, _) = aws_sign(signable.expect("a target"), &params).expect("signed").into_parts();
    let mut signed = Signed {
        method: request.method.clone(),
        raw_target: request.raw_target.clone(),
        headers: HeaderMap::new(),
    };
    for (name, value) in request.headers.iter().copied().chain(instructions.headers()) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("header name");
        signed.headers.append(name, HeaderValue::from_str(value).expect("header value"));
    }
    for (name, value) in instructions.params() {
        let joint = if signed.raw_target.contains('?') { '&' } else { '?' };
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        signed.raw_target.push_str(&format!("{joint}{name}={value}"));
    }
    signed
}
