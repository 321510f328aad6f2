//! Managing users over the admin listener: JSON, for a tenant's `full` user, within its own account.
//!
//! A request is signed as S3 requests are, in its header; whoever can merely reach the listener can do nothing. What
//! was signed for an S3 endpoint is not taken here, so that no upload can be replayed as a command. Operators have their
//! socket. Order of events: the signature, then the route, then the body (its type, its size, its hash), then
//! [`UserAdmin`]. No CORS header is ever sent, and a body must say that it is JSON, which no form of a web page can.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use pingora::protocols::http::ServerSession;
use s3s::S3ErrorCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tracing::error;

use super::Answer;
use crate::audit;
use crate::client::Client;
use crate::identity::{Identities, Level, OldKeys, User, UserName, UsersError};
use crate::refusal::Refusal;
use crate::sigv4::{Claim, Keys};
use crate::target::{self, Host, SignatureForm};
use crate::topology::{RegionName, Topology};
use crate::user_admin::{Manager, OwnKeys, Refused, UserAdmin, UserCommand, WantedBucket, WantedGrant};

/// Where users are.
const USERS: &str = "/v1/users";

/// Most bytes of a body: a user with all the grants there can be, with room to spare.
const BODY_BYTES_MAX: usize = 64 << 10;

/// For a body to arrive whole.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Commands at one time; one more is told to come again.
const COMMANDS_MAX: usize = 16;

/// Managers whose signing keys are kept.
const KEYS_MAX: usize = 64;

/// The users as the admin listener shows them.
pub struct UsersApi {
    users: Result<Arc<UserAdmin>, RegionName>,
    identities: Arc<dyn Identities>,
    topology: Arc<Topology>,
    keys: Keys,
    places: Semaphore,
}

/// Why a request is not obeyed, as it is told.
struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    fn malformed(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status(), format!("{}: {}", refusal.code().as_str(), refusal.message()))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::NotAllowed(_) => StatusCode::FORBIDDEN,
            Refused::KeyPair(_) | Refused::NoRegion(_) | Refused::NoBucket { .. } => StatusCode::BAD_REQUEST,
            Refused::RegionOutOfReach { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Users(problem) => match problem {
                UsersError::Name(_)
                | UsersError::DisplayName(_)
                | UsersError::Email(_)
                | UsersError::Grants => StatusCode::BAD_REQUEST,
                UsersError::Unknown(_) => StatusCode::NOT_FOUND,
                UsersError::Exists { .. }
                | UsersError::AccessKeyTaken(_)
                | UsersError::Ambiguous { .. }
                | UsersError::RotationUnderWay(_)
                | UsersError::NoRotation(_) => StatusCode::CONFLICT,
                // As the next command will be told, unless what has changed is what they may do.
                UsersError::GiverChanged => return Refusal::from(S3ErrorCode::InvalidAccessKeyId).into(),
                UsersError::Store(_) | UsersError::Stored(_) => {
                    error!(cause = %problem, "a command about users failed");
                    return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "this node failed");
                }
            },
        };
        Self::new(status, refused.to_string())
    }
}

/// What a request wants, by method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    List,
    Create,
    Show(String),
    SetAccess(String),
    Delete(String),
    Rotate(String),
    FinishRotation(String),
    Disable(String),
    Enable(String),
}

/// The body of `PUT /v1/users/NAME`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedAccess {
    #[serde(default)]
    level: Option<Level>,
    #[serde(default)]
    grant: Vec<WantedGrant>,
    #[serde(default)]
    revoke: Vec<WantedBucket>,
}

/// The body of `POST /v1/users/NAME/rotate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedRotation {
    #[serde(default)]
    keep_old: bool,
    #[serde(default)]
    keys: Option<OwnKeys>,
}

