//! `penstock scrub`: has the running nodes with their data here read their stores, a step after another, over their Unix sockets.
//!
//! A node works for as long as somebody asks: when this process ends, so does the scrub, and what it said last says where
//! it can be gone on from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use origin::regional::{self, Damage, ScrubPlace, ScrubScope, Scrubbed, add_damage};
use serde::Serialize;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::{Scrub, another_question, done, purge, running, show};
use crate::operator::{Command, Done};
use crate::scrub::{ScrubStep, ToScrub};

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// The exit code where damage was found; 1 is of a scrub that did not come to its end and found none until then.
const DAMAGED: u8 = 3;

/// What came of one node's scrub.
#[derive(Debug, Serialize)]
struct Report {
    node: String,
    objects: u64,
    parts: u64,
    bytes: u64,
    damage: Vec<Damage>,
    unnamed_files: Vec<String>,
    /// Whether it came to its end.
    is_whole: bool,
    /// Where it can be gone on from, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<ScrubPlace>,
    /// What ended it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    kept_bytes: Option<u64>,
}

pub(super) fn run(command: &Scrub) -> Result<ExitCode, String> {
    let from = from(command)?;
    let sockets = sockets(command)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("start a thread: {error}"))?;
    let reports = runtime.block_on(scrub_all(command, sockets, from));
    // A node may be in the middle of a step that nobody waits for any more.
    runtime.shutdown_background();
    let reports = reports?;
    if command.asking.json {
        show(format_args!("{:#}", serde_json::json!(reports)))?;
    }
    Ok(exit_code(&reports))
}

fn from(command: &Scrub) -> Result<regional::ToScrub, String> {
    let Scrub { objects, prefix, resume, region: _, rate: _, asking: _ } = command;
    Ok(match (resume, objects) {
        (Some(place), _) => regional::ToScrub::GoOn(place.clone()),
        (None, None) => regional::ToScrub::Begin(ScrubScope::Everything),
        (None, Some(objects)) => {
            let (bucket, keys) = purge::named_keys(objects, *prefix)?;
            regional::ToScrub::Begin(ScrubScope::Keys { bucket, keys })
        }
    })
}

/// The sockets of the nodes that are asked: of one region, where one is named, by the folder that they lie in.
fn sockets(command: &Scrub) -> Result<Vec<PathBuf>, String> {
    let resumed = command.resume.as_ref().map(ScrubPlace::region);
    let mut sockets = running(&command.asking.data)?;
    if let Some(region) = command.region.as_deref().or(resumed) {
        sockets.retain(|socket| region_of(socket) == region);
        if sockets.is_empty() {
            let data = command.asking.data.display();
            return Err(format!("no node of region {region} runs with its data in {data}"));
        }
    }
    Ok(sockets)
}

fn region_of(socket: &Path) -> &str {
    socket.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default()
}

