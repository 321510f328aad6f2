//! Every kind of condition, each with its nearest wrong neighbour.

use serde_json::json;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn parse(document: &Value) -> Result<Policy, String> {
    parse_text(&document.to_string())
}

fn parse_text(document: &str) -> Result<Policy, String> {
    Policy::parse(&BASE64.encode(document)).map_err(|refusal| refusal.code().as_str().to_owned())
}

/// What a policy of `conditions` says of a form to the bucket `photos`, or the refusal's message.
fn verdict(conditions: &Value, fields: &[(&str, &str)]) -> Result<Sizes, String> {
    let mut all = vec![json!({"bucket": "photos"})];
    all.extend(conditions.as_array().expect("a list").iter().cloned());
    let policy = parse(&json!({"expiration": "2026-01-02T03:04:06Z", "conditions": all}))?;
    policy.verify(&form(fields), "photos", NOW).map_err(|refusal| {
        assert_eq!(*refusal.code(), S3ErrorCode::AccessDenied);
        refusal.message().to_owned()
    })
}

fn form(fields: &[(&str, &str)]) -> Form {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Form::of(fields.iter().map(owned).collect(), None).expect("each field once")
}

#[test]
fn conditions_are_met_or_not() {
    for (condition, value, is_met) in [
        (json!({"key": "a/b"}), "a/b", true),
        (json!({"KEY": "a/b"}), "a/b", true),
        (json!({"key": "a/b"}), "a/B", false),
        (json!({"key": "a/b"}), "a/b/c", false),
        (json!(["eq", "$key", "a/b"]), "a/b", true),
        (json!(["EQ", "$Key", "a/b"]), "a/b", true),
        (json!(["eq", "$key", "a/b"]), "a", false),
        (json!(["eq", "$key", ""]), "", true),
        (json!(["starts-with", "$key", "a/"]), "a/b", true),
        (json!(["Starts-With", "$kEy", "a/"]), "a/", true),
        (json!(["starts-with", "$key", "a/"]), "A/b", false),
        (json!(["starts-with", "$key", "a/"]), "a", false),
        (json!(["starts-with", "$key", ""]), "anything", true),
        (json!(["starts-with", "$key", "\\$foo"]), "\\$foo.txt", true),
        (json!(["starts-with", "$key", "a"]), "a,b", true),
    ] {
        assert_eq!(verdict(&json!([condition]), &[("key", value)]).is_ok(), is_met, "{condition} {value}");
    }
    let images = json!([["starts-with", "$Content-Type", "image/"]]);
    assert!(verdict(&images, &[("Content-Type", "image/png, image/gif")]).is_ok());
    assert!(verdict(&images, &[("Content-Type", "image/png, text/html")]).is_err());
    // Every condition counts, also of two about the same field.
    let two = json!([["starts-with", "$key", "a"], ["starts-with", "$key", "ab"]]);
    assert!(verdict(&two, &[("key", "abc")]).is_ok() && verdict(&two, &[("key", "ac")]).is_err());
}

#[test]
fn a_refusal_says_which_condition_failed() {
    assert_eq!(
        verdict(&json!([["starts-with", "$Key", "a/"]]), &[("key", "b")]).unwrap_err(),
        "Invalid according to Policy: Policy Condition failed: [\"starts-with\",\"$key\",\"a/\"]"
    );
}

/// One that is not there is not an empty one.
#[test]
fn a_field_that_is_spoken_of_must_be_there() {
    for condition in [json!(["starts-with", "$acl", ""]), json!(["eq", "$acl", ""]), json!({"acl": ""})] {
        assert!(verdict(&json!([condition]), &[]).is_err(), "{condition}");
        assert!(verdict(&json!([condition]), &[("acl", "")]).is_ok(), "{condition}");
    }
}

#[test]
fn every_field_must_be_spoken_of() {
    let conditions = json!([["starts-with", "$key", ""]]);
    for name in [
        "acl",
        "x-amz-meta-a",
        "success_action_status",
        "x-amz-date",
        "x-amz-credential",
        "anything",
        "x-ignore",
    ] {
        assert_eq!(
            verdict(&conditions, &[("key", "a"), (name, "v")]).unwrap_err(),
            format!("Invalid according to Policy: Extra input fields: {name}")
        );
    }
    for name in
        ["Policy", "signature", "AWSAccessKeyId", "x-amz-signature", "x-ignore-me", "x-amz-checksum-crc32"]
    {
        assert!(verdict(&conditions, &[("key", "a"), (name, "v")]).is_ok(), "{name}");
    }
}

