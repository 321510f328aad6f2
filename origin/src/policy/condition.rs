//! Conditions: what a request must say for a statement to be about it.
//!
//! "IAM JSON policy elements: Condition operators" and "Conditions with multiple context keys or values" in the IAM
//! user guide. A statement's conditions must all hold. Of the values that a policy gives, one must match, or for a
//! negated operator none. What the request does not say matches nothing: an operator is false then and its negation
//! true, `…IfExists` and `ForAllValues:` are true, `ForAnyValue:` is false. A value that is not of the operator's kind
//! matches nothing either, when it is the request's; in a policy it is refused. What a variable without a value comes to
//! is told in [`super::template`].

mod arn;
mod date;
mod decimal;
mod network;
mod operator;
mod values;

use std::borrow::Cow;

use self::operator::{Comparison, Operator, Quantifier};
use self::values::Values;
use super::json::{Json, syntax};
use super::key::Key;
use super::template::{Resolve, Variables};
use super::{Effect, Malformed, principal};

/// One key, held against some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    key: Key,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    /// `Null`: whether the request says nothing of the key must be one of these.
    Absent(Vec<bool>),
    Values {
        values: Values,
        is_negated: bool,
        if_exists: bool,
        quantifier: Quantifier,
    },
}

/// Every condition of a `Condition` element.
///
/// # Errors
/// For an operator or a key that is not known, and a value that is not of the operator's kind.
pub(super) fn parse_all(value: &Json, variables: Variables) -> Result<Vec<Condition>, Malformed> {
    let mut conditions = Vec::new();
    for (name, keys) in value.members()? {
        let of_operator = || {
            let operator = Operator::parse(name).ok_or_else(|| {
                Malformed::new("Invalid Condition type", format!("no operator is called {name:?}"))
            })?;
            let keys = keys.members()?;
            if keys.is_empty() {
                return Err(syntax("it names no key"));
            }
            let parsed = keys.iter().map(|(key, values)| {
                Condition::parse(operator, key, values, variables).map_err(|e| e.inside(key))
            });
            parsed.collect::<Result<Vec<_>, _>>()
        };
        conditions.extend(of_operator().map_err(|e| e.inside(name))?);
    }
    Ok(conditions)
}

impl Condition {
    fn parse(operator: Operator, key: &str, wanted: &Json, variables: Variables) -> Result<Self, Malformed> {
        let key = Key::parse(key)
            .ok_or_else(|| Malformed::new("Policy has an invalid condition key", "it is not known here"))?;
        let texts = wanted.each(scalar)?;
        if texts.is_empty() {
            return Err(syntax("it has no value"));
        }
        let test = match operator.comparison {
            Comparison::Null => Test::Absent(values::parse_each(&texts, values::truth)?),
            comparison => Test::Values {
                values: Values::parse(comparison, &texts, variables)?,
                is_negated: operator.is_negated,
                if_exists: operator.if_exists,
                quantifier: operator.quantifier,
            },
        };
        Ok(Self { key, test })
    }

    /// What it is about.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Its key, and those of the variables in its values.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let variables = match &self.test {
            Test::Absent(_) => None,
            Test::Values { values, .. } => Some(values.keys()),
        };
        std::iter::once(&self.key).chain(variables.into_iter().flatten())
    }

    /// Whether it holds, in a statement of this effect, of a request that says `said` of its key.
    pub(super) fn holds(&self, said: &[Cow<'_, str>], effect: Effect, resolve: &Resolve<'_>) -> bool {
        match &self.test {
            Test::Absent(wanted) => wanted.contains(&said.is_empty()),
            Test::Values { if_exists: true, .. } if said.is_empty() => true,
            // Nothing is allowed for not being what nobody can tell.
            Test::Values { values, is_negated: true, .. }
                if effect == Effect::Allow && !values.are_resolved(resolve) =>
            {
                false
            }
            Test::Values { values, is_negated, quantifier, .. } => {
                let matches = |text: &Cow<'_, str>| values.include(text, resolve);
                match quantifier {
                    Quantifier::All => said.iter().all(|text| matches(text) != *is_negated),
                    Quantifier::Any => said.iter().any(|text| matches(text) != *is_negated),
                    Quantifier::None => said.iter().any(matches) != *is_negated,
                }
            }
        }
    }

    /// Whether it leaves only fixed values of a key that tells who asks, or from where: what makes an Allow for
    /// everyone not public.
    pub(super) fn pins_the_asker(&self) -> bool {
        let Test::Values { values, is_negated: false, if_exists: false, quantifier } = &self.test else {
            return false;
        };
        // Of nothing, all values are as they should.
        if *quantifier == Quantifier::All {
            return false;
        }
        match self.key.as_str() {
            "aws:SourceIp" => values.are_fixed() || values.are_narrow_networks(),
            "aws:userid" => values.are_fixed() && !values.include_fixed(principal::ANONYMOUS_USER_ID),
            // S3 has the id of a KMS key here too, which takes a right to that key there. Here, as every other header,
            // anybody can send it.
            _ => false,
        }
    }
}

/// A value as text: JSON's numbers and booleans stand for what they look like.
fn scalar(value: &Json) -> Result<String, Malformed> {
    match value {
        Json::Text(text) | Json::Number(text) => Ok(text.clone()),
        Json::Bool(truth) => Ok(truth.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(syntax(format!("{} is no value", value.kind()))),
    }
}
