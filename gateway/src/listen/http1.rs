//! HTTP/1.1 on one connection: a header block, a request, the next header block.

use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;

use super::Listener;
use super::head::{self, Head};

/// Serves requests on `stream` until one side has had enough.
pub(super) async fn serve<A>(mut stream: Stream, mut listener: Listener<A>)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    loop {
        let head = tokio::select! {
            head = head::read(&mut stream, &listener.limits) => head,
            _ = listener.stop.wait_for(|stop| *stop) => Head::None,
        };
        let block = match head {
            Head::Whole(block) => block,
            Head::None => break,
            Head::Unfinished => break,
            Head::TooLarge => break,
        };
        let mut session = ServerSession::new_http1(stream);
        // What was read already: the parser begins with it, and reads the body after it from the stream.
        session.set_pipelined_prefix(block);
        match listener.app.process_new_http(session, &listener.stop).await {
            Some(reusable) => (stream, _) = reusable.consume(),
            None => return,
        }
    }
    stream.shutdown().await;
}
