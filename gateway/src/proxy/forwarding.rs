//! What the node that a client reached tells the owning region beside the request itself.
//!
//! The request travels untouched, so that its signature still holds. What is added stands in `x-penstock-*` headers,
//! which are believed on the peer listener and nowhere else: every request loses those it came with.

use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;

use crate::peer::{CHANNEL_HEADER, Channel};
use crate::request_id::RequestId;

const PREFIX: &str = "x-penstock-";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-penstock-request-id");
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-penstock-client-address");
const CLIENT_TLS: HeaderName = HeaderName::from_static("x-penstock-client-tls");

/// What another node says of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) request_id: Option<RequestId>,
    /// Address and port of the client.
    pub(super) client: Option<String>,
}

/// Removes every `x-penstock-*` header, and returns what they said.
pub(super) fn take(head: &mut RequestHeader) -> Told {
    let told = Told {
        request_id: text(&head.headers, &REQUEST_ID).and_then(RequestId::parse),
        client: text(&head.headers, &CLIENT_ADDRESS).map(str::to_owned),
    };
    let ours: Vec<HeaderName> =
        head.headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in &ours {
        head.remove_header(name);
    }
    told
}

/// Adds what the owning region should know of a request that is sent to it.
pub(super) fn add(
    head: &mut RequestHeader,
    request_id: RequestId,
    client: Option<&str>,
    is_tls: bool,
) -> pingora::Result<()> {
    head.insert_header(CHANNEL_HEADER, Channel::Forward.as_str())?;
    head.insert_header(REQUEST_ID, request_id.to_string())?;
    head.insert_header(CLIENT_TLS, if is_tls { "1" } else { "0" })?;
    if let Some(client) = client {
        head.insert_header(CLIENT_ADDRESS, client)?;
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one node adds the next one takes, and nothing of it is left in the request.
    #[test]
    fn what_is_added_is_taken() {
        let mut head = RequestHeader::build("GET", b"/photos/cat.jpg", None).unwrap();
        head.insert_header("host", "object.ord1.penstock.localhost").unwrap();
        let id = RequestId::new();
        add(&mut head, id, Some("192.0.2.7:4711"), true).unwrap();
        head.insert_header("X-Penstock-Anything", "else").unwrap();
        let told = Told { request_id: Some(id), client: Some("192.0.2.7:4711".to_owned()) };
        assert_eq!(take(&mut head), told);
        assert_eq!(head.headers.len(), 1);
        assert_eq!(take(&mut head), Told { request_id: None, client: None });
    }
}
