//! Requests to the users' interface: who signs them, and which command each is.

use async_trait::async_trait;
use origin::regional::UserRow;
use s3s::S3Result;
use time::macros::datetime;

use super::*;
use crate::identity::Credential;
use crate::sigv4::SecretKey;
use crate::sigv4::tests::signer::{Form, Signed, Unsigned, sign};
use crate::target::tests::s3s_reading::{ACCESS_KEY, SECRET_KEY};
use crate::test_user::alice;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

struct OneUser;

#[async_trait]
impl Identities for OneUser {
    async fn find(&self, access_key: &str, _client: Client) -> S3Result<Option<Credential>> {
        let user = User { access_key: access_key.into(), ..alice() };
        let secret = SecretKey::new(SECRET_KEY);
        Ok((access_key == ACCESS_KEY).then(|| Credential { user: Arc::new(user), secret }))
    }

    fn open(&self, _row: &UserRow) -> S3Result<Option<Credential>> {
        Ok(None)
    }
}

fn api() -> UsersApi {
    let topology = Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:9003")]).expect("good");
    UsersApi::new(Err(topology.home().name().clone()), Arc::new(OneUser), Arc::new(topology))
}

/// A request to list users under the name `host`.
fn list_under(host: &'static str) -> Unsigned {
    let headers = vec![("host", host)];
    Unsigned { method: Method::GET, raw_target: "/v1/users?x=1".to_owned(), headers }
}

/// Who signed it, or the status and what is told.
async fn judge(request: &Signed) -> Result<String, (u16, String)> {
    let Signed { method, raw_target, headers } = request;
    match api().authenticate(method, raw_target.as_bytes(), headers, NOW).await {
        Ok(user) => Ok(user.name.clone()),
        Err(problem) => Err((problem.status.as_u16(), problem.text)),
    }
}

#[tokio::test]
async fn only_a_signature_of_ours_says_who_asks() {
    let listed = || sign(&list_under("127.0.0.1:9002"), Form::Header, NOW);
    assert_eq!(judge(&listed()).await.as_deref(), Ok("alice"));
    let old = sign(&list_under("127.0.0.1:9002"), Form::Header, NOW - time::Duration::minutes(16));
    let presigned = sign(&list_under("127.0.0.1:9002"), Form::Presigned { seconds: 60 }, NOW);
    for (request, told) in [
        (listed().with_digit_changed(3), "SignatureDoesNotMatch"),
        (listed().with_text(ACCESS_KEY, "AKIDNOBODYAKIDNOBODY"), "InvalidAccessKeyId"),
        (listed().with_text("x=1", "x=2"), "SignatureDoesNotMatch"),
        (listed().with_header("host", "127.0.0.1:9003"), "SignatureDoesNotMatch"),
        (listed().with_header("x-amz-added", "1"), "AccessDenied"),
        (listed().without_header("authorization"), "must be signed"),
        (old, "RequestTimeTooSkewed"),
        (presigned, "must be signed"),
    ] {
        let (status, text) = judge(&request).await.expect_err(told);
        assert_eq!(status, 403, "{text}");
        assert!(text.contains(told), "{text} is not {told}");
    }
}

/// A captured upload of the key `v1/users/…` must not become a command.
#[tokio::test]
async fn what_was_signed_for_an_s3_endpoint_is_no_command() {
    for host in [
        "object.ord1.penstock.localhost",
        "photos.object.ord1.penstock.localhost:9000",
        "photos.accel-object.ord1.penstock.localhost",
    ] {
        let refused = judge(&sign(&list_under(host), Form::Header, NOW)).await.expect_err(host);
        assert_eq!(refused.0, 421, "{}", refused.1);
    }
    let named = sign(&list_under("admin.ord1.penstock.localhost:9002"), Form::Header, NOW);
    assert!(judge(&named).await.is_ok());
}

