//! Random operations on a store that keeps versions, sometimes, and on a map in memory: both answer alike, also after
//! the store was opened again, and in the end the deep check finds nothing.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};

use crate::region::{Answer, Region};

const KEYS: [&str; 3] = ["a", "a/b", "b"];

#[derive(Clone, Debug)]
enum Step {
    Versioning {
        is_enabled: bool,
    },
    Put {
        key: &'static str,
        body: String,
    },
    Copy {
        from: Nth,
        to: &'static str,
    },
    Delete {
        key: &'static str,
    },
    /// Two by one request: the first key, and a version of the second.
    DeleteMany {
        key: &'static str,
        version: Nth,
    },
    DeleteVersion {
        version: Nth,
    },
    Tag {
        version: Nth,
    },
    Get {
        version: Nth,
    },
    List {
        prefix: &'static str,
        max: usize,
    },
    Reopen,
}

/// A version of a key: by its place from the newest, as far as there are so many; the last named without its id.
#[derive(Clone, Copy, Debug)]
struct Nth {
    key: &'static str,
    place: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// `null`, or what the store has called it.
    id: String,
    /// `None`: a delete marker.
    body: Option<String>,
    is_tagged: bool,
}

#[derive(Default)]
struct Model {
    /// `None`: never.
    is_enabled: Option<bool>,
    /// Newest first.
    keys: BTreeMap<&'static str, Vec<Entry>>,
}

impl Model {
    fn entries(&self, key: &str) -> &[Entry] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// What a request names: the query, and what is there.
    fn named(&self, Nth { key, place }: Nth) -> (String, Option<&Entry>) {
        match self.entries(key).get(place) {
            Some(entry) => (format!("versionId={}", entry.id), Some(entry)),
            None => (String::new(), self.entries(key).first()),
        }
    }

    fn add(&mut self, key: &'static str, entry: Entry) {
        let entries = self.keys.entry(key).or_default();
        entries.retain(|old| entry.id != "null" || old.id != "null");
        entries.insert(0, entry);
    }

    fn remove(&mut self, key: &str, id: &str) {
        if let Some(entries) = self.keys.get_mut(key) {
            entries.retain(|entry| entry.id != id);
        }
    }

    /// The id that a write gets, as its answer says it.
    fn verify_new_id(&self, said: &str) -> String {
        match self.is_enabled {
            Some(true) => {
                let is_new = self.keys.values().flatten().all(|entry| entry.id != said);
                assert!(said.len() == 32 && is_new, "{said}");
                said.to_owned()
            }
            Some(false) | None => "null".to_owned(),
        }
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

fn nth() -> impl Strategy<Value = Nth> {
    (key(), 0..4_usize).prop_map(|(key, place)| Nth { key, place })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2_u8).prop_map(|state| Step::Versioning { is_enabled: state == 0 }),
        6 => (key(), "[a-z]{1,4}").prop_map(|(key, body)| Step::Put { key, body }),
        2 => (nth(), key()).prop_map(|(from, to)| Step::Copy { from, to }),
        3 => key().prop_map(|key| Step::Delete { key }),
        2 => (key(), nth()).prop_map(|(key, version)| Step::DeleteMany { key, version }),
        3 => nth().prop_map(|version| Step::DeleteVersion { version }),
        2 => nth().prop_map(|version| Step::Tag { version }),
        3 => nth().prop_map(|version| Step::Get { version }),
        3 => (prop::sample::select(&["", "a", "a/"][..]), 1..5_usize).prop_map(|(prefix, max)| Step::List { prefix, max }),
        1 => Just(Step::Reopen),
    ]
}

/// Few cases, for each writes to a disk; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_behaves_as_a_map_of_versions(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let (mut region, mut model) = (Region::start().await, Model::default());
            for step in steps {
                take(&mut region, &mut model, step).await;
            }
            for max in [1, 2, 100] {
                list(&region, &model, "", max).await;
            }
            for key in KEYS {
                for place in 0..=model.entries(key).len() {
                    get(&region, &model, Nth { key, place }).await;
                }
            }
            let dir = region.close().await;
            let report = origin::regional::RegionalStore::check_deep(dir.path()).await.expect("checked");
            assert_eq!(report.faults, Vec::<String>::new());
        });
    }
}

