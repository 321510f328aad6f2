//! Never stale, and no round trip on a hit: what sessions promise, with nodes that stop, end and are cut off.
//!
//! Times are never measured here: what a promise costs is counted in messages, and what must have happened is waited for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::join_all;
use md5::{Digest as _, Md5};
use rustix::process::Signal;
use tests::cluster::{LONG_LEASES, REGIONS, SHORT_LEASES};
use tests::sign::Keys;
use tests::wan::{Cut, Direction, Shape};
use tests::{Client, Cluster, Options, Request, process, until, until_some};

/// What one client may miss at once; a few more with each second.
const MISSED_AT_ONCE: usize = 1_000;

/// Far more than one may miss while this many are asked for, however long that takes.
const TRIED_AT_MOST: usize = 10_000;

/// Puts `k` into a new bucket of las1's that has a policy to be asked: everybody may read. Gives las1's client.
async fn put_for_everybody(cluster: &Cluster) -> Client {
    let owner = cluster.standard("las1");
    owner.create_bucket("data").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}]}"#;
    let _ = owner.send(Request::new("PUT", "/data?policy").body(policy)).await.ok();
    let _ = owner.put("data", "k", "hot").await.ok();
    owner
}

/// A hit of another region's object, by a user whom another region knows, under a policy that has to be asked: no
/// message but renewals goes to, or comes from, any other node.
#[tokio::test]
async fn a_hit_under_a_live_session_is_no_message_to_anybody() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    put_for_everybody(&cluster).await;
    let visitor = cluster.create_user("visitor", &["--account", "visitors", "--level", "read"]);
    // Its objects are las1's and its users ord1's: both are elsewhere.
    let reader = cluster.accelerated("lga1", "las1").with_keys(visitor);
    for _ in 0..2 {
        assert_eq!(reader.get("data", "k").await.ok().text(), "hot");
        assert_eq!(reader.get("data", "missing").await.status, 403, "and may not list");
    }
    let before = messages(&cluster, "lga1").await;
    for _ in 0..50 {
        let answer = reader.get("data", "k").await.ok();
        assert!(answer.header("cache-status").contains("hit"), "{}", answer.header("cache-status"));
        assert_eq!(reader.get("data", "missing").await.status, 403);
    }
    assert_eq!(messages(&cluster, "lga1").await, before);
}

/// Whoever is refused a change, or asks for what is so already, empties no cache: heads stay as warm as they were.
#[tokio::test]
async fn what_strangers_are_refused_empties_no_cache() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    let owner = put_for_everybody(&cluster).await;
    let stranger = cluster.create_user("stranger", &["--account", "strangers", "--level", "full"]);
    let stranger = owner.with_keys(stranger);
    let reader = cluster.accelerated("lga1", "las1");
    for _ in 0..2 {
        assert_eq!(reader.get("data", "k").await.ok().text(), "hot");
    }
    let before = messages(&cluster, "lga1").await;

    let list = "<Delete><Object><Key>k</Key></Object></Delete>";
    let digest = BASE64.encode(Md5::digest(list));
    let delete = Request::new("POST", "/data?delete").header("content-md5", digest).body(list);
    let deleted = stranger.send_signed(stranger.unsigned(delete)).await;
    assert_eq!(deleted.refusal(), (200, "AccessDenied".into()));
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let digest = BASE64.encode(Md5::digest(tags));
    let tag = Request::new("PUT", "/data/k?tagging").header("content-md5", digest).body(tags);
    let rename = Request::new("PUT", "/data/l?renameObject").header("x-amz-rename-source", "data/k");
    for request in [tag, rename] {
        let refused = stranger.send_signed(stranger.unsigned(request)).await;
        assert_eq!(refused.refusal(), (403, "AccessDenied".into()));
    }
    let make = || Request::new("PUT", "/data");
    assert_eq!(stranger.send(make()).await.refusal(), (409, "BucketAlreadyExists".into()));
    assert_eq!(owner.send(make()).await.status, 200);

    let answer = reader.get("data", "k").await.ok();
    assert!(answer.header("cache-status").contains("hit"), "{}", answer.header("cache-status"));
    assert_eq!(messages(&cluster, "lga1").await, before);
}

