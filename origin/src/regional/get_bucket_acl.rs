//! GetBucketAcl.

use s3s::dto::{GetBucketAclInput, GetBucketAclOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::answers::{grants, owner};
use super::asked::AskedBucket;

/// Shows a bucket's access control list.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_acl(
    store: &RegionalStore,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let GetBucketAclInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let acl = store.read_for(bucket.permit(), move |rows| Ok(bucket.find(rows)?.facts.acl())).await?;
    let (owner, grants) = (Some(owner(acl.owner)), Some(grants(acl.grants)));
    Ok(S3Response::new(GetBucketAclOutput { grants, owner }))
}
