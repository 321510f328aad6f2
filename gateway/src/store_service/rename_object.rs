//! RenameObject, which s3s does not know.

use http::HeaderMap;
use origin::regional::RenameObjectInput;
use s3s::{Body, S3ErrorCode, S3Request, S3Response, S3Result};

use super::Renames;
use crate::target::Target;

/// What a request with `headers` for `target` wants renamed.
///
/// # Errors
/// Those of [`RenameObjectInput::parse`].
pub(super) fn parse(target: &Target, headers: &HeaderMap) -> S3Result<RenameObjectInput> {
    let (Some(bucket), Some(key)) = (target.bucket(), target.key()) else {
        return Err(S3ErrorCode::InvalidRequest.into());
    };
    RenameObjectInput::parse(bucket, key, headers)
}

/// Renames what `request` for `target` names in `store`.
pub(super) async fn call(
    store: &impl Renames,
    target: &Target,
    request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let input = parse(target, &request.headers)?;
    let answer = store.rename_object(request.map_input(|_| input)).await?;
    Ok(answer.map_output(|()| Body::empty()))
}