fn exit_code(reports: &[Report]) -> ExitCode {
    if reports.iter().any(|report| !report.damage.is_empty()) {
        return ExitCode::from(DAMAGED);
    }
    match reports.iter().all(|report| report.is_whole) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// One node after the other, until one does not come to its end. What those before it have said is told all the same.
async fn scrub_all(
    command: &Scrub,
    sockets: Vec<PathBuf>,
    from: regional::ToScrub,
) -> Result<Vec<Report>, String> {
    let mut stopped = Stopped::listen()?;
    let mut reports = Vec::new();
    for socket in sockets {
        let wanted = ToScrub { from: from.clone(), bytes_per_second: command.rate };
        let report = match scrub(command, &socket, wanted, &mut stopped).await {
            Err(error) if !reports.is_empty() => {
                let report = Report { error: Some(error), ..Report::new(region_of(&socket), &from) };
                eprintln!("{}: {}", report.node, report.error.as_deref().unwrap_or_default());
                Some(report)
            }
            report => report?,
        };
        let is_whole = report.as_ref().is_none_or(|report| report.is_whole);
        reports.extend(report);
        if !is_whole {
            return Ok(reports);
        }
    }
    match command.objects.as_ref().filter(|_| reports.is_empty()) {
        Some(objects) => Err(format!("{objects}: there is no such bucket here")),
        None => Ok(reports),
    }
}

/// Waits for SIGINT or SIGTERM.
struct Stopped([tokio::signal::unix::Signal; 2]);

impl Stopped {
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("listen to signals: {error}"));
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Scrubs one node; `None` where it has no such bucket.
async fn scrub(
    command: &Scrub,
    socket: &Path,
    mut wanted: ToScrub,
    stopped: &mut Stopped,
) -> Result<Option<Report>, String> {
    let mut report = Report::new(region_of(socket), &wanted.from);
    let mut shown = Shown { is_json: command.asking.json, damage_count: 0, at: Instant::now() };
    loop {
        let step = tokio::select! {
            step = step(socket.to_owned(), wanted.clone()) => step,
            () = stopped.wait() => Err("stopped".to_owned()),
        };
        match step {
            Ok(ScrubStep { scrubbed: None, .. }) => return Ok(None),
            Ok(ScrubStep { scrubbed: Some(scrubbed), .. }) => report.add(scrubbed),
            // Nothing has been read yet, and there is no place to go on from.
            Err(error) if report.resume.is_none() => return Err(error),
            Err(error) => report.error = Some(error),
        }
        let next = report.resume.clone().filter(|_| report.error.is_none());
        shown.show(&report, next.is_none())?;
        match next {
            Some(place) => wanted.from = regional::ToScrub::GoOn(place),
            None => return Ok(Some(report)),
        }
    }
}

async fn step(socket: PathBuf, wanted: ToScrub) -> Result<ScrubStep, String> {
    let asking = tokio::task::spawn_blocking(move || match done(&socket, &Command::Scrub(wanted))? {
        Done::Scrubbed(step) => Ok(*step),
        _ => Err(another_question()),
    });
    asking.await.unwrap_or_else(|lost| Err(lost.to_string()))
}

impl Report {
    fn new(node: &str, from: &regional::ToScrub) -> Self {
        let resume = match from {
            regional::ToScrub::Begin(_) => None,
            regional::ToScrub::GoOn(place) => Some(place.clone()),
        };
        Self {
            node: node.to_owned(),
            objects: 0,
            parts: 0,
            bytes: 0,
            damage: Vec::new(),
            unnamed_files: Vec::new(),
            is_whole: false,
            resume,
            error: None,
            kept_bytes: None,
        }
    }

    fn add(&mut self, step: Scrubbed) {
        let Scrubbed { objects, parts, bytes, kept_bytes, damage, unnamed_files, to } = step;
        self.objects += objects;
        self.parts += parts;
        self.bytes += bytes;
        self.kept_bytes = self.kept_bytes.or(kept_bytes);
        damage.into_iter().for_each(|damage| add_damage(&mut self.damage, damage));
        self.unnamed_files.extend(unnamed_files);
        self.is_whole = to.is_none();
        self.resume = to;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, objects, parts, bytes, .. } = self;
        write!(f, "{node}: {objects} versions and {parts} parts of uploads, {bytes} bytes")?;
        if let Some(kept_bytes) = self.kept_bytes.filter(|_| !self.is_whole) {
            write!(f, " of about {kept_bytes}")?;
        }
        match self.damage.len() {
            0 => write!(f, ", no damage")?,
            count => write!(f, ", damage in {count} places")?,
        }
        if !self.unnamed_files.is_empty() {
            write!(f, ", {} files that nothing names", self.unnamed_files.len())?;
        }
        Ok(())
    }
}

/// What has been shown of a report.
struct Shown {
    is_json: bool,
    damage_count: usize,
    /// When progress was.
    at: Instant,
}

