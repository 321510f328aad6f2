//! The policy of a form: until when, with which fields and of which size somebody may be sent a file ("Creating a POST
//! policy" in the S3 API reference). Parsed whole, and held against the whole form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::S3ErrorCode;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Form;
use crate::refusal::Refusal;

/// How many bytes a file may have: both are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Sizes {
    /// Every size.
    pub const ANY: Self = Self { min: 0, max: u64::MAX };

    /// Whether a file of which `bytes` have come is not too large yet.
    ///
    /// # Errors
    /// `EntityTooLarge`.
    pub(super) fn verify_at_most(self, bytes: u64) -> Result<(), Refusal> {
        match bytes <= self.max {
            true => Ok(()),
            false => Err(Refusal::from(S3ErrorCode::EntityTooLarge)
                .with_detail("ProposedSize", bytes.to_string())
                .with_detail("MaxSizeAllowed", self.max.to_string())),
        }
    }

    /// Whether a whole file of `bytes` is large enough.
    ///
    /// # Errors
    /// `EntityTooSmall`.
    pub(super) fn verify_at_least(self, bytes: u64) -> Result<(), Refusal> {
        match bytes >= self.min {
            true => Ok(()),
            false => Err(Refusal::from(S3ErrorCode::EntityTooSmall)
                .with_detail("ProposedSize", bytes.to_string())
                .with_detail("MinSizeAllowed", self.min.to_string())),
        }
    }
}

/// What the signer of a form allows.
pub struct Policy {
    expiration: OffsetDateTime,
    conditions: Vec<Condition>,
    sizes: Sizes,
}

/// What one field must be; its name is in lower case.
enum Condition {
    Equals { field: String, value: String },
    StartsWith { field: String, prefix: String },
}

/// The document, before its conditions are understood.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

impl Policy {
    /// The policy in the form's field, as it was signed.
    ///
    /// # Errors
    /// `InvalidPolicyDocument` for one that is not understood in full.
    pub fn parse(encoded: &str) -> Result<Self, Refusal> {
        let json = BASE64.decode(encoded).map_err(|_| invalid("it is not base64"))?;
        let document: Document = serde_json::from_slice(&json)
            .map_err(|_| invalid("it is not JSON of expiration and conditions"))?;
        let mut policy =
            Self { expiration: moment(&document.expiration)?, conditions: Vec::new(), sizes: Sizes::ANY };
        for condition in &document.conditions {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    /// Whether `form`, sent to `bucket` at the moment `now`, is one that the policy allows, and which files it may bring.
    ///
    /// # Errors
    /// `AccessDenied` after the expiration, when a condition is not met, and for a field that no condition is about.
    pub fn verify(&self, form: &Form, bucket: &str, now: OffsetDateTime) -> Result<Sizes, Refusal> {
        if now >= self.expiration {
            return Err(denied("Policy expired."));
        }
        // The URL says which bucket it is, in a form or not.
        let value = |field: &str| if field == "bucket" { Some(bucket) } else { form.get(field) };
        if let Some(unmet) =
            self.conditions.iter().find(|condition| !condition.is_met(value(condition.field())))
        {
            return Err(denied(&format!("Policy Condition failed: {}", unmet.shown())));
        }
        let is_about = |field: &str| self.conditions.iter().any(|condition| condition.field() == field);
        let fields = form.iter().map(|(name, _)| name).chain(["bucket"]);
        let extra: Vec<&str> =
            fields.filter(|field| !needs_no_condition(field) && !is_about(field)).collect();
        match extra.is_empty() {
            true => Ok(self.sizes),
            false => Err(denied(&format!("Extra input fields: {}", extra.join(", ")))),
        }
    }

    fn add(&mut self, condition: &Value) -> Result<(), Refusal> {
        let understood = match condition {
            Value::Object(pairs) if pairs.len() == 1 => {
                let pair = pairs.iter().next().and_then(|(field, value)| Some((field, value.as_str()?)));
                pair.map(|(field, value)| self.conditions.push(Condition::equals(field, value)))
            }
            Value::Array(parts) => match &parts[..] {
                [Value::String(operator), Value::String(field), Value::String(value)] => {
                    let condition = Condition::parse(operator, field, value);
                    condition.map(|condition| self.conditions.push(condition))
                }
                [Value::String(operator), Value::Number(min), Value::Number(max)]
                    if operator.eq_ignore_ascii_case("content-length-range") =>
                {
                    // Of several the narrowest counts.
                    min.as_u64().zip(max.as_u64()).map(|(min, max)| {
                        self.sizes = Sizes { min: min.max(self.sizes.min), max: max.min(self.sizes.max) };
                    })
                }
                _ => None,
            },
            _ => None,
        };
        understood.ok_or_else(|| invalid(&format!("the condition {condition} is not understood")))
    }
}

impl Condition {
    fn equals(field: &str, value: &str) -> Self {
        Self::Equals { field: field.to_ascii_lowercase(), value: value.to_owned() }
    }

    /// `["eq", "$field", "value"]` and its kind.
    fn parse(operator: &str, field: &str, value: &str) -> Option<Self> {
        let field = field.strip_prefix('$')?.to_ascii_lowercase();
        let value = value.to_owned();
        match operator.to_ascii_lowercase().as_str() {
            "eq" => Some(Self::Equals { field, value }),
            "starts-with" => Some(Self::StartsWith { field, prefix: value }),
            _ => None,
        }
    }

    fn field(&self) -> &str {
        match self {
            Self::Equals { field, .. } | Self::StartsWith { field, .. } => field,
        }
    }

    /// Whether a field of `value` meets it; one that is not there meets none.
    fn is_met(&self, value: Option<&str>) -> bool {
        match self {
            Self::Equals { value: expected, .. } => value == Some(expected),
            // A list of content types begins like this in each of its members.
            Self::StartsWith { field, prefix } if field == "content-type" => value.is_some_and(|value| {
                value.split(',').all(|each| each.trim_start().starts_with(prefix.as_str()))
            }),
            Self::StartsWith { prefix, .. } => value.is_some_and(|value| value.starts_with(prefix.as_str())),
        }
    }

    /// As S3 shows it in a refusal.
    fn shown(&self) -> String {
        let (operator, field, value) = match self {
            Self::Equals { field, value } => ("eq", field, value),
            Self::StartsWith { field, prefix } => ("starts-with", field, prefix),
        };
        Value::from(vec![operator.to_owned(), format!("${field}"), value.clone()]).to_string()
    }
}

/// Fields that a policy need not speak of: itself, its signature, what S3 ignores, and sums of the file, which can only
/// have it refused.
fn needs_no_condition(field: &str) -> bool {
    const NAMES: [&str; 4] = ["awsaccesskeyid", "policy", "signature", "x-amz-signature"];
    NAMES.contains(&field) || field.starts_with("x-ignore-") || field.starts_with("x-amz-checksum-")
}

/// `2026-01-02T03:04:05Z`, with or without fractions of a second.
fn moment(text: &str) -> Result<OffsetDateTime, Refusal> {
    let is_utc = text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| is_utc);
    moment.ok_or_else(|| invalid("its expiration is not YYYY-MM-DDTHH:MM:SSZ"))
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(S3ErrorCode::InvalidPolicyDocument, format!("Invalid Policy: {why}."))
}

fn denied(why: &str) -> Refusal {
    Refusal::new(S3ErrorCode::AccessDenied, format!("Invalid according to Policy: {why}"))
}

#[cfg(test)]
mod tests;
