use s3s::S3Result;
use s3s::dto::{
    Condition, ErrorDocument, GetBucketWebsiteOutput, IndexDocument, Protocol as ProtocolName, Redirect,
    RedirectAllRequestsTo, RoutingRule, WebsiteConfiguration,
};

use super::*;

fn some(text: &str) -> Option<String> {
    (text != "-").then(|| text.to_owned())
}

/// A configuration with these rules and an index.
fn with_rules(rules: Vec<RoutingRule>) -> WebsiteConfiguration {
    WebsiteConfiguration {
        index_document: Some(IndexDocument { suffix: "index.html".to_owned() }),
        routing_rules: Some(rules),
        ..WebsiteConfiguration::default()
    }
}

/// A rule from `prefix error -> protocol host whole-key new-prefix code`, `-` for what is not given.
fn rule(text: &str) -> RoutingRule {
    let (condition, redirect) = text.split_once(" -> ").expect("a condition and a redirect");
    let words = |text: &str| text.split(' ').map(some).collect::<Vec<_>>();
    let [prefix, code]: [Option<String>; 2] = words(condition).try_into().expect("two");
    let [protocol, host_name, replace_key_with, replace_key_prefix_with, http_redirect_code]: [Option<String>;
        5] = words(redirect).try_into().expect("five");
    let condition = Condition { http_error_code_returned_equals: code, key_prefix_equals: prefix };
    RoutingRule {
        condition: (condition != Condition::default()).then_some(condition),
        redirect: Redirect {
            host_name,
            http_redirect_code,
            protocol: protocol.map(ProtocolName::from),
            replace_key_prefix_with,
            replace_key_with,
        },
    }
}

fn elsewhere(host: &str, protocol: Option<&'static str>) -> WebsiteConfiguration {
    let protocol = protocol.map(ProtocolName::from_static);
    WebsiteConfiguration {
        redirect_all_requests_to: Some(RedirectAllRequestsTo { host_name: host.to_owned(), protocol }),
        ..WebsiteConfiguration::default()
    }
}

fn pages(rules: &[&str]) -> Pages {
    match Website::read(with_rules(rules.iter().map(|text| rule(text)).collect())) {
        Ok(Website::Pages(pages)) => pages,
        other => panic!("{other:?}"),
    }
}

fn visit<'a>(key: &'a str, query: &'a str) -> Visit<'a> {
    Visit { is_tls: false, host: "b.website.ord1.example:9000", key, query: query.as_bytes() }
}

fn told(redirection: Option<Redirection>) -> String {
    match redirection {
        None => "stays".to_owned(),
        Some(Redirection { status, location }) => {
            format!("{} {}", status.as_u16(), location.to_str().expect("visible characters"))
        }
    }
}

fn refusal(read: S3Result<Website>) -> Option<String> {
    read.err().map(|refused| refused.code().as_str().to_owned())
}

#[test]
fn a_path_stands_for_an_object_or_for_a_folders_index() {
    let pages = pages(&["x - -> - example.com - - -"]);
    for (key, object, folder) in [
        ("", "index.html", None),
        ("a/", "a/index.html", None),
        ("/", "/index.html", None),
        ("a//", "a//index.html", None),
        ("a", "a", Some(("a/index.html", "/a/"))),
        ("a/b c", "a/b c", Some(("a/b c/index.html", "/a/b%20c/"))),
        ("é?#%", "é?#%", Some(("é?#%/index.html", "/%C3%A9%3F%23%25/"))),
        // A browser would take two slashes for the start of another host's URL, and a backslash for a slash.
        ("/example.com", "/example.com", Some(("/example.com/index.html", "/%2Fexample.com/"))),
        ("//example.com", "//example.com", Some(("//example.com/index.html", "/%2F/example.com/"))),
        ("\\example.com", "\\example.com", Some(("\\example.com/index.html", "/%5Cexample.com/"))),
        ("a\r\nb: c", "a\r\nb: c", Some(("a\r\nb: c/index.html", "/a%0D%0Ab:%20c/"))),
    ] {
        assert_eq!(pages.object_key(key), object, "{key:?}");
        let found = pages.folder(key);
        let found = found.as_ref().map(|folder| {
            assert_eq!(folder.redirection.status, StatusCode::FOUND);
            (folder.index_key.as_str(), folder.redirection.location.to_str().expect("visible characters"))
        });
        assert_eq!(found, folder, "{key:?}");
    }
}

