//! Where a request is answered: one pure decision.

use s3s::S3ErrorCode;

use crate::refusal::Refusal;
use crate::target::{EndpointKind, Operation, Target};
use crate::topology::RegionName;

/// How a request came to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// From a client, on a public listener.
    FromClient,
    /// From the node that its client reached, on the peer listener.
    FromPeer,
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// This node's cache, for an object of any region; unless the request brings a customer's key, which goes to no
    /// other node than the object's owner.
    CachedRead,
    /// The store of this node's region.
    OwnStore,
    /// The same, for a page of one of its buckets' websites.
    Website,
    /// The node that owns another region.
    Forward,
    /// This node, for a bucket of any region: a browser's question whether a page may make a request.
    Preflight,
}

impl Route {
    /// The route of a request for `target` that came to a node of the region `own`.
    ///
    /// # Errors
    /// `ServiceUnavailable` for a peer's request about
    /// another region: it is never handed on, so that nodes that disagree about the topology cannot play ball.
    pub fn of(target: &Target, own: &RegionName, arrival: Arrival) -> Result<Self, Refusal> {
        if target.operation == Operation::PreflightRequest {
            return Ok(Self::Preflight);
        }
        let is_own = target.region == *own;
        let here = if target.endpoint == EndpointKind::Website { Self::Website } else { Self::OwnStore };
        match (arrival, target.endpoint) {
            (Arrival::FromPeer, _) if is_own => Ok(here),
            (Arrival::FromPeer, _) => Err(Refusal::new(
                S3ErrorCode::ServiceUnavailable,
                "The request reached a node of another region. Please try again.",
            )),
            (Arrival::FromClient, EndpointKind::Accelerated)
                if target.operation.is_object_read() && !target.brings_customer_key =>
            {
                Ok(Self::CachedRead)
            }
            (Arrival::FromClient, _) if is_own => Ok(here),
            (Arrival::FromClient, _) => Ok(Self::Forward),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    use super::*;
    use crate::target::{Listener, parse};
    use crate::topology::Topology;

    /// The route of `method path` at `host`, on a node of las1 in a topology of three regions.
    fn route(arrival: Arrival, method: Method, host: &str, path: &str) -> Result<Route, String> {
        route_with(arrival, method, host, path, &[])
    }

    fn route_with(
        arrival: Arrival,
        method: Method,
        host: &str,
        path: &str,
        more: &[&'static str],
    ) -> Result<Route, String> {
        let peers = [("ord1", "127.0.0.1:1"), ("las1", "127.0.0.1:2"), ("lga1", "127.0.0.1:3")];
        let topology = Topology::new("penstock.localhost", "ord1", peers).unwrap();
        let own = RegionName::parse("las1").unwrap();
        let listener = Listener { region: own.clone(), endpoint: EndpointKind::Accelerated };
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        headers.insert("origin", "https://example.com".parse().unwrap());
        if method == Method::PUT {
            headers.insert("content-length", 0.into());
        }
        headers
            .extend(more.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))));
        let target = parse(&topology, &listener, &method, path.as_bytes(), &headers).unwrap();
        Route::of(&target, &own, arrival).map_err(|refusal| refusal.code().as_str().to_owned())
    }

    const STANDARD_HERE: &str = "object.las1.penstock.localhost";
    const STANDARD_AWAY: &str = "object.ord1.penstock.localhost";
    const ACCELERATED_HERE: &str = "accel-object.las1.penstock.localhost";
    const ACCELERATED_AWAY: &str = "accel-object.ord1.penstock.localhost";

