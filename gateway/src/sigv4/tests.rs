//! The signature check is held to three others: aws-sigv4 (AWS's own signer for Rust), s3s and botocore.

mod botocore;
mod same_verdict;
pub(crate) mod signer;
mod vectors;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::target::tests::s3s_reading::{ACCESS_KEY, SECRET_KEY};
use crate::target::tests::{listener, topology};
use signer::{Form, Signed, Unsigned};

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

/// Our verdict on `request` at `now`: the access key that it is proven to be signed with, or the code.
fn judge(request: &Signed, now: OffsetDateTime, keys: &Keys) -> Result<Option<String>, String> {
    let code = |refusal: Refusal| refusal.code().as_str().to_owned();
    let Signed { method, raw_target, headers } = request;
    let target = crate::target::parse(&topology(), &listener(), method, raw_target.as_bytes(), headers)
        .map_err(code)?;
    let Some(claim) = Claim::of(&target.query, &target.signature, now).map_err(code)? else {
        return Ok(None);
    };
    if claim.access_key() != ACCESS_KEY {
        return Err("InvalidAccessKeyId".to_owned());
    }
    claim.verify(keys, &SecretKey::new(SECRET_KEY), method, raw_target.as_bytes(), headers).map_err(code)?;
    Ok(Some(claim.access_key().to_owned()))
}

fn requests() -> impl Strategy<Value = Unsigned> {
    // Not `%2F`: aws-sigv4 signs it as sent, s3s and we as the slash that it is.
    let path = "/photos/k(/|[a-z]{1,3}|\\.\\.|\\+|%2B|%20|%25|%C3%A9|~|\\(|=|:|@|!|\\*|'|,|\\$|;|&){1,12}";
    let query = proptest::sample::subsequence(
        vec![
            "versionId=v%2F1",
            "partNumber=1",
            "response-content-type=text%2Fplain%3B%20charset=utf-8",
            "response-expires=a+b",
            "response-cache-control",
            "response-content-language=%C3%A9~*",
            "x-id=GetObject",
        ],
        0..=7,
    );
    let headers = proptest::sample::subsequence(
        vec![
            ("range", "bytes=0-9"),
            ("x-amz-meta-colour", "  deep    red  "),
            ("x-amz-expected-bucket-owner", "111122223333"),
            ("cache-control", "no-cache"),
            ("if-none-match", "\"a,b\""),
            ("accept", "text/plain"),
            ("accept", "text/html"),
        ],
        0..=7,
    );
    let host = proptest::sample::select(vec![
        "127.0.0.1:9000",
        "object.ord1.penstock.localhost",
        "videos.accel-object.las1.penstock.localhost:9011",
    ]);
    (proptest::sample::select(vec!["GET", "HEAD"]), path, query, headers, host).prop_map(
        |(method, path, query, headers, host)| Unsigned {
            method: method.parse().expect("method"),
            raw_target: if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) },
            headers: [vec![("host", host)], headers].concat(),
        },
    )
}

proptest! {
    /// What AWS's signer signs is accepted, in both forms; with one digit of the signature changed it is not.
    #[test]
    fn signatures_of_aws_sigv4_are_accepted(request in requests(), presigned in any::<bool>(), digit in 0usize..64) {
        let form = if presigned { Form::Presigned { seconds: 60 } } else { Form::Header };
        let signed = signer::sign(&request, form, NOW);
        let keys = Keys::new(8);
        prop_assert_eq!(judge(&signed, NOW, &keys), Ok(Some(ACCESS_KEY.to_owned())), "{:?}", signed);
        prop_assert_eq!(judge(&signed, NOW, &keys), Ok(Some(ACCESS_KEY.to_owned())), "with the key kept");
        let forged = signed.with_digit_changed(digit);
        prop_assert_eq!(judge(&forged, NOW, &keys), Err("SignatureDoesNotMatch".to_owned()), "{:?}", forged);
    }
}

#[test]
fn time_is_judged_to_the_second() {
    let minutes = time::Duration::minutes;
    let second = time::Duration::SECOND;
    let cases = [
        (Form::Header, minutes(15), None),
        (Form::Header, minutes(15) + second, Some("RequestTimeTooSkewed")),
        (Form::Header, minutes(-15), None),
        (Form::Header, minutes(-15) - second, Some("RequestTimeTooSkewed")),
        (Form::Presigned { seconds: 60 }, minutes(1), None),
        (Form::Presigned { seconds: 60 }, minutes(1) + second, Some("AccessDenied")),
        (Form::Presigned { seconds: 60 }, minutes(-15), None),
        (Form::Presigned { seconds: 60 }, minutes(-15) - second, Some("RequestTimeTooSkewed")),
        (Form::Presigned { seconds: 604_800 }, minutes(7 * 24 * 60), None),
        (Form::Presigned { seconds: 604_800 }, minutes(7 * 24 * 60) + second, Some("AccessDenied")),
    ];
    for (form, age, code) in cases {
        let signed = signer::sign(&Unsigned::get("/photos/a"), form, NOW);
        let verdict = judge(&signed, NOW + age, &Keys::new(8)).err();
        assert_eq!(verdict.as_deref(), code, "{form:?} {age}");
    }
}

/// The first and the last moment that a client can write are far away, and nothing worse.
#[test]
fn moments_at_the_ends_of_time_are_refused() {
    for (date, presigned) in
        [("00000101T000000Z", "AccessDenied"), ("99991231T235959Z", "RequestTimeTooSkewed")]
    {
        let redated = |form| {
            let signed = signer::sign(&Unsigned::get("/photos/a"), form, NOW);
            signed.with_text("20260102T030405Z", date).with_text("20260102", &date[..8])
        };
        let in_header = redated(Form::Header).with_header("x-amz-date", date);
        assert_eq!(judge(&in_header, NOW, &Keys::new(8)), Err("RequestTimeTooSkewed".to_owned()), "{date}");
        let in_query = redated(Form::Presigned { seconds: 604_800 });
        assert_eq!(judge(&in_query, NOW, &Keys::new(8)), Err(presigned.to_owned()), "{date}");
    }
}

#[test]
fn a_kept_key_does_not_outlive_its_secret() {
    let signed = signer::sign(&Unsigned::get("/photos/a"), Form::Header, NOW);
    let keys = Keys::new(8);
    assert!(judge(&signed, NOW, &keys).is_ok());
    let Signed { method, raw_target, headers } = &signed;
    let target = crate::target::parse(&topology(), &listener(), method, raw_target.as_bytes(), headers);
    let target = target.expect("parsed");
    let claim = Claim::of(&target.query, &target.signature, NOW).expect("in time").expect("signed");
    let verify =
        |secret| claim.verify(&keys, &SecretKey::new(secret), method, raw_target.as_bytes(), headers);
    assert_eq!(verify("another").expect_err("refused").code(), &S3ErrorCode::SignatureDoesNotMatch);
    assert!(verify(SECRET_KEY).is_ok());
}

#[test]
fn any_region_name_is_a_scope() {
    let keys = Keys::new(2);
    for region in ["us-east-1", "default", "ord1", "us-east-1", "a", "b", "c"] {
        let signed = signer::sign_for_region(&Unsigned::get("/photos/a"), Form::Header, NOW, region);
        assert!(judge(&signed, NOW, &keys).is_ok(), "{region}");
    }
}
