//! The table of users, at home: making, finding and changing them.
//!
//! A user has a row for each of their key pairs, of which there are two during a rotation, and each row holds all of
//! the user: whoever looks up an access key reads one row. A change writes all rows of a user in one commit, so that no
//! lookup sees half of it, and is answered after that commit: the next lookup anywhere finds it done.

use std::collections::BTreeMap;
use std::sync::Arc;

use origin::instance::Instance;
use origin::regional::{RegionalStore, UserRow};
use ring::digest::{SHA256, digest};
use s3s::S3Error;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};
use tracing::error;

use super::cluster_key::random;
use super::{Account, Accounts, BucketGrant, ClusterKeys, KeyPair, Level, StoredUser, StoredUserError, User};

/// Longest name of a user or an account: IAM's own limit on user names.
const NAME_BYTES_MAX: usize = 64;

/// Longest display name. It stands in every listing of the account's objects.
const DISPLAY_NAME_BYTES_MAX: usize = 128;

/// Longest e-mail address (RFC 5321 §4.5.3.1.3, without its brackets).
const EMAIL_BYTES_MAX: usize = 254;

/// Most grants of one user: they travel with every lookup.
pub const GRANTS_MAX: usize = 100;

/// Most key pairs of one user that are good at one time.
const KEY_PAIRS_MAX: usize = 2;

/// Who is to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Unique within the account: 1 to 64 of the characters that IAM allows.
    pub name: String,
    /// The account, which exists by having users.
    pub account: String,
    /// The most the user may do.
    pub level: Level,
    /// A pair that the user has already; `None` makes one.
    pub key_pair: Option<KeyPair>,
    /// The user's name for people, and the account's if this is its first user; `None` is the user's name.
    pub display_name: Option<String>,
    /// Where ACLs may find the user's account; empty for nowhere.
    pub email: String,
    /// The region whose endpoints the user is given.
    pub default_region: Option<String>,
    /// Buckets beside the account's, each found at its region.
    pub grants: Vec<BucketGrant>,
}

impl NewUser {
    /// A `full` user of `account` with nothing special.
    #[must_use]
    pub fn full(name: impl Into<String>, account: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            account: account.into(),
            level: Level::Full,
            key_pair: None,
            display_name: None,
            email: String::new(),
            default_region: None,
            grants: Vec::new(),
        }
    }
}

/// Which user is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserName {
    /// The user's name.
    pub name: String,
    /// The account; needed where several have a user of this name.
    #[serde(default)]
    pub account: Option<String>,
}

/// What a rotation does with the key pair that was good before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldKeys {
    /// It is refused as soon as the rotation is answered.
    Drop,
    /// It stays good beside the new one until the rotation is finished.
    Keep,
}

/// One user of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The user, with the newest access key.
    pub user: User,
    /// All access keys that are good, the newest first: one, or two during a rotation.
    pub access_keys: Vec<String>,
}

/// Why nothing was changed or found.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A name that IAM would refuse too.
    #[error("{0:?} is not a name: 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 + = , . @ _ -")]
    Name(String),
    /// A display name that would not fit a listing.
    #[error("{0:?} is not a display name: 1 to {DISPLAY_NAME_BYTES_MAX} bytes, no control characters")]
    DisplayName(String),
    /// Not an e-mail address.
    #[error("{0:?} is not an e-mail address")]
    Email(String),
    /// More grants than a user may have.
    #[error("a user has at most {GRANTS_MAX} grants")]
    Grants,
    /// The account has a user of this name.
    #[error("account {account} has a user {name} already")]
    Exists {
        /// The account.
        account: String,
        /// The user.
        name: String,
    },
    /// Somebody has this access key.
    #[error("access key {0} is taken")]
    AccessKeyTaken(String),
    /// There is no such user.
    #[error("there is no user {0}")]
    Unknown(String),
    /// Several accounts have one.
    #[error("several accounts have a user {name}: {accounts}; say which with --account")]
    Ambiguous {
        /// The name.
        name: String,
        /// The accounts, listed.
        accounts: String,
    },
    /// There is no place for one more key pair.
    #[error("{0} has two key pairs already: finish the rotation first")]
    RotationUnderWay(String),
    /// There is nothing to finish.
    #[error("{0} has one key pair: no rotation is under way")]
    NoRotation(String),
    /// The store could not read or write.
    #[error("store: {}", .0.message().unwrap_or(.0.code().as_str()))]
    Store(S3Error),
    /// A stored user cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredUserError),
    /// Whoever gave the command is not the user that they were.
    #[error("the access key that signed this command is good no longer, or its user has changed")]
    GiverChanged,
}

