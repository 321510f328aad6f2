//! What is public, as GetBucketPolicyStatus says it.

use super::*;

fn is_public(effect: &str, principal: &str, condition: &str) -> bool {
    let about = r#""Action":"s3:*","Resource":"arn:aws:s3:::photos/*""#;
    policy(&format!(r#"{{"Effect":"{effect}","Principal":{principal},{about},"Condition":{condition}}}"#))
        .is_public()
}

#[test]
fn everyone_is_public_and_somebody_is_not() {
    for (principal, public) in [
        (r#""*""#.to_owned(), true),
        (r#"{"AWS":"*"}"#.into(), true),
        (r#"{"AWS":["research","*"]}"#.into(), true),
        (r#"{"AWS":"research"}"#.into(), false),
        (r#"{"AWS":"arn:aws:iam::research:root"}"#.into(), false),
        (r#"{"AWS":"arn:aws:iam:::user/alice"}"#.into(), false),
        (format!(r#"{{"CanonicalUser":"{RESEARCH_ID}"}}"#), false),
    ] {
        assert_eq!(is_public("Allow", &principal, "{}"), public, "{principal}");
        assert!(!is_public("Deny", &principal, "{}"), "{principal}");
    }
}

#[test]
fn fixed_values_pin_an_allow() {
    for (condition, public) in [
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/32"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","203.0.113.0/24"]}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"11.0.0.0/8"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"11.0.0.0/7"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","0.0.0.0/0"]}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/31"}}"#, true),
        (r#"{"ForAnyValue:IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (r#"{"ForAllValues:IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"IpAddressIfExists":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"StringEquals":{"aws:SourceIp":"192.0.2.1"}}"#, false),
        (r#"{"StringLike":{"aws:SourceIp":"192.0.2.*"}}"#, true),
        (r#"{"Null":{"aws:SourceIp":"false"}}"#, true),
        (r#"{"StringEquals":{"aws:userid":"x:alice"}}"#, false),
        (r#"{"StringLike":{"aws:userid":"x:alice"}}"#, false),
        (r#"{"StringLike":{"aws:userid":"x:*"}}"#, true),
        (r#"{"StringEquals":{"aws:userid":"${aws:userid}"}}"#, true),
        (r#"{"StringEquals":{"aws:userid":["x:alice","anonymous"]}}"#, true),
        (r#"{"StringEqualsIgnoreCase":{"aws:userid":"Anonymous"}}"#, true),
        (r#"{"StringNotEquals":{"aws:userid":"x:alice"}}"#, true),
        (r#"{"StringEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"k"}}"#, true),
        (r#"{"StringEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#, true),
        (r#"{"StringEquals":{"s3:x-amz-acl":"private"}}"#, true),
        (r#"{"StringEquals":{"s3:RequestObjectTag/class":"public"}}"#, true),
        (
            r#"{"StringEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"k","aws:SourceIp":"192.0.2.1"}}"#,
            false,
        ),
        (r#"{"StringEquals":{"aws:Referer":"https://example.com/"}}"#, true),
        (r#"{"StringEquals":{"aws:UserAgent":"x"}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"true"},"IpAddress":{"aws:SourceIp":"192.0.2.1"}}"#, false),
    ] {
        assert_eq!(is_public("Allow", r#""*""#, condition), public, "{condition}");
    }
}

/// One open Allow makes the whole public; no Deny makes it less so.
#[test]
fn one_open_statement_is_enough() {
    let about = r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*""#;
    let pinned = format!(
        r#"{{"Effect":"Allow","Principal":"*",{about},"Condition":{{"IpAddress":{{"aws:SourceIp":"192.0.2.1"}}}}}}"#
    );
    let open = format!(r#"{{"Effect":"Allow","Principal":"*",{about}}}"#);
    let deny = format!(r#"{{"Effect":"Deny","Principal":"*",{about}}}"#);
    assert!(!policy(&pinned).is_public());
    assert!(policy(&format!("{pinned},{open}")).is_public());
    assert!(policy(&format!("{open},{deny}")).is_public());
    assert!(!policy(&deny).is_public());
}
