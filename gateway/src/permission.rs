//! Whether a caller may do what they ask: one pure decision, made in the same place for every path.
//!
//! Today every user is `full` in their own account and nobody has anything in another's: a bucket is open to
//! the users of the account that made it. Levels, policies, ACLs and grants decide here too once they exist.
//! The answer depends on the arguments alone, so a hit in a cache is decided exactly as the owning region would.

use origin::head::Facts;
use s3s::{S3Result, s3_error};

use crate::identity::{Level, User};
use crate::target::Operation;

/// What an operation is about, and so whose word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandsOn {
    /// A browser's question about CORS, which never carries credentials: it reveals only CORS rules.
    Nothing,
    /// The caller's own account.
    Account,
    /// A bucket, whose owner decides.
    Bucket,
}

impl StandsOn {
    /// A bucket is the default, as the strictest: an operation that is new here is refused, never open.
    const fn of(operation: Operation) -> Self {
        match operation {
            Operation::PreflightRequest => Self::Nothing,
            Operation::ListBuckets | Operation::ListDirectoryBuckets | Operation::CreateBucket => {
                Self::Account
            }
            _ => Self::Bucket,
        }
    }
}

/// Decides whether `caller` (`None`: anonymous) may do `operation`. `facts` are those of the bucket it is about;
/// `None` means that there is no such bucket, which a caller who is somebody may know: the store answers
/// `NoSuchBucket`. A copy is decided twice: as itself on its target, and as `GetObject` on its source.
///
/// # Errors
/// `AccessDenied`.
pub fn authorize(caller: Option<&User>, operation: Operation, facts: Option<&Facts>) -> S3Result<()> {
    let stands = StandsOn::of(operation);
    if stands == StandsOn::Nothing {
        return Ok(());
    }
    let caller = caller.ok_or_else(|| s3_error!(AccessDenied, "Access Denied"))?;
    let within_level = match caller.level {
        Level::Full => true,
        Level::Read | Level::Write | Level::ReadWrite => false,
    };
    let within_account = match (stands, facts) {
        (StandsOn::Bucket, Some(facts)) => facts.owner == caller.account.name,
        (StandsOn::Bucket, None) | (StandsOn::Account | StandsOn::Nothing, _) => true,
    };
    if within_level && within_account { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied")) }
}

#[cfg(test)]
mod tests {
    use origin::acl::Owner;
    use origin::instance::Instance;
    use s3s::S3ErrorCode;

    use super::*;
    use crate::identity::Account;

    fn user_of(account: &str) -> User {
        User {
            name: "somebody".into(),
            account: Account {
                name: account.into(),
                canonical_id: "ab".repeat(32),
                display_name: String::new(),
            },
            display_name: String::new(),
            email: String::new(),
            level: Level::Full,
            access_key: "PKSOMEBODY".into(),
            default_region: None,
            is_disabled: false,
            grants: Vec::new(),
        }
    }

    fn bucket_of(account: &str) -> Facts {
        let id = Instance::from_bytes([7; 16]);
        Facts::new(id, id, account, Owner { id: "cd".repeat(32), display_name: account.into() })
    }

    fn allows(caller: Option<&User>, operation: Operation, facts: Option<&Facts>) -> bool {
        match authorize(caller, operation, facts) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(*error.code(), S3ErrorCode::AccessDenied);
                false
            }
        }
    }

    #[test]
    fn nothing_but_a_preflight_is_open_to_anonymous_callers() {
        for &operation in Operation::ALL {
            for facts in [None, Some(&bucket_of("research"))] {
                assert_eq!(
                    allows(None, operation, facts),
                    operation == Operation::PreflightRequest,
                    "{operation}"
                );
            }
        }
    }

    #[test]
    fn the_owner_may_do_everything_and_everything_asked_of_a_missing_bucket_reaches_the_store() {
        let user = user_of("research");
        for &operation in Operation::ALL {
            assert!(allows(Some(&user), operation, Some(&bucket_of("research"))), "{operation}");
            assert!(allows(Some(&user), operation, None), "{operation}");
        }
    }

    #[test]
    fn another_account_may_only_ask_for_what_stands_on_no_bucket() {
        use Operation::{CreateBucket, ListBuckets, ListDirectoryBuckets, PreflightRequest};
        let open = [CreateBucket, ListBuckets, ListDirectoryBuckets, PreflightRequest];
        let user = user_of("research");
        // The nearest wrong neighbours of an account's name: other case, a prefix of it, it as a prefix, nothing.
        for owner in ["Research", "researc", "research2", ""] {
            for &operation in Operation::ALL {
                let allowed = allows(Some(&user), operation, Some(&bucket_of(owner)));
                assert_eq!(allowed, open.contains(&operation), "{operation} in a bucket of {owner:?}");
            }
        }
    }
}