/// A key that is not there, and a bucket that is not, are kept like any other: the next read after a change sees it.
#[tokio::test]
async fn what_is_not_there_is_seen_as_soon_as_it_is() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    let readers = REGIONS.map(|at| cluster.accelerated(at, "ord1"));
    let owner = cluster.standard("ord1");
    for _ in 0..2 {
        for reader in &readers {
            assert_eq!(reader.get("data", "k").await.refusal(), (404, "NoSuchBucket".to_owned()));
        }
    }
    owner.create_bucket("data").await;
    for round in 0..3 {
        for reader in readers.iter().chain(&readers) {
            assert_eq!(reader.get("data", "k").await.refusal(), (404, "NoSuchKey".to_owned()), "{round}");
        }
        let _ = owner.put("data", "k", format!("{round}")).await.ok();
        for reader in readers.iter().chain(&readers) {
            assert_eq!(reader.get("data", "k").await.ok().text(), format!("{round}"));
        }
        let _ = owner.delete("data", "k").await.ok();
    }
}

/// Somebody who tries names of buckets has no more of them kept, and their owner tell of no more, than one client may; another
/// client has all of its own.
#[tokio::test]
async fn of_names_that_a_client_tries_a_bounded_number_is_kept() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    let reader = cluster.accelerated("las1", "ord1");
    let interest = async || interest(&cluster, "las1");
    // How many it takes is a matter of time: a few more are kept with each second.
    let (mut tried, mut kept) = (0, 0);
    while kept == tried {
        assert!(tried < TRIED_AT_MOST, "all of {tried} names are kept");
        let names: Vec<_> = (tried..tried + MISSED_AT_ONCE).map(|n| format!("no-such-bucket-{n}")).collect();
        tried += names.len();
        for some in names.chunks(50) {
            let answers = join_all(some.iter().map(|bucket| reader.get(bucket, "k"))).await;
            assert!(answers.iter().all(|answer| answer.status == 404), "{:?}", answers[0].status);
        }
        kept = interest().await;
    }
    assert!((MISSED_AT_ONCE..tried).contains(&kept), "{kept} of {tried}");

    let elsewhere = reqwest::Client::builder().local_address(Some("127.0.0.2".parse().expect("an address")));
    let url = format!("{}/no-such-bucket-of-another/k", reader.origin());
    let other = elsewhere.no_proxy().build().expect("a client").get(url).header("host", reader.host());
    assert_eq!(other.send().await.expect("an answer").status(), 404);
    assert!(interest().await > kept);
}

/// Somebody who makes up access keys keeps nobody else behind the same address out: neither who is known here, nor who comes
/// for the first time.
#[tokio::test]
async fn who_makes_up_access_keys_keeps_no_user_out() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    cluster.standard("lga1").create_bucket("data").await;
    let _ = cluster.standard("lga1").put("data", "k", "hot").await.ok();
    let [reader, writer] = [cluster.accelerated("las1", "lga1"), cluster.standard("las1")];
    let _ = reader.get("data", "k").await.ok();
    let unknown = |n: usize| Keys { access_key: format!("PKMADEUP{n}"), secret_key: "s3cret".to_owned() };
    // More than may be missed, however long it takes: a few more may be with each second.
    for tried in (0..2 * MISSED_AT_ONCE).step_by(50) {
        // By turns at the cache's door, for what nothing is known of here, and at the store's.
        let some =
            (tried..tried + 50).map(|n| ([&reader, &writer][n % 2].with_keys(unknown(n)), format!("k{n}")));
        let some: Vec<_> = some.collect();
        for answer in join_all(some.iter().map(|(client, key)| client.get("data", key))).await {
            assert_eq!(answer.refusal(), (403, "InvalidAccessKeyId".to_owned()));
        }
    }
    assert_eq!(reader.get("data", "k").await.ok().text(), "hot");
    let newcomer = cluster.create_user("newcomer", &["--account", "dev", "--level", "read"]);
    assert_eq!(reader.with_keys(newcomer).get("data", "k").await.ok().text(), "hot");
}

