//! Buckets as websites: what visitors see of pages, folders, redirects and errors, through whichever node they come.

use tests::cluster::{DOMAIN, REGIONS};
use tests::{Answer, Client, Cluster, Endpoint, Options, Request};

const INDEX: &str = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";
const ERROR: &str = "<ErrorDocument><Key>error.html</Key></ErrorDocument>";

/// A bucket `site` in ord1, and every node's ways to its website.
struct Site {
    cluster: Cluster,
    owner: Client,
    doors: Vec<(String, Client)>,
}

impl Site {
    /// With these elements as its configuration, and with what everybody may do as its policy.
    async fn start(configuration: &str, actions: &[&str]) -> Self {
        Self::start_with(Options::default(), configuration, actions).await
    }

    async fn start_with(options: Options, configuration: &str, actions: &[&str]) -> Self {
        let cluster = Cluster::start_with(options).await;
        let owner = cluster.standard("ord1");
        owner.create_bucket("site").await;
        let mut doors = Vec::new();
        for at in REGIONS {
            for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
                let door = cluster.client(at, endpoint).under(host("site"));
                doors.push((format!("{endpoint:?} at {at}"), door));
            }
        }
        let site = Self { cluster, owner, doors };
        site.configure(configuration).await;
        site.permit(actions).await;
        site
    }

    async fn configure(&self, elements: &str) {
        let body = format!("<WebsiteConfiguration>{elements}</WebsiteConfiguration>");
        let _ = self.owner.send(Request::new("PUT", "/site?website").body(body)).await.ok();
    }

    /// Lets everybody do these and nothing else.
    async fn permit(&self, actions: &[&str]) {
        let request = if actions.is_empty() {
            Request::new("DELETE", "/site?policy")
        } else {
            let actions: Vec<_> = actions.iter().map(|action| format!("\"s3:{action}\"")).collect();
            Request::new("PUT", "/site?policy").body(format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":[{}],
                    "Resource":["arn:aws:s3:::site","arn:aws:s3:::site/*"]}}]}}"#,
                actions.join(",")
            ))
        };
        let _ = self.owner.send(request).await.ok();
    }

    /// Stores a page under `key`, which is percent-encoded.
    async fn put(&self, key: &str, body: &str, headers: &[(&str, &str)]) {
        let request = Request::new("PUT", format!("/site/{key}")).body(body.to_owned());
        let request =
            headers.iter().fold(request.header("content-type", "text/html"), |request, (name, value)| {
                request.header(name, *value)
            });
        let _ = self.owner.send(request).await.ok();
    }

    /// The way through the owner, and one through another region's node.
    fn two_doors(&self) -> impl Iterator<Item = &(String, Client)> {
        [&self.doors[0], &self.doors[3]].into_iter()
    }
}

fn host(bucket: &str) -> String {
    format!("{bucket}.website.ord1.{DOMAIN}")
}

async fn visit(door: &Client, method: &'static str, target: &str) -> Answer {
    visit_with(door, Request::new(method, target)).await
}

async fn visit_with(door: &Client, request: Request) -> Answer {
    door.send_signed(door.unsigned(request)).await
}

/// Status and what the page is headed by, or else where it leads to.
fn told(answer: &Answer) -> String {
    match (answer.header("location"), answer.element("h1")) {
        ("", heading) if heading.is_empty() => format!("{} {}", answer.status, answer.text()),
        ("", heading) => heading,
        (location, _) => format!("{} {location}", answer.status),
    }
}

/// The items of a page's lists, without those that differ between any two answers.
fn items(answer: &Answer) -> Vec<String> {
    let text = answer.text();
    let items = text.split("<li>").skip(1).filter_map(|item| item.split_once("</li>"));
    let items = items.map(|(item, _)| item.to_owned());
    items.filter(|item| !item.starts_with("RequestId: ") && !item.starts_with("HostId: ")).collect()
}

