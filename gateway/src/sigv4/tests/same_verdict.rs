//! Our verdicts and s3s's on the same requests. s3s reads the real clock, so requests are signed now.

use proptest::prelude::*;
use time::OffsetDateTime;

use super::signer::{self, Form, Signed, Unsigned};
use super::{Keys, judge, requests};
use crate::target::tests::s3s_reading;

/// s3s's verdict, in the same words as ours; `None` for a target that it cannot be given.
fn judge_by_s3s(request: &Signed) -> Option<Result<Option<String>, String>> {
    let read = s3s_reading::read(&request.method, request.raw_target.as_bytes(), &request.headers)?;
    Some(read.map(|seen| seen.access_key))
}

fn spoilt(request: Signed, how: usize) -> Signed {
    match how {
        0 => request.with_digit_changed(17),
        1 => request.with_header("x-amz-meta-colour", "blue"),
        2 => request.with_header("range", "bytes=0-10"),
        3 => request.with_header("host", "localhost"),
        4 => request.with_text("/photos", "/photo"),
        5 => request.with_text("AKIDEXAMPLE", "AKIDEXAMPLF"),
        6 => request.with_header("user-agent", "not signed"),
        7 => Signed { method: http::Method::DELETE, ..request },
        _ => request,
    }
}

proptest! {
    /// Sound or spoilt, in either form: the same requests are accepted, and the others refused with the same code,
    /// unless ours is refused by the stricter parse.
    #[test]
    fn s3s_gives_the_same_verdict(request in requests(), presigned in any::<bool>(), how in 0usize..12) {
        let now = OffsetDateTime::now_utc();
        let form = if presigned { Form::Presigned { seconds: 60 } } else { Form::Header };
        let request = spoilt(signer::sign(&request, form, now), how);
        let ours = judge(&request, now, &Keys::new(8));
        // A header that the signature leaves out, or an operation that does not take such a query: `target` refuses.
        let is_stricter = matches!(ours.as_ref().map_err(String::as_str), Err("AccessDenied" | "NotImplemented"));
        if let (false, Some(theirs)) = (is_stricter, judge_by_s3s(&request)) {
            prop_assert_eq!(ours, theirs, "{:?}", request);
        }
    }
}

/// Where the two differ, and why: each row is refused here.
#[test]
fn stricter_than_s3s() {
    let now = OffsetDateTime::now_utc();
    let header = signer::sign(&Unsigned::get("/photos/a"), Form::Header, now);
    let presigned = signer::sign(&Unsigned::get("/photos/a"), Form::Presigned { seconds: 60 }, now);
    let long = signer::sign(&Unsigned::get("/photos/a"), Form::Presigned { seconds: 604_801 }, now);
    let with_absent_header = header.clone().with_text("host;range", "host;origin;range");
    type Verdict = Result<Option<String>, &'static str>;
    let accepted: Verdict = Ok(Some(s3s_reading::ACCESS_KEY.to_owned()));
    let cases: [(&str, Signed, &str, Verdict); 8] = [
        (
            "an unsigned x-amz-* header",
            header.clone().with_header("x-amz-acl", "private"),
            "AccessDenied",
            accepted.clone(),
        ),
        (
            "the same, presigned",
            presigned.clone().with_header("x-amz-acl", "private"),
            "AccessDenied",
            accepted.clone(),
        ),
        ("a signed header that is not there", with_absent_header, "SignatureDoesNotMatch", accepted.clone()),
        ("a life of more than a week", long, "AccessDenied", accepted.clone()),
        (
            "an algorithm that is not looked at",
            header.clone().with_text("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
            "InvalidRequest",
            accepted.clone(),
        ),
        (
            "signed in two places",
            presigned.clone().with_header("authorization", "AWS4-HMAC-SHA256 Credential=a"),
            "InvalidArgument",
            accepted,
        ),
        (
            "a service that is not S3's",
            header.clone().with_text("/s3/aws4_request", "/sts/aws4_request"),
            "AuthorizationHeaderMalformed",
            Err("SignatureDoesNotMatch"),
        ),
        ("no date", header.without_header("x-amz-date"), "AccessDenied", Err("InvalidRequest")),
    ];
    for (what, request, ours, theirs) in cases {
        assert_eq!(judge(&request, now, &Keys::new(8)), Err(ours.to_owned()), "{what}");
        assert_eq!(judge_by_s3s(&request), Some(theirs.map_err(str::to_owned)), "{what}");
    }
}

/// Skewed clocks and expired URLs, judged by s3s at the same distances.
#[test]
fn time_is_judged_as_s3s_does() {
    let now = OffsetDateTime::now_utc();
    let minutes = time::Duration::minutes;
    for (form, age) in [
        (Form::Header, minutes(14)),
        (Form::Header, minutes(16)),
        (Form::Header, minutes(-14)),
        (Form::Header, minutes(-16)),
        (Form::Presigned { seconds: 3600 }, minutes(59)),
        (Form::Presigned { seconds: 3600 }, minutes(61)),
        (Form::Presigned { seconds: 3600 }, minutes(-14)),
        (Form::Presigned { seconds: 3600 }, minutes(-16)),
    ] {
        let request = signer::sign(&Unsigned::get("/photos/a"), form, now - age);
        assert_eq!(Some(judge(&request, now, &Keys::new(8))), judge_by_s3s(&request), "{form:?} {age}");
    }
}
