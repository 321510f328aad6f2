//! Managing users: every command, who may give it, and what is answered; the same over the operators' socket and the
//! admin listener.
//!
//! Operators manage all users. A tenant's `full` user manages those of its own account: other accounts' users are
//! unknown to it, it grants only buckets of its account, and it is shown no secret but those of pairs it makes. Order of
//! events: who may is judged, then each bucket of a grant is found at the region that owns it, then the table is changed,
//! if a tenant's user is in it as they were judged, and one audit line says who did what to whom.

mod buckets;
mod commands;
mod shown;

use std::collections::HashMap;
use std::sync::Arc;

use s3s::S3Error;
use tracing::info;

pub use buckets::{Buckets, MalformedGrant, WantedBucket, WantedGrant};
pub use commands::{OwnKeys, UserCommand, WantedUser};
pub use shown::{Done, Secret, ShownGrant, ShownKeyPair, ShownUser};

use crate::client_setup::ClientEndpoint;
use crate::coherence::Sessions;
use crate::identity::{KeyPair, KeyPairError, Level, Listed, NewUser, User, UserName, Users, UsersError};
use crate::topology::RegionName;

/// Who gives a command.
#[derive(Clone, Debug)]
pub enum Manager {
    /// Whoever may open the operators' socket.
    Operator {
        /// The system user on the other side.
        uid: u32,
    },
    /// A tenant's user, proven by a signature.
    Tenant(Arc<User>),
}

/// Why a command was not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The manager may not do this.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// Key pair of one's own that is not one.
    #[error(transparent)]
    KeyPair(#[from] KeyPairError),
    /// There is no such region.
    #[error("there is no region {0}")]
    NoRegion(String),
    /// A grant names a bucket that is not there.
    #[error("there is no bucket {bucket} in region {region}")]
    NoBucket {
        /// The region.
        region: RegionName,
        /// The bucket.
        bucket: String,
    },
    /// The region of a grant's bucket cannot be asked.
    #[error("region {region} cannot be asked about bucket {bucket}: {}", .cause.message().unwrap_or(.cause.code().as_str()))]
    RegionOutOfReach {
        /// The region.
        region: RegionName,
        /// The bucket.
        bucket: String,
        /// Why.
        cause: S3Error,
    },
    /// The table says no.
    #[error(transparent)]
    Users(#[from] UsersError),
}

/// Everything that managing users needs, at home.
pub struct UserAdmin {
    users: Users,
    buckets: Buckets,
    home: RegionName,
    endpoints: HashMap<String, ClientEndpoint>,
    sessions: Option<Arc<Sessions>>,
}

impl UserAdmin {
    /// The users of `home`, whose grants are looked up in `buckets`, and who connect to `endpoints`.
    #[must_use]
    pub fn new(users: Users, buckets: Buckets, home: RegionName, endpoints: Vec<ClientEndpoint>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| (endpoint.region.clone(), endpoint)).collect();
        Self { users, buckets, home, endpoints, sessions: None }
    }

    /// Names after each change the nodes that `sessions` says it did not reach.
    #[must_use]
    pub fn reaching(self, sessions: Arc<Sessions>) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// The table.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Every region's buckets.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Does what `manager` commands, if they may.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was changed.
    pub async fn obey(&self, command: UserCommand, manager: &Manager) -> Result<Done, Refused> {
        let command = within(command, manager)?;
        let (action, details) = (command.action(), command.details());
        let mut done = self.execute(command, manager).await?;
        if let Some(action) = action {
            let unreached =
                self.sessions.as_ref().map_or_else(Vec::new, |sessions| sessions.users_unreached());
            if let Some(user) = done.user_mut() {
                user.unreached.clone_from(&unreached);
            }
            let (by, uid) = match manager {
                Manager::Operator { uid } => ("operator".to_owned(), Some(*uid)),
                Manager::Tenant(user) => (format!("{}/{}", user.account.name, user.name), None),
            };
            let user = done.user();
            info!(
                target: "audit",
                action,
                by,
                uid,
                account = user.map(|user| user.account.as_str()),
                user = user.map(|user| user.name.as_str()),
                access_keys = user.map(|user| user.access_keys.join(" ")),
                details,
                unreached = (!unreached.is_empty()).then(|| unreached.join(" ")),
                "users"
            );
        }
        Ok(done)
    }

    async fn execute(&self, command: UserCommand, manager: &Manager) -> Result<Done, Refused> {
        let users = &match manager {
            Manager::Operator { .. } => self.users.clone(),
            Manager::Tenant(user) => self.users.on_behalf_of(user.clone()),
        };
        Ok(match command {
            UserCommand::Create(wanted) => {
                let (listed, key_pair) = users.create(self.new_user(*wanted, manager).await?).await?;
                self.with_key_pairs(listed, &[key_pair])
            }
            UserCommand::List { account } => {
                let is_listed =
                    |user: &Listed| account.as_ref().is_none_or(|account| *account == user.user.account.name);
                let all = users.list().await?;
                Done::Users(all.into_iter().filter(is_listed).map(ShownUser::from).collect())
            }
            UserCommand::Show { user, reveal: false } => Done::User(users.find(&user).await?.into()),
            UserCommand::Show { user, reveal: true } => {
                let key_pairs = users.key_pairs(&user).await?;
                self.with_key_pairs(users.find(&user).await?, &key_pairs)
            }
            UserCommand::Rotate { user, old_keys, own } => {
                let own = own.map(OwnKeys::check).transpose()?;
                let (listed, key_pair) = users.rotate(&user, old_keys, own).await?;
                self.with_key_pairs(listed, &[key_pair])
            }
            UserCommand::FinishRotation { user } => Done::User(users.finish_rotation(&user).await?.into()),
            UserCommand::Disable { user } => Done::User(users.set_disabled(&user, true).await?.into()),
            UserCommand::Enable { user } => Done::User(users.set_disabled(&user, false).await?.into()),
            UserCommand::SetAccess { user, level, grant, revoke } => {
                let default = self.region_of(&users.find(&user).await?.user)?;
                let granted = self.buckets.grants(grant, &default, owner_wanted(manager)).await?;
                let revoked = revoke.into_iter().map(|bucket| bucket.named(&default));
                let revoked: Vec<_> = revoked.collect();
                Done::User(users.set_access(&user, level, granted, &revoked).await?.into())
            }
            UserCommand::Delete { user } => Done::Deleted(users.delete(&user).await?.into()),
            UserCommand::Reseal => Done::Resealed { secrets_count: users.reseal().await? },
        })
    }

    async fn new_user(&self, wanted: WantedUser, manager: &Manager) -> Result<NewUser, Refused> {
        let default = match &wanted.region {
            Some(region) => self.buckets.region(region)?,
            None => self.home.clone(),
        };
        Ok(NewUser {
            name: wanted.name,
            account: wanted.account.unwrap_or_default(),
            level: wanted.level,
            key_pair: wanted.keys.map(OwnKeys::check).transpose()?,
            display_name: wanted.display_name,
            email: wanted.email.unwrap_or_default(),
            default_region: wanted.region,
            grants: self.buckets.grants(wanted.grant, &default, owner_wanted(manager)).await?,
        })
    }

    fn region_of(&self, user: &User) -> Result<RegionName, Refused> {
        match &user.default_region {
            Some(region) => self.buckets.region(region),
            None => Ok(self.home.clone()),
        }
    }

    fn with_key_pairs(&self, listed: Listed, key_pairs: &[KeyPair]) -> Done {
        let region = listed.user.default_region.as_deref().unwrap_or(self.home.as_str());
        Done::UserWithKeys {
            endpoint: self.endpoints.get(region).cloned(),
            user: listed.into(),
            key_pairs: key_pairs.iter().map(ShownKeyPair::from).collect(),
        }
    }
}

