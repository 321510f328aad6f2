//! What the node that a client reached tells the owning region beside the request itself.
//!
//! The request travels untouched, so that its signature still holds. What is added stands in `x-penstock-*` headers,
//! which are believed on the peer listener and nowhere else: every request loses those it came with.

use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;

use crate::client::Client;
use crate::peer::{CHANNEL_HEADER, FORWARD};
use crate::request_id::RequestId;

const PREFIX: &str = "x-penstock-";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-penstock-request-id");
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-penstock-client-address");
const CLIENT_TLS: HeaderName = HeaderName::from_static("x-penstock-client-tls");

/// What another node says of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) request_id: Option<RequestId>,
    pub(super) client: Client,
}

/// Removes every `x-penstock-*` header, and returns what they said.
pub(super) fn take(head: &mut RequestHeader) -> Told {
    let told = Told {
        request_id: text(&head.headers, &REQUEST_ID).and_then(RequestId::parse),
        client: Client {
            address: text(&head.headers, &CLIENT_ADDRESS).and_then(|address| address.parse().ok()),
            is_tls: text(&head.headers, &CLIENT_TLS) == Some("1"),
        },
    };
    let ours: Vec<HeaderName> =
        head.headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in &ours {
        head.remove_header(name);
    }
    told
}

/// Adds what the owning region should know of a request that is sent to it.
pub(super) fn add(head: &mut RequestHeader, request_id: RequestId, client: Client) -> pingora::Result<()> {
    head.insert_header(CHANNEL_HEADER, FORWARD)?;
    head.insert_header(REQUEST_ID, request_id.to_string())?;
    head.insert_header(CLIENT_TLS, if client.is_tls { "1" } else { "0" })?;
    if let Some(address) = client.address {
        head.insert_header(CLIENT_ADDRESS, address.to_string())?;
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
        for (address, is_tls) in [("192.0.2.7", true), ("2001:db8::7", false)] {
            let client = Client { address: Some(address.parse().unwrap()), is_tls };
            add(&mut head, id, client).unwrap();
            head.insert_header("X-Penstock-Anything", "else").unwrap();
            assert_eq!(take(&mut head), Told { request_id: Some(id), client });
            assert_eq!(head.headers.len(), 1);
        }
        assert_eq!(take(&mut head), Told { request_id: None, client: Client::default() });
    }

    /// What is no address is none, and TLS is never guessed.
    #[test]
    fn what_cannot_be_read_is_not_known() {
        for (address, tls) in [("", ""), ("192.0.2.7:4711", "true"), ("192.0.2.300", "0"), ("a b", "01")] {
            let mut head = RequestHeader::build("GET", b"/photos/cat.jpg", None).unwrap();
            head.insert_header(CLIENT_ADDRESS, address).unwrap();
            head.insert_header(CLIENT_TLS, tls).unwrap();
            assert_eq!(take(&mut head).client, Client::default(), "{address:?} {tls:?}");
        }
    }
}