    /// Every way in, with its nearest neighbours.
    #[test]
    fn clients() {
        let table = [
            (Method::GET, ACCELERATED_AWAY, "/photos/cat.jpg", Route::CachedRead),
            (Method::HEAD, ACCELERATED_AWAY, "/photos/cat.jpg?versionId=null", Route::CachedRead),
            (Method::GET, ACCELERATED_HERE, "/photos/cat.jpg?partNumber=1", Route::CachedRead),
            (Method::GET, "photos.accel-object.ord1.penstock.localhost", "/cat.jpg", Route::CachedRead),
            (Method::GET, "127.0.0.1", "/photos/cat.jpg", Route::CachedRead),
            (Method::GET, ACCELERATED_AWAY, "/photos/cat.jpg?tagging", Route::Forward),
            (Method::GET, ACCELERATED_AWAY, "/photos?list-type=2", Route::Forward),
            (Method::PUT, ACCELERATED_AWAY, "/photos/cat.jpg", Route::Forward),
            (Method::DELETE, ACCELERATED_HERE, "/photos/cat.jpg", Route::OwnStore),
            (Method::GET, STANDARD_HERE, "/photos/cat.jpg", Route::OwnStore),
            (Method::GET, STANDARD_AWAY, "/photos/cat.jpg", Route::Forward),
            (Method::PUT, STANDARD_AWAY, "/photos/cat.jpg", Route::Forward),
            (Method::GET, "127.0.0.1:9011", "/", Route::OwnStore),
        ];
        for (method, host, path, expected) in table {
            assert_eq!(
                route(Arrival::FromClient, method.clone(), host, path),
                Ok(expected),
                "{method} {host} {path}"
            );
        }
    }

    /// A website's pages come from the store that has them, whichever node is asked; no cache is between.
    #[test]
    fn websites() {
        for method in [Method::GET, Method::HEAD] {
            for (arrival, host, expected) in [
                (Arrival::FromClient, "photos.website.las1.penstock.localhost", Ok(Route::Website)),
                (Arrival::FromClient, "photos.website.ord1.penstock.localhost", Ok(Route::Forward)),
                (Arrival::FromPeer, "photos.website.las1.penstock.localhost", Ok(Route::Website)),
                (
                    Arrival::FromPeer,
                    "photos.website.ord1.penstock.localhost",
                    Err("ServiceUnavailable".to_owned()),
                ),
            ] {
                assert_eq!(route(arrival, method.clone(), host, "/cat.jpg"), expected, "{arrival:?} {host}");
            }
        }
    }

    /// A key that is not the cache's business goes past it, whole or not.
    #[test]
    fn reads_with_a_customers_key() {
        for name in [
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-server-side-encryption-customer-key-md5",
        ] {
            for (host, expected) in [
                (ACCELERATED_AWAY, Route::Forward),
                (ACCELERATED_HERE, Route::OwnStore),
                (STANDARD_AWAY, Route::Forward),
            ] {
                for method in [Method::GET, Method::HEAD] {
                    let routed = route_with(Arrival::FromClient, method, host, "/photos/cat.jpg", &[name]);
                    assert_eq!(routed, Ok(expected.clone()), "{host} {name}");
                }
            }
        }
        let other = ["x-amz-server-side-encryption"];
        let routed =
            route_with(Arrival::FromClient, Method::GET, ACCELERATED_AWAY, "/photos/cat.jpg", &other);
        assert_eq!(routed, Ok(Route::CachedRead));
    }

    /// A peer's request goes to the store or is refused, at whichever endpoint its client called.
    #[test]
    fn peers() {
        for host in [STANDARD_HERE, ACCELERATED_HERE] {
            assert_eq!(route(Arrival::FromPeer, Method::GET, host, "/photos/cat.jpg"), Ok(Route::OwnStore));
            assert_eq!(route(Arrival::FromPeer, Method::PUT, host, "/photos/cat.jpg"), Ok(Route::OwnStore));
        }
        for host in [STANDARD_AWAY, ACCELERATED_AWAY] {
            let refused = route(Arrival::FromPeer, Method::GET, host, "/photos/cat.jpg");
            assert_eq!(refused, Err("ServiceUnavailable".to_owned()));
        }
    }

    #[test]
    fn a_preflight_is_answered_where_it_arrives() {
        for arrival in [Arrival::FromClient, Arrival::FromPeer] {
            for host in [STANDARD_HERE, STANDARD_AWAY, ACCELERATED_AWAY] {
                let asked = route(arrival, Method::OPTIONS, host, "/photos/cat.jpg");
                assert_eq!(asked, Ok(Route::Preflight), "{host}");
            }
        }
    }
}
