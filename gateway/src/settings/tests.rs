//! Each wrong file with the key that is named.

use super::*;

const GOOD: &str = r#"
domain = "example.com"
home = "ord1"
[[region]]
name = "ord1"
peer = "10.0.0.1:9003"
listen = { standard = "0.0.0.0:9000", accelerated = "0.0.0.0:9001", admin = "127.0.0.1:9002", peer = "0.0.0.0:9003" }
[[region]]
name = "las1"
peer = "10.0.0.2:9003"
"#;

fn keys_at_fault(text: &str) -> Vec<String> {
    match Settings::parse(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| fault.key).collect(),
    }
}

#[test]
fn the_shipped_file_is_good_and_names_the_three_regions_in_order() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../regions.toml");
    let settings = Settings::read(Path::new(path)).expect("regions.toml is good");
    let names: Vec<_> = settings.topology.regions().iter().map(|region| region.name().as_str()).collect();
    assert_eq!(names, ["ord1", "las1", "lga1"]);
    assert_eq!(settings.topology.domain(), "penstock.localhost");
    for region in settings.topology.regions() {
        let listen = settings.listen(region.name()).expect("every region says what it listens on");
        assert_eq!(listen.peer.port(), region.peer().port());
    }
}

#[test]
fn what_becomes_of_users_without_home_is_chosen() {
    let with = |choice: &str| {
        let text = format!("{choice}\n{GOOD}");
        Settings::parse(&text).map(|good| good.coherence.on_home_loss).map_err(|faults| faults[0].to_string())
    };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(with(""), Ok(OnHomeLoss::Refuse));
    assert_eq!(with("on_home_loss = \"refuse\""), Ok(OnHomeLoss::Refuse));
    assert_eq!(with("on_home_loss = \"serve-known\""), Ok(OnHomeLoss::ServeKnown(minutes(15))));
    let both = "on_home_loss = \"serve-known\"\nserve_known = \"1h\"";
    assert_eq!(with(both), Ok(OnHomeLoss::ServeKnown(minutes(60))));
    for (wrong, key) in [
        ("on_home_loss = \"Refuse\"", "on_home_loss"),
        ("on_home_loss = true", "on_home_loss"),
        ("serve_known = \"1h\"", "serve_known"),
        ("on_home_loss = \"serve-known\"\nserve_known = \"1s\"", "serve_known"),
    ] {
        assert!(with(wrong).expect_err(wrong).contains(key), "{wrong}");
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let settings = Settings::parse(GOOD).expect("good");
    assert_eq!(settings.limits.connection.head_timeout, listen::Limits::default().head_timeout);
    assert_eq!(settings.log_level, Level::INFO);
    assert_eq!(settings.coherence, coherence::Settings::default());
    assert!(settings.front.allow_unsigned_payload_over_http && settings.front.allow_form_signature_v2);
    assert_eq!((settings.limits.per_address, settings.limits.per_key), Default::default());
    assert!(settings.tls.is_none() && settings.cache.nvme.is_none());
    assert_eq!(settings.cache, cache::Settings::default());
}

#[test]
fn what_is_said_is_taken() {
    let text = GOOD.to_owned()
        + r#"
        [tls]
        certificate = "a.pem"
        key = "b.pem"
        [front]
        trusted_proxies = ["10.0.0.0/8", "::1"]
        allow_unsigned_payload_over_http = false
        allow_form_signature_v2 = false
        [limits]
        drain = "0s"
        connections_max = 7
        http2_windows_bytes = "2 MiB"
        [limits.per_key]
        requests_per_second = 100
        burst = 300
        [limits.per_address]
        in_flight_max = 8
        [coherence]
        lease = "1s"
        users_lease = "10s"
        margin = "50ms"
        [cache]
        memory_bytes = "128 MiB"
        wait_max = "250ms"
        [cache.account_weights]
        lab = 4
        [cache.nvme]
        bytes = "1 GiB"
        [store]
        grace = "2s"
        reserved_prefixes = ["sys-"]
        reserved_names = ["admin", "status"]
        require_location = true
        [log]
        level = "debug"
        "#;
    let settings = Settings::parse(&text).expect("good");
    assert_eq!(settings.tls.as_ref().map(|tls| tls.key.as_path()), Some(Path::new("b.pem")));
    let per_key = Quota { requests_per_second: 100, burst: 300, in_flight_max: 0 };
    assert_eq!(settings.limits.per_key, per_key);
    assert_eq!(settings.limits.per_address, Quota { in_flight_max: 8, ..Quota::default() });
    assert!(!settings.front.allow_unsigned_payload_over_http && !settings.front.allow_form_signature_v2);
    let trusted = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
    assert_eq!(settings.front.trusted_proxies, TrustedProxies::new(trusted.into()));
    assert_eq!((settings.limits.drain, settings.limits.connection.connections_max), (Duration::ZERO, 7));
    assert_eq!(settings.limits.http2_windows_bytes, 2 << 20);
    assert_eq!(
        (settings.cache.memory_bytes, settings.cache.wait_max),
        (128 << 20, Duration::from_millis(250))
    );
    assert_eq!(settings.cache.tenant_weights, BTreeMap::from([("lab".to_owned(), 4)]));
    assert_eq!(settings.cache.nvme.map(|nvme| nvme.devices), Some(cache::Nvme::new("", 1 << 30).devices));
    let seconds = Duration::from_secs;
    let coherence =
        (settings.coherence.lease, settings.coherence.users_lease, settings.coherence.max_ack_wait);
    assert_eq!(coherence, (seconds(1), seconds(10), seconds(1)));
    assert_eq!((settings.store.grace, settings.log_level), (Duration::from_secs(2), Level::DEBUG));
    let reserved = settings.store.reserved_names;
    assert_eq!((reserved.prefixes, reserved.names.len()), (vec!["sys-".to_owned()], 2));
    assert!(settings.store.require_location);
}

#[test]
fn each_wrong_file_is_refused_with_its_key() {
    for (addition, key) in [
        ("[front]\ntrusted_proxies = \"10.0.0.0/8\"", "front.trusted_proxies"),
        ("[front]\ntrusted_proxies = [\"10.0.0.0/8\", 1]", "front.trusted_proxies[1]"),
        ("[front]\ntrusted_proxies = [\"10.0.0.1/8\"]", "front.trusted_proxies[0]"),
        ("[front]\ntrusted_proxies = [\"::/0\"]", "front.trusted_proxies[0]"),
        ("[front]\nallow_unsigned_payload_over_http = \"no\"", "front.allow_unsigned_payload_over_http"),
        ("[limits.per_key]\nrequests_per_second = -1", "limits.per_key.requests_per_second"),
        ("[limits.per_key]\nburst = 10", "limits.per_key.burst"),
        ("[limits.per_address]\nin_flight = 1", "limits.per_address.in_flight"),
        ("[limits]\nheader_deadline = 10", "limits.header_deadline"),
        ("[limits]\nheader_deadline = \"0s\"", "limits.header_deadline"),
        ("[limits]\nconnections_max = 0", "limits.connections_max"),
        ("[limits]\nheader_deadlin = \"1s\"", "limits.header_deadlin"),
        ("[tls]\ncertificate = \"a.pem\"", "tls.key"),
        ("[tls]\ncertificate = 1\nkey = \"b\"", "tls.certificate"),
        ("[cache]\nmemory_bytes = \"1 GB\"", "cache.memory_bytes"),
        ("[cache]\nblock_bytes = \"65 KiB\"", "cache.block_bytes"),
        ("[cache]\nnvme = 1", "cache.nvme"),
        ("[cache.account_weights]\nlab = 0", "cache.account_weights.lab"),
        ("[cache.account_weights]\nlab = 1001", "cache.account_weights.lab"),
        ("[cache.nvme]\nbytes = \"1 MiB\"", "cache.nvme.bytes"),
        ("[cache.nvme]\nbytes = \"1 GiB\"\nsize = 1", "cache.nvme.size"),
        ("[[cache.nvme.device]]\nbytes = \"1 GiB\"", "cache.nvme.device[0].path"),
        ("[[cache.nvme.device]]\npath = \"a\"", "cache.nvme.device[0].bytes"),
        (
            "[cache.nvme]\nbytes = \"1 GiB\"\ndevice = [{ path = \"a\", bytes = \"1 GiB\" }]",
            "cache.nvme.bytes",
        ),
        ("[cache.nvme]\nbytes = \"1 GiB\"\nengine = \"aio\"", "cache.nvme.engine"),
        ("[coherence]\nlease = \"0s\"", "coherence.lease"),
        ("[coherence]\nlease = \"40s\"", "coherence.users_lease"),
        ("[coherence]\nmargin = \"50ms\"", "coherence.margin"),
        ("[coherence]\nmax_ack_wait = \"1m\"", "coherence.max_ack_wait"),
        ("[coherence]\nlease_ms = 3000", "coherence.lease_ms"),
        ("[store]\ngrace = \"-1s\"", "store.grace"),
        ("[store]\nreserved_prefixes = [\"sys-\", \"\"]", "store.reserved_prefixes"),
        ("[store]\nrequire_location = \"yes\"", "store.require_location"),
        ("[store]\ninline_bytes_max = \"1 MiB\"", "store.inline_bytes_max"),
        ("[store]\nlifecycle_day = \"25h\"", "store.lifecycle_day"),
        ("[store]\nlifecycle_day = \"999ms\"", "store.lifecycle_day"),
        ("[store]\naccount_quota_bytes = \"30 TB\"", "store.account_quota_bytes"),
        ("[store]\naccount_buckets_max = -1", "store.account_buckets_max"),
        ("[log]\nlevel = \"loud\"", "log.level"),
        ("[lgo]", "lgo"),
        ("[[region]]\nname = \"lga1\"", "region[2].peer"),
        (
            "[[region]]\nname = \"lga1\"\npeer = \"a:1\"\nlisten = { admin = \"localhost:1\" }",
            "region[2].listen.admin",
        ),
    ] {
        let keys = keys_at_fault(&format!("{GOOD}\n{addition}\n"));
        assert!(keys.iter().any(|found| found == key), "{addition}: {keys:?}");
    }
}

#[test]
fn all_faults_are_reported_together() {
    let text =
        "domain = 1\nhome = \"lga1\"\nhom = 1\n[[region]]\nname = \"Ord1\"\nsize = 2\n[limits]\ndrain = 5\n";
    let mut keys = keys_at_fault(text);
    keys.sort();
    assert_eq!(
        keys,
        ["domain", "hom", "home", "limits.drain", "region[0].name", "region[0].peer", "region[0].size"]
    );
}

#[test]
fn a_missing_key_is_one_fault() {
    assert_eq!(keys_at_fault(&GOOD.replace("home = \"ord1\"", "")), ["home"]);
    assert_eq!(keys_at_fault(""), ["domain", "home", "region"]);
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    assert_eq!(keys_at_fault("domain = \"a.b\"\nhome = \n"), ["line 2"]);
}

#[test]
fn a_node_without_addresses_is_told_which_are_missing() {
    let settings = Settings::parse(GOOD).expect("good");
    let las1 = settings.topology.region("las1").expect("las1").name();
    assert!(settings.listen(las1).expect_err("missing").to_string().contains("las1"));
}

#[test]
fn the_message_has_one_line_for_each_fault_with_file_and_key() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("regions.toml");
    std::fs::write(&path, "domain = 1\nhome = 2\n").expect("write");
    let message = Settings::read(&path).expect_err("bad").to_string();
    assert_eq!(message.lines().count(), 3);
    assert!(message.lines().all(|line| line.starts_with(&path.display().to_string())));
}