/// Buckets that `node` has ord1 tell it about, as ord1 counts them.
fn interest(cluster: &Cluster, node: &str) -> usize {
    let (status, said) = process::run(&["status", "--json", "--data", &cluster.data_argument()]);
    assert!(status.success(), "{said}");
    let nodes: serde_json::Value = serde_json::from_str(&said).expect("--json answers in JSON");
    let owner = nodes.as_array().expect("nodes").iter().find(|of| of["region"] == "ord1").expect("ord1");
    let grants = owner["grants"].as_array().expect("grants").iter();
    let sessions = grants.filter(|of| of["class"] == "objects").flat_map(|of| of["sessions"].as_array());
    let mut of_node = sessions.flatten().filter(|session| session["node"] == node);
    of_node.next().expect("a session")["interest"].as_u64().expect("a number") as usize
}

/// A node that stands still for longer than a lease keeps one change waiting, and the next ones not; going on, it
/// answers nothing that is old.
#[tokio::test]
async fn a_stopped_node_is_waited_out_once_and_is_never_stale_afterwards() {
    let site = Site::start(Options::settings(SHORT_LEASES).served()).await;
    site.heat().await;
    let before = waited_out(&site.cluster).await;
    site.cluster.process("las1").signal(Signal::STOP);
    site.write("second").await;
    let after = waited_out(&site.cluster).await;
    for version in 0..20 {
        site.write(&format!("third {version}")).await;
    }
    let later = waited_out(&site.cluster).await;
    site.cluster.process("las1").signal(Signal::CONT);
    assert_eq!(site.reader.get("data", "k").await.ok().text(), "third 19");
    assert_eq!((after - before, later - after), (1.0, 0.0));
}

/// A change that waits for a node that is cut off keeps nobody from writing elsewhere, however few uploads there is room for.
#[tokio::test]
async fn a_change_that_waits_takes_no_place_among_uploads() {
    let options = Options::settings(LONG_LEASES).and("[limits]\nuploads_in_flight_max = 1\n");
    let site = Site::start(options.served().distant(Duration::ZERO)).await;
    let owner = site.cluster.standard("ord1");
    owner.create_bucket("elsewhere").await;
    let _ = owner.put("elsewhere", "source", "bytes").await.ok();
    site.heat().await;
    let link = site.cluster.link("las1", "ord1");
    link.cut_both(Cut::BlackHole);
    let writing_elsewhere = async {
        until("a clear that las1 has not applied", async || unapplied(&site.cluster).await > 0.0).await;
        let _ = owner.put("elsewhere", "k", "at once").await.ok();
        let copy = Request::new("PUT", "/elsewhere/copy").header("x-amz-copy-source", "/elsewhere/source");
        let _ = owner.send(copy).await.ok();
    };
    let waiting = site.write("second");
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        () = &mut waiting => panic!("the change waited for nobody"),
        () = writing_elsewhere => {}
    }
    link.heal();
    waiting.await;
    assert_eq!(site.read_when_back().await, "second");
}

/// The same for one that cannot be reached: its lease runs out, and then it answers nothing.
#[tokio::test]
async fn a_node_that_is_cut_off_answers_nothing_old() {
    let site = Site::start(Options::settings(SHORT_LEASES).served().distant(Duration::ZERO)).await;
    site.heat().await;
    let link = site.cluster.link("las1", "ord1");
    link.cut_both(Cut::BlackHole);
    let before = waited_out(&site.cluster).await;
    site.write("second").await;
    let away = site.reader.get("data", "k").await;
    assert_eq!(away.status, 503, "{}", away.text());
    assert_ne!(away.header("retry-after"), "");
    site.write("third").await;
    assert_eq!(waited_out(&site.cluster).await - before, 1.0);
    link.heal();
    assert_eq!(site.read_when_back().await, "third");
}

