//! What does a bucket's policy cost: to parse, whenever a bucket's facts arrive, and to decide, on every request?
//!
//! `cargo bench -p origin --bench policy` prints one line a policy: the median of nine rounds that take turns, in
//! microseconds of CPU. To be held against the 104 µs of a node's CPU that a cached read of 4 KiB takes (README).

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use origin::policy::{Action, Ask, Lookup, Policy, Principal};
use rustix::time::{ClockId, clock_gettime};

/// How long each policy is measured in each round, at least.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS_COUNT: usize = 9;

/// `?` in one text of a hostile policy: about as many as one may have.
const WILDCARDS: usize = 60;

/// A request with what most requests say.
struct Says;

impl Lookup for Says {
    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        let value = match key {
            "aws:SourceIp" => "192.0.2.7",
            "aws:SecureTransport" => "true",
            "aws:CurrentTime" => "2026-11-22T10:00:00Z",
            "aws:Referer" => return vec![Cow::Owned("a".repeat(8192))],
            _ => return Vec::new(),
        };
        vec![Cow::Borrowed(value)]
    }
}

fn main() {
    let key = "a".repeat(1024);
    let policies = [
        ("one statement: everybody reads", text(&[statement("Allow", "*", "")]), "2026/cat.jpg"),
        (
            "10 statements, each with 3 conditions",
            text(&(0..10).map(conditional).collect::<Vec<_>>()),
            "2026/cat.jpg",
        ),
        ("20 KiB: 120 statements, the last one allows", many(), "2026/cat.jpg"),
        ("20 KiB of wildcards, a key of 1 KiB that almost matches", hostile_resources(), key.as_str()),
        ("20 KiB of wildcards, a referer of 8 KiB that almost matches", hostile_values(), "2026/cat.jpg"),
    ];
    let mut parsed = vec![Vec::new(); policies.len()];
    let mut decided = vec![Vec::new(); policies.len()];
    for _ in 0..ROUNDS_COUNT {
        for (index, (_, text, key)) in policies.iter().enumerate() {
            let policy = Policy::parse(text, "photos").expect("a good policy");
            let resource = format!("arn:aws:s3:::photos/{key}");
            let principal = Principal::User { account: "research", account_id: "1", name: "alice" };
            let ask = Ask {
                principal,
                action: Action::GetObject,
                resource: &resource,
                owner: "research",
                context: &Says,
            };
            parsed[index].push(micros(|| drop(black_box(Policy::parse(black_box(text), "photos")))));
            decided[index].push(micros(|| _ = black_box(policy.decide(black_box(&ask)))));
        }
    }
    println!("{:>7} {:>10} {:>10}", "bytes", "parse µs", "decide µs");
    for (index, (name, text, _)) in policies.iter().enumerate() {
        let (parse, decide) = (median(&mut parsed[index]), median(&mut decided[index]));
        println!("{:>7} {parse:>10.2} {decide:>10.2}  {name}", text.len());
    }
}

/// CPU time of one call, over as many as fit into a round.
fn micros(mut call: impl FnMut()) -> f64 {
    let (started, mut calls_count) = (cpu_time(), 0_u32);
    loop {
        call();
        calls_count += 1;
        let taken = cpu_time() - started;
        // Asking for the time costs as much as a small call.
        if taken >= ROUND {
            return taken.as_secs_f64() * 1e6 / f64::from(calls_count);
        }
        for _ in 0..calls_count {
            call();
        }
        calls_count *= 2;
    }
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("not before the thread began")
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn text(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn statement(effect: &str, key: &str, more: &str) -> String {
    let resource = format!("arn:aws:s3:::photos/{key}");
    format!(
        r#"{{"Effect":"{effect}","Principal":"*","Action":"s3:GetObject","Resource":"{resource}"{more}}}"#
    )
}

/// Half of them deny, for an address that nobody has.
fn conditional(index: usize) -> String {
    let condition = r#","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.0/30"]},
        "Bool":{"aws:SecureTransport":"true"},"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#;
    if index == 9 {
        return statement("Allow", "*", r#","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#);
    }
    statement(if index.is_multiple_of(2) { "Deny" } else { "Allow" }, "${aws:username}/*", condition)
        .replace("${aws:username}/", if index.is_multiple_of(3) { "${aws:username}/" } else { "" })
}

fn many() -> String {
    let mut statements: Vec<String> =
        (0..119).map(|index| statement("Allow", &format!("folder-{index:060}/*"), "")).collect();
    statements.push(statement("Allow", "*", ""));
    text(&statements)
}

/// Pieces that match at every place but for their last character.
fn hostile_resources() -> String {
    let pattern = format!("*{}b*", "a?".repeat(WILDCARDS));
    text(&(0..85).map(|_| statement("Deny", &pattern, "")).collect::<Vec<_>>())
}

fn hostile_values() -> String {
    let pattern = format!(r#""*{}b*""#, "a?".repeat(WILDCARDS));
    let patterns = vec![pattern; 145].join(",");
    text(&[statement(
        "Deny",
        "*",
        &format!(r#","Condition":{{"StringLike":{{"aws:Referer":[{patterns}]}}}}"#),
    )])
}
