//! Where pingora calls the hub: what it asks of a request, in its order, and what is done about a request that is
//! forwarded, which pingora carries.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use s3s::S3ErrorCode;

use super::exchange::{Exchange, Passed, stands_still};
use super::{Answer, Node, Proxy, Role, forwarding, unreachable};
use crate::accelerated;
use crate::bridge::{self, Unread};
use crate::listen;
use crate::peer;
use crate::refusal::Refusal;
use crate::response::Failed;
use crate::target::EndpointKind;

/// An answer of no more, such as a refusal, is kept in a request's own memory until its client takes it.
const LITTLE_BYTES: u64 = 16 * 1024;

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        let endpoint = match &self.role {
            Role::Public(listener) => listener.endpoint,
            Role::Peer => EndpointKind::Standard,
        };
        Exchange::of(self.node.clone(), endpoint)
    }

    /// None: pingora would add one for compression.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<bool> {
        listen::answer(session.as_downstream());
        if matches!(self.role, Role::Peer) && !peer::is_forward(&session.req_header().headers) {
            return session.respond_error(404).await.map(|()| true);
        }
        let sent = match self.answer(session, exchange).await {
            Ok(Answer::Given(sent)) => sent,
            Ok(Answer::ByPeer) => return Ok(false),
            Err(Failed::Refused(refusal)) => self.refuse(session, exchange, &refusal).await?,
            Err(Failed::Broken(error)) => return Err(error),
        };
        exchange.first_byte = Some(sent.first_byte);
        self.see_to_end(session).await;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<Box<HttpPeer>> {
        exchange
            .upstream
            .clone()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no upstream was chosen"))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream_request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        forwarding::add(upstream_request, exchange.id, exchange.client)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        exchange.passed.received_bytes += body.as_ref().map_or(0, |piece| piece.len() as u64);
        match exchange.rest_until {
            _ if end_of_stream => {
                exchange.body_has_ended();
                listen::keep_for_later(session);
            }
            None => self.wait_for_body(session, exchange, self.patience()),
            Some(until) if until <= Instant::now() => return Err(stands_still()),
            Some(_) => {}
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        exchange.first_byte = Some(Instant::now());
        exchange.passed.status = Some(response.status);
        let is_answer = response.status.is_success() || response.status.is_redirection();
        if exchange.endpoint == EndpointKind::Accelerated && is_answer {
            let passed_by = accelerated::passed_by(&self.node.region, &session.req_header().method);
            response.insert_header(accelerated::CACHE_STATUS, passed_by)?;
        }
        let mut unread = bridge::settle_unread_body(session);
        if !session.is_body_done() && !self.has_plenty_of_forwards() {
            session.set_keepalive(None);
            unread = Unread::Closes;
        }
        if !session.is_body_done() {
            // pingora goes on reading the body after the response has ended; it must not for long.
            exchange.is_cut_short = true;
            exchange.rest_until = Some(Instant::now() + unread.patience());
            exchange.closes = unread == Unread::Closes;
            self.wait_for_body(session, exchange, unread.patience());
        }
        if ends_with_its_head(&session.req_header().method, response) {
            response_has_ended(session, exchange);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> pingora::Result<Option<Duration>> {
        exchange.passed.sent_bytes += body.as_ref().map_or(0, |piece| piece.len() as u64);
        if let Some(pace) = &mut exchange.pace {
            pace.next(session, body)?;
        }
        if end_of_stream {
            response_has_ended(session, exchange);
        }
        Ok(None)
    }

    /// Only reads are sent twice: pingora takes PUT and DELETE for repeatable, and a write that was answered and lost
    /// on the way would be done again over somebody else's.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        _exchange: &mut Exchange,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("peer {peer}"));
        match session.req_header().method.is_safe() && !session.retry_buffer_truncated() {
            true => error.retry.decide_reuse(client_reused),
            false => error.set_retry(false),
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
        let mut error_code = 0;
        // What is left of the request's body was waited for, and nothing is missing of the answer.
        let mut is_whole = exchange.is_answered && *error.etype() == ErrorType::ReadTimedout;
        if let Some(refusal) = refusal_of(error).filter(|_| !begun) {
            session.set_keepalive(None);
            if let Ok(sent) = self.refuse(session, exchange, &refusal).await {
                self.see_to_end(session).await;
                exchange.first_byte = Some(sent.first_byte);
                error_code = sent.status.as_u16();
                is_whole = true;
            }
        }
        if is_whole && !session.is_http2() {
            session.as_downstream_mut().shutdown().await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// Logged by [`Self::logging`], with what the log line needs.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &Exchange,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        exchange.record(passed(session), error);
    }
}

/// Whether nothing comes after the head of `response`, to a request by `method`.
fn ends_with_its_head(method: &Method, response: &ResponseHeader) -> bool {
    *method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || response.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0")
}

impl Proxy {
    fn has_plenty_of_forwards(&self) -> bool {
        Node::are_plenty(&self.node.forward_places, self.node.forward_places_count)
    }
}

/// All of the response is on its way: nothing is waited for that would only be thrown away, and nobody waits for a client that
/// does not take what is left.
fn response_has_ended(session: &mut Session, exchange: &mut Exchange) {
    exchange.is_answered = true;
    // Over HTTP/2 what comes of a body is in the client's window.
    let has_body_queued = !session.is_body_done() && !session.is_http2();
    if !has_body_queued && exchange.passed.sent_bytes <= LITTLE_BYTES {
        // Nothing is left that the place stands for.
        exchange._forward_place = None;
    }
    if exchange.closes {
        session.set_read_timeout(Some(Duration::ZERO));
    }
}

/// What has gone over the client's connection.
fn passed(session: &Session) -> Passed {
    let held = listen::held_bytes(session.as_downstream());
    Passed {
        status: session.response_written().map(|response| response.status),
        received_bytes: session.body_bytes_read() as u64,
        sent_bytes: session.body_bytes_sent().saturating_sub(held) as u64,
    }
}

/// What a client is told of a forwarded request that broke off before its answer began; `None` where nobody listens.
fn refusal_of(error: &Error) -> Option<Refusal> {
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, _) => Some(unreachable()),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(S3ErrorCode::InternalError.into()),
        // It may have closed its own half alone: it then waits for an answer.
        (ErrorSource::Downstream, ErrorType::ConnectionClosed | ErrorType::ReadError) => {
            Some(S3ErrorCode::IncompleteBody.into())
        }
        (ErrorSource::Downstream, _) => None,
    }
}