#[tokio::test]
async fn pages_are_shown_at_every_door() {
    let site = Site::start(INDEX, &["GetObject", "ListBucket"]).await;
    site.put("index.html", "the start", &[("cache-control", "max-age=60")]).await;
    site.put("docs/index.html", "the docs", &[]).await;
    site.put("docs/page.html", "a page", &[]).await;
    for (name, door) in &site.doors {
        for (target, body) in [
            ("/", "the start"),
            ("/index.html", "the start"),
            ("/docs/", "the docs"),
            ("/docs/index.html", "the docs"),
            ("/docs/page.html", "a page"),
            // Nothing but the path says what is asked for.
            ("/?acl", "the start"),
            ("/?list-type=2&prefix=docs/", "the start"),
            ("/docs/page.html?versionId=nonsense&tagging", "a page"),
            ("/docs/page.html?response-content-type=text/plain", "a page"),
            ("/docs/page.html?X-Amz-Signature=a&X-Amz-Expires=1", "a page"),
        ] {
            let page = visit(door, "GET", target).await;
            assert_eq!((page.status, page.text()), (200, body.to_owned()), "{name} {target}");
            assert_eq!(page.header("content-type"), "text/html", "{name} {target}");
            let head = visit(door, "HEAD", target).await;
            assert_eq!((head.status, head.text()), (200, String::new()), "{name} {target}");
            assert_eq!(head.header("content-length"), body.len().to_string(), "{name} {target}");
            assert_eq!(head.header("etag"), page.header("etag"), "{name} {target}");
        }
        assert_eq!(visit(door, "GET", "/").await.header("cache-control"), "max-age=60");
        for (method, body) in [("GET", true), ("HEAD", false)] {
            let folder = visit(door, method, "/docs?a=b").await;
            assert_eq!((folder.status, folder.header("location")), (302, "/docs/"), "{name} {method}");
            assert_eq!(folder.text().contains("<h1>302 Found</h1>"), body, "{name} {method}");
        }
    }
}

/// What conditions and ranges ask for is done as for any object.
#[tokio::test]
async fn pages_are_read_in_part_and_on_conditions() {
    let site = Site::start(&format!("{INDEX}{ERROR}"), &["GetObject", "ListBucket"]).await;
    site.put("index.html", "0123456789", &[]).await;
    site.put("error.html", "our own words", &[]).await;
    for (name, door) in site.two_doors() {
        let etag = visit(door, "GET", "/").await.header("etag").to_owned();
        let asked = |header, value: &str| Request::new("GET", "/").header(header, value);
        let part = visit_with(door, asked("range", "bytes=2-4")).await;
        assert_eq!((part.status, part.text()), (206, "234".to_owned()), "{name}");
        assert_eq!(part.header("content-range"), "bytes 2-4/10", "{name}");
        let head = visit_with(door, Request::new("HEAD", "/").header("range", "bytes=2-4")).await;
        assert_eq!((head.status, head.header("content-length")), (206, "3"), "{name}");
        let several = visit_with(door, asked("range", "bytes=1-2,4-5")).await;
        assert_eq!((several.status, several.text()), (200, "0123456789".to_owned()), "{name}");
        let known = visit_with(door, asked("if-none-match", &etag)).await;
        assert_eq!(
            (known.status, known.text(), known.header("etag")),
            (304, String::new(), &*etag),
            "{name}"
        );
        assert_eq!(visit_with(door, asked("if-none-match", "\"x\"")).await.status, 200, "{name}");

        // The page about an error is whole, whatever was asked of the one that it stands for.
        for (header, value, status) in [("range", "bytes=10-", 416), ("if-match", "\"x\"", 412)] {
            let refused = visit_with(door, asked(header, value)).await;
            assert_eq!(
                (refused.status, refused.text()),
                (status, "our own words".to_owned()),
                "{name} {header}"
            );
        }
        let error_etag = visit(door, "GET", "/error.html").await.header("etag").to_owned();
        let request =
            Request::new("GET", "/missing").header("if-none-match", &error_etag).header("range", "bytes=0-1");
        let missing = visit_with(door, request).await;
        assert_eq!((missing.status, missing.text()), (404, "our own words".to_owned()), "{name}");
    }
}

