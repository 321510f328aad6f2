//! One server of a case, running: how it is reached, what it has used, and how it starts again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Signal, kill_process};
use tests::process::{disk_read_bytes, peak_memory_bytes};
use tests::wan::{Direction, Link};
use tokio::net::TcpStream;

use crate::ask::{Ask, Object, Tenant};
use crate::case::{Before, Case};
use crate::cores::run_on_core;
use crate::cpu_time::CpuTimes;
use crate::exchange::Address;
use crate::ground::Ground;
use crate::penstock::Penstock;
use crate::read_ahead::ReadAhead;
use crate::{nginx, varnish};

/// The core that is measured, and the one of the client, the origin and the way to it.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const CLIENT_CORE: usize = 1;

/// How long a server may take to listen, and to end.
const READY_WITHIN: Duration = Duration::from_secs(30);
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Of what a connection asks for first: more than travels with a head, so that every way of ours is warm too.
const WARM_UP_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Writes from memory, or from a file: what it costs to send bytes at all.
    Floor,
    /// The origin itself, over the same way that caches have to it.
    Direct,
    Nginx,
    /// The same, where the machine's disk is not set to read ahead as Linux sets it, but is now.
    NginxReadAheadOfLinux,
    Varnish,
    /// A node, reading another region's objects.
    Penstock,
    /// A node, reading its own region's at its accelerated endpoint.
    PenstockAtOwner,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::NginxReadAheadOfLinux => "nginx, 128 KiB read ahead",
            Self::Varnish => "Varnish",
            Self::Penstock => "Penstock",
            Self::PenstockAtOwner => "Penstock, own region",
        }
    }

    /// Whether this machine makes another server of it than one before it in the list is; tried out by setting it and back.
    pub(crate) fn differs_when_set(self, ground: &Ground) -> bool {
        self != Self::NginxReadAheadOfLinux || ReadAhead::of_linux(&ground.folder()).is_some()
    }
}

/// A server that was started for a case.
pub(crate) struct Server {
    kind: Kind,
    pub(crate) address: Address,
    running: Running,
    /// Between it and the origin.
    link: Option<Link>,
    /// What it writes, if it does.
    folder: Option<PathBuf>,
}

enum Running {
    Program(Box<Program>),
    Node(Box<Penstock>),
    /// The origin, which all share.
    Origin,
}

impl Server {
    /// Starts a server of `kind` as `case` wants it, on its core.
    pub(crate) async fn start(kind: Kind, case: &Case, ground: &Ground) -> Self {
        put_free_memory_together();
        run_on_core(SERVER_CORE);
        let server = Self::start_here(kind, case, ground).await;
        run_on_core(CLIENT_CORE);
        server
    }

    async fn start_here(kind: Kind, case: &Case, ground: &Ground) -> Self {
        let own = || Address { at: ground.free_address(), tls: case.is_tls.then(|| ground.tls.client()) };
        let link = async || Link::start("127.0.0.1:0", &ground.origin.at, case.way(), case.way()).await;
        match kind {
            Kind::Floor => {
                let address = own();
                let program = Program::start(ground.floor(&address.at, case), &address.at).await;
                let folder = Some(ground.folder());
                let running = Running::Program(Box::new(program));
                Self { kind, address, running, link: None, folder }
            }
            Kind::Direct => {
                let link = link().await;
                let address = Address { at: link.address().to_string(), tls: None };
                let link = Some(link);
                Self { kind, address, running: Running::Origin, link, folder: None }
            }
            Kind::Nginx | Kind::NginxReadAheadOfLinux => {
                let folder = if kind == Kind::Nginx { "nginx" } else { "nginx-read-ahead" };
                let (address, link, folder) = (own(), link().await, ground.folder().join(folder));
                let tls = case.is_tls.then_some(&ground.tls);
                let command = nginx::command(&folder, &address.at, link.address(), tls);
                let program = Program::start(command, &address.at).await;
                let running = Running::Program(Box::new(program));
                Self { kind, address, running, link: Some(link), folder: Some(folder) }
            }
            Kind::Varnish => {
                let (address, link, folder) = (own(), link().await, ground.folder().join("varnish"));
                let command = varnish::command(&folder, &address.at, link.address(), case.memory_mib);
                let program = Program::start(command, &address.at).await;
                let running = Running::Program(Box::new(program));
                let link = Some(link);
                Self { kind, address, running, link, folder: None }
            }
            Kind::Penstock | Kind::PenstockAtOwner => {
                let node = Penstock::start(kind, case, &ground.tls).await;
                let address = node.address(case.is_tls.then(|| ground.tls.client()));
                let running = Running::Node(Box::new(node));
                Self { kind, address, running, link: None, folder: None }
            }
        }
    }

    /// Puts `objects` where the server gets them from; the origin has them all by itself.
    pub(crate) async fn provide(&self, objects: &[Object]) {
        if let Running::Node(node) = &self.running {
            node.upload(objects).await;
        }
    }

