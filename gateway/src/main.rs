//! The binary `penstock`: hands each command to its file, and its error to stderr.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gateway::cli::{Cli, Command};
use gateway::{check, copying, dev, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Frees large buffers back to the system sooner than glibc does, and costs less per small request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a stuck disk may keep the process from ending, once everything is closed.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    // The one crypto stack, for libraries that take the process's default.
    rustls::crypto::ring::default_provider().install_default().expect("nothing has installed another");
    let command = Cli::parse().command;
    if matches!(command, Command::Dev(_) | Command::Serve(_)) {
        copying::settle();
        leave_no_core();
    }
    raise_open_files();
    match run(command) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("penstock: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, String> {
    let done = match command {
        Command::Dev(arguments) => in_runtime(dev::run(arguments)),
        Command::Serve(arguments) => in_runtime(serve::run(arguments)),
        Command::Check(arguments) => in_runtime(check::run(arguments)),
        Command::Cluster(command) => command.run(),
        Command::User(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Status(asking) => asking.show_status(),
        Command::Warm(warm) => warm.run(),
        Command::Purge(purge) => purge.run(),
        Command::Scrub(scrub) => return scrub.run(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Takes all the open files that the system allows: the usual soft limit of 1024 is for programs that use `select`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Refused, the limit stays as it is, and connections beyond it wait to be accepted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Has no crash leave the memory of a node behind, with keys and secrets in it. One byte is less than any core takes, and the
/// one limit that the system also keeps to where it hands cores to a program: none at all it takes for the file's size alone.
fn leave_no_core() {
    // Refused where the system allows none at all: then none is written to a file.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) });
}

fn in_runtime<E: ToString>(work: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("start threads: {error}"))?;
    let result = runtime.block_on(work).map_err(|error| error.to_string());
    runtime.shutdown_timeout(LAST_PATIENCE);
    result
}