/// Who has the page from before it became a redirect is sent on, and so is who wants a part of it.
#[tokio::test]
async fn a_page_that_has_become_a_redirect_sends_everybody_on() {
    let site = Site::start(&format!("{INDEX}{ERROR}"), &["GetObject", "ListBucket"]).await;
    site.put("error.html", "our own words", &[]).await;
    site.put("page", "0123456789", &[]).await;
    let etag = visit(&site.doors[0].1, "GET", "/page").await.header("etag").to_owned();
    let become_redirect = Request::new("PUT", "/site/page")
        .header("x-amz-copy-source", "/site/page")
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-website-redirect-location", "/new");
    let _ = site.owner.send(become_redirect).await.ok();
    for (name, door) in site.two_doors() {
        for (header, value) in [
            ("if-none-match", &*etag),
            ("if-match", "\"x\""),
            ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
            ("range", "bytes=2-4"),
            ("range", "bytes=10-"),
        ] {
            for method in ["GET", "HEAD"] {
                let sent_on = visit_with(door, Request::new(method, "/page").header(header, value)).await;
                assert_eq!(told(&sent_on), "301 /new", "{name} {method} {header}: {value}");
            }
        }
    }
    // At the other endpoints it is an object like any other.
    let known = Request::new("GET", "/site/page").header("if-none-match", &etag);
    assert_eq!(site.owner.send(known).await.status, 304);
}

