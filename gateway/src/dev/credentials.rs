//! The key pair of a development instance, made at its first start.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::cluster::{Written, write_new_private};
use crate::identity::{Identities, NewUser, Users, UsersError};

use super::DevError;

/// `DIR/credentials.json`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Credentials {
    /// The public half.
    pub(super) access_key: String,
    /// The secret half.
    pub(super) secret_key: String,
}

impl Credentials {
    /// What is in `file`, or a new user's where there is no such file.
    pub(super) async fn read_or_make(
        file: &Path,
        users: &Users,
        identities: &dyn Identities,
    ) -> Result<Self, DevError> {
        let credentials = match std::fs::read(file) {
            Ok(json) => serde_json::from_slice::<Self>(&json)
                .map_err(|error| DevError::file(file, format!("not credentials: {error}")))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::make(file, users).await,
            Err(error) => return Err(DevError::file(file, error)),
        };
        let known = identities.find(&credentials.access_key, Client::default()).await;
        if known.map_err(|error| DevError::file(file, error))?.is_none() {
            return Err(DevError::file(
                file,
                "its user is not in this store: remove the file to get a new one",
            ));
        }
        Ok(credentials)
    }

    async fn make(file: &Path, users: &Users) -> Result<Self, DevError> {
        let (user, secret) = make_user(users).await?;
        let credentials = Self { access_key: user, secret_key: secret };
        let mut json = serde_json::to_vec_pretty(&credentials).expect("two strings encode");
        json.push(b'\n');
        match write_new_private(file, &json) {
            Ok(Written::New) => Ok(credentials),
            Ok(Written::Existed) => Err(DevError::file(file, "appeared while it was being made")),
            Err(error) => Err(DevError::file(file, error)),
        }
    }
}

/// The first of `dev`, `dev-2`, `dev-3`… that is free: a start that was cut short leaves a user whose secret is lost.
async fn make_user(users: &Users) -> Result<(String, String), UsersError> {
    let mut number = 1;
    loop {
        let name = if number == 1 { "dev".to_owned() } else { format!("dev-{number}") };
        match users.create(NewUser::full(name, "dev")).await {
            Ok((_, pair)) => return Ok((pair.access_key().to_owned(), pair.secret().expose().to_owned())),
            Err(UsersError::Exists { .. }) => number += 1,
            Err(error) => return Err(error),
        }
    }
}
