//! Random operations on a store and on a map in memory, while days go by: both answer alike, also after the store was
//! opened again or its process killed, and in the end the deep check finds nothing.

mod killed;
mod map;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use origin::regional::{Applied, RegionalStore, RenameObjectInput};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::map::{Body, Entry, Map, Part, Upload};
use self::rules::{Rule, rules};
use crate::region::{Answer, NOON_MILLIS, Region, caller, md5};

const DAY: Duration = Duration::from_secs(24 * 3600);

const KEYS: [&str; 4] = ["a", "a/b", "a/c", "b"];

/// Fewest bytes of a part that is not the last.
const PART_BYTES_MIN: usize = 5 << 20;

#[derive(Clone, Debug)]
enum Step {
    Versioning {
        is_enabled: bool,
    },
    Put {
        key: &'static str,
        body: Body,
        condition: Condition,
    },
    PutInParts {
        key: &'static str,
        body: Body,
        condition: Condition,
    },
    Copy {
        from: Nth,
        to: &'static str,
        /// Whether it has metadata of its own in place of its source's.
        is_marked: bool,
        condition: Condition,
    },
    Rename {
        from: &'static str,
        to: &'static str,
        condition: Condition,
    },
    Delete {
        key: &'static str,
        condition: Condition,
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
        range: Option<(u64, u64)>,
    },
    List {
        prefix: &'static str,
        delimiter: &'static str,
        after: &'static str,
        max: usize,
    },
    StartUpload {
        key: &'static str,
    },
    /// Of an upload that was started, by its place among those that there are, as the others.
    PutPart {
        upload: usize,
        piece: Piece,
    },
    /// Of all parts that were sent.
    Complete {
        upload: usize,
        condition: Condition,
    },
    Abort {
        upload: usize,
    },
    /// Puts lifecycle rules, or takes them away.
    Rules {
        rules: Vec<Rule>,
    },
    /// Days go by.
    Days {
        count: u64,
    },
    Reopen,
}

/// A version of a key: by its place from the newest, as far as there are so many; the last named without its id.
#[derive(Clone, Copy, Debug)]
struct Nth {
    key: &'static str,
    place: usize,
}

/// What is sent as a part.
#[derive(Clone, Copy, Debug)]
enum Piece {
    /// Number 1, too small to have another behind it.
    Small(Body),
    /// Number 1, just large enough.
    Large,
    /// Number 2, of so many bytes, which go on where a large one ends.
    Rest(usize),
}