/// The table of users, in the home region's store.
#[derive(Clone)]
pub struct Users {
    store: RegionalStore,
    keys: Arc<ClusterKeys>,
    accounts: Arc<Accounts>,
    /// One change at a time: what it stands on is read before it is written.
    changing: Arc<Mutex<()>>,
    /// The user of the table for whom this is done; `None` for whoever needs no user.
    giver: Option<Arc<User>>,
}

/// All rows of the table, by account and name; those of one user with the newest key pair first, and never none.
struct Table(BTreeMap<(String, String), Vec<StoredUser>>);

impl Users {
    /// The users in `store`, the home region's, with secrets sealed by `keys`; `accounts` follows them from now on.
    ///
    /// # Errors
    /// `Store` or `Stored`.
    pub async fn open(
        store: RegionalStore,
        keys: Arc<ClusterKeys>,
        accounts: Arc<Accounts>,
    ) -> Result<Self, UsersError> {
        let users = Self { store, keys, accounts, changing: Arc::default(), giver: None };
        let table = users.read().await?;
        users.accounts.replace(table.users());
        Ok(users)
    }

    /// The same table for a command of `giver`: nothing is found or changed for them unless they are in it as they are here.
    /// A command may have waited long, and its giver be gone.
    #[must_use]
    pub fn on_behalf_of(&self, giver: Arc<User>) -> Self {
        Self { giver: Some(giver), ..self.clone() }
    }

    /// Makes a user. The pair is shown to whoever calls; afterwards only to who asks for [`Self::key_pairs`].
    ///
    /// # Errors
    /// [`UsersError`].
    pub async fn create(&self, new: NewUser) -> Result<(Listed, KeyPair), UsersError> {
        check(&new)?;
        let (_one_at_a_time, table) = self.begin().await?;
        if table.0.contains_key(&(new.account.clone(), new.name.clone())) {
            return Err(UsersError::Exists { account: new.account, name: new.name });
        }
        let key_pair = new.key_pair.unwrap_or_else(KeyPair::generate);
        table.check_free(key_pair.access_key())?;
        let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
        let account = table.account(&new.account).unwrap_or_else(|| Account {
            canonical_id: canonical_id(&new.account),
            display_name: display_name.clone(),
            name: new.account,
        });
        let user = User {
            name: new.name,
            account,
            display_name,
            email: new.email,
            level: new.level,
            access_key: key_pair.access_key().to_owned(),
            default_region: new.default_region,
            is_disabled: false,
            grants: new.grants,
            revision: new_revision(),
        };
        let rows = vec![StoredUser::seal(user, 1, key_pair.secret(), &self.keys)];
        let listed = listed(&rows);
        self.write(&rows, &[]).await?;
        Ok((listed, key_pair))
    }

    /// Every user, by account and name.
    ///
    /// # Errors
    /// `Store` or `Stored`.
    pub async fn list(&self) -> Result<Vec<Listed>, UsersError> {
        Ok(self.look().await?.0.values().map(|rows| listed(rows)).collect())
    }

    /// One user.
    ///
    /// # Errors
    /// `Unknown`, `Ambiguous`, `Store` or `Stored`.
    pub async fn find(&self, name: &UserName) -> Result<Listed, UsersError> {
        Ok(listed(&self.look().await?.take(name)?))
    }

