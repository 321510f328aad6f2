//! What a document of XML is made of, held against what its operation knows of. At the top of a document and in its
//! lists s3s passes over an element that it does not know, and it passes over what is in CDATA anywhere: a switch that was
//! misspelt would stay off, the tags of a new bucket would be gone, and a rule whose prefix was lost would be about every
//! object. Nothing of a document is left out here: it is refused, as S3 does. Further down s3s does it too.
//!
//! Elements are found as the bytes come, and nothing else is: whether it is XML at all, s3s says.

use s3s::S3ErrorCode;

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
    /// `MalformedXML` for an element where there is none of that name; `NotImplemented` for tags of a new bucket, and for
    /// CDATA.
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
                return Err(Refusal::new(
                    S3ErrorCode::NotImplemented,
                    "A bucket is given its tags once it is there, by PutBucketTagging.",
                ));
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
