//! All regions running, in a fresh folder on free ports.

mod gate;
mod options;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

pub use gate::Gate;
pub use options::{LONG_LEASES, Options, SHORT_LEASES};

use crate::MIB;
use crate::client::Client;
use crate::metrics::Scrape;
use crate::ports::Block;
use crate::process::{self, Process, target_dir};
use crate::sign::Keys;
use crate::until::{until, until_some};
use crate::wan::{Link, Shape};

/// The regions of the shipped `regions.toml`, in its order.
pub const REGIONS: [&str; 3] = ["ord1", "las1", "lga1"];

/// The domain of the shipped `regions.toml`.
pub const DOMAIN: &str = "penstock.localhost";

/// What a node may use beyond its cache's memory.
pub const ALLOWANCE_BYTES: u64 = 256 * MIB;

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

/// All regions of the shipped `regions.toml`, running: one `penstock dev`, or one `penstock serve` each. When dropped
/// they are ended, their folder removed, and their logs searched for errors.
pub struct Cluster {
    processes: Vec<Process>,
    dir: TempDir,
    ports: Block,
    options: Options,
    keys: Keys,
    http: reqwest::Client,
    gate: Option<Gate>,
    /// From which node, to which region.
    links: BTreeMap<(&'static str, &'static str), Link>,
    expected_errors: Vec<String>,
}

impl Cluster {
    /// Starts one as `penstock dev` is by itself, with small caches.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one with `options` and waits until every region is ready.
    pub async fn start_with(options: Options) -> Self {
        let parent = target_dir().join("tmp");
        fs::create_dir_all(&parent).expect("make the folder for test data");
        let dir =
            tempfile::Builder::new().prefix("cluster-").tempdir_in(parent).expect("make a fresh folder");
        let mut cluster = Self {
            processes: Vec::new(),
            dir,
            ports: Block::take(),
            options,
            keys: Keys { access_key: String::new(), secret_key: String::new() },
            http: http_client(),
            gate: None,
            links: BTreeMap::new(),
            expected_errors: Vec::new(),
        };
        cluster.gate = match cluster.options.gated_region() {
            None => None,
            Some(region) => Some(cluster.start_gate(region).await),
        };
        if let Some(one_way) = cluster.options.one_way() {
            cluster.start_links(Shape::delayed(one_way)).await;
        }
        cluster.write_config();
        if cluster.options.serves() {
            // `dev` lays a data folder out just as `serve` wants it: certificates, stores, a first user.
            cluster.start_dev();
            cluster.wait_until_ready().await;
            cluster.stop();
        }
        cluster.start_again().await;
        cluster.keys = cluster.read_keys();
        if cluster.options.is_tls() {
            cluster.http = secure_http_client(&[cluster.authority().to_vec()]);
        }
        cluster
    }

    /// A client of `region`'s listener for `endpoint`, by address: the listener's own region answers.
    #[must_use]
    pub fn client(&self, region: &str, endpoint: Endpoint) -> Client {
        let address = self.address(region, endpoint);
        let scheme = if self.options.is_tls() { "https" } else { "http" };
        Client::new(self.http.clone(), format!("{scheme}://{address}"), address, self.keys.clone())
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
        self.port(region, endpoint.port_offset())
    }

    /// The user that `penstock dev` made.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Where `region`'s admin listener is: scheme, address and port.
    #[must_use]
    pub fn admin(&self, region: &str) -> String {
        format!("http://{}", self.port(region, 2))
    }

    /// A client of `region`'s admin listener, which obeys commands about users.
    #[must_use]
    pub fn manager(&self, region: &str) -> Client {
        let host = self.port(region, 2);
        Client::new(http_client(), self.admin(region), host, self.keys.clone())
    }

    /// Address and port of `region`'s listener for other nodes.
    #[must_use]
    pub fn peer(&self, region: &str) -> String {
        self.port(region, 3)
    }

