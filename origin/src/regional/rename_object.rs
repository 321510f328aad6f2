//! RenameObject, which s3s does not know: what the request says is parsed here.

use http::HeaderMap;
use http::header::HeaderName;
use ring::digest::{Context, SHA256};
use s3s::dto::CopySource;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject, no_such_key};
use super::rows::{Reads, RenamedRow, Snapshot};
use super::seams::Change;
use super::txn::Txn;
use super::unsupported::{READS_NONE, refuse_unsupported};
use crate::head::{Facts, Head, Versioning};
use crate::read_request::{Conditions, OF_READS, Verdict, expected_bucket_owner, precondition_failed};

/// Longest client token (RenameObject page of the S3 API reference).
const TOKEN_BYTES_MAX: usize = 64;

const SOURCE: HeaderName = HeaderName::from_static("x-amz-rename-source");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-client-token");
const OF_SOURCE: [HeaderName; 4] = [
    HeaderName::from_static("x-amz-rename-source-if-match"),
    HeaderName::from_static("x-amz-rename-source-if-none-match"),
    HeaderName::from_static("x-amz-rename-source-if-modified-since"),
    HeaderName::from_static("x-amz-rename-source-if-unmodified-since"),
];

/// What a request to rename an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenameObjectInput {
    bucket: String,
    key: String,
    source: String,
    source_conditions: Conditions,
    conditions: Conditions,
    client_token: Option<String>,
    expected_bucket_owner: Option<String>,
    /// Of everything that makes it this rename and no other.
    fingerprint: [u8; 32],
}

impl RenameObjectInput {
    /// What a request with `headers` says whose target is `key` in `bucket`.
    ///
    /// # Errors
    /// `InvalidArgument` where the source is no object's name, for a token that cannot be and for conditions that cannot
    /// be read; `InvalidRequest` for a source in another bucket, a version of it, and the very same key.
    pub fn parse(bucket: &str, key: &str, headers: &HeaderMap) -> S3Result<Self> {
        let source = source(bucket, text(headers, &SOURCE)?)?;
        if source == key {
            return Err(s3_error!(InvalidRequest, "An object cannot be renamed to the key that it has."));
        }
        Ok(Self {
            source_conditions: Conditions::parse(headers, &OF_SOURCE)?,
            conditions: Conditions::parse(headers, &OF_READS)?,
            client_token: text(headers, &TOKEN)?.map(client_token).transpose()?,
            expected_bucket_owner: expected_bucket_owner(headers)?,
            fingerprint: fingerprint([bucket, key, &source], headers),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            source,
        })
    }

    /// The bucket of both keys.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key of the object that is to have another one.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl RegionalStore {
    /// Gives an object another key in its bucket, in place of whatever has that key. Nothing else of it changes, neither
    /// its time nor its instance: caches that hold its bytes go on holding them. However large it is, two rows move.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `AccessDenied`; `InvalidBucketState` where versions are kept or were;
    /// `PreconditionFailed`; `IdempotencyParameterMismatch` when another rename was done under the same token.
    pub async fn rename_object(&self, request: S3Request<RenameObjectInput>) -> S3Result<S3Response<()>> {
        refuse_unsupported(&request.headers, READS_NONE)?;
        let RenameObjectInput { bucket, key, source, expected_bucket_owner, .. } = request.input.clone();
        let target = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner.clone())?;
        let from = target.copy_source(target.name.clone(), expected_bucket_owner);
        let rename = Rename {
            target: AskedObject::new(target, key, None)?,
            source: AskedObject::new(from, source, None)?,
            input: request.input,
        };
        // Decided before anybody is told: whoever may not do it empties nobody's cache.
        let asked = rename.clone();
        let look = move |rows: &Snapshot<'_>| asked.decide(rows);
        if let Some(facts) = self.read_for(rename.target.bucket.permit(), look).await? {
            let rename = Rename {
                target: rename.target.kept_to(&facts),
                source: rename.source.kept_to(&facts),
                ..rename
            };
            let (permit, change) = (rename.target.bucket.permit(), rename.change());
            self.commit_for(permit, change, move |txn| rename.commit(txn)).await?;
        }
        Ok(S3Response::new(()))
    }
}