    /// A user's key pairs, secrets and all, the newest first.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn key_pairs(&self, name: &UserName) -> Result<Vec<KeyPair>, UsersError> {
        let rows = self.look().await?.take(name)?;
        let opened = rows.into_iter().map(|row| {
            let credential = row.open(&self.keys)?;
            Ok(KeyPair::stored(credential.user.access_key.clone(), credential.secret))
        });
        opened.collect()
    }

    /// Gives a user a new key pair, `own` or one made here.
    ///
    /// # Errors
    /// `RotationUnderWay` when an old pair is to be kept and there are two, `AccessKeyTaken`, and as [`Self::find`].
    pub async fn rotate(
        &self,
        name: &UserName,
        old_keys: OldKeys,
        own: Option<KeyPair>,
    ) -> Result<(Listed, KeyPair), UsersError> {
        let (_one_at_a_time, mut table) = self.begin().await?;
        let key_pair = own.unwrap_or_else(KeyPair::generate);
        table.check_free(key_pair.access_key())?;
        let old = table.take(name)?;
        if old_keys == OldKeys::Keep && old.len() >= KEY_PAIRS_MAX {
            return Err(UsersError::RotationUnderWay(old[0].user.name.clone()));
        }
        let access_key = key_pair.access_key().to_owned();
        // A pair of one's own may come back, so the row is not as if it had always been there.
        let user = User { access_key, revision: new_revision(), ..old[0].user.clone() };
        let version = old[0].key_version.saturating_add(1);
        let new = StoredUser::seal(user, version, key_pair.secret(), &self.keys);
        let rows = match old_keys {
            OldKeys::Drop => {
                self.write(std::slice::from_ref(&new), &old).await?;
                vec![new]
            }
            OldKeys::Keep => {
                self.write(std::slice::from_ref(&new), &[]).await?;
                std::iter::once(new).chain(old).collect()
            }
        };
        Ok((listed(&rows), key_pair))
    }

    /// Drops all key pairs of a user but the newest.
    ///
    /// # Errors
    /// `NoRotation` when there is one, and as [`Self::find`].
    pub async fn finish_rotation(&self, name: &UserName) -> Result<Listed, UsersError> {
        let (_one_at_a_time, mut table) = self.begin().await?;
        let mut rows = table.take(name)?;
        let old = rows.split_off(1);
        if old.is_empty() {
            return Err(UsersError::NoRotation(rows[0].user.name.clone()));
        }
        self.write(&[], &old).await?;
        Ok(listed(&rows))
    }

    /// Keeps a user's keys and refuses them, or takes them again.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn set_disabled(&self, name: &UserName, is_disabled: bool) -> Result<Listed, UsersError> {
        self.change(name, |user| {
            user.is_disabled = is_disabled;
            Ok(())
        })
        .await
    }

    /// Changes a user's level, if one is given, and grants: those of the buckets in `granted` and `revoked` go (a bucket
    /// is a region and a name), then `granted` are added.
    ///
    /// # Errors
    /// `Grants` when there would be too many, and as [`Self::find`].
    pub async fn set_access(
        &self,
        name: &UserName,
        level: Option<Level>,
        granted: Vec<BucketGrant>,
        revoked: &[(String, String)],
    ) -> Result<Listed, UsersError> {
        self.change(name, |user| {
            let goes = |grant: &BucketGrant| {
                let is = |region: &str, bucket: &str| grant.region == region && grant.bucket == bucket;
                revoked.iter().any(|(region, bucket)| is(region, bucket))
                    || granted.iter().any(|granted| is(&granted.region, &granted.bucket))
            };
            user.grants.retain(|grant| !goes(grant));
            user.grants.extend(granted);
            user.level = level.unwrap_or(user.level);
            check_grants(&user.grants)
        })
        .await
    }

    /// Removes a user and their keys, and says who it was.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn delete(&self, name: &UserName) -> Result<Listed, UsersError> {
        let (_one_at_a_time, mut table) = self.begin().await?;
        let rows = table.take(name)?;
        self.write(&[], &rows).await?;
        Ok(listed(&rows))
    }

    /// Seals every secret that another cluster key sealed with the first one, and says how many there were.
    ///
    /// # Errors
    /// `Store`, or `Stored` when a secret does not open: then none was changed.
    pub async fn reseal(&self) -> Result<usize, UsersError> {
        let (_one_at_a_time, table) = self.begin().await?;
        let rows = table.0.into_values().flatten();
        let old = rows.filter(|row| !self.keys.is_newest(&row.secret.key_id));
        let resealed = old.map(|row| row.reseal(&self.keys)).collect::<Result<Vec<_>, _>>()?;
        self.write(&resealed, &[]).await?;
        Ok(resealed.len())
    }

    /// Changes all rows of a user as `change` says.
    async fn change(
        &self,
        name: &UserName,
        change: impl FnOnce(&mut User) -> Result<(), UsersError>,
    ) -> Result<Listed, UsersError> {
        let (_one_at_a_time, mut table) = self.begin().await?;
        let mut rows = table.take(name)?;
        let mut changed = rows[0].user.clone();
        change(&mut changed)?;
        changed.revision = new_revision();
        for row in &mut rows {
            let access_key = std::mem::take(&mut row.user.access_key);
            row.user = User { access_key, ..changed.clone() };
        }
        self.write(&rows, &[]).await?;
        Ok(listed(&rows))
    }

    /// The table that a change stands on, and the place of that change: there is no other until it is dropped.
    async fn begin(&self) -> Result<(MutexGuard<'_, ()>, Table), UsersError> {
        let one_at_a_time = self.changing.lock().await;
        Ok((one_at_a_time, self.look().await?))
    }

    /// The table, for whoever is in it, or needs not be.
    async fn look(&self) -> Result<Table, UsersError> {
        let table = self.read().await?;
        match &self.giver {
            Some(giver) if !table.has(giver) => Err(UsersError::GiverChanged),
            Some(_) | None => Ok(table),
        }
    }

    async fn read(&self) -> Result<Table, UsersError> {
        let mut table = BTreeMap::<_, Vec<StoredUser>>::new();
        for row in self.store.users().await.map_err(UsersError::Store)? {
            let stored = StoredUser::from_bytes(&row.access_key, &row.value)?;
            let name = (stored.user.account.name.clone(), stored.user.name.clone());
            table.entry(name).or_default().push(stored);
        }
        for rows in table.values_mut() {
            rows.sort_by_key(|row| std::cmp::Reverse(row.key_version));
        }
        Ok(Table(table))
    }

    /// Puts and removes rows in one commit, and has the accounts follow. A disk that fails between the two is told of by
    /// the log: the change is made.
    async fn write(&self, put: &[StoredUser], removed: &[StoredUser]) -> Result<(), UsersError> {
        let row = |stored: &StoredUser| UserRow {
            access_key: stored.user.access_key.clone(),
            value: stored.to_bytes(),
        };
        let removed = removed.iter().map(|stored| stored.user.access_key.clone()).collect();
        let put = put.iter().map(row).collect();
        self.store.change_users(put, removed).await.map_err(UsersError::Store)?;
        match self.read().await {
            Ok(table) => self.accounts.replace(table.users()),
            Err(cause) => error!(%cause, "accounts are as they were before the last change"),
        }
        Ok(())
    }
}

