//! What `penstock dev` prints: lines to paste, and the files they read so that no secret is on a command line.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::cluster::write_private;
use crate::settings::Listen;
use crate::topology::{RegionName, Topology};

use super::Credentials;

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
    /// Whether the listeners speak HTTPS.
    pub(super) https: bool,
}

impl Guide<'_> {
    /// Writes what the printed lines read: one s3cmd configuration a region, and the key pair as the AWS tools and
    /// curl read it. All of them are readable by their owner alone, and written anew at each start.
    ///
    /// # Errors
    /// Of the file system.
    pub(super) fn write_files(&self, credentials: &Credentials) -> io::Result<()> {
        for shown in self.regions {
            let text = self.s3cmd_configuration(credentials, shown);
            write_private(&self.data.join(format!("{}.s3cfg", shown.region)), text.as_bytes())?;
        }
        let Credentials { access_key, secret_key } = credentials;
        let aws =
            format!("[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n");
        write_private(&self.data.join("aws-credentials"), aws.as_bytes())?;
        let curl = format!(
            "user = \"{access_key}:{secret_key}\"\naws-sigv4 = \"aws:amz:us-east-1:s3\"\nheader = \"x-amz-content-sha256: UNSIGNED-PAYLOAD\"\n"
        );
        write_private(&self.data.join("curl.cfg"), curl.as_bytes())
    }

    /// The text for the terminal.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.print(&mut text).expect("writing into a string does not fail");
        text
    }

    fn print(&self, text: &mut String) -> std::fmt::Result {
        let file = |name: &str| shell_word(&self.data.join(name).display().to_string());
        let scheme = self.scheme();
        writeln!(text, "Penstock is running. Regions, each with its endpoints:\n")?;
        writeln!(text, "  {:<8} {:<28} {:<28} admin", "region", "standard", "accelerated")?;
        for Shown { region, listen } in self.regions {
            let (standard, accelerated) =
                (format!("{scheme}://{}", listen.standard), format!("{scheme}://{}", listen.accelerated));
            writeln!(
                text,
                "  {:<8} {standard:<28} {accelerated:<28} http://{}",
                region.as_str(),
                listen.admin
            )?;
        }
        let first = &self.regions[0];
        let endpoint = format!("{scheme}://{}", first.listen.standard);
        let region = first.region;
        writeln!(
            text,
            "\nThe key pair is in {}. To paste into another terminal:\n",
            file("credentials.json")
        )?;
        write!(
            text,
            "  export AWS_SHARED_CREDENTIALS_FILE={} AWS_DEFAULT_REGION={region}",
            file("aws-credentials")
        )?;
        if self.https {
            write!(text, " AWS_CA_BUNDLE={}", file("ca.pem"))?;
        }
        writeln!(text, "\n  echo 'Hello from {region}' > hello.txt\n")?;
        writeln!(text, "  aws --endpoint-url {endpoint} s3 mb s3://demo-aws")?;
        writeln!(text, "  aws --endpoint-url {endpoint} s3 cp hello.txt s3://demo-aws/")?;
        writeln!(text, "  aws --endpoint-url {endpoint} s3 ls s3://demo-aws\n")?;
        let s3cfg = file(&format!("{region}.s3cfg"));
        writeln!(text, "  s3cmd -c {s3cfg} mb s3://demo-s3cmd")?;
        writeln!(text, "  s3cmd -c {s3cfg} put hello.txt s3://demo-s3cmd/")?;
        writeln!(text, "  s3cmd -c {s3cfg} ls s3://demo-s3cmd\n")?;
        let rclone =
            format!(":s3,provider=Other,env_auth=true,force_path_style=true,endpoint=\"{endpoint}\":");
        let trust = if self.https { format!(" --ca-cert {}", file("ca.pem")) } else { String::new() };
        writeln!(text, "  rclone{trust} copy hello.txt '{rclone}demo-rclone'")?;
        writeln!(text, "  rclone{trust} ls '{rclone}demo-rclone'")?;
        if let Some(last) = self.regions.last().filter(|last| last.region != region) {
            let host = self.topology.accelerated_host(region);
            let port = last.listen.accelerated.port();
            let trust = if self.https { format!(" --cacert {}", file("ca.pem")) } else { String::new() };
            writeln!(
                text,
                "\n{region}'s object out of {}'s cache; Cache-Status says miss, then hit:\n",
                last.region
            )?;
            writeln!(
                text,
                "  curl -si -K {}{trust} --resolve {host}:{port}:127.0.0.1 {scheme}://{host}:{port}/demo-aws/hello.txt",
                file("curl.cfg")
            )?;
        }
        Ok(())
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    fn s3cmd_configuration(&self, credentials: &Credentials, shown: &Shown<'_>) -> String {
        let Credentials { access_key, secret_key } = credentials;
        let (host, region) = (shown.listen.standard, shown.region);
        let use_https = if self.https { "True" } else { "False" };
        // A bucket in the path: `host_bucket` without `%(bucket)s` tells s3cmd so, and no name has to resolve.
        let mut text = format!(
            "[default]\naccess_key = {access_key}\nsecret_key = {secret_key}\nhost_base = {host}\nhost_bucket = {host}\n\
             bucket_location = {region}\nuse_https = {use_https}\nsignature_v2 = False\n"
        );
        if self.https {
            text += &format!("ca_certs_file = {}\n", self.data.join("ca.pem").display());
        }
        text
    }
}

/// `text` as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&b));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn shell_words_survive_any_directory() {
        assert_eq!(shell_word("/srv/penstock-data/ca.pem"), "/srv/penstock-data/ca.pem");
        assert_eq!(shell_word("/srv/my data"), "'/srv/my data'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("$HOME"), "'$HOME'");
    }

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
            let guide = Guide { data: dir.path(), topology: &topology, regions: &regions, https };
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
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 4);
    }
}
