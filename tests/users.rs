//! Users: what `penstock user` says is so at every node as soon as it has said it, and a secret is nowhere but where it
//! was shown.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::cluster::{REGIONS, http_client};
use tests::process;
use tests::sign::Keys;
use tests::{Answer, Client, Cluster, Options, Request, until_some};

const UNKNOWN_KEY: (u16, &str) = (403, "InvalidAccessKeyId");

/// `penstock user` with these words, which must succeed: what it printed.
fn user(cluster: &Cluster, words: &str) -> String {
    let (status, said) = try_user(cluster, words);
    assert!(status, "penstock user {words}: {said}");
    said
}

/// As [`user`], in JSON.
fn user_json(cluster: &Cluster, words: &str) -> Value {
    serde_json::from_str(&user(cluster, &format!("{words} --json"))).expect("JSON")
}

/// `penstock user` with these words, which must be refused in one line: that line.
fn refused(cluster: &Cluster, words: &str) -> String {
    let (status, said) = try_user(cluster, words);
    assert!(!status && said.trim().lines().count() == 1, "penstock user {words}: {said}");
    said
}

fn try_user(cluster: &Cluster, words: &str) -> (bool, String) {
    let data = cluster.data_argument();
    let args: Vec<_> =
        ["user"].into_iter().chain(words.split_whitespace()).chain(["--data", &data]).collect();
    let (status, said) = process::run(&args);
    (status.success(), said)
}

/// The newest key pair of a user that was shown with secrets.
fn keys(shown: &Value) -> Keys {
    let text = |name: &str| shown[name].as_str().expect("a text").to_owned();
    Keys { access_key: text("access_key"), secret_key: text("secret_key") }
}

/// A user of the account of the cluster's own first user, whose buckets are its too.
fn colleague(cluster: &Cluster, name: &str) -> Keys {
    keys(&user_json(cluster, &format!("create {name} --account dev --level full")))
}

/// `data/k` read by `reader` out of every region's cache.
async fn read_everywhere(cluster: &Cluster, reader: &Keys) -> Vec<Answer> {
    let mut answers = Vec::new();
    for region in REGIONS {
        answers.push(cluster.accelerated(region, "las1").with_keys(reader.clone()).get("data", "k").await);
    }
    answers
}

async fn assert_read_everywhere(cluster: &Cluster, reader: &Keys) {
    for answer in read_everywhere(cluster, reader).await {
        assert_eq!(answer.ok().body, "hot");
    }
}

async fn assert_refused_everywhere(cluster: &Cluster, reader: &Keys, after: &str) {
    for (region, answer) in REGIONS.iter().zip(read_everywhere(cluster, reader).await) {
        let (status, code) = answer.refusal();
        assert_eq!((status, code.as_str()), UNKNOWN_KEY, "after {after}, at {region}");
        assert!(answer.header("cache-status").is_empty(), "a refusal says nothing of the cache");
    }
}

async fn with_hot_object() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.standard("las1").create_bucket("data").await;
    let _ = cluster.standard("las1").put("data", "k", "hot").await.ok();
    cluster
}

#[tokio::test]
async fn a_key_that_was_taken_away_opens_nothing_at_any_node() {
    let cluster = with_hot_object().await;
    for (number, taking) in ["delete", "disable", "rotate"].into_iter().enumerate() {
        let name = format!("reader-{number}");
        let reader = colleague(&cluster, &name);
        assert_read_everywhere(&cluster, &reader).await;
        user(&cluster, &format!("{taking} {name}"));
        assert_refused_everywhere(&cluster, &reader, taking).await;
    }
    let enabled = keys(&user_json(&cluster, "show reader-1 --reveal"));
    user(&cluster, "enable reader-1");
    assert_read_everywhere(&cluster, &enabled).await;
}