/// An owner that starts again changes nothing before the leases of its earlier process are over: a node that cannot hear
/// of it has stopped answering by then.
#[tokio::test]
async fn an_owner_that_starts_again_waits_for_the_leases_that_it_granted() {
    let mut site = Site::start(Options::settings(SHORT_LEASES).served().distant(Duration::ZERO)).await;
    site.heat().await;
    site.cluster.link("las1", "ord1").cut_both(Cut::BlackHole);
    site.cluster.kill_node("ord1");
    site.cluster.start_node_again("ord1").await;
    let ready = reqwest::get(format!("{}/readyz", site.cluster.admin("ord1"))).await.expect("asked");
    assert_eq!(ready.status(), 200);
    // It reads on, says that it holds, and the write waits.
    assert_eq!(site.cluster.standard("ord1").get("data", "k").await.ok().text(), "first");
    site.write("second").await;
    let away = site.reader.get("data", "k").await;
    assert_eq!(away.status, 503, "{}", away.text());
    site.cluster.link("las1", "ord1").heal();
    assert_eq!(site.read_when_back().await, "second");
}

/// Past the bound a change is not waited for: its client is told when to come back.
#[tokio::test]
async fn a_change_that_would_wait_too_long_is_refused() {
    let mut site = Site::start(Options::settings(&without_hold()).served()).await;
    site.heat().await;
    site.cluster.kill_node("ord1");
    site.cluster.start_node_again("ord1").await;
    let ready = reqwest::get(format!("{}/readyz", site.cluster.admin("ord1"))).await.expect("asked");
    let ready = ready.text().await.expect("text");
    let refused = site.cluster.standard("ord1").put("data", "k", "second").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let again_after: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=31).contains(&again_after), "{again_after}");
    assert!(ready.starts_with("ready; changes of objects wait"), "{ready}");
    let scrape = site.cluster.scrape("ord1").await;
    assert!(scrape.sum("penstock_session_changes_held_back_total", &[("class", "objects")]) >= 1.0);
    assert_eq!(site.reader.get("data", "k").await.ok().text(), "first", "reads go on");
}

/// A node that is asked to end gives its sessions back first: no change waits for it, and its owner, asked to end too,
/// leaves nothing to wait for.
#[tokio::test]
async fn a_clean_end_leaves_nothing_to_wait_for() {
    let mut site = Site::start(Options::settings(&without_hold()).served()).await;
    site.heat().await;
    // One after the other: an owner that ends waits for others no longer than a second.
    for region in ["las1", "lga1", "ord1"] {
        site.cluster.stop_node(region);
    }
    site.cluster.start_again().await;
    site.write("second").await;
    assert_eq!(site.reader.get("data", "k").await.ok().text(), "second");
    assert_eq!(waited_out(&site.cluster).await, 0.0);
}

