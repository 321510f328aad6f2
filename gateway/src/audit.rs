//! The audit log: one line for every request that somebody was not allowed to make, for every command about users that a
//! tenant was refused, and for every user who was believed without home.
//!
//! A line is written by the node that decided, whichever path it decided on: where a request is handed on, that is the
//! owner, and the node that the client reached only passes its answer on. It names who asked, for what, and the class of
//! the reason; never a signature, a query or a secret. The log's level does not silence it.

use std::net::IpAddr;

use http::StatusCode;
use s3s::S3ErrorCode;
use tracing::info;

use crate::access_log::{self, SaidByForm};
use crate::identity::User;
use crate::permission::{Reason, Refused};
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::target::Target;

/// What the lines are called in the log.
pub const TARGET: &str = "audit";

/// The class of a request whose signature was not believed.
const SIGNATURE: &str = "signature";

/// A request, as far as it was understood.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request's id.
    pub id: RequestId,
    /// The client's address, where it is known.
    pub client: Option<IpAddr>,
    /// What it asked for; `None` when it was refused before that was known.
    pub target: Option<&'a Target>,
    /// What it said of that in its body, if it is a form that was read here.
    pub form: Option<&'a SaidByForm>,
}

/// Writes that permission was `refused` to whoever `asked`.
pub fn permission_refused(asked: Asked<'_>, refused: &Refused) {
    let caller = refused.caller.as_deref();
    let statement = match &refused.denied.reason {
        Reason::ExplicitDeny(statement) => Some(statement.as_str()),
        _ => None,
    };
    let level = match &refused.denied.reason {
        Reason::Level(level) => Some(*level),
        _ => None,
    };
    info!(
        target: TARGET,
        request_id = %asked.id,
        client = asked.client.map(tracing::field::display),
        access_key = caller.map_or("anonymous", |user| user.access_key.as_str()),
        account = caller.map(|user| user.account.name.as_str()),
        user = caller.map(|user| user.name.as_str()),
        operation = asked.target.map(|target| target.operation.as_str()),
        action = refused.denied.action.map(|action| action.as_str()),
        resource = resource(asked).map(tracing::field::display),
        reason = refused.denied.reason.class(),
        statement = statement.map(tracing::field::debug),
        level = level.map(tracing::field::debug),
        "denied"
    );
}

/// Writes that whoever `asked` did not show that they are who they say, if that is what `refusal` is about.
pub fn signature_refused(asked: Asked<'_>, refusal: &Refusal) {
    if !is_about_signature(refusal.code()) {
        return;
    }
    let claimed = access_log::access_key(asked.target, asked.form);
    info!(
        target: TARGET,
        request_id = %asked.id,
        client = asked.client.map(tracing::field::display),
        // Text of the client: nobody has shown that it is theirs.
        access_key = claimed.map(tracing::field::display),
        operation = asked.target.map(|target| target.operation.as_str()),
        resource = resource(asked).map(tracing::field::display),
        reason = SIGNATURE,
        code = refusal.code().as_str(),
        "denied"
    );
}

/// Writes that a tenant's command about users was not obeyed. `by` signed it; `None` is somebody who has not shown who
/// they are.
pub fn command_refused(by: Option<&User>, client: Option<IpAddr>, command: &str, status: StatusCode) {
    let reason = match (by, status) {
        (None, _) => SIGNATURE,
        (Some(_), StatusCode::FORBIDDEN) => "not_allowed",
        (Some(_), _) => "command",
    };
    info!(
        target: TARGET,
        client = client.map(tracing::field::display),
        access_key = by.map(|user| user.access_key.as_str()),
        account = by.map(|user| user.account.name.as_str()),
        user = by.map(|user| user.name.as_str()),
        // Text of the client.
        command,
        reason,
        status = status.as_u16(),
        "denied"
    );
}

/// Writes that the user of `access_key` was believed as last known, because home did not answer.
pub fn served_known(access_key: &str) {
    info!(target: TARGET, access_key, "user believed without home");
}

/// Whether a refusal with `code` that permission did not make says that a signature is missing, wrong, too old or does not
/// cover enough.
fn is_about_signature(code: &S3ErrorCode) -> bool {
    matches!(
        code.as_str(),
        "AccessDenied"
            | "AuthorizationHeaderMalformed"
            | "AuthorizationQueryParametersError"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
    )
}

/// What was asked for, as a policy names it.
fn resource(asked: Asked<'_>) -> Option<String> {
    let target = asked.target?;
    Some(match (target.bucket(), access_log::key(asked.target, asked.form)) {
        (Some(bucket), Some(key)) => format!("arn:aws:s3:::{bucket}/{key}"),
        (Some(bucket), None) => format!("arn:aws:s3:::{bucket}"),
        (None, _) => "arn:aws:s3:::*".to_owned(),
    })
}
