//! The S3 error document: written in one shape for every refusal, and read back when s3s wrote it.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use super::Refusal;

/// Most of a request's path that its document repeats: a key and a bucket's name, escaped, with room to spare.
const RESOURCE_BYTES_MAX: usize = 4 << 10;

/// The request that a document answers.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The request's method: an answer to HEAD has no body.
    pub method: &'a Method,
    /// The path as the client sent it, without the query (which may hold a signature). Its first 4 KiB are told.
    pub resource: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// Where the request was served: a region's name, never a machine's.
    pub host_id: &'a str,
}

/// An error response, ready to be written.
#[derive(Debug)]
pub struct Document {
    /// The status line's code.
    pub status: StatusCode,
    /// Headers, with Content-Length when there may be a body.
    pub headers: HeaderMap,
    /// The XML; empty in answer to HEAD and with 304.
    pub body: Bytes,
}

impl Refusal {
    /// The response that tells a client of this refusal.
    #[must_use]
    pub fn document(&self, subject: Subject<'_>) -> Document {
        let status = self.status();
        let mut headers = begin(&self.extra.headers, &subject);
        if subject.method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
            return Document { status, headers, body: Bytes::new() };
        }
        let body = self.xml(subject);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        Document { status, headers, body: body.into() }
    }

    fn xml(&self, subject: Subject<'_>) -> String {
        let mut xml = String::with_capacity(384);
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        push_element(&mut xml, "Code", self.code().as_str());
        push_element(&mut xml, "Message", self.message());
        for (element, text) in &self.extra.elements {
            push_element(&mut xml, element, text);
        }
        if let Some(size) = self.object_size() {
            push_element(&mut xml, "ActualObjectSize", size);
        }
        let resource = &subject.resource[..subject.resource.floor_char_boundary(RESOURCE_BYTES_MAX)];
        push_element(&mut xml, "Resource", resource);
        push_element(&mut xml, "RequestId", subject.request_id);
        push_element(&mut xml, "HostId", subject.host_id);
        xml.push_str("</Error>");
        xml
    }

    /// How long the object is, of a range outside it. The clients of the common runtime, Mountpoint's and PyTorch's connector's
    /// among them, begin every read with a range, and look in the document whether the object is empty.
    fn object_size(&self) -> Option<&str> {
        let range =
            self.extra.headers.get(CONTENT_RANGE).filter(|_| *self.code() == S3ErrorCode::InvalidRange)?;
        range.to_str().ok()?.strip_prefix("bytes */")
    }
}

/// The headers of an answer without a body: `extra`, and what names the answer.
pub(super) fn begin(extra: &HeaderMap, subject: &Subject<'_>) -> HeaderMap {
    let mut headers = extra.clone();
    headers.remove(CONTENT_TYPE);
    set(&mut headers, "x-amz-request-id", subject.request_id);
    set(&mut headers, "x-amz-id-2", subject.host_id);
    headers
}

/// The refusal in an error document that s3s wrote, with `status` and `headers` of its response; `None` for any other
/// body. Elements beside Code and Message are kept, those that [`Refusal::document`] writes itself are not.
#[must_use]
pub fn read_document(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
    let xml = str::from_utf8(body).ok()?.trim();
    let start = xml.find("<Error>")? + "<Error>".len();
    let mut rest = xml[start..].strip_suffix("</Error>")?;
    let (mut code, mut message, mut details) = (None, None, Vec::new());
    while !rest.is_empty() {
        let (element, text, after) = next_element(rest)?;
        match element {
            "Code" => code = Some(S3ErrorCode::from_bytes(text.as_bytes())?),
            "Message" => message = Some(text),
            "Resource" | "RequestId" | "HostId" => {}
            _ => details.push((element.to_owned(), text)),
        }
        rest = after;
    }
    let mut error = S3Error::new(code?);
    if let Some(message) = message {
        error.set_message(message);
    }
    error.set_status_code(status);
    let mut refusal = details
        .into_iter()
        .fold(Refusal::from(error), |refusal, (element, text)| refusal.with_detail(element, text));
    refusal.extra.headers = headers.clone();
    Some(refusal)
}

/// `<name>text</name>` at the start of `xml`: name, unescaped text, and what follows. Only the flat shape that s3s
/// writes: no attributes, no nesting.
fn next_element(xml: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = xml.strip_prefix('<')?.split_once('>')?;
    let (text, rest) = rest.split_once("</")?;
    let after = rest.strip_prefix(name)?.strip_prefix('>')?;
    (!text.contains('<')).then(|| (name, unescape(text), after))
}

fn push_element(xml: &mut String, name: &str, text: &str) {
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
    push_text(xml, text);
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

/// Writes `text` so that nothing of it is markup, in XML or in HTML.
pub(super) fn push_text(markup: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => markup.push_str("&amp;"),
            '<' => markup.push_str("&lt;"),
            '>' => markup.push_str("&gt;"),
            '"' => markup.push_str("&quot;"),
            '\t' | '\n' => markup.push(character),
            // Not an XML character, escaped or not (XML 1.0 §2.2).
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => markup.push('\u{fffd}'),
            _ => markup.push(character),
        }
    }
}