/// What was kept is confirmed in batches after a lapse, and its blocks are not fetched again.
#[tokio::test]
async fn what_was_kept_is_confirmed_in_batches() {
    const KEYS: usize = 200;
    let site = Site::start(Options::settings(SHORT_LEASES).served().distant(Duration::ZERO)).await;
    let keys: Vec<_> = (0..KEYS).map(|n| format!("k{n}")).collect();
    let owner = site.cluster.standard("ord1");
    join_all(keys.iter().map(|key| owner.put("data", key, key.clone()))).await;
    let read_all = async || {
        let texts = join_all(keys.iter().map(|key| site.reader.get("data", key))).await;
        for (key, answer) in keys.iter().zip(texts) {
            assert_eq!(*key, answer.ok().text());
        }
    };
    read_all().await;
    let confirmed = async || {
        let scrape = site.cluster.scrape("las1").await;
        scrape.sum("penstock_session_confirmations_total", &[("class", "objects"), ("outcome", "same")])
    };
    let resolves = async || {
        let labels = [("class", "objects"), ("direction", "sent"), ("kind", "resolve"), ("region", "ord1")];
        site.cluster.scrape("las1").await.sum("penstock_session_messages_total", &labels)
    };
    let granted =
        async || site.cluster.scrape("ord1").await.sum("penstock_session_granted", &[("class", "objects")]);
    let (confirmed_before, resolves_before) = (confirmed().await, resolves().await);
    let link = site.cluster.link("las1", "ord1");
    link.cut_both(Cut::BlackHole);
    until("the lease is over", async || granted().await == 0.0).await;
    link.heal();
    site.read_when_back().await;
    // So far away that the last of the questions are there long before the first are answered, however slowly they come.
    for direction in [Direction::There, Direction::Back] {
        link.shape(direction, Shape::delayed(Duration::from_millis(500)));
    }
    read_all().await;
    assert!(confirmed().await - confirmed_before >= KEYS as f64, "{}", confirmed().await - confirmed_before);
    let resolves = resolves().await - resolves_before;
    assert!(resolves < KEYS as f64 / 2.0, "{resolves} messages for {KEYS} heads");
}

/// With `refuse`, users are believed until their lease is over and no longer; with `serve-known` those that were known
/// still are, and others are not.
#[tokio::test]
async fn without_home_users_are_refused_or_served_as_known() {
    for (choice, then) in [("refuse", 503), ("serve-known", 200)] {
        let settings = format!("on_home_loss = \"{choice}\"\n{SHORT_LEASES}");
        let mut cluster = Cluster::start_with(Options::settings(&settings).served()).await;
        cluster.standard("las1").create_bucket("data").await;
        let _ = cluster.standard("las1").put("data", "k", "hot").await.ok();
        let known = cluster.keys().clone();
        let stranger = cluster.create_user("stranger", &["--account", "others", "--level", "full"]);
        let reader = cluster.accelerated("lga1", "las1");
        assert_eq!(reader.get("data", "k").await.ok().text(), "hot");
        let lapses = async |cluster: &Cluster| {
            let labels = [("class", "users"), ("region", "ord1")];
            cluster.scrape("lga1").await.sum("penstock_session_lapses_total", &labels)
        };
        let before = lapses(&cluster).await;
        cluster.kill_node("ord1");
        until("the lease of users is over", async || {
            // Until then a user is as known.
            let status = reader.get("data", "k").await.status;
            assert!(status == 200 || status == then, "{choice}: {status}");
            lapses(&cluster).await > before
        })
        .await;
        for _ in 0..3 {
            assert_eq!(reader.with_keys(known.clone()).get("data", "k").await.status, then, "{choice}");
            assert_eq!(reader.with_keys(stranger.clone()).get("data", "k").await.status, 503, "{choice}");
        }
        let served = cluster.scrape("lga1").await.sum("penstock_session_users_served_known_total", &[]);
        assert_eq!(served > 0.0, then == 200, "{choice}: {served}");
        if then == 200 {
            let is_told = async || cluster.process("lga1").log().contains("user believed without home");
            until("the log says who is believed", is_told).await;
        }
    }
}

