//! What a document of XML is made of, held against what its operation knows of. At the top of a document and in its
//! lists s3s passes over an element that it does not know, and it passes over what is in CDATA anywhere: a switch that was
//! misspelt would stay off, the tags of a new bucket would be gone, and a rule whose prefix was lost would be about every
//! object. Nothing of a document is left out here: it is refused, as S3 does. Further down s3s does it too.
//!
//! Elements are found as the bytes come, and nothing else is: whether it is XML at all, s3s says.

use s3s::{S3Error, S3ErrorCode};

use crate::refusal::Refusal;
use crate::target::Operation;

/// How deep elements may lie in each other: twice what any of S3's documents has.
const DEPTH_MAX: usize = 16;

/// Longest name of an element: S3's longest has 40 bytes.
const NAME_BYTES_MAX: usize = 64;

/// Elements, each with those that may be right within it.
type Known = &'static [(&'static str, &'static [&'static str])];

/// Of each operation the elements whose contents s3s does not hold to what it knows.
const fn known(operation: Operation) -> Known {
    match operation {
        Operation::CompleteMultipartUpload => &[("CompleteMultipartUpload", &["Part"])],
        Operation::CreateBucket => {
            &[("CreateBucketConfiguration", &["Bucket", "Location", "LocationConstraint", TAGS])]
        }
        Operation::DeleteObjects => &[("Delete", &["Object", "Quiet"])],
        Operation::PutBucketAccelerateConfiguration => &[("AccelerateConfiguration", &["Status"])],
        Operation::PutBucketAcl | Operation::PutObjectAcl => {
            &[("AccessControlPolicy", &["AccessControlList", "Owner"]), ("AccessControlList", &["Grant"])]
        }
        Operation::PutBucketCors => &[("CORSConfiguration", &["CORSRule"])],
        Operation::PutBucketEncryption => &[("ServerSideEncryptionConfiguration", &["Rule"])],
        Operation::PutBucketLifecycleConfiguration => &[("LifecycleConfiguration", &["Rule"])],
        Operation::PutBucketLogging => &[("BucketLoggingStatus", &["LoggingEnabled"])],
        Operation::PutBucketNotificationConfiguration => &[(
            "NotificationConfiguration",
            &[
                "CloudFunctionConfiguration",
                "EventBridgeConfiguration",
                "QueueConfiguration",
                "TopicConfiguration",
            ],
        )],
        Operation::PutBucketOwnershipControls => &[("OwnershipControls", &["Rule"])],
        Operation::PutBucketRequestPayment => &[("RequestPaymentConfiguration", &["Payer"])],
        Operation::PutBucketTagging | Operation::PutObjectTagging => {
            &[("Tagging", &["TagSet"]), ("TagSet", &["Tag"])]
        }
        Operation::PutBucketVersioning => &[("VersioningConfiguration", &["MfaDelete", "Status"])],
        Operation::PutBucketWebsite => &[
            (
                "WebsiteConfiguration",
                &["ErrorDocument", "IndexDocument", "RedirectAllRequestsTo", "RoutingRules"],
            ),
            ("RoutingRules", &["RoutingRule"]),
        ],
        Operation::PutPublicAccessBlock => &[(
            "PublicAccessBlockConfiguration",
            &["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"],
        )],
        _ => &[],
    }
}

/// What S3 takes of a new bucket, and s3s does not know of.
const TAGS: &str = "Tags";

/// The elements of one document, as far as it has come.
pub(crate) struct Elements {
    known: Known,
    within: Within,
    /// The beginning of the markup that is being read.
    name: Vec<u8>,
    last: u8,
    /// The elements that are open: their places in `known`, if they have any.
    open: Vec<Option<usize>>,
}

/// Where the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Text,
    /// Right behind a `<`.
    Markup,
    /// Behind `<!`.
    Declaration,
    /// Behind `<!--`; so many dashes were the last bytes.
    Comment {
        dashes_count: u8,
    },
    /// Behind `<?`.
    Instruction,
    Name,
    /// Behind the name of an element that begins.
    Attributes {
        quote: Option<u8>,
    },
    /// Behind `</`.
    End,
}

