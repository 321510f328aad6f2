//! The configuration file, parsed once at start into checked values; running code reads nothing else.
//!
//! One file, `regions.toml`, is the same on every node. Unknown keys are refused, and every fault is reported
//! together with its key, so that an operator mends a file in one go.

mod fault;
mod table;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use origin::lifecycle::Day;
use origin::regional::ReservedNames;
use tracing::Level;

use crate::client::{Network, TrustedProxies};
use crate::coherence::{self, OnHomeLoss};
use crate::quota::Quota;
use crate::topology::{RegionName, Topology};
use crate::{bridge, listen};
pub use fault::Fault;
use table::Keys;
pub(crate) use table::parse_bytes;

/// How much longer a connection waits than any piece of an answer may: whoever writes that says why it broke off.
const ANSWER_FIRST: Duration = Duration::from_secs(2);

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The regions.
    pub topology: Topology,
    /// What the node of each region listens on, in the topology's order; `None` where the file does not say.
    pub listen: Vec<Option<Listen>>,
    /// Certificate and key of the public listeners; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// What the front door believes.
    pub front: Front,
    /// The front door's limits.
    pub limits: Limits,
    /// How what nodes keep is held true.
    pub coherence: coherence::Settings,
    /// The block cache's settings; the path of its NVMe tier is empty where the file gives none.
    pub cache: cache::Settings,
    /// Bytes of heads that a node keeps beside its cached blocks. Default 16 MiB.
    pub heads_bytes_max: u64,
    /// The regional store's settings.
    pub store: Store,
    /// The least severe level that is logged.
    pub log_level: Level,
}

/// The addresses of one region's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The standard endpoint.
    pub standard: SocketAddr,
    /// The accelerated endpoint.
    pub accelerated: SocketAddr,
    /// Metrics and health: an address that only operators reach.
    pub admin: SocketAddr,
    /// The peer channel.
    pub peer: SocketAddr,
}

/// PEM files of the public listeners, read at start and again on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// What the front door believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Proxies in front of the public listeners whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. Default
    /// none.
    pub trusted_proxies: TrustedProxies,
    /// Whether a signed request over plain HTTP may have a body that its signature does not cover. Default yes: SDKs and
    /// curl send such bodies, and plain HTTP is for loopback and private networks.
    pub allow_unsigned_payload_over_http: bool,
    /// Whether a browser's form may be signed with Signature V2, which no other request may be. Default yes: see
    /// `ops/decisions` on signatures of forms.
    pub allow_form_signature_v2: bool,
}

/// The limits of the front door. What is past one is refused or let go, and counted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a connection: how many there are, and how long each may take to make a request.
    pub connection: listen::Limits,
    /// Of a transfer, once the request is there.
    pub transfer: bridge::Limits,
    /// How long the owner of another region may be silent about a request that was forwarded to it. Default 5 min: more
    /// than it takes to read the 5 GiB of a copied part from a slow disk, the longest work without a word.
    pub silent_owner: Duration,
    /// Requests at one time, each over HTTP/2 counted as two; further ones are answered 503 `SlowDown`. Default 1024.
    pub requests_in_flight_max: usize,
    /// Of these, requests that are on their way to other regions; a further one waits for a few seconds, and is then
    /// answered 503 `SlowDown`. Each holds half a megabyte at most. Default 48.
    pub forwards_in_flight_max: usize,
    /// Of these, uploads into this region's store, copied parts among them; a further one waits for a few seconds, and is
    /// then answered 503 `SlowDown`. Each holds a quarter of a megabyte beyond what the store lends. Default 64.
    pub uploads_in_flight_max: usize,
    /// What clients may have sent over HTTP/2 before anybody reads it, on all connections together. It takes the place of
    /// requests, each byte of it that of four. A connection for which less than 256 KiB is left is not offered HTTP/2.
    /// Default 8 MiB.
    pub http2_windows_bytes: u64,
    /// What one client address may ask of a node. Default no limit: behind a NAT or a proxy that is not trusted, a
    /// thousand clients have one address.
    pub per_address: Quota,
    /// What one access key may ask of a node. Default no limit: a training run is one key and a thousand machines.
    pub per_key: Quota,
    /// How long running transfers may go on after SIGTERM. Default 30 s.
    pub drain: Duration,
}