/// Where nodes serve users as known, deleting one names those that did not hear of it, and they do hear once they are back.
#[tokio::test]
async fn a_deleted_user_s_unreached_nodes_are_named() {
    let settings = format!("on_home_loss = \"serve-known\"\n{SHORT_LEASES}");
    let cluster = Cluster::start_with(Options::settings(&settings).served().distant(Duration::ZERO)).await;
    cluster.standard("las1").create_bucket("data").await;
    let _ = cluster.standard("las1").put("data", "k", "hot").await.ok();
    let user = cluster.create_user("user", &["--account", "dev", "--level", "full"]);
    let _ = cluster.create_user("other", &["--account", "dev", "--level", "full"]);
    // One that every node knows, and that may not read: what counts is that they are told apart.
    let known = async |at: &str| {
        cluster.accelerated(at, "las1").with_keys(user.clone()).get("data", "k").await.status
    };
    let has_session =
        async |at: &str| cluster.scrape(at).await.sum("penstock_session_live", &[("class", "users")]) == 1.0;
    for at in ["las1", "lga1"] {
        assert!(matches!(known(at).await, 200 | 403), "{at}");
        until(&format!("{at} has a session"), async || has_session(at).await).await;
    }
    cluster.link("lga1", "ord1").cut_both(Cut::BlackHole);
    let deleted = delete_user(&cluster, "user").await;
    assert_eq!(deleted["unreached"], serde_json::json!(["lga1"]), "{deleted}");
    assert_eq!(known("las1").await, 403);
    cluster.link("lga1", "ord1").heal();
    // Back again, it is told: from then on the key is nobody's there too.
    until("lga1 has a session again", async || {
        let _ = known("lga1").await;
        has_session("lga1").await
    })
    .await;
    let refused = cluster.accelerated("lga1", "las1").with_keys(user.clone()).get("data", "k").await;
    assert_eq!(refused.refusal(), (403, "InvalidAccessKeyId".to_owned()));
    let deleted = delete_user(&cluster, "other").await;
    assert_eq!(deleted["unreached"], serde_json::Value::Null, "{deleted}");
}

/// Who is deleted is refused by the very next request everywhere; of everybody else home is not even asked.
#[tokio::test]
async fn a_change_of_one_user_takes_nobody_else_away() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    cluster.standard("lga1").create_bucket("data").await;
    let _ = cluster.standard("lga1").put("data", "k", "hot").await.ok();
    let [stays, goes] = ["stays", "goes"].map(|name| {
        let keys = cluster.create_user(name, &["--account", "dev", "--level", "full"]);
        cluster.accelerated("las1", "lga1").with_keys(keys)
    });
    for reader in [&stays, &goes, &stays, &goes] {
        assert_eq!(reader.get("data", "k").await.ok().text(), "hot");
    }
    let asked = async || {
        let labels = [("class", "users"), ("direction", "sent"), ("kind", "resolve"), ("region", "ord1")];
        cluster.scrape("las1").await.sum("penstock_session_messages_total", &labels)
    };
    let before = asked().await;
    delete_user(&cluster, "goes").await;
    assert_eq!(stays.get("data", "k").await.ok().text(), "hot");
    assert_eq!(asked().await, before);
    assert_eq!(goes.get("data", "k").await.refusal(), (403, "InvalidAccessKeyId".to_owned()));
    assert_eq!(asked().await, before + 1.0);
}

async fn delete_user(cluster: &Cluster, name: &'static str) -> serde_json::Value {
    let data = cluster.data_argument();
    // Not on this thread: the links between the nodes run on it.
    let asking = move || process::run(&["user", "delete", name, "--json", "--data", &data]);
    let (status, said) = tokio::task::spawn_blocking(asking).await.expect("no panic");
    assert!(status.success(), "{said}");
    serde_json::from_str(&said).expect("--json answers in JSON")
}