impl Piece {
    fn part(self) -> (u32, Body) {
        match self {
            Self::Small(body) => (1, body),
            Self::Large => (1, Body { bytes: PART_BYTES_MIN, shift: 0 }),
            Self::Rest(bytes) => (2, Body { bytes, shift: PART_BYTES_MIN }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match` with the ETag of the empty object.
    Empty,
}

impl Condition {
    fn header(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::None => vec![],
            Self::Absent => vec![("if-none-match", "*")],
            Self::Present => vec![("if-match", "*")],
            Self::Empty => vec![("if-match", "\"d41d8cd98f00b204e9800998ecf8427e\"")],
        }
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

fn nth() -> impl Strategy<Value = Nth> {
    (key(), 0..4_usize).prop_map(|(key, place)| Nth { key, place })
}

/// In the row, in one page, over the edge of a page, in several.
fn body() -> impl Strategy<Value = Body> {
    const SIZES: [usize; 6] = [0, 7, 16 * 1024, 16 * 1024 + 1, 65_537, 200_000];
    (prop::sample::select(&SIZES[..]), 0..40_usize).prop_map(|(bytes, shift)| Body { bytes, shift })
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => body().prop_map(Piece::Small),
        1 => Just(Piece::Large),
        2 => prop::sample::select(&[0, 20, 70_000][..]).prop_map(Piece::Rest),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        5 => Just(Condition::None),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Present),
        1 => Just(Condition::Empty),
    ]
}

/// Versioning is set seldom: from then on nothing is renamed.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<bool>().prop_map(|is_enabled| Step::Versioning { is_enabled }).boxed(),
        8 => (key(), body(), condition()).prop_map(|(key, body, condition)| Step::Put { key, body, condition }).boxed(),
        3 => (key(), body(), condition()).prop_map(|(key, body, condition)| Step::PutInParts { key, body, condition }).boxed(),
        4 => (nth(), key(), any::<bool>(), condition()).prop_map(|(from, to, is_marked, condition)| {
            Step::Copy { from, to, is_marked, condition }
        }).boxed(),
        4 => (key(), key(), condition()).prop_map(|(from, to, condition)| Step::Rename { from, to, condition }).boxed(),
        4 => (key(), condition()).prop_map(|(key, condition)| Step::Delete { key, condition }).boxed(),
        2 => (key(), nth()).prop_map(|(key, version)| Step::DeleteMany { key, version }).boxed(),
        4 => nth().prop_map(|version| Step::DeleteVersion { version }).boxed(),
        3 => nth().prop_map(|version| Step::Tag { version }).boxed(),
        4 => (nth(), prop::option::of((0..70_000_u64, any::<u16>()))).prop_map(|(version, range)| {
            Step::Get { version, range: range.map(|(start, more)| (start, start + u64::from(more))) }
        }).boxed(),
        4 => (prop::sample::select(&["", "a", "a/"][..]), prop::sample::select(&["", "/"][..]), prop::sample::select(&["", "a", "a/", "b"][..]), 1..4_usize)
            .prop_map(|(prefix, delimiter, after, max)| Step::List { prefix, delimiter, after, max }).boxed(),
        2 => key().prop_map(|key| Step::StartUpload { key }).boxed(),
        4 => (0..3_usize, piece()).prop_map(|(upload, piece)| Step::PutPart { upload, piece }).boxed(),
        3 => (0..3_usize, condition()).prop_map(|(upload, condition)| Step::Complete { upload, condition }).boxed(),
        1 => (0..3_usize).prop_map(|upload| Step::Abort { upload }).boxed(),
        2 => rules().prop_map(|rules| Step::Rules { rules }).boxed(),
        4 => (1..3_u64).prop_map(|count| Step::Days { count }).boxed(),
        1 => Just(Step::Reopen).boxed(),
    ]
}

/// Few cases, for each writes to a disk; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16);
    ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_behaves_as_a_map_of_versions(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let (mut region, mut map) = (Region::start().await, Map::default());
            for step in steps {
                take(&mut region, &mut map, &step).await;
            }
            assert_eq!(read(&region).await, map.shown());
            let dir = region.close().await;
            let report = RegionalStore::check_deep(dir.path()).await.expect("checked");
            assert_eq!(report.faults, Vec::<String>::new());
        });
    }
}

/// Does `step` to both, and holds the answer against what the map says of it.
async fn take(region: &mut Region, map: &mut Map, step: &Step) {
    let before = map.clone();
    let (status, id) = match step {
        Step::Get { version, range } => return get(region, map, *version, *range).await,
        Step::List { prefix, delimiter, after, max } => {
            return list(region, map, prefix, delimiter, after, *max).await;
        }
        Step::Reopen => return region.reopen().await,
        Step::Days { count } => {
            region.clock.advance(DAY * u32::try_from(*count).expect("few days"));
            (200, String::new())
        }
        Step::Rename { from, to, condition } => (rename(region, from, to, *condition).await, String::new()),
        step => {
            let answer = send(region, map, step).await;
            let id = match step {
                Step::DeleteMany { .. } => {
                    assert_eq!(answer.elements("Error"), Vec::<String>::new());
                    answer.element("DeleteMarkerVersionId")
                }
                Step::StartUpload { .. } => answer.element("UploadId"),
                _ => answer.header("x-amz-version-id").to_owned(),
            };
            (answer.status.as_u16(), id)
        }
    };
    assert_eq!(status, map.apply(step, &id), "{step:?} of {before:?}");
    if *map != before && id.len() == 32 && !matches!(step, Step::DeleteVersion { .. } | Step::Tag { .. }) {
        assert!(!before.has(&id), "{id} is of an older version");
    }
    let aged = map.clone();
    apply_rules(region).await;
    if map.age() {
        let found = read(region).await;
        map.told_by(&found);
        assert_eq!(found, map.shown(), "{step:?} made {aged:?}");
    }
}

/// Has the store do what its rules say, until nothing is left to do. The first pass may be the rest of one that was cut
/// short.
async fn apply_rules(region: &Region) {
    let pass = async || region.store.apply_lifecycle().await.expect("a pass");
    pass().await;
    while pass().await != Applied::default() {}
}

/// Sends what `step` asks for; all of them but reads and renames.
async fn send(region: &Region, map: &Map, step: &Step) -> Answer {
    match step {
        Step::Versioning { is_enabled } => {
            region.set_versioning(if *is_enabled { "Enabled" } else { "Suspended" }).await
        }
        Step::Put { key, body, condition } => region.put_with(key, body.all(), &condition.header()).await,
        Step::PutInParts { key, body, condition } => {
            let upload = region.start_upload(key, &[]).await;
            let part = region.put_part(key, &upload, 1, body.all()).await.ok().header("etag").to_owned();
            let completed = region.complete_with(key, &upload, &[(1, &part)], &condition.header()).await;
            if !completed.status.is_success() {
                region.send("DELETE", &format!("/photos/{key}?uploadId={upload}"), &[], "").await.ok();
            }
            completed
        }
        Step::StartUpload { key } => region.send("POST", &format!("/photos/{key}?uploads"), &[], "").await,
        Step::PutPart { upload, piece } => {
            let ((id, key, _), (number, body)) = (map.upload(*upload), piece.part());
            region.put_part(&key, &id, number, body.all()).await
        }
        Step::Complete { upload, condition } => {
            let (id, key, parts) = map.upload(*upload);
            let parts: Vec<_> = parts.iter().map(|(number, part)| (*number, part.etag.as_str())).collect();
            region.complete_with(&key, &id, &parts, &condition.header()).await
        }
        Step::Abort { upload } => {
            let (id, key, _) = map.upload(*upload);
            region.send("DELETE", &format!("/photos/{key}?uploadId={id}"), &[], "").await
        }
        Step::Rules { rules } if rules.is_empty() => {
            region.send("DELETE", "/photos?lifecycle", &[], "").await
        }
        Step::Rules { rules } => region.send("PUT", "/photos?lifecycle", &[], Rule::document(rules)).await,
        Step::Copy { from, to, is_marked, condition } => {
            let source = match map.named(*from).0 {
                query if query.is_empty() => format!("photos/{}", from.key),
                query => format!("photos/{}?{query}", from.key),
            };
            let mut headers = condition.header();
            headers.push(("x-amz-copy-source", &source));
            if *is_marked {
                headers.extend([("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-mark", "yes")]);
            }
            region.send("PUT", &format!("/photos/{to}"), &headers, "").await
        }
        Step::Delete { key, condition } => {
            region.send("DELETE", &format!("/photos/{key}"), &condition.header(), "").await
        }
        Step::DeleteMany { key, version } => {
            let second = match map.named(*version) {
                (query, Some(entry)) if !query.is_empty() => {
                    format!("<Object><Key>{}</Key><VersionId>{}</VersionId></Object>", version.key, entry.id)
                }
                _ => String::new(),
            };
            let body = format!("<Delete><Object><Key>{key}</Key></Object>{second}</Delete>");
            region.send("POST", "/photos?delete", &[], body).await
        }
        Step::DeleteVersion { version } => {
            let query = map.named(*version).0;
            region.send("DELETE", &format!("/photos/{}?{query}", version.key), &[], "").await
        }
        Step::Tag { version } => {
            let query = map.named(*version).0;
            let body = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
            region.send("PUT", &format!("/photos/{}?tagging&{query}", version.key), &[], body).await
        }
        Step::Rename { .. } | Step::Get { .. } | Step::List { .. } | Step::Days { .. } | Step::Reopen => {
            unreachable!("{step:?} is taken in another way")
        }
    }
}

/// The status that a rename would be answered with.
async fn rename(region: &Region, from: &str, to: &str, condition: Condition) -> u16 {
    let source = format!("photos/{from}");
    let mut headers = HeaderMap::new();
    for (name, value) in condition.header().into_iter().chain([("x-amz-rename-source", source.as_str())]) {
        let name: HeaderName = name.parse().expect("a header name");
        headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
    }
    let renamed = match RenameObjectInput::parse("photos", to, &headers) {
        Ok(input) => region.rename(caller(), input, headers).await,
        Err(refused) => Err(refused),
    };
    renamed.map_or_else(|refused| refused.status_code().expect("a status").as_u16(), |()| 200)
}

async fn get(region: &Region, map: &Map, version: Nth, range: Option<(u64, u64)>) {
    let (query, entry) = map.named(version);
    let header = range.map(|(first, last)| format!("bytes={first}-{last}"));
    let headers: Vec<_> = header.iter().map(|range| ("range", range.as_str())).collect();
    let answer = region.send("GET", &format!("/photos/{}?{query}", version.key), &headers, "").await;
    let Some(Entry { id, body, etag, is_tagged, is_marked, .. }) = entry else {
        assert_eq!(answer.error(), (404, "NoSuchKey".to_owned()));
        return;
    };
    let Some(body) = body.map(Body::all) else {
        let status = if query.is_empty() { 404 } else { 405 };
        assert_eq!((answer.status.as_u16(), answer.header("x-amz-version-id")), (status, id.as_str()));
        return;
    };
    let range = match range {
        Some((first, _)) if first >= body.len() as u64 => {
            assert_eq!(answer.status, 416);
            return;
        }
        Some((first, last)) => first as usize..body.len().min(last as usize + 1),
        None => 0..body.len(),
    };
    let answer = answer.ok();
    assert!(answer.body == body.slice(range.clone()), "{version:?} {range:?}");
    assert_eq!(answer.header("etag"), format!("\"{etag}\""));
    assert_eq!(answer.header("x-amz-version-id"), if map.is_enabled.is_some() { id } else { "" });
    assert_eq!(answer.header("x-amz-tagging-count") == "1", *is_tagged);
    assert_eq!(answer.header("x-amz-meta-mark") == "yes", *is_marked);
}

/// One page of a listing of objects.
async fn list(region: &Region, map: &Map, prefix: &str, delimiter: &str, after: &str, max: usize) {
    let target = format!("/photos?prefix={prefix}&delimiter={delimiter}&marker={after}&max-keys={max}");
    let answer = region.send("GET", &target, &[], "").await.ok();
    let mut entries: Vec<String> = map
        .objects()
        .filter(|key| key.starts_with(prefix))
        .map(|key| match key[prefix.len()..].find('/') {
            Some(end) if delimiter == "/" => key[..=prefix.len() + end].to_owned(),
            _ => key.to_owned(),
        })
        .filter(|entry| after.is_empty() || entry.as_str() > after)
        .collect();
    entries.dedup();
    let common = answer.elements("CommonPrefixes").into_iter();
    let common = common.map(|prefix| prefix.replace("<Prefix>", "").replace("</Prefix>", ""));
    let mut shown: Vec<String> = answer.elements("Key").into_iter().chain(common).collect();
    shown.sort();
    assert_eq!(shown, entries[..entries.len().min(max)], "{target}");
    assert_eq!(answer.element("IsTruncated"), (entries.len() > max).to_string(), "{target}");
}

/// Everything in the store: from a listing of versions, one a page because only so it tells how markers and others follow
/// each other, and from each of them.
async fn read(region: &Region) -> Map {
    let status = region.send("GET", "/photos?versioning", &[], "").await.ok().element("Status");
    let rules = region.send("GET", "/photos?lifecycle", &[], "").await.elements("ID");
    let mut map = Map {
        is_enabled: (!status.is_empty()).then_some(status == "Enabled"),
        uploads: read_uploads(region).await,
        rules: rules.into_iter().map(Rule::named).collect(),
        ..Map::default()
    };
    let mut marker = String::new();
    loop {
        let listing = region.send("GET", &format!("/photos?versions&max-keys=1{marker}"), &[], "").await.ok();
        let is_marker = !listing.elements("DeleteMarker").is_empty();
        if is_marker || !listing.elements("Version").is_empty() {
            let (key, id) = (listing.element("Key"), listing.element("VersionId"));
            let is_newest = map.entries(&key).is_empty();
            assert_eq!(listing.element("IsLatest"), is_newest.to_string(), "{key} {id}");
            let entry = if is_marker { Entry::marker(id) } else { read_version(region, &key, id).await };
            let day = day_of(&listing.element("LastModified"));
            map.keys.entry(key).or_default().push(Entry { day, ..entry });
        }
        if listing.element("IsTruncated") == "false" {
            return map;
        }
        let (key, id) = (listing.element("NextKeyMarker"), listing.element("NextVersionIdMarker"));
        marker = format!("&key-marker={key}&version-id-marker={id}");
    }
}

/// The day, counted from that on which regions start, of a time of day from noon on.
fn day_of(modified: &str) -> u64 {
    let modified = OffsetDateTime::parse(modified, &Rfc3339).expect("a time");
    let since_noon = modified.unix_timestamp() as u64 - NOON_MILLIS / 1000;
    since_noon / DAY.as_secs()
}

async fn read_uploads(region: &Region) -> BTreeMap<String, Upload> {
    let listing = region.send("GET", "/photos?uploads", &[], "").await.ok();
    let mut uploads = BTreeMap::new();
    for (id, key) in listing.elements("UploadId").into_iter().zip(listing.elements("Key")) {
        let listing = region.send("GET", &format!("/photos/{key}?uploadId={id}"), &[], "").await.ok();
        let numbers =
            listing.elements("PartNumber").into_iter().map(|number| number.parse().expect("a number"));
        let parts =
            listing.elements("Size").into_iter().zip(listing.elements("ETag")).map(|(bytes, etag)| Part {
                body: Body { bytes: bytes.parse().expect("a number"), shift: 0 },
                etag: etag.trim_matches('"').to_owned(),
            });
        uploads.insert(id, Upload { key, day: 0, parts: numbers.zip(parts).collect() });
    }
    uploads
}

async fn read_version(region: &Region, key: &str, id: String) -> Entry {
    let answer = region.send("GET", &format!("/photos/{key}?versionId={id}"), &[], "").await.ok();
    let body = Body::of(&answer.body);
    let etag = answer.header("etag").trim_matches('"').to_owned();
    let is_tagged = answer.header("x-amz-tagging-count") == "1";
    let is_marked = answer.header("x-amz-meta-mark") == "yes";
    Entry { id, body: Some(body), etag, is_tagged, is_marked, day: 0, since: None }
}

/// The ETag of an object of parts that have these.
fn etag_of_parts(etags: &[&str]) -> String {
    format!("{}-{}", md5(&hex::decode(etags.concat()).expect("hex")), etags.len())
}
