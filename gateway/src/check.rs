//! `penstock check`: every fault of the configuration and of the files that it needs, found at once.
//!
//! It says what it looked at and what was not there to look at: a typing error in a folder's name must not read as a clean
//! bill. A fault is what a node will not work with, or not for everybody; a warning is what somebody should see to in time.

use std::path::Path;
use std::time::Duration;

use origin::regional::RegionalStore;

use crate::cli;
use crate::clock;
use crate::cluster::{ClusterDir, credentials_directory};
use crate::peer::Credentials;
use crate::settings::Settings;
use crate::tls::Certificate;
use crate::topology::{Region, Topology};
use crate::x509::{Said, Standing};

const DAY_SECONDS: u64 = 24 * 3600;

/// A certificate should be replaced from this long before its end: without it a node is cut off from the others or from
/// clients.
const RENEWAL_DUE: Duration = Duration::from_secs(60 * DAY_SECONDS);

/// What was looked at, and what was found.
#[derive(Debug, Default)]
struct Findings {
    checked: Vec<String>,
    not_checked: Vec<String>,
    warnings: Vec<String>,
    faults: Vec<String>,
}

impl Findings {
    fn fault(&mut self, fault: impl ToString) {
        self.faults.push(fault.to_string());
    }

    /// Everything but the faults, a line each.
    fn told(&self) -> String {
        let mut lines = vec![format!("checked: {}", self.checked.join("; "))];
        if !self.not_checked.is_empty() {
            lines.push(format!("not checked: {}", self.not_checked.join("; ")));
        }
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        if self.faults.is_empty() {
            lines.push("no fault found".to_owned());
        }
        lines.join("\n")
    }
}

/// Checks what `arguments` name; tells on stdout what that was, and of what should be seen to in time.
///
/// # Errors
/// Every fault, a line each.
pub async fn run(arguments: cli::Check) -> Result<(), String> {
    let cli::Place { config, data } = &arguments.place;
    let settings = Settings::read(config).map_err(|error| error.to_string())?;
    let mut findings = Findings::default();
    findings.checked.push("settings".to_owned());
    match &settings.tls {
        None => findings.not_checked.push("no public certificate is set".to_owned()),
        Some(files) => match Certificate::read(files) {
            Ok(certificate) => {
                let path = files.certificate.display().to_string();
                findings.checked.push(format!("public certificate {path}"));
                let said = Said::by(&certificate.leaf());
                check_public(said.as_ref(), &settings.topology, &path, clock::now_seconds(), &mut findings);
            }
            Err(error) => findings.fault(format!("{}: tls: {error}", config.display())),
        },
    }
    check_cluster(&settings, data, &mut findings);
    check_stores(&settings, data, arguments.deep, &mut findings).await;
    cli::show(findings.told())?;
    if findings.faults.is_empty() {
        return Ok(());
    }
    Err(findings.faults.join("\n"))
}

/// The certificate that clients are shown: they refuse it when it has ended, or is for another host.
fn check_public(
    said: Option<&Said>,
    topology: &Topology,
    path: &str,
    now_seconds: u64,
    findings: &mut Findings,
) {
    let Some(said) = said else { return findings.fault(format!("{path}: not a certificate")) };
    match said.at(now_seconds) {
        Standing::NotYetValid => findings.fault(format!("{path}: not valid yet, by this clock")),
        Standing::Expired => findings.fault(format!("{path}: expired")),
        // Of one that is made for weeks, a third of its life is time enough.
        Standing::Good(left) if left < RENEWAL_DUE.min(said.lifetime() / 3) => {
            findings.warnings.push(format!("{path}: expires in {} days", left.as_secs() / DAY_SECONDS));
        }
        Standing::Good(_) => {}
    }
    let mut hosts = topology
        .regions()
        .iter()
        .flat_map(|region| [topology.standard_host(region.name()), topology.accelerated_host(region.name())]);
    if !hosts.any(|host| said.is_for(&host)) {
        let names = match said.names.join(", ") {
            none if none.is_empty() => "no host name".to_owned(),
            names => names,
        };
        let domain = topology.domain();
        findings.warnings.push(format!(
            "{path}: made for {names}, which is no endpoint (object.<region>.{domain}, accel-object.<region>.{domain})"
        ));
    }
}