#[tokio::test]
async fn what_cannot_be_shown_is_told_by_a_page() {
    let site = Site::start(INDEX, &["GetObject", "ListBucket"]).await;
    site.put("private/index.html", "secret", &[]).await;
    let deny = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::site","arn:aws:s3:::site/*"]},
        {"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":["arn:aws:s3:::site/private/*"]}]}"#;
    let _ = site.owner.send(Request::new("PUT", "/site?policy").body(deny)).await.ok();
    let missing = ["Code: NoSuchKey", "Message: The specified key does not exist."];
    let denied = ["Code: AccessDenied", "Message: Access Denied"];
    for (name, door) in site.two_doors() {
        for (target, heading, said, key) in [
            ("/missing", "404 Not Found", missing, Some("missing")),
            ("/", "404 Not Found", missing, Some("index.html")),
            ("/a/b/", "404 Not Found", missing, Some("a/b/index.html")),
            ("/private/", "403 Forbidden", denied, None),
            ("/private/index.html", "403 Forbidden", denied, None),
        ] {
            let page = visit(door, "GET", target).await;
            assert_eq!(page.element("title"), heading, "{name} {target}");
            assert_eq!(page.element("h1"), heading, "{name} {target}");
            assert!(heading.starts_with(&page.status.to_string()), "{name} {target}: {}", page.status);
            let expected: Vec<_> =
                said.map(str::to_owned).into_iter().chain(key.map(|key| format!("Key: {key}"))).collect();
            assert_eq!(items(&page), expected, "{name} {target}");
            assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{name} {target}");
            assert_eq!(format!("Code: {}", page.header("x-amz-error-code")), said[0], "{name} {target}");
            let id = page.header("x-amz-request-id");
            assert!(page.text().contains(&format!("<li>RequestId: {id}</li>")), "{name} {target}");
            let head = visit(door, "HEAD", target).await;
            assert_eq!((head.status, head.text()), (page.status, String::new()), "{name} {target}");
            assert_eq!(head.header("x-amz-error-code"), page.header("x-amz-error-code"), "{name} {target}");
        }
    }

    // The site's own page about errors has the error's status.
    site.configure(&format!("{INDEX}{ERROR}")).await;
    for (name, door) in site.two_doors() {
        let page = visit(door, "GET", "/missing").await;
        assert_eq!(
            page.element("h3"),
            "An Error Occurred While Attempting to Retrieve a Custom Error Document",
            "{name}"
        );
        let expected = [missing[0], missing[1], "Key: missing", missing[0], missing[1], "Key: error.html"];
        assert_eq!(items(&page), expected, "{name}");
    }
    site.put("error.html", "our own words", &[("cache-control", "no-store")]).await;
    for (name, door) in &site.doors {
        for (target, status, code) in
            [("/missing", 404, "NoSuchKey"), ("/private/index.html", 403, "AccessDenied")]
        {
            let page = visit(door, "GET", target).await;
            assert_eq!((page.status, page.text()), (status, "our own words".to_owned()), "{name} {target}");
            assert_eq!(page.header("content-type"), "text/html", "{name} {target}");
            assert_eq!(page.header("cache-control"), "no-store", "{name} {target}");
            assert_eq!(page.header("x-amz-error-code"), code, "{name} {target}");
            let head = visit(door, "HEAD", target).await;
            assert_eq!((head.status, head.text()), (status, String::new()), "{name} {target}");
        }
        assert_eq!(visit(door, "GET", "/error.html").await.status, 200, "{name}");
    }
}

/// A website lets nobody in: its visitors see what anybody may read, and are told the same of the rest.
#[tokio::test]
async fn private_objects_stay_private() {
    let site = Site::start(&format!("{INDEX}{ERROR}"), &[]).await;
    for key in ["index.html", "error.html", "folder/index.html", "secret"] {
        site.put(key, "for nobody's eyes", &[]).await;
    }
    for (name, door) in &site.doors {
        for target in ["/", "/index.html", "/error.html", "/folder/", "/folder", "/secret", "/missing"] {
            for method in ["GET", "HEAD"] {
                let page = visit(door, method, target).await;
                assert_eq!(page.status, 403, "{name} {method} {target}");
                assert!(!page.text().contains("for nobody's eyes"), "{name} {method} {target}");
            }
        }
        let pages = [visit(door, "GET", "/secret").await, visit(door, "GET", "/missing").await];
        assert_eq!(
            items(&pages[0]),
            items(&pages[1]),
            "{name}: what is there cannot be told from what is not"
        );
        // A good signature is no visitor's: here nobody has a name.
        let owner = door.send(Request::new("GET", "/secret")).await;
        assert_eq!(owner.status, 403, "{name}");
    }

    // By an object's own list.
    site.put("folder/index.html", "for all", &[("x-amz-acl", "public-read")]).await;
    for (name, door) in &site.doors {
        assert_eq!(told(&visit(door, "GET", "/folder/").await), "200 for all", "{name}");
        assert_eq!(told(&visit(door, "GET", "/folder").await), "302 /folder/", "{name}");
        assert_eq!(told(&visit(door, "GET", "/secret").await), "403 Forbidden", "{name}");
    }

    // By the policy that every guide has, which lets nobody list.
    site.permit(&["GetObject"]).await;
    for (name, door) in &site.doors {
        assert_eq!(told(&visit(door, "GET", "/").await), "200 for nobody's eyes", "{name}");
        let missing = visit(door, "GET", "/missing").await;
        assert_eq!((missing.status, missing.header("x-amz-error-code")), (403, "AccessDenied"), "{name}");
        assert_eq!(told(&visit(door, "GET", "/folder").await), "302 /folder/", "{name}");
    }

    // And no longer.
    site.permit(&[]).await;
    for (name, door) in &site.doors {
        assert_eq!(visit(door, "GET", "/").await.status, 403, "{name}");
    }
}

/// What a policy may ask of a reader it may ask of a visitor.
#[tokio::test]
async fn policies_ask_what_visitors_come_with() {
    let site = Site::start(INDEX, &[]).await;
    site.put("index.html", "the start", &[]).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::site/*",
         "Condition":{"StringLike":{"aws:Referer":"https://a.example/*"},"IpAddress":{"aws:SourceIp":"127.0.0.1"}}}]}"#;
    let _ = site.owner.send(Request::new("PUT", "/site?policy").body(policy)).await.ok();
    for (name, door) in &site.doors {
        for (referer, status) in [("https://a.example/page", 200), ("https://b.example/", 403)] {
            let page = visit_with(door, Request::new("GET", "/").header("referer", referer)).await;
            assert_eq!(page.status, status, "{name} {referer}");
        }
        assert_eq!(visit(door, "GET", "/").await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn redirects_lead_where_the_site_says() {
    let rules = "<RoutingRules>\
        <RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition>\
        <Redirect><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith></Redirect></RoutingRule>\
        <RoutingRule><Condition><KeyPrefixEquals>app/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>\
        <Redirect><ReplaceKeyPrefixWith>#!/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>\
        <RoutingRule><Condition><HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals></Condition>\
        <Redirect><Protocol>https</Protocol><HostName>login.example.com</HostName><ReplaceKeyWith>in</ReplaceKeyWith>\
        <HttpRedirectCode>307</HttpRedirectCode></Redirect></RoutingRule>\
        <RoutingRule><Condition><KeyPrefixEquals>same/</KeyPrefixEquals></Condition>\
        <Redirect><HttpRedirectCode>304</HttpRedirectCode></Redirect></RoutingRule></RoutingRules>";
    let site = Site::start(&format!("{INDEX}{ERROR}{rules}"), &["GetObject", "ListBucket"]).await;
    site.put("index.html", "the start", &[]).await;
    site.put("error.html", "our own words", &[]).await;
    site.put("old/a", "never shown", &[]).await;
    site.put("app/there", "an app", &[]).await;
    site.put("moved", "kept", &[("x-amz-website-redirect-location", "/new/place?a=b#c")]).await;
    site.put("away", "", &[("x-amz-website-redirect-location", "https://example.com/")]).await;
    site.put("moved-folder/index.html", "", &[("x-amz-website-redirect-location", "/")]).await;
    let here = format!("http://{}", host("site"));
    for (name, door) in &site.doors {
        for (target, expected) in [
            ("/", "200 the start".to_owned()),
            ("/old/a", format!("301 {here}/new/a")),
            ("/old/", format!("301 {here}/new/")),
            ("/old/a%20b?c=%2F", format!("301 {here}/new/a%20b?c=%2F")),
            ("/older", "404 our own words".to_owned()),
            ("/same/a", format!("304 {here}/same/a")),
            ("/app/there", "200 an app".to_owned()),
            ("/app/else/where", format!("302 {here}/#!/else/where")),
            ("/elsewhere", "404 our own words".to_owned()),
            ("/moved", "301 /new/place?a=b#c".to_owned()),
            ("/moved?a", "301 /new/place?a=b#c".to_owned()),
            ("/away", "301 https://example.com/".to_owned()),
            ("/moved-folder/", "301 /".to_owned()),
            ("/moved-folder", "302 /moved-folder/".to_owned()),
        ] {
            assert_eq!(told(&visit(door, "GET", target).await), expected, "{name} {target}");
            let head = visit(door, "HEAD", target).await;
            assert_eq!(head.text(), "", "{name} {target}");
            assert!(expected.starts_with(&head.status.to_string()), "{name} {target}: {}", head.status);
        }
        let moved = visit(door, "GET", "/moved").await;
        assert_eq!((moved.header("content-length"), moved.text()), ("0", String::new()), "{name}");
    }
    // At the other endpoints it is an object like any other.
    let kept = site.owner.get("site", "moved").await.ok();
    assert_eq!(kept.header("x-amz-website-redirect-location"), "/new/place?a=b#c");
    let refused =
        Request::new("PUT", "/site/bad").header("x-amz-website-redirect-location", "javascript:alert(1)");
    assert_eq!(site.owner.send(refused).await.refusal(), (400, "InvalidRedirectLocation".to_owned()));

    site.permit(&[]).await;
    for (name, door) in &site.doors {
        assert_eq!(told(&visit(door, "GET", "/a?b").await), "307 https://login.example.com/in?b", "{name}");
        // What sends visitors on must be theirs to read; a rule is for everybody.
        assert_eq!(told(&visit(door, "GET", "/moved").await), "307 https://login.example.com/in", "{name}");
        assert_eq!(told(&visit(door, "GET", "/old/a").await), format!("301 {here}/new/a"), "{name}");
    }

    site.configure("<RedirectAllRequestsTo><HostName>www.example.com</HostName></RedirectAllRequestsTo>")
        .await;
    for (name, door) in &site.doors {
        for (target, expected) in [
            ("/", "301 http://www.example.com/"),
            ("/a/b%20c/?d=e", "301 http://www.example.com/a/b%20c/?d=e"),
        ] {
            assert_eq!(told(&visit(door, "GET", target).await), expected, "{name} {target}");
        }
        assert_eq!(visit(door, "POST", "/").await.status, 405, "{name}");
    }
}

/// Redirects keep the protocol that a visitor came by, also where another node passes the request on.
#[tokio::test]
async fn redirects_keep_to_https() {
    let to = "<RedirectAllRequestsTo><HostName>www.example.com</HostName></RedirectAllRequestsTo>";
    let site = Site::start_with(Options::default().tls(), to, &[]).await;
    for (name, door) in &site.doors {
        assert_eq!(told(&visit(door, "GET", "/a").await), "301 https://www.example.com/a", "{name}");
    }
}

#[tokio::test]
async fn visitors_read_and_do_nothing_else() {
    let site = Site::start(INDEX, &["*"]).await;
    site.put("index.html", "the start", &[]).await;
    for (name, door) in &site.doors {
        for method in ["PUT", "POST", "DELETE", "PATCH"] {
            for target in ["/", "/index.html", "/new", "/?website", "/index.html?tagging", "/?delete"] {
                let request = Request::new(method, target).body("body");
                let refused = visit_with(door, request).await;
                assert_eq!(refused.element("h1"), "405 Method Not Allowed", "{name} {method} {target}");
                let said = items(&refused);
                assert!(
                    said.contains(&"Code: MethodNotAllowed".to_owned())
                        && said.contains(&format!("Method: {method}"))
                        && said.contains(&"ResourceType: OBJECT".to_owned()),
                    "{name} {method} {target}: {said:?}"
                );
                assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS", "{name} {method} {target}");
            }
            let signed = door.send(Request::new(method, "/index.html").body("body")).await;
            assert_eq!(signed.status, 405, "{name} {method}");
        }
        assert_eq!(told(&visit(door, "GET", "/").await), "200 the start", "{name}");
        assert_eq!(visit(door, "GET", "/new").await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn nothing_of_a_request_becomes_markup_or_a_header() {
    let rule = "<RoutingRules><RoutingRule><Condition><KeyPrefixEquals>go/</KeyPrefixEquals></Condition>\
        <Redirect><HostName>example.com</HostName></Redirect></RoutingRule></RoutingRules>";
    let site = Site::start(&format!("{INDEX}{rule}"), &["GetObject", "ListBucket"]).await;
    site.put("/example.com/index.html", "ours", &[]).await;
    for (name, door) in site.two_doors() {
        let page = visit(door, "GET", "/%3Cscript%3Ealert(%221%22)%3C/script%3E&amp;").await;
        let text = page.text();
        assert!(
            text.contains("<li>Key: &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;</li>"),
            "{name}: {text}"
        );
        let page = visit(door, "GET", "/a%0D%0ASet-Cookie:%20b").await;
        assert_eq!((page.status, page.header("set-cookie")), (404, ""), "{name}");
        let gone = visit(door, "GET", "/go/%0D%0ASet-Cookie:%20b").await;
        assert_eq!(told(&gone), "301 http://example.com/go/%0D%0ASet-Cookie:%20b", "{name}");
        assert_eq!(gone.header("set-cookie"), "", "{name}");
        // Two slashes would lead to another host.
        assert_eq!(told(&visit(door, "GET", "/%2Fexample.com").await), "302 /%2Fexample.com/", "{name}");
        assert_eq!(told(&visit(door, "GET", "/%2Fexample.com/").await), "200 ours", "{name}");
    }
}

#[tokio::test]
async fn keys_of_any_text_are_pages() {
    let site = Site::start(INDEX, &["GetObject"]).await;
    let keys = [
        "a%20b",
        "a%2Bb",
        "%C3%A9/%E6%97%A5",
        "a%3Fb",
        "a%23b",
        "a%25b",
        "a%26b%3Dc",
        "a//b",
        "%00",
        "%22%27",
    ];
    for key in keys {
        site.put(key, key, &[]).await;
        site.put(&format!("{key}/folder/index.html"), &format!("in {key}"), &[]).await;
    }
    for (name, door) in site.two_doors() {
        for key in keys {
            assert_eq!(
                told(&visit(door, "GET", &format!("/{key}")).await),
                format!("200 {key}"),
                "{name} {key}"
            );
            let folder = visit(door, "GET", &format!("/{key}/folder")).await;
            let again = visit(door, "GET", folder.header("location")).await;
            assert_eq!((folder.status, told(&again)), (302, format!("200 in {key}")), "{name} {key}");
        }
    }
}

#[tokio::test]
async fn a_bucket_is_a_website_from_when_it_is_put_until_it_is_deleted() {
    let site = Site::start(INDEX, &["GetObject", "ListBucket"]).await;
    site.put("index.html", "the start", &[]).await;
    site.put("home.html", "home", &[]).await;
    site.owner.create_bucket("plain").await;
    for (name, door) in &site.doors {
        let plain = visit(&door.under(host("plain")), "GET", "/").await;
        let said = [
            "Code: NoSuchWebsiteConfiguration",
            "Message: The specified bucket does not have a website configuration",
            "BucketName: plain",
        ];
        assert_eq!(
            (plain.element("h1"), items(&plain)),
            ("404 Not Found".to_owned(), said.map(str::to_owned).to_vec()),
            "{name}"
        );
        let missing = visit(&door.under(host("missing")), "GET", "/").await;
        let said =
            ["Code: NoSuchBucket", "Message: The specified bucket does not exist", "BucketName: missing"];
        assert_eq!(
            (missing.element("h1"), items(&missing)),
            ("404 Not Found".to_owned(), said.map(str::to_owned).to_vec()),
            "{name}"
        );
        let none = visit(&door.under(format!("website.ord1.{DOMAIN}")), "GET", "/site/index.html").await;
        assert_eq!(
            (none.element("h1"), none.header("x-amz-error-code")),
            ("404 Not Found".to_owned(), "NoSuchBucket"),
            "{name}"
        );
        let elsewhere = visit(&door.under(format!("site.website.las1.{DOMAIN}")), "GET", "/").await;
        assert_eq!(
            elsewhere.header("x-amz-error-code"),
            "NoSuchBucket",
            "{name}: names are each region's own"
        );
        // What is not admitted is told to a visitor by a page too.
        let malformed = visit(door, "GET", "/%ff").await;
        assert_eq!(
            (malformed.element("h1"), items(&malformed)[0].as_str()),
            ("400 Bad Request".to_owned(), "Code: InvalidURI"),
            "{name}"
        );
    }
    for round in ["first", "second"] {
        for (name, door) in &site.doors {
            assert_eq!(told(&visit(door, "GET", "/").await), "200 the start", "{name} {round}");
        }
        site.configure("<IndexDocument><Suffix>home.html</Suffix></IndexDocument>").await;
        for (name, door) in &site.doors {
            assert_eq!(told(&visit(door, "GET", "/").await), "200 home", "{name} {round}");
        }
        let _ = site.owner.send(Request::new("DELETE", "/site?website")).await.ok();
        for (name, door) in &site.doors {
            let gone = visit(door, "GET", "/").await;
            assert_eq!(gone.header("x-amz-error-code"), "NoSuchWebsiteConfiguration", "{name} {round}");
        }
        let shown = site.owner.send(Request::new("GET", "/site?website")).await;
        assert_eq!(shown.refusal(), (404, "NoSuchWebsiteConfiguration".to_owned()));
        site.configure(INDEX).await;
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_use_a_website_as_its_rules_say() {
    let site = Site::start(INDEX, &["GetObject", "ListBucket"]).await;
    site.put("index.html", "the start", &[]).await;
    let rules = "<CORSConfiguration><CORSRule><AllowedOrigin>https://a.example</AllowedOrigin>\
        <AllowedMethod>GET</AllowedMethod><AllowedHeader>range</AllowedHeader></CORSRule></CORSConfiguration>";
    let _ = site.owner.send(Request::new("PUT", "/site?cors").body(rules)).await.ok();
    for (name, door) in &site.doors {
        for (target, status) in [("/", 200), ("/missing", 404)] {
            let page =
                visit_with(door, Request::new("GET", target).header("origin", "https://a.example")).await;
            let said = (page.status, page.header("access-control-allow-origin"));
            assert_eq!(said, (status, "https://a.example"), "{name} {target}");
        }
        let asked = |method: &str| {
            let question = Request::new("OPTIONS", "/index.html").header("origin", "https://a.example");
            question
                .header("access-control-request-method", method)
                .header("access-control-request-headers", "range")
        };
        let allowed = visit_with(door, asked("GET")).await;
        assert_eq!(
            (allowed.status, allowed.header("access-control-allow-headers")),
            (200, "range"),
            "{name}"
        );
        let refused = visit_with(door, asked("PUT")).await;
        assert_eq!(refused.element("h1"), "403 Forbidden", "{name}");
    }
}

/// Visitors are counted and logged as everybody is, at an endpoint of their own.
#[tokio::test]
async fn visits_are_counted_and_logged() {
    let site = Site::start(INDEX, &["GetObject"]).await;
    site.put("index.html", "the start", &[]).await;
    let (_, door) = &site.doors[0];
    let page = visit(door, "GET", "/").await.ok();
    assert_eq!(visit(door, "GET", "/missing").await.status, 403);
    assert_eq!(visit(door, "POST", "/").await.status, 405);
    let scrape = site.cluster.settled("ord1").await;
    let count = |status| {
        scrape
            .sum("penstock_requests_total", &[("endpoint", "website"), ("node", "ord1"), ("status", status)])
    };
    assert_eq!([count("200"), count("403"), count("405")], [1.0, 1.0, 1.0]);
    let lines = site.cluster.process("ord1").log_lines(&[page.header("x-amz-request-id")], 1).await;
    assert!(lines[0].contains("website") && lines[0].contains("GetObject"), "{lines:?}");
}
