//! Random operations on a store and on a map in memory: both answer alike, also after the store was opened again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use crate::region::{Region, bytes, md5};

const KEYS: [&str; 6] = ["a", "a/b", "a/c", "b", "b/", "c"];

#[derive(Clone, Debug)]
enum Step {
    Put { key: &'static str, body: Bytes, condition: Condition },
    PutInParts { key: &'static str, body: Bytes, condition: Condition },
    Copy { from: &'static str, to: &'static str, condition: Condition },
    Delete { key: &'static str, condition: Condition },
    DeleteMany { keys: Vec<&'static str> },
    Get { key: &'static str, range: Option<(u64, u64)> },
    List { prefix: &'static str, delimiter: &'static str, after: &'static str, max: usize },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match` with the ETag of the empty object.
    Empty,
}

/// What the store should hold: bodies and ETags by key.
type Model = BTreeMap<String, (Bytes, String)>;

impl Condition {
    fn header(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::None => vec![],
            Self::Absent => vec![("if-none-match", "*")],
            Self::Present => vec![("if-match", "*")],
            Self::Empty => vec![("if-match", "\"d41d8cd98f00b204e9800998ecf8427e\"")],
        }
    }

    /// The status of a refusal, or nothing.
    fn refusal(self, current: Option<&(Bytes, String)>) -> Option<u16> {
        match (self, current) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => None,
            (Self::Absent, Some(_)) => Some(412),
            (Self::Present | Self::Empty, None) => Some(404),
            (Self::Empty, Some((_, etag))) => (etag != "d41d8cd98f00b204e9800998ecf8427e").then_some(412),
        }
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

/// In the row, in one page, over the edge of a page, in several.
fn body() -> impl Strategy<Value = Bytes> {
    const SIZES: [usize; 6] = [0, 7, 16 * 1024, 16 * 1024 + 1, 65_537, 200_000];
    (prop::sample::select(&SIZES[..]), 0..40_usize)
        .prop_map(|(size, shift)| bytes(size + shift).slice(shift..))
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![5 => Just(Condition::None), 1 => Just(Condition::Absent), 1 => Just(Condition::Present), 1 => Just(Condition::Empty)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), body(), condition()).prop_map(|(key, body, condition)| Step::Put { key, body, condition }).boxed(),
        2 => (key(), body(), condition()).prop_map(|(key, body, condition)| Step::PutInParts { key, body, condition }).boxed(),
        3 => (key(), key(), condition()).prop_map(|(from, to, condition)| Step::Copy { from, to, condition }).boxed(),
        2 => (key(), condition()).prop_map(|(key, condition)| Step::Delete { key, condition }).boxed(),
        1 => prop::collection::vec(key(), 1..4).prop_map(|keys| Step::DeleteMany { keys }).boxed(),
        3 => (key(), prop::option::of((0..70_000_u64, any::<u16>()))).prop_map(|(key, range)| {
            Step::Get { key, range: range.map(|(start, more)| (start, start + u64::from(more))) }
        }).boxed(),
        2 => (prop::sample::select(&["", "a", "b/"][..]), prop::sample::select(&["", "/"][..]), prop::sample::select(&["", "a", "a/", "b"][..]), 1..4_usize)
            .prop_map(|(prefix, delimiter, after, max)| Step::List { prefix, delimiter, after, max }).boxed(),
        1 => Just(Step::Reopen).boxed(),
    ]
}

/// Few cases, for each writes to a disk; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8);
    ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_behaves_as_a_map(steps in prop::collection::vec(step(), 1..30)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let (mut region, mut model) = (Region::start().await, Model::new());
            for step in steps {
                take(&mut region, &mut model, &step).await;
            }
            for key in KEYS {
                get(&region, &model, key, None).await;
            }
            region.store.close().await;
        });
    }
}

async fn take(region: &mut Region, model: &mut Model, step: &Step) {
    match step {
        Step::Put { key, body, condition } => {
            let answer = region.put_with(key, body.clone(), &condition.header()).await;
            let refusal = condition.refusal(model.get(*key));
            assert_eq!(answer.status, refusal.unwrap_or(200), "{step:?}");
            if refusal.is_none() {
                model.insert((*key).to_owned(), (body.clone(), md5(body)));
            }
        }
        Step::PutInParts { key, body, condition } => put_in_parts(region, model, key, body, *condition).await,
        Step::Copy { from, to, condition } => copy(region, model, from, to, *condition).await,
        Step::Delete { key, condition } => {
            let answer = region.send("DELETE", &format!("/photos/{key}"), &condition.header(), "").await;
            // A delete has no If-None-Match that could let it pass or not: it is decided all the same.
            // What is not there is deleted already, whatever was expected of it.
            let refusal = condition.refusal(model.get(*key)).filter(|_| model.contains_key(*key));
            assert_eq!(answer.status, refusal.unwrap_or(204), "{step:?}");
            if refusal.is_none() {
                model.remove(*key);
            }
        }
        Step::DeleteMany { keys } => {
            let objects: String =
                keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
            region.send("POST", "/photos?delete", &[], format!("<Delete>{objects}</Delete>")).await.ok();
            keys.iter().for_each(|key| drop(model.remove(*key)));
        }
        Step::Get { key, range } => get(region, model, key, *range).await,
        Step::List { prefix, delimiter, after, max } => {
            list(region, model, prefix, delimiter, after, *max).await;
        }
        Step::Reopen => region.reopen().await,
    }
}

async fn put_in_parts(region: &Region, model: &mut Model, key: &str, body: &Bytes, condition: Condition) {
    let upload = region.start_upload(key, &[]).await;
    let part = region.put_part(key, &upload, 1, body.clone()).await.ok().header("etag").to_owned();
    let answer = region.complete_with(key, &upload, &[(1, &part)], &condition.header()).await;
    let refusal = condition.refusal(model.get(key));
    assert_eq!(answer.status, refusal.unwrap_or(200));
    if refusal.is_none() {
        let etag = format!("{}-1", md5(&hex::decode(md5(body)).expect("hex")));
        model.insert(key.to_owned(), (body.clone(), etag));
    }
}

async fn copy(region: &Region, model: &mut Model, from: &str, to: &str, condition: Condition) {
    let mut headers = condition.header();
    let source = format!("photos/{from}");
    headers.push(("x-amz-copy-source", &source));
    let answer = region.send("PUT", &format!("/photos/{to}"), &headers, "").await;
    let expected = match (model.get(from), condition.refusal(model.get(to))) {
        _ if from == to => 400,
        (None, _) => 404,
        (Some(_), Some(refusal)) => refusal,
        (Some(_), None) => 200,
    };
    assert_eq!(answer.status, expected, "{from} to {to}, {condition:?}");
    if expected == 200 {
        model.insert(to.to_owned(), model[from].clone());
    }
}

async fn get(region: &Region, model: &Model, key: &str, range: Option<(u64, u64)>) {
    let header = range.map(|(first, last)| format!("bytes={first}-{last}"));
    let headers: Vec<_> = header.iter().map(|range| ("range", range.as_str())).collect();
    let answer = region.get_with(key, &headers).await;
    let Some((body, etag)) = model.get(key) else {
        assert_eq!(answer.error(), (404, "NoSuchKey".to_owned()));
        return;
    };
    match range {
        Some((first, _)) if first >= body.len() as u64 => assert_eq!(answer.status, 416),
        Some((first, last)) => {
            let end = body.len().min(last as usize + 1);
            assert!(answer.body == body.slice(first as usize..end), "{key} {range:?}");
        }
        None => {
            assert!(answer.body == body, "{key}");
            assert_eq!(answer.header("etag"), format!("\"{etag}\""));
        }
    }
}

async fn list(region: &Region, model: &Model, prefix: &str, delimiter: &str, after: &str, max: usize) {
    let target = format!("/photos?prefix={prefix}&delimiter={delimiter}&marker={after}&max-keys={max}");
    let answer = region.send("GET", &target, &[], "").await.ok();
    let entries: BTreeSet<String> = model
        .keys()
        .filter(|key| key.starts_with(prefix))
        .map(|key| match key[prefix.len()..].find('/') {
            Some(end) if delimiter == "/" => key[..=prefix.len() + end].to_owned(),
            _ => key.clone(),
        })
        .filter(|entry| after.is_empty() || entry.as_str() > after)
        .collect();
    let shown: BTreeSet<String> =
        answer.elements("Key").into_iter().chain(common_prefixes(&answer)).collect();
    assert_eq!(shown, entries.iter().take(max).cloned().collect(), "{target}");
    assert_eq!(answer.element("IsTruncated"), (entries.len() > max).to_string(), "{target}");
}

fn common_prefixes(answer: &crate::region::Answer) -> impl Iterator<Item = String> {
    let inner = answer.elements("CommonPrefixes").into_iter();
    inner.map(|prefix| prefix.replace("<Prefix>", "").replace("</Prefix>", ""))
}
