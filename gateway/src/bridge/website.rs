//! A website's visitor, answered: the bucket's configuration says what their path stands for and where they are sent
//! instead, and each object is read through the same door as any other, by somebody who has not said who they are.
//!
//! Order of events: redirects that ask for the key alone; the object, which may send its visitors on whatever they know of
//! it; and where it cannot be shown, the folder of that name, redirects that ask for the error, the site's own page about
//! errors, and last the page that says what is wrong.

use std::sync::Arc;

use http::header::{
    HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, RANGE,
    REFERER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri};
use origin::website::{Redirection, Visit, Website};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use s3s::header::X_AMZ_WEBSITE_REDIRECT_LOCATION;
use s3s::{HttpResponse, S3ErrorCode};

use super::{Limits, Named, accepted, answer, keep_open, not_answered, refuse, say};
use crate::access_log;
use crate::client::Client;
use crate::permission::DeniedSlot;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::response::{Failed, Sent};
use crate::store_service::StoreService;
use crate::target::{Operation, Query, Resource, Target};

/// What is encoded of a key in the path of a request for it.
const KEY_ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a visitor's request says that a read depends on: what policies may ask of it, and where it came to.
static OF_EVERY_READ: [HeaderName; 3] = [HOST, REFERER, USER_AGENT];

/// What it says of the page alone, and not of one that is shown in its place.
static OF_THE_PAGE: [HeaderName; 6] =
    [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// The door that a visitor comes through.
pub struct Door<'a> {
    /// The store behind it.
    pub store: &'a StoreService,
    /// Where the visitor comes from.
    pub client: Client,
    /// Takes what permission refuses of the page.
    pub denied: &'a DeniedSlot,
}

/// What there is for a visitor.
enum Found {
    /// An object, or the site's own page about an error.
    Page(HttpResponse),
    /// Another place.
    Elsewhere(Redirection),
    /// The same place, with a slash.
    Folder(Redirection),
}

/// Answers the visitor of `session`, who wants the page `target`.
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
    let head = session.req_header().clone();
    let visitor = Visitor { head: &head, target, door, request_id: named.request_id };
    let found = visitor.find().await?;
    Ok(match found {
        Found::Page(page) => return answer(session, target, page, named, limits).await,
        Found::Elsewhere(Redirection { status, location }) => {
            let headers = HeaderMap::from_iter([(LOCATION, location)]);
            say(session, status, headers, named, &limits.response).await?
        }
        Found::Folder(Redirection { location, .. }) => {
            refuse(session, &Refusal::found(location), named, &limits.response).await?
        }
    })
}

/// A visitor and what they want.
struct Visitor<'a> {
    head: &'a RequestHeader,
    target: &'a Target,
    door: Door<'a>,
    request_id: RequestId,
}

