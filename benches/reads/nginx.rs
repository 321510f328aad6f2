//! nginx with its slice module: a cache of 1 MiB slices in files, sent by the kernel.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::ground::{Tls, tool};

/// nginx listening at `address`, its files below `folder`, its origin at `origin`.
pub(crate) fn command(folder: &Path, address: &str, origin: SocketAddr, tls: Option<&Tls>) -> Command {
    fs::create_dir_all(folder.join("temporary")).expect("make nginx's folder");
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(folder, address, origin, tls)).expect("write nginx.conf");
    let mut command = tool("nginx");
    command.arg("-c").arg(config).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
    command
}

fn configuration(folder: &Path, address: &str, origin: SocketAddr, tls: Option<&Tls>) -> String {
    let folder = folder.display();
    let listen = match tls {
        None => format!("listen {address};"),
        Some(Tls { certificate, key, .. }) => format!(
            "listen {address} ssl; ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
            certificate.display(),
            key.display()
        ),
    };
    format!(
        r#"
        daemon off;
        user root;
        worker_processes 1;
        worker_rlimit_nofile 65536;
        pid {folder}/pid;
        events {{ worker_connections 4096; }}
        http {{
            access_log off;
            sendfile on;
            keepalive_requests 100000000;
            client_body_temp_path {folder}/temporary/body;
            proxy_temp_path {folder}/temporary/proxy;
            fastcgi_temp_path {folder}/temporary/fastcgi;
            uwsgi_temp_path {folder}/temporary/uwsgi;
            scgi_temp_path {folder}/temporary/scgi;
            proxy_cache_path {folder}/cache levels=1:2 keys_zone=all:16m max_size=4g inactive=1d use_temp_path=off;
            upstream origin {{
                server {origin};
                keepalive 64;
                keepalive_requests 100000000;
            }}
            server {{
                {listen}
                location / {{
                    slice 1m;
                    proxy_pass http://origin;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header Range $slice_range;
                    proxy_cache all;
                    proxy_cache_key $uri$slice_range;
                    proxy_cache_valid 200 206 1d;
                    proxy_cache_lock on;
                    proxy_cache_lock_timeout 60s;
                    proxy_cache_lock_age 60s;
                }}
            }}
        }}
        "#
    )
}
