//! The access control list that a request asks for: canned, by grants in headers, or in XML, and only one of them.
//!
//! Accounts that it names are looked up before anything is staged; the list itself is made in the transaction, where it
//! is known whose the object or bucket is and what the bucket allows.

use http::{HeaderMap, HeaderValue};
use s3s::dto::{self, AccessControlPolicy};
use s3s::{S3Error, S3Result, s3_error};

use super::RegionalStore;
use crate::acl::{Acl, Canned, GRANTS_MAX, Grant, Grantee, Owner, Permission};
use crate::caller::Caller;
use crate::head::{Facts, ObjectOwnership};

const X_AMZ_ACL: &str = "x-amz-acl";

/// In the order in which their grants stand in the list.
const GRANT_HEADERS: [(&str, Permission); 5] = [
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-read-acp", Permission::ReadAcp),
    ("x-amz-grant-write-acp", Permission::WriteAcp),
    ("x-amz-grant-full-control", Permission::FullControl),
];

/// A list to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WantedAcl {
    Canned(Canned),
    Grants(Vec<Grant>),
}

/// A list to be set in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    wanted: WantedAcl,
    /// Whom the request takes for the owner.
    owner_id: Option<String>,
}

/// A grantee as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Id(String),
    Email(String),
    Uri(String),
}