#[test]
fn each_path_and_method_is_one_command_or_none() {
    let command = |method: Method, path: &str, body: &str| {
        let route = Route::of(&method, path).map_err(|problem| problem.status.as_u16())?;
        route.command(body.as_bytes()).map_err(|problem| problem.status.as_u16())
    };
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let bob = || UserName { name: "b+o@b".into(), account: None };
    for (method, path, body, wanted) in [
        (&get, "/v1/users", "", UserCommand::List { account: None }),
        (&get, "/v1/users/b+o%40b", "", UserCommand::Show { user: bob(), reveal: false }),
        (&delete, "/v1/users/b+o@b", "", UserCommand::Delete { user: bob() }),
        (&post, "/v1/users/b+o@b/disable", "{}", UserCommand::Disable { user: bob() }),
        (&post, "/v1/users/b+o@b/enable", "{}", UserCommand::Enable { user: bob() }),
        (&post, "/v1/users/b+o@b/finish-rotation", "{}", UserCommand::FinishRotation { user: bob() }),
        (
            &post,
            "/v1/users/b+o@b/rotate",
            "{}",
            UserCommand::Rotate { user: bob(), old_keys: OldKeys::Drop, own: None },
        ),
        (
            &post,
            "/v1/users/b+o@b/rotate",
            r#"{"keep_old": true}"#,
            UserCommand::Rotate { user: bob(), old_keys: OldKeys::Keep, own: None },
        ),
        (
            &put,
            "/v1/users/b+o@b",
            r#"{"level": "read", "revoke": ["photos"]}"#,
            UserCommand::SetAccess {
                user: bob(),
                level: Some(Level::Read),
                grant: Vec::new(),
                revoke: vec!["photos".parse().expect("a bucket")],
            },
        ),
    ] {
        assert_eq!(command(method.clone(), path, body), Ok(wanted), "{method} {path} {body}");
    }
    let created = command(post.clone(), "/v1/users", r#"{"name": "bob", "level": "read"}"#);
    assert!(matches!(created, Ok(UserCommand::Create(wanted)) if wanted.account.is_none()));
    for (method, path, body, status) in [
        (&put, "/v1/users", "", 405),
        (&post, "/v1/users/bob", "", 405),
        (&get, "/v1/users/bob/rotate", "", 405),
        (&post, "/v1/users/bob/reveal", "{}", 404),
        (&post, "/v1/users/bob/rotate/", "{}", 404),
        (&get, "/v1/users/b%ffb", "", 404),
        (&post, "/v1/users", "", 400),
        (&post, "/v1/users", r#"{"name": "bob"}"#, 400),
        (&post, "/v1/users", r#"{"name": "bob", "level": "owner"}"#, 400),
        (&post, "/v1/users", r#"{"name": "bob", "level": "read", "admin": true}"#, 400),
        (&post, "/v1/users/bob/disable", "", 400),
        (&post, "/v1/users/bob/disable", r#"{"account": "video"}"#, 400),
        (&put, "/v1/users/bob", r#"{"grant": ["photos=full"]}"#, 400),
    ] {
        assert_eq!(command(method.clone(), path, body), Err(status), "{method} {path} {body}");
    }
}

#[test]
fn a_body_says_that_it_is_json() {
    let is_json = |value: &'static str| {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, header::HeaderValue::from_static(value))]);
        check_type(&headers).is_ok()
    };
    assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        assert!(!is_json(other), "{other}");
    }
    assert!(check_type(&HeaderMap::new()).is_err());
}

#[test]
fn a_malformed_secret_is_not_repeated() {
    let body = r#"{"name": "bob", "level": "read", "keys": {"access_key": "AK", "secret_key": ["s3cret"]}}"#;
    let Err(problem) = parse::<crate::user_admin::WantedUser>(body.as_bytes()) else { panic!("parsed") };
    assert!(!problem.text.contains("s3cret"), "{}", problem.text);
}