#[tokio::test]
async fn a_rotation_may_leave_both_pairs_good_until_it_is_finished() {
    let cluster = with_hot_object().await;
    let old = colleague(&cluster, "reader");
    let new = keys(&user_json(&cluster, "rotate reader --keep-old"));
    assert_ne!(old.access_key, new.access_key);
    assert_read_everywhere(&cluster, &old).await;
    assert_read_everywhere(&cluster, &new).await;
    assert!(refused(&cluster, "rotate reader --keep-old").contains("finish"));
    user(&cluster, "rotate reader --finish");
    assert_refused_everywhere(&cluster, &old, "rotate --finish").await;
    assert_read_everywhere(&cluster, &new).await;
    assert!(refused(&cluster, "rotate reader --finish").contains("no rotation"));
}

#[tokio::test]
async fn users_are_made_shown_and_changed() {
    let cluster = with_hot_object().await;
    let secret = "s".repeat(40);
    let file = cluster.data_dir().join("a-secret");
    fs::write(&file, format!("{secret}\n")).expect("write the secret");
    let file = file.to_str().expect("a path of plain text");

    let own = format!("--access-key AKIDEXAMPLEAKIDEXAMP --secret-key-file {file}");
    let made = user_json(
        &cluster,
        &format!(
            "create bob --account lab --level full {own} --display-name Bob --email b@example.com --region lga1"
        ),
    );
    assert_eq!((made["display_name"].as_str(), made["region"].as_str()), (Some("Bob"), Some("lga1")));
    assert_eq!(made["canonical_id"].as_str().expect("an id").len(), 64);
    let bob = cluster.standard("lga1").with_keys(keys(&made));
    bob.create_bucket("bobs").await;
    let _ = bob.put("bobs", "k", "mine").await.ok();
    let listed = bob.send(Request::new("GET", "/")).await.ok();
    assert_eq!(listed.element("ID"), made["canonical_id"].as_str().expect("an id"));
    assert_eq!(listed.element("DisplayName"), "Bob");

    let shown =
        user(&cluster, "show bob") + &user(&cluster, "list") + &user_json(&cluster, "show bob").to_string();
    assert!(shown.contains("AKIDEXAMPLEAKIDEXAMP") && !shown.contains(&secret), "{shown}");
    assert!(user(&cluster, "show bob --reveal").contains(&secret));
    let names = |listed: Value| {
        let users = listed.as_array().expect("a list").clone();
        users.iter().map(|user| user["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(user_json(&cluster, "list")), ["dev", "bob"]);
    assert_eq!(names(user_json(&cluster, "list --account lab")), ["bob"]);

    for (words, why) in [
        ("create bob --account lab --level read".to_owned(), "already"),
        (format!("create eve --account lab --level read {own}"), "taken"),
        ("create e/ve --account lab --level read".to_owned(), "not a name"),
        ("create eve --account lab --level read --region nowhere".to_owned(), "no region"),
        ("create eve --account lab --level read --grant nothere=read".to_owned(), "no bucket nothere"),
        ("create eve --account lab --level read --grant ord1/data=read".to_owned(), "no bucket data"),
        (format!("create eve --account lab --level read --access-key SHORT --secret-key-file {file}"), "20"),
        ("show eve".to_owned(), "no user eve"),
        ("show bob --account dev".to_owned(), "no user bob"),
    ] {
        assert!(refused(&cluster, &words).contains(why), "{words}");
    }
    assert_eq!(names(user_json(&cluster, "list")), ["dev", "bob"], "what was refused left nothing");

    let granted =
        user_json(&cluster, "set-access bob --level read --grant las1/data=readwrite --grant bobs=read");
    assert_eq!(granted["level"], "read");
    let grant = |region: &str, bucket: &str, access: &str| json!({"region": region, "bucket": bucket, "access": access});
    assert_eq!(granted["grants"], json!([grant("las1", "data", "readwrite"), grant("lga1", "bobs", "read")]));
    let revoked = user_json(&cluster, "set-access bob --revoke las1/data");
    assert_eq!(
        (&revoked["grants"], &revoked["level"]),
        (&json!([grant("lga1", "bobs", "read")]), &json!("read"))
    );
    user(&cluster, "delete bob");
    assert_eq!(names(user_json(&cluster, "list")), ["dev"]);
}

/// A secret is in the answer to who made or revealed it: not in a log, a metric, an argument, or any file of the node.
#[tokio::test]
async fn a_secret_is_nowhere_but_where_it_was_shown() {
    let cluster = with_hot_object().await;
    let made = colleague(&cluster, "reader");
    let revealed = keys(&user_json(&cluster, "show reader --reveal"));
    assert_eq!(revealed.secret_key, made.secret_key);
    let rotated = keys(&user_json(&cluster, "rotate reader --keep-old"));
    assert_read_everywhere(&cluster, &rotated).await;
    let mut wrong = rotated.clone();
    wrong.secret_key.replace_range(0..1, "#");
    for answer in read_everywhere(&cluster, &wrong).await {
        assert_eq!(answer.refusal().1, "SignatureDoesNotMatch");
        assert!(!answer.text().contains(&rotated.secret_key[1..]));
    }

    let process = cluster.process("ord1");
    // Showing a stored secret is told.
    let _ = process.log_lines(&["\"audit\"", "\"reveal\""], 1).await;
    let arguments = fs::read(format!("/proc/{}/cmdline", process.id())).expect("read the arguments");
    let environment = fs::read(format!("/proc/{}/environ", process.id())).expect("read the environment");
    let mut places = vec![process.log().into_bytes(), arguments, environment];
    for region in REGIONS {
        let metrics = http_client().get(format!("{}/metrics", cluster.admin(region))).send().await;
        places.push(metrics.expect("metrics").bytes().await.expect("metrics").to_vec());
    }
    files_under(&cluster.data_dir(), &mut places);
    assert!(places.len() > 15, "the node's files are among them");
    for secret in [&made.secret_key, &rotated.secret_key] {
        let holders = places.iter().filter(|place| holds(place, secret.as_bytes())).count();
        assert_eq!(holders, 0, "a secret is where it should not be");
    }
}

fn holds(place: &[u8], text: &[u8]) -> bool {
    place.windows(text.len()).any(|window| window == text)
}

/// The content of every file under `folder` but the disk tier's, which holds objects.
fn files_under(folder: &Path, contents: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("list the folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            files_under(&entry.path(), contents);
        } else if kind.is_file() && entry.file_name() != "cache.slab" {
            contents.push(fs::read(entry.path()).expect("read a file"));
        }
    }
}

fn json_request(method: &'static str, target: &str, body: &Value) -> Request {
    Request::new(method, target).header("content-type", "application/json").body(body.to_string())
}

fn json_of(answer: Answer) -> Value {
    serde_json::from_str(&answer.ok().text()).expect("JSON")
}

#[tokio::test]
async fn a_tenants_full_user_manages_its_account_over_http() {
    let cluster = with_hot_object().await;
    let stranger = keys(&user_json(&cluster, "create carol --account video --level full"));
    let reader = keys(&user_json(&cluster, "create low --account dev --level readwrite"));
    let chief = cluster.manager("ord1");

    let create = json!({"name": "bob", "level": "full", "grant": ["las1/data=read"]});
    let answer = chief.send(json_request("POST", "/v1/users", &create)).await;
    assert_eq!((answer.status, answer.header("content-type")), (201, "application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let bob = keys(&json_of(answer));
    assert_read_everywhere(&cluster, &bob).await;
    let shown = chief.send(Request::new("GET", "/v1/users/bob")).await.ok().text();
    assert!(shown.contains(&bob.access_key) && !shown.contains(&bob.secret_key), "{shown}");
    let listed = chief.send(Request::new("GET", "/v1/users")).await.ok().text();
    assert!(listed.contains("\"low\"") && !listed.contains("carol"), "{listed}");

    let keep = json!({"keep_old": true});
    let next = keys(&json_of(chief.send(json_request("POST", "/v1/users/bob/rotate", &keep)).await));
    assert_read_everywhere(&cluster, &bob).await;
    json_of(chief.send(json_request("POST", "/v1/users/bob/finish-rotation", &json!({}))).await);
    assert_refused_everywhere(&cluster, &bob, "finish-rotation").await;
    json_of(chief.send(json_request("POST", "/v1/users/bob/disable", &json!({}))).await);
    assert_refused_everywhere(&cluster, &next, "disable").await;
    json_of(chief.send(json_request("POST", "/v1/users/bob/enable", &json!({}))).await);
    let changed = json_of(chief.send(json_request("PUT", "/v1/users/bob", &json!({"level": "read"}))).await);
    assert_eq!(changed["level"], "read");

    let refused = async |client: &Client, request: Request| client.send(request).await.status;
    let get = |target: &str| Request::new("GET", target.to_owned());
    assert_eq!(refused(&chief, get("/v1/users/carol")).await, 404);
    assert_eq!(refused(&chief, json_request("POST", "/v1/users", &create)).await, 409);
    let spy = json!({"name": "spy", "account": "video", "level": "full"});
    assert_eq!(refused(&chief, json_request("POST", "/v1/users", &spy)).await, 403);
    assert_eq!(refused(&cluster.manager("ord1").with_keys(reader), get("/v1/users")).await, 403);
    assert_eq!(
        refused(&cluster.manager("ord1").with_keys(stranger.clone()), get("/v1/users/bob")).await,
        404
    );
    assert_eq!(refused(&cluster.manager("las1"), get("/v1/users")).await, 421);
    let mut forged = stranger;
    forged.secret_key = "x".repeat(40);
    assert_eq!(refused(&cluster.manager("ord1").with_keys(forged), get("/v1/users")).await, 403);
    let unsigned = http_client().get(format!("{}/v1/users", cluster.admin("ord1"))).send().await;
    assert_eq!(unsigned.expect("an answer").status(), 403);
    let plain =
        Request::new("POST", "/v1/users").header("content-type", "text/plain").body(create.to_string());
    assert_eq!(refused(&chief, plain).await, 415);
    let large = json!({"name": "x".repeat(70_000), "level": "full"});
    assert_eq!(refused(&chief, json_request("POST", "/v1/users", &large)).await, 413);
    let email = json!({"name": "eve", "level": "read", "email": "carol@example.com"});
    assert_eq!(refused(&chief, json_request("POST", "/v1/users", &email)).await, 403);

    // Each of them has left a line: who, what, and why not.
    for (who, command, reason, status, count) in [
        ("\"account\":\"dev\"", "GET /v1/users/carol", "command", 404, 1),
        ("\"account\":\"dev\"", "POST /v1/users", "command", 409, 1),
        ("\"account\":\"dev\"", "POST /v1/users", "not_allowed", 403, 2),
        ("\"user\":\"low\"", "GET /v1/users", "not_allowed", 403, 1),
        ("\"account\":\"video\"", "GET /v1/users/bob", "command", 404, 1),
        ("\"denied\"", "GET /v1/users", "signature", 403, 2),
        ("\"account\":\"dev\"", "POST /v1/users", "command", 415, 1),
        ("\"account\":\"dev\"", "POST /v1/users", "command", 413, 1),
    ] {
        let (command, reason) = (format!("\"command\":\"{command}\""), format!("\"reason\":\"{reason}\""));
        let status = format!("\"status\":{status}");
        let texts = ["\"target\":\"audit\"", who, &command, &reason, &status];
        let lines = cluster.process("ord1").log_lines(&texts, count).await;
        assert_eq!(lines.len(), count, "{texts:?}: {lines:?}");
    }

    assert_eq!(refused(&chief, Request::new("DELETE", "/v1/users/bob")).await, 200);
    assert_refused_everywhere(&cluster, &next, "delete").await;
}

/// A page that points a name of its own at the listener is told nothing by it, and changes nothing through it.
#[tokio::test]
async fn the_admin_listener_answers_to_names_that_are_the_cluster_s_alone() {
    let cluster = Cluster::start().await;
    let chief = cluster.manager("ord1");
    let ask = async |host: &str, target: &str| {
        let sent = http_client().get(format!("{}{target}", cluster.admin("ord1"))).header("host", host);
        let answer = sent.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let create = json!({"name": "bob", "level": "full"});
    for host in
        ["evil.example.com", "penstock.localhost.evil.com", "127.0.0.1.evil.com:9002", "localhost.evil.com"]
    {
        for target in ["/metrics", "/readyz", "/healthz", "/v1/users"] {
            let (status, said) = ask(host, target).await;
            assert!(status == 421 && !said.contains("penstock_"), "{host} {target}: {status} {said}");
        }
        // Signed by who may do it.
        let answer = chief.under(host).send(json_request("POST", "/v1/users", &create)).await;
        assert_eq!(answer.status, 421, "{host}");
    }
    assert!(!user(&cluster, "list").contains("bob"));
    for host in ["127.0.0.1", "localhost:9002", "[::1]", "ord1.penstock.localhost"] {
        assert_eq!(ask(host, "/healthz").await.0, 200, "{host}");
        assert!(ask(host, "/metrics").await.1.contains("penstock_"), "{host}");
        assert_eq!(ask(host, "/v1/users").await.0, 403, "{host}: nobody signed it");
    }
}

/// The body that was signed is the body that is obeyed.
#[tokio::test]
async fn a_command_with_another_body_is_refused() {
    let cluster = Cluster::start().await;
    let chief = cluster.manager("ord1");
    let body = json!({"name": "bob", "level": "full"}).to_string();
    let other = hex::encode(Sha256::digest(body.replace("full", "read")));
    for hash in [other.as_str(), tests::sign::UNSIGNED_PAYLOAD] {
        let request = Request::new("POST", "/v1/users").header("content-type", "application/json");
        let answer = chief.send(request.body(body.clone()).payload_hash(hash)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert!(!user(&cluster, "list").contains("bob"));
}

/// The new key seals everything, and then the old one can go.
#[tokio::test]
async fn the_cluster_key_is_rotated() {
    let mut cluster = with_hot_object().await;
    let reader = colleague(&cluster, "reader");
    cluster.stop();
    let (status, said) = process::run(&["cluster", "rotate-key", "--data", &cluster.data_argument()]);
    assert!(status.success() && said.contains("reseal"), "{said}");
    cluster.start_again().await;
    assert_read_everywhere(&cluster, &reader).await;
    assert_eq!(user_json(&cluster, "reseal")["resealed_secrets"], 2);
    assert_eq!(user_json(&cluster, "reseal")["resealed_secrets"], 0);
    cluster.stop();
    let file = cluster.data_dir().join("cluster/cluster.key");
    let both = fs::read_to_string(&file).expect("read the keys");
    fs::write(&file, both.lines().next().expect("the new key")).expect("drop the old key");
    cluster.start_again().await;
    assert_read_everywhere(&cluster, &reader).await;
}

/// Without home nobody's key can be confirmed, so nobody's is believed once its lease is over; back again, everything is
/// as before.
#[tokio::test]
async fn without_home_other_regions_refuse_for_now() {
    let leases = "[coherence]\nlease = \"1s\"\nusers_lease = \"1s\"\n";
    let mut cluster = Cluster::start_with(Options::settings(leases).served()).await;
    cluster.standard("las1").create_bucket("data").await;
    let _ = cluster.standard("las1").put("data", "k", "hot").await.ok();
    let dev = cluster.keys().clone();
    assert_read_everywhere(&cluster, &dev).await;
    cluster.kill_node("ord1");
    for client in
        [cluster.accelerated("las1", "las1"), cluster.accelerated("lga1", "las1"), cluster.standard("las1")]
    {
        let answer = until_some("the lease of users is over", async || {
            let answer = client.get("data", "k").await;
            (answer.status != 200).then_some(answer)
        })
        .await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
    }
    cluster.start_node_again("ord1").await;
    assert_read_everywhere(&cluster, &dev).await;
}
