//! A cluster as operators make one: authority, certificates and users from the command line, each node with the files
//! that it needs and no others, and a certificate of the operator's own on the public listeners.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use reqwest::tls::TlsInfo;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tests::cluster::{Endpoint, http_client, secure_http_client};
use tests::metrics::Scrape;
use tests::ports::Block;
use tests::process::{self, Process, target_dir};
use tests::sign::Keys;
use tests::{Client, Content, MIB, Request, until};

/// Two nodes: home, and one that asks it.
const REGIONS: [&str; 2] = ["ord1", "las1"];

/// A user made on the command line uploads in one region and reads in the other.
#[tokio::test]
async fn users_made_on_the_command_line_are_known_to_every_node() {
    let site = Site::start().await;
    let keys = site.create_user("alice");
    let content = Content::new(1, 3 * MIB);
    let ord1 = site.client("ord1", Endpoint::Standard, &keys);
    ord1.create_bucket("models").await;
    let _ = ord1.put("models", "k", content.all()).await.ok();
    let las1 = site.client("las1", Endpoint::Accelerated, &keys).under(Endpoint::Accelerated.host("ord1"));
    content.assert_at(0, &las1.get("models", "k").await.ok().body);
    let stranger = Keys { secret_key: "x".repeat(40), ..keys.clone() };
    assert_eq!(las1.with_keys(stranger).get("models", "k").await.refusal().1, "SignatureDoesNotMatch");

    let (status, listed) = site.user(&["list", "--json"], "ord1");
    assert!(status && listed.contains(&keys.access_key) && !listed.contains(&keys.secret_key), "{listed}");
}

/// What `penstock user` cannot do it says in one line.
#[tokio::test]
async fn users_are_made_once_and_at_home() {
    let site = Site::start().await;
    let _ = site.create_user("alice");
    let create = ["create", "alice", "--account", "research", "--level", "full"];
    for (at, expected) in [("ord1", "alice"), ("las1", "ord1"), ("elsewhere", "elsewhere")] {
        let (status, said) = site.user(&create, at);
        assert!(!status && said.contains(expected) && said.trim().lines().count() == 1, "{at}: {said}");
    }
}

/// A certificate is replaced under a running transfer, which goes on; one that cannot be used changes nothing; and
/// SIGTERM ends a node when the transfer is through.
#[tokio::test]
async fn a_certificate_is_replaced_without_a_break() {
    let mut site = Site::start().await;
    let keys = site.create_user("alice");
    let content = Content::new(2, 128 * MIB);
    let ord1 = site.client("ord1", Endpoint::Standard, &keys);
    ord1.create_bucket("models").await;
    let _ = ord1.send(Request::new("PUT", "/models/k").content(content)).await.ok();
    let las1 = site.client("las1", Endpoint::Accelerated, &keys).under(Endpoint::Accelerated.host("ord1"));
    let mut running = las1.open(Request::new("GET", "/models/k")).await.expect("open");
    assert_eq!(site.served_certificates().await, [0; 4]);
    assert_eq!(site.expiries("clients").await, [EXPIRIES[0].1; 2]);
    let of_nodes = site.expiries("nodes").await;
    assert!(of_nodes.iter().all(|last_second| *last_second > 0.0), "{of_nodes:?}");

    site.install_certificate(1);
    assert_eq!(site.served_certificates().await, [0; 4], "nobody has asked for the new one yet");
    site.hang_up("certificate reloaded").await;
    assert_eq!(site.served_certificates().await, [1; 4]);
    assert_eq!(site.expiries("clients").await, [EXPIRIES[1].1; 2]);
    fs::write(site.path("tls.key"), "no key").expect("spoil the key");
    site.hang_up("the new certificate cannot be used").await;
    assert_eq!(site.served_certificates().await, [1; 4]);

    site.nodes[1].signal(Signal::TERM);
    let mut got = 0;
    while let Some(piece) = running.chunk().await.expect("the transfer finishes") {
        content.assert_at(got, &piece);
        got += piece.len() as u64;
    }
    assert_eq!(got, content.bytes);
    assert!(site.nodes[1].wait().success(), "{}", site.nodes[1].log_tail());
    // The owner last: it still had to give what las1 sent on.
    site.nodes[0].signal(Signal::TERM);
    assert!(site.nodes[0].wait().success(), "{}", site.nodes[0].log_tail());
}

