//! GetObjectAcl.

use s3s::dto::{GetObjectAclInput, GetObjectAclOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::answers::{grants, owner};
use super::asked::{AskedBucket, AskedObject};

/// Shows an object's access control list.
///
/// # Errors
/// Those of [`AskedObject::find`].
pub(super) async fn get_object_acl(
    store: &RegionalStore,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let GetObjectAclInput { bucket, key, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    let (facts, head) =
        store.read_for(object.bucket.permit(), move |rows| object.find_without_parts(rows)).await?;
    let acl = facts.object_acl(&head);
    Ok(S3Response::new(GetObjectAclOutput {
        grants: Some(grants(acl.grants)),
        owner: Some(owner(acl.owner)),
        request_charged: None,
    }))
}
