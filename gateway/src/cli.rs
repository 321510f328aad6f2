//! The command line: what each command takes, and what it hands to whom.
//!
//! Secrets are never arguments: other users of a machine can read those.

mod cluster;
mod explain;
mod purge;
mod scrub;
mod status;
mod user;
mod warm;

use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use origin::regional::ScrubPlace;

use crate::assemble::operator_sockets;
use crate::clock;
use crate::identity::Level;
use crate::operator::{self, Answer, AskError, Done, ask};
use crate::scrub::{BYTES_PER_SECOND, BYTES_PER_SECOND_DEFAULT};
use crate::settings::parse_bytes;
use crate::user_admin::{WantedBucket, WantedGrant};

/// Penstock: a multi-region S3 gateway with a read-through NVMe cache.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `penstock` can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every region of the configuration in this process, on loopback, to try things out.
    Dev(Dev),
    /// Run the node of one region.
    Serve(Serve),
    /// Report every fault of the configuration, and of what it names, at once, and what was looked at.
    Check(Check),
    /// Make a cluster's authority and its nodes' certificates.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Make users, show and change them, through a running node of the home region.
    #[command(subcommand)]
    User(User),
    /// Say whether somebody may do something, and what decides: which statement, list, grant or level.
    Explain(Explain),
    /// Show how the running nodes stand with each other: sessions, leases, who keeps changes waiting.
    Status(Asking),
    /// Bring an object into the caches of the running nodes, and pin it there, before anybody asks for it.
    Warm(Warm),
    /// Drop an object, a prefix, a bucket or everything from the caches of the running nodes, and end its pins.
    Purge(Purge),
    /// Read what the running nodes store from their disks, and say what is not as it was written.
    ///
    /// Ends with 0 where all was read and is sound, with 3 where damage was found, else with 1.
    Scrub(Scrub),
}

/// Where the configuration and the data are.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The configuration: regions, limits, cache.
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    pub config: PathBuf,
    /// Everything that is kept on disk.
    #[arg(long, value_name = "DIR", default_value = "penstock-data")]
    pub data: PathBuf,
}

/// `penstock dev`
#[derive(Args, Debug, PartialEq, Eq)]
pub struct Dev {
    /// The configuration; by default regions.toml, or where there is none, the one that Penstock comes with.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Everything that is kept on disk.
    #[arg(long, value_name = "DIR", default_value = "penstock-data")]
    pub data: PathBuf,
    /// Region i listens on this + 10 i: +0 standard, +1 accelerated, +2 admin, +3 peer.
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    pub port_base: u16,
    /// Serve HTTPS, with certificates of an authority of its own: DIR/ca.pem.
    #[arg(long)]
    pub tls: bool,
}

/// `penstock serve`
#[derive(Args, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The region whose node this is.
    #[arg(long)]
    pub region: String,
    /// Where the configuration and the data are.
    #[command(flatten)]
    pub place: Place,
}

/// `penstock check`
#[derive(Args, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where the configuration and the data are.
    #[command(flatten)]
    pub place: Place,
    /// Read every row and every byte of the stores under DIR as well, of which there must be at least one; no node may be running on
    /// them.
    #[arg(long)]
    pub deep: bool,
}

/// `penstock cluster …`
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Cluster {
    /// Make a new cluster: its authority and the key that seals secrets, in DIR/cluster.
    Init {
        /// Everything that is kept on disk.
        #[arg(long, value_name = "DIR", default_value = "penstock-data")]
        data: PathBuf,
    },
    /// Put a new key in front of those that seal secrets, in DIR/cluster/cluster.key.
    RotateKey {
        /// Everything that is kept on disk.
        #[arg(long, value_name = "DIR", default_value = "penstock-data")]
        data: PathBuf,
    },
    /// Make the certificate of one region's node, in DIR/cluster.
    Node {
        /// The region.
        region: String,
        /// Where the configuration and the data are.
        #[command(flatten)]
        place: Place,
    },
}

