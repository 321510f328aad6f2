//! Every region in one `penstock dev` process, in a fresh folder on free ports.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::client::Client;
use crate::metrics::Scrape;
use crate::ports;
use crate::process::{Process, target_dir};
use crate::sign::Keys;

/// The regions of the shipped `regions.toml`, in its order.
pub const REGIONS: [&str; 3] = ["ord1", "las1", "lga1"];

/// The domain of the shipped `regions.toml`.
pub const DOMAIN: &str = "penstock.localhost";

/// How long a cluster may take to be ready, on a busy machine with a debug build.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The two endpoints of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `object.<region>`: where writes go.
    Standard,
    /// `accel-object.<region>`: reads answered out of the node's cache.
    Accelerated,
}

impl Endpoint {
    /// The host name of this endpoint of `region`.
    #[must_use]
    pub fn host(self, region: &str) -> String {
        match self {
            Self::Standard => format!("object.{region}.{DOMAIN}"),
            Self::Accelerated => format!("accel-object.{region}.{DOMAIN}"),
        }
    }

    /// Its place in a region's ports.
    fn port_offset(self) -> u16 {
        match self {
            Self::Standard => 0,
            Self::Accelerated => 1,
        }
    }
}

/// How a cluster differs from what `penstock dev` does by itself.
#[derive(Clone, Default)]
pub struct Options {
    /// TOML laid over the shipped `regions.toml`, key by key.
    pub settings: String,
    /// Further arguments of `penstock dev`.
    pub arguments: Vec<String>,
}

impl Options {
    /// Settings laid over the shipped ones.
    #[must_use]
    pub fn settings(settings: &str) -> Self {
        Self { settings: settings.to_owned(), arguments: Vec::new() }
    }

    /// The cache's tiers: `memory` and `nvme` are sizes as `regions.toml` has them.
    #[must_use]
    pub fn cache(memory: &str, nvme: &str) -> Self {
        Self::settings(&format!("[cache]\nmemory_bytes = {memory:?}\n[cache.nvme]\nbytes = {nvme:?}\n"))
    }

    /// With more settings.
    #[must_use]
    pub fn and(mut self, settings: &str) -> Self {
        self.settings += settings;
        self
    }
}

/// A running `penstock dev`. When dropped it is ended, its folder removed, and its log searched for errors.
pub struct Cluster {
    process: Process,
    dir: TempDir,
    port_base: u16,
    options: Options,
    keys: Keys,
    http: reqwest::Client,
    expected_errors: Vec<String>,
}

impl Cluster {
    /// Starts one as `penstock dev` is by itself.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one with `options` and waits until every region is ready.
    pub async fn start_with(options: Options) -> Self {
        let parent = target_dir().join("tmp");
        fs::create_dir_all(&parent).expect("make the folder for test data");
        let dir =
            tempfile::Builder::new().prefix("cluster-").tempdir_in(parent).expect("make a fresh folder");
        let port_base = ports::free_block();
        let process = start_process(dir.path(), port_base, &options);
        let keys = Keys { access_key: String::new(), secret_key: String::new() };
        let http = http_client();
        let mut cluster = Self { process, dir, port_base, options, keys, http, expected_errors: Vec::new() };
        cluster.wait_until_ready().await;
        cluster.keys = cluster.read_keys();
        cluster
    }

    /// A client of `region`'s listener for `endpoint`, by address: the listener's own region answers.
    #[must_use]
    pub fn client(&self, region: &str, endpoint: Endpoint) -> Client {
        let address = self.address(region, endpoint);
        Client::new(self.http.clone(), format!("http://{address}"), address, self.keys.clone())
    }

    /// A client of the standard endpoint of `region`.
    #[must_use]
    pub fn standard(&self, region: &str) -> Client {
        self.client(region, Endpoint::Standard)
    }

    /// A client that reaches the accelerated listener of the node at `at` and asks for the data of `region`.
    #[must_use]
    pub fn accelerated(&self, at: &str, region: &str) -> Client {
        self.client(at, Endpoint::Accelerated).under(Endpoint::Accelerated.host(region))
    }

    /// Address and port of a public listener.
    #[must_use]
    pub fn address(&self, region: &str, endpoint: Endpoint) -> String {
        format!("127.0.0.1:{}", self.port(region, endpoint.port_offset()))
    }

