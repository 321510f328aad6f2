//! Whom a statement is about: `Principal` and `NotPrincipal`, and the callers they name.
//!
//! ops/decisions/2026-11-22-principals-of-bucket-policies.md says what each spelling means here, where accounts have
//! names.

use std::borrow::Cow;

use super::Malformed;
use super::json::Json;

/// `aws:userid` of nobody in particular.
pub(super) const ANONYMOUS_USER_ID: &str = "anonymous";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Nobody in particular: the request is not signed.
    Anonymous,
    /// A user of an account.
    User {
        /// The account's name.
        account: &'a str,
        /// The account's canonical id, 64 hex digits.
        account_id: &'a str,
        /// The user's name, unique within the account.
        name: &'a str,
    },
}

impl<'a> Principal<'a> {
    /// `aws:PrincipalType`.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Anonymous => "Anonymous",
            Self::User { .. } => "User",
        }
    }

    /// `aws:username`, which nobody in particular has not.
    pub(super) fn user_name(self) -> Option<&'a str> {
        match self {
            Self::Anonymous => None,
            Self::User { name, .. } => Some(name),
        }
    }

    /// `aws:userid`: `<canonical id>:<name>`, which no user of another account has.
    pub(super) fn user_id(self) -> Cow<'static, str> {
        match self {
            Self::Anonymous => Cow::Borrowed(ANONYMOUS_USER_ID),
            Self::User { account_id, name, .. } => Cow::Owned(format!("{account_id}:{name}")),
        }
    }
}

/// Whom a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principals {
    named: Vec<Named>,
    /// `NotPrincipal`: everybody but the named.
    is_negated: bool,
}

/// One entry of `Principal`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    /// `*`: signed or not.
    Everyone,
    /// Every user of the account of this name or canonical id.
    Account(String),
    /// Every user of the account of this canonical id.
    CanonicalUser(String),
    /// One user of the account of this name or canonical id.
    User { account: String, name: String },
    /// `arn:aws:iam:::user/<name>`: the user of this name of the account that owns the bucket, or every user of the
    /// account of this name or canonical id.
    OwnUserOrAccount(String),
}

impl Principals {
    /// Those of `Principal` or, `is_negated`, of `NotPrincipal`.
    ///
    /// # Errors
    /// In S3's words for what names nobody.
    pub(super) fn parse(value: &Json, is_negated: bool) -> Result<Self, Malformed> {
        let mut named = Vec::new();
        match value {
            Json::Text(text) if text == "*" => named.push(Named::Everyone),
            Json::Object(_) => {
                for (kind, names) in value.members()? {
                    let parse = match kind.as_str() {
                        "AWS" => Named::aws,
                        "CanonicalUser" => Named::canonical_user,
                        _ => return Err(invalid("only AWS and CanonicalUser are known here").inside(kind)),
                    };
                    let parsed = names.each(|name| parse(name.text()?)).map_err(|e| e.inside(kind))?;
                    named.extend(parsed);
                }
            }
            _ => return Err(invalid("it is neither \"*\" nor an object")),
        }
        match named.is_empty() {
            true => Err(invalid("it names nobody")),
            false => Ok(Self { named, is_negated }),
        }
    }

    /// Whether the statement of a bucket of the account `owner` is about this caller.
    pub(super) fn include(&self, principal: Principal<'_>, owner: &str) -> bool {
        self.named.iter().any(|named| named.is(principal, owner)) != self.is_negated
    }

    /// Whether the statement is about whoever asks.
    pub(super) fn are_everyone(&self) -> bool {
        self.is_negated || self.named.contains(&Named::Everyone)
    }
}

impl Named {
    fn aws(text: &str) -> Result<Self, Malformed> {
        if text == "*" {
            return Ok(Self::Everyone);
        }
        if !text.starts_with("arn:") {
            return match is_name(text) {
                true => Ok(Self::Account(text.to_owned())),
                false => Err(nobody(text)),
            };
        }
        let account_and_user = text.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(':'));
        let (account, user) = account_and_user.ok_or_else(|| nobody(text))?;
        let name = user.strip_prefix("user/").filter(|name| is_name(name)).map(str::to_owned);
        match (account, name) {
            ("", Some(name)) => Ok(Self::OwnUserOrAccount(name)),
            (account, Some(name)) if is_name(account) => Ok(Self::User { account: account.to_owned(), name }),
            (account, None) if is_name(account) && user == "root" => Ok(Self::Account(account.to_owned())),
            _ => Err(nobody(text)),
        }
    }

    fn canonical_user(text: &str) -> Result<Self, Malformed> {
        let is_id = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match is_id {
            true => Ok(Self::CanonicalUser(text.to_owned())),
            false => Err(nobody(text)),
        }
    }

    fn is(&self, principal: Principal<'_>, owner: &str) -> bool {
        let Principal::User { account, account_id, name } = principal else { return *self == Self::Everyone };
        let is_account = |named: &str| named == account || named == account_id;
        match self {
            Self::Everyone => true,
            Self::Account(named) => is_account(named),
            Self::CanonicalUser(id) => id == account_id,
            Self::User { account: named, name: user } => is_account(named) && user == name,
            Self::OwnUserOrAccount(named) => is_account(named) || (named == name && account == owner),
        }
    }
}

/// The characters that users and accounts have in their names.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
}

fn nobody(text: &str) -> Malformed {
    invalid(format!("{text:?} names nobody"))
}

fn invalid(why: impl Into<String>) -> Malformed {
    Malformed::new("Invalid principal in policy", why)
}