/// `penstock user …`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make a user, and show the key pair and what to tell S3 clients.
    Create(UserCreate),
    /// List all users.
    List {
        /// Those of one account.
        #[arg(long)]
        account: Option<String>,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Show one user.
    Show {
        /// Which user.
        #[command(flatten)]
        user: WhichUser,
        /// With the secret keys; that is written to the audit log.
        #[arg(long)]
        reveal: bool,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Give a user a new key pair. The old one is refused at once, unless it is kept.
    Rotate {
        /// Which user.
        #[command(flatten)]
        user: WhichUser,
        /// Leave the old key pair good beside the new one, until --finish.
        #[arg(long, conflicts_with = "finish")]
        keep_old: bool,
        /// Make no new pair: refuse the old one from now on.
        #[arg(long, conflicts_with = "access_key")]
        finish: bool,
        /// A key pair that the user has already.
        #[command(flatten)]
        own: OwnKeyPair,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Refuse a user's keys, and keep them.
    Disable {
        /// Which user.
        #[command(flatten)]
        user: WhichUser,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Take a disabled user's keys again.
    Enable {
        /// Which user.
        #[command(flatten)]
        user: WhichUser,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Remove a user and the keys.
    Delete {
        /// Which user.
        #[command(flatten)]
        user: WhichUser,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Change a user's level and grants.
    SetAccess {
        /// Which user.
        #[command(flatten)]
        user: WhichUser,
        /// The new level: read, write, readwrite or full.
        #[arg(long, value_parser = parse_level)]
        level: Option<Level>,
        /// Give access to one more bucket, or change it: [REGION/]BUCKET=read|write|readwrite. May be repeated.
        #[arg(long, value_name = "BUCKET=ACCESS")]
        grant: Vec<WantedGrant>,
        /// Take the grant of a bucket away: [REGION/]BUCKET. May be repeated.
        #[arg(long, value_name = "BUCKET")]
        revoke: Vec<WantedBucket>,
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
    /// Seal all secrets with the newest cluster key, so that older keys can go.
    Reseal {
        /// How to ask, and to answer.
        #[command(flatten)]
        asking: Asking,
    },
}

/// `penstock user create`
#[derive(Args, Debug)]
pub struct UserCreate {
    /// The user's name, unique within the account.
    pub name: String,
    /// The account that the user belongs to; it exists by having users.
    #[arg(long)]
    pub account: String,
    /// The most the user may do: read, write, readwrite or full.
    #[arg(long, value_parser = parse_level)]
    pub level: Level,
    /// A key pair that the user has already.
    #[command(flatten)]
    pub own: OwnKeyPair,
    /// The user's name for people; S3 shows that of the account's first user as the owner's.
    #[arg(long)]
    pub display_name: Option<String>,
    /// An e-mail address by which ACLs may name the account.
    #[arg(long)]
    pub email: Option<String>,
    /// The region whose endpoints the user is given; home's by default.
    #[arg(long)]
    pub region: Option<String>,
    /// Give access to one bucket beside the account's: [REGION/]BUCKET=read|write|readwrite. May be repeated.
    #[arg(long, value_name = "BUCKET=ACCESS")]
    pub grant: Vec<WantedGrant>,
    /// How to ask, and to answer.
    #[command(flatten)]
    pub asking: Asking,
}

/// Which user is meant.
#[derive(Args, Debug)]
pub struct WhichUser {
    /// The user's name.
    pub name: String,
    /// The user's account; needed where several have a user of this name.
    #[arg(long)]
    pub account: Option<String>,
}

/// A key pair that somebody brings. The secret is never an argument: other users of a machine can read those.
#[derive(Args, Debug)]
pub struct OwnKeyPair {
    /// An access key of one's own: at least 20 letters and digits.
    #[arg(long, value_name = "KEY", requires = "secret_key_file")]
    pub access_key: Option<String>,
    /// The file that holds its secret key, at least 40 characters; - for standard input.
    #[arg(long, value_name = "FILE", requires = "access_key")]
    pub secret_key_file: Option<PathBuf>,
}

/// `penstock explain`
#[derive(Args, Debug)]
pub struct Explain {
    /// The user who would ask.
    #[arg(long = "as", value_name = "USER", required_unless_present = "anonymous")]
    pub name: Option<String>,
    /// The user's account; needed where several have a user of this name.
    #[arg(long, requires = "name")]
    pub account: Option<String>,
    /// Somebody without credentials instead.
    #[arg(long, conflicts_with_all = ["name", "account"])]
    pub anonymous: bool,
    /// What they would do, as policies spell it: s3:GetObject.
    #[arg(long)]
    pub action: String,
    /// To what.
    #[arg(value_name = "s3://BUCKET[/KEY]")]
    pub resource: String,
    /// The bucket's region, where several have a bucket of this name.
    #[arg(long)]
    pub region: Option<String>,
    /// How to ask, and to answer.
    #[command(flatten)]
    pub asking: Asking,
}

/// `penstock warm`
#[derive(Args, Debug)]
pub struct Warm {
    /// Which object.
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub object: String,
    /// The bucket's region, where several have a bucket of this name.
    #[arg(long)]
    pub region: Option<String>,
    /// Keep it on the disk tier for so long, whatever else is read: 30m, 12h, 7d.
    #[arg(long, value_name = "TIME", value_parser = parse_pin)]
    pub pin: Option<Duration>,
    /// End its pin, and bring nothing.
    #[arg(long, conflicts_with = "pin")]
    pub unpin: bool,
    /// How to ask, and to answer.
    #[command(flatten)]
    pub asking: Asking,
}

/// `penstock purge`
#[derive(Args, Debug)]
pub struct Purge {
    /// Which object, or bucket; at the node of its own region with all versions.
    #[arg(value_name = "s3://BUCKET[/KEY]", required_unless_present = "everything")]
    pub objects: Option<String>,
    /// Every object whose key begins with KEY; as of a whole bucket, at the node of its own region alone.
    #[arg(long, requires = "objects")]
    pub prefix: bool,
    /// All that the caches hold, also of objects that are deleted by now.
    #[arg(long, conflicts_with_all = ["objects", "region"])]
    pub everything: bool,
    /// The bucket's region, where several have a bucket of this name.
    #[arg(long)]
    pub region: Option<String>,
    /// How to ask, and to answer.
    #[command(flatten)]
    pub asking: Asking,
}

/// `penstock scrub`
#[derive(Args, Debug)]
pub struct Scrub {
    /// Which object, or bucket: all versions of it, and unfinished uploads. Everything, where none is named.
    #[arg(value_name = "s3://BUCKET[/KEY]")]
    pub objects: Option<String>,
    /// Every object whose key begins with KEY.
    #[arg(long, requires = "objects")]
    pub prefix: bool,
    /// The one region to read.
    #[arg(long)]
    pub region: Option<String>,
    /// How much to read in a second.
    #[arg(long, value_name = "SIZE", value_parser = parse_rate, default_value_t = BYTES_PER_SECOND_DEFAULT,
        hide_default_value = true, help = "How much to read in a second: 8MiB, 1GiB; 32MiB where nothing is said")]
    pub rate: u64,
    /// Go on where a scrub stopped; it said this when it did.
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["objects", "region"])]
    pub resume: Option<ScrubPlace>,
    /// How to ask, and to answer.
    #[command(flatten)]
    pub asking: Asking,
}

/// Whom to ask, and how to show the answer.
#[derive(Args, Debug)]
pub struct Asking {
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
    /// The data directory of the running node.
    #[arg(long, value_name = "DIR", default_value = "penstock-data")]
    pub data: PathBuf,
}

fn parse_pin(text: &str) -> Result<Duration, String> {
    let units = [("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let seconds = units.iter().find_map(|(unit, seconds)| Some(number(unit)?.saturating_mul(*seconds)));
    let year = 365 * 24 * 3600;
    let seconds = seconds.filter(|seconds| (1..=year).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "a time such as 30m, 12h or 7d, a year at most".to_owned())
}

fn parse_rate(text: &str) -> Result<u64, String> {
    let rate = parse_bytes(text).filter(|rate| BYTES_PER_SECOND.contains(rate));
    rate.ok_or_else(|| "a size such as 8MiB or 1GiB, 1MiB at least".to_owned())
}

fn parse_level(text: &str) -> Result<Level, String> {
    match text {
        "read" => Ok(Level::Read),
        "write" => Ok(Level::Write),
        "readwrite" => Ok(Level::ReadWrite),
        "full" => Ok(Level::Full),
        _ => Err("read, write, readwrite or full".to_owned()),
    }
}

impl Cluster {
    /// Does it, and says on stdout what was made.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(self) -> Result<(), String> {
        cluster::run(self, clock::now_seconds())
    }
}

impl Explain {
    /// Shows the answer on stdout.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(self) -> Result<(), String> {
        explain::run(self)
    }
}

impl Asking {
    /// Shows how the nodes stand on stdout.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn show_status(&self) -> Result<(), String> {
        status::run(self)
    }
}

impl Warm {
    /// Does it, with progress on stderr, and shows what came of it on stdout.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(&self) -> Result<(), String> {
        warm::run(self)
    }
}

