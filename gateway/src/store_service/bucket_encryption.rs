//! What a bucket says of encryption, with what it blocks (BlockedEncryptionTypes), which s3s does not know.
//!
//! A signature may cover the document, so it comes to s3s as it is, and s3s would refuse it. So both operations are routes of
//! ours, which a request comes to after s3s has checked its signature. All but what is blocked is read and written by s3s's
//! own types; that goes to the store and comes from it in extensions.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use origin::head::BlockedEncryption;
use origin::read_request::expected_bucket_owner;
use s3s::dto::{
    GetBucketEncryptionInput, PutBucketEncryptionInput, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use s3s::xml::{DeError, DeResult, Deserializer, SerResult, Serializer};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::characters_by_number::whole;
use crate::target::Target;

/// How S3 calls keys that clients bring.
const CUSTOMER_KEYS: &str = "SSE-C";
const NOTHING: &str = "NONE";

/// PutBucketEncryption of the bucket that `target` names.
pub(super) async fn put(
    store: &impl S3,
    target: &Target,
    mut request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let expected_bucket_owner = expected_bucket_owner(&request.headers)?;
    let document = whole(std::mem::take(&mut request.input)).await?;
    if document.is_empty() {
        return Err(S3ErrorCode::MissingRequestBodyError.into());
    }
    let (server_side_encryption_configuration, blocked) =
        read(&document).map_err(|cause| S3Error::with_source(S3ErrorCode::MalformedXML, Box::new(cause)))?;
    if let Some(blocked) = blocked {
        request.extensions.insert(blocked);
    }
    let input = PutBucketEncryptionInput {
        bucket: bucket(target)?,
        // The document was held against them before it came here.
        checksum_algorithm: None,
        content_md5: None,
        expected_bucket_owner,
        server_side_encryption_configuration,
    };
    let answer = store.put_bucket_encryption(request.map_input(|_| input)).await?;
    Ok(answer.map_output(|_| Body::empty()))
}

/// GetBucketEncryption of the bucket that `target` names.
pub(super) async fn get(
    store: &impl S3,
    target: &Target,
    request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let expected_bucket_owner = expected_bucket_owner(&request.headers)?;
    let input = GetBucketEncryptionInput { bucket: bucket(target)?, expected_bucket_owner };
    let answer = store.get_bucket_encryption(request.map_input(|_| input)).await?;
    let blocked = answer.extensions.get::<BlockedEncryption>().copied();
    let configuration = answer.output.server_side_encryption_configuration;
    let rules = configuration.map(|configuration| configuration.rules).unwrap_or_default();
    let document = written(&rules, blocked).map_err(S3Error::internal_error)?;
    let mut response = S3Response::with_headers(Body::from(document), answer.headers);
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

fn bucket(target: &Target) -> S3Result<String> {
    target.bucket().map(str::to_owned).ok_or_else(|| S3ErrorCode::InvalidRequest.into())
}

/// The configuration in `document`, and what its rules block.
fn read(document: &[u8]) -> DeResult<(ServerSideEncryptionConfiguration, Option<BlockedEncryption>)> {
    let (mut rules, mut blocked) = (Vec::new(), None);
    let mut reader = Deserializer::new(document);
    reader.named_element("ServerSideEncryptionConfiguration", |reader| {
        reader.for_each_element(|reader, name| match name {
            b"Rule" => {
                rules.push(read_rule(reader, &mut blocked)?);
                Ok(())
            }
            _ => Err(DeError::UnexpectedTagName),
        })
    })?;
    reader.expect_eof()?;
    if rules.is_empty() {
        return Err(DeError::MissingField);
    }
    Ok((ServerSideEncryptionConfiguration { rules }, blocked))
}

fn read_rule(
    reader: &mut Deserializer<'_>,
    blocked: &mut Option<BlockedEncryption>,
) -> DeResult<ServerSideEncryptionRule> {
    let mut rule =
        ServerSideEncryptionRule { apply_server_side_encryption_by_default: None, bucket_key_enabled: None };
    reader.for_each_element(|reader, name| match name {
        b"ApplyServerSideEncryptionByDefault" => {
            once(&mut rule.apply_server_side_encryption_by_default, reader.content()?)
        }
        b"BucketKeyEnabled" => once(&mut rule.bucket_key_enabled, reader.content()?),
        b"BlockedEncryptionTypes" => once(blocked, read_blocked(reader)?),
        _ => Err(DeError::UnexpectedTagName),
    })?;
    Ok(rule)
}

/// A list of one thing, which may be said twice but not in two ways.
fn read_blocked(reader: &mut Deserializer<'_>) -> DeResult<BlockedEncryption> {
    let mut blocked = None;
    reader.for_each_element(|reader, name| {
        if name != b"EncryptionType" {
            return Err(DeError::UnexpectedTagName);
        }
        let said = match reader.content::<String>()?.as_str() {
            CUSTOMER_KEYS => BlockedEncryption::CustomerKeys,
            NOTHING => BlockedEncryption::Nothing,
            _ => return Err(DeError::InvalidContent),
        };
        if blocked.is_some_and(|before| before != said) {
            return Err(DeError::InvalidContent);
        }
        blocked = Some(said);
        Ok(())
    })?;
    blocked.ok_or(DeError::MissingField)
}

fn once<T>(field: &mut Option<T>, value: T) -> DeResult {
    match field.replace(value) {
        Some(_) => Err(DeError::DuplicateField),
        None => Ok(()),
    }
}

/// The document of `rules`, each of which blocks what is `blocked`.
fn written(rules: &[ServerSideEncryptionRule], blocked: Option<BlockedEncryption>) -> SerResult<Vec<u8>> {
    let mut document = Vec::new();
    let mut writer = Serializer::new(&mut document);
    writer.decl()?;
    writer.element("ServerSideEncryptionConfiguration", |writer| {
        for rule in rules {
            writer.element("Rule", |writer| {
                if let Some(by_default) = &rule.apply_server_side_encryption_by_default {
                    writer.content("ApplyServerSideEncryptionByDefault", by_default)?;
                }
                if let Some(blocked) = blocked {
                    let name = match blocked {
                        BlockedEncryption::Nothing => NOTHING,
                        BlockedEncryption::CustomerKeys => CUSTOMER_KEYS,
                    };
                    writer
                        .element("BlockedEncryptionTypes", |writer| writer.content("EncryptionType", name))?;
                }
                if let Some(bucket_key_enabled) = &rule.bucket_key_enabled {
                    writer.content("BucketKeyEnabled", bucket_key_enabled)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_DEFAULT: &str = "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>";

    fn blocking(types: &[&str]) -> String {
        let types: String =
            types.iter().map(|name| format!("<EncryptionType>{name}</EncryptionType>")).collect();
        format!("<BlockedEncryptionTypes>{types}</BlockedEncryptionTypes>")
    }

    fn document(rule: &str) -> String {
        format!(
            "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>{rule}</Rule>\
             </ServerSideEncryptionConfiguration>"
        )
    }

    #[test]
    fn what_is_blocked_is_read_and_shown_as_it_was_set() {
        use BlockedEncryption::{CustomerKeys, Nothing};
        for (types, expected) in [
            (Some(&["SSE-C"][..]), Some(CustomerKeys)),
            (Some(&["SSE-C", "SSE-C"]), Some(CustomerKeys)),
            (Some(&["NONE"]), Some(Nothing)),
            (None, None),
        ] {
            let blocking = types.map(blocking).unwrap_or_default();
            for by_default in [BY_DEFAULT, ""] {
                let (configuration, blocked) =
                    read(document(&format!("{by_default}{blocking}")).as_bytes()).expect("in order");
                assert_eq!(blocked, expected, "{types:?}");
                let again = written(&configuration.rules, blocked).expect("written");
                assert_eq!(read(&again).expect("in order"), (configuration, blocked));
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for rule in [
            blocking(&["SSE-C", "NONE"]),
            blocking(&["SSE-KMS"]),
            blocking(&[""]),
            blocking(&[]),
            blocking(&["SSE-C"]).replace("EncryptionType>", "Encryption>"),
            "<BlockedEncryptionTypes>SSE-C</BlockedEncryptionTypes>".to_owned(),
            blocking(&["SSE-C"]).repeat(2),
            BY_DEFAULT.repeat(2),
            format!("{BY_DEFAULT}<Blocked/>"),
        ] {
            assert!(read(document(&rule).as_bytes()).is_err(), "{rule}");
        }
        for whole in ["", "<ServerSideEncryptionConfiguration/>", "<Rule/>", &format!("{}<a/>", document(""))]
        {
            assert!(read(whole.as_bytes()).is_err(), "{whole}");
        }
    }

    /// What s3s reads of a document that blocks nothing is read here too, and the other way round.
    #[test]
    fn the_rest_is_read_as_s3s_reads_it() {
        let kms = "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>";
        for rule in [
            BY_DEFAULT.to_owned(),
            String::new(),
            format!("{BY_DEFAULT}<BucketKeyEnabled>true</BucketKeyEnabled>"),
            "<BucketKeyEnabled>maybe</BucketKeyEnabled>".to_owned(),
            format!("<ApplyServerSideEncryptionByDefault>{kms}</ApplyServerSideEncryptionByDefault>"),
            "<ApplyServerSideEncryptionByDefault/>".to_owned(),
        ] {
            let document = document(&rule);
            let mut reader = Deserializer::new(document.as_bytes());
            let by_s3s =
                <ServerSideEncryptionConfiguration as s3s::xml::Deserialize>::deserialize(&mut reader);
            let ours = read(document.as_bytes());
            assert_eq!(ours.ok().map(|(configuration, _)| configuration), by_s3s.ok(), "{rule}");
        }
    }
}
