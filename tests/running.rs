//! Starting and stopping: what an operator sees when something is in the way, and that nothing is damaged by it.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;
use tests::cluster::repository;
use tests::ports::Block;
use tests::process;
use tests::{Cluster, Content, Endpoint, MIB, Options, Request, until};
use tokio::net::TcpStream;

/// SIGTERM: listeners close at once, a running transfer finishes, and the exit status is 0.
#[tokio::test]
async fn a_running_transfer_finishes_after_sigterm() {
    let mut cluster = Cluster::start_with(Options::settings("[limits]\ndrain = \"10m\"")).await;
    let content = Content::new(1, 128 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(content)).await.ok();
    let mut standard = owner.open(Request::new("GET", "/data/k")).await.expect("open");
    let mut accelerated =
        cluster.accelerated("las1", "ord1").open(Request::new("GET", "/data/k")).await.expect("open");
    cluster.process("ord1").signal(Signal::TERM);
    until("the listener is closed", async || {
        TcpStream::connect(cluster.address("ord1", Endpoint::Standard)).await.is_err()
    })
    .await;
    for answer in [&mut standard, &mut accelerated] {
        let mut got = 0;
        while let Some(piece) = answer.chunk().await.expect("the transfer finishes") {
            content.assert_at(got, &piece);
            got += piece.len() as u64;
        }
        assert_eq!(got, content.bytes);
    }
    cluster.wait_for_end();
}

/// Where the processor's string copies are slow a node runs with the C library told so, under the process id that it
/// was started with.
#[tokio::test]
async fn a_node_does_not_copy_with_slow_instructions() {
    let cluster = Cluster::start().await;
    let processor = fs::read_to_string("/proc/cpuinfo").expect("a processor");
    let environment = format!("/proc/{}/environ", cluster.process("ord1").id());
    let environment = fs::read_to_string(environment).expect("of a running process");
    let is_told = environment.split('\0').any(|variable| {
        variable.starts_with("GLIBC_TUNABLES=") && variable.contains("glibc.cpu.x86_rep_movsb_threshold=")
    });
    assert_eq!(is_told, processor.contains("AuthenticAMD"));
}

/// What a node holds in memory, secrets among it, is left on no disk when it crashes.
#[tokio::test]
async fn a_crash_leaves_no_core() {
    let cluster = Cluster::start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", cluster.process("ord1").id()));
    let limits = limits.expect("of a running process");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit on cores");
    let words: Vec<_> = core.split_whitespace().skip(4).collect();
    assert_eq!(words, ["1", "1", "bytes"], "{core}");
}

/// A client that never finishes does not keep a node from ending: draining is bounded.
#[tokio::test]
async fn draining_is_bounded() {
    let mut cluster = Cluster::start_with(Options::settings("[limits]\ndrain = \"1s\"")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(Content::new(1, 128 * MIB))).await.ok();
    let stalled = owner.open(Request::new("GET", "/data/k")).await.expect("open");
    cluster.stop();
    drop(stalled);
}

/// Asked a second time, a node ends without waiting for who has still not finished.
#[tokio::test]
async fn a_second_sigterm_ends_the_drain() {
    let mut cluster = Cluster::start_with(Options::settings("[limits]\ndrain = \"1h\"")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(Content::new(1, 128 * MIB))).await.ok();
    let stalled = owner.open(Request::new("GET", "/data/k")).await.expect("open");
    cluster.process("ord1").signal(Signal::TERM);
    until("the listener is closed", async || {
        TcpStream::connect(cluster.address("ord1", Endpoint::Standard)).await.is_err()
    })
    .await;
    cluster.process("ord1").signal(Signal::TERM);
    cluster.wait_for_end();
    drop(stalled);
    cluster.start_again().await;
    assert_eq!(cluster.standard("ord1").get("data", "k").await.ok().status, 200);
}

/// A node that is still starting ends when it is asked to, alone and with others in one process: these wait for the leases
/// of another store.
#[tokio::test]
async fn sigterm_ends_a_start() {
    const WAITS: &str = "leases on that one are waited out";
    let settings = "[coherence]\nlease = \"60s\"\nusers_lease = \"60s\"\nmargin = \"10s\"\n";
    let note_another_store = |cluster: &Cluster| {
        fs::write(cluster.data_dir().join("ord1/store.epoch"), "41\n").expect("note another store");
    };
    let mut alone = Cluster::start_with(Options::settings(settings).served()).await;
    alone.stop_node("ord1");
    note_another_store(&alone);
    alone.launch_node("ord1");
    let _ = alone.process("ord1").log_lines(&[WAITS], 1).await;
    alone.stop_node("ord1");

    let mut together = Cluster::start_with(Options::settings(settings)).await;
    together.stop();
    note_another_store(&together);
    together.launch_again();
    let _ = together.process("ord1").log_lines(&[WAITS], 1).await;
    together.stop();
}