impl Purge {
    /// Does it, with progress on stderr, and shows what came of it on stdout.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(&self) -> Result<(), String> {
        purge::run(self)
    }
}

impl Scrub {
    /// Does it, with progress on stderr, and shows what is damaged on stdout; the exit code says whether anything is.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(&self) -> Result<ExitCode, String> {
        scrub::run(self)
    }
}

impl User {
    /// Does it, and shows the answer on stdout.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(self) -> Result<(), String> {
        user::run(self)
    }
}

/// Prints `text` on a line of its own. A reader that goes once it has seen enough, as `head` does, is no fault.
///
/// # Errors
/// One line for stderr.
pub(crate) fn show(text: impl fmt::Display) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("print: {error}")),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The sockets of the nodes that run with their data in `data`, at least one.
fn running(data: &Path) -> Result<Vec<PathBuf>, String> {
    let sockets = operator_sockets(data).map_err(|error| format!("{}: {error}", data.display()))?;
    match sockets.is_empty() {
        true => Err(AskError::NotRunning(data.to_owned()).to_string()),
        false => Ok(sockets),
    }
}

/// What the node behind `socket` has done about `command`.
fn done(socket: &Path, command: &operator::Command) -> Result<Done, String> {
    match ask(socket, command).map_err(|error| error.to_string())? {
        Answer::Done(done) => Ok(*done),
        Answer::Refused(reason) => Err(reason),
        Answer::NotHome { .. } => Err(another_question()),
    }
}

