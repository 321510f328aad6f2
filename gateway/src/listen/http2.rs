//! HTTP/2 on one connection: streams served side by side until it is idle for too long or drained.
//!
//! How much of the bodies of its requests is taken before it is read is up to [`windows`](super::windows).

use std::sync::Arc;

use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora::protocols::{Digest, Stream};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::early::Early;
use super::turned_away::client_at;
use super::windows::{FIRST_BYTES, STREAM_BYTES, Window};
use super::{Answering, Listener, http1};
use crate::metrics::DropReason;

/// Malformed requests on one connection before it is closed.
const MALFORMED_MAX: usize = 32;

/// What is kept of one answer while the connection takes nothing: a request's place has room for it.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

tokio::task_local! {
    /// The window of the connection whose request is being served: pingora's head has no room for anything of ours.
    static OWN: Arc<Window>;
}

/// Widens the window of the connection whose request is being served, if it has one and there is room: the body that it is
/// sending is going to be read.
pub(super) fn want_more() {
    // Over HTTP/1 there is none.
    let _ = OWN.try_with(|window| window.want_more());
}

/// Serves the streams of `stream`, an accepted connection on which HTTP/2 was agreed, within `window`.
pub(super) async fn serve<A: Answering>(
    stream: Stream,
    window: Window,
    early: &Early,
    mut listener: Listener<A>,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    early.has_window();
    let handshake = server::handshake(stream, Some(options(listener.limits.head_bytes_max)));
    let Ok(Ok(mut connection)) = timeout(listener.limits.handshake_timeout, handshake).await else {
        return debug!("HTTP/2 handshake failed");
    };
    let (window, active) = (Arc::new(window), watch::Sender::new(0_usize));
    let mut malformed = 0;
    let mut draining = false;
    loop {
        // Counts only while nothing is served, so a header block that trickles in does not extend it.
        let idle = async {
            let mut active = active.subscribe();
            let _ = active.wait_for(|&streams| streams == 0).await;
            // Others may need its place, or its window.
            early.waits();
            let _ = timeout(listener.limits.idle_timeout, early.until_let_go()).await;
        };
        let accepted = tokio::select! {
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            _ = listener.stop.wait_for(|stop| *stop), if !draining => {
                connection.graceful_shutdown();
                draining = true;
                continue;
            }
            bytes = window.wider() => {
                connection.set_target_window_size(bytes);
                continue;
            }
            () = idle => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                if !early.complete() {
                    return listener.metrics.dropped(DropReason::Connections);
                }
                let serving = Serving::begin(&active);
                let app = listener.app.clone();
                let stop = listener.stop.clone();
                let serve = async move {
                    app.process_new_http(ServerSession::new_http2(session), &stop).await;
                    drop(serving);
                };
                listener.running.spawn(OWN.scope(window.clone(), serve));
            }
            Ok(Some(H2Accept::Rejected)) => {
                // It was answered or reset: nobody here knows which.
                let client = client_at(digest.socket_digest.as_deref(), digest.ssl_digest.is_some());
                (listener.app.turn_away(client, http1::malformed()).await.record)(None);
                malformed += 1;
                if malformed > MALFORMED_MAX {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

fn options(head_bytes_max: usize) -> H2Options {
    let mut options = server::default_h2_options();
    options.initial_window_size(STREAM_BYTES).initial_connection_window_size(FIRST_BYTES);
    options.max_send_buffer_size(SEND_BUFFER_BYTES);
    options.max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX));
    options
}

/// One stream being served; counted for as long as it exists.
struct Serving(watch::Sender<usize>);

impl Serving {
    fn begin(active: &watch::Sender<usize>) -> Self {
        active.send_modify(|streams| *streams += 1);
        Self(active.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.send_modify(|streams| *streams -= 1);
    }
}
