//! Pages of other sites: what a browser asks and is told, at every endpoint and through every region.

use tests::cluster::REGIONS;
use tests::{Answer, Client, Cluster, Endpoint, Request};

const RULES: &str = "<CORSConfiguration>\
    <CORSRule><AllowedOrigin>https://*.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
    <AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>";

/// Every door to ord1's bucket `data`, with an object `k` in it.
async fn start() -> (Cluster, Vec<(String, Client)>) {
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", "body").await.ok();
    let mut doors = Vec::new();
    for at in REGIONS {
        for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
            let client = cluster.client(at, endpoint).under(endpoint.host("ord1"));
            doors.push((format!("{endpoint:?} at {at}"), client));
        }
    }
    (cluster, doors)
}

async fn ask(door: &Client, origin: &str, method: &str, headers: &str) -> Answer {
    let question = Request::new("OPTIONS", "/data/k").header("origin", origin);
    let question = question.header("access-control-request-method", method);
    let question = match headers {
        "" => question,
        headers => question.header("access-control-request-headers", headers),
    };
    door.send_signed(door.unsigned(question)).await
}

async fn put_rules(owner: &Client) {
    let _ = owner.send(Request::new("PUT", "/data?cors").body(RULES)).await.ok();
}

#[tokio::test]
async fn a_browser_is_told_the_same_at_every_door() {
    let (_cluster, doors) = start().await;
    for (name, door) in &doors {
        let none = ask(door, "https://a.example", "GET", "").await;
        assert_eq!(none.refusal(), (403, "AccessForbidden".into()), "{name}");
    }
    put_rules(&doors[0].1).await;
    for (name, door) in &doors {
        let allowed = ask(door, "https://a.example", "PUT", "x-amz-date,X-Amz-Meta-A").await;
        assert_eq!(allowed.status, 200, "{name}: {}", allowed.text());
        for (header, value) in [
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "x-amz-date, x-amz-meta-a"),
            ("access-control-expose-headers", "ETag"),
            ("access-control-max-age", "60"),
            ("access-control-allow-credentials", "true"),
            ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
        ] {
            assert_eq!(allowed.header(header), value, "{name}: {header}");
        }
        for (origin, method, headers) in [
            ("https://a.other", "GET", ""),
            ("https://a.example", "DELETE", ""),
            ("https://a.example", "GET", "authorization"),
        ] {
            let refused = ask(door, origin, method, headers).await;
            assert_eq!(
                refused.refusal(),
                (403, "AccessForbidden".into()),
                "{name}: {origin} {method} {headers}"
            );
            assert_eq!(refused.header("access-control-allow-origin"), "");
        }
        let no_method =
            door.unsigned(Request::new("OPTIONS", "/data/k").header("origin", "https://a.example"));
        assert_eq!(door.send_signed(no_method).await.status, 400, "{name}");
    }
    let _ = doors[0].1.send(Request::new("DELETE", "/data?cors")).await.ok();
    for (name, door) in &doors {
        assert_eq!(ask(door, "https://a.example", "GET", "").await.status, 403, "{name}: taken away");
    }
}

/// Pages see refusals too, and see nothing where no rule lets them.
#[tokio::test]
async fn answers_say_which_pages_may_see_them() {
    let (_cluster, doors) = start().await;
    put_rules(&doors[0].1).await;
    for (name, door) in &doors {
        let of = |method, target: &str, origin| Request::new(method, target).header("origin", origin);
        for (method, target, status) in [
            ("GET", "/data/k", 200),
            ("GET", "/data/missing", 404),
            ("GET", "/data?list-type=2", 200),
            ("PUT", "/data/put", 200),
        ] {
            let answer = door.send(of(method, target, "https://a.example")).await;
            let said = (
                answer.status,
                answer.header("access-control-allow-origin"),
                answer.header("access-control-expose-headers"),
            );
            assert_eq!(said, (status, "https://a.example", "ETag"), "{name}: {method} {target}");
            let hidden = door.send(of(method, target, "https://a.other")).await;
            assert_eq!((hidden.status, hidden.header("access-control-allow-origin")), (status, ""), "{name}");
        }
        let stranger = door.send_signed(door.unsigned(of("GET", "/data/k", "https://a.example"))).await;
        assert_eq!(
            (stranger.status, stranger.header("access-control-allow-origin")),
            (403, "https://a.example"),
            "{name}"
        );
        let deleted = door.send(of("DELETE", "/data/put", "https://a.example")).await;
        assert_eq!(deleted.header("access-control-allow-origin"), "", "{name}: no rule allows that method");
    }
}