#[test]
fn rules_send_on_what_their_conditions_hold_for() {
    const HERE: &str = "http://b.website.ord1.example:9000";
    for (text, key, before, after_404) in [
        // Every request.
        ("- - -> - example.com - - -", "a/b", "301 http://example.com/a/b", "stays"),
        ("- - -> https - - - 302", "", "302 https://b.website.ord1.example:9000/", "stays"),
        // By prefix.
        ("docs/ - -> - - - documents/ -", "docs/a", "301 HERE/documents/a", "stays"),
        ("docs/ - -> - - - documents/ -", "docs/", "301 HERE/documents/", "stays"),
        ("docs/ - -> - - - documents/ -", "docs", "stays", "stays"),
        ("docs/ - -> - - - documents/ -", "a/docs/", "stays", "stays"),
        ("docs/ - -> - - -  -", "docs/a", "301 HERE/a", "stays"),
        ("images/ - -> - - gone.html - 307", "images/a/b", "307 HERE/gone.html", "stays"),
        // By error, and by both.
        ("- 404 -> - example.com - report-404/ -", "a b", "stays", "301 http://example.com/report-404/a%20b"),
        ("- 403 -> - example.com - - -", "a", "stays", "stays"),
        ("a/ 404 -> https example.com - - 308", "a/b", "stays", "308 https://example.com/a/b"),
        ("a/ 404 -> https example.com - - 308", "b/a/", "stays", "stays"),
        // What is written for a URL stays as it is written; what comes from a key is encoded.
        ("- 404 -> - - - #!/ -", "a?b#c", "stays", "301 HERE/#!/a%3Fb%23c"),
        (
            "- 404 -> - api.example.com - prod/resize?key= 307",
            "a/1x1",
            "stays",
            "307 http://api.example.com/prod/resize?key=a/1x1",
        ),
        ("- - -> - - %7Ea?b=%20 - -", "x", "301 HERE/%7Ea?b=%20", "stays"),
        ("- - -> - h\r\nX:1 a\u{0}\u{e9} - -", "x", "301 http://h%0D%0AX:1/a%00%C3%A9", "stays"),
        (
            "- - -> - example.com - - -",
            "a\r\nSet-Cookie: b",
            "301 http://example.com/a%0D%0ASet-Cookie:%20b",
            "stays",
        ),
    ] {
        let pages = pages(&[text]);
        let here = |text: &str| text.replace("HERE", HERE);
        assert_eq!(told(pages.redirect_before(&visit(key, ""))), here(before), "{text} {key:?}");
        let after = pages.redirect_after(&visit(key, ""), StatusCode::NOT_FOUND);
        assert_eq!(told(after), here(after_404), "{text} {key:?}");
    }
}

#[test]
fn the_first_rule_that_holds_counts() {
    let pages = pages(&[
        "a/ 404 -> - one.example - - -",
        "a/b/ - -> - two.example - - -",
        "a/ - -> - three.example - - -",
        "- 404 -> - four.example - - -",
    ]);
    for (key, before, after) in [
        ("a/b/c", "301 http://two.example/a/b/c", "301 http://one.example/a/b/c"),
        ("a/c", "301 http://three.example/a/c", "301 http://one.example/a/c"),
        ("b", "stays", "301 http://four.example/b"),
    ] {
        assert_eq!(told(pages.redirect_before(&visit(key, ""))), before, "{key}");
        assert_eq!(told(pages.redirect_after(&visit(key, ""), StatusCode::NOT_FOUND)), after, "{key}");
        assert_eq!(told(pages.redirect_after(&visit(key, ""), StatusCode::FORBIDDEN)), "stays", "{key}");
    }
}

#[test]
fn a_redirect_takes_the_query_and_the_protocol_along() {
    let everywhere = Website::read(elsewhere("example.com/start", None)).expect("another host");
    let Website::Elsewhere(everywhere) = everywhere else { panic!("{everywhere:?}") };
    let with_query = visit("a b", "c=%20&d=é");
    assert_eq!(
        told(Some(everywhere.redirection(&with_query))),
        "301 http://example.com/start/a%20b?c=%20&d=%C3%A9"
    );
    let over_tls = Visit { is_tls: true, ..visit("", "") };
    assert_eq!(told(Some(everywhere.redirection(&over_tls))), "301 https://example.com/start/");

    let of_rule = pages(&["- - -> - - - new?key= -"]).redirect_before(&with_query);
    assert_eq!(told(of_rule), "301 http://b.website.ord1.example:9000/new?key=a%20b&c=%20&d=%C3%A9");
    assert_eq!(told(Some(Redirection::of_object("/other page"))), "301 /other%20page");
}

#[test]
fn configurations_are_shown_as_they_were_put() {
    let mut whole = with_rules(vec![
        rule("docs/ 404 -> https example.com - documents/ 302"),
        rule("- - -> - - other.html - -"),
        rule("a - -> http - - - -"),
        rule("- 503 -> - - -  -"),
    ]);
    whole.error_document = Some(ErrorDocument { key: "error.html".to_owned() });
    let bare = WebsiteConfiguration { routing_rules: None, ..with_rules(vec![]) };
    for put in [whole, bare, elsewhere("example.com", None), elsewhere("example.com", Some("https"))] {
        let shown = Website::read(put.clone()).expect("a configuration").shown();
        let GetBucketWebsiteOutput {
            error_document,
            index_document,
            redirect_all_requests_to,
            routing_rules,
        } = shown;
        let shown =
            WebsiteConfiguration { error_document, index_document, redirect_all_requests_to, routing_rules };
        assert_eq!(shown, put);
    }
}