/// What is said of an answer that is none to what was asked: the node is of another release.
fn another_question() -> String {
    "the node answered another question".to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_has_defaults_for_everything() {
        let Ok(Command::Dev(dev)) = parse("penstock dev") else { panic!("dev") };
        assert_eq!(dev, Dev { config: None, data: "penstock-data".into(), port_base: 9000, tls: false });
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "penstock",
            "penstock serve",
            "penstock dev --port-base 70000",
            "penstock dev --region ord1",
            "penstock cluster node",
            "penstock user create alice",
            "penstock warm",
            "penstock warm s3://b/k --pin 7",
            "penstock warm s3://b/k --pin 0d",
            "penstock warm s3://b/k --pin 366d",
            "penstock warm s3://b/k --pin 7d --unpin",
            "penstock purge",
            "penstock purge --prefix",
            "penstock purge s3://b --everything",
            "penstock purge --everything --region ord1",
            "penstock scrub --prefix",
            "penstock scrub --rate 1000",
            "penstock scrub --rate fast",
            "penstock scrub --resume here",
            "penstock explain --action s3:GetObject s3://b/k",
            "penstock explain --as alice --anonymous --action s3:GetObject s3://b/k",
            "penstock explain --anonymous --account a --action s3:GetObject s3://b/k",
            "penstock explain --as alice s3://b/k",
            "penstock user create alice --account a",
            "penstock user create alice --account a --level owner",
            "penstock user create alice --account a --level full --secret-key s",
            "penstock user create alice --account a --level full --access-key AKIDEXAMPLEAKIDEXAMP",
            "penstock user create alice --account a --level full --secret-key-file f",
            "penstock user create alice --account a --level full --grant photos",
            "penstock user create alice --account a --level full --grant photos=full",
            "penstock user rotate alice --keep-old --finish",
            "penstock user rotate alice --finish --access-key AKIDEXAMPLEAKIDEXAMP --secret-key-file f",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_object_is_pinned_for_days() {
        let parsed = parse("penstock warm s3://b/k --region las1 --pin 7d --json");
        let Ok(Command::Warm(warm)) = parsed else { panic!("{parsed:?}") };
        assert_eq!((warm.object.as_str(), warm.pin), ("s3://b/k", Some(Duration::from_secs(7 * 24 * 3600))));
    }

    #[test]
    fn a_user_is_made_with_everything_that_can_be_said() {
        let parsed = parse(
            "penstock user create alice --account research --level readwrite --access-key AKIDEXAMPLEAKIDEXAMP \
             --secret-key-file - --display-name Alice --email a@example.com --region las1 \
             --grant photos=read --grant ord1/videos=readwrite --json --data /srv/p",
        );
        let Ok(Command::User(User::Create(create))) = parsed else { panic!("{parsed:?}") };
        assert_eq!((create.name.as_str(), create.account.as_str()), ("alice", "research"));
        assert_eq!((create.level, create.region.as_deref()), (Level::ReadWrite, Some("las1")));
        assert_eq!(create.own.secret_key_file, Some(PathBuf::from("-")));
        let grants: Vec<_> = create.grant.iter().map(ToString::to_string).collect();
        assert_eq!(grants, ["photos=read", "ord1/videos=readwrite"]);
        assert!(create.asking.json && create.asking.data.as_os_str() == "/srv/p");
    }
}