    /// `ask` as this server takes it; signed, where it wants to know who asks.
    pub(crate) fn request(&self, ask: &Ask) -> Vec<u8> {
        if let Running::Node(node) = &self.running {
            return node.request(ask);
        }
        let Object { tenant, key, bytes } = &ask.object;
        let bucket = match tenant {
            Tenant::First => "first",
            Tenant::Second => "second",
        };
        let range = ask.range.map(|(start, end)| format!("range: bytes={start}-{}\r\n", end - 1));
        format!("GET /{bucket}/{bytes}/{key} HTTP/1.1\r\nhost: origin\r\n{}\r\n", range.unwrap_or_default())
            .into_bytes()
    }

    /// Brings the server into the state that each round of a case begins in.
    pub(crate) async fn ready(&mut self, before: Before) {
        if before == Before::Restarted {
            run_on_core(SERVER_CORE);
            match &mut self.running {
                Running::Program(program) => program.restart(&self.address.at).await,
                Running::Node(node) => node.restart().await,
                Running::Origin => {}
            }
            run_on_core(CLIENT_CORE);
        }
        if before != Before::Nothing
            && let Some(folder) = &self.folder
        {
            drop_pages(folder);
        }
    }

    /// Has its disk read ahead as it wants it, until this is dropped.
    pub(crate) fn read_ahead(&self) -> Option<ReadAhead> {
        match self.kind {
            Kind::NginxReadAheadOfLinux => ReadAhead::of_linux(self.folder.as_ref()?),
            _ => None,
        }
    }

    /// Processor time that the threads of the server's processes have used.
    pub(crate) fn cpu_times(&self) -> CpuTimes {
        CpuTimes::of(&self.processes())
    }

    /// The most memory that its processes had, each by itself. Pages of files that the kernel keeps do not count.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(peak_memory_bytes).sum()
    }

    /// Bytes that its processes had read from the disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.processes().into_iter().map(disk_read_bytes).sum()
    }

    /// Bytes that it has got from its origin, with all that goes around them.
    pub(crate) fn origin_bytes(&self) -> u64 {
        match (&self.running, &self.link) {
            (Running::Node(node), _) => node.origin_bytes(),
            (_, Some(link)) => link.taken(Direction::Back),
            (_, None) => 0,
        }
    }

    fn processes(&self) -> Vec<u32> {
        match &self.running {
            Running::Program(program) => family(program.child.id()),
            Running::Node(node) => vec![node.process()],
            Running::Origin => Vec::new(),
        }
    }
}

/// Has the kernel make huge pages of its free memory, as there are after a start of the machine: what ran here before, a
/// build say, leaves it in pieces, and the server that starts first would have the last ones.
fn put_free_memory_together() {
    // Who is not root measures with what there is.
    let _ = std::fs::write("/proc/sys/vm/compact_memory", "1");
}

/// How long the server's core has had nothing to do since the machine started, to a hundredth of a second. The kernel stops
/// this clock for interrupts. Time that a hypervisor gave to others is in it too: nothing was done then.
pub(crate) fn core_idle_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").expect("read the cores' times");
    let name = format!("cpu{SERVER_CORE} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).expect("a core that there is");
    // user, nice, system, idle, iowait, irq, softirq, steal, …
    let times: Vec<u64> = line.split_whitespace().map(|time| time.parse().expect("a number")).collect();
    // USER_HZ is 100 on every Linux that a bench runs on.
    Duration::from_millis((times[3] + times[4] + times[7]) * 10)
}

/// What every connection asks for first.
pub(crate) fn warm_up() -> Object {
    Object::new("warm-up", WARM_UP_BYTES)
}

/// A program that was started, and is ended when it is dropped.
pub(crate) struct Program {
    command: Command,
    child: Child,
}

impl Program {
    /// Starts `command` and waits until it listens at `address`.
    pub(crate) async fn start(mut command: Command, address: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let mut program = Self { command, child };
        program.wait_until_ready(address).await;
        program
    }

    async fn restart(&mut self, address: &str) {
        self.end();
        self.child = self.command.spawn().expect("it has been started before");
        self.wait_until_ready(address).await;
    }

    async fn wait_until_ready(&mut self, address: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).await.is_err() {
            let ended = self.child.try_wait().expect("ask for the exit status");
            assert!(ended.is_none(), "{:?} ended with {ended:?}", self.command);
            assert!(Instant::now() < deadline, "{:?} does not listen", self.command);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id is positive");
        // Not SIGTERM: pingora would be gentle for five minutes. One that has ended already is reaped all the same.
        let _ = kill_process(pid, Signal::INT);
        let deadline = Instant::now() + ENDED_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process and those that it started, and they.
fn family(process: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let of_children = children.split_whitespace().filter_map(|id| id.parse().ok()).flat_map(family);
    [process].into_iter().chain(of_children.collect::<Vec<_>>()).collect()
}

/// Has the kernel forget what it keeps of the files below `folder`.
fn drop_pages(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("list a server's files").flatten() {
        let path = entry.path();
        if path.is_dir() {
            drop_pages(&path);
            continue;
        }
        // A cache may remove a file meanwhile.
        let Ok(file) = std::fs::File::open(path) else { continue };
        // Pages that are not on the disk yet cannot be dropped.
        file.sync_data().expect("write a server's file to the disk");
        fadvise(&file, 0, None, Advice::DontNeed).expect("drop a file's pages");
    }
}
