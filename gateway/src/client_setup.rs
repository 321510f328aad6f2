//! What an S3 client has to be told: where a region is reached, and each tool's configuration for one key pair.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::Listen;
use crate::topology::{RegionName, Topology};

/// Where clients reach one region's endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientEndpoint {
    /// The region's name.
    pub region: String,
    /// Whether the listeners speak HTTPS.
    pub is_https: bool,
    /// Host and port of the standard endpoint; no port where it is the scheme's own.
    pub standard: String,
    /// Host and port of the accelerated endpoint.
    pub accelerated: String,
    /// Host and port that websites are under, each by its bucket; empty where an older node says nothing of it.
    #[serde(default)]
    pub website: String,
    /// Whether a bucket goes into the path alone, because no host name can hold it.
    pub is_path_style: bool,
    /// The authority that clients have to trust, where the system does not know it.
    pub ca_file: Option<PathBuf>,
}

/// A key pair as a tool's configuration holds it.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The public half.
    pub access_key: &'a str,
    /// The secret half, in clear.
    pub secret_key: &'a str,
}

impl ClientEndpoint {
    /// Where clients reach `region`, whose node listens on `listen`: by address on loopback, which is where
    /// `penstock dev` listens and where not every machine finds host names; by the endpoints' host names otherwise.
    #[must_use]
    pub fn new(
        topology: &Topology,
        region: &RegionName,
        listen: &Listen,
        is_https: bool,
        ca_file: Option<&Path>,
    ) -> Self {
        let authority = |host: String, address: SocketAddr| match (address.ip().is_loopback(), is_https) {
            (true, _) => address.to_string(),
            (false, true) if address.port() == 443 => host,
            (false, false) if address.port() == 80 => host,
            (false, _) => format!("{host}:{}", address.port()),
        };
        let website = topology.website_host(region);
        let website = match listen.standard.port() {
            443 if is_https => website,
            80 if !is_https => website,
            port => format!("{website}:{port}"),
        };
        Self {
            region: region.to_string(),
            is_https,
            website,
            standard: authority(topology.standard_host(region), listen.standard),
            accelerated: authority(topology.accelerated_host(region), listen.accelerated),
            is_path_style: listen.standard.ip().is_loopback(),
            ca_file: ca_file.map(Path::to_owned),
        }
    }

    /// The standard endpoint's URL.
    #[must_use]
    pub fn standard_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.standard)
    }

    /// The accelerated endpoint's URL.
    #[must_use]
    pub fn accelerated_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.accelerated)
    }

    /// A whole configuration file for s3cmd.
    #[must_use]
    pub fn s3cmd(&self, pair: Pair<'_>) -> String {
        let Pair { access_key, secret_key } = pair;
        let Self { region, standard, website, .. } = self;
        let websites = match website.as_str() {
            "" => String::new(),
            host => format!("website_endpoint = {}://%(bucket)s.{host}/\n", self.scheme()),
        };
        // Without `%(bucket)s`, s3cmd puts buckets into paths, and no name has to resolve.
        let host_bucket = match self.is_path_style {
            true => standard.clone(),
            false => format!("%(bucket)s.{standard}"),
        };
        let use_https = if self.is_https { "True" } else { "False" };
        let ca = match &self.ca_file {
            Some(file) => format!("ca_certs_file = {}\n", file.display()),
            None => String::new(),
        };
        format!(
            "[default]\naccess_key = {access_key}\nsecret_key = {secret_key}\nhost_base = {standard}\n\
             host_bucket = {host_bucket}\nbucket_location = {region}\nuse_https = {use_https}\n\
             {websites}check_ssl_certificate = {use_https}\ncheck_ssl_hostname = {use_https}\nsignature_v2 = False\n{ca}"
        )
    }

    /// A profile for the AWS command line and SDKs, for `~/.aws/credentials`.
    #[must_use]
    pub fn aws_profile(&self, name: &str, pair: Pair<'_>) -> String {
        let Pair { access_key, secret_key } = pair;
        let ca = match &self.ca_file {
            Some(file) => format!("ca_bundle = {}\n", file.display()),
            None => String::new(),
        };
        format!(
            "[{name}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n\
             region = {}\nendpoint_url = {}\n{ca}",
            self.region,
            self.standard_url()
        )
    }

    /// A remote for rclone, for `rclone.conf`.
    #[must_use]
    pub fn rclone(&self, name: &str, pair: Pair<'_>) -> String {
        let Pair { access_key, secret_key } = pair;
        format!(
            "[{name}]\ntype = s3\nprovider = Other\naccess_key_id = {access_key}\nsecret_access_key = {secret_key}\n\
             endpoint = {}\nforce_path_style = {}\n",
            self.standard_url(),
            self.is_path_style
        )
    }

    /// Lines for a shell that lead s5cmd here, with the profile `name` of [`Self::aws_profile`].
    #[must_use]
    pub fn s5cmd(&self, name: &str) -> String {
        let ca = match &self.ca_file {
            Some(file) => format!("export AWS_CA_BUNDLE={}\n", shell_word(&file.display().to_string())),
            None => String::new(),
        };
        format!(
            "export AWS_PROFILE={} AWS_REGION={} S3_ENDPOINT_URL={}\n{ca}s5cmd ls\n",
            shell_word(name),
            self.region,
            self.standard_url()
        )
    }

    fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

