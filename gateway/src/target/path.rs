//! The path of a request target: which bucket and which key it names.

use s3s::S3ErrorCode;
use s3s::path::{check_bucket_name, check_key};

use super::{Resource, percent};
use crate::refusal::Refusal;

/// What `raw_path` names, in the bucket of the host name if there is one.
///
/// The path is cut at its slashes first and decoded afterwards, once: `%2F` belongs to a key and never ends a bucket's
/// name, and `//`, `.`, `..` and `+` stay as they are, because a key is any text.
///
/// # Errors
/// `InvalidURI` when the path does not start with a slash or cannot be decoded, `InvalidBucketName`,
/// `KeyTooLongError`.
pub(super) fn resource(host_bucket: Option<String>, raw_path: &[u8]) -> Result<Resource, Refusal> {
    let path = raw_path.strip_prefix(b"/").ok_or_else(|| Refusal::from(S3ErrorCode::InvalidURI))?;
    let (bucket, raw_key) = match host_bucket {
        Some(bucket) => (bucket, path),
        None if path.is_empty() => return Ok(Resource::Service),
        None => {
            let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
            (percent::decode(&path[..end])?, path.get(end + 1..).unwrap_or_default())
        }
    };
    if !check_bucket_name(&bucket) {
        return Err(Refusal::from(S3ErrorCode::InvalidBucketName).with_detail("BucketName", bucket));
    }
    let key = percent::decode(raw_key)?;
    if !check_key(&key) {
        return Err(Refusal::from(S3ErrorCode::KeyTooLongError)
            .with_detail("Size", key.len().to_string())
            .with_detail("MaxSizeAllowed", "1024"));
    }
    Ok(if key.is_empty() { Resource::Bucket { bucket } } else { Resource::Object { bucket, key } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bucket: &str, key: &str) -> Resource {
        Resource::Object { bucket: bucket.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn keys_are_kept_as_they_were_sent() {
        let cases = [
            ("/photos/a/b", "a/b"),
            ("/photos//", "/"),
            ("/photos//a", "/a"),
            ("/photos/a//b/", "a//b/"),
            ("/photos/../x", "../x"),
            ("/photos/./x", "./x"),
            ("/photos/a%2Fb", "a/b"),
            ("/photos/%2e%2e%2Fx", "../x"),
            ("/photos/a+b", "a+b"),
            ("/photos/a%2Bb%20c", "a+b c"),
            ("/photos/%C3%A9", "é"),
            ("/photos/é", "é"),
            ("/photos/%25", "%"),
            ("/photos/a;b=c&d@e:f,g", "a;b=c&d@e:f,g"),
            ("/photos/%00", "\0"),
        ];
        for (path, key) in cases {
            assert_eq!(resource(None, path.as_bytes()).ok(), Some(object("photos", key)), "{path}");
            let in_host = resource(Some("photos".to_owned()), path.trim_start_matches("/photos").as_bytes());
            assert_eq!(in_host.ok(), Some(object("photos", key)), "{path} in a virtual host");
        }
    }

    #[test]
    fn the_host_s_bucket_is_not_looked_for_in_the_path() {
        let bucket = Resource::Bucket { bucket: "photos".to_owned() };
        assert_eq!(resource(Some("photos".to_owned()), b"/").ok(), Some(bucket.clone()));
        assert_eq!(resource(Some("photos".to_owned()), b"/other/a").ok(), Some(object("photos", "other/a")));
        assert_eq!(resource(None, b"/photos").ok(), Some(bucket.clone()));
        assert_eq!(resource(None, b"/photos/").ok(), Some(bucket));
        assert_eq!(resource(None, b"/").ok(), Some(Resource::Service));
    }

    #[test]
    fn bad_paths_are_refused() {
        let too_long = format!("/photos/{}", "a".repeat(1025));
        let cases = [
            ("", "InvalidURI"),
            ("*", "InvalidURI"),
            ("http://object.ord1.penstock.localhost/photos", "InvalidURI"),
            ("photos/a", "InvalidURI"),
            ("/photos/%", "InvalidURI"),
            ("/photos/%ff", "InvalidURI"),
            ("//", "InvalidBucketName"),
            ("//photos/a", "InvalidBucketName"),
            ("/Photos/a", "InvalidBucketName"),
            ("/photos%2Fa", "InvalidBucketName"),
            ("/photos%2F/a", "InvalidBucketName"),
            ("/ab/a", "InvalidBucketName"),
            ("/127.0.0.1/a", "InvalidBucketName"),
            ("/../photos/a", "InvalidBucketName"),
            ("/a_b_c/a", "InvalidBucketName"),
            (too_long.as_str(), "KeyTooLongError"),
        ];
        for (path, code) in cases {
            assert_eq!(resource(None, path.as_bytes()).expect_err(path).code().as_str(), code, "{path}");
        }
        assert!(resource(None, &too_long.as_bytes()[..too_long.len() - 1]).is_ok(), "1024 bytes are a key");
        let escaped = format!("/photos/{}", "%C3%A9".repeat(513));
        assert_eq!(
            resource(None, escaped.as_bytes()).expect_err("1026").code(),
            &S3ErrorCode::KeyTooLongError
        );
    }
}