/// `penstock status` shows every node's sessions.
#[tokio::test]
async fn status_shows_who_holds_what() {
    let cluster = Cluster::start_with(Options::settings(LONG_LEASES)).await;
    cluster.standard("ord1").create_bucket("data").await;
    let _ = cluster.standard("ord1").put("data", "k", "hot").await.ok();
    let _ = cluster.accelerated("las1", "ord1").get("data", "k").await.ok();
    let (status, said) = process::run(&["status", "--json", "--data", &cluster.data_argument()]);
    assert!(status.success(), "{said}");
    let nodes: serde_json::Value = serde_json::from_str(&said).expect("--json answers in JSON");
    let node = |region: &str| {
        nodes.as_array().expect("nodes").iter().find(|node| node["region"] == region).expect("each region")
    };
    let grants = node("ord1")["grants"].as_array().expect("grants");
    let objects = grants.iter().find(|grants| grants["class"] == "objects").expect("of objects");
    let session = &objects["sessions"].as_array().expect("sessions")[0];
    assert_eq!((&session["node"], &session["interest"]), (&"las1".into(), &1.into()), "{said}");
    let holds = node("las1")["holds"].as_array().expect("holds");
    let held = holds.iter().find(|held| held["class"] == "objects" && held["region"] == "ord1");
    assert!(held.expect("held")["lease_left_millis"].as_u64().expect("a number") > 0, "{said}");
    let (status, said) = process::run(&["status", "--data", &cluster.data_argument()]);
    assert!(status.success() && said.contains("las1: connected"), "{said}");
}

/// A bucket `data` in ord1 with an object `k`, and a reader of it at las1.
struct Site {
    reader: Client,
    cluster: Cluster,
}

impl Site {
    async fn start(options: Options) -> Self {
        let cluster = Cluster::start_with(options).await;
        let owner = cluster.standard("ord1");
        owner.create_bucket("data").await;
        let _ = owner.put("data", "k", "first").await.ok();
        Self { reader: cluster.accelerated("las1", "ord1"), cluster }
    }

    /// Reads until las1 answers alone.
    async fn heat(&self) {
        for _ in 0..2 {
            assert_eq!(self.reader.get("data", "k").await.ok().text(), "first");
        }
        let labels = [("class", "objects"), ("region", "ord1")];
        assert_eq!(self.cluster.scrape("las1").await.sum("penstock_session_live", &labels), 1.0);
    }

    async fn write(&self, text: &str) {
        let _ = self.cluster.standard("ord1").put("data", "k", text.to_owned()).await.ok();
    }

    /// What las1 reads once it reaches ord1 again.
    async fn read_when_back(&self) -> String {
        let answer = until_some("las1 reaches ord1 again", async || {
            let answer = self.reader.get("data", "k").await;
            (answer.status != 503).then_some(answer)
        });
        answer.await.ok().text()
    }
}

/// Long leases that nobody waits for after a start.
fn without_hold() -> String {
    format!("{LONG_LEASES}hold_wait = \"0s\"\n")
}

/// Messages of any kind but renewals between `node` and others.
async fn messages(cluster: &Cluster, node: &str) -> f64 {
    // First pages that were asked for in vain may be answered after the read that asked for them.
    let scrape = until_some("every question for pages is answered", async || {
        let scrape = cluster.scrape(node).await;
        let asked = scrape.sum("penstock_head_starts_total", &[]);
        let answered = scrape.sum("penstock_origin_requests_total", &[("channel", "blob")]);
        (answered >= asked).then_some(scrape)
    })
    .await;
    let of_kind = |kind: &str| scrape.sum("penstock_session_messages_total", &[("kind", kind)]);
    let requests = scrape.sum("penstock_origin_requests_total", &[]);
    scrape.sum("penstock_session_messages_total", &[]) - of_kind("renew") - of_kind("renewed") + requests
}

/// Clears of ord1's that other nodes have not applied.
async fn unapplied(cluster: &Cluster) -> f64 {
    cluster.scrape("ord1").await.sum("penstock_session_unapplied_clears", &[("class", "objects")])
}

/// Sessions that ord1's changes had to wait out.
async fn waited_out(cluster: &Cluster) -> f64 {
    let labels = [("class", "objects")];
    cluster.scrape("ord1").await.sum("penstock_session_leases_waited_out_total", &labels)
}
