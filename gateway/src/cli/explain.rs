//! `penstock explain`: asks the running node of the home region, over its Unix socket, who may do what and why.

use super::{Explain, another_question, show, user};
use crate::explain::Question;
use crate::identity::UserName;
use crate::operator::{Command, Done};

pub(super) fn run(command: Explain) -> Result<(), String> {
    let Explain { name, account, anonymous: _, action, resource, region, asking } = command;
    let (bucket, key) = parse(&resource)?;
    let user = name.map(|name| UserName { name, account });
    let question = Question { user, action, bucket, key, region };
    let Done::Explained(told) = user::ask_home(&Command::Explain(question), &asking.data)? else {
        return Err(another_question());
    };
    match asking.json {
        true => show(format_args!("{:#}", serde_json::json!(told))),
        false => show(told),
    }
}

/// The bucket, and the key if there is one, of `s3://BUCKET[/KEY]`.
pub(super) fn parse(resource: &str) -> Result<(String, Option<String>), String> {
    let named = resource.strip_prefix("s3://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
    let named = named.ok_or_else(|| format!("{resource}: not s3://BUCKET or s3://BUCKET/KEY"))?;
    Ok(match named.split_once('/') {
        None | Some((_, "")) => (named.trim_end_matches('/').to_owned(), None),
        Some((bucket, key)) => (bucket.to_owned(), Some(key.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_as_clients_name_them() {
        let named = |bucket: &str, key: Option<&str>| Ok((bucket.to_owned(), key.map(str::to_owned)));
        assert_eq!(parse("s3://models"), named("models", None));
        assert_eq!(parse("s3://models/"), named("models", None));
        assert_eq!(parse("s3://models/a/b c"), named("models", Some("a/b c")));
        assert_eq!(parse("s3://models//a"), named("models", Some("/a")));
        for wrong in ["models/a", "s3://", "s3:///a", "arn:aws:s3:::models/a", "http://models/a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