#[derive(Clone)]
struct Rename {
    target: AskedObject,
    source: AskedObject,
    input: RenameObjectInput,
}

impl Rename {
    fn change(&self) -> Change {
        let keys = vec![self.source.key.clone(), self.target.key.clone()];
        Change::Keys { bucket: self.target.bucket.name.clone(), keys }
    }

    fn commit(self, txn: &mut Txn<'_>) -> S3Result<()> {
        let Some(facts) = self.decide(txn)? else { return Ok(()) };
        txn.move_object(&self.target.bucket.name, &self.source.key, &self.target.key)?;
        if let Some(token) = &self.input.client_token {
            let renamed = RenamedRow { incarnation: facts.incarnation, fingerprint: self.input.fingerprint };
            txn.put_renamed(&self.target.bucket.caller.canonical_id, token, &renamed)?;
        }
        Ok(())
    }

    /// Decides whether it may be done, in the bucket of these facts; `None` where it was done before.
    fn decide(&self, rows: &impl Reads) -> S3Result<Option<Facts>> {
        let facts = self.target.bucket.look_up(rows)?.facts;
        if self.was_done(rows, &facts)? {
            return Ok(None);
        }
        if facts.versioning != Versioning::Never {
            return Err(s3_error!(
                InvalidBucketState,
                "Objects cannot be renamed in a bucket that keeps versions, or did."
            ));
        }
        let (_, source) = self.source.find_without_parts(rows)?;
        let (_, replaced) = self.target.clone().with_request_tags(&source.tags).find_place(rows)?;
        verify(self.input.source_conditions.evaluate(&source))?;
        decide(&self.input.conditions, replaced.as_ref())?;
        Ok(Some(facts))
    }

    /// Whether this rename was done before, under the same token of the same account.
    fn was_done(&self, rows: &impl Reads, facts: &Facts) -> S3Result<bool> {
        let Some(token) = &self.input.client_token else { return Ok(false) };
        let Some(before) = rows.renamed(&self.target.bucket.caller.canonical_id, token)? else {
            return Ok(false);
        };
        self.target.find_place(rows)?;
        if before.incarnation == facts.incarnation && before.fingerprint == self.input.fingerprint {
            return Ok(true);
        }
        let code = S3ErrorCode::Custom("IdempotencyParameterMismatch".into());
        let message =
            "The parameters are others than those of the rename that was done with this client token.";
        let mut mismatch = S3Error::with_message(code, message);
        mismatch.set_status_code(http::StatusCode::BAD_REQUEST);
        Err(mismatch)
    }
}

/// Decides about what has the new key, if anything has.
fn decide(conditions: &Conditions, replaced: Option<&Head>) -> S3Result<()> {
    match replaced {
        Some(head) => verify(conditions.evaluate(head)),
        // As with every other write.
        None if conditions.if_match.is_some() => Err(no_such_key()),
        // What is not there was not modified since; an entity tag silences the date beside it, here as always.
        None if conditions.if_none_match.is_none() && conditions.if_modified_since.is_some() => {
            Err(precondition_failed())
        }
        None => Ok(()),
    }
}

fn verify(verdict: Verdict) -> S3Result<()> {
    match verdict {
        Verdict::Proceed => Ok(()),
        Verdict::NotModified | Verdict::Failed => Err(precondition_failed()),
    }
}

