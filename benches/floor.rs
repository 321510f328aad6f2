//! What a server costs that does nothing but write: the floor that reads are compared with, and an origin for others.
//!
//! pingora, as the node has it, one thread, bytes out of one piece of memory. `/BUCKET/BYTES/KEY` is an object of so many
//! bytes, whatever its key. With a file, every object is what that begins with instead: it is opened for each request, and read a
//! mebibyte at a time with the kernel's own read-ahead. Nothing is checked: neither who asks nor whether the bytes are right.
//!
//! `floor ADDRESS [FILE | CERTIFICATE KEY]`

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::{Server, ShutdownWatch};
use pingora::services::listening::Service;

/// The largest object.
const MEMORY_BYTES: usize = 1 << 30;

/// Written at a time: smaller pieces cost more, larger ones no less.
const PIECE_BYTES: u64 = 1 << 20;

struct Floor {
    memory: Bytes,
    file: Option<PathBuf>,
}

/// What is asked for.
struct Wanted {
    object_bytes: u64,
    /// First byte, and one past the last.
    range: Option<(u64, u64)>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, rest) = arguments.split_first().expect("an address to listen on");
    let file = match rest {
        [file] => Some(PathBuf::from(file)),
        _ => None,
    };
    // Not zeroes: the kernel has one page for all of those.
    let memory = Bytes::from(vec![0x5a; MEMORY_BYTES]);
    let mut service = Service::new("floor".to_owned(), Floor { memory, file });
    match rest {
        [certificate, key] => service.add_tls(address, certificate, key).expect("a certificate and its key"),
        _ => service.add_tcp(address),
    }
    let mut server = Server::new(None).expect("a server without a configuration");
    server.bootstrap();
    server.add_service(service);
    server.run_forever();
}

#[async_trait]
impl HttpServerApp for Floor {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        session.set_keepalive(Some(60));
        let wanted = Wanted::of(&session);
        let (start, end) = wanted.range.unwrap_or((0, wanted.object_bytes));
        session.write_response_header(Box::new(wanted.head())).await.ok()?;
        match &self.file {
            Some(file) => write_file(&mut session, file, start, end).await?,
            None => self.write_memory(&mut session, start, end).await?,
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}

impl Floor {
    async fn write_memory(&self, session: &mut ServerSession, start: u64, end: u64) -> Option<()> {
        let mut at = start;
        while at < end {
            let next = end.min(at + PIECE_BYTES);
            session
                .write_response_body(self.memory.slice(at as usize..next as usize), next == end)
                .await
                .ok()?;
            at = next;
        }
        Some(())
    }
}

/// One piece after the other, out of and into one buffer.
async fn write_file(session: &mut ServerSession, file: &Path, start: u64, end: u64) -> Option<()> {
    // The kernel reads ahead of each open file by itself.
    let file = Arc::new(File::open(file).ok()?);
    let mut buffer = BytesMut::zeroed(PIECE_BYTES as usize);
    let mut at = start;
    while at < end {
        let next = end.min(at + PIECE_BYTES);
        let file = file.clone();
        buffer.resize((next - at) as usize, 0);
        let reading = move || file.read_exact_at(&mut buffer, at).map(|()| buffer.freeze());
        let piece = tokio::task::spawn_blocking(reading).await.ok()?.ok()?;
        session.write_response_body(piece.clone(), next == end).await.ok()?;
        buffer = piece.try_into_mut().unwrap_or_else(|_| BytesMut::zeroed(PIECE_BYTES as usize));
        at = next;
    }
    Some(())
}

impl Wanted {
    fn of(session: &ServerSession) -> Self {
        let head = session.req_header();
        let mut segments = head.uri.path().split('/').skip(2);
        let object_bytes: u64 = segments.next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        let object_bytes = object_bytes.min(MEMORY_BYTES as u64);
        let range = head.headers.get("range").and_then(|range| {
            let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
            let end = last.parse::<u64>().map_or(object_bytes, |last| object_bytes.min(last + 1));
            Some((first.parse().ok()?, end))
        });
        Self { object_bytes, range: range.filter(|(start, end)| start < end) }
    }

    fn head(&self) -> ResponseHeader {
        let (status, start, end) = match self.range {
            Some((start, end)) => (206, start, end),
            None => (200, 0, self.object_bytes),
        };
        let mut head = ResponseHeader::build(status, Some(6)).expect("a status");
        let mut say = |name: &'static str, value: String| {
            head.insert_header(name, value).expect("numbers and words are header text");
        };
        say("content-length", (end - start).to_string());
        say("accept-ranges", "bytes".to_owned());
        // Caches ask whether the slices of an object are of one version.
        say("etag", "\"floor\"".to_owned());
        say("last-modified", "Sun, 01 Nov 2026 00:00:00 GMT".to_owned());
        say("content-type", "application/octet-stream".to_owned());
        if self.range.is_some() {
            say("content-range", format!("bytes {start}-{}/{}", end - 1, self.object_bytes));
        }
        head
    }
}
