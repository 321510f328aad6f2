//! HTTP/1.1 on one connection: a header block, a request, the next header block.

use std::io::Write;

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use pingora::apps::ReusedHttpStream;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use s3s::{S3Error, S3ErrorCode};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::early::Early;
use super::head::{self, Head};
use super::turn::{LINGER, Left, Turn, Unanswered};
use super::turned_away::client_of;
use super::{Answering, Listener, TurnedAway};
use crate::metrics::DropReason;
use crate::refusal::{Refusal, Subject};

/// Serves requests on `stream` until one side has had enough.
pub(super) async fn serve<A: Answering>(stream: Stream, early: &Early, mut listener: Listener<A>) {
    let left = Left::default();
    let mut stream: Stream = Box::new(Turn::new(stream, left.clone()));
    let mut rest = BytesMut::new();
    loop {
        early.begin();
        let head = tokio::select! {
            biased;
            () = early.until_let_go() => {
                listener.metrics.dropped(DropReason::Connections);
                Head::None
            }
            head = head::read(&mut stream, std::mem::take(&mut rest), early, &listener.limits) => head,
            _ = listener.stop.wait_for(|stop| *stop) => Head::None,
        };
        let refused = match head {
            Head::Whole { .. } | Head::None => None,
            Head::Unfinished => Some((S3ErrorCode::RequestTimeout, Some(DropReason::HeaderDeadline))),
            Head::NoRoom => Some((S3ErrorCode::SlowDown, Some(DropReason::Heads))),
            Head::TooLarge => Some((S3ErrorCode::RequestHeaderSectionTooLarge, None)),
            Head::FramedTwice => Some((S3ErrorCode::InvalidRequest, None)),
        };
        if let Some((code, reason)) = refused {
            return Box::pin(refuse(stream, left, early, &listener, code.into(), reason)).await;
        }
        let Head::Whole { block, rest: after } = head else { break };
        rest = after;
        if !early.complete() {
            listener.metrics.dropped(DropReason::Connections);
            break;
        }
        match answer(stream, block, &listener).await {
            Some(reusable) => (stream, _) = reusable.consume(),
            None => match left.take_unanswered() {
                Some((stream, unanswered)) => {
                    let refusal = match unanswered {
                        Unanswered::Malformed => malformed(),
                        Unanswered::Connect => S3ErrorCode::MethodNotAllowed.into(),
                    };
                    let stream = Box::new(Turn::new(stream, left.clone()));
                    return Box::pin(refuse(stream, left, early, &listener, refusal, None)).await;
                }
                None => return Box::pin(left.close(early)).await,
            },
        }
        Turn::give_back(&stream);
    }
    let _ = stream.shutdown().await;
    drop(stream);
    // Nobody waits for an answer: whatever takes its time is left out.
    let _ = left.close(early).now_or_never();
}

/// Answers the request that begins with `block`. The session is the application's: a connection that waits has none.
fn answer<A: Answering>(
    stream: Stream,
    block: BytesMut,
    listener: &Listener<A>,
) -> BoxFuture<'_, Option<ReusedHttpStream>> {
    let mut session = ServerSession::new_http1(stream);
    // What was read already: the parser begins with it, and reads the body after it from the stream.
    session.set_pipelined_prefix(block);
    listener.app.process_new_http(session, &listener.stop)
}

/// What S3 says of a request that is none; s3s has no such code.
pub(super) fn malformed() -> Refusal {
    let code = S3ErrorCode::Custom("BadRequest".into());
    let mut error = S3Error::with_message(code, "An error occurred when parsing the HTTP request.");
    error.set_status_code(StatusCode::BAD_REQUEST);
    error.into()
}

/// Tells the client why its request was not read, and closes. `reason` counts, unless it is another one in the end.
async fn refuse<A: Answering>(
    mut stream: Stream,
    left: Left,
    early: &Early,
    listener: &Listener<A>,
    refusal: Refusal,
    reason: Option<DropReason>,
) {
    Turn::answer(&stream);
    if !early.is_refused() || stream.get_ssl_digest().is_none() {
        // TLS would keep some of what is thrown away otherwise.
        early.stop_counting();
    }
    let code = refusal.code().clone();
    let TurnedAway { id, refusal, record } = listener.app.turn_away(client_of(&stream), refusal).await;
    if let Some(reason) = reason
        && *refusal.code() == code
    {
        listener.metrics.dropped(reason);
    }
    let document = refusal.document(Subject {
        method: &Method::GET,
        resource: "",
        request_id: &id.to_string(),
        host_id: &listener.node,
    });
    let mut answer = format!("HTTP/1.1 {}\r\nconnection: close\r\n", document.status).into_bytes();
    for (name, value) in &document.headers {
        // Writing to memory cannot fail.
        let _ = write!(answer, "{name}: ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&document.body);
    let last_words = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    // The client is unlikely to listen: nothing depends on it.
    let is_told = tokio::select! {
        told = timeout(LINGER, last_words) => matches!(told, Ok(Ok(()))),
        () = early.until_let_go() => false,
    };
    record(is_told.then_some(document.body.len() as u64));
    drop(stream);
    left.close(early).await;
}