impl Visitor<'_> {
    async fn find(&self) -> Result<Found, Refusal> {
        let bucket = self.target.bucket().unwrap_or_default();
        let website = self.door.store.website(bucket).await;
        let website = website.map_err(|refused| Refusal::from(refused).with_detail("BucketName", bucket))?;
        let visit = self.visit();
        let pages = match &website {
            Website::Elsewhere(elsewhere) => return Ok(Found::Elsewhere(elsewhere.redirection(&visit))),
            Website::Pages(pages) => pages,
        };
        if let Some(redirection) = pages.redirect_before(&visit) {
            return Ok(Found::Elsewhere(redirection));
        }
        let denied = DeniedSlot::default();
        let key = pages.object_key(visit.key);
        let refusal = match self.read(&key, self.target.operation, &OF_THE_PAGE, &denied).await {
            Ok(page) => return Ok(Found::of(page)),
            Err(refusal) => refusal,
        };
        if is_about_part_or_condition(&refusal)
            && let Some(redirect @ Found::Elsewhere(_)) = self.head_of(&key).await?.map(Found::of)
        {
            return Ok(redirect);
        }
        if let Some(folder) = pages.folder(visit.key).filter(|_| is_absence(&refusal))
            && self.head_of(&folder.index_key).await?.is_some()
        {
            return Ok(Found::Folder(folder.redirection));
        }
        if let Some(refused) = denied.get() {
            // Nothing was refused of this request before.
            let _ = self.door.denied.set(refused.clone());
        }
        if let Some(redirection) = pages.redirect_after(&visit, refusal.status()) {
            access_log::explain(self.request_id, Some(self.target), &refusal);
            return Ok(Found::Elsewhere(redirection));
        }
        match pages.error_key().filter(|_| refusal.status().is_client_error()) {
            None => Err(refusal),
            Some(key) => self.own_page(key, refusal).await,
        }
    }

    /// The site's own page about `refusal`, with its status; not a part of it, and not less because the visitor knows it.
    async fn own_page(&self, key: &str, refusal: Refusal) -> Result<Found, Refusal> {
        match self.read(key, self.target.operation, &[], &DeniedSlot::default()).await {
            Ok(mut page) => {
                *page.status_mut() = refusal.status();
                page.headers_mut().extend(refusal.error_headers());
                Ok(Found::Page(page))
            }
            Err(failed) if failed.status().is_server_error() => Err(failed),
            Err(refused) => Err(refusal.without_own_page(refused)),
        }
    }

    /// The head of the whole object `key`, where there is one for this visitor.
    async fn head_of(&self, key: &str) -> Result<Option<HttpResponse>, Refusal> {
        match self.read(key, Operation::HeadObject, &[], &DeniedSlot::default()).await {
            Ok(head) => Ok(Some(head)),
            Err(failed) if failed.status().is_server_error() => Err(failed),
            Err(_) => Ok(None),
        }
    }

    /// Reads the object `key` as anybody may who is let in, with what the visitor's request says in `passed_on`.
    async fn read(
        &self,
        key: &str,
        operation: Operation,
        passed_on: &[HeaderName],
        denied: &DeniedSlot,
    ) -> Result<HttpResponse, Refusal> {
        let bucket = self.target.bucket().unwrap_or_default().to_owned();
        let resource = Resource::Object { bucket, key: key.to_owned() };
        let target = Target { resource, operation, query: Query::default(), ..self.target.clone() };
        let mut request = Request::new(s3s::Body::empty());
        *request.method_mut() = if operation == Operation::HeadObject { Method::HEAD } else { Method::GET };
        let path = format!("/{}", utf8_percent_encode(key, KEY_ENCODED));
        *request.uri_mut() = Uri::try_from(path).map_err(|_| Refusal::from(S3ErrorCode::InvalidURI))?;
        for name in OF_EVERY_READ.iter().chain(passed_on) {
            if let Some(value) = self.head.headers.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let service = self.door.store.for_request(Arc::new(target), self.door.client, denied.clone(), None);
        let response = service.call(request).await.map_err(not_answered)?;
        accepted(response).await.map_err(|refusal| match refusal.code() {
            S3ErrorCode::NoSuchKey => refusal.with_detail("Key", key),
            _ => refusal,
        })
    }

    fn visit(&self) -> Visit<'_> {
        let target = self.head.raw_path();
        let query = target.iter().position(|&byte| byte == b'?').map_or(&[][..], |mark| &target[mark + 1..]);
        Visit {
            is_tls: self.door.client.is_tls,
            host: self.head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
            key: self.target.key().unwrap_or_default(),
            query,
        }
    }
}

impl Found {
    /// An object is a page, or it sends its visitors on.
    fn of(page: HttpResponse) -> Self {
        let location = page.headers().get(X_AMZ_WEBSITE_REDIRECT_LOCATION);
        match location.and_then(|location| location.to_str().ok()) {
            Some(location) => Self::Elsewhere(Redirection::of_object(location)),
            None => Self::Page(page),
        }
    }
}

/// Whether `refusal` is about what the request asks of an object that it may have. Of one that sends its visitors on nothing
/// is to be asked: conditions and ranges are for answers that would have been 200 (RFC 9110 §13.2.1, §14.2).
fn is_about_part_or_condition(refusal: &Refusal) -> bool {
    let status = refusal.status();
    matches!(
        status,
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE
    )
}

/// Whether `refusal` may mean that there is no such object. Who may not list the bucket is told the same of one that is
/// not there and of one that they may not read, and is led to a folder in both cases, so that they learn no more here.
fn is_absence(refusal: &Refusal) -> bool {
    matches!(refusal.status(), StatusCode::NOT_FOUND | StatusCode::FORBIDDEN)
}