impl Elements {
    /// Of a document for `operation`; `None` where that has none of XML, or does nothing.
    pub(crate) fn of(operation: Operation) -> Option<Self> {
        let known = known(operation);
        (!known.is_empty()).then_some(Self {
            known,
            within: Within::Text,
            name: Vec::new(),
            last: 0,
            open: Vec::new(),
        })
    }

    /// With the next bytes.
    ///
    /// # Errors
    /// `MalformedXML` for an element where there is none of that name; `UnsupportedArgument` for tags of a new
    /// bucket; `NotImplemented` for CDATA.
    pub(crate) fn updated(mut self, piece: &[u8]) -> Result<Self, Refusal> {
        for &byte in piece {
            self.within = self.after(byte)?;
            self.last = byte;
        }
        Ok(self)
    }

    /// Where the byte behind `byte` is.
    fn after(&mut self, byte: u8) -> Result<Within, Refusal> {
        Ok(match (self.within, byte) {
            (Within::Text, b'<') => {
                self.name.clear();
                Within::Markup
            }
            (Within::Text, _) => Within::Text,
            (Within::Markup, b'/') => Within::End,
            (Within::Markup, b'?') => Within::Instruction,
            (Within::Markup, b'!') => Within::Declaration,
            (Within::Declaration, b'-') if self.last == b'-' => Within::Comment { dashes_count: 0 },
            (Within::Declaration, b'-') if self.last == b'!' => Within::Declaration,
            (Within::Declaration, _) => {
                return Err(Refusal::new(
                    S3ErrorCode::NotImplemented,
                    "Documents are read without CDATA sections and document types.",
                ));
            }
            (Within::Comment { dashes_count: 2.. }, b'>') => Within::Text,
            (Within::Comment { dashes_count }, b'-') => {
                Within::Comment { dashes_count: dashes_count.saturating_add(1) }
            }
            (Within::Comment { .. }, _) => Within::Comment { dashes_count: 0 },
            (Within::Instruction, b'>') if self.last == b'?' => Within::Text,
            (Within::Instruction, _) => Within::Instruction,
            (Within::Markup | Within::Name, b'>') => {
                let is_empty = self.name.pop_if(|last| *last == b'/').is_some();
                self.begin(is_empty)?;
                Within::Text
            }
            (Within::Markup | Within::Name, b' ' | b'\t' | b'\r' | b'\n') => {
                Within::Attributes { quote: None }
            }
            (Within::Markup | Within::Name, _) => {
                self.name.push(byte);
                if self.name.len() > NAME_BYTES_MAX {
                    return Err(self.malformed());
                }
                Within::Name
            }
            (Within::Attributes { quote: None }, b'>') => {
                self.begin(self.last == b'/')?;
                Within::Text
            }
            (Within::Attributes { quote: None }, b'"' | b'\'') => Within::Attributes { quote: Some(byte) },
            (Within::Attributes { quote: Some(quote) }, _) if byte == quote => {
                Within::Attributes { quote: None }
            }
            (Within::Attributes { quote }, _) => Within::Attributes { quote },
            (Within::End, b'>') => {
                self.open.pop();
                Within::Text
            }
            (Within::End, _) => Within::End,
        })
    }

    /// The element whose name was read begins; one that is empty ends at once.
    fn begin(&mut self, is_empty: bool) -> Result<(), Refusal> {
        if let Some(Some(around)) = self.open.last() {
            let (_, inner) = self.known[*around];
            if !inner.iter().any(|known| known.as_bytes() == self.name) {
                return Err(self.malformed());
            }
            if self.name == TAGS.as_bytes() {
                // What S3 says where it cannot: tools then make the bucket and tag it after.
                let code = S3ErrorCode::Custom("UnsupportedArgument".into());
                let told = "The request contained an unsupported argument: PutBucketTagging tags a bucket.";
                let mut error = S3Error::with_message(code, told);
                error.set_status_code(http::StatusCode::BAD_REQUEST);
                return Err(error.into());
            }
        }
        if is_empty {
            return Ok(());
        }
        if self.open.len() == DEPTH_MAX {
            return Err(self.malformed());
        }
        self.open.push(self.known.iter().position(|(name, _)| name.as_bytes() == self.name));
        Ok(())
    }