impl Table {
    fn users(&self) -> impl Iterator<Item = &User> {
        self.0.values().flatten().map(|row| &row.user)
    }

    /// Whether the user of this access key is the very same as `user`, of whom nothing has changed.
    fn has(&self, user: &User) -> bool {
        self.users().any(|row| row.access_key == user.access_key && row.revision == user.revision)
    }

    fn account(&self, name: &str) -> Option<Account> {
        self.users().map(|user| &user.account).find(|account| account.name == name).cloned()
    }

    fn check_free(&self, access_key: &str) -> Result<(), UsersError> {
        match self.users().any(|user| user.access_key == access_key) {
            true => Err(UsersError::AccessKeyTaken(access_key.to_owned())),
            false => Ok(()),
        }
    }

    /// The rows of the user that `name` means.
    fn take(&mut self, name: &UserName) -> Result<Vec<StoredUser>, UsersError> {
        let is_meant = |(account, user): &&(String, String)| {
            *user == name.name && name.account.as_ref().is_none_or(|meant| meant == account)
        };
        let meant: Vec<_> = self.0.keys().filter(is_meant).cloned().collect();
        match meant.as_slice() {
            [one] => Ok(self.0.remove(one).expect("it was among the keys")),
            [] => Err(UsersError::Unknown(match &name.account {
                Some(account) => format!("{} in account {account}", name.name),
                None => name.name.clone(),
            })),
            several => Err(UsersError::Ambiguous {
                name: name.name.clone(),
                accounts: several.iter().map(|(account, _)| account.as_str()).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

/// The user in `rows`, which are all of them, the newest first.
fn listed(rows: &[StoredUser]) -> Listed {
    Listed {
        user: rows[0].user.clone(),
        access_keys: rows.iter().map(|row| row.user.access_key.clone()).collect(),
    }
}

fn check(new: &NewUser) -> Result<(), UsersError> {
    for name in [&new.name, &new.account] {
        if !is_name(name) {
            return Err(UsersError::Name(name.clone()));
        }
    }
    if let Some(name) = &new.display_name
        && (!(1..=DISPLAY_NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control))
    {
        return Err(UsersError::DisplayName(name.clone()));
    }
    if !new.email.is_empty() && !is_email(&new.email) {
        return Err(UsersError::Email(new.email.clone()));
    }
    check_grants(&new.grants)
}

fn check_grants(grants: &[BucketGrant]) -> Result<(), UsersError> {
    if grants.len() > GRANTS_MAX { Err(UsersError::Grants) } else { Ok(()) }
}

/// The characters that IAM allows in a user's name (IAM API reference, CreateUser).
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
}

/// Something before an `@` and something after it: whether mail arrives there is not ours to know.
fn is_email(text: &str) -> bool {
    text.len() <= EMAIL_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text
            .split_once('@')
            .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

fn new_revision() -> Instance {
    Instance::from_bytes(random())
}

/// The same account always has the same id, on every node and after a restore: 64 hex digits, as S3's are.
fn canonical_id(account: &str) -> String {
    hex::encode(digest(&SHA256, format!("penstock account\0{account}").as_bytes()))
}

#[cfg(test)]
mod tests;
