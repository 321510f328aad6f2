//! Varnish with its cache in memory: whole objects, streamed while they come.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::ground::tool;

/// Varnish listening at `address` with `memory_mib` of cache, its files below `folder`, its origin at `origin`.
pub(crate) fn command(folder: &Path, address: &str, origin: SocketAddr, memory_mib: u64) -> Command {
    fs::create_dir_all(folder).expect("make Varnish's folder");
    let rules = folder.join("origin.vcl");
    fs::write(&rules, rules_for(origin)).expect("write origin.vcl");
    let mut command = tool("varnishd");
    command.arg("-F").arg("-n").arg(folder.join("run")).args(["-j", "none", "-a", address]);
    command.arg("-f").arg(rules).args(["-s", &format!("malloc,{memory_mib}m")]);
    // What it says of its start.
    command.stderr(fs::File::create(folder.join("log")).expect("make Varnish's log"));
    command
}

fn rules_for(origin: SocketAddr) -> String {
    format!(
        "vcl 4.1;\n\
         backend origin {{ .host = \"{}\"; .port = \"{}\"; }}\n\
         sub vcl_backend_response {{ set beresp.ttl = 1d; }}\n",
        origin.ip(),
        origin.port()
    )
}