/// What can be set on the regional store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// How long the bytes of an overwritten or deleted object stay for readers that have begun. Default 5 min.
    pub grace: Duration,
    /// Objects of up to this many bytes are kept in the metadata. Default 16 KiB.
    pub inline_bytes_max: u64,
    /// Bytes of metadata kept in memory. Default 16 MiB.
    pub metadata_cache_bytes: usize,
    /// How long a day of the buckets' lifecycle rules lasts: 24 h, rounded up to the next midnight UTC as S3 does, or
    /// less, which is for tests. Default 24 h.
    pub lifecycle_day: Day,
    /// Most bytes that one account may keep in the region, as S3 shows their sizes; 0 is no limit. Default 30 TB.
    pub account_quota_bytes: u64,
    /// Most buckets that one account may have in the region; 0 is no limit. Default 10,000, as in S3.
    pub account_buckets_max: u64,
    /// Names that no new bucket is given: `reserved_prefixes` and `reserved_names`. Default none.
    pub reserved_names: ReservedNames,
    /// Whether a request for a new bucket has to say in which region. Default no.
    pub require_location: bool,
}

/// Why there are no settings: the one line that goes to stderr, or several, one for each fault.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no such file.
    #[error(
        "there is no {}: copy the regions.toml that Penstock comes with there and set its addresses, or name yours with --config",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("read {}: {cause}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file says something wrong.
    #[error("{}", listed(path, faults))]
    Faults {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        faults: Vec<Fault>,
    },
}

impl Settings {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or with every fault in it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => SettingsError::Missing(path.to_owned()),
            _ => SettingsError::Read { path: path.to_owned(), cause },
        })?;
        Self::parse(&text).map_err(|faults| SettingsError::Faults { path: path.to_owned(), faults })
    }

    /// The settings in `text`.
    ///
    /// # Errors
    /// Every fault, each with its key. Text that is not TOML is one fault with the line as its key.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut file = Keys::new("", toml_table(text).map_err(|fault| vec![fault])?);
        let on_home_loss = read_on_home_loss(&mut file);
        let (topology, listen) = read_topology(&mut file);
        let tls = read_tls(&mut file);
        let front = read_front(&mut file);
        let limits = read_limits(&mut file);
        let coherence = read_coherence(&mut file, on_home_loss);
        let (cache, heads_bytes_max) = read_cache(&mut file);
        let store = read_store(&mut file);
        let log_level = read_log_level(&mut file);
        let faults = file.finish();
        match topology {
            Some(topology) if faults.is_empty() => Ok(Self {
                topology,
                listen,
                tls,
                front,
                limits,
                coherence,
                cache,
                heads_bytes_max,
                store,
                log_level,
            }),
            _ => Err(faults),
        }
    }

    /// What the node of `region` listens on.
    ///
    /// # Errors
    /// The missing key, when the file does not say.
    pub fn listen(&self, region: &RegionName) -> Result<Listen, Fault> {
        let index = self.topology.regions().iter().position(|known| known.name() == region);
        index
            .and_then(|index| self.listen.get(index).copied().flatten())
            .ok_or_else(|| Fault::new(format!("region.listen of {region}"), "is missing: `serve` needs it"))
    }
}

fn toml_table(text: &str) -> Result<toml::Table, Fault> {
    text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Fault::new(format!("line {line}"), error.message())
    })
}

fn read_topology(file: &mut Keys) -> (Option<Topology>, Vec<Option<Listen>>) {
    let (domain, home) = (file.text("domain"), file.text("home"));
    let mut regions = Vec::new();
    let mut listen = Vec::new();
    for mut region in file.tables("region") {
        regions.push((region.text("name"), region.text("peer")));
        listen.push(region.holds("listen").then(|| read_listen(&mut region)).flatten());
        file.extend(region.finish());
    }
    let named = regions.iter().map(|(name, peer)| (name.as_str(), peer.as_str()));
    match Topology::new(&domain, &home, named) {
        Ok(topology) => (Some(topology), listen),
        Err(faults) => {
            // A key that is missing has its fault already, and needs no second one about being empty.
            file.extend_new(faults);
            (None, listen)
        }
    }
}

