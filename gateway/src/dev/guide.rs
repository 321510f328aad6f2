//! What `penstock dev` prints: lines to paste, and the files they read so that no secret is on a command line.

use std::io;
use std::path::Path;

use crate::client_setup::{ClientEndpoint, Pair, shell_word};
use crate::cluster::write_private;
use crate::settings::Listen;
use crate::topology::{RegionName, Topology};

use super::Credentials;

/// What a shell may have set for another account: it would win over our files, or keep rclone from starting.
const FOREIGN: &str = "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_CA_BUNDLE";

/// One region as the guide shows it.
pub(super) struct Shown<'a> {
    /// The region's name.
    pub(super) region: &'a RegionName,
    /// Its listeners.
    pub(super) listen: Listen,
}

/// What the guide is about.
pub(super) struct Guide<'a> {
    /// The data directory, an absolute path: lines are pasted anywhere.
    pub(super) data: &'a Path,
    /// The domain and the home region.
    pub(super) topology: &'a Topology,
    /// Every region, in order; never empty.
    pub(super) regions: &'a [Shown<'a>],
    /// Where clients reach each of them, in the same order.
    pub(super) endpoints: &'a [ClientEndpoint],
    /// Whether the listeners speak HTTPS.
    pub(super) https: bool,
}

impl Guide<'_> {
    /// Writes what the printed lines read: the key pair as each tool wants it. All of them are readable by their owner
    /// alone, and written anew at each start, as ports and regions may have changed.
    ///
    /// # Errors
    /// Of the file system.
    pub(super) fn write_files(&self, credentials: &Credentials) -> io::Result<()> {
        let Credentials { access_key, secret_key } = credentials;
        let pair = Pair { access_key, secret_key };
        for endpoint in self.endpoints {
            self.write(&format!("{}.s3cfg", endpoint.region), &endpoint.s3cmd(pair))?;
        }
        let remote = |endpoint: &ClientEndpoint| format!("{}\n", endpoint.rclone(&endpoint.region, pair));
        let rclone = self.endpoints.iter().map(remote).collect::<String>();
        self.write("rclone.conf", &rclone)?;
        let aws =
            format!("[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n");
        self.write("aws-credentials", &aws)?;
        // curl before 8 does not send the hash's header by itself.
        let curl = format!(
            "user = \"{access_key}:{secret_key}\"\naws-sigv4 = \"aws:amz:us-east-1:s3\"\n\
             header = \"x-amz-content-sha256: UNSIGNED-PAYLOAD\"\n"
        );
        self.write("curl.cfg", &curl)
    }

    /// The text for the terminal.
    pub(super) fn text(&self) -> String {
        let first = &self.regions[0];
        let region = first.region;
        let endpoint = format!("{}://{}", self.scheme(), first.listen.standard);
        let aws = format!("aws{} --endpoint-url {endpoint} s3", self.trusting(" --ca-bundle"));
        let s3cmd = format!("s3cmd -c {}", self.file(&format!("{region}.s3cfg")));
        let rclone = format!("rclone{} --config {}", self.trusting(" --ca-cert"), self.file("rclone.conf"));
        format!(
            "Penstock is running. Regions, each with its endpoints:

{}
The key pair is in {}. To paste into another terminal:

  unset {FOREIGN}
  export AWS_SHARED_CREDENTIALS_FILE={} AWS_DEFAULT_REGION={region}
  echo 'Hello from {region}' > hello.txt

  {aws} mb s3://demo-aws
  {aws} cp hello.txt s3://demo-aws/
  {aws} ls s3://demo-aws

  {s3cmd} mb s3://demo-s3cmd
  {s3cmd} put hello.txt s3://demo-s3cmd/
  {s3cmd} ls s3://demo-s3cmd

  {rclone} copy hello.txt {region}:demo-rclone
  {rclone} ls {region}:demo-rclone
{}",
            self.table(),
            self.file("credentials.json"),
            self.file("aws-credentials"),
            self.cached_read(first).unwrap_or_default(),
        )
    }

    fn table(&self) -> String {
        let scheme = self.scheme();
        let mut table = format!("  {:<8} {:<28} {:<28} admin\n", "region", "standard", "accelerated");
        for Shown { region, listen } in self.regions {
            let standard = format!("{scheme}://{}", listen.standard);
            let accelerated = format!("{scheme}://{}", listen.accelerated);
            table += &format!(
                "  {:<8} {standard:<28} {accelerated:<28} http://{}\n",
                region.as_str(),
                listen.admin
            );
        }
        table
    }

    /// How to read an object of the first region out of the last region's cache; nothing where there is one region.
    fn cached_read(&self, first: &Shown<'_>) -> Option<String> {
        let last = self.regions.last().filter(|last| last.region != first.region)?;
        let host = self.topology.accelerated_host(first.region);
        let (scheme, address) = (self.scheme(), last.listen.accelerated);
        let port = address.port();
        // `--resolve`, because not every machine finds *.localhost by itself.
        Some(format!(
            "\n{}'s object out of {}'s cache; Cache-Status says miss, then hit:\n\n  \
             curl -si -K {}{} --resolve {host}:{port}:{} {scheme}://{host}:{port}/demo-aws/hello.txt\n",
            first.region,
            last.region,
            self.file("curl.cfg"),
            self.trusting(" --cacert"),
            address.ip(),
        ))
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// `option` with the authority's file, where a tool has to be told whom to trust.
    fn trusting(&self, option: &str) -> String {
        if self.https { format!("{option} {}", self.file("ca.pem")) } else { String::new() }
    }

    /// The file `name` in the data directory, as a word to paste.
    fn file(&self, name: &str) -> String {
        shell_word(&self.data.join(name).display().to_string())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        write_private(&self.data.join(name), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_in_private_files_and_not_in_the_text() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let peers = [("ord1", "127.0.0.1:9003"), ("las1", "127.0.0.1:9013")];
        let topology = Topology::new("penstock.localhost", "ord1", peers).expect("good");
        let listen = |base: u16| {
            let at = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
            Listen { standard: at(base), accelerated: at(base + 1), admin: at(base + 2), peer: at(base + 3) }
        };
        let regions = [
            Shown { region: topology.regions()[0].name(), listen: listen(9000) },
            Shown { region: topology.regions()[1].name(), listen: listen(9010) },
        ];
        let credentials = Credentials { access_key: "PKDEV".into(), secret_key: "s3cret".into() };
        for https in [false, true] {
            let endpoint =
                |shown: &Shown<'_>| ClientEndpoint::new(&topology, shown.region, &shown.listen, https, None);
            let endpoints: Vec<_> = regions.iter().map(endpoint).collect();
            let guide = Guide {
                data: dir.path(),
                topology: &topology,
                regions: &regions,
                endpoints: &endpoints,
                https,
            };
            guide.write_files(&credentials).expect("write");
            let text = guide.text();
            assert!(!text.contains("s3cret") && !text.contains("PKDEV"), "{text}");
            assert_eq!(text.contains("https://127.0.0.1:9000"), https);
        }
        for entry in std::fs::read_dir(dir.path()).expect("list") {
            let entry = entry.expect("entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 5);
    }
}
