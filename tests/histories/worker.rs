//! One client of a history: what it does, drawn at random, and what it makes of each answer.
//!
//! A write whose answer is no word on what happened (none at all, or a failure of the server's) is recorded as
//! unanswered. A read that breaks off counts with what had arrived of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::HeaderMap;
use md5::{Digest, Md5};
use tests::random::Random;
use tests::{Client, Content, Request};
use tokio::time::{sleep, timeout};

use super::history::{Action, Condition, ContentId, Nanos, Recorder, Seen, Version, WriteId};

/// Operations of one client, at most; and at least, so that a slow machine makes a history longer and not thinner.
const OPERATIONS_MAX: u32 = 60;
const OPERATIONS_MIN: u32 = 8;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// How long one waits who asks again when there is none.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);

/// The longest that a client thinks between two operations.
const THINKS_MILLISECONDS: u64 = 40;

/// The write that made an object, in its metadata.
const ID_HEADER: &str = "x-amz-meta-id";

/// A region's bucket, and the keys in it that this history is about.
#[derive(Clone)]
pub(super) struct Place {
    /// The bucket.
    pub(super) bucket: String,
    /// What all keys begin with.
    pub(super) prefix: String,
    /// The keys.
    pub(super) keys: Vec<String>,
}

/// The ways to one place for a client in one region.
#[derive(Clone)]
pub(super) struct Doors {
    /// The place they lead to.
    pub(super) place: Place,
    /// The node's standard listener.
    pub(super) standard: Client,
    /// The node's accelerated listener.
    pub(super) accelerated: Client,
}

/// A client of one region's node.
pub(super) struct Worker {
    /// The ways to each place.
    pub(super) doors: Vec<Doors>,
    /// What it draws from.
    pub(super) random: Random,
    /// Where it writes down what happens.
    pub(super) recorder: Arc<Recorder>,
    /// Whether to begin nothing more.
    pub(super) is_over: Arc<AtomicBool>,
    /// The bytes that it saw last.
    pub(super) last_seen: Option<ContentId>,
}

/// An answer, if one came that says what happened.
enum Reply {
    Answer(Whole),
    Unknown,
}

struct Whole {
    status: u16,
    headers: HeaderMap,
    body: BytesMut,
    /// Whether the body broke off.
    is_broken: bool,
}

/// Which bytes of an object a read asks for.
#[derive(Clone, Copy)]
enum Part {
    All,
    /// From the first, up to the last or the object's end.
    Range(u64, u64),
    /// The head alone.
    None,
}

impl Worker {
    /// Works until it is over.
    pub(super) async fn work(mut self) -> u32 {
        let mut done = 0;
        while done < OPERATIONS_MIN || (done < OPERATIONS_MAX && !self.is_over.load(Ordering::Relaxed)) {
            self.one_operation().await;
            done += 1;
            sleep(Duration::from_millis(self.random.below(THINKS_MILLISECONDS))).await;
        }
        done
    }

    async fn one_operation(&mut self) {
        let doors = &self.doors[self.random.below(self.doors.len() as u64) as usize];
        let client = match self.random.below(10) {
            0..3 => doors.standard.clone(),
            _ => doors.accelerated.clone(),
        };
        let place = doors.place.clone();
        let key = place.keys[self.random.below(place.keys.len() as u64) as usize].clone();
        let at = At { client, recorder: Arc::clone(&self.recorder), bucket: place.bucket.clone(), key };
        match self.random.below(100) {
            0..28 => self.read(&at, Part::All).await,
            28..44 => {
                let start = self.random.below(4096);
                let length = 1 + self.random.below(100_000);
                self.read(&at, Part::Range(start, start + length)).await;
            }
            44..52 => self.read(&at, Part::None).await,
            52..70 => at.put(Condition::Always).await,
            70..75 => at.put(Condition::Nothing).await,
            75..81 => match self.last_seen {
                Some(content) => at.put(Condition::Holds(content)).await,
                None => self.read(&at, Part::All).await,
            },
            81..84 => at.put_multipart().await,
            84..89 => at.delete().await,
            89 => at.delete_all(&place).await,
            90..94 => {
                let source = &place.keys[self.random.below(place.keys.len() as u64) as usize];
                at.copy_from(source).await;
            }
            _ => at.list(&place).await,
        }
    }

