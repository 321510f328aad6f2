//! What an error says when the place that made it said nothing: S3's own sentence for its code.

use s3s::S3ErrorCode;

/// The sentence for `code`, never empty.
pub(super) fn of_code(code: &S3ErrorCode) -> &'static str {
    SENTENCES
        .iter()
        .find(|(name, _)| *name == code.as_str())
        .map_or("The request was refused; its error code says why.", |(_, sentence)| sentence)
}

/// S3's code and its sentence ("Error responses" in the S3 API reference).
const SENTENCES: &[(&str, &str)] = &[
    ("AccessDenied", "Access Denied"),
    (
        "BadDigest",
        "The Content-MD5 or checksum value that you specified did not match what the server received.",
    ),
    (
        "BucketAlreadyExists",
        "The requested bucket name is not available. Please select a different name and try again.",
    ),
    ("BucketAlreadyOwnedByYou", "The bucket that you tried to create already exists, and you own it."),
    ("BucketNotEmpty", "The bucket that you tried to delete is not empty."),
    ("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size."),
    ("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size."),
    (
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    ),
    ("InternalError", "We encountered an internal error. Please try again."),
    ("InvalidAccessKeyId", "The AWS access key ID that you provided does not exist in our records."),
    ("InvalidArgument", "Invalid Argument"),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("InvalidBucketState", "The request is not valid for the current state of the bucket."),
    ("InvalidDigest", "The Content-MD5 or checksum value that you specified is not valid."),
    ("InvalidObjectState", "The operation is not valid for the current state of the object."),
    (
        "InvalidPart",
        "One or more of the specified parts could not be found. The part might not have been uploaded, or the \
         specified entity tag might not have matched the part's entity tag.",
    ),
    (
        "InvalidPartOrder",
        "The list of parts was not in ascending order. The parts list must be in order by part number.",
    ),
    ("InvalidRange", "The requested range is not satisfiable"),
    ("InvalidRequest", "Invalid Request"),
    ("InvalidTag", "The tag provided was not a valid tag."),
    ("InvalidToken", "The provided token is malformed or otherwise not valid."),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("KeyTooLongError", "Your key is too long."),
    ("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data."),
    (
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema.",
    ),
    ("MaxMessageLengthExceeded", "Your request was too large."),
    ("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size."),
    ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    ("MissingContentLength", "You must provide the Content-Length HTTP header."),
    ("NoSuchBucket", "The specified bucket does not exist"),
    ("NoSuchBucketPolicy", "The bucket policy does not exist."),
    ("NoSuchCORSConfiguration", "The CORS configuration does not exist."),
    ("NoSuchKey", "The specified key does not exist."),
    ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist."),
    (
        "NoSuchUpload",
        "The specified multipart upload does not exist. The upload ID might not be valid, or the multipart upload \
         might have been aborted or completed.",
    ),
    ("NoSuchVersion", "The specified version does not exist."),
    (
        "NotImplemented",
        "A header or query parameter that you provided implies functionality that is not implemented.",
    ),
    ("NotModified", "Not Modified"),
    (
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    ),
    ("PreconditionFailed", "At least one of the preconditions that you specified did not hold."),
    (
        "RequestHeaderSectionTooLarge",
        "The request header and query parameters used to make the request exceed the maximum allowed size.",
    ),
    (
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    ("RequestTimeTooSkewed", "The difference between the request time and the server's time is too large."),
    ("ServiceUnavailable", "Service is unable to handle request."),
    (
        "SignatureDoesNotMatch",
        "The request signature that the server calculated does not match the signature that you provided. Check your \
         AWS secret access key and signing method.",
    ),
    ("SlowDown", "Please reduce your request rate."),
    ("TooManyBuckets", "You have attempted to create more buckets than are allowed for this account."),
    (
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
];