/// The bucket is the URL's, and a policy must be about it.
#[test]
fn a_policy_is_for_its_bucket() {
    let of = |bucket: &str, conditions: &Value, field: Option<&str>| {
        let policy = parse(&json!({"expiration": "2027-01-01T00:00:00Z", "conditions": conditions}))
            .expect("a policy");
        let fields: Vec<_> = field.map(|value| ("bucket", value)).into_iter().collect();
        policy.verify(&form(&fields), bucket, NOW).is_ok()
    };
    let photos = json!([{"bucket": "photos"}]);
    assert!(of("photos", &photos, None) && of("photos", &photos, Some("photos")));
    assert!(!of("videos", &photos, None) && !of("videos", &photos, Some("photos")));
    assert!(of("photos-2026", &json!([["starts-with", "$bucket", "photos"]]), None));
    assert!(!of("photos", &json!([]), None));
}

#[test]
fn a_policy_expires() {
    let at = |expiration: &str| {
        let policy = parse(&json!({"expiration": expiration, "conditions": [{"bucket": "photos"}]}));
        policy.and_then(|policy| {
            policy.verify(&form(&[]), "photos", NOW).map_err(|refusal| refusal.message().to_owned())
        })
    };
    assert!(at("2026-01-02T03:04:06Z").is_ok() && at("2026-01-02T03:04:05.001Z").is_ok());
    for past in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:04.999Z", "2025-12-31T23:59:59Z"] {
        assert_eq!(at(past).unwrap_err(), "Invalid according to Policy: Policy expired.", "{past}");
    }
    for wrong in [
        "",
        "soon",
        "2026-01-02",
        "2027-01-02 03:04:05Z",
        "2027-01-02T03:04:05+00:00",
        "2027-13-02T03:04:05Z",
    ] {
        assert_eq!(at(wrong).unwrap_err(), "InvalidPolicyDocument", "{wrong}");
    }
}

#[test]
fn the_sizes_are_the_narrowest_ranges() {
    let range = |min: u64, max: u64| json!(["content-length-range", min, max]);
    assert_eq!(verdict(&json!([]), &[]), Ok(Sizes::ANY));
    assert_eq!(verdict(&json!([range(1, 10)]), &[]), Ok(Sizes { min: 1, max: 10 }));
    assert_eq!(verdict(&json!([range(1, 10), range(0, 7)]), &[]), Ok(Sizes { min: 1, max: 7 }));
}

#[test]
fn what_is_not_understood_is_refused() {
    for condition in [
        json!({}),
        json!({"key": "a", "acl": "b"}),
        json!({"key": 1}),
        json!([]),
        json!(["eq", "$key"]),
        json!(["eq", "key", "a"]),
        json!(["eq", "$key", "a", "b"]),
        json!(["ends-with", "$key", "a"]),
        json!(["content-length-range", 0]),
        json!(["content-length-range", -1, 0]),
        json!(["content-length-range", 0, 1.5]),
        json!(["content-length-range", "0", "1"]),
        json!(["length-range", 0, 1]),
        json!("key"),
        json!(null),
    ] {
        assert_eq!(verdict(&json!([condition]), &[]), Err("InvalidPolicyDocument".to_owned()), "{condition}");
    }
    let good = r#"{"expiration": "2027-01-01T00:00:00Z", "conditions": []}"#;
    assert!(parse_text(good).is_ok());
    for (from, to) in [
        ("expiration", "EXPIRATION"),
        ("conditions", "Conditions"),
        ("[]", "{}"),
        ("\"2027-01-01T00:00:00Z\"", "1"),
        ("{\"e", "{\"version\": 1, \"e"),
        ("{\"e", "{\"expiration\": \"2027-01-01T00:00:00Z\", \"e"),
        ("]}", "]"),
        ("]}", "]} x"),
    ] {
        assert!(parse_text(&good.replacen(from, to, 1)).is_err(), "{from} as {to}");
    }
    for encoded in ["", "{}", "e30", "e30=!"] {
        assert!(Policy::parse(encoded).is_err(), "{encoded}");
    }
}