fn unescape(text: &str) -> String {
    // `&amp;` last, so that `&amp;lt;` becomes `&lt;` and not `<`.
    let plain =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    plain.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use http::header::RETRY_AFTER;

    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        method: &Method::GET,
        resource: "/photos/a<b",
        request_id: "4442587FB7D0A2F9",
        host_id: "ord1",
    };

    fn text(refusal: &Refusal) -> String {
        String::from_utf8(refusal.document(SUBJECT).body.to_vec()).expect("text")
    }

    #[test]
    fn a_document_has_all_that_s3_s_has() {
        let refusal = Refusal::from(S3ErrorCode::NoSuchKey).with_detail("Key", "a&b\0");
        assert_eq!(
            text(&refusal),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does \
             not exist.</Message><Key>a&amp;b\u{fffd}</Key><Resource>/photos/a&lt;b</Resource>\
             <RequestId>4442587FB7D0A2F9</RequestId><HostId>ord1</HostId></Error>"
        );
        let document = refusal.document(SUBJECT);
        assert_eq!(document.status, StatusCode::NOT_FOUND);
        assert_eq!(document.headers[CONTENT_TYPE], "application/xml");
        assert_eq!(document.headers[CONTENT_LENGTH], document.body.len().to_string());
        assert_eq!(document.headers["x-amz-request-id"], "4442587FB7D0A2F9");
        assert_eq!(document.headers["x-amz-id-2"], "ord1");
    }

    #[test]
    fn of_a_long_path_the_beginning_is_told() {
        let path = format!("/photos/{}", "ü".repeat(RESOURCE_BYTES_MAX));
        let subject = Subject { resource: &path, ..SUBJECT };
        let body = Refusal::from(S3ErrorCode::SlowDown).document(subject).body;
        let text = str::from_utf8(&body).expect("text");
        let told = text.split_once("<Resource>").and_then(|(_, rest)| rest.split_once("</Resource>"));
        assert_eq!(told.map(|(told, _)| told), Some(&path[..RESOURCE_BYTES_MAX]));
    }

    #[test]
    fn every_document_has_a_message() {
        for code in ["NoSuchKey", "SomethingNew", "InternalError"] {
            let code = S3ErrorCode::from_bytes(code.as_bytes()).expect("code");
            let refusal = Refusal::new(code, "");
            assert!(
                !refusal.message().is_empty() && !text(&refusal).contains("<Message></Message>"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn answers_to_head_and_304_have_no_body() {
        let head =
            Refusal::from(S3ErrorCode::NoSuchKey).document(Subject { method: &Method::HEAD, ..SUBJECT });
        let not_modified = Refusal::from(S3ErrorCode::NotModified).document(SUBJECT);
        for (document, status) in [(head, StatusCode::NOT_FOUND), (not_modified, StatusCode::NOT_MODIFIED)] {
            assert_eq!((document.status, document.body.len()), (status, 0));
            assert!(
                !document.headers.contains_key(CONTENT_TYPE)
                    && !document.headers.contains_key(CONTENT_LENGTH)
            );
            assert!(document.headers.contains_key("x-amz-request-id"));
        }
    }

    #[test]
    fn a_busy_node_says_when_to_come_again() {
        let document = Refusal::slow_down(std::time::Duration::from_millis(200)).document(SUBJECT);
        assert_eq!(document.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(document.headers[RETRY_AFTER], "1");
    }

    #[test]
    fn a_range_outside_an_object_is_told_how_long_it_is() {
        let mut error = S3Error::with_message(S3ErrorCode::InvalidRange, "outside");
        error.set_headers(HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static("bytes */0"))]));
        let told = text(&Refusal::from(error));
        assert!(
            told.contains("<Message>outside</Message><ActualObjectSize>0</ActualObjectSize><Resource>"),
            "{told}"
        );
        let told = text(&Refusal::from(S3ErrorCode::InvalidRange));
        assert!(!told.contains("ActualObjectSize"), "{told}");
    }

    /// s3s writes neither ids nor, without one of its own, a message; read back and written again they are there.
    #[test]
    fn documents_of_s3s_are_completed() {
        let mut error = S3Error::with_message(S3ErrorCode::InvalidArgument, "a <b> & \"c\" 'd' &lt;");
        error.set_request_id("theirs");
        let told = complete(error);
        assert!(told.contains("<Message>a &lt;b&gt; &amp; &quot;c&quot; 'd' &amp;lt;</Message>"), "{told}");
        assert!(
            told.contains("<RequestId>4442587FB7D0A2F9</RequestId>") && !told.contains("theirs"),
            "{told}"
        );
        let silent = complete(S3Error::new(S3ErrorCode::NoSuchUpload));
        assert!(
            silent.contains("<Code>NoSuchUpload</Code><Message>The specified multipart upload"),
            "{silent}"
        );
    }

    fn complete(error: S3Error) -> String {
        let (parts, mut body) = error.to_http_response().expect("a response").into_parts();
        let body = block_on(body.store_all_limited(1 << 16)).expect("a short body");
        text(&read_document(parts.status, &parts.headers, &body).expect("an error document"))
    }

    #[test]
    fn other_bodies_are_not_error_documents() {
        for body in [
            &b""[..],
            b"<Error>",
            b"<Error></Error>",
            b"<Error><Code>A</Code>",
            b"<ListBucketResult/>",
            b"\xff",
        ] {
            assert!(
                read_document(StatusCode::OK, &HeaderMap::new(), body).is_none(),
                "{}",
                body.escape_ascii()
            );
        }
    }
}
