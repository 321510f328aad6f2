//! Configurations that no bucket has.

use crate::region::{Region, user_of};

#[tokio::test]
async fn a_bucket_answers_as_one_that_nobody_configured() {
    let region = Region::start().await;
    for (sub_resource, expected) in [
        ("accelerate", Ok("AccelerateConfiguration")),
        ("logging", Ok("BucketLoggingStatus")),
        ("notification", Ok("NotificationConfiguration")),
        ("requestPayment", Ok("RequestPaymentConfiguration")),
        ("replication", Err((404, "ReplicationConfigurationNotFoundError"))),
        ("object-lock", Err((404, "ObjectLockConfigurationNotFoundError"))),
        ("analytics&id=a", Err((404, "NoSuchConfiguration"))),
        ("intelligent-tiering&id=a", Err((404, "NoSuchConfiguration"))),
        ("inventory&id=a", Err((404, "NoSuchConfiguration"))),
        ("metrics&id=a", Err((404, "NoSuchConfiguration"))),
        ("analytics", Ok("ListBucketAnalyticsConfigurationResult")),
        ("intelligent-tiering", Ok("ListBucketIntelligentTieringConfigurationsOutput")),
        ("inventory", Ok("ListInventoryConfigurationsResult")),
        ("metrics", Ok("ListMetricsConfigurationsResult")),
    ] {
        let answer = region.send("GET", &format!("/photos?{sub_resource}"), &[], "").await;
        match expected {
            Ok(root) => {
                assert!(answer.status.is_success() && answer.text().contains(root), "{}", answer.text());
            }
            Err((status, code)) => assert_eq!(answer.error(), (status, code.to_owned()), "{sub_resource}"),
        }
        let of_nothing = region.send("GET", &format!("/none?{sub_resource}"), &[], "").await;
        assert_eq!(of_nothing.error(), (404, "NoSuchBucket".into()), "{sub_resource}");
        let stranger = Some(user_of("bob"));
        let refused = region.send_as(stranger, "GET", &format!("/photos?{sub_resource}"), &[], "").await;
        assert_eq!(refused.error(), (403, "AccessDenied".into()), "{sub_resource}");
        let unreadable = [("x-amz-expected-bucket-owner", "\u{e4}nne")];
        let refused = region.send("GET", &format!("/photos?{sub_resource}"), &unreadable, "").await;
        assert_eq!(refused.error(), (400, "InvalidArgument".into()), "{sub_resource}");
    }
    let payer = region.send("GET", "/photos?requestPayment", &[], "").await;
    assert_eq!(payer.element("Payer"), "BucketOwner");
    let owner = [("x-amz-expected-bucket-owner", "bob")];
    let refused = region.send("GET", "/photos?metrics", &owner, "").await;
    assert_eq!(refused.error(), (403, "AccessDenied".into()));
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_and_what_is_so_anyway_is_not() {
    let region = Region::start().await;
    let target = "<TargetBucket>logs</TargetBucket><TargetPrefix>p</TargetPrefix>";
    let queue = "<Queue>arn:aws:sqs:::q</Queue><Event>s3:ObjectCreated:*</Event>";
    for (sub_resource, body, expected) in [
        ("logging", "<BucketLoggingStatus/>".to_owned(), None),
        (
            "logging",
            format!("<BucketLoggingStatus><LoggingEnabled>{target}</LoggingEnabled></BucketLoggingStatus>"),
            Some((501, "NotImplemented")),
        ),
        ("notification", "<NotificationConfiguration/>".to_owned(), None),
        (
            "notification",
            format!(
                "<NotificationConfiguration><QueueConfiguration>{queue}</QueueConfiguration></NotificationConfiguration>"
            ),
            Some((501, "NotImplemented")),
        ),
        (
            "requestPayment",
            "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"
                .to_owned(),
            None,
        ),
        (
            "requestPayment",
            "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>".to_owned(),
            Some((501, "NotImplemented")),
        ),
        (
            "requestPayment",
            "<RequestPaymentConfiguration><Payer>Nobody</Payer></RequestPaymentConfiguration>".to_owned(),
            Some((400, "MalformedXML")),
        ),
        (
            "accelerate",
            "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>".to_owned(),
            Some((501, "NotImplemented")),
        ),
        (
            "accelerate",
            "<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>".to_owned(),
            None,
        ),
        ("accelerate", "<AccelerateConfiguration/>".to_owned(), Some((400, "MalformedXML"))),
    ] {
        let answer = region.send("PUT", &format!("/photos?{sub_resource}"), &[], body.clone()).await;
        match expected {
            None => assert_eq!(answer.status, 200, "{body}: {}", answer.text()),
            Some((status, code)) => assert_eq!(answer.error(), (status, code.to_owned()), "{body}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_set_is_unset_as_s3_does_it() {
    let region = Region::start().await;
    for (sub_resource, status) in [("replication", 204), ("inventory&id=a", 404), ("metrics&id=a", 404)] {
        let answer = region.send("DELETE", &format!("/photos?{sub_resource}"), &[], "").await;
        assert_eq!(answer.status, status, "{sub_resource}: {}", answer.text());
    }
}

#[tokio::test]
async fn no_object_is_locked_and_none_has_a_torrent() {
    let region = Region::start().await;
    region.put("cat", "meow").await;
    for (target, error) in [
        ("/photos/cat?legal-hold", (400, "InvalidRequest")),
        ("/photos/cat?retention", (400, "InvalidRequest")),
        ("/photos/none?retention", (404, "NoSuchKey")),
        ("/photos/cat?torrent", (501, "NotImplemented")),
    ] {
        let answer = region.send("GET", target, &[], "").await;
        assert_eq!(answer.error(), (error.0, error.1.to_owned()), "{target}");
    }
}