/// What a node does with users that it cannot confirm, because home does not answer. `serve_known` belongs to one of
/// the choices, and is refused beside the other.
fn read_on_home_loss(file: &mut Keys) -> OnHomeLoss {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let is_bounded = file.holds("serve_known");
    let bound = file.duration("serve_known", minutes(15), minutes(1)..=minutes(24 * 60));
    match file.optional_text("on_home_loss").as_deref() {
        Some("serve-known") => return OnHomeLoss::ServeKnown(bound),
        None | Some("refuse") if is_bounded => {
            file.fault("serve_known", "needs on_home_loss = \"serve-known\"");
        }
        None | Some("refuse") => {}
        Some(_) => file.fault("on_home_loss", "must be \"refuse\" or \"serve-known\""),
    }
    OnHomeLoss::Refuse
}

fn read_coherence(file: &mut Keys, on_home_loss: OnHomeLoss) -> coherence::Settings {
    let (millis, seconds) = (Duration::from_millis, Duration::from_secs);
    let mut settings = coherence::Settings { on_home_loss, ..coherence::Settings::default() };
    let mut keys = file.table("coherence");
    for (key, field, allowed) in [
        ("lease", &mut settings.lease, millis(500)..=seconds(60)),
        ("users_lease", &mut settings.users_lease, millis(500)..=seconds(600)),
        ("max_ack_wait", &mut settings.max_ack_wait, millis(10)..=seconds(30)),
        ("margin", &mut settings.margin, millis(10)..=seconds(10)),
        ("hold_wait", &mut settings.hold_wait, Duration::ZERO..=seconds(60)),
    ] {
        *field = keys.duration(key, *field, allowed);
    }
    for (key, problem) in settings.check() {
        keys.fault(key, problem);
    }
    file.extend(keys.finish());
    settings
}

fn read_listen(region: &mut Keys) -> Option<Listen> {
    let mut keys = region.table("listen");
    let mut address = |key| {
        if !keys.holds(key) {
            keys.fault(key, "is missing");
        }
        keys.address(key)
    };
    let (standard, accelerated) = (address("standard"), address("accelerated"));
    let (admin, peer) = (address("admin"), address("peer"));
    region.extend(keys.finish());
    Some(Listen { standard: standard?, accelerated: accelerated?, admin: admin?, peer: peer? })
}

fn read_tls(file: &mut Keys) -> Option<TlsFiles> {
    if !file.holds("tls") {
        return None;
    }
    let mut keys = file.table("tls");
    let files = TlsFiles { certificate: keys.path("certificate"), key: keys.path("key") };
    file.extend(keys.finish());
    Some(files)
}

fn read_front(file: &mut Keys) -> Front {
    let mut keys = file.table("front");
    let mut trusted = Vec::new();
    for (index, text) in keys.texts("trusted_proxies").into_iter().enumerate() {
        let at = format!("trusted_proxies[{index}]");
        match text.parse::<Network>() {
            Ok(network) if network.prefix_bits() == 0 => {
                keys.fault(&at, format!("{text:?} would let every client say who it is"));
            }
            Ok(network) => trusted.push(network),
            Err(error) => keys.fault(&at, format!("{text:?} {error}")),
        }
    }
    let allow_unsigned_payload_over_http = keys.flag("allow_unsigned_payload_over_http", true);
    let allow_form_signature_v2 = keys.flag("allow_form_signature_v2", true);
    file.extend(keys.finish());
    Front {
        trusted_proxies: TrustedProxies::new(trusted),
        allow_unsigned_payload_over_http,
        allow_form_signature_v2,
    }
}