async fn take(region: &mut Region, model: &mut Model, step: Step) {
    match step {
        Step::Versioning { is_enabled } => {
            region.set_versioning(if is_enabled { "Enabled" } else { "Suspended" }).await.ok();
            model.is_enabled = Some(is_enabled);
        }
        Step::Put { key, body } => {
            let answer = region.put(key, body.clone()).await;
            let id = model.verify_new_id(answer.header("x-amz-version-id"));
            model.add(key, Entry { id, body: Some(body), is_tagged: false });
        }
        Step::Copy { from, to } => copy(region, model, from, to).await,
        Step::Delete { key } => {
            let answer = region.send("DELETE", &format!("/photos/{key}"), &[], "").await.ok();
            deleted(model, key, answer.header("x-amz-version-id"));
        }
        Step::DeleteMany { key, version } => delete_many(region, model, key, version).await,
        Step::DeleteVersion { version } => {
            let (query, entry) = model.named(version);
            let id = entry.filter(|_| !query.is_empty()).map(|entry| entry.id.clone());
            let answer =
                region.send("DELETE", &format!("/photos/{}?{query}", version.key), &[], "").await.ok();
            match id {
                Some(id) => {
                    assert_eq!(answer.header("x-amz-version-id"), id);
                    model.remove(version.key, &id);
                }
                None => deleted(model, version.key, answer.header("x-amz-version-id")),
            }
        }
        Step::Tag { version } => {
            let (query, entry) = model.named(version);
            let id = entry.map(|entry| (entry.id.clone(), entry.body.is_some()));
            let body = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
            let answer =
                region.send("PUT", &format!("/photos/{}?tagging&{query}", version.key), &[], body).await;
            match id {
                Some((id, true)) => {
                    answer.ok();
                    let entries = model.keys.get_mut(version.key).expect("entries");
                    entries
                        .iter_mut()
                        .filter(|entry| entry.id == id)
                        .for_each(|entry| entry.is_tagged = true);
                }
                Some((_, false)) if !query.is_empty() => assert_eq!(answer.status, 405),
                Some(_) | None => assert_eq!(answer.status, 404),
            }
        }
        Step::Get { version } => get(region, model, version).await,
        Step::List { prefix, max } => list(region, model, prefix, max).await,
        Step::Reopen => region.reopen().await,
    }
}

/// A delete without a version has happened and was answered with this id.
fn deleted(model: &mut Model, key: &'static str, said: &str) {
    match model.is_enabled {
        None => {
            assert_eq!(said, "");
            model.remove(key, "null");
        }
        Some(is_enabled) => {
            let id = model.verify_new_id(said);
            assert!(is_enabled || said == "null");
            model.add(key, Entry { id, body: None, is_tagged: false });
        }
    }
}

async fn delete_many(region: &Region, model: &mut Model, key: &'static str, version: Nth) {
    let (query, entry) = model.named(version);
    let id = entry.filter(|_| !query.is_empty()).map(|entry| entry.id.clone());
    let named = id.as_ref().map(|id| format!("<VersionId>{id}</VersionId>")).unwrap_or_default();
    let second = id
        .as_ref()
        .map(|_| format!("<Object><Key>{}</Key>{named}</Object>", version.key))
        .unwrap_or_default();
    let body = format!("<Delete><Object><Key>{key}</Key></Object>{second}</Delete>");
    let answer = region.send("POST", "/photos?delete", &[], body).await.ok();
    assert_eq!(answer.elements("Error"), Vec::<String>::new());
    deleted(model, key, &answer.element("DeleteMarkerVersionId"));
    if let Some(id) = id {
        // The null version that is named may be the marker that the first has just made.
        model.remove(version.key, &id);
    }
}