#[test]
fn configurations_that_are_not_understood_are_refused() {
    let good = || with_rules(vec![rule("a - -> - example.com - - -")]);
    assert_eq!(refusal(Website::read(good())), None);
    let nothing = WebsiteConfiguration::default();
    assert_eq!(refusal(Website::read(nothing)).as_deref(), Some("InvalidArgument"));
    for suffix in ["", "/", "a/index.html", "index.html/"] {
        let index_document = Some(IndexDocument { suffix: suffix.to_owned() });
        let read = Website::read(WebsiteConfiguration { index_document, ..good() });
        assert_eq!(refusal(read).as_deref(), Some("InvalidArgument"), "{suffix}");
    }
    let error_document = Some(ErrorDocument { key: String::new() });
    let read = Website::read(WebsiteConfiguration { error_document, ..good() });
    assert_eq!(refusal(read).as_deref(), Some("MalformedXML"));

    let to = |host: &str, protocol| elsewhere(host, protocol).redirect_all_requests_to;
    for (configuration, expected) in [
        (elsewhere("", None), "InvalidArgument"),
        (elsewhere("example.com", Some("ftp")), "InvalidRequest"),
        (
            WebsiteConfiguration { redirect_all_requests_to: to("example.com", None), ..good() },
            "InvalidArgument",
        ),
        (
            WebsiteConfiguration {
                error_document: Some(ErrorDocument { key: "e".to_owned() }),
                ..elsewhere("example.com", None)
            },
            "InvalidArgument",
        ),
    ] {
        assert_eq!(
            refusal(Website::read(configuration.clone())).as_deref(),
            Some(expected),
            "{configuration:?}"
        );
    }
}

#[test]
fn rules_that_are_not_understood_are_refused() {
    for (text, expected) in [
        ("- - -> - - - - 301", None),
        ("- - -> - - - - -", Some("MalformedXML")),
        ("a - -> - - - - -", Some("MalformedXML")),
        ("- - -> - - a b -", Some("InvalidRequest")),
        ("- - -> ftp - - - -", Some("InvalidRequest")),
        ("- - -> HTTP - - - -", Some("InvalidRequest")),
        ("- - -> - - - - 300", Some("InvalidRequest")),
        // S3 takes it, though it sends nobody anywhere: what a site's owner wrote is answered.
        ("- - -> - - - - 304", None),
        ("- - -> - - - - 305", None),
        ("- - -> - - - - 306", Some("InvalidRequest")),
        ("- - -> - - - - 308", None),
        ("- - -> - - - - 309", Some("InvalidRequest")),
        ("- - -> - - - - 200", Some("InvalidRequest")),
        ("- - -> - - - - 3xx", Some("MalformedXML")),
        ("- - -> - - - - 70000", Some("MalformedXML")),
        ("- 399 -> - h - - -", Some("InvalidRequest")),
        ("- 400 -> - h - - -", None),
        ("- 417 -> - h - - -", None),
        ("- 418 -> - h - - -", Some("InvalidRequest")),
        ("- 500 -> - h - - -", None),
        ("- 505 -> - h - - -", None),
        ("- 506 -> - h - - -", Some("InvalidRequest")),
        ("- 4xx -> - h - - -", Some("MalformedXML")),
    ] {
        assert_eq!(refusal(Website::read(with_rules(vec![rule(text)]))).as_deref(), expected, "{text}");
    }
    let empty = RoutingRule { condition: Some(Condition::default()), ..rule("- - -> - h - - -") };
    assert_eq!(refusal(Website::read(with_rules(vec![empty]))).as_deref(), Some("InvalidRequest"));
    let hostless = "- - -> -  - - -";
    assert_eq!(refusal(Website::read(with_rules(vec![rule(hostless)]))).as_deref(), Some("MalformedXML"));
}

#[test]
fn a_configuration_has_fifty_rules_and_128_kib_at_most() {
    let rules = |count: usize| with_rules(vec![rule("a - -> - example.com - - -"); count]);
    for (count, expected) in [(0, Some("MalformedXML")), (1, None), (50, None), (51, Some("InvalidRequest"))]
    {
        assert_eq!(refusal(Website::read(rules(count))).as_deref(), expected, "{count}");
    }
    let large = |bytes: usize| {
        let mut large = rule("- - -> - - - - 301");
        large.redirect.host_name = Some("h".repeat(bytes));
        with_rules(vec![large])
    };
    let fits = 128 * 1024 - "index.html".len();
    assert_eq!(refusal(Website::read(large(fits))), None);
    assert_eq!(refusal(Website::read(large(fits + 1))).as_deref(), Some("MaxMessageLengthExceeded"));
}