fn read_limits(file: &mut Keys) -> Limits {
    let seconds = Duration::from_secs;
    let (mut connection, mut transfer) = (listen::Limits::default(), bridge::Limits::default());
    let mut keys = file.table("limits");
    for (key, field) in [
        ("header_deadline", &mut connection.head_timeout),
        ("idle_timeout", &mut connection.idle_timeout),
        ("stalled_upload", &mut transfer.upload.stalled_upload),
        ("stalled_reader", &mut transfer.response.stalled_reader),
    ] {
        *field = keys.duration(key, *field, seconds(1)..=seconds(3600));
    }
    connection.stalled_write = transfer.response.longest() + ANSWER_FIRST;
    connection.connections_max = keys.count("connections_max", connection.connections_max, 1..=1_000_000);
    let silent_owner = keys.duration("silent_owner", seconds(300), seconds(1)..=seconds(3600));
    let requests_in_flight_max = keys.count("requests_in_flight_max", 1024, 1..=1_000_000);
    let forwards_in_flight_max = keys.count("forwards_in_flight_max", 48, 1..=1_000_000);
    let uploads_in_flight_max = keys.count("uploads_in_flight_max", 64, 1..=1_000_000);
    let http2_windows_bytes = keys.bytes("http2_windows_bytes", 8 << 20, 0..=1 << 40);
    let drain = keys.duration("drain", seconds(30), Duration::ZERO..=seconds(3600));
    let (per_address, per_key) = (read_quota(&mut keys, "per_address"), read_quota(&mut keys, "per_key"));
    file.extend(keys.finish());
    Limits {
        connection,
        transfer,
        silent_owner,
        requests_in_flight_max,
        forwards_in_flight_max,
        uploads_in_flight_max,
        http2_windows_bytes,
        per_address,
        per_key,
        drain,
    }
}

fn read_quota(limits: &mut Keys, key: &str) -> Quota {
    let mut keys = limits.table(key);
    let mut number = |key| keys.count(key, 0, 0..=1_000_000) as u32;
    let quota = Quota {
        requests_per_second: number("requests_per_second"),
        burst: number("burst"),
        in_flight_max: number("in_flight_max"),
    };
    if quota.burst > 0 && quota.requests_per_second == 0 {
        keys.fault("burst", "needs requests_per_second");
    }
    limits.extend(keys.finish());
    quota
}

fn read_cache(file: &mut Keys) -> (cache::Settings, u64) {
    const ANY: std::ops::RangeInclusive<u64> = 0..=u64::MAX;
    let mut settings = cache::Settings::default();
    let mut keys = file.table("cache");
    for (key, field) in [
        ("memory_bytes", &mut settings.memory_bytes),
        ("working_bytes", &mut settings.working_bytes),
        ("block_bytes", &mut settings.block_bytes),
        ("fill_bytes_max", &mut settings.fill_bytes_max),
        ("fill_window_bytes", &mut settings.fill_window_bytes),
        ("fill_ahead_bytes", &mut settings.fill_ahead_bytes),
    ] {
        *field = keys.bytes(key, *field, ANY);
    }
    settings.preallocate_memory = keys.flag("preallocate_memory", settings.preallocate_memory);
    for (key, field) in [
        ("fills_per_origin_max", &mut settings.fills_per_origin_max),
        ("direct_reads_per_origin_max", &mut settings.direct_reads_per_origin_max),
        ("prestages_max", &mut settings.prestages_max),
        ("prestages_per_tenant_max", &mut settings.prestages_per_tenant_max),
    ] {
        *field = keys.count(key, *field, 1..=1_000_000);
    }
    for (key, field) in
        [("wait_max", &mut settings.wait_max), ("origin_silence_max", &mut settings.origin_silence_max)]
    {
        *field = keys.duration(key, *field, Duration::from_millis(1)..=Duration::from_secs(24 * 3600));
    }
    settings.tenant_weights = read_account_weights(&mut keys);
    if keys.holds("nvme") {
        settings.nvme = Some(read_nvme(&mut keys));
    }
    for fault in settings.check() {
        keys.fault(fault.key, fault.problem);
    }
    let heads_bytes_max = keys.bytes("heads_bytes_max", 16 << 20, 1 << 20..=1 << 40);
    file.extend(keys.finish());
    (settings, heads_bytes_max)
}