/// What was written and who may read it are there after a restart.
#[tokio::test]
async fn a_restart_keeps_users_and_objects() {
    let mut cluster = Cluster::start().await;
    let content = Content::new(1, 100_000);
    cluster.standard("lga1").create_bucket("data").await;
    let _ = cluster.standard("lga1").put("data", "k", content.all()).await.ok();
    let credentials = fs::read(cluster.data_dir().join("credentials.json")).expect("read credentials.json");
    cluster.stop();
    cluster.start_again().await;
    assert_eq!(fs::read(cluster.data_dir().join("credentials.json")).expect("read it again"), credentials);
    assert_eq!(cluster.standard("lga1").get("data", "k").await.ok().body, content.all());
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused() {
    let cluster = Cluster::start().await;
    let (data, config) = (cluster.data_argument(), cluster.config_argument("ord1"));
    let ports = Block::take();
    let base = ports.first().to_string();
    let (status, said) = process::run(&["dev", "--data", &data, "--config", &config, "--port-base", &base]);
    assert_refusal(status, &said, "in use");
    let client = cluster.standard("ord1");
    client.create_bucket("data").await;
    assert_eq!(client.put("data", "k", "still works").await.ok().status, 200);
}

/// A clock that shows a time before the data was last used would date objects wrongly: the start is refused.
#[tokio::test]
async fn a_clock_set_back_is_refused() {
    let mut cluster = Cluster::start().await;
    cluster.stop();
    let year_2100 = "4102444800";
    fs::write(cluster.data_dir().join("ord1/last-running"), year_2100).expect("note a time to come");
    let (data, config) = (cluster.data_argument(), cluster.config_argument("ord1"));
    let ports = Block::take();
    let base = ports.first().to_string();
    let (status, said) = process::run(&["dev", "--data", &data, "--config", &config, "--port-base", &base]);
    assert_refusal(status, &said, "the clock says");
    fs::remove_file(cluster.data_dir().join("ord1/last-running")).expect("take the note away");
    cluster.start_again().await;
}

#[test]
fn a_busy_port_is_refused() {
    let ports = Block::take();
    let base = ports.first();
    let taken = TcpListener::bind(("127.0.0.1", base + 11)).expect("take a port");
    let dir = tempfile::tempdir().expect("a fresh folder");
    let data = dir.path().to_str().expect("a path of plain text");
    let (status, said) = process::run(&["dev", "--data", data, "--port-base", &base.to_string()]);
    assert_refusal(status, &said, &(base + 11).to_string());
    drop(taken);
}

/// Whoever reads a command's output may go when they have seen enough, as `head` does.
#[test]
fn a_reader_that_goes_is_no_fault() {
    let dir = tempfile::tempdir().expect("a fresh folder");
    let data = dir.path().to_str().expect("a path of plain text");
    let shipped = repository().join("regions.toml");
    let shipped = shipped.to_str().expect("a path of plain text");
    let (status, said) = process::run_unread(&["check", "--config", shipped, "--data", data]);
    assert!(status.success() && said.is_empty(), "{said}");
}

/// Every fault of a configuration is told at once, each with its key.
#[test]
fn a_bad_file_is_refused_with_every_fault() {
    let dir = tempfile::tempdir().expect("a fresh folder");
    let file = dir.path().join("regions.toml");
    let shipped =
        fs::read_to_string(repository().join("regions.toml")).expect("read the shipped regions.toml");
    let bad = shipped.replacen("home = \"ord1\"", "home = \"nowhere\"\nunheard_of = 1", 1);
    assert_ne!(bad, shipped);
    fs::write(&file, bad).expect("write the bad file");
    let file = file.to_str().expect("a path of plain text");
    let data = dir.path().join("data");
    let data = data.to_str().expect("a path of plain text");
    for args in [vec!["check", "--config", file], vec!["dev", "--config", file, "--data", data]] {
        let (status, said) = process::run(&args);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("home") && said.contains("unheard_of"), "{args:?} said: {said}");
    }
    assert!(!dir.path().join("data").exists(), "a refused start left something behind");
}

/// The shipped file has no fault.
#[test]
fn the_shipped_configuration_passes_its_check() {
    let file = repository().join("regions.toml");
    let (status, said) = process::run(&["check", "--config", file.to_str().expect("a path of plain text")]);
    assert!(status.success(), "{said}");
}

/// What was not there to look at is no clean bill: it is told, and a deep check of nothing is a fault.
#[test]
fn a_check_says_what_it_looked_at() {
    let dir = tempfile::tempdir().expect("a fresh folder");
    let none = dir.path().join("none");
    let none = none.to_str().expect("a path of plain text");
    let file = repository().join("regions.toml");
    let args = ["check", "--config", file.to_str().expect("a path of plain text"), "--data", none];
    let (status, said) = process::run(&args);
    assert!(status.success(), "{said}");
    for expected in
        ["checked: settings", &format!("no cluster folder in {none}"), &format!("store in {none}")]
    {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
    let (status, said) = process::run(&[&args[..], &["--deep"]].concat());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("store in {none}")) && !said.contains("no fault found"), "{said}");
}

/// Exit status 1 and one line, which names `what`.
fn assert_refusal(status: std::process::ExitStatus, said: &str, what: &str) {
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "more than one line: {said}");
    assert!(said.contains(what), "{said:?} does not name {what:?}");
}