impl Shown {
    /// Shows what is new: damage on stdout once it does not go on, progress on stderr.
    fn show(&mut self, report: &Report, is_end: bool) -> Result<(), String> {
        let Report { node, damage, unnamed_files, .. } = report;
        if !self.is_json {
            let settled_count = damage.len() - usize::from(!is_end && !damage.is_empty());
            for damage in damage.iter().take(settled_count).skip(self.damage_count) {
                show(format_args!("{node}: {damage}"))?;
            }
            self.damage_count = settled_count.max(self.damage_count);
        }
        if is_end && !self.is_json {
            for file in unnamed_files {
                show(format_args!("{node}: nothing names data/{file}"))?;
            }
            show(report)?;
        }
        match &report.resume {
            Some(place) if is_end => {
                let why = report.error.as_deref().unwrap_or_default();
                eprintln!("{node}: {why}; it stands at {}\npenstock scrub --resume {place}", place.shown());
            }
            Some(place) if self.at.elapsed() >= PROGRESS_EVERY => {
                self.at = Instant::now();
                eprintln!("{report}; at {}", place.shown());
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    use origin::regional::SomeKeys;

    use super::*;
    use crate::cli::{Cli, Command as Line};
    use crate::operator::Answer;

    fn parsed(line: &str) -> Scrub {
        match Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command) {
            Ok(Line::Scrub(scrub)) => scrub,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_a_bucket_a_prefix_and_a_key_are_told_apart() {
        let scope = |keys| ScrubScope::Keys { bucket: "b".into(), keys };
        for (line, expected) in [
            ("penstock scrub", ScrubScope::Everything),
            ("penstock scrub s3://b", scope(SomeKeys::Prefix(String::new()))),
            ("penstock scrub s3://b/a/ --prefix", scope(SomeKeys::Prefix("a/".into()))),
            ("penstock scrub s3://b/a/", scope(SomeKeys::Key("a/".into()))),
        ] {
            assert_eq!(from(&parsed(line)), Ok(regional::ToScrub::Begin(expected)), "{line}");
        }
        assert!(from(&parsed("penstock scrub b")).is_err());
        assert_eq!(parsed("penstock scrub").rate, 32 << 20);
        assert_eq!(parsed("penstock scrub --rate 1GiB").rate, 1 << 30);
    }

    /// Answers one command with a whole scrub that has found damage.
    fn answer_damaged(listener: UnixListener) {
        let damage = report(1, true).damage;
        let scrubbed = Scrubbed {
            objects: 1,
            parts: 0,
            bytes: 1,
            kept_bytes: None,
            damage,
            unnamed_files: Vec::new(),
            to: None,
        };
        let step = ScrubStep { node: "las1".into(), scrubbed: Some(scrubbed) };
        let answer = serde_json::json!(Answer::Done(Box::new(Done::Scrubbed(Box::new(step)))));
        let (mut asking, _) = listener.accept().expect("somebody asks");
        let mut command = String::new();
        BufReader::new(&asking).read_line(&mut command).expect("a command");
        writeln!(asking, "{answer}").expect("answer");
    }

    #[tokio::test]
    async fn what_a_node_has_found_is_told_although_the_next_one_does_not_answer() {
        let data = tempfile::tempdir().expect("a folder");
        let socket = |region: &str| data.path().join(region).join("socket");
        let bind = |region: &str| {
            std::fs::create_dir(data.path().join(region)).expect("make a folder");
            UnixListener::bind(socket(region)).expect("listen")
        };
        let (sound, gone) = (bind("las1"), bind("ord1"));
        drop(gone);
        let answering = std::thread::spawn(move || answer_damaged(sound));
        let everything = || regional::ToScrub::Begin(ScrubScope::Everything);
        let command = parsed("penstock scrub --json");
        let reports = scrub_all(&command, vec![socket("las1"), socket("ord1")], everything()).await;
        let reports = reports.expect("reports of both");
        answering.join().expect("it was asked");
        let said = reports.iter().map(|report| (&*report.node, report.is_whole, report.error.is_some()));
        assert_eq!(said.collect::<Vec<_>>(), [("las1", true, false), ("ord1", false, true)]);
        assert_eq!(format!("{:?}", exit_code(&reports)), format!("{:?}", ExitCode::from(DAMAGED)));
        let alone = scrub_all(&command, vec![socket("ord1")], everything()).await;
        assert!(alone.is_err_and(|error| error.contains("no node is running")));
    }

    fn report(damage_count: usize, is_whole: bool) -> Report {
        let damage = Damage {
            kind: regional::DamageKind::Missing,
            of: regional::Damaged::default(),
            bytes: None,
            file: None,
            said: "the file is not there".into(),
        };
        let from = regional::ToScrub::Begin(ScrubScope::Everything);
        Report { damage: vec![damage; damage_count], is_whole, ..Report::new("ord1", &from) }
    }

    #[test]
    fn the_exit_code_tells_damage_from_none_and_from_not_knowing() {
        let code = |reports: &[Report]| format!("{:?}", exit_code(reports));
        let known = |code: ExitCode| format!("{code:?}");
        assert_eq!(code(&[report(0, true), report(0, true)]), known(ExitCode::SUCCESS));
        assert_eq!(code(&[report(0, true), report(0, false)]), known(ExitCode::FAILURE));
        assert_eq!(code(&[report(1, true), report(0, true)]), known(ExitCode::from(DAMAGED)));
        assert_eq!(code(&[report(1, false)]), known(ExitCode::from(DAMAGED)));
    }
}