fn read_account_weights(cache: &mut Keys) -> BTreeMap<String, u32> {
    let mut keys = cache.table("account_weights");
    let weights = keys.names().into_iter().map(|account| {
        let weight = keys.count(&account, 1, 1..=1000);
        (account, u32::try_from(weight).expect("at most 1000"))
    });
    let weights = weights.collect();
    cache.extend(keys.finish());
    weights
}

fn read_nvme(cache: &mut Keys) -> cache::Nvme {
    let mut keys = cache.table("nvme");
    let mut devices: Vec<_> = keys
        .tables("device")
        .into_iter()
        .map(|mut device| {
            let read = cache::NvmeDevice { path: device.path("path"), bytes: read_nvme_bytes(&mut device) };
            keys.extend(device.finish());
            read
        })
        .collect();
    if devices.is_empty() {
        let path = keys.optional_text("path").unwrap_or_default().into();
        devices.push(cache::NvmeDevice { path, bytes: read_nvme_bytes(&mut keys) });
    }
    let mut nvme = cache::Nvme { devices, ..cache::Nvme::new("", 0) };
    nvme.write_queue_bytes = keys.bytes("write_queue_bytes", nvme.write_queue_bytes, 0..=u64::MAX);
    match keys.optional_text("engine").as_deref() {
        None | Some("io_uring") => {}
        Some("threads") => nvme.engine = cache::Engine::Threads,
        Some(_) => keys.fault("engine", "must be \"io_uring\" or \"threads\""),
    }
    cache.extend(keys.finish());
    nvme
}

fn read_nvme_bytes(keys: &mut Keys) -> u64 {
    if !keys.holds("bytes") {
        keys.fault("bytes", "is missing");
    }
    keys.bytes("bytes", 0, 0..=u64::MAX)
}

fn read_store(file: &mut Keys) -> Store {
    let mut keys = file.table("store");
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let metadata_cache = keys.bytes("metadata_cache_bytes", 16 << 20, 1 << 20..=1 << 40);
    let store = Store {
        grace: keys.duration("grace", minutes(5), Duration::ZERO..=minutes(30 * 24 * 60)),
        inline_bytes_max: keys.bytes("inline_bytes_max", 16 << 10, 0..=64 << 10),
        metadata_cache_bytes: usize::try_from(metadata_cache).unwrap_or(usize::MAX),
        lifecycle_day: Day::lasting(keys.duration(
            "lifecycle_day",
            Day::S3.length(),
            Duration::from_secs(1)..=Day::S3.length(),
        )),
        account_quota_bytes: keys.bytes("account_quota_bytes", 30_000_000_000_000, 0..=u64::MAX),
        account_buckets_max: keys.count("account_buckets_max", 10_000, 0..=1_000_000_000) as u64,
        reserved_names: ReservedNames {
            prefixes: keys.texts("reserved_prefixes"),
            names: keys.texts("reserved_names"),
        },
        require_location: keys.flag("require_location", false),
    };
    if store.reserved_names.prefixes.iter().any(String::is_empty) {
        keys.fault("reserved_prefixes", "must not hold an empty one, which every name begins with");
    }
    file.extend(keys.finish());
    store
}

fn read_log_level(file: &mut Keys) -> Level {
    let mut keys = file.table("log");
    let level = match keys.optional_text("level").as_deref() {
        None | Some("info") => Level::INFO,
        Some("error") => Level::ERROR,
        Some("warn") => Level::WARN,
        Some("debug") => Level::DEBUG,
        Some(_) => {
            keys.fault("level", "must be \"error\", \"warn\", \"info\" or \"debug\"");
            Level::INFO
        }
    };
    file.extend(keys.finish());
    level
}

/// One line a fault, each naming the file.
fn listed(path: &Path, faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