    /// The gate of a cluster that was started with one.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("the cluster was started with a gate")
    }

    /// The way from the node of `from` to the region `to`, of a cluster whose regions are distant.
    ///
    /// # Panics
    /// When they are not.
    #[must_use]
    pub fn link(&self, from: &str, to: &str) -> &Link {
        let (_, link) =
            self.links().find(|(ends, _)| *ends == (from, to)).expect("a link between two regions");
        link
    }

    /// Every link, with the node it comes from and the region it leads to.
    pub fn links(&self) -> impl Iterator<Item = ((&'static str, &'static str), &Link)> {
        self.links.iter().map(|(ends, link)| (*ends, link))
    }

    /// The folder given as `--data`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The folder given as `--data`, as an argument.
    #[must_use]
    pub fn data_argument(&self) -> String {
        text(self.data_dir())
    }

    /// Makes a user as operators do, with `arguments` beside the name, and returns the key pair.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn create_user(&self, name: &str, arguments: &[&str]) -> Keys {
        let data = self.data_argument();
        let line = [&["user", "create", name], arguments, &["--json", "--data", &data]].concat();
        let (status, said) = process::run(&line);
        assert!(status.success(), "{said}");
        let user: serde_json::Value = serde_json::from_str(&said).expect("--json answers in JSON");
        let field = |name: &str| user[name].as_str().expect("a text of the user").to_owned();
        Keys { access_key: field("access_key"), secret_key: field("secret_key") }
    }

    /// The `regions.toml` of `node`, as an argument. `penstock dev` runs with the first region's.
    #[must_use]
    pub fn config_argument(&self, node: &str) -> String {
        text(self.dir.path().join(format!("{node}.toml")))
    }

    /// Whom clients of a cluster with HTTPS believe.
    ///
    /// # Panics
    /// When the cluster speaks plain HTTP.
    #[must_use]
    pub fn authority(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.data_dir().join("ca.pem")).expect("read ca.pem")
    }

    /// What `region`'s node counts at this moment.
    pub async fn scrape(&self, region: &str) -> Scrape {
        let response = self.http.get(format!("{}/metrics", self.admin(region))).send().await.expect("scrape");
        Scrape::parse(&response.text().await.expect("scraped text"))
    }

    /// What `region`'s node counts once it answers no request any more and fills nothing: a request is counted a moment after
    /// its last byte, and a block is kept then.
    ///
    /// # Panics
    /// When it is not at rest in good time.
    pub async fn settled(&self, region: &str) -> Scrape {
        until_some(&format!("{region} is at rest"), async || {
            let scrape = self.scrape(region).await;
            let busy = ["penstock_requests_in_flight", "penstock_cache_fill_bytes"];
            busy.iter().all(|gauge| scrape.sum(gauge, &[]) == 0.0).then_some(scrape)
        })
        .await
    }

    /// The process in which `region`'s node runs.
    #[must_use]
    pub fn process(&self, region: &str) -> &Process {
        &self.processes[self.process_index(region)]
    }

    /// A log line at ERROR that holds `text` does not fail the test from now on.
    pub fn expect_errors(&mut self, text: &str) {
        self.expected_errors.push(text.to_owned());
    }

    /// Asks every process to end, as a service manager does, and waits: each must exit with 0.
    pub fn stop(&mut self) {
        self.check_memory();
        self.processes.iter().for_each(|process| process.signal(Signal::TERM));
        self.wait_for_end();
    }

    /// Waits for the processes, which were asked to end: each must exit with 0.
    pub fn wait_for_end(&mut self) {
        self.processes.iter_mut().for_each(Process::expect_success);
    }

    /// Asks the process of `region` alone to end, of a served cluster, and waits: it must exit with 0.
    pub fn stop_node(&mut self, region: &str) {
        let index = self.process_index(region);
        self.processes[index].signal(Signal::TERM);
        self.processes[index].expect_success();
    }

    /// Starts all that was ended again, on the same folder and ports, and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.launch_again();
        self.wait_until_ready().await;
    }

    /// As [`start_again`](Self::start_again), without waiting.
    pub fn launch_again(&mut self) {
        if self.options.serves() {
            self.processes = REGIONS.map(|region| self.serve(region)).into();
        } else {
            self.start_dev();
        }
    }

    /// As [`start_again`](Self::start_again), with other options.
    pub async fn start_again_with(&mut self, options: Options) {
        self.options = options;
        self.write_config();
        self.start_again().await;
    }

    /// Ends the process of `region` alone, as a power cut would.
    pub fn kill_node(&mut self, region: &str) {
        let index = self.process_index(region);
        self.processes[index].kill();
    }

    /// Starts the process of `region` again, of a served cluster.
    pub async fn start_node_again(&mut self, region: &str) {
        self.launch_node(region);
        self.wait_until_ready().await;
    }

    /// As [`start_node_again`](Self::start_node_again), without waiting.
    pub fn launch_node(&mut self, region: &str) {
        let index = self.process_index(region);
        self.processes[index] = self.serve(region);
    }

    /// Waits until the node of `region` is ready, whatever the others are.
    pub async fn wait_until_node_is_ready(&mut self, region: &str) {
        let url = format!("{}/readyz", self.admin(region));
        let index = self.process_index(region).min(self.processes.len() - 1);
        let (http, process) = (&self.http, &mut self.processes[index]);
        until(&format!("{region} is ready"), async || {
            let ended = process.ended();
            assert!(ended.is_none(), "penstock ended with {ended:?}:\n{}", process.log_tail());
            matches!(http.get(&url).send().await, Ok(answer) if answer.status().is_success())
        })
        .await;
    }

    /// Every node's promise: its peak stays under its cache's memory and an allowance. A process that has ended cannot
    /// be asked any more.
    fn check_memory(&self) {
        let bounds: Vec<_> =
            REGIONS.iter().map(|node| self.options.memory_bytes(node) + ALLOWANCE_BYTES).collect();
        let bounds = if self.options.serves() { bounds } else { vec![bounds.iter().sum()] };
        for (process, bound) in self.processes.iter().zip(bounds) {
            let peak = process.peak_memory_bytes_so_far().unwrap_or_default();
            assert!(peak < bound, "the peak was {} MiB of {} MiB", peak / MIB, bound / MIB);
        }
    }

    fn start_dev(&mut self) {
        let mut args = vec!["dev".to_owned(), "--port-base".into(), self.ports.first().to_string()];
        args.extend(self.place_arguments(REGIONS[0]));
        args.extend(self.options.is_tls().then(|| "--tls".to_owned()));
        self.processes = vec![Process::start(&args, &self.dir.path().join("dev.log"))];
    }

    fn serve(&self, region: &str) -> Process {
        let mut args = vec!["serve".to_owned(), "--region".into(), region.into()];
        args.extend(self.place_arguments(region));
        Process::start(&args, &self.dir.path().join(format!("{region}.log")))
    }

    fn write_config(&self) {
        for node in REGIONS {
            let file = self.options.regions_toml(node, self.ports.first());
            fs::write(self.config_argument(node), file).expect("write a node's regions.toml");
        }
    }

    fn place_arguments(&self, node: &str) -> [String; 4] {
        ["--data".into(), self.data_argument(), "--config".into(), self.config_argument(node)]
    }

    async fn start_gate(&self, region: &str) -> Gate {
        Gate::start(self.port(region, options::GATE_PORT_OFFSET), self.port(region, 3)).await
    }

    async fn start_links(&mut self, shape: Shape) {
        for (from, to) in REGIONS.iter().flat_map(|from| REGIONS.iter().map(move |to| (*from, *to))) {
            if from != to {
                let listen = self.port(to, options::link_port_offset(from));
                let link = Link::start(&listen, &self.port(to, 3), shape, shape).await;
                self.links.insert((from, to), link);
            }
        }
    }

    /// Address and port of `region`'s listener at `offset`.
    fn port(&self, region: &str, offset: u16) -> String {
        format!("127.0.0.1:{}", self.ports.first() + 10 * index_of(region) as u16 + offset)
    }

    fn process_index(&self, region: &str) -> usize {
        if self.options.serves() { index_of(region) } else { 0 }
    }

    fn read_keys(&self) -> Keys {
        let text =
            fs::read_to_string(self.data_dir().join("credentials.json")).expect("read credentials.json");
        let json: serde_json::Value = serde_json::from_str(&text).expect("credentials.json is JSON");
        let field = |name: &str| json[name].as_str().expect("a text in credentials.json").to_owned();
        Keys { access_key: field("access_key"), secret_key: field("secret_key") }
    }

    async fn wait_until_ready(&mut self) {
        for region in REGIONS {
            self.wait_until_node_is_ready(region).await;
        }
    }

    /// The first line that a person should look at and the test did not expect.
    fn unexpected_error(&self) -> Option<String> {
        let is_expected = |line: &&str| !self.expected_errors.iter().any(|text| line.contains(text));
        let is_error = |line: &&str| line.contains("ERROR") || line.contains("panicked at");
        let first =
            |process: &Process| process.log().lines().filter(is_error).find(is_expected).map(str::to_owned);
        self.processes.iter().find_map(first)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &self.processes {
                eprintln!("--- the last lines of penstock's log ---\n{}", process.log_tail());
            }
            return;
        }
        if let Some(line) = self.unexpected_error() {
            panic!("penstock logged an error:\n{line}");
        }
        self.check_memory();
    }
}

/// An HTTP client as tests want it: no redirects, no proxies, HTTP/1.1.
#[must_use]
pub fn http_client() -> reqwest::Client {
    plain_builder().build().expect("build the HTTP client")
}

/// The same for HTTPS: it believes `certificates` (DER) alone, and keeps with each answer what TLS said.
#[must_use]
pub fn secure_http_client(certificates: &[Vec<u8>]) -> reqwest::Client {
    let believed = certificates.iter().map(|der| reqwest::Certificate::from_der(der).expect("a certificate"));
    plain_builder().tls_certs_only(believed).tls_info(true).build().expect("build the HTTPS client")
}

fn plain_builder() -> reqwest::ClientBuilder {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| {
        // Not if a configuration of rustls has been built before: it has installed the only one there is.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).http1_only()
}

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository").to_owned()
}

fn index_of(region: &str) -> usize {
    REGIONS.iter().position(|name| *name == region).expect("one of the shipped regions")
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("a path of plain text")
}
