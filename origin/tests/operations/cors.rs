//! PutBucketCors, GetBucketCors, DeleteBucketCors.

use crate::region::Region;

const RULES: &str = "<CORSConfiguration>\
    <CORSRule><ID>one</ID><AllowedHeader>*</AllowedHeader><AllowedMethod>GET</AllowedMethod>\
    <AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://*.example</AllowedOrigin>\
    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
    <CORSRule><AllowedMethod>HEAD</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>";

#[tokio::test]
async fn rules_are_shown_as_they_were_put_until_they_are_deleted() {
    let mut region = Region::start().await;
    let none = (404, "NoSuchCORSConfiguration".to_owned());
    assert_eq!(region.send("GET", "/photos?cors", &[], "").await.error(), none);
    region.send("PUT", "/photos?cors", &[], RULES).await.ok();
    region.reopen().await;
    let shown = region.send("GET", "/photos?cors", &[], "").await.ok();
    assert_eq!(shown.elements("CORSRule").len(), 2);
    assert_eq!(shown.elements("AllowedMethod"), ["GET", "PUT", "HEAD"]);
    assert_eq!(shown.elements("AllowedOrigin"), ["https://*.example", "*"]);
    for (name, value) in
        [("ID", "one"), ("AllowedHeader", "*"), ("ExposeHeader", "ETag"), ("MaxAgeSeconds", "60")]
    {
        assert_eq!(shown.elements(name), [value], "{name}");
    }
    assert_eq!(region.send("DELETE", "/photos?cors", &[], "").await.status, 204);
    assert_eq!(region.send("GET", "/photos?cors", &[], "").await.error(), none);
    assert_eq!(region.send("DELETE", "/photos?cors", &[], "").await.status, 204);
}

#[tokio::test]
async fn rules_that_are_none_change_nothing() {
    let region = Region::start().await;
    region.send("PUT", "/photos?cors", &[], RULES).await.ok();
    let rule = |rule: &str| format!("<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>");
    let everybody = "<AllowedOrigin>*</AllowedOrigin>";
    for (body, code) in [
        ("<CORSConfiguration/>".to_owned(), "MalformedXML"),
        (rule(everybody), "MalformedXML"),
        (rule("<AllowedMethod>GET</AllowedMethod>"), "MalformedXML"),
        (rule(&format!("{everybody}<AllowedMethod>PATCH</AllowedMethod>")), "InvalidRequest"),
        (rule("<AllowedOrigin>*.*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"), "InvalidRequest"),
    ] {
        let refused = region.send("PUT", "/photos?cors", &[], body.clone()).await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{body}");
    }
    let shown = region.send("GET", "/photos?cors", &[], "").await.ok();
    assert_eq!(shown.elements("CORSRule").len(), 2);
}
