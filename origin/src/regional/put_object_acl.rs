//! PutObjectAcl.

use s3s::dto::{PutObjectAclInput, PutObjectAclOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_object;
use super::asked::{AskedBucket, AskedObject};
use super::unsupported::{SETS_ACL, refuse_unsupported};
use super::wanted_acl::WantedAcl;

/// Gives an object another access control list.
///
/// # Errors
/// Those of [`WantedAcl`]; `AccessDenied` also for a list with another owner; those of [`AskedObject::find`].
pub(super) async fn put_object_acl(
    store: &RegionalStore,
    request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let PutObjectAclInput { bucket, key, version_id, access_control_policy, expected_bucket_owner, .. } =
        request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    refuse_unsupported(&request.headers, SETS_ACL)?;
    let caller = &object.bucket.caller;
    let wanted = WantedAcl::of_request(store, caller, &request.headers, access_control_policy).await?;
    amend_object(store, object, move |facts, head| {
        head.acl = Some(wanted.acl(facts.object_owner(head), facts)?);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}
