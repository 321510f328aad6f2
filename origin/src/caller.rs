//! Who is asking: the account and the user behind a request, as the operations need to know them.

use http::Extensions;
use s3s::{S3Result, s3_error};

/// The authenticated caller of one request.
///
/// The gateway puts it among the request's extensions once signature and permission have been checked; an
/// operation that finds none answers `AccessDenied`, so that no way around the gateway's door serves anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account the user belongs to; what it makes is owned by this account.
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
    /// The caller of the request that has these extensions.
    ///
    /// # Errors
    /// `AccessDenied` when nobody has been authenticated.
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
}
