//! ARNs, compared field by field: a wildcard in one of the first five does not reach over a colon.

use super::super::key::Key;
use super::super::template::{Resolve, Template, Variables, Wildcards};

/// `arn`, partition, service, region, account, and the rest, which may have colons.
const FIELDS_COUNT: usize = 6;

/// An ARN with wildcards and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArnTemplate {
    fields: Vec<Template>,
}

impl ArnTemplate {
    /// The pattern that `text` writes.
    ///
    /// # Errors
    /// A sentence: it has not six fields, or a variable in it is not understood.
    pub(super) fn parse(text: &str, variables: Variables) -> Result<Self, String> {
        let fields = fields(text, variables).ok_or_else(|| format!("{text:?} is no ARN"))?;
        let templates = fields.into_iter().map(|field| Template::parse(field, variables, Wildcards::Yes));
        Ok(Self { fields: templates.collect::<Result<_, _>>()? })
    }

    /// Whether `text` is an ARN of this pattern.
    pub(super) fn matches(&self, text: &str, resolve: &Resolve<'_>) -> bool {
        if !resolve.steps.take(1 + text.len()) {
            return false;
        }
        let said: Vec<&str> = text.splitn(FIELDS_COUNT, ':').collect();
        said.len() == self.fields.len()
            && self.fields.iter().zip(said).all(|(field, text)| field.matches(text, resolve))
    }

    /// Whether every variable in it has a value or a default.
    pub(super) fn is_resolved(&self, resolve: &Resolve<'_>) -> bool {
        self.fields.iter().all(|field| field.is_resolved(resolve))
    }

    /// Whether it is one ARN and no other.
    pub(super) fn is_fixed(&self) -> bool {
        self.fields.iter().all(|field| field.fixed().is_some())
    }

    /// The keys of its variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.fields.iter().flat_map(Template::keys)
    }
}

/// The six fields of `text`, whose first is `arn`. A colon in a variable's name ends no field.
fn fields(text: &str, variables: Variables) -> Option<Vec<&str>> {
    let mut fields = Vec::with_capacity(FIELDS_COUNT);
    let mut rest = text;
    let mut scanned = 0;
    while fields.len() < FIELDS_COUNT - 1 {
        let at = scanned + rest[scanned..].find([':', '$'])?;
        let is_variable = variables == Variables::Known && rest[at..].starts_with("${");
        if rest[at..].starts_with(':') {
            fields.push(&rest[..at]);
            rest = &rest[at + 1..];
            scanned = 0;
        } else if is_variable {
            scanned = at + rest[at..].find('}')?;
        } else {
            scanned = at + 1;
        }
    }
    fields.push(rest);
    (fields[0] == "arn").then_some(fields)
}
