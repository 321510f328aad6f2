//! HTTP/1.1 on one connection: a header block, a request, the next header block.

use std::io::Write;
use std::sync::Arc;

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use s3s::S3ErrorCode;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Listener;
use super::early::Early;
use super::head::{self, Head};
use super::turn::{LINGER, Turn};
use crate::metrics::DropReason;
use crate::refusal::{Refusal, Subject};
use crate::request_id::RequestId;

/// Serves requests on `stream` until one side has had enough.
pub(super) async fn serve<A>(stream: Stream, early: &Arc<Early>, mut listener: Listener<A>)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let mut stream: Stream = Box::new(Turn::new(stream, early.clone()));
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
        let block = match head {
            Head::Whole { block, rest: after } => {
                rest = after;
                block
            }
            Head::None => break,
            Head::Unfinished => {
                listener.metrics.dropped(DropReason::HeaderDeadline);
                return Box::pin(refuse(stream, early, &listener.node, S3ErrorCode::RequestTimeout)).await;
            }
            Head::NoRoom => {
                listener.metrics.dropped(DropReason::Heads);
                return Box::pin(refuse(stream, early, &listener.node, S3ErrorCode::SlowDown)).await;
            }
            Head::TooLarge => {
                return Box::pin(refuse(
                    stream,
                    early,
                    &listener.node,
                    S3ErrorCode::RequestHeaderSectionTooLarge,
                ))
                .await;
            }
            Head::FramedTwice => {
                return Box::pin(refuse(stream, early, &listener.node, S3ErrorCode::InvalidRequest)).await;
            }
        };
        if !early.complete() {
            listener.metrics.dropped(DropReason::Connections);
            break;
        }
        match answer(stream, block, &listener).await {
            Some(reusable) => (stream, _) = reusable.consume(),
            None => return,
        }
        Turn::give_back(&stream);
    }
    // The client may be gone already. Nobody waits for an answer: whatever takes its time is left out.
    let _ = stream.shutdown().now_or_never();
}

/// Answers the request that begins with `block`. The session is the application's: a connection that waits has none.
fn answer<A>(
    stream: Stream,
    block: BytesMut,
    listener: &Listener<A>,
) -> BoxFuture<'_, Option<ReusedHttpStream>>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let mut session = ServerSession::new_http1(stream);
    // What was read already: the parser begins with it, and reads the body after it from the stream.
    session.set_pipelined_prefix(block);
    listener.app.process_new_http(session, &listener.stop)
}

/// Tells the client why its request was not read, and closes.
async fn refuse(mut stream: Stream, early: &Early, node: &str, code: S3ErrorCode) {
    if !early.is_refused() || stream.get_ssl_digest().is_none() {
        // TLS would keep some of what is thrown away otherwise.
        early.stop_counting();
    }
    let document = Refusal::from(code).document(Subject {
        method: &Method::GET,
        resource: "",
        request_id: &RequestId::new().to_string(),
        host_id: node,
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
    tokio::select! {
        _ = timeout(2 * LINGER, last_words) => (),
        () = early.until_let_go() => (),
    }
}
