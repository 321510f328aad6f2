//! Forms that are signed rightly, wrongly, twice or in part.

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const ALL: Rules = Rules { allow_v2: true, allow_uncovered_file: true };

/// The policy of the S3 API reference, "Example: Browser-based upload using HTTP POST", and its signature there.
const POLICY: &str = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
const V4: [(&str, &str); 5] = [
    ("Policy", POLICY),
    ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
    ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"),
    ("X-Amz-Date", "20151229T000000Z"),
    ("X-Amz-Signature", "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"),
];

/// Signed with the same secret by `openssl dgst -sha1 -hmac`.
const V2: [(&str, &str); 3] = [
    ("policy", "e30="),
    ("AWSAccessKeyId", "AKIAIOSFODNN7EXAMPLE"),
    ("signature", "4QWH4O9CWtowYUW+X4P2gZ/6fNc="),
];

fn form(fields: &[(&str, &str)]) -> Form {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Form::of(fields.iter().map(owned).collect(), None).expect("each field once")
}

/// Whose signature is good, nobody's, or the code of the refusal.
fn verdict(fields: &[(&str, &str)], rules: Rules, secret: &str) -> Result<Option<String>, String> {
    let verified = |form: &Form| {
        let Some(claim) = Claim::of(form, rules)? else { return Ok(None) };
        claim.verify(&SecretKey::new(secret))?;
        Ok(Some(claim.access_key().to_owned()))
    };
    verified(&form(fields)).map_err(|refusal: Refusal| refusal.code().as_str().to_owned())
}

/// `fields` with another value in one of them.
fn with<'a, const N: usize>(
    fields: [(&'a str, &'a str); N],
    name: &str,
    value: &'a str,
) -> [(&'a str, &'a str); N] {
    fields.map(|(field, before)| (field, if field == name { value } else { before }))
}

#[test]
fn a_good_signature_says_whose_it_is() {
    let signer = Ok(Some("AKIAIOSFODNN7EXAMPLE".to_owned()));
    assert_eq!(verdict(&V4, ALL, SECRET), signer);
    assert_eq!(verdict(&V2, ALL, SECRET), signer);
    assert_eq!(verdict(&[("key", "a")], ALL, SECRET), Ok(None));
}

#[test]
fn a_wrong_signature_is_refused() {
    let other = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699f";
    for fields in [
        with(V4, "Policy", "e30="),
        with(V4, "X-Amz-Signature", other),
        with(V4, "X-Amz-Signature", "8AFD"),
        with(V4, "X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-west-1/s3/aws4_request"),
    ] {
        assert_eq!(verdict(&fields, ALL, SECRET), Err("SignatureDoesNotMatch".into()), "{fields:?}");
    }
    for fields in [with(V2, "policy", "e30"), with(V2, "signature", "AAAA"), with(V2, "signature", "?")] {
        assert_eq!(verdict(&fields, ALL, SECRET), Err("SignatureDoesNotMatch".into()), "{fields:?}");
    }
    for fields in [&V4[..], &V2] {
        assert_eq!(verdict(fields, ALL, "another"), Err("SignatureDoesNotMatch".into()));
    }
}

#[test]
fn a_form_is_signed_whole_and_once() {
    for fields in [&V4[..], &V2] {
        for missing in 0..fields.len() {
            let rest = [&fields[..missing], &fields[missing + 1..]].concat();
            assert_eq!(verdict(&rest, ALL, SECRET), Err("InvalidArgument".into()), "{rest:?}");
        }
        assert_eq!(verdict(&fields[..1], ALL, SECRET), Err("InvalidArgument".into()));
        let with_token = [fields, &[("x-amz-security-token", "t")]].concat();
        assert_eq!(verdict(&with_token, ALL, SECRET), Err("InvalidToken".into()));
    }
    assert_eq!(verdict(&[&V4[..], &V2[1..]].concat(), ALL, SECRET), Err("InvalidArgument".into()));
    for (name, value, code) in [
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "InvalidRequest"),
        ("X-Amz-Date", "20151230T000000Z", "InvalidArgument"),
        ("X-Amz-Date", "yesterday", "InvalidArgument"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE", "InvalidArgument"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/sts/aws4_request", "InvalidArgument"),
    ] {
        assert_eq!(verdict(&with(V4, name, value), ALL, SECRET), Err(code.into()), "{name} {value}");
    }
}

#[test]
fn rules_refuse_v2_and_files_that_no_signature_covers() {
    let without_v2 = Rules { allow_v2: false, ..ALL };
    assert_eq!(verdict(&V2, without_v2, SECRET), Err("InvalidRequest".into()));
    assert!(verdict(&V4, without_v2, SECRET).is_ok());
    let covered = Rules { allow_uncovered_file: false, ..ALL };
    for fields in [&V4[..], &V2] {
        assert_eq!(verdict(fields, covered, SECRET), Err("AccessDenied".into()));
    }
    assert_eq!(verdict(&[("key", "a")], covered, SECRET), Ok(None), "nobody has signed it");
}