/// The cluster's files, as far as they are here: a node has its own certificate alone.
fn check_cluster(settings: &Settings, data: &Path, findings: &mut Findings) {
    let cluster = ClusterDir::under(data);
    if !is_there(cluster.path(), findings) {
        return findings.not_checked.push(format!("no cluster folder in {}", data.display()));
    }
    findings.checked.push("cluster key".to_owned());
    if let Err(error) = cluster.read_cluster_keys(credentials_directory().as_deref()) {
        findings.fault(error);
    }
    let mut nodes = Vec::new();
    for region in settings.topology.regions().iter().map(Region::name) {
        if !is_there(&cluster.node_certificate(region), findings) {
            continue;
        }
        nodes.push(region.as_str());
        match cluster.examine_node(region, &settings.topology, clock::now_seconds()) {
            Ok(left) if left < RENEWAL_DUE => {
                let path = cluster.node_certificate(region);
                findings.fault(format!(
                    "{}: expires in {} days",
                    path.display(),
                    left.as_secs() / DAY_SECONDS
                ));
            }
            Ok(_) => {}
            Err(error) => findings.fault(error),
        }
        if let Err(error) = Credentials::load(cluster.path(), region) {
            findings.fault(error);
        }
    }
    match nodes.is_empty() {
        true => findings.not_checked.push(format!("no node's certificate in {}", cluster.path().display())),
        false => findings.checked.push(format!("node certificates of {}", nodes.join(", "))),
    }
}

/// Whether `path` is there. Where that cannot be told, for want of permission for example, it is a fault.
fn is_there(path: &Path, findings: &mut Findings) -> bool {
    path.try_exists().unwrap_or_else(|error| {
        findings.fault(format!("{}: {error}", path.display()));
        false
    })
}

/// The stores that are here: if it is a deep check, every row and every byte of them.
async fn check_stores(settings: &Settings, data: &Path, is_deep: bool, findings: &mut Findings) {
    let names = settings.topology.regions().iter().map(Region::name);
    let stores: Vec<_> = names
        .map(|region| (region, data.join(region.as_str()).join("store")))
        .filter(|(_, store)| is_there(store, findings))
        .collect();
    if stores.is_empty() {
        let none = format!("no region's store in {}", data.display());
        return match is_deep {
            true => findings.fault(none),
            false => findings.not_checked.push(none),
        };
    }
    for (region, store) in stores {
        if !is_deep {
            findings.not_checked.push(format!("the store of {region}, which --deep reads"));
            continue;
        }
        match RegionalStore::check_deep(&store).await {
            Ok(report) => {
                let (rows, files, bytes) = (report.rows_count, report.files_count, report.files_bytes);
                findings
                    .checked
                    .push(format!("store of {region}: {rows} rows, {files} files of {bytes} bytes"));
                findings.faults.extend(report.faults.iter().map(|fault| format!("{region}: {fault}")));
                if report.unnamed_faults_count > 0 {
                    findings.fault(format!("{region}: and {} more faults", report.unnamed_faults_count));
                }
            }
            Err(error) => findings.fault(format!("{region}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::cluster::{Authority, Purpose};

    const YEAR: u64 = 365 * DAY_SECONDS;

    /// What is found of a new certificate for `names`, which is good for ten years, `later` than now.
    fn found(names: &[&str], later: i64) -> Findings {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let authority = Authority::create("test authority").expect("create");
        let pem = authority.issue(&names, Purpose::Server).expect("issue").certificate_pem;
        let said = Said::by(&CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM"));
        let topology =
            Topology::new("example.com", "ord1", [("ord1", "a:1"), ("las1", "b:1")]).expect("valid");
        let mut findings = Findings::default();
        let now = clock::now_seconds().saturating_add_signed(later);
        check_public(said.as_ref(), &topology, "a.pem", now, &mut findings);
        findings
    }

    #[test]
    fn a_public_certificate_is_held_against_the_clock() {
        let own = ["object.ord1.example.com"];
        let years = |years: u64| i64::try_from(years * YEAR).expect("small");
        let days = |days: u64| i64::try_from(days * DAY_SECONDS).expect("small");
        for (later, fault, warning) in [
            (0, None, None),
            (years(10) - days(61), None, None),
            (years(10) - days(59), None, Some("expires in 5")),
            (years(10) + days(1), Some("expired"), None),
            (-days(2), Some("not valid yet"), None),
        ] {
            let Findings { faults, warnings, .. } = found(&own, later);
            for (said, expected) in [(faults, fault), (warnings, warning)] {
                assert_eq!(said.len(), expected.iter().len(), "{later}: {said:?}");
                assert!(
                    said.iter().zip(expected).all(|(said, expected)| said.contains(expected)),
                    "{said:?}"
                );
            }
        }
    }

    #[test]
    fn a_public_certificate_is_held_against_the_endpoints() {
        for (names, is_theirs) in [
            (&["object.ord1.example.com"][..], true),
            (&["accel-object.las1.example.com", "other.net"], true),
            (&["*.las1.example.com"], true),
            (&["*.example.com", "example.com"], false),
            (&["object.lga1.example.com"], false),
            (&["object.ord1.example.net"], false),
            (&["127.0.0.1"], false),
        ] {
            let Findings { faults, warnings, .. } = found(names, 0);
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(warnings.is_empty(), is_theirs, "{names:?}: {warnings:?}");
        }
    }
}
