//! PutBucketWebsite, GetBucketWebsite, DeleteBucketWebsite.

use s3s::S3ErrorCode;

use crate::region::Region;

const SITE: &str = "<WebsiteConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
    <IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>errors/404 &amp; more.html</Key></ErrorDocument>\
    <RoutingRules><RoutingRule><Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition>\
    <Redirect><ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule>\
    <RoutingRule><Condition><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>\
    <Redirect><Protocol>https</Protocol><HostName>example.com</HostName><ReplaceKeyWith/>\
    <HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>";

#[tokio::test]
async fn a_website_is_shown_as_it_was_put_until_it_is_deleted() {
    let mut region = Region::start().await;
    let none = (404, "NoSuchWebsiteConfiguration".to_owned());
    assert_eq!(region.send("GET", "/photos?website", &[], "").await.error(), none);
    region.send("PUT", "/photos?website", &[], SITE).await.ok();
    region.reopen().await;
    let shown = region.send("GET", "/photos?website", &[], "").await.ok();
    for (name, value) in [
        ("Suffix", "index.html"),
        ("Key", "errors/404 &amp; more.html"),
        ("KeyPrefixEquals", "docs/"),
        ("ReplaceKeyPrefixWith", "documents/"),
        ("HttpErrorCodeReturnedEquals", "404"),
        ("Protocol", "https"),
        ("HostName", "example.com"),
        ("ReplaceKeyWith", ""),
        ("HttpRedirectCode", "302"),
    ] {
        assert_eq!(shown.elements(name), [value], "{name}");
    }
    assert_eq!(shown.elements("RoutingRule").len(), 2);
    region.send("PUT", "/photos?website", &[], shown.body.clone()).await.ok();
    assert_eq!(region.send("GET", "/photos?website", &[], "").await.ok().body, shown.body, "shown again");
    region.store.website("photos").await.expect("a website");
    assert_eq!(region.send("DELETE", "/photos?website", &[], "").await.status, 204);
    assert_eq!(region.send("GET", "/photos?website", &[], "").await.error(), none);
    assert_eq!(region.send("DELETE", "/photos?website", &[], "").await.status, 204);
    for (bucket, code) in
        [("photos", S3ErrorCode::NoSuchWebsiteConfiguration), ("missing", S3ErrorCode::NoSuchBucket)]
    {
        let refused = region.store.website(bucket).await.expect_err("no website");
        assert_eq!(refused.code(), &code, "{bucket}");
    }
}

#[tokio::test]
async fn all_requests_may_be_sent_elsewhere() {
    let region = Region::start().await;
    let body = "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>example.com</HostName>\
        <Protocol>https</Protocol></RedirectAllRequestsTo></WebsiteConfiguration>";
    region.send("PUT", "/photos?website", &[], body).await.ok();
    let shown = region.send("GET", "/photos?website", &[], "").await.ok();
    assert_eq!(shown.elements("HostName"), ["example.com"]);
    assert_eq!(shown.elements("Protocol"), ["https"]);
    assert!(shown.elements("IndexDocument").is_empty() && shown.elements("RoutingRules").is_empty());
}

#[tokio::test]
async fn a_configuration_that_is_none_changes_nothing() {
    let region = Region::start().await;
    region.send("PUT", "/photos?website", &[], SITE).await.ok();
    let before = region.send("GET", "/photos?website", &[], "").await.ok();
    let with_index = |rest: &str| {
        format!(
            "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument>{rest}</WebsiteConfiguration>"
        )
    };
    let rules = |rules: &str| with_index(&format!("<RoutingRules>{rules}</RoutingRules>"));
    let rule = "<RoutingRule><Redirect><HostName>example.com</HostName></Redirect></RoutingRule>";
    for (body, code) in [
        (String::new(), "MissingRequestBodyError"),
        ("<WebsiteConfiguration/>".to_owned(), "InvalidArgument"),
        ("<WebsiteConfiguration><IndexDocument/></WebsiteConfiguration>".to_owned(), "MalformedXML"),
        (
            "<WebsiteConfiguration><IndexDocument><Suffix>a/i</Suffix></IndexDocument></WebsiteConfiguration>".to_owned(),
            "InvalidArgument",
        ),
        (with_index("<ErrorDocument/>"), "MalformedXML"),
        (
            with_index("<RedirectAllRequestsTo><HostName>example.com</HostName></RedirectAllRequestsTo>"),
            "InvalidArgument",
        ),
        (rules(""), "MalformedXML"),
        (rules("<RoutingRule/>"), "MalformedXML"),
        (rules("<RoutingRule><Redirect/></RoutingRule>"), "MalformedXML"),
        (rules(&rule.repeat(51)), "InvalidRequest"),
        (rules(&rule.replace("<Redirect>", "<Condition/><Redirect>")), "InvalidRequest"),
        (rules(&rule.replace("</Redirect>", "<HttpRedirectCode>200</HttpRedirectCode></Redirect>")), "InvalidRequest"),
    ] {
        let refused = region.send("PUT", "/photos?website", &[], body.clone()).await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{body}");
    }
    assert_eq!(region.send("GET", "/photos?website", &[], "").await.ok().body, before.body);
}

/// What is said of a bucket is its owner's to say.
#[tokio::test]
async fn websites_of_others_are_refused() {
    let region = Region::start().await;
    region.send("PUT", "/photos?website", &[], SITE).await.ok();
    let bob = || Some(crate::region::user_of("bob"));
    for (method, body) in [("GET", ""), ("PUT", SITE), ("DELETE", "")] {
        let refused = region.send_as(bob(), method, "/photos?website", &[], body).await;
        assert_eq!(refused.error(), (403, "AccessDenied".to_owned()), "{method}");
        let missing = region.send(method, "/missing?website", &[], body).await;
        assert_eq!(missing.error(), (404, "NoSuchBucket".to_owned()), "{method}");
        let owner = [("x-amz-expected-bucket-owner", "bob")];
        let unexpected = region.send(method, "/photos?website", &owner, body).await;
        assert_eq!(unexpected.error(), (403, "AccessDenied".to_owned()), "{method}");
    }
    region.send("GET", "/photos?website", &[], "").await.ok();
}
