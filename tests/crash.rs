//! Power cuts: what was answered is there afterwards, whole, and what was not leaves nothing behind.

use std::fs;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use futures::future::join_all;
use tests::disk::data_files;
use tests::random::Random;
use tests::{Answer, Client, Cluster, Content, MIB, Options, Request, eventually};

const KILLS: u32 = 50;
const WRITERS: u64 = 6;
const KEYS_PER_WRITER: u64 = 6;

/// Objects up to this size are kept in the metadata, larger ones in files.
const INLINE_BYTES_MAX: u64 = 16 * 1024;

/// Fifty kills at random moments of a mixed load. After each, every key holds what its last answered write left, or
/// what a write left that was cut off before its answer; never anything else, never a part of it. In the end the disk
/// holds the live objects and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_writes_survive_fifty_kills() {
    let mut cluster = Cluster::start_with(Options::settings("[store]\ngrace = \"1s\"").served()).await;
    cluster.standard("ord1").create_bucket("data").await;
    let mut random = Random::new(0x5EED);
    let mut writers: Vec<_> = (0..WRITERS).map(|id| Writer::new(id, &mut random)).collect();
    for _ in 0..KILLS {
        let client = cluster.standard("ord1");
        let working: Vec<_> = writers
            .into_iter()
            .map(|mut writer| {
                let client = client.clone();
                tokio::spawn(async move {
                    writer.work(&client).await;
                    writer
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(10 + random.below(250))).await;
        cluster.kill_node("ord1");
        writers = join_all(working)
            .await
            .into_iter()
            .map(|writer| writer.expect("a writer's checks hold"))
            .collect();
        cluster.start_node_again("ord1").await;
        let client = cluster.standard("ord1");
        join_all(writers.iter_mut().map(|writer| writer.check(&client))).await;
    }
    let client = cluster.standard("ord1");
    let live = writers.iter().flat_map(|writer| &writer.keys).filter_map(|key| key.may_hold[0]);
    let in_files: u64 = live.map(|content| content.bytes).filter(|bytes| *bytes > INLINE_BYTES_MAX).sum();
    abort_uploads(&client).await;
    wait_for_data_bytes(&cluster, in_files).await;

    for key in writers.iter().flat_map(|writer| &writer.keys) {
        let _ = client.delete("data", &key.name).await.ok();
    }
    wait_for_data_bytes(&cluster, 0).await;
}

/// One writer, alone on its keys, so that it knows what each may hold.
struct Writer {
    keys: Vec<Key>,
    random: Random,
}

struct Key {
    name: String,
    /// One content once the last write was answered or looked at; more while writes are unanswered.
    may_hold: Vec<Option<Content>>,
}

impl Writer {
    fn new(id: u64, random: &mut Random) -> Self {
        let keys =
            (0..KEYS_PER_WRITER).map(|key| Key { name: format!("w{id}/k{key}"), may_hold: vec![None] });
        Self { keys: keys.collect(), random: Random::new(random.draw()) }
    }

    /// Writes until the server is gone.
    async fn work(&mut self, client: &Client) {
        loop {
            let key = &mut self.keys[self.random.below(KEYS_PER_WRITER) as usize];
            let seed = self.random.draw();
            let (written, answer) = match self.random.below(10) {
                0..4 => key.put(client, Content::new(seed, 1 + seed % INLINE_BYTES_MAX)).await,
                4..7 => key.put(client, Content::new(seed, INLINE_BYTES_MAX + 1 + seed % MIB)).await,
                7 => key.put_multipart(client, Content::new(seed, 5 * MIB + 1 + seed % MIB)).await,
                _ => key.delete(client).await,
            };
            match answer {
                Ok(answer) => {
                    let _ = answer.ok();
                    key.may_hold = vec![written];
                }
                Err(_) => return,
            }
        }
    }

    /// Reads every key, and settles on what it found.
    async fn check(&mut self, client: &Client) {
        for key in &mut self.keys {
            let found = key.read(client).await;
            assert!(
                key.may_hold.contains(&found),
                "{} holds {found:?}, not one of {:?}",
                key.name,
                key.may_hold
            );
            key.may_hold = vec![found];
        }
    }
}

type Written = (Option<Content>, reqwest::Result<Answer>);

impl Key {
    async fn put(&mut self, client: &Client, content: Content) -> Written {
        self.may_hold.push(Some(content));
        let request = Request::new("PUT", format!("/data/{}", self.name))
            .header("x-amz-meta-seed", content.seed.to_string());
        (Some(content), client.try_send(request.body(content.all())).await)
    }

    async fn put_multipart(&mut self, client: &Client, content: Content) -> Written {
        let answer = async {
            let target = format!("/data/{}", self.name);
            let create = Request::new("POST", format!("{target}?uploads"));
            let create = create.header("x-amz-meta-seed", content.seed.to_string());
            let id = client.try_send(create).await?.ok().element("UploadId");
            let mut parts = String::new();
            for (number, (start, end)) in [(1, (0, 5 * MIB)), (2, (5 * MIB, content.bytes))] {
                let part = Request::new("PUT", format!("{target}?partNumber={number}&uploadId={id}"));
                let etag = client
                    .try_send(part.body(content.range(start, end)))
                    .await?
                    .ok()
                    .header("etag")
                    .to_owned();
                parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
            }
            self.may_hold.push(Some(content));
            let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
            client.try_send(Request::new("POST", format!("{target}?uploadId={id}")).body(list)).await
        };
        (Some(content), answer.await)
    }

    async fn delete(&mut self, client: &Client) -> Written {
        self.may_hold.push(None);
        (None, client.try_send(Request::new("DELETE", format!("/data/{}", self.name))).await)
    }

    /// What the key holds now, every byte checked.
    async fn read(&self, client: &Client) -> Option<Content> {
        let request = Request::new("GET", format!("/data/{}", self.name));
        let answer = client.send(request.header("x-amz-checksum-mode", "ENABLED")).await;
        if answer.refusal() == (404, "NoSuchKey".into()) {
            return None;
        }
        let answer = answer.ok();
        let seed = answer.header("x-amz-meta-seed").parse().expect("the seed in the metadata");
        let content = Content::new(seed, answer.body.len() as u64);
        content.assert_at(0, &answer.body);
        // What an object gets that came without a checksum, in parts or not: of the whole.
        let checksum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &answer.body);
        assert_eq!(answer.header("x-amz-checksum-crc64nvme"), STANDARD.encode(checksum.to_be_bytes()));
        Some(content)
    }
}

/// Aborts every upload that a kill left behind: their parts are live until then.
async fn abort_uploads(client: &Client) {
    let listing = client.send(Request::new("GET", "/data?uploads")).await.ok().text();
    for upload in listing.split("<Upload>").skip(1) {
        let element = |name: &str| {
            let (_, rest) = upload.split_once(&format!("<{name}>")).expect("an element of an upload");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        let target = format!("/data/{}?uploadId={}", element("Key"), element("UploadId"));
        let _ = client.send(Request::new("DELETE", target)).await.ok();
    }
}

/// Waits until the data files of ord1's store hold exactly `wanted` bytes.
async fn wait_for_data_bytes(cluster: &Cluster, wanted: u64) {
    let store = cluster.data_dir().join("ord1/store");
    let mut found = 0;
    let is_reached = eventually(async || {
        found = data_files(&store).iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum();
        (found == wanted).then_some(())
    });
    assert!(is_reached.await.is_some(), "{found} bytes in data files, {wanted} wanted");
}