    /// Reads once, or several times in a row: the later ones are what a cache answers.
    async fn read(&mut self, at: &At, part: Part) {
        for _ in 0..=self.random.below(4) {
            if let Some(Seen::Written(_, content)) = at.read(part).await {
                self.last_seen = Some(content);
            }
        }
    }
}

/// Reads `key` once, whole; whether there was an answer.
pub(super) async fn look(client: Client, recorder: Arc<Recorder>, bucket: String, key: String) -> bool {
    let looking = async { At { client, recorder, bucket, key }.read(Part::All).await.is_some() };
    timeout(SHORT_PATIENCE, looking).await.unwrap_or(false)
}

/// One key as a client reaches it.
struct At {
    client: Client,
    recorder: Arc<Recorder>,
    bucket: String,
    key: String,
}

impl At {
    fn name(&self) -> String {
        name(&self.bucket, &self.key)
    }

    fn target(&self) -> String {
        format!("/{}/{}", self.bucket, self.key)
    }

    /// What the read saw, if it had an answer.
    async fn read(&self, part: Part) -> Option<Seen> {
        let method = if matches!(part, Part::None) { "HEAD" } else { "GET" };
        let mut request = Request::new(method, self.target());
        if let Part::Range(start, end) = part {
            request = request.header("range", format!("bytes={start}-{}", end - 1));
        }
        let called = self.recorder.now();
        let Reply::Answer(answer) = exchange(&self.client, request).await else { return None };
        let seen = match answer.status {
            200 | 206 => {
                if header(&answer, "cache-status").contains("; hit") {
                    self.recorder.hit();
                }
                self.written(&answer, part)?
            }
            404 => Seen::Nothing,
            // The range begins past the end of what is there.
            416 => Seen::Something,
            status => {
                self.unexpected("read", status, &answer);
                return None;
            }
        };
        self.recorder.answered(&self.name(), called, Action::See(seen));
        Some(seen)
    }

    /// Which object an answer is of; every byte of it must be that object's.
    fn written(&self, answer: &Whole, part: Part) -> Option<Seen> {
        let etag = header(answer, "etag");
        let Some(content) = self.recorder.content_of(etag) else {
            self.anomaly(format!("ETag {etag} is of bytes that nobody sent"));
            return None;
        };
        let Ok(id) = header(answer, ID_HEADER).parse::<WriteId>() else {
            self.anomaly(format!("{ID_HEADER} is {:?}", header(answer, ID_HEADER)));
            return None;
        };
        let whole = content_bytes(content);
        let (start, end) = match part {
            Part::Range(start, end) => (start, end.min(whole.bytes)),
            Part::All | Part::None => (0, whole.bytes),
        };
        if let Part::Range(..) = part
            && header(answer, "content-range") != format!("bytes {start}-{}/{}", end - 1, whole.bytes)
        {
            self.anomaly(format!("write {id}: content-range {}", header(answer, "content-range")));
            return None;
        }
        let wanted = whole.range(start, end);
        let is_right = match part {
            Part::None => {
                answer.body.is_empty() && header(answer, "content-length") == whole.bytes.to_string()
            }
            Part::All | Part::Range(..) if answer.is_broken => wanted.starts_with(&answer.body),
            Part::All | Part::Range(..) => wanted == answer.body,
        };
        if !is_right {
            let got = answer.body.len();
            self.anomaly(format!("write {id}: {got} bytes that are not {start}..{end} of content {content}"));
            return None;
        }
        Some(Seen::Written(id, content))
    }

    async fn put(&self, condition: Condition) {
        let id = self.recorder.next_id();
        let content = content_bytes(id);
        let body = content.all();
        let etag = hex::encode(Md5::digest(&body));
        self.recorder.know(&etag, id);
        let mut request = Request::new("PUT", self.target()).header(ID_HEADER, id.to_string()).body(body);
        match condition {
            Condition::Always => {}
            Condition::Nothing => request = request.header("if-none-match", "*"),
            Condition::Holds(held) => {
                request = request.header("if-match", format!("\"{}\"", self.recorder.etag_of(held)));
            }
        }
        let called = self.recorder.now();
        let reply = exchange(&self.client, request).await;
        self.record_write(called, Version { id, content: Some(id) }, condition, reply);
    }

