//! What the manifests promise: which crate may use which, and what must not be in the tree at all.

use std::collections::BTreeSet;
use std::fs;

use tests::cluster::repository;
use toml::{Table, Value};

/// The arrows between our crates: gateway → cache, gateway → origin, and no other.
#[test]
fn crates_depend_in_one_direction() {
    assert_eq!(our_dependencies("gateway"), ["cache", "origin"]);
    assert_eq!(our_dependencies("cache"), [""; 0]);
    assert_eq!(our_dependencies("origin"), [""; 0]);
}

/// End-to-end tests and benches see the product as a client does.
#[test]
fn tests_and_benches_use_no_product_crate() {
    assert_eq!(our_dependencies("tests"), [""; 0]);
    assert_eq!(our_dependencies("benches"), ["tests"]);
}

/// No crate that `.deny.toml` bans is in the lock file, and each it allows once is there once.
#[test]
fn locked_crates_keep_to_the_bans() {
    let deny = read(".deny.toml");
    let locked = locked_crates();
    let banned = names(&deny["bans"]["deny"]);
    assert!(banned.contains("openssl") && banned.contains("aws-lc-rs"), "{banned:?}");
    for name in &banned {
        assert!(!locked.contains(name), "{name} is banned by .deny.toml");
    }
    let single =
        ["http", "hyper", "h2", "tokio", "rustls", "ring", "reqwest", "prometheus", "s3s", "redb", "foyer"];
    for name in single {
        assert_eq!(
            locked.iter().filter(|locked| *locked == name).count(),
            1,
            "{name} must be there exactly once"
        );
    }
}

/// Every dependency's version stands in the root manifest.
#[test]
fn versions_live_in_the_root_manifest() {
    for member in ["gateway", "cache", "origin", "tests", "benches"] {
        let manifest = read(&format!("{member}/Cargo.toml"));
        for (name, dependency) in dependency_tables(&manifest) {
            assert_eq!(
                dependency.get("workspace"),
                Some(&Value::Boolean(true)),
                "{member} names a version of {name}"
            );
        }
    }
}

/// Which of the workspace's crates `member` depends on, in any of its tables.
fn our_dependencies(member: &str) -> Vec<String> {
    let manifest = read(&format!("{member}/Cargo.toml"));
    let ours = ["gateway", "cache", "origin", "tests", "benches"];
    let found: BTreeSet<_> = dependency_tables(&manifest).into_iter().map(|(name, _)| name).collect();
    found.into_iter().filter(|name| ours.contains(&name.as_str())).collect()
}

fn dependency_tables(manifest: &Table) -> Vec<(String, Value)> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|table| manifest.get(*table)?.as_table())
        .flatten()
        .map(|(name, dependency)| (name.clone(), dependency.clone()))
        .collect()
}

/// The name of each locked crate, as often as it has versions.
fn locked_crates() -> Vec<String> {
    let lock = read("Cargo.lock");
    let packages = lock["package"].as_array().expect("the lock file lists packages");
    packages
        .iter()
        .map(|package| package["name"].as_str().expect("a package has a name").to_owned())
        .collect()
}

fn names(list: &Value) -> BTreeSet<String> {
    let entries = list.as_array().expect("a list of crates");
    entries.iter().map(|entry| entry["crate"].as_str().expect("an entry names a crate").to_owned()).collect()
}

fn read(path: &str) -> Table {
    let text =
        fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("parse {path}: {error}"))
}
