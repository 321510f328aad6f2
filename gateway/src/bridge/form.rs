//! A browser's form, answered: its fields are read and judged before a byte of its file is taken, and the file goes to
//! the store as the body of the PUT that the form stands for.

use std::sync::{Arc, OnceLock};

use pingora::proxy::Session;
use time::OffsetDateTime;

use super::upload::{self, Decoding, Source};
use super::{Limits, Named, accepted, address, call, keep_open, name, settle_unread_body};
use crate::access_log::SaidByForm;
use crate::client::Client;
use crate::permission::DeniedSlot;
use crate::post_form::{self, Begun, Boundary, Claim, FileBody, Form, Policy, Prelude, Put, Rules, Sizes};
use crate::refusal::Refusal;
use crate::response::{Failed, Sender, Sent};
use crate::store_service::{StoreService, WaitsForPlace};
use crate::target::Target;

/// Longest key, and access key, that is logged of a form: the longest that an object can have.
const SAID_BYTES_MAX: usize = 1024;

/// The door that a form has to pass.
pub struct Door<'a> {
    /// The store behind it.
    pub store: &'a StoreService,
    /// How a form may be signed.
    pub rules: Rules,
    /// Where the form comes from.
    pub client: Client,
    /// Takes what it says of itself.
    pub said: &'a OnceLock<SaidByForm>,
    /// Takes what permission refuses of it.
    pub denied: &'a DeniedSlot,
    /// A place among the uploads, for a form that is let in.
    pub place: WaitsForPlace,
}

/// Answers the form of `session`, which is for `target`.
///
/// # Errors
/// [`Failed`]: the caller tells the refusal, or resets the connection.
pub async fn serve(
    session: &mut Session,
    target: &Target,
    door: Door<'_>,
    named: Named<'_>,
    limits: &Limits,
) -> Result<Sent, Failed> {
    keep_open(session);
    let boundary = Boundary::of(&session.req_header().headers)?;
    let mut source = Source::of(session);
    let Begun { fields, file_name, rest } = begin(session, &boundary, &mut source, &limits.upload).await?;
    source.give_back(rest);
    let form = Form::of(fields, file_name)?;
    let claim = Claim::of(&form, door.rules);
    let access_key = claim.as_ref().ok().and_then(Option::as_ref).map(Claim::access_key);
    // Nobody has looked at either yet: what is too long to be one is not logged.
    let said = |value: Option<&str>| value.filter(|value| value.len() <= SAID_BYTES_MAX).map(str::to_owned);
    door.said.set(SaidByForm { key: said(form.get("key")), access_key: said(access_key) }).ok();
    let (signer, sizes) = match claim? {
        None => (None, Sizes::ANY),
        Some(claim) => {
            let signer = door.store.signer_of(&claim, door.client).await?;
            let bucket = target.bucket().unwrap_or_default();
            let sizes = Policy::parse(claim.policy())?.verify(&form, bucket, OffsetDateTime::now_utc())?;
            (Some(signer), sizes)
        }
    };
    let Put { request, target: put } = Put::of(&form, target, &session.req_header().headers)?;
    let put = Arc::new(put);
    let Door { store, client, denied, place, .. } = door;
    let service = store.for_form(put.clone(), client, denied.clone(), signer, place);
    // What the file's length is shows when it ends.
    let (feed, body) = upload::pipe(source, Decoding::File(FileBody::new(boundary, sizes)), None);
    let response = call(session, service, request, feed, body, &limits.upload).await?;
    let mut headers = accepted(response).await?.into_parts().0.headers;
    name(&mut headers, named, &session.req_header().method);
    let bucket = address(session, client);
    let (status, headers, document) = post_form::told(&form, &put, bucket.trim_end_matches('/'), headers);
    settle_unread_body(session);
    let mut sender = Sender::begin(session, status, headers, &limits.response).await?;
    sender.write(document).await?;
    Ok(sender.finish().await?)
}

/// Reads the fields, up to the file.
async fn begin(
    session: &mut Session,
    boundary: &Boundary,
    source: &mut Source,
    limits: &upload::Limits,
) -> Result<Begun, Refusal> {
    let mut prelude = Prelude::new(boundary.clone());
    while let Some(bytes) = source.next(session, limits).await? {
        if let Some(begun) = prelude.take(&bytes)? {
            return Ok(begun);
        }
    }
    Err(prelude.cut_short())
}