/// `text` as one word of a POSIX shell.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&b));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Pair<'_> = Pair { access_key: "PKALICE", secret_key: "s3cret" };

    fn endpoint(ip: &str, port: u16, is_https: bool, ca_file: Option<&Path>) -> ClientEndpoint {
        let topology = Topology::new("example.com", "ord1", [("ord1", "10.0.0.1:1")]).expect("good");
        let at = |port| SocketAddr::new(ip.parse().expect("an address"), port);
        let listen = Listen { standard: at(port), accelerated: at(port + 1), admin: at(1), peer: at(2) };
        ClientEndpoint::new(&topology, topology.regions()[0].name(), &listen, is_https, ca_file)
    }

    #[test]
    fn shell_words_survive_any_directory() {
        assert_eq!(shell_word("/srv/penstock-data/ca.pem"), "/srv/penstock-data/ca.pem");
        assert_eq!(shell_word("/srv/my data"), "'/srv/my data'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("$HOME"), "'$HOME'");
    }

    #[test]
    fn on_loopback_the_address_is_told_and_buckets_stay_in_paths() {
        let endpoint = endpoint("127.0.0.1", 9000, false, None);
        assert_eq!(endpoint.standard_url(), "http://127.0.0.1:9000");
        assert_eq!(endpoint.accelerated_url(), "http://127.0.0.1:9001");
        let s3cmd = endpoint.s3cmd(PAIR);
        assert!(s3cmd.contains("host_bucket = 127.0.0.1:9000\n") && s3cmd.contains("use_https = False\n"));
        assert!(s3cmd.contains("website_endpoint = http://%(bucket)s.website.ord1.example.com:9000/\n"));
        assert!(endpoint.rclone("ord1", PAIR).contains("force_path_style = true"));
    }

    #[test]
    fn elsewhere_the_host_name_is_told_with_a_port_that_is_not_the_schemes() {
        assert_eq!(endpoint("0.0.0.0", 443, true, None).standard_url(), "https://object.ord1.example.com");
        let secure = endpoint("0.0.0.0", 443, true, None).s3cmd(PAIR);
        assert!(secure.contains("website_endpoint = https://%(bucket)s.website.ord1.example.com/\n"));
        let plain = endpoint("10.0.0.1", 443, false, None);
        assert_eq!(plain.standard_url(), "http://object.ord1.example.com:443");
        assert_eq!(plain.accelerated_url(), "http://accel-object.ord1.example.com:444");
        assert!(plain.s3cmd(PAIR).contains("host_bucket = %(bucket)s.object.ord1.example.com:443\n"));
        assert!(plain.rclone("ord1", PAIR).contains("force_path_style = false"));
    }

    #[test]
    fn every_tool_is_told_of_an_authority_of_our_own() {
        let endpoint = endpoint("127.0.0.1", 9000, true, Some(Path::new("/srv/my data/ca.pem")));
        assert!(endpoint.s3cmd(PAIR).contains("ca_certs_file = /srv/my data/ca.pem\n"));
        assert!(endpoint.s3cmd(PAIR).contains("check_ssl_hostname = True\n"));
        assert!(endpoint.aws_profile("alice", PAIR).contains("ca_bundle = /srv/my data/ca.pem\n"));
        assert!(endpoint.s5cmd("alice").contains("AWS_CA_BUNDLE='/srv/my data/ca.pem'\n"));
    }
}
