//! What a statement is about: `Resource` and `NotResource`, patterns over one bucket and its objects.

use super::json::Json;
use super::key::Key;
use super::steps::Steps;
use super::template::{Resolve, Template, Variables, Wildcards};
use super::{Effect, Malformed};

/// How the name of every bucket and object begins.
const ARN: &str = "arn:aws:s3:::";

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resources {
    /// Over `bucket` and `bucket/key`.
    patterns: Vec<Template>,
    /// `NotResource`: everything but these.
    is_negated: bool,
}

/// What of a bucket the patterns of a statement reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The bucket itself.
    pub(super) bucket: bool,
    /// Objects in it.
    pub(super) objects: bool,
}

impl Resources {
    /// Those of `Resource` or, `is_negated`, of `NotResource`.
    ///
    /// # Errors
    /// In S3's words for what is no resource of S3, or with a `bucket`, for what cannot be that bucket or in it.
    pub(super) fn parse(
        value: &Json,
        is_negated: bool,
        variables: Variables,
        bucket: Option<&str>,
    ) -> Result<Self, Malformed> {
        let patterns = value.each(|value| {
            let pattern = parse(value.text()?, variables)?;
            match bucket {
                Some(bucket) if !reach(&pattern, bucket).anything() => {
                    Err(invalid(format!("it is not about the bucket {bucket:?}")))
                }
                _ => Ok(pattern),
            }
        })?;
        match patterns.is_empty() {
            true => Err(invalid("it names none")),
            false => Ok(Self { patterns, is_negated }),
        }
    }

    /// Whether a statement of this effect is about `resource`, the full name of a bucket or an object.
    pub(super) fn include(&self, resource: &str, effect: Effect, resolve: &Resolve<'_>) -> bool {
        let name = resource.strip_prefix(ARN).unwrap_or(resource);
        let is_resolved = || self.patterns.iter().all(|pattern| pattern.is_resolved(resolve));
        if self.is_negated && effect == Effect::Allow && !is_resolved() {
            return false;
        }
        self.patterns.iter().any(|pattern| pattern.matches(name, resolve)) != self.is_negated
    }

    /// What of `bucket` the statement could be about.
    pub(super) fn reach(&self, bucket: &str) -> Reach {
        // What is left by patterns with variables and wildcards is not worth working out.
        if self.is_negated {
            return Reach { bucket: true, objects: true };
        }
        let each = self.patterns.iter().map(|pattern| reach(pattern, bucket));
        each.fold(Reach { bucket: false, objects: false }, |all, one| Reach {
            bucket: all.bucket || one.bucket,
            objects: all.objects || one.objects,
        })
    }

    /// The keys of the variables in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.patterns.iter().flat_map(Template::keys)
    }
}

impl Reach {
    fn anything(self) -> bool {
        self.bucket || self.objects
    }
}

/// The part of an ARN after its account; wildcards may stand for the empty region and account.
fn parse(text: &str, variables: Variables) -> Result<Template, Malformed> {
    let name = match text {
        "*" => "*",
        _ => arn_name(text).ok_or_else(|| invalid(format!("{text:?} is no bucket or object")))?,
    };
    Template::parse(name, variables, Wildcards::Yes).map_err(invalid)
}

fn arn_name(text: &str) -> Option<&str> {
    let mut fields = text.splitn(6, ':');
    let has_head = ["arn", "aws", "s3"].iter().all(|expected| fields.next() == Some(expected));
    let is_nothing = |field: &str| field.bytes().all(|byte| byte == b'*');
    let has_middle = [fields.next()?, fields.next()?].into_iter().all(is_nothing);
    fields.next().filter(|name| has_head && has_middle && !name.is_empty())
}

fn reach(pattern: &Template, bucket: &str) -> Reach {
    let outline = pattern.outline();
    Reach {
        bucket: outline.matches(bucket, &Steps::unlimited()),
        objects: outline.may_begin_with(&format!("{bucket}/")),
    }
}

fn invalid(why: impl Into<String>) -> Malformed {
    Malformed::new("Policy has invalid resource", why)
}
