//! CreateBucket.

use s3s::dto::{CreateBucketInput, CreateBucketOutput};
use s3s::path::check_bucket_name;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::rows::{Bucket, Reads};
use super::seams::Change;
use super::unsupported::refuse_unsupported;
use crate::caller::Caller;
use crate::head::Facts;

/// Makes a bucket of the caller's account, in this region.
///
/// # Errors
/// `BucketAlreadyOwnedByYou` and `BucketAlreadyExists` by whose the existing bucket is; `InvalidBucketName`;
/// `IllegalLocationConstraintException` when another region is asked for.
pub(super) async fn create_bucket(
    store: &RegionalStore,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = Caller::user_of(&request.extensions)?.clone();
    refuse_unsupported(&request.headers)?;
    let CreateBucketInput { bucket: name, create_bucket_configuration, .. } = request.input;
    // s3s takes a hyphen beside a dot, where S3 wants labels to start and end with a letter or digit.
    if !check_bucket_name(&name) || name.contains(".-") || name.contains("-.") {
        return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
    }
    if let Some(configuration) = create_bucket_configuration {
        if configuration.bucket.is_some() || configuration.location.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "Of the bucket's configuration only its location is supported."
            ));
        }
        verify_location(
            configuration.location_constraint.as_ref().map(|location| location.as_str()),
            store.region(),
        )?;
    }
    let location = format!("/{name}");
    store
        .commit(Change::Bucket(name.clone()), move |txn| match txn.bucket(&name)? {
            Some(existing) if existing.facts.owner == caller.account => Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it."
            )),
            Some(_) => Err(s3_error!(
                BucketAlreadyExists,
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. \
                 Please select a different name and try again."
            )),
            None => {
                let owner = caller.as_owner();
                let facts = Facts::new(txn.random_id(), txn.random_id(), caller.account, owner);
                let created_millis = txn.now_millis();
                Ok(txn.put_bucket(&name, &Bucket { facts, created_millis })?)
            }
        })
        .await?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(location) }))
}

fn verify_location(asked: Option<&str>, region: &str) -> S3Result<()> {
    match asked {
        // Clients that know of no regions say `default`.
        None | Some("" | "default") => Ok(()),
        Some(asked) if asked == region => Ok(()),
        Some(asked) => Err(s3_error!(
            IllegalLocationConstraintException,
            "The {asked} location constraint is incompatible for the region specific endpoint this request was sent to."
        )),
    }
}
