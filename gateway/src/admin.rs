//! The admin listener: metrics, liveness and readiness for whoever runs the node, and users for who manages an account.
//!
//! It answers to an IP address, `localhost` and the cluster's own names alone, so that a web page which an operator
//! has open cannot read it by pointing a name of its own at this address (DNS rebinding).

mod readiness;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use origin::regional::LeaseClass;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

pub use readiness::Readiness;
pub use users::UsersApi;

use crate::listen::{self, Answering};
use crate::topology::{Region, Topology};

const PLAIN: &str = "text/plain; charset=utf-8";

/// The admin listener's application.
pub struct Admin {
    registry: Registry,
    readiness: Arc<Readiness>,
    topology: Arc<Topology>,
    users: UsersApi,
}

struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn plain(status: StatusCode, line: &str) -> Self {
        Self { status, content_type: PLAIN, body: format!("{line}\n") }
    }

    fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: format!("{value:#}\n") }
    }
}

impl Admin {
    /// What one region's node shows of itself.
    #[must_use]
    pub fn new(
        registry: Registry,
        readiness: Arc<Readiness>,
        topology: Arc<Topology>,
        users: UsersApi,
    ) -> Self {
        Self { registry, readiness, topology, users }
    }

    async fn answer(&self, session: &mut ServerSession) -> Answer {
        let head = session.req_header();
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| is_ours(host, &self.topology)) {
            session.set_keepalive(None);
            return Answer::plain(
                StatusCode::MISDIRECTED_REQUEST,
                "ask by IP address, localhost or this cluster's names",
            );
        }
        match UsersApi::answers(head.uri.path()) {
            true => self.users.answer(session).await,
            false => self.show(&head.method, head.uri.path()).await,
        }
    }

    async fn show(&self, method: &Method, path: &str) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD");
        }
        match path {
            "/healthz" => Answer::plain(StatusCode::OK, "alive"),
            "/readyz" => match self.readiness.verdict().await {
                Ok(()) => Answer::plain(StatusCode::OK, &ready(&self.readiness.withheld())),
                Err(reason) => {
                    Answer::plain(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}"))
                }
            },
            "/metrics" => match TextEncoder::new().encode_to_string(&self.registry.gather()) {
                Ok(body) => Answer { status: StatusCode::OK, content_type: TEXT_FORMAT, body },
                Err(error) => Answer::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            _ => Answer::plain(StatusCode::NOT_FOUND, "/metrics, /healthz, /readyz or /v1/users"),
        }
    }
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        listen::answer(&session);
        let answer = self.answer(&mut session).await;
        let is_head = session.req_header().method == Method::HEAD;
        write(&mut session, answer, is_head).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

/// Its other requests are not counted either.
impl Answering for Admin {}

/// Ready, and what is not yet.
fn ready(withheld: &[(LeaseClass, Duration)]) -> String {
    let mut text = "ready".to_owned();
    for (class, left) in withheld {
        let seconds = left.as_millis().div_ceil(1000);
        text += &format!("; changes of {} wait {seconds} s for leases of the process before", class.as_str());
    }
    text
}

async fn write(session: &mut ServerSession, answer: Answer, is_head: bool) -> pingora::Result<()> {
    let mut head = ResponseHeader::build(answer.status, Some(3))?;
    head.insert_header(header::CONTENT_TYPE, answer.content_type)?;
    head.insert_header(header::CONTENT_LENGTH, answer.body.len())?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    session.write_response_header(Box::new(head)).await?;
    if !is_head {
        session.write_response_body(answer.body.into(), true).await?;
    }
    Ok(())
}

/// Whether a `Host` header names this node in a way that nobody else's DNS can.
fn is_ours(host: &str, topology: &Topology) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.strip_suffix(topology.domain()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        || topology.regions().iter().map(Region::peer).any(|peer| peer.host() == name)
}

#[cfg(test)]
mod tests {
    use origin::regional::UserRow;
    use s3s::S3Result;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::client::Client;
    use crate::identity::{Credential, Identities};

    fn topology() -> Topology {
        Topology::new("penstock.localhost", "ord1", [("ord1", "node-1.ops.example.com:9003")]).expect("good")
    }

    #[test]
    fn hosts_that_nobody_else_can_name_are_ours() {
        let topology = topology();
        for host in [
            "127.0.0.1:9002",
            "10.1.2.3",
            "[::1]:9002",
            "[::1]",
            "localhost:9002",
            "LOCALHOST",
            "penstock.localhost",
            "admin.ord1.penstock.localhost:1",
            "node-1.ops.example.com:9002",
        ] {
            assert!(is_ours(host, &topology), "{host}");
        }
    }

    #[test]
    fn hosts_of_other_domains_are_refused() {
        let topology = topology();
        for host in [
            "",
            ":9002",
            "evil.example.com",
            "evilpenstock.localhost",
            "penstock.localhost.evil.com",
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "ops.example.com",
            "1.2.3",
            "localhost:x",
        ] {
            assert!(!is_ours(host, &topology), "{host}");
        }
    }

    struct Nobody;

    #[async_trait]
    impl Identities for Nobody {
        async fn find(&self, _access_key: &str, _client: Client) -> S3Result<Option<Credential>> {
            Ok(None)
        }

        fn open(&self, _row: &UserRow) -> S3Result<Option<Credential>> {
            Ok(None)
        }
    }

    /// The status that a request with these header lines gets.
    async fn status(admin: &Arc<Admin>, request: &str) -> u16 {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let session = ServerSession::new_http1(Box::new(server));
        client.write_all(request.as_bytes()).await.expect("write");
        let (_end, watch) = tokio::sync::watch::channel(false);
        admin.process_new_http(session, &watch).await;
        let mut answer = vec![0; 12];
        client.read_exact(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer[9..]).parse().expect("a status")
    }

    #[tokio::test]
    async fn each_path_has_its_answer() {
        let readiness = Arc::new(Readiness::default());
        let topology = Arc::new(topology());
        let home = topology.home().name().clone();
        let users = UsersApi::new(Err(home), Arc::new(Nobody), topology.clone());
        let admin = Arc::new(Admin::new(Registry::new(), readiness.clone(), topology, users));
        let ask = async |line: &str, host: &str| {
            status(&admin, &format!("{line} HTTP/1.1\r\n{host}\r\n\r\n")).await
        };
        let local = "host: localhost";
        assert_eq!(ask("GET /healthz", local).await, 200);
        assert_eq!(ask("GET /metrics", local).await, 200);
        assert_eq!(ask("GET /readyz", local).await, 200);
        assert_eq!(ask("GET /other", local).await, 404);
        assert_eq!(ask("GET /v1/usersx", local).await, 404);
        assert_eq!(ask("GET /v1/users", local).await, 421, "home is another node");
        assert_eq!(ask("POST /healthz", local).await, 405);
        assert_eq!(ask("GET /metrics", "host: evil.com").await, 421);
        assert_eq!(ask("GET /metrics", "accept: */*").await, 421);
        readiness.begin_draining();
        assert_eq!(ask("GET /readyz", local).await, 503);
        assert_eq!(ask("GET /healthz", local).await, 200);
    }
}