/// Keys are private files, and nothing that a cluster stands on is written over.
#[tokio::test]
async fn the_files_of_a_cluster_are_made_once() {
    let site = Site::prepare();
    let (data, config) = (site.text("operator"), site.text("regions.toml"));
    let again = ["cluster", "node", "las1", "--data", &data, "--config", &config];
    let unknown = ["cluster", "node", "mars1", "--data", &data, "--config", &config];
    for (args, expected) in [
        (&["cluster", "init", "--data", &data][..], "exists already"),
        (&again, "exists already"),
        (&unknown, "mars1"),
    ] {
        let before = site.cluster_files();
        let (status, said) = process::run(args);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.trim().lines().count() == 1, "{args:?}: {said}");
        assert_eq!(site.cluster_files(), before, "{args:?}");
    }
    for key in ["cluster.key", "ca.key", "ord1.key", "las1.key"] {
        let file = site.path("operator/cluster").join(key);
        let mode = fs::metadata(&file).expect("a key is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let (status, said) = process::run(&["check", "--config", &config, "--data", &site.text("las1")]);
    assert!(status.success(), "{said}");
    for expected in ["public certificate", "cluster key", "node certificates of las1", "warning"] {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
}

/// A node that cannot reach home says why, where its operator looks, and says it once: a cluster is made once for all
/// nodes, and one file of regions is theirs.
#[tokio::test]
async fn a_node_that_is_not_of_the_cluster_is_told_so() {
    let mut site = Site::prepare();
    let config = site.text("regions.toml");
    let two = fs::read_to_string(&config).expect("read regions.toml");
    let alone = two.split_inclusive("[[region]]").take(2).collect::<String>();
    let rest = two.find("[tls]").expect("there is one");
    let alone = alone.trim_end_matches("[[region]]").to_owned() + &two[rest..];
    fs::write(site.path("alone.toml"), alone).expect("write a file of one region");
    site.launch("ord1", "alone.toml");
    site.launch("las1", "regions.toml");
    site.wait_until_ready(0).await;
    site.wait_for_trouble("users of ord1: no session, ").await;
    let told = "its region is not in this node's regions.toml";
    until("home's log says why", async || site.nodes[0].log().contains(told)).await;
    site.nodes[1].kill();

    // Somebody made a cluster on each machine.
    let other = site.text("other");
    succeed(&["cluster", "init", "--data", &other]);
    succeed(&["cluster", "node", "las1", "--data", &other, "--config", &config]);
    let copy = |file: &str| {
        fs::copy(site.path("other/cluster").join(file), site.path("las1/cluster").join(file)).expect("copy");
    };
    copy("las1.pem");
    copy("las1.key");
    let data = site.text("las1");
    for args in [&["check"][..], &["serve", "--region", "las1"]] {
        let (status, said) = process::run(&[args, &["--config", &config, "--data", &data]].concat());
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("las1.pem: not signed by the ca.pem beside it"), "{said}");
    }
    copy("ca.pem");
    site.nodes.pop();
    fs::remove_file(site.path("las1.log")).expect("of the node before");
    site.launch("las1", "regions.toml");
    site.wait_for_trouble("users of ord1: no session, region does not answer").await;
    let _ = site.nodes[1].log_lines(&["WARN", "no session with the owner", "users", "ertificate"], 1).await;
}

/// Whoever begins in an empty folder is told what comes first, and then what comes next; what is refused leaves nothing.
#[test]
fn an_empty_folder_says_what_comes_first() {
    let site = Site::prepare();
    let (config, data) = (site.text("here.toml"), site.text("here"));
    let refused = |args: &[&str], expected: &[&str]| {
        let (status, said) = process::run(args);
        assert_eq!((status.code(), said.trim().lines().count()), (Some(1), 1), "{args:?}: {said}");
        assert!(
            expected.iter().all(|text| said.contains(text)),
            "{args:?}: {said} has not all of {expected:?}"
        );
    };
    let serve = ["serve", "--region", "ord1", "--config", &config, "--data", &data];
    let node = ["cluster", "node", "ord1", "--config", &config, "--data", &data];
    refused(&serve, &["copy the regions.toml that Penstock comes with", "--config"]);
    fs::copy(site.path("regions.toml"), &config).expect("copy regions.toml");
    let files = "here/cluster has no cluster.key, ca.pem, ord1.pem, ord1.key: ";
    refused(&serve, &[files, "`penstock cluster init`", "`penstock cluster node ord1`"]);
    let elsewhere = ["serve", "--region", "mars1", "--config", &config, "--data", &data];
    refused(&elsewhere, &["\"mars1\"; there are ord1, las1"]);
    refused(&node, &["ca.pem", "`penstock cluster init`"]);
    refused(&["cluster", "rotate-key", "--data", &data], &["cluster.key", "`penstock cluster init`"]);
    let socket_commands = [&["status"][..], &["user", "list"], &["warm", "s3://a/b"]];
    for command in socket_commands {
        refused(&[command, &["--data", &data]].concat(), &["start `penstock dev` or `penstock serve`"]);
    }
    assert!(!site.path("here").exists(), "what was refused left something behind");
    succeed(&["cluster", "init", "--data", &data]);
    refused(&serve, &["here/cluster has no ord1.pem, ord1.key: "]);
    succeed(&node);
}

/// The years with which the certificates of the public listeners end, and when those begin.
const EXPIRIES: [(i32, f64); 2] = [(2096, 3_976_214_400.0), (2097, 4_007_836_800.0)];

/// One folder for the operator, one for each node, and the nodes that run.
struct Site {
    dir: TempDir,
    ports: Block,
    /// Certificates for the public listeners, as DER, and their keys; the first is the one at the start.
    certificates: [Vec<u8>; 2],
    pems: [(String, String); 2],
    nodes: Vec<Process>,
}

impl Site {
    /// Makes the cluster's files, and gives each node what it needs.
    fn prepare() -> Self {
        let parent = target_dir().join("tmp");
        fs::create_dir_all(&parent).expect("make the folder for test data");
        let dir =
            tempfile::Builder::new().prefix("deployment-").tempdir_in(parent).expect("make a fresh folder");
        let made = EXPIRIES.map(|(year, _)| {
            let signing_key = rcgen::KeyPair::generate().expect("make a key");
            let mut params =
                rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address is a name");
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let cert = params.self_signed(&signing_key).expect("make a certificate");
            rcgen::CertifiedKey { cert, signing_key }
        });
        let site = Self {
            dir,
            ports: Block::take(),
            certificates: made.each_ref().map(|made| made.cert.der().to_vec()),
            pems: made.each_ref().map(|made| (made.cert.pem(), made.signing_key.serialize_pem())),
            nodes: Vec::new(),
        };
        site.install_certificate(0);
        fs::write(site.path("regions.toml"), site.configuration()).expect("write regions.toml");
        let (data, config) = (site.text("operator"), site.text("regions.toml"));
        succeed(&["cluster", "init", "--data", &data]);
        for region in REGIONS {
            succeed(&["cluster", "node", region, "--data", &data, "--config", &config]);
            let node = site.path(region).join("cluster");
            fs::create_dir_all(&node).expect("make a node's folder");
            // The authority's key stays with the operator.
            for file in ["ca.pem", "cluster.key", &format!("{region}.pem"), &format!("{region}.key")] {
                fs::copy(site.path("operator/cluster").join(file), node.join(file)).expect("copy to a node");
            }
        }
        site
    }

    async fn start() -> Self {
        let mut site = Self::prepare();
        for region in REGIONS {
            site.launch(region, "regions.toml");
        }
        for index in 0..REGIONS.len() {
            site.wait_until_ready(index).await;
        }
        site
    }

    /// Starts the node of `region` with the file called `config`.
    fn launch(&mut self, region: &str, config: &str) {
        let args =
            ["serve", "--region", region, "--config", &self.text(config), "--data", &self.text(region)];
        let args = args.map(str::to_owned);
        self.nodes.push(Process::start(&args, &self.path(&format!("{region}.log"))));
    }

    async fn wait_until_ready(&mut self, index: usize) {
        let url = format!("http://127.0.0.1:{}/readyz", self.ports.first() + 10 * index as u16 + 2);
        let (http, node) = (http_client(), &mut self.nodes[index]);
        until(&format!("{url} says yes"), async || {
            assert!(node.ended().is_none(), "{}", node.log_tail());
            matches!(http.get(&url).send().await, Ok(answer) if answer.status().is_success())
        })
        .await;
    }

    /// Has las1's node look for home until `penstock status` says `trouble`.
    async fn wait_for_trouble(&self, trouble: &str) {
        let (http, data) = (http_client(), self.text("las1"));
        let url = format!("http://127.0.0.1:{}/readyz", self.ports.first() + 12);
        until(&format!("las1's status says {trouble:?}"), async || {
            let answer = http.get(&url).send().await;
            assert!(!answer.is_ok_and(|answer| answer.status().is_success()), "las1 is ready");
            let (status, said) = process::run(&["status", "--data", &data]);
            status.success() && said.contains(trouble)
        })
        .await;
    }

    fn configuration(&self) -> String {
        let regions = REGIONS.iter().zip((self.ports.first()..).step_by(10)).map(|(region, base)| {
            let [standard, accelerated, admin, peer] =
                [0, 1, 2, 3].map(|offset| format!("\"127.0.0.1:{}\"", base + offset));
            format!(
                "[[region]]\nname = \"{region}\"\npeer = {peer}\nlisten = {{ standard = {standard}, \
                 accelerated = {accelerated}, admin = {admin}, peer = {peer} }}\n"
            )
        });
        format!(
            "domain = \"penstock.localhost\"\nhome = \"ord1\"\n{}\
             [tls]\ncertificate = {:?}\nkey = {:?}\n[limits]\ndrain = \"10m\"\n\
             [cache]\nmemory_bytes = \"16 MiB\"\n[cache.nvme]\nbytes = \"64 MiB\"\n",
            regions.collect::<String>(),
            self.text("tls.pem"),
            self.text("tls.key"),
        )
    }

    /// Puts one of the certificates where the nodes read it.
    fn install_certificate(&self, index: usize) {
        let (certificate, key) = &self.pems[index];
        fs::write(self.path("tls.pem"), certificate).expect("write the certificate");
        fs::write(self.path("tls.key"), key).expect("write its key");
    }

    /// Sends SIGHUP to each node, and waits until each has logged `outcome`.
    async fn hang_up(&self, outcome: &str) {
        for node in &self.nodes {
            node.signal(Signal::HUP);
            until(&format!("{outcome:?} in the log"), async || node.log().contains(outcome)).await;
        }
    }

    /// `penstock user create` at home.
    fn create_user(&self, name: &str) -> Keys {
        let (status, said) =
            self.user(&["create", name, "--account", "research", "--level", "full", "--json"], "ord1");
        assert!(status, "{said}");
        let user: Value = serde_json::from_str(&said).expect("--json answers in JSON");
        let field = |name: &str| user[name].as_str().expect("a text of the user").to_owned();
        Keys { access_key: field("access_key"), secret_key: field("secret_key") }
    }

    /// `penstock user …` on the data folder called `at`: whether it went well, and what it said.
    fn user(&self, args: &[&str], at: &str) -> (bool, String) {
        let data = self.text(at);
        let (status, said) = process::run(&[&["user"], args, &["--data", &data]].concat());
        (status.success(), said)
    }

    /// Which certificate each public listener shows to a client that it does not know yet: one that comes again takes up
    /// its old session, and is shown none.
    async fn served_certificates(&self) -> Vec<usize> {
        let nobody = Keys { access_key: String::new(), secret_key: String::new() };
        let mut served = Vec::new();
        for region in REGIONS {
            for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
                let client = self.client(region, endpoint, &nobody);
                let answer = client.open(Request::new("GET", "/")).await.expect("an answer");
                let info = answer.extensions().get::<TlsInfo>().expect("the client keeps what TLS said");
                let shown = info.peer_certificate().expect("a server has a certificate");
                let index = self.certificates.iter().position(|certificate| certificate == shown);
                served.push(index.expect("one of the two"));
            }
        }
        served
    }

    /// When the certificates for `whom` end, as each node says.
    async fn expiries(&self, whom: &str) -> Vec<f64> {
        let mut expiries = Vec::new();
        for base in (self.ports.first()..).step_by(10).take(REGIONS.len()) {
            let answer = http_client().get(format!("http://127.0.0.1:{}/metrics", base + 2)).send().await;
            let text = answer.expect("an answer").text().await.expect("text");
            let name = "penstock_certificate_expiry_timestamp_seconds";
            expiries.push(Scrape::parse(&text).sum(name, &[("certificate", whom)]));
        }
        expiries
    }

    /// A client of `region`'s listener over TLS that believes both certificates.
    fn client(&self, region: &str, endpoint: Endpoint, keys: &Keys) -> Client {
        let index = REGIONS.iter().position(|known| *known == region).expect("one of the regions");
        let offset = if endpoint == Endpoint::Standard { 0 } else { 1 };
        let address = format!("127.0.0.1:{}", self.ports.first() + 10 * index as u16 + offset);
        let http = secure_http_client(&self.certificates);
        Client::new(http, format!("https://{address}"), endpoint.host(region), keys.clone())
    }

    /// The operator's files under `cluster/`, by name.
    fn cluster_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.path("operator/cluster")).expect("list the cluster's files");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("a file").path())
            .map(|path| (path.clone(), fs::read(path).expect("read a file")))
            .collect();
        files.sort();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().expect("a path of plain text")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for node in &self.nodes {
            if std::thread::panicking() {
                eprintln!("--- the last lines of penstock's log ---\n{}", node.log_tail());
            } else {
                let log = node.log();
                assert!(
                    !log.contains("ERROR") && !log.contains("panicked at"),
                    "an error was logged:\n{log}"
                );
            }
        }
    }
}

fn succeed(args: &[&str]) {
    let (status, said) = process::run(args);
    assert!(status.success(), "{args:?} said: {said}");
}
