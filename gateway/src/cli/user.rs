//! `penstock user`: asks the running node of the home region, over its Unix socket, and shows the answer.

use std::io::Read;
use std::path::Path;

use super::{OwnKeyPair, User, UserCreate, WhichUser, another_question, show};
use crate::assemble::operator_sockets;
use crate::client_setup::{ClientEndpoint, Pair, shell_word};
use crate::identity::{OldKeys, UserName};
use crate::operator::{Answer, AskError, Command, Done as Obeyed, ask};
use crate::user_admin::{Done, OwnKeys, Secret, ShownKeyPair, ShownUser, UserCommand, WantedUser};

/// Most bytes of a file that is to hold one secret key and a line's end.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

pub(super) fn run(command: User) -> Result<(), String> {
    let (command, asking) = match command {
        User::Create(create) => {
            let UserCreate { name, account, level, own, display_name, email, region, grant, asking } = create;
            let account = Some(account);
            let keys = read_own(own)?;
            let wanted = WantedUser { name, account, level, keys, display_name, email, region, grant };
            (UserCommand::Create(Box::new(wanted)), asking)
        }
        User::List { account, asking } => (UserCommand::List { account }, asking),
        User::Show { user, reveal, asking } => (UserCommand::Show { user: user.into(), reveal }, asking),
        User::Rotate { user, keep_old, finish, own, asking } => {
            let (user, own) = (user.into(), read_own(own)?);
            let old_keys = if keep_old { OldKeys::Keep } else { OldKeys::Drop };
            let command = match finish {
                true => UserCommand::FinishRotation { user },
                false => UserCommand::Rotate { user, old_keys, own },
            };
            (command, asking)
        }
        User::Disable { user, asking } => (UserCommand::Disable { user: user.into() }, asking),
        User::Enable { user, asking } => (UserCommand::Enable { user: user.into() }, asking),
        User::Delete { user, asking } => (UserCommand::Delete { user: user.into() }, asking),
        User::SetAccess { user, level, grant, revoke, asking } => {
            (UserCommand::SetAccess { user: user.into(), level, grant, revoke }, asking)
        }
        User::Reseal { asking } => (UserCommand::Reseal, asking),
    };
    let Obeyed::User(done) = ask_home(&Command::User(command), &asking.data)? else {
        return Err(another_question());
    };
    show(if asking.json { format!("{:#}", done.to_json()) } else { shown_as_text(&done) })?;
    let unreached = done.user().filter(|user| !asking.json && !user.unreached.is_empty());
    if let Some(user) = unreached {
        eprintln!(
            "penstock: not reached, and may go on with the user as it was for as long as serve_known says: {}",
            user.unreached.join(" ")
        );
    }
    Ok(())
}

impl From<WhichUser> for UserName {
    fn from(WhichUser { name, account }: WhichUser) -> Self {
        Self { name, account }
    }
}

