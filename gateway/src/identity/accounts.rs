//! Accounts, as ACLs name them: by canonical id or by e-mail address.
//!
//! An account exists by having users. Its display name is that of its first user, and every user of the account
//! carries it from then on; it is reached by the e-mail address of any of its users. Home keeps an index of its
//! table in memory, which follows every change before the change is answered; other regions ask home.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use origin::Directory;
use origin::acl::Owner;
use s3s::S3Result;

use super::User;
use crate::coherence::scope::{Account, Subject};
use crate::coherence::{Follower, Kept, Use};
use crate::peer::AskError;
use crate::peer::messages::AccountAsk;

/// An address that more accounts than this share is ambiguous all the same.
const ACCOUNTS_OF_ONE_EMAIL_MAX: usize = 2;

/// The accounts of the table at home.
#[derive(Default)]
pub struct Accounts(RwLock<Index>);

#[derive(Default)]
struct Index {
    by_id: HashMap<String, Owner>,
    /// Accounts by an address in lower case, each account once, in the order of their ids.
    by_email: HashMap<String, BTreeMap<String, Owner>>,
}

impl Index {
    fn of<'a>(users: impl IntoIterator<Item = &'a User>) -> Self {
        let mut index = Self::default();
        for user in users {
            let account = &user.account;
            let owner =
                Owner { id: account.canonical_id.clone(), display_name: account.display_name.clone() };
            let owner = index.by_id.entry(owner.id.clone()).or_insert(owner).clone();
            if !user.email.is_empty() {
                let accounts = index.by_email.entry(user.email.to_ascii_lowercase()).or_default();
                accounts.insert(owner.id.clone(), owner);
            }
        }
        index
    }
}

impl Accounts {
    /// Takes the accounts of `users`, all of them, in place of what it knew.
    pub(crate) fn replace<'a>(&self, users: impl IntoIterator<Item = &'a User>) {
        let index = Index::of(users);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// The accounts that `ask` is about; of those that share an address, as many as make it ambiguous.
    #[must_use]
    pub fn find(&self, ask: &AccountAsk) -> Vec<Owner> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match ask {
            AccountAsk::Id(id) => index.by_id.get(id).cloned().into_iter().collect(),
            AccountAsk::Email(email) => {
                let accounts = index.by_email.get(&email.to_ascii_lowercase());
                accounts
                    .map(|accounts| accounts.values().take(ACCOUNTS_OF_ONE_EMAIL_MAX).cloned().collect())
                    .unwrap_or_default()
            }
        }
    }
}

#[async_trait]
impl Directory for Accounts {
    async fn by_id(&self, canonical_id: &str) -> S3Result<Option<Owner>> {
        Ok(self.find(&AccountAsk::Id(canonical_id.to_owned())).pop())
    }

    async fn by_email(&self, email: &str) -> S3Result<Vec<Owner>> {
        Ok(self.find(&AccountAsk::Email(email.to_owned())))
    }
}

/// The accounts as other regions find them: by asking home, each time.
pub struct AccountsFromHome(Arc<Follower>);

impl AccountsFromHome {
    /// The accounts of the region that `home` follows.
    pub(crate) fn new(home: Arc<Follower>) -> Self {
        Self(home)
    }

    async fn find(&self, account: Account) -> S3Result<Vec<Owner>> {
        match self.0.find(Subject::Account(account), Use::AskOnly).await?.value {
            Some(Kept::Accounts(accounts)) => Ok(accounts.to_vec()),
            _ => Err(AskError::Malformed("no accounts in the answer about some".to_owned()).into()),
        }
    }
}

#[async_trait]
impl Directory for AccountsFromHome {
    async fn by_id(&self, canonical_id: &str) -> S3Result<Option<Owner>> {
        Ok(self.find(Account::Id(canonical_id.into())).await?.pop())
    }

    async fn by_email(&self, email: &str) -> S3Result<Vec<Owner>> {
        self.find(Account::Email(email.into())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Account;
    use crate::test_user::alice;

    fn user(account: &str, name: &str, email: &str) -> User {
        User {
            name: name.into(),
            account: Account {
                name: account.into(),
                canonical_id: format!("id of {account}"),
                display_name: format!("The {account}"),
            },
            display_name: name.into(),
            email: email.into(),
            access_key: format!("PK{name}"),
            ..alice()
        }
    }

    fn names(accounts: &Accounts, email: &str) -> Vec<String> {
        let found = accounts.find(&AccountAsk::Email(email.into()));
        found.into_iter().map(|owner| owner.display_name).collect()
    }

    #[tokio::test]
    async fn an_account_is_found_by_its_id_and_by_the_address_of_any_of_its_users() {
        let accounts = Accounts::default();
        accounts.replace(&[
            user("research", "alice", "alice@example.com"),
            user("research", "bob", "Bob@example.com"),
            user("video", "carol", ""),
        ]);
        let owner = accounts.by_id("id of research").await.expect("asked").expect("known");
        assert_eq!(owner.display_name, "The research");
        assert_eq!(accounts.by_id("id of nobody").await.expect("asked"), None);
        assert_eq!(names(&accounts, "alice@example.com"), ["The research"]);
        assert_eq!(names(&accounts, "bob@EXAMPLE.com"), ["The research"]);
        assert_eq!(names(&accounts, ""), [""; 0], "no address is nobody's");
        assert_eq!(names(&accounts, "alice@example.co"), [""; 0]);
    }

    #[test]
    fn an_address_is_ambiguous_across_accounts_and_not_within_one() {
        let accounts = Accounts::default();
        let same = "all@example.com";
        accounts.replace(&[user("a", "x", same), user("a", "y", same)]);
        assert_eq!(names(&accounts, same), ["The a"]);
        accounts.replace(&[user("a", "x", same), user("b", "x", same), user("c", "x", same)]);
        assert_eq!(names(&accounts, same).len(), 2);
        accounts.replace(&[]);
        assert_eq!(names(&accounts, same), [""; 0]);
    }
}
