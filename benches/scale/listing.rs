//! Every page of a listing from the first to the last, as clients walk them: by what the page before says.

use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tests::process::cpu_time;
use tests::{Answer, Client, Cluster, Request};

use crate::figures::{Latencies, milliseconds};
use crate::names::Names;
use crate::{BUCKET, OWNER};

/// What a signature has encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One listing of the whole bucket.
pub(crate) struct Walk {
    pub(crate) name: &'static str,
    pub(crate) pages: Vec<Duration>,
    pub(crate) cpu: Duration,
}

/// One way to list.
struct Way {
    name: &'static str,
    query: &'static str,
    /// What an entry of the document begins with.
    entry: &'static str,
    /// The query of the page after a page.
    next: fn(&Answer) -> String,
}

const WAYS: [Way; 5] = [
    Way {
        name: "ListObjectsV2",
        query: "list-type=2",
        entry: "<Key>",
        next: |page| format!("continuation-token={}", encoded(&page.element("NextContinuationToken"))),
    },
    Way {
        name: "ListObjects",
        query: "",
        entry: "<Key>",
        next: |page| format!("marker={}", encoded(&last_key(page))),
    },
    Way {
        name: "ListObjectVersions",
        query: "versions",
        entry: "<Key>",
        next: |page| {
            let (key, version) = (page.element("NextKeyMarker"), page.element("NextVersionIdMarker"));
            format!("key-marker={}&version-id-marker={}", encoded(&key), encoded(&version))
        },
    },
    Way {
        name: "ListObjectsV2, delimiter /",
        query: "list-type=2&delimiter=%2F",
        entry: "<CommonPrefixes>",
        next: |page| format!("continuation-token={}", encoded(&page.element("NextContinuationToken"))),
    },
    Way {
        name: "ListObjects, delimiter /",
        query: "delimiter=%2F",
        entry: "<CommonPrefixes>",
        next: |page| format!("marker={}", encoded(&page.element("NextMarker"))),
    },
];

/// Walks the filled bucket of `cluster` in every way, which has to show all of it.
pub(crate) async fn walk_all(cluster: &Cluster, names: &Names) -> Vec<Walk> {
    let (client, process) = (cluster.standard(OWNER), cluster.process(OWNER).id());
    let mut walks = Vec::new();
    for way in &WAYS {
        let expected = if way.entry == "<Key>" { names.count() } else { names.prefixes_count() };
        let cpu = cpu_time(process);
        let (pages, shown) = walk(&client, way).await;
        assert_eq!(shown, expected, "{} shows everything", way.name);
        walks.push(Walk { name: way.name, pages, cpu: cpu_time(process) - cpu });
    }
    walks
}

/// How long each page took, and how many entries there were.
async fn walk(client: &Client, way: &Way) -> (Vec<Duration>, u64) {
    let (mut pages, mut shown) = (Vec::new(), 0);
    let mut next = String::new();
    loop {
        let query = [way.query, &next].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let request = Request::new("GET", format!("/{BUCKET}?{}", query.join("&")));
        let began = Instant::now();
        let page = client.send(request).await.ok();
        pages.push(began.elapsed());
        shown += page.text().matches(way.entry).count() as u64;
        if page.element("IsTruncated") != "true" {
            return (pages, shown);
        }
        next = (way.next)(&page);
    }
}

fn last_key(page: &Answer) -> String {
    let text = page.text();
    let (_, last) = text.rsplit_once("<Key>").expect("a page has keys");
    last.split_once("</").expect("an element ends").0.to_owned()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

impl Walk {
    /// The first hundredth of the pages, the one in the middle, and the last.
    pub(crate) fn parts(&self) -> [Latencies; 3] {
        let pages_count = self.pages.len();
        let part_count = (pages_count / 100).max(1);
        [0, (pages_count - part_count) / 2, pages_count - part_count].map(|from| {
            let mut part = Latencies::default();
            self.pages[from..from + part_count].iter().for_each(|page| part.add(*page));
            part
        })
    }

    pub(crate) fn all(&self) -> Latencies {
        let mut all = Latencies::default();
        self.pages.iter().for_each(|page| all.add(*page));
        all
    }

    /// A row of the table.
    pub(crate) fn line(&self) -> String {
        let [first, middle, last] = self.parts().map(|part| milliseconds(part.median()));
        let all = self.all();
        format!(
            "| {} | {} | {first} | {middle} | {last} | {} | {} |",
            self.name,
            all.count(),
            milliseconds(all.p99()),
            milliseconds(self.cpu / self.pages.len() as u32),
        )
    }
}