    /// Where `region`'s admin listener is: scheme, address and port.
    #[must_use]
    pub fn admin(&self, region: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(region, 2))
    }

    /// The first of the cluster's ports.
    #[must_use]
    pub fn port_base(&self) -> u16 {
        self.port_base
    }

    /// The folder given as `--data`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What `region`'s node counts at this moment.
    pub async fn scrape(&self, region: &str) -> Scrape {
        let response = self.http.get(format!("{}/metrics", self.admin(region))).send().await.expect("scrape");
        Scrape::parse(&response.text().await.expect("scraped text"))
    }

    /// The process itself.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A log line at ERROR that holds `text` does not fail the test from now on.
    pub fn expect_errors(&mut self, text: &str) {
        self.expected_errors.push(text.to_owned());
    }

    /// Ends the process as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the process to end, as a service manager does, and waits: it must exit with 0.
    pub fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        self.wait_for_end();
    }

    /// Waits for the process, which was asked to end: it must exit with 0.
    pub fn wait_for_end(&mut self) {
        let status = self.process.wait();
        assert!(status.success(), "SIGTERM ended it with {status}:\n{}", self.process.log_tail());
    }

    /// Starts the process again, on the same folder and ports.
    pub async fn start_again(&mut self) {
        self.process = start_process(self.dir.path(), self.port_base, &self.options);
        self.wait_until_ready().await;
    }

    /// As [`start_again`](Self::start_again), with other options.
    pub async fn start_again_with(&mut self, options: Options) {
        self.options = options;
        self.start_again().await;
    }

    fn port(&self, region: &str, offset: u16) -> u16 {
        let index = REGIONS.iter().position(|name| *name == region).expect("one of the shipped regions");
        self.port_base + 10 * index as u16 + offset
    }

    fn read_keys(&self) -> Keys {
        let text =
            fs::read_to_string(self.data_dir().join("credentials.json")).expect("read credentials.json");
        let json: serde_json::Value = serde_json::from_str(&text).expect("credentials.json is JSON");
        let field = |name: &str| json[name].as_str().expect("a text in credentials.json").to_owned();
        Keys { access_key: field("access_key"), secret_key: field("secret_key") }
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        for region in REGIONS {
            let url = format!("{}/readyz", self.admin(region));
            while !matches!(self.http.get(&url).send().await, Ok(answer) if answer.status().is_success()) {
                let ended = self.process.ended();
                assert!(ended.is_none(), "penstock ended with {ended:?}:\n{}", self.process.log_tail());
                assert!(Instant::now() < deadline, "{region} is not ready:\n{}", self.process.log_tail());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// The first line that a person should look at and the test did not expect.
    fn unexpected_error(&self) -> Option<String> {
        let is_expected = |line: &&str| !self.expected_errors.iter().any(|text| line.contains(text));
        let is_error = |line: &&str| line.contains("ERROR") || line.contains("panicked at");
        self.process.log().lines().filter(is_error).find(is_expected).map(str::to_owned)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last lines of penstock's log ---\n{}", self.process.log_tail());
        } else if let Some(line) = self.unexpected_error() {
            panic!("penstock logged an error:\n{line}");
        }
    }
}

/// An HTTP client as tests want it: no redirects, no proxies, HTTP/1.1.
#[must_use]
pub fn http_client() -> reqwest::Client {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("no other crypto provider is installed");
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .build()
        .expect("build the HTTP client")
}

fn start_process(dir: &Path, port_base: u16, options: &Options) -> Process {
    let config = dir.join("regions.toml");
    let shipped =
        fs::read_to_string(repository().join("regions.toml")).expect("read the shipped regions.toml");
    let mut settings: Table = shipped.parse().expect("the shipped regions.toml is TOML");
    lay_over(&mut settings, options.settings.parse().expect("the test's settings are TOML"));
    fs::write(&config, settings.to_string()).expect("write regions.toml");
    let path = |path: PathBuf| path.to_str().expect("a path of plain text").to_owned();
    let mut args: Vec<String> = vec!["dev".into()];
    args.extend(["--data".into(), path(dir.join("data")), "--config".into(), path(config)]);
    args.extend(["--port-base".into(), port_base.to_string()]);
    args.extend(options.arguments.iter().cloned());
    Process::start(&args, &dir.join("log"))
}

/// Puts every value of `over` into `table`, tables key by key.
fn lay_over(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => lay_over(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository").to_owned()
}