impl WantedAcl {
    /// The list that the headers of a request ask for, if they do.
    ///
    /// # Errors
    /// `InvalidArgument` for a canned list, a grant or a group that is none, and for an unknown id;
    /// `UnresolvableGrantByEmailAddress`, `AmbiguousGrantByEmailAddress`; `InvalidRequest` for two lists at once;
    /// `NotImplemented` for `aws-exec-read`.
    pub(super) async fn of_headers(
        store: &RegionalStore,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> S3Result<Option<Self>> {
        let canned = canned(headers)?;
        let grants = header_grants(headers)?;
        match (canned, grants.is_empty()) {
            (Some(_), false) => {
                Err(s3_error!(InvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed"))
            }
            (Some(canned), true) => Ok(Some(Self::Canned(canned))),
            (None, true) => Ok(None),
            (None, false) => Ok(Some(Self::Grants(resolve(store, caller, grants).await?))),
        }
    }

    /// The list that a request to set one asks for, in headers or in its body.
    ///
    /// # Errors
    /// Those of [`WantedAcl::of_headers`]; `UnexpectedContent` for a list in both; `MissingSecurityHeader` for one in
    /// neither; `MalformedACLError`.
    pub(super) async fn of_request(
        store: &RegionalStore,
        caller: &Caller,
        headers: &HeaderMap,
        body: Option<AccessControlPolicy>,
    ) -> S3Result<Replacement> {
        match (Self::of_headers(store, caller, headers).await?, body) {
            (Some(_), Some(_)) => Err(s3_error!(UnexpectedContent, "This request does not support content")),
            (Some(wanted), None) => Ok(Replacement { wanted, owner_id: None }),
            (None, Some(body)) => {
                let owner_id = Some(body.owner.and_then(|owner| owner.id).ok_or_else(malformed)?);
                let grants = body.grants.unwrap_or_default().into_iter().map(body_grant);
                let grants = resolve(store, caller, grants.collect::<S3Result<_>>()?).await?;
                Ok(Replacement { wanted: Self::Grants(grants), owner_id })
            }
            (None, None) => {
                Err(s3_error!(MissingSecurityHeader, "Your request was missing a required header: x-amz-acl"))
            }
        }
    }

    /// The list, of something new of `owner` in the bucket of `facts`.
    ///
    /// # Errors
    /// `AccessControlListNotSupported` where the bucket knows no lists and this one is not its owner's full control;
    /// `AccessDenied` where it blocks lists that give to strangers.
    pub(super) fn acl(&self, owner: Owner, facts: &Facts) -> S3Result<Acl> {
        let acl = match self {
            Self::Canned(canned) => canned.acl(owner, &facts.owner()),
            Self::Grants(grants) => Acl { owner, grants: grants.clone() },
        };
        match facts.object_ownership() {
            ObjectOwnership::BucketOwnerEnforced if !self.is_the_owner_s_alone(&acl, &facts.owner()) => {
                return Err(no_lists());
            }
            ObjectOwnership::BucketOwnerEnforced
            | ObjectOwnership::BucketOwnerPreferred
            | ObjectOwnership::ObjectWriter => {}
        }
        if facts.blocks().block_public_acls && acl.is_public() {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        Ok(acl)
    }

    /// Whether this is the word, or the list, that says what holds anyway where there are no lists. `private` is not.
    fn is_the_owner_s_alone(&self, acl: &Acl, bucket_owner: &Owner) -> bool {
        match self {
            Self::Canned(canned) => *canned == Canned::BucketOwnerFullControl,
            Self::Grants(_) => gives_nothing_away(acl, bucket_owner),
        }
    }
}

impl Replacement {
    /// The list, of something of `owner` in the bucket of `facts`.
    ///
    /// # Errors
    /// Those of [`WantedAcl::acl`]; `AccessControlListNotSupported` for any list where the bucket knows none;
    /// `AccessDenied` when the body names another owner.
    pub(super) fn acl(&self, owner: Owner, facts: &Facts) -> S3Result<Acl> {
        match facts.object_ownership() {
            ObjectOwnership::BucketOwnerEnforced => return Err(no_lists()),
            ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => {}
        }
        if self.owner_id.as_ref().is_some_and(|named| *named != owner.id) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        self.wanted.acl(owner, facts)
    }
}

/// Refuses to do away with lists while the bucket's own gives something to others than its owner.
///
/// # Errors
/// `InvalidBucketAclWithObjectOwnership`.
pub(super) fn verify_ownership(
    ownership: ObjectOwnership,
    acl: Option<&Acl>,
    bucket_owner: &Owner,
) -> S3Result<()> {
    match ownership {
        ObjectOwnership::BucketOwnerEnforced
            if acl.is_some_and(|acl| !gives_nothing_away(acl, bucket_owner)) =>
        {
            Err(s3_error!(
                InvalidBucketAclWithObjectOwnership,
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
            ))
        }
        ObjectOwnership::BucketOwnerEnforced
        | ObjectOwnership::BucketOwnerPreferred
        | ObjectOwnership::ObjectWriter => Ok(()),
    }
}

/// Whose a new object is, and its list where that says more than that it is private.
///
/// # Errors
/// Those of [`WantedAcl::acl`].
pub(super) fn ownership(
    facts: &Facts,
    caller: &Caller,
    wanted: Option<&WantedAcl>,
) -> S3Result<(Option<Owner>, Option<Acl>)> {
    let given_up = wanted == Some(&WantedAcl::Canned(Canned::BucketOwnerFullControl));
    let owner = match facts.object_ownership() {
        ObjectOwnership::BucketOwnerEnforced => facts.owner(),
        ObjectOwnership::BucketOwnerPreferred if given_up => facts.owner(),
        ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => caller.as_owner(),
    };
    let acl = wanted.map(|wanted| wanted.acl(owner.clone(), facts)).transpose()?;
    let says_more = |acl: &Acl| *acl != Acl::private(owner.clone());
    // The bucket's owner is who owns what names nobody.
    Ok((Some(owner.clone()).filter(|owner| owner.id != facts.owner_id), acl.filter(says_more)))
}

/// Full control of the bucket's owner, and nothing else.
fn gives_nothing_away(acl: &Acl, bucket_owner: &Owner) -> bool {
    let of_the_owner = |grant: &Grant| {
        matches!(&grant.grantee, Grantee::Canonical(account) if account.id == bucket_owner.id)
            && grant.permission == Permission::FullControl
    };
    !acl.grants.is_empty() && acl.grants.iter().all(of_the_owner)
}

fn canned(headers: &HeaderMap) -> S3Result<Option<Canned>> {
    let Some(value) = headers.get(X_AMZ_ACL).filter(|value| !value.is_empty()) else { return Ok(None) };
    match value.to_str().ok() {
        Some("aws-exec-read") => {
            Err(s3_error!(NotImplemented, "The canned ACL aws-exec-read is not supported."))
        }
        text => text
            .and_then(Canned::parse)
            .map(Some)
            .ok_or_else(|| s3_error!(InvalidArgument, "invalid header: x-amz-acl: {value:?}")),
    }
}

fn header_grants(headers: &HeaderMap) -> S3Result<Vec<(Named, Permission)>> {
    let mut grants = Vec::new();
    for (name, permission) in GRANT_HEADERS {
        for value in headers.get_all(name) {
            for named in parse_grantees(value)? {
                grants.push((named, permission));
            }
        }
    }
    Ok(grants)
}

/// `id="…", uri="…", emailAddress="…"`, with or without the quotes.
fn parse_grantees(value: &HeaderValue) -> S3Result<Vec<Named>> {
    let unknown = || s3_error!(InvalidArgument, "Argument format not recognized");
    let text = value.to_str().map_err(|_| unknown())?;
    let mut grantees = Vec::new();
    for part in text.split(',') {
        let (kind, name) = part.split_once('=').ok_or_else(unknown)?;
        let name = name.trim();
        let name = name.strip_prefix('"').map_or(Some(name), |rest| rest.strip_suffix('"'));
        let name =
            name.filter(|name| !name.is_empty() && !name.contains('"')).ok_or_else(unknown)?.to_owned();
        grantees.push(match kind.trim().to_ascii_lowercase().as_str() {
            "id" => Named::Id(name),
            "emailaddress" => Named::Email(name),
            "uri" => Named::Uri(name),
            _ => return Err(unknown()),
        });
    }
    Ok(grantees)
}

fn body_grant(grant: dto::Grant) -> S3Result<(Named, Permission)> {
    let (Some(grantee), Some(permission)) = (grant.grantee, grant.permission) else {
        return Err(malformed());
    };
    let named = match grantee.type_.as_str() {
        dto::Type::CANONICAL_USER => grantee.id.map(Named::Id),
        dto::Type::AMAZON_CUSTOMER_BY_EMAIL => grantee.email_address.map(Named::Email),
        dto::Type::GROUP => grantee.uri.map(Named::Uri),
        _ => None,
    };
    let permission = Permission::parse(permission.as_str());
    named.zip(permission).ok_or_else(malformed)
}

/// Looks up who is named, each once.
async fn resolve(
    store: &RegionalStore,
    caller: &Caller,
    grants: Vec<(Named, Permission)>,
) -> S3Result<Vec<Grant>> {
    if grants.len() > GRANTS_MAX {
        return Err(s3_error!(
            MalformedACLError,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    let mut known: Vec<(Named, Grantee)> = Vec::new();
    let mut resolved = Vec::with_capacity(grants.len());
    for (named, permission) in grants {
        let found = known.iter().find(|(before, _)| *before == named).map(|(_, grantee)| grantee.clone());
        let grantee = match found {
            Some(grantee) => grantee,
            None => look_up(store, caller, &named).await?,
        };
        known.push((named, grantee.clone()));
        resolved.push(Grant { grantee, permission });
    }
    Ok(resolved)
}

async fn look_up(store: &RegionalStore, caller: &Caller, named: &Named) -> S3Result<Grantee> {
    match named {
        Named::Id(id) if *id == caller.canonical_id && !caller.is_anonymous() => {
            Ok(Grantee::Canonical(caller.as_owner()))
        }
        Named::Id(id) => {
            let account = store.directory().by_id(id).await?;
            account.map(Grantee::Canonical).ok_or_else(|| s3_error!(InvalidArgument, "Invalid id"))
        }
        Named::Uri(uri) => Grantee::group(uri).ok_or_else(|| s3_error!(InvalidArgument, "Invalid group uri")),
        Named::Email(email) => {
            let mut accounts = store.directory().by_email(email).await?.into_iter();
            match (accounts.next(), accounts.next()) {
                (Some(account), None) => Ok(Grantee::Canonical(account)),
                (None, _) => Err(s3_error!(
                    UnresolvableGrantByEmailAddress,
                    "The e-mail address you provided does not match any account on record."
                )),
                (Some(_), Some(_)) => Err(s3_error!(
                    AmbiguousGrantByEmailAddress,
                    "The e-mail address you provided is associated with more than one account."
                )),
            }
        }
    }
}

fn no_lists() -> S3Error {
    s3_error!(AccessControlListNotSupported, "The bucket does not allow ACLs")
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedACLError,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Result<Vec<Named>, String> {
        parse_grantees(&HeaderValue::from_static(text)).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn grantees_are_named_in_three_ways() {
        let (id, email) = (|text: &str| Named::Id(text.into()), |text: &str| Named::Email(text.into()));
        for (text, expected) in [
            ("id=ab", vec![id("ab")]),
            ("id=\"ab\" ,  id=cd", vec![id("ab"), id("cd")]),
            ("emailAddress=\"a@b.c\",uri=http://x", vec![email("a@b.c"), Named::Uri("http://x".into())]),
            ("EMAILADDRESS=a@b.c", vec![email("a@b.c")]),
        ] {
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
        for text in
            ["", "ab", "id", "id=", "id=\"\"", "id=\"ab", "id=ab\"", "ids=ab", "id=ab,", "email=a@b.c"]
        {
            assert_eq!(parsed(text), Err("InvalidArgument".to_owned()), "{text}");
        }
    }
}
