//! Who is asking: the account and the user behind a request, as the operations need to know them.

use http::Extensions;
use s3s::{S3Result, s3_error};

use crate::acl::Owner;

/// The canonical id that S3 shows for what anonymous callers have written.
const ANONYMOUS_ID: &str = "65a011a29cdf8ec533ec3d1ccaae921c";

/// The caller of one request: a user, or nobody in particular.
///
/// The gateway puts it among the request's extensions once signature and permission have been checked; an
/// operation that finds none answers `AccessDenied`, so that no way around the gateway's door serves anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account the user belongs to; what it makes is owned by this account. Empty for anonymous callers: no
    /// account is named so.
    pub account: String,
    /// The account's canonical id, as owners are shown in listings.
    pub canonical_id: String,
    /// The account's display name, as owners are shown in listings.
    pub display_name: String,
    /// The account's e-mail address, by which ACLs may name it.
    pub email: String,
    /// The user's own name.
    pub name: String,
}

impl Caller {
    /// Whoever has not said who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            account: String::new(),
            canonical_id: ANONYMOUS_ID.to_owned(),
            display_name: "anonymous".to_owned(),
            email: String::new(),
            name: String::new(),
        }
    }

    /// Whether nobody has been authenticated.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.account.is_empty()
    }

    /// The account as the owner of what it makes.
    #[must_use]
    pub fn as_owner(&self) -> Owner {
        Owner { id: self.canonical_id.clone(), display_name: self.display_name.clone() }
    }

    /// The caller as a user of an account, for what only accounts can do.
    ///
    /// # Errors
    /// `AccessDenied` for anonymous callers.
    pub fn user_of(extensions: &Extensions) -> S3Result<&Self> {
        match Self::of(extensions)? {
            anonymous if anonymous.is_anonymous() => Err(s3_error!(AccessDenied, "Access Denied")),
            user => Ok(user),
        }
    }

    /// The caller of the request that has these extensions.
    ///
    /// # Errors
    /// `AccessDenied` when nobody has been let in.
    pub fn of(extensions: &Extensions) -> S3Result<&Self> {
        extensions.get().ok_or_else(|| s3_error!(AccessDenied, "Access Denied"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_caller_is_refused() {
        let refused = Caller::of(&Extensions::new()).expect_err("no caller");
        assert_eq!(refused.code(), &s3s::S3ErrorCode::AccessDenied);
    }

    #[test]
    fn an_anonymous_caller_is_no_user() {
        let mut extensions = Extensions::new();
        extensions.insert(Caller::anonymous());
        assert!(Caller::of(&extensions).expect("let in").is_anonymous());
        assert!(Caller::user_of(&extensions).is_err());
        extensions.insert(Caller { account: "research".into(), ..Caller::anonymous() });
        assert!(Caller::user_of(&extensions).is_ok());
    }
}