/// The body of what needs to be told nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Route {
    fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        let unknown = || Problem::new(StatusCode::NOT_FOUND, format!("{USERS} or {USERS}/NAME"));
        let rest = path.strip_prefix(USERS).ok_or_else(unknown)?;
        if rest.is_empty() {
            return match *method {
                Method::GET => Ok(Self::List),
                Method::POST => Ok(Self::Create),
                _ => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "GET or POST")),
            };
        }
        let (name, action) = match rest.strip_prefix('/').ok_or_else(unknown)?.split_once('/') {
            Some((name, action)) => (name, Some(action)),
            None => (&rest[1..], None),
        };
        let name = percent_decode_str(name).decode_utf8().map_err(|_| unknown())?.into_owned();
        let make: fn(String) -> Self = match (method, action) {
            (&Method::GET, None) => Self::Show,
            (&Method::PUT, None) => Self::SetAccess,
            (&Method::DELETE, None) => Self::Delete,
            (_, None) => return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT or DELETE")),
            (&Method::POST, Some("rotate")) => Self::Rotate,
            (&Method::POST, Some("finish-rotation")) => Self::FinishRotation,
            (&Method::POST, Some("disable")) => Self::Disable,
            (&Method::POST, Some("enable")) => Self::Enable,
            (_, Some("rotate" | "finish-rotation" | "disable" | "enable")) => {
                return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "POST"));
            }
            (_, Some(_)) => {
                return Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "rotate, finish-rotation, disable or enable",
                ));
            }
        };
        Ok(make(name))
    }

    fn has_body(&self) -> bool {
        !matches!(self, Self::List | Self::Show(_) | Self::Delete(_))
    }

    fn success(&self) -> StatusCode {
        if *self == Self::Create { StatusCode::CREATED } else { StatusCode::OK }
    }

    fn command(self, body: &[u8]) -> Result<UserCommand, Problem> {
        let user = |name| UserName { name, account: None };
        Ok(match self {
            Self::List => UserCommand::List { account: None },
            Self::Create => UserCommand::Create(Box::new(parse(body)?)),
            Self::Show(name) => UserCommand::Show { user: user(name), reveal: false },
            Self::SetAccess(name) => {
                let WantedAccess { level, grant, revoke } = parse(body)?;
                UserCommand::SetAccess { user: user(name), level, grant, revoke }
            }
            Self::Delete(name) => UserCommand::Delete { user: user(name) },
            Self::Rotate(name) => {
                let WantedRotation { keep_old, keys } = parse(body)?;
                let old_keys = if keep_old { OldKeys::Keep } else { OldKeys::Drop };
                UserCommand::Rotate { user: user(name), old_keys, own: keys }
            }
            Self::FinishRotation(name) => {
                parse::<Nothing>(body)?;
                UserCommand::FinishRotation { user: user(name) }
            }
            Self::Disable(name) => {
                parse::<Nothing>(body)?;
                UserCommand::Disable { user: user(name) }
            }
            Self::Enable(name) => {
                parse::<Nothing>(body)?;
                UserCommand::Enable { user: user(name) }
            }
        })
    }
}

impl UsersApi {
    /// The users of `users`, where the region is home and elsewhere home's name, for who signs with a key of
    /// `identities`.
    #[must_use]
    pub fn new(
        users: Result<Arc<UserAdmin>, RegionName>,
        identities: Arc<dyn Identities>,
        topology: Arc<Topology>,
    ) -> Self {
        let (keys, places) = (Keys::new(KEYS_MAX), Semaphore::new(COMMANDS_MAX));
        Self { users, identities, topology, keys, places }
    }