/// The account whose buckets alone `manager` may grant.
fn owner_wanted(manager: &Manager) -> Option<&str> {
    match manager {
        Manager::Operator { .. } => None,
        Manager::Tenant(user) => Some(&user.account.name),
    }
}

/// The command as `manager` may give it: a tenant's is about their own account and nothing else.
fn within(mut command: UserCommand, manager: &Manager) -> Result<UserCommand, Refused> {
    let Manager::Tenant(tenant) = manager else {
        return match &command {
            UserCommand::Create(wanted) if wanted.account.is_none() => {
                Err(UsersError::Name(String::new()).into())
            }
            _ => Ok(command),
        };
    };
    if tenant.level != Level::Full {
        return Err(Refused::NotAllowed("only a full user manages the users of its account"));
    }
    let own = &tenant.account.name;
    match &mut command {
        UserCommand::Create(wanted) => {
            if wanted.account.get_or_insert_with(|| own.clone()) != own {
                return Err(Refused::NotAllowed("users are made in one's own account alone"));
            }
            if wanted.email.is_some() {
                return Err(Refused::NotAllowed(
                    "operators alone give users their e-mail addresses: lists find accounts by them",
                ));
            }
        }
        UserCommand::List { account } => {
            if account.get_or_insert_with(|| own.clone()) != own {
                return Err(Refused::NotAllowed("users are listed of one's own account alone"));
            }
        }
        UserCommand::Show { reveal: true, .. } => {
            return Err(Refused::NotAllowed("stored secrets are shown to operators alone"));
        }
        UserCommand::Reseal => return Err(Refused::NotAllowed("secrets are sealed anew by operators alone")),
        UserCommand::Show { user, reveal: false }
        | UserCommand::Rotate { user, .. }
        | UserCommand::FinishRotation { user }
        | UserCommand::Disable { user }
        | UserCommand::Enable { user }
        | UserCommand::SetAccess { user, .. }
        | UserCommand::Delete { user } => {
            // Somebody else's user is as unknown as one that does not exist.
            if user.account.get_or_insert_with(|| own.clone()) != own {
                return Err(unknown(user).into());
            }
        }
    }
    Ok(command)
}

fn unknown(user: &UserName) -> UsersError {
    UsersError::Unknown(match &user.account {
        Some(account) => format!("{} in account {account}", user.name),
        None => user.name.clone(),
    })
}

#[cfg(test)]
mod tests;