/// The key pair that was named, its secret read from where it is.
fn read_own(own: OwnKeyPair) -> Result<Option<OwnKeys>, String> {
    let OwnKeyPair { access_key: Some(access_key), secret_key_file: Some(file) } = own else {
        return Ok(None);
    };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(&file)
            .and_then(|opened| opened.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    let secret_key = Secret::new(text.trim_end_matches(['\r', '\n']));
    Ok(Some(OwnKeys { access_key, secret_key }))
}

/// Asks each node that runs on `data` until one of them is home's.
pub(super) fn ask_home(command: &Command, data: &Path) -> Result<Obeyed, String> {
    let sockets = operator_sockets(data).map_err(|error| format!("{}: {error}", data.display()))?;
    let mut problem = AskError::NotRunning(data.to_owned()).to_string();
    for socket in sockets {
        match ask(&socket, command) {
            Ok(Answer::Done(done)) => return Ok(*done),
            Ok(Answer::Refused(reason)) => return Err(reason),
            Ok(Answer::NotHome { home }) => {
                problem = format!("users are written in the home region: ask the node of {home}");
            }
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

fn shown_as_text(done: &Done) -> String {
    match done {
        Done::User(user) => shown_user(user),
        Done::Deleted(user) => format!("deleted user {} of account {}", user.name, user.account),
        Done::UserWithKeys { user, key_pairs, endpoint } => {
            let mut text = shown_user(user);
            for ShownKeyPair { access_key, secret_key } in key_pairs {
                text += &format!("\n\naccess_key = {access_key}\nsecret_key = {}", secret_key.expose());
            }
            if let (Some(newest), Some(endpoint)) = (key_pairs.first(), endpoint) {
                text += &format!("\n\n{}", shown_setup(user, newest, endpoint));
            }
            text
        }
        Done::Users(users) => {
            let line = |user: &ShownUser| {
                let state = if user.is_disabled { "disabled" } else { "" };
                let line = format!(
                    "{:<20} {:<20} {:<10} {:<24} {state}",
                    user.account,
                    user.name,
                    user.level.as_str(),
                    user.access_keys.join(" ")
                );
                line.trim_end().to_owned()
            };
            users.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Done::Resealed { secrets_count } => format!("secrets sealed with the newest key: {secrets_count}"),
    }
}

fn shown_user(user: &ShownUser) -> String {
    let grants = user
        .grants
        .iter()
        .map(|grant| format!("{}/{}={}", grant.region, grant.bucket, grant.access.as_str()));
    let lines = [
        ("user", user.name.clone()),
        ("account", user.account.clone()),
        ("canonical id", user.canonical_id.clone()),
        ("display name", user.display_name.clone()),
        ("e-mail", user.email.clone()),
        ("level", user.level.as_str().to_owned()),
        ("region", user.region.clone().unwrap_or_default()),
        ("grants", grants.collect::<Vec<_>>().join(" ")),
        ("access keys", user.access_keys.join(" ")),
        ("state", if user.is_disabled { "disabled" } else { "" }.to_owned()),
    ];
    let told = lines.iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| format!("{name:<14}{value}")).collect::<Vec<_>>().join("\n")
}

/// What to paste where. Each block begins with its place, on a line that is a comment there.
fn shown_setup(user: &ShownUser, newest: &ShownKeyPair, endpoint: &ClientEndpoint) -> String {
    let pair = Pair { access_key: &newest.access_key, secret_key: newest.secret_key.expose() };
    let name = &user.name;
    let trusting = match &endpoint.ca_file {
        Some(file) => format!(" --ca-cert {}", shell_word(&file.display().to_string())),
        None => String::new(),
    };
    format!(
        "# s3cmd: ~/.s3cfg\n{}\n# aws: ~/.aws/credentials, then `aws --profile {name} s3 ls`\n{}\n\
         # rclone: ~/.config/rclone/rclone.conf, then `rclone{trusting} lsd {name}:`\n{}\n\
         # s5cmd: with the profile above\n{}\n\
         # The same buckets read through the cache: {}",
        endpoint.s3cmd(pair),
        endpoint.aws_profile(name, pair),
        endpoint.rclone(name, pair),
        endpoint.s5cmd(name),
        endpoint.accelerated_url()
    )
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
            owner_display_name: "Research".into(),
            display_name: "Alice".into(),
            email: String::new(),
            level: Level::ReadWrite,
            region: None,
            is_disabled: false,
            grants: Vec::new(),
            access_key: "PKALICE".into(),
            unreached: Vec::new(),
            access_keys: vec!["PKALICE".into()],
        }
    }

    fn made() -> Done {
        let pair = ShownKeyPair { access_key: "PKALICE".into(), secret_key: Secret::new("s3cret") };
        Done::UserWithKeys { user: alice(), key_pairs: vec![pair], endpoint: None }
    }

    #[test]
    fn a_new_users_json_has_the_key_pair_at_the_top() {
        let value = made().to_json();
        assert_eq!(value["access_key"], "PKALICE");
        assert_eq!(value["secret_key"], "s3cret");
        assert_eq!(value["level"], "readwrite");
    }

    #[test]
    fn a_user_and_a_list_show_no_secret_field() {
        for done in [Done::User(alice()), Done::Users(vec![alice()])] {
            let json = done.to_json().to_string();
            assert!(json.contains("PKALICE") && !json.contains("secret_key"), "{json}");
        }
    }

    #[test]
    fn a_command_prints_without_the_secret_it_carries() {
        let own = OwnKeys { access_key: "PKALICE".into(), secret_key: Secret::new("s3cret") };
        let user = UserName { name: "alice".into(), account: None };
        let rotate = UserCommand::Rotate { user, old_keys: OldKeys::Drop, own: Some(own) };
        assert!(!format!("{rotate:?} {:?}", made()).contains("s3cret"));
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_lines_end() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("secret");
        std::fs::write(&file, "s3cret\r\n").expect("write");
        let own = OwnKeyPair { access_key: Some("PKALICE".into()), secret_key_file: Some(file.clone()) };
        let read = read_own(own).expect("read").expect("named");
        assert_eq!(read.secret_key.expose(), "s3cret");
        std::fs::remove_file(&file).expect("remove");
        let own = OwnKeyPair { access_key: Some("PKALICE".into()), secret_key_file: Some(file) };
        assert!(read_own(own).is_err());
        assert_eq!(read_own(OwnKeyPair { access_key: None, secret_key_file: None }), Ok(None));
    }
}
