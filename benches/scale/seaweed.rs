//! SeaweedFS: master, volume server, filer and S3 gateway in one process, as `weed server -s3` starts them.
//!
//! By itself it answers a write once the kernel has the bytes. With `fsync` for a bucket's folder its volume server syncs
//! them first; the filer's names, in LevelDB, are not synced either way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tests::process::target_dir;
use tests::sign::Keys;
use tests::{Client, Request};

/// The bucket whose writes are synced.
pub(crate) const SYNCED: &str = "synced";

/// How long it may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Its ports in the network namespace, where nobody else is: those of gRPC are 10,000 above each.
const S3_PORT: u16 = 8333;
const MASTER: &str = "127.0.0.1:9333";

const ACCESS_KEY: &str = "benches";
const SECRET_KEY: &str = "benches-secret-key";

/// The running engine. It is ended, and its folder removed, when it is dropped.
pub(crate) struct Seaweed {
    child: Child,
    _dir: TempDir,
}

impl Seaweed {
    /// Starts it in a fresh folder, for one user.
    pub(crate) async fn start() -> Self {
        let parent = target_dir().join("tmp");
        fs::create_dir_all(&parent).expect("make the folder for what benches write");
        let dir =
            tempfile::Builder::new().prefix("seaweed-").tempdir_in(parent).expect("make a fresh folder");
        let users = dir.path().join("s3.json");
        fs::write(&users, users_json()).expect("write the users");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("make the data folder");
        let log = File::create(dir.path().join("log")).expect("make the log");
        let mut command = Command::new(weed());
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=0"]);
        // Small enough that each bucket gets volumes of its own. It tells nobody that it runs.
        command.args(["-master.volumeSizeLimitMB=1024", "-master.telemetry=false"]);
        command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}", users.display()));
        command.arg(format!("-s3.port={S3_PORT}")).current_dir(dir.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("share the log")).stderr(log);
        let child = command.spawn().expect("start SeaweedFS");
        let mut seaweed = Self { child, _dir: dir };
        seaweed.wait_until_ready().await;
        seaweed.sync_bucket();
        seaweed
    }

    /// The user's client.
    pub(crate) fn client(&self) -> Client {
        let address = format!("127.0.0.1:{S3_PORT}");
        let keys = Keys { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() };
        Client::new(tests::cluster::http_client(), format!("http://{address}"), address, keys)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// It listens before all of its parts have found each other.
    async fn wait_until_ready(&mut self) {
        let (client, deadline) = (self.client(), Instant::now() + READY_WITHIN);
        let is_ready = async || {
            let made = client.try_send(Request::new("PUT", "/ready")).await;
            let put = client.try_send(Request::new("PUT", "/ready/object").body("x")).await;
            [made, put].into_iter().all(|answer| answer.is_ok_and(|answer| answer.status < 500))
        };
        while !is_ready().await {
            let ended = self.child.try_wait().expect("ask for the exit status");
            assert!(ended.is_none() && Instant::now() < deadline, "SeaweedFS does not answer: {ended:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn sync_bucket(&self) {
        let line = format!("fs.configure -locationPrefix=/buckets/{SYNCED}/ -fsync -apply\n");
        let mut shell = Command::new(weed());
        shell.args(["shell", &format!("-master={MASTER}")]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut shell = shell.stderr(Stdio::null()).spawn().expect("start SeaweedFS's shell");
        let mut lines = shell.stdin.take().expect("it was piped");
        std::io::Write::write_all(&mut lines, line.as_bytes()).expect("configure SeaweedFS");
        drop(lines);
        assert!(shell.wait().expect("wait for the shell").success(), "SeaweedFS takes the configuration");
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn users_json() -> String {
    let keys = json!([{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }]);
    let user =
        json!({ "name": "benches", "credentials": keys, "actions": ["Admin", "Read", "Write", "List"] });
    json!({ "identities": [user] }).to_string()
}

/// The program, as `benches/run scale` has installed it.
fn weed() -> PathBuf {
    let program = target_dir().join(Path::new("peers/python/bin/weed"));
    assert!(program.exists(), "benches/run scale installs SeaweedFS");
    program
}
