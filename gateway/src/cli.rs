//! The command line: what each command takes, and what it hands to whom.
//!
//! Secrets are never arguments: other users of a machine can read those.

mod cluster;
mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    /// Report every fault of the configuration, and of what it names, at once.
    Check(Check),
    /// Make a cluster's authority and its nodes' certificates.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Make and list users, through a running node of the home region.
    #[command(subcommand)]
    User(User),
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
    /// Read every row and every byte of the stores under DIR as well; no node may be running on them.
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
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum User {
    /// Make a user with full access to its account, and show the new key pair, this once.
    Create {
        /// The user's name, unique within the account.
        name: String,
        /// The account that the user belongs to.
        #[arg(long)]
        account: String,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
        /// The data directory of the running node.
        #[arg(long, value_name = "DIR", default_value = "penstock-data")]
        data: PathBuf,
    },
    /// List all users.
    List {
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
        /// The data directory of the running node.
        #[arg(long, value_name = "DIR", default_value = "penstock-data")]
        data: PathBuf,
    },
}

impl Cluster {
    /// Does it, and says on stdout what was made.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn run(self) -> Result<(), String> {
        cluster::run(self)
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
            "penstock user create alice --account a --secret-key s",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_user_is_made_in_an_account_and_no_secret_is_given() {
        let parsed = parse("penstock user create alice --account research --json --data /srv/p");
        let Ok(Command::User(User::Create { name, account, json, data })) = parsed else {
            panic!("user create")
        };
        assert_eq!((name.as_str(), account.as_str(), json), ("alice", "research", true));
        assert_eq!(data, PathBuf::from("/srv/p"));
    }
}
