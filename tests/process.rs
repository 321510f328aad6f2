//! One `penstock` process: started, watched, stopped, killed, and read afterwards.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::until::until_some;

/// How long a process may take to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(60);

/// A running `penstock`, its standard output and error kept in files. It dies with the test.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `penstock` with `args`; its output is appended to `log`.
    pub fn start(args: &[String], log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("open the log");
        // `setpriv` ends the process with its parent thread, also when the test is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(penstock()).args(args);
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("share the log")).stderr(output);
        Self { child: spawn(command).expect("start penstock under setpriv"), log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the exit status")
    }

    /// The `count` lines of the log that hold all of `texts`. A line may be written a moment after its answer arrived.
    ///
    /// # Panics
    /// When there are more, or not as many in good time.
    pub async fn log_lines(&self, texts: &[&str], count: usize) -> Vec<String> {
        let lines = until_some(&format!("{count} lines with {texts:?} in the log"), async || {
            let log = self.log();
            let lines = log.lines().filter(|line| texts.iter().all(|text| line.contains(text)));
            let lines: Vec<_> = lines.map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await;
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }

    /// Sends `signal`.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id is positive");
        kill_process(pid, signal).expect("signal penstock");
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + END_WITHIN;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "penstock did not end within {END_WITHIN:?}:\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for it, which was asked to end: it must exit with 0.
    pub fn expect_success(&mut self) {
        let status = self.wait();
        assert!(status.success(), "SIGTERM ended it with {status}:\n{}", self.log_tail());
    }

    /// Ends it as a power cut would: no handler runs.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill penstock");
        self.child.wait().expect("reap penstock");
    }

    /// The most memory it ever had resident, in bytes (`VmHWM`).
    ///
    /// # Panics
    /// When it has ended.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.peak_memory_bytes_so_far().expect("the kernel tells VmHWM of a running process")
    }

    /// The same; `None` when it has ended.
    pub fn peak_memory_bytes_so_far(&self) -> Option<u64> {
        peak_memory_bytes(self.id())
    }

    /// Processor time it has used so far, its own and the kernel's for it.
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.id())
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines it wrote.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine: the test has looked at how it ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most memory that the process with this id ever had resident, in bytes (`VmHWM`); `None` when it has ended.
///
/// # Panics
/// When the kernel does not say.
#[must_use]
pub fn peak_memory_bytes(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("VmHWM is a number");
    Some(kib * 1024)
}

/// Processor time that the process with this id has used so far, its own and the kernel's for it.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn cpu_time(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("read the process's times");
    let after_name = stat.rsplit_once(')').expect("the name is in parentheses").1;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks")).sum();
    // USER_HZ is 100 on every Linux that a test runs on.
    Duration::from_millis(ticks * 10)
}

/// Bytes that were read from disks for the process with this id so far (`read_bytes`): none of what the kernel still had.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn disk_read_bytes(id: u32) -> u64 {
    let io =
        fs::read_to_string(format!("/proc/{id}/io")).expect("read what the process has read and written");
    let mut numbers = io.lines().filter_map(|line| line.strip_prefix("read_bytes: "));
    numbers.next().and_then(|number| number.parse().ok()).expect("read_bytes is a number")
}

/// Runs `penstock` with `args` to its end: the exit status, and all that it printed.
pub fn run(args: &[&str]) -> (ExitStatus, String) {
    let output = Command::new(penstock()).args(args).stdin(Stdio::null()).output().expect("run penstock");
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}

/// Runs `penstock` with `args` to its end, with nobody there to read what it prints: the exit status, and what it says on
/// standard error.
pub fn run_unread(args: &[&str]) -> (ExitStatus, String) {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(penstock());
    let output = command.args(args).stdin(Stdio::null()).stdout(writer).output().expect("run penstock");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The binary under test: built into the same profile's folder as this test.
fn penstock() -> PathBuf {
    let binary = profile_dir().join("penstock");
    assert!(binary.exists(), "no {}: run `cargo penstock` first (tests/run does)", binary.display());
    binary
}

/// `target/<profile>`, in which this executable lies, or lies in `deps`.
fn profile_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("this executable's path");
    let dir = executable.parent().expect("an executable is in a folder");
    if dir.ends_with("deps") {
        dir.parent().expect("deps is in a profile's folder").to_owned()
    } else {
        dir.to_owned()
    }
}

/// `target/`: what tests write, and what `tests/run` installs, is under it.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile's folder is in target").to_owned()
}

/// Starts `command` from a thread that lives as long as this process: the death signal is tied to the thread.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, queue) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, started) in queue {
                // Whoever ordered waits for it.
                let _ = started.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (started, child) = channel();
    spawner.lock().expect("no order panics").send((command, started)).expect("the spawner lives");
    child.recv().expect("the spawner answers")
}
