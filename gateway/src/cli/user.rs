//! `penstock user`: asks the running node of the home region, over its Unix socket.

use std::path::Path;

use super::User;
use crate::assemble::operator_sockets;
use crate::identity::NewUser;
use crate::operator::{Answer, AskError, Command, Done, ShownUser, ask};

pub(super) fn run(command: User) -> Result<(), String> {
    let (command, json, data) = match command {
        User::Create { name, account, json, data } => {
            (Command::CreateUser(NewUser { name, account }), json, data)
        }
        User::List { json, data } => (Command::ListUsers, json, data),
    };
    let done = ask_home(&command, &data)?;
    println!("{}", if json { shown_as_json(&done) } else { shown_as_text(&done) });
    Ok(())
}

/// Asks each node that runs on `data` until one of them is home's.
fn ask_home(command: &Command, data: &Path) -> Result<Done, String> {
    let sockets = operator_sockets(data).map_err(|error| format!("{}: {error}", data.display()))?;
    let mut problem = AskError::NotRunning(data.to_owned()).to_string();
    for socket in sockets {
        match ask(&socket, command) {
            Ok(Answer::Done(done)) => return Ok(done),
            Ok(Answer::Refused(reason)) => return Err(reason),
            Ok(Answer::NotHome { home }) => {
                problem = format!("users are written in the home region: ask the node of {home}");
            }
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

/// The user, or the list of them, without a name around it.
fn shown_as_json(done: &Done) -> String {
    let value = match done {
        Done::UserCreated { user, secret_key } => {
            let mut value = serde_json::json!(user);
            value["secret_key"] = secret_key.as_str().into();
            value
        }
        Done::Users(users) => serde_json::json!(users),
    };
    format!("{value:#}")
}

fn shown_as_text(done: &Done) -> String {
    match done {
        Done::UserCreated { user, secret_key } => format!(
            "made user {} of account {}\naccess_key = {}\nsecret_key = {secret_key}\nThe secret is not shown again.",
            user.name, user.account, user.access_key
        ),
        Done::Users(users) => {
            let line =
                |user: &ShownUser| format!("{:<20} {:<20} {}", user.account, user.name, user.access_key);
            users.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Level;

    fn alice() -> ShownUser {
        ShownUser {
            name: "alice".into(),
            account: "research".into(),
            canonical_id: "ab".repeat(32),
            level: Level::Full,
            access_key: "PKALICE".into(),
        }
    }

    #[test]
    fn a_new_users_json_has_the_key_pair_at_the_top() {
        let shown = shown_as_json(&Done::UserCreated { user: alice(), secret_key: "s3cret".into() });
        let value: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(value["access_key"], "PKALICE");
        assert_eq!(value["secret_key"], "s3cret");
        assert_eq!(value["level"], "full");
    }

    #[test]
    fn a_list_shows_no_secret_field() {
        let shown = shown_as_json(&Done::Users(vec![alice()]));
        let value: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(value[0]["name"], "alice");
        assert!(value[0].get("secret_key").is_none());
    }
}