    /// Uploads in one part, and completes.
    async fn put_multipart(&self) {
        let id = self.recorder.next_id();
        let body = content_bytes(id).all();
        let digest = Md5::digest(Md5::digest(&body));
        self.recorder.know(&format!("{}-1", hex::encode(digest)), id);
        let create = Request::new("POST", format!("{}?uploads", self.target()));
        let Reply::Answer(created) = exchange(&self.client, create.header(ID_HEADER, id.to_string())).await
        else {
            return;
        };
        let Some(upload) = element(&created, "UploadId") else { return };
        let part = Request::new("PUT", format!("{}?partNumber=1&uploadId={upload}", self.target()));
        let Reply::Answer(part) = exchange(&self.client, part.body(body)).await else { return };
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
            header(&part, "etag")
        );
        let complete = Request::new("POST", format!("{}?uploadId={upload}", self.target())).body(list);
        let called = self.recorder.now();
        let reply = exchange(&self.client, complete).await;
        // An answer that began before the work was done tells its failure in the body.
        let reply = match reply {
            Reply::Answer(answer) if element(&answer, "ETag").is_none() => Reply::Unknown,
            reply => reply,
        };
        self.record_write(called, Version { id, content: Some(id) }, Condition::Always, reply);
    }

    async fn copy_from(&self, source: &str) {
        let id = self.recorder.next_id();
        let request = Request::new("PUT", self.target())
            .header("x-amz-copy-source", format!("/{}/{source}", self.bucket))
            .header("x-amz-metadata-directive", "REPLACE")
            .header(ID_HEADER, id.to_string());
        let source = name(&self.bucket, source);
        let called = self.recorder.now();
        let reply = exchange(&self.client, request).await;
        match reply {
            Reply::Answer(answer) if answer.status == 200 => {
                let etag = element(&answer, "ETag").unwrap_or_default().replace("&quot;", "");
                match self.recorder.content_of(&etag) {
                    Some(content) => {
                        let sight = Action::See(Seen::Content(content));
                        self.recorder.answered(&source, called, sight);
                        let version = Version { id, content: Some(content) };
                        self.record_write(called, version, Condition::Always, Reply::Answer(answer));
                    }
                    // The answer may end in the middle: then nobody knows.
                    None if etag.is_empty() => {
                        self.recorder.unanswered_copy(&source, &self.name(), called, id);
                    }
                    None => self.anomaly(format!("a copy has ETag {etag}, which nobody sent")),
                }
            }
            Reply::Answer(answer) if answer.status == 404 => {
                self.recorder.answered(&source, called, Action::See(Seen::Nothing));
            }
            // OperationAborted: the source changed again and again.
            Reply::Answer(answer) if answer.status == 409 => {}
            Reply::Answer(answer) => self.unexpected("copy", answer.status, &answer),
            Reply::Unknown => self.recorder.unanswered_copy(&source, &self.name(), called, id),
        }
    }

    async fn delete(&self) {
        let called = self.recorder.now();
        match exchange(&self.client, Request::new("DELETE", self.target())).await {
            Reply::Answer(answer) if answer.status == 204 => {
                self.recorder.answered(&self.name(), called, Action::Delete);
            }
            Reply::Answer(answer) => self.unexpected("delete", answer.status, &answer),
            Reply::Unknown => self.recorder.unanswered(&self.name(), called, Action::Delete),
        }
    }

    /// DeleteObjects of every key of the place: one request, and one delete for each.
    async fn delete_all(&self, place: &Place) {
        let objects: String =
            place.keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
        let list = format!("<Delete>{objects}</Delete>");
        let digest = STANDARD.encode(Md5::digest(&list));
        let request = Request::new("POST", format!("/{}?delete", self.bucket));
        let called = self.recorder.now();
        let reply = exchange(&self.client, request.header("content-md5", digest).body(list)).await;
        let answer = match &reply {
            Reply::Answer(answer) if answer.status != 200 => {
                return self.unexpected("delete of several", answer.status, answer);
            }
            Reply::Answer(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Reply::Unknown => String::new(),
        };
        for key in &place.keys {
            let name = name(&self.bucket, key);
            // A key that is not among the deleted may be: the answer may have broken off.
            match answer.contains(&format!("<Deleted><Key>{key}</Key>")) {
                true => self.recorder.answered(&name, called, Action::Delete),
                false => self.recorder.unanswered(&name, called, Action::Delete),
            }
        }
    }

    /// A listing is one look at each key.
    async fn list(&self, place: &Place) {
        let target = format!("/{}?list-type=2&prefix={}", self.bucket, place.prefix.replace('/', "%2F"));
        let called = self.recorder.now();
        let Reply::Answer(answer) = exchange(&self.client, Request::new("GET", target)).await else { return };
        if answer.status != 200 || answer.is_broken {
            return self.unexpected("list", answer.status, &answer);
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let mut listed = Vec::new();
        for entry in text.split("<Contents>").skip(1) {
            let etag = between(entry, "<ETag>", "</ETag>").unwrap_or_default().replace("&quot;", "");
            let key = between(entry, "<Key>", "</Key>").unwrap_or_default();
            let Some(content) = self.recorder.content_of(&etag) else {
                return self.anomaly(format!("a listing has ETag {etag:?}, which nobody sent"));
            };
            listed.push((key.to_owned(), content));
        }
        for key in &place.keys {
            let entry = listed.iter().find(|(listed, _)| listed == key);
            let seen = entry.map_or(Seen::Nothing, |(_, content)| Seen::Content(*content));
            self.recorder.answered(&name(&self.bucket, key), called, Action::See(seen));
        }
    }

    fn record_write(&self, called: Nanos, version: Version, condition: Condition, reply: Reply) {
        let write = Action::Write(version, condition);
        let answer = match reply {
            Reply::Unknown => return self.recorder.unanswered(&self.name(), called, write),
            Reply::Answer(answer) => answer,
        };
        let action = match (answer.status, condition) {
            (200, _) => write,
            (412, Condition::Nothing) => Action::See(Seen::Something),
            (412, Condition::Holds(held)) => Action::See(Seen::SomethingBut(held)),
            (404, Condition::Holds(_)) => Action::See(Seen::Nothing),
            (status, _) => return self.unexpected("write", status, &answer),
        };
        self.recorder.answered(&self.name(), called, action);
    }

    fn unexpected(&self, what: &str, status: u16, answer: &Whole) {
        let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(400)]).into_owned();
        self.anomaly(format!("{what} was answered with {status}: {body}"));
    }

    fn anomaly(&self, text: String) {
        self.recorder.anomaly(format!("{} at {}: {text}", self.name(), self.client.origin()));
    }
}

/// The bytes called `content`: mostly kept inline in the metadata, some in files, some longer than a block.
pub(super) fn content_bytes(content: ContentId) -> Content {
    let bytes = match content % 16 {
        0..12 => 1 + content * 37 % 4096,
        12..15 => 20_000 + content * 97 % 100_000,
        _ => (1 << 20) + content % 4096,
    };
    Content::new(content, bytes)
}

/// A key's name in a history.
pub(super) fn name(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// Sends `request` and waits for its answer for as long as a client does.
async fn exchange(client: &Client, request: Request) -> Reply {
    timeout(PATIENCE, receive(client, request)).await.unwrap_or(Reply::Unknown)
}

async fn receive(client: &Client, request: Request) -> Reply {
    let Ok(mut response) = client.open(request).await else { return Reply::Unknown };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // The server's own failures, and its doubts about a request that came too slowly, say nothing of what happened.
    if status >= 500 || status == 408 {
        return Reply::Unknown;
    }
    let mut body = BytesMut::new();
    let is_broken = loop {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    Reply::Answer(Whole { status, headers, body, is_broken })
}

fn header<'a>(answer: &'a Whole, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn element(answer: &Whole, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    between(&text, &format!("<{name}>"), "</").map(str::to_owned)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}