async fn copy(region: &Region, model: &mut Model, from: Nth, to: &'static str) {
    let (query, entry) = model.named(from);
    let source = match query.as_str() {
        "" => format!("photos/{}", from.key),
        query => format!("photos/{}?{query}", from.key),
    };
    let answer = region.send("PUT", &format!("/photos/{to}"), &[("x-amz-copy-source", &source)], "").await;
    let entry = entry.cloned();
    match entry {
        _ if from.key == to && query.is_empty() => assert_eq!(answer.status, 400, "{source}"),
        None => assert_eq!(answer.status, 404, "{source}"),
        Some(Entry { body: None, .. }) if query.is_empty() => assert_eq!(answer.status, 404, "{source}"),
        Some(Entry { body: None, .. }) => assert_eq!(answer.status, 400, "{source}"),
        Some(entry) => {
            let answer = answer.ok();
            if model.is_enabled.is_some() {
                assert_eq!(answer.header("x-amz-copy-source-version-id"), entry.id);
            }
            let id = model.verify_new_id(answer.header("x-amz-version-id"));
            model.add(to, Entry { id, ..entry });
        }
    }
}

async fn get(region: &Region, model: &Model, version: Nth) {
    let (query, entry) = model.named(version);
    let answer = region.send("GET", &format!("/photos/{}?{query}", version.key), &[], "").await;
    match entry {
        Some(Entry { body: Some(body), id, is_tagged }) => {
            let answer = answer.ok();
            let shown = if model.is_enabled.is_some() { id.as_str() } else { "" };
            assert_eq!((answer.text(), answer.header("x-amz-version-id")), (body.clone(), shown));
            assert_eq!(answer.header("x-amz-tagging-count") == "1", *is_tagged);
        }
        Some(Entry { body: None, id, .. }) => {
            let status = if query.is_empty() { 404 } else { 405 };
            assert_eq!((answer.status.as_u16(), answer.header("x-amz-version-id")), (status, id.as_str()));
        }
        None => assert_eq!(answer.error(), (404, "NoSuchKey".to_owned())),
    }
}

/// All pages of a listing of versions, and what a plain listing shows beside it.
async fn list(region: &Region, model: &Model, prefix: &str, max: usize) {
    let keys = || model.keys.iter().filter(|(key, _)| key.starts_with(prefix));
    let expected: Vec<_> = keys()
        .flat_map(|(key, entries)| {
            let entries = entries.iter().enumerate();
            entries
                .map(|(place, entry)| ((*key).to_owned(), entry.id.clone(), entry.body.is_none(), place == 0))
        })
        .collect();
    let (mut found, mut marker) = (Vec::new(), String::new());
    loop {
        let target = format!("/photos?versions&prefix={prefix}&max-keys={max}{marker}");
        let listing = region.send("GET", &target, &[], "").await.ok();
        let mut page = [listed(&listing, "Version"), listed(&listing, "DeleteMarker")].concat();
        page.sort_by_key(|entry| expected.iter().position(|listed| listed == entry));
        found.extend(page);
        if listing.element("IsTruncated") == "false" {
            break;
        }
        let (key, id) = (listing.element("NextKeyMarker"), listing.element("NextVersionIdMarker"));
        marker = format!("&key-marker={key}&version-id-marker={id}");
    }
    assert_eq!(found, expected, "{prefix} {max}");
    let current: Vec<_> = keys()
        .filter(|(_, entries)| entries.first().is_some_and(|entry| entry.body.is_some()))
        .map(|(key, _)| (*key).to_owned())
        .collect();
    assert_eq!(region.list(&format!("prefix={prefix}"), "Key").await, current);
}

fn listed(listing: &Answer, name: &str) -> Vec<(String, String, bool, bool)> {
    let field = |inner: &str, name: &str| {
        let (_, rest) = inner.split_once(&format!("<{name}>")).expect(name);
        rest.split_once('<').expect("its end").0.to_owned()
    };
    let entries = listing.elements(name).into_iter();
    entries
        .map(|inner| {
            let (key, id) = (field(&inner, "Key"), field(&inner, "VersionId"));
            (key, id, name == "DeleteMarker", field(&inner, "IsLatest") == "true")
        })
        .collect()
}
