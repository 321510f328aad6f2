//! What policies may say and what they decide, each with its nearest wrong neighbour.

mod conditions;
mod documents;
mod public;
mod statements;
mod variables;
mod wildcards;

use std::borrow::Cow;

use super::{Action, Ask, Lookup, Policy, Principal, Verdict};

const BUCKET: &str = "photos";

/// What a request says, by name; names without case.
struct Says<'a>(&'a [(&'a str, &'a [&'a str])]);

impl Lookup for Says<'_> {
    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        let of_key = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        of_key.flat_map(|(_, values)| values.iter().map(|value| Cow::Borrowed(*value))).collect()
    }
}

const NOTHING: Says<'static> = Says(&[]);

const ALICE: Principal<'static> =
    Principal::User { account: "research", account_id: RESEARCH_ID, name: "alice" };
const RESEARCH_ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A policy of these statements.
fn policy(statements: &str) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Policy::parse(&text, BUCKET).unwrap_or_else(|refused| panic!("{refused}: {text}"))
}

/// The refusal of a policy of these statements.
fn refusal(statements: &str) -> String {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    match Policy::parse(&text, BUCKET) {
        Ok(_) => panic!("taken: {text}"),
        Err(refused) => refused.to_string(),
    }
}

/// Whether `principal` may do `action` to the object `a`, in a request that says `context`.
fn ask<'a>(principal: Principal<'a>, action: Action, context: &'a dyn Lookup) -> Ask<'a> {
    Ask { principal, action, resource: "arn:aws:s3:::photos/a", owner: "research", context }
}

fn decides<'p>(policy: &'p Policy, principal: Principal<'_>, action: Action, resource: &str) -> Verdict<'p> {
    policy.decide(&Ask { principal, action, resource, owner: "research", context: &NOTHING })
}
