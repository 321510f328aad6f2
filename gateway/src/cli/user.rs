//! `penstock user`: asks the running node of the home region, over its Unix socket.

use super::{Place, User};
use crate::assemble::operator_socket;
use crate::identity::NewUser;
use crate::operator::{Answer, Command, ShownUser, ask};
use crate::settings::Settings;

pub(super) fn run(command: User) -> Result<(), String> {
    let (command, json, place) = match command {
        User::Create { name, account, json, place } => {
            (Command::CreateUser(NewUser { name, account }), json, place)
        }
        User::List { json, place } => (Command::ListUsers, json, place),
    };
    let answer = ask_home(&command, &place)?;
    if let Answer::Refused(reason) = answer {
        return Err(reason);
    }
    println!("{}", if json { shown_as_json(&answer) } else { shown_as_text(&answer) });
    Ok(())
}

fn ask_home(command: &Command, place: &Place) -> Result<Answer, String> {
    let settings = Settings::read(&place.config).map_err(|error| error.to_string())?;
    let socket = operator_socket(&place.data, settings.topology.home().name());
    ask(&socket, command).map_err(|error| error.to_string())
}

/// The user, or the list of them, without the name of the answer around it.
fn shown_as_json(answer: &Answer) -> String {
    let value = match answer {
        Answer::UserCreated { user, secret_key } => {
            let mut value = serde_json::json!(user);
            value["secret_key"] = secret_key.as_str().into();
            value
        }
        Answer::Users(users) => serde_json::json!(users),
        Answer::Refused(reason) => serde_json::json!({ "refused": reason }),
    };
    format!("{value:#}")
}

fn shown_as_text(answer: &Answer) -> String {
    match answer {
        Answer::UserCreated { user, secret_key } => format!(
            "made user {} of account {}\naccess_key = {}\nsecret_key = {secret_key}\nThe secret is not shown again.",
            user.name, user.account, user.access_key
        ),
        Answer::Users(users) => {
            let line =
                |user: &ShownUser| format!("{:<20} {:<20} {}", user.account, user.name, user.access_key);
            users.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Answer::Refused(reason) => reason.clone(),
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
        let shown = shown_as_json(&Answer::UserCreated { user: alice(), secret_key: "s3cret".into() });
        let value: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(value["access_key"], "PKALICE");
        assert_eq!(value["secret_key"], "s3cret");
        assert_eq!(value["level"], "full");
    }

    #[test]
    fn a_list_shows_no_secret_field() {
        let shown = shown_as_json(&Answer::Users(vec![alice()]));
        let value: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(value[0]["name"], "alice");
        assert!(value[0].get("secret_key").is_none());
    }
}
