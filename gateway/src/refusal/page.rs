//! The HTML page that tells a website's visitor of a refusal, as S3 makes it.
//!
//! What a document says in elements a page says in a list, and in `x-amz-error-…` headers, which go with a site's own
//! error page too. Whatever came from the request is text in it, never markup.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use super::document::{begin, push_text};
use super::{Document, Refusal, Subject};

impl Refusal {
    /// What sends a visitor from a folder's name to the folder, which is a refusal in form only.
    #[must_use]
    pub fn found(location: HeaderValue) -> Self {
        let mut found = S3Error::with_message(S3ErrorCode::Custom("Found".into()), "Resource Found");
        found.set_status_code(StatusCode::FOUND);
        Self::from(found).with_header(LOCATION, location)
    }

    /// The same refusal, of which the site's own page should have told: that was `refused` itself.
    #[must_use]
    pub fn without_own_page(mut self, refused: Self) -> Self {
        self.extra.own_page = Some(refused);
        self
    }

    /// The response that tells a website's visitor of this refusal.
    #[must_use]
    pub fn page(&self, subject: Subject<'_>) -> Document {
        let status = self.status();
        let mut headers = begin(&self.extra.headers, &subject);
        if status == StatusCode::NOT_MODIFIED {
            return Document { status, headers, body: Bytes::new() };
        }
        headers.extend(self.error_headers());
        if subject.method == Method::HEAD {
            return Document { status, headers, body: Bytes::new() };
        }
        let body = self.html(&subject);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        Document { status, headers, body: body.into() }
    }

    /// The code, the message and the details, as far as headers can hold them.
    #[must_use]
    pub fn error_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut say = |name: &str, value: &str| {
            let name = HeaderName::try_from(format!("x-amz-error-{name}"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        say("code", self.code().as_str());
        say("message", self.message());
        for (element, text) in &self.extra.elements {
            say(&format!("detail-{element}"), text);
        }
        headers
    }

    fn html(&self, subject: &Subject<'_>) -> String {
        let status = self.status();
        let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let mut html =
            format!("<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n");
        self.push_items(&mut html);
        push_item(&mut html, "RequestId", subject.request_id);
        push_item(&mut html, "HostId", subject.host_id);
        html.push_str("</ul>\n");
        if let Some(refused) = &self.extra.own_page {
            html.push_str(
                "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n",
            );
            refused.push_items(&mut html);
            html.push_str("</ul>\n");
        }
        html.push_str("<hr/>\n</body>\n</html>\n");
        html
    }

    fn push_items(&self, html: &mut String) {
        push_item(html, "Code", self.code().as_str());
        push_item(html, "Message", self.message());
        for (element, text) in &self.extra.elements {
            push_item(html, element, text);
        }
    }
}

fn push_item(html: &mut String, name: &str, text: &str) {
    html.push_str("<li>");
    html.push_str(name);
    html.push_str(": ");
    push_text(html, text);
    html.push_str("</li>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> =
        Subject { method: &Method::GET, resource: "/a", request_id: "4442587FB7D0A2F9", host_id: "ord1" };

    fn text(refusal: &Refusal) -> String {
        String::from_utf8(refusal.page(SUBJECT).body.to_vec()).expect("text")
    }

    #[test]
    fn a_page_has_all_that_s3_s_has() {
        let refusal = Refusal::from(S3ErrorCode::NoSuchKey).with_detail("Key", "a/index.html");
        assert_eq!(
            text(&refusal),
            "<html>\n<head><title>404 Not Found</title></head>\n<body>\n<h1>404 Not Found</h1>\n<ul>\n\
             <li>Code: NoSuchKey</li>\n<li>Message: The specified key does not exist.</li>\n\
             <li>Key: a/index.html</li>\n<li>RequestId: 4442587FB7D0A2F9</li>\n<li>HostId: ord1</li>\n\
             </ul>\n<hr/>\n</body>\n</html>\n"
        );
        let page = refusal.page(SUBJECT);
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("content-length", &*page.body.len().to_string()),
            ("x-amz-request-id", "4442587FB7D0A2F9"),
            ("x-amz-id-2", "ord1"),
            ("x-amz-error-code", "NoSuchKey"),
            ("x-amz-error-message", "The specified key does not exist."),
            ("x-amz-error-detail-key", "a/index.html"),
        ] {
            assert_eq!(page.headers[name], value, "{name}");
        }
    }

    #[test]
    fn nothing_of_a_request_is_markup_or_a_header_of_its_own() {
        let key = "</li><script>alert(\"1\" & '2')</script>\r\nset-cookie: a\0é";
        let refusal = Refusal::from(S3ErrorCode::NoSuchKey).with_detail("Key", key);
        assert!(
            text(&refusal).contains(
                "<li>Key: &lt;/li&gt;&lt;script&gt;alert(&quot;1&quot; &amp; '2')&lt;/script&gt;\u{fffd}\nset-cookie: a\u{fffd}é</li>"
            ),
            "{}",
            text(&refusal)
        );
        let headers = refusal.page(SUBJECT).headers;
        assert!(!headers.contains_key("set-cookie") && !headers.contains_key("x-amz-error-detail-key"));
    }

    #[test]
    fn a_page_tells_of_the_sites_own_page_too() {
        let own = Refusal::from(S3ErrorCode::NoSuchKey).with_detail("Key", "error.html");
        let page = text(&Refusal::from(S3ErrorCode::AccessDenied).without_own_page(own));
        let (before, after) = page.split_once("<h3>").expect("two lists");
        assert!(before.contains("<h1>403 Forbidden</h1>") && before.contains("<li>Code: AccessDenied</li>"));
        assert!(
            after.starts_with("An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>")
        );
        assert!(after.contains("<li>Code: NoSuchKey</li>") && after.contains("<li>Key: error.html</li>"));
    }

    #[test]
    fn answers_to_head_and_304_have_no_body() {
        let head = Subject { method: &Method::HEAD, ..SUBJECT };
        let missing = Refusal::from(S3ErrorCode::NoSuchKey).page(head);
        assert_eq!((missing.status, missing.body.len()), (StatusCode::NOT_FOUND, 0));
        assert_eq!(missing.headers["x-amz-error-code"], "NoSuchKey");
        let not_modified = Refusal::from(S3ErrorCode::NotModified).page(SUBJECT);
        assert_eq!((not_modified.status, not_modified.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert!(!not_modified.headers.contains_key("x-amz-error-code"));
        for page in [missing, not_modified] {
            assert!(!page.headers.contains_key(CONTENT_TYPE) && !page.headers.contains_key(CONTENT_LENGTH));
            assert!(page.headers.contains_key("x-amz-request-id"));
        }
    }

    #[test]
    fn a_folder_is_found() {
        let page = Refusal::found(HeaderValue::from_static("/a/")).page(SUBJECT);
        assert_eq!(
            (page.status, &page.headers[LOCATION]),
            (StatusCode::FOUND, &HeaderValue::from_static("/a/"))
        );
        assert!(page.body.starts_with(b"<html>\n<head><title>302 Found</title></head>"));
    }
}