    fn malformed(&self) -> Refusal {
        let name = String::from_utf8_lossy(&self.name);
        Refusal::new(
            S3ErrorCode::MalformedXML,
            format!(
                "The XML you provided was not well-formed or did not validate against our published schema: there is no \
                 element {name} in that place."
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, prop_assert_eq, proptest};
    use s3s::xml;

    use super::*;

    /// The code of the refusal of `document`, in one piece and byte by byte.
    fn refused(operation: Operation, document: &str) -> Option<String> {
        let code = |piece_bytes: usize| {
            let elements = Elements::of(operation).expect("a document of XML");
            let refused = document.as_bytes().chunks(piece_bytes).try_fold(elements, Elements::updated).err();
            refused.map(|refusal| refusal.code().as_str().to_owned())
        };
        let whole = code(document.len().max(1));
        assert_eq!(code(1), whole, "{document}");
        whole
    }

    #[test]
    fn every_element_has_its_place() {
        let malformed = Some("MalformedXML");
        for (operation, document, expected) in [
            (
                Operation::PutBucketLifecycleConfiguration,
                "<?xml version=\"1.0\"?>\n<LifecycleConfiguration xmlns=\"http://s3/>\" >\n <Rule><ID>a</ID></Rule> \
                 <Rule /><!-- <Rules> --></LifecycleConfiguration>",
                None,
            ),
            (
                Operation::PutBucketLifecycleConfiguration,
                "<LifecycleConfiguration><Rules/></LifecycleConfiguration>",
                malformed,
            ),
            (
                Operation::PutBucketLifecycleConfiguration,
                "<LifecycleConfiguration><Rule/><rule></rule></LifecycleConfiguration>",
                malformed,
            ),
            // What is in a rule is for s3s to refuse.
            (
                Operation::PutBucketLifecycleConfiguration,
                "<LifecycleConfiguration><Rule><Prefx>a</Prefx></Rule></LifecycleConfiguration>",
                None,
            ),
            (
                Operation::PutPublicAccessBlock,
                "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>",
                None,
            ),
            (
                Operation::PutPublicAccessBlock,
                "<PublicAccessBlockConfiguration><BlockPublicAcl>true</BlockPublicAcl></PublicAccessBlockConfiguration>",
                malformed,
            ),
            (
                Operation::PutObjectTagging,
                "<Tagging><TagSet><Tag><Key>TagSet</Key></Tag></TagSet></Tagging>",
                None,
            ),
            (Operation::PutObjectTagging, "<Tagging><TagSet><Tags/></TagSet></Tagging>", malformed),
            (Operation::PutBucketAcl, "<AccessControlPolicy><AccessControlList><Grants a='>'/>", malformed),
            (Operation::DeleteObjects, "<Delete><Quiet>true</Quiet><Object/><object/></Delete>", malformed),
            (Operation::DeleteObjects, "<Delete><Object/><Object a=\"/\">", None),
            (Operation::DeleteObjects, "<Delete><Object a=\"/\"><object/></Object><object/>", malformed),
            // Another document altogether, and what is none.
            (Operation::DeleteObjects, "<Erase><Object/></Erase>", None),
            (Operation::DeleteObjects, "", None),
            (Operation::DeleteObjects, "<Delete><>", malformed),
        ] {
            assert_eq!(refused(operation, document).as_deref(), expected, "{document}");
        }
    }

    #[test]
    fn what_would_be_passed_over_is_refused() {
        let (not_implemented, unsupported) = ("NotImplemented", "UnsupportedArgument");
        for (operation, document, code) in [
            (
                Operation::PutBucketLifecycleConfiguration,
                "<LifecycleConfiguration><Rule><Prefix><![CDATA[a]]></Prefix></Rule></LifecycleConfiguration>",
                not_implemented,
            ),
            (Operation::DeleteObjects, "<!DOCTYPE d [<!ENTITY k \"a\">]><Delete/>", not_implemented),
            (Operation::DeleteObjects, "<!- -><Delete/>", not_implemented),
            (
                Operation::CreateBucket,
                "<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>",
                unsupported,
            ),
        ] {
            assert_eq!(refused(operation, document).as_deref(), Some(code), "{document}");
        }
        let location = "<CreateBucketConfiguration><LocationConstraint/></CreateBucketConfiguration>";
        assert_eq!(refused(Operation::CreateBucket, location), None);
    }

    #[test]
    fn comments_and_instructions_end_where_they_end() {
        for (beginning, is_over) in [
            ("<!-- -->", true),
            ("<!---->", true),
            ("<!-- --->", true),
            ("<!-->", false),
            ("<!-- ->", false),
            ("<?a ?>", true),
            ("<?a >", false),
        ] {
            let document = format!("<Delete>{beginning}<Erase/>");
            assert_eq!(refused(Operation::DeleteObjects, &document).is_some(), is_over, "{beginning}");
        }
    }

    #[test]
    fn names_and_depth_have_a_limit() {
        let name = |bytes| format!("<{}>", "a".repeat(bytes));
        assert_eq!(refused(Operation::DeleteObjects, &name(NAME_BYTES_MAX)), None);
        assert!(refused(Operation::DeleteObjects, &name(NAME_BYTES_MAX + 1)).is_some());
        assert_eq!(refused(Operation::DeleteObjects, &"<a>".repeat(DEPTH_MAX)), None);
        assert!(refused(Operation::DeleteObjects, &"<a>".repeat(DEPTH_MAX + 1)).is_some());
        assert_eq!(refused(Operation::DeleteObjects, &"<a></a>".repeat(DEPTH_MAX + 1)), None);
    }

    /// Whether s3s, which reads the whole of `document`, finds an element where there is none of that name; `None` where
    /// it cannot read it.
    fn has_unknown(operation: Operation, document: &str) -> Option<bool> {
        fn walk(
            deserializer: &mut xml::Deserializer<'_>,
            known: Known,
            inner: Option<&[&str]>,
            has_unknown: &mut bool,
        ) -> xml::DeResult {
            deserializer.for_each_element(|deserializer, name| {
                *has_unknown |=
                    inner.is_some_and(|inner| !inner.iter().any(|known| known.as_bytes() == name));
                let inner = known.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, inner)| *inner);
                walk(deserializer, known, inner, has_unknown)
            })
        }
        let (mut deserializer, mut has_unknown) = (xml::Deserializer::new(document.as_bytes()), false);
        walk(&mut deserializer, known(operation), None, &mut has_unknown).ok()?;
        deserializer.expect_eof().ok()?;
        Some(has_unknown)
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        const PIECES: [&str; 24] = [
            "<Delete>",
            "</Delete>",
            "<Object>",
            "</Object>",
            "<Object/>",
            "<Object a=\"/>\" b='\"'>",
            "<Object a='<Erase/>' />",
            "<Erase>",
            "</Erase>",
            "<Erase/>",
            "<Erase\n/>",
            "<!--",
            "-->",
            "-",
            "<?",
            "?>",
            "?",
            "!",
            "<",
            ">",
            "/",
            "\"",
            "text",
            "&amp;",
        ];
        prop::sample::select(&PIECES[..])
    }

    proptest! {
        /// Of whatever s3s can read, the same elements are found.
        #[test]
        fn elements_are_found_where_s3s_finds_them(pieces in prop::collection::vec(piece(), 0..9)) {
            let document = format!("<Delete>{}</Delete>", pieces.concat());
            if let Some(has_unknown) = has_unknown(Operation::DeleteObjects, &document) {
                prop_assert_eq!(refused(Operation::DeleteObjects, &document).is_some(), has_unknown, "{}", document);
            }
        }
    }
}
