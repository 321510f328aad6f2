//! The four ways of saying yes.

use super::*;
use crate::target::tests::form_to;

fn answer(fields: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let form = Form::of(fields.iter().map(owned).collect(), None).expect("each field once");
    let put = form_to("photos").put_by_form(b"/photos/a%20%26b", &HeaderMap::new()).expect("a key");
    let stored =
        [(ETAG, HeaderValue::from_static("\"e1\"")), (CONTENT_LENGTH, HeaderValue::from_static("0"))];
    let (status, headers, body) = told(&form, &put, "http://h:1/photos", HeaderMap::from_iter(stored));
    (status.as_u16(), headers, String::from_utf8(body.into()).expect("text"))
}

#[test]
fn a_browser_is_told_what_the_form_says() {
    for (fields, expected) in [
        (&[][..], 204),
        (&[("success_action_status", "204")], 204),
        (&[("success_action_status", "404")], 204),
        (&[("success_action_status", "200")], 200),
        (&[("success_action_status", "201")], 201),
        (&[("success_action_status", "201"), ("success_action_redirect", "not a url")], 201),
        (&[("success_action_status", "201"), ("success_action_redirect", "javascript:alert(1)")], 201),
        (&[("success_action_status", "201"), ("success_action_redirect", "http://h/x")], 303),
        (&[("redirect", "http://h/x")], 303),
    ] {
        let (status, headers, body) = answer(fields);
        assert_eq!(status, expected, "{fields:?}");
        assert_eq!(body.is_empty(), status != 201, "{fields:?}");
        assert_eq!(headers[ETAG], "\"e1\"");
        if status != 303 {
            assert_eq!(headers[LOCATION], "http://h:1/photos/a%20%26b", "{fields:?}");
        }
    }
    let (_, _, document) = answer(&[("success_action_status", "201")]);
    let expected = "<PostResponse><Location>http://h:1/photos/a%20%26b</Location><Bucket>photos</Bucket>\
                    <Key>a &amp;b</Key><ETag>&quot;e1&quot;</ETag></PostResponse>";
    assert!(document.ends_with(expected), "{document}");
}

#[test]
fn a_redirect_tells_what_was_stored() {
    let told = "bucket=photos&key=a%20%26b&etag=%22e1%22";
    for (url, separator) in [("http://h/x", '?'), ("https://h:8/", '?'), ("http://h/x?a=b", '&')] {
        let (_, headers, _) = answer(&[("success_action_redirect", url)]);
        assert_eq!(headers[LOCATION], format!("{url}{separator}{told}"));
    }
    assert_eq!(answer(&[("success_action_redirect", "http://h/x#part")]).0, 204);
}
