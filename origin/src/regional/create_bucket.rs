//! CreateBucket.

use s3s::dto::{CreateBucketInput, CreateBucketOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::rows::{Bucket, Reads, Snapshot};
use super::seams::Change;
use super::unsupported::{MAKES_BUCKET, refuse_unsupported};
use super::usage::ReadUsage;
use super::wanted_acl::{WantedAcl, verify_ownership};
use crate::caller::Caller;
use crate::head::{Facts, ObjectOwnership};
use crate::permit::{On, Role, permit_of};

/// Makes a bucket of the caller's account, in this region. One that is there and as asked for was made already: see
/// ops/decisions on making a bucket twice.
///
/// # Errors
/// `BucketAlreadyExists` where there is one that is not this account's, or not as it is asked for; `InvalidBucketName`;
/// `TooManyBuckets` where the account has as many as it may; `IllegalLocationConstraintException` when another region is asked for, or none where one has to be; those of [`WantedAcl`];
/// `InvalidBucketAclWithObjectOwnership` for a list in a bucket that is to know none.
pub(super) async fn create_bucket(
    store: &RegionalStore,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = Caller::user_of(&request.extensions)?.clone();
    refuse_unsupported(&request.headers, MAKES_BUCKET)?;
    let CreateBucketInput { bucket: name, create_bucket_configuration, object_ownership, .. } = request.input;
    let settings = &store.shared.settings;
    settings.reserved_names.verify(&name)?;
    let configuration = create_bucket_configuration.unwrap_or_default();
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Of the bucket's configuration only its location is supported."
        ));
    }
    let location = configuration.location_constraint.as_ref().map(|location| location.as_str());
    verify_location(location, &settings.region, settings.is_location_required)?;
    let ownership = object_ownership.map(|ownership| parse_ownership(ownership.as_str())).transpose()?;
    let wanted_acl = WantedAcl::of_headers(store, &caller, &request.headers).await?;
    let answer = CreateBucketOutput { location: Some(format!("/{name}")) };
    let owner = caller.as_owner();
    let mut facts = Facts::new(store.random_id(), store.random_id(), caller.account, owner.clone());
    let acl = wanted_acl.map(|wanted| wanted.acl(owner.clone(), &facts)).transpose()?;
    if let Some(ownership) = ownership {
        verify_ownership(ownership, acl.as_ref(), &owner)?;
    }
    facts.ownership = ownership;
    facts.acl = acl;
    // Asked before anybody is told: a name that is taken would empty caches of somebody else's bucket.
    let permit = permit_of(&request.extensions)?;
    let quota = settings.account_buckets_max;
    let (asked, wanted, asking) = (name.clone(), facts.clone(), permit.clone());
    let asked = move |rows: &Snapshot<'_>| {
        asking.decide(Role::Target, &On::bucket(&asked, &wanted))?;
        let is_made = is_made(rows, &asked, &wanted)?;
        if !is_made {
            rows.verify_room_for_bucket(&wanted.owner, quota)?;
        }
        Ok(is_made)
    };
    if store.read_few_for(permit.clone(), asked).await? {
        return Ok(S3Response::new(answer));
    }
    store
        .commit_for(permit.clone(), Change::Bucket(name.clone()), move |txn| {
            permit.decide(Role::Target, &On::bucket(&name, &facts))?;
            if is_made(txn, &name, &facts)? {
                return Ok(());
            }
            let created_millis = txn.now_millis();
            Ok(txn.put_bucket(&name, &Bucket::new(facts, created_millis))?)
        })
        .await?;
    Ok(S3Response::new(answer))
}

/// Whether the bucket `name` is there already, as it is `wanted`.
///
/// # Errors
/// `BucketAlreadyExists` where there is another one.
fn is_made(rows: &impl Reads, name: &str, wanted: &Facts) -> S3Result<bool> {
    let Some(Bucket { facts: existing, .. }) = rows.bucket(name)? else { return Ok(false) };
    // Whoever asks for another list than there is has not made this bucket: it is not theirs for the taking.
    let is_as_wanted = existing.owner == wanted.owner
        && existing.acl() == wanted.acl()
        && wanted.ownership.is_none_or(|ownership| existing.object_ownership() == ownership);
    if is_as_wanted {
        return Ok(true);
    }
    Err(s3_error!(
        BucketAlreadyExists,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. \
         Please select a different name and try again."
    ))
}

fn parse_ownership(text: &str) -> S3Result<ObjectOwnership> {
    ObjectOwnership::parse(text)
        .ok_or_else(|| s3_error!(InvalidArgument, "invalid header: x-amz-object-ownership: {text}"))
}

fn verify_location(asked: Option<&str>, region: &str, is_required: bool) -> S3Result<()> {
    match asked {
        // Common tools leave it out; clients that know of no regions say `default`.
        None | Some("") if !is_required => Ok(()),
        Some("default") => Ok(()),
        Some(asked) if asked == region => Ok(()),
        None | Some("") => Err(s3_error!(
            IllegalLocationConstraintException,
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to."
        )),
        Some(asked) => Err(s3_error!(
            IllegalLocationConstraintException,
            "The {asked} location constraint is incompatible for the region specific endpoint this request was sent to."
        )),
    }
}