    /// Whether a request for `path` is for here.
    pub(super) fn answers(path: &str) -> bool {
        path.strip_prefix(USERS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The answer to the request that `session` has read the head of. After a refusal the connection is closed: its
    /// body may not have been read.
    pub(super) async fn answer(&self, session: &mut ServerSession) -> Answer {
        let mut manager = None;
        match self.obey(session, &mut manager).await {
            Ok((status, value)) => Answer::json(status, &value),
            Err(Problem { status, text }) => {
                note_refusal(session, manager.as_deref(), status);
                session.set_keepalive(None);
                Answer::json(status, &json!({ "error": text }))
            }
        }
    }

    /// Who signed the request is left in `manager` as soon as that is known.
    async fn obey(
        &self,
        session: &mut ServerSession,
        manager: &mut Option<Arc<User>>,
    ) -> Result<(StatusCode, Value), Problem> {
        let users = self.users.as_ref().map_err(|home| {
            let text = format!("users are written in the home region: ask the node of {home}");
            Problem::new(StatusCode::MISDIRECTED_REQUEST, text)
        })?;
        let _place = self.places.try_acquire().map_err(|_| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many commands at one time: come again")
        })?;
        let head = session.req_header();
        let signer = self
            .authenticate(&head.method, head.raw_path(), &head.headers, OffsetDateTime::now_utc())
            .await?;
        let signer = manager.insert(signer).clone();
        let route = Route::of(&head.method, head.uri.path())?;
        let payload_hash = head.headers.get("x-amz-content-sha256").cloned();
        let mut body = Bytes::new();
        if route.has_body() {
            check_type(&head.headers)?;
            body = read_body(session).await?;
            // Without a body there is nothing that the signature leaves open.
            if payload_hash.is_none_or(|hash| hash != hex::encode(Sha256::digest(&body))) {
                return Err(Problem::malformed("x-amz-content-sha256 must be the body's SHA-256, in hex"));
            }
        }
        let status = route.success();
        let done = users.obey(route.command(&body)?, &Manager::Tenant(signer)).await?;
        Ok((status, done.to_json()))
    }

    /// Who signed the request.
    async fn authenticate(
        &self,
        method: &Method,
        raw_target: &[u8],
        headers: &HeaderMap,
        now: OffsetDateTime,
    ) -> Result<Arc<User>, Problem> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if matches!(Host::parse(&self.topology, host), Ok(Host::Endpoint { .. })) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this is not an S3 endpoint: ask under another name",
            ));
        }
        let (query, form) = target::parse_signed(raw_target, headers)?;
        let SignatureForm::Header(_) = form else {
            let text = "the request must be signed in its Authorization header, by a full user (AWS Signature Version 4, service s3)";
            return Err(Problem::new(StatusCode::FORBIDDEN, text));
        };
        let claim = Claim::of(&query, &form, now)?.ok_or(S3ErrorCode::AccessDenied).map_err(Refusal::from)?;
        // This is home, which asks nobody.
        let found =
            self.identities.find(claim.access_key(), Client::default()).await.map_err(Refusal::from)?;
        let credential = found.ok_or(S3ErrorCode::InvalidAccessKeyId).map_err(Refusal::from)?;
        claim.verify(&self.keys, &credential.secret, method, raw_target, headers)?;
        Ok(credential.user)
    }
}

/// Leaves a line in the audit log for what was refused to somebody; what went wrong here is none of theirs.
fn note_refusal(session: &ServerSession, manager: Option<&User>, status: StatusCode) {
    let is_denied =
        if manager.is_some() { status.is_client_error() } else { status == StatusCode::FORBIDDEN };
    if is_denied {
        let head = session.req_header();
        let client = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
        let command = format!("{} {}", head.method, head.uri.path());
        audit::command_refused(manager, client, &command, status);
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // What serde repeats of a body goes back to whoever sent it, and nowhere else.
    serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("not the JSON that is wanted: {error}")))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => {
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"))
        }
    }
}

async fn read_body(session: &mut ServerSession) -> Result<Bytes, Problem> {
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(piece) = session.read_request_body().await.ok()? {
            if body.len() + piece.len() > BODY_BYTES_MAX {
                return Some(Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a body is at most 64 KiB")));
            }
            body.extend_from_slice(&piece);
        }
        Some(Ok(body.freeze()))
    };
    let read = tokio::time::timeout(BODY_PATIENCE, reading).await;
    read.ok()
        .flatten()
        .unwrap_or_else(|| Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive")))
}

#[cfg(test)]
mod tests;