/// The key in a source, which is spelled as that of a copy.
fn source(bucket: &str, header: Option<&str>) -> S3Result<String> {
    match header.map(CopySource::parse) {
        Some(Ok(CopySource::Bucket { bucket: of, key, version_id: None })) if *of == *bucket => {
            Ok(key.into())
        }
        Some(Ok(_)) => Err(s3_error!(
            InvalidRequest,
            "The source of a rename is an object, not a version of one, in the bucket of its new key."
        )),
        Some(Err(_)) | None => Err(s3_error!(
            InvalidArgument,
            "x-amz-rename-source must mention the bucket and the source key: bucket/sourcekey"
        )),
    }
}

fn client_token(token: &str) -> S3Result<String> {
    if token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    Err(s3_error!(InvalidArgument, "A client token has at most 64 characters from ! to ~."))
}

/// The header's value; an empty one counts as absent.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> S3Result<Option<&'h str>> {
    let Some(value) = headers.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| s3_error!(InvalidArgument, "invalid header: {name}"))
}

fn fingerprint(names: [&str; 3], headers: &HeaderMap) -> [u8; 32] {
    let conditions = [OF_READS, OF_SOURCE];
    let conditions =
        conditions.iter().flatten().map(|name| headers.get(name).map_or(&[][..], |value| value.as_bytes()));
    let mut context = Context::new(&SHA256);
    for value in names.map(str::as_bytes).into_iter().chain(conditions) {
        // The length keeps a byte that moved from one value to the next from going unseen.
        context.update(&(value.len() as u64).to_le_bytes());
        context.update(value);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(headers: &[(HeaderName, &str)]) -> Result<RenameObjectInput, String> {
        let value = |value| HeaderValue::from_str(value).expect("a header's value");
        let headers = headers.iter().map(|(name, text)| (name.clone(), value(*text))).collect();
        RenameObjectInput::parse("photos", "new", &headers).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn a_source_is_an_object_of_the_same_bucket() {
        for (source, expected) in [
            ("photos/old", Ok("old")),
            ("/photos/old", Ok("old")),
            ("photos/a%20b%3FversionId=1", Ok("a b?versionId=1")),
            ("photos/a/b", Ok("a/b")),
            ("videos/old", Err("InvalidRequest")),
            ("photos/old?versionId=null", Err("InvalidRequest")),
            ("photos/new", Err("InvalidRequest")),
            ("photos/n%65w", Err("InvalidRequest")),
            ("old", Err("InvalidArgument")),
            ("", Err("InvalidArgument")),
        ] {
            let parsed = parse(&[(SOURCE, source)]);
            let found = parsed.as_ref().map(RenameObjectInput::source).map_err(String::as_str);
            assert_eq!(found, expected, "{source}");
        }
        assert_eq!(parse(&[]), Err("InvalidArgument".to_owned()));
    }

    #[test]
    fn a_token_has_64_characters_that_can_be_seen() {
        for (token, is_token) in
            [("t".repeat(64), true), ("!~".into(), true), ("t".repeat(65), false), ("a b".into(), false)]
        {
            let parsed = parse(&[(SOURCE, "photos/old"), (TOKEN, &token)]);
            assert_eq!(parsed.is_ok(), is_token, "{token}");
        }
    }

    /// The token names a request and is no part of it; how the source is spelled does not count.
    #[test]
    fn whatever_is_asked_otherwise_is_another_rename() {
        let fingerprint = |headers: &[(HeaderName, &str)]| parse(headers).expect("a rename").fingerprint;
        let plain = fingerprint(&[(SOURCE, "photos/old"), (TOKEN, "a")]);
        assert_eq!(plain, fingerprint(&[(SOURCE, "/photos/ol%64"), (TOKEN, "b")]));
        assert_ne!(plain, fingerprint(&[(SOURCE, "photos/older")]));
        for name in OF_READS.iter().chain(&OF_SOURCE) {
            let value = if name.as_str().ends_with("-since") { "Sun, 06 Nov 1994 08:49:37 GMT" } else { "*" };
            assert_ne!(plain, fingerprint(&[(SOURCE, "photos/old"), (name.clone(), value)]), "{name}");
        }
    }
}
