//! A website's configuration as s3s hands it over: read with all that S3 refuses, and shown again as it was put.

use s3s::dto::{
    Condition, ErrorDocument, GetBucketWebsiteOutput, IndexDocument, Protocol as ProtocolName, Redirect,
    RedirectAllRequestsTo, RoutingRule, WebsiteConfiguration,
};
use s3s::{S3Error, S3Result, s3_error};

use super::{Elsewhere, NewKey, Pages, Protocol, Rule, Website};

/// S3's limit on rules.
const RULES_MAX: usize = 50;
/// S3's limit on a configuration, in bytes; here of its texts.
const TEXT_BYTES_MAX: usize = 128 * 1024;

impl Website {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `InvalidArgument` without an index document or another host, for a suffix that is none, and for another host
    /// beside anything else; `InvalidRequest` for more than 50 rules, an empty condition, an unknown protocol, codes that
    /// are none of errors or redirects, and two replacements of one key; `MalformedXML` for an empty list of rules, a
    /// redirect that says nothing and an error document without a key; `MaxMessageLengthExceeded` past 128 KiB.
    pub(crate) fn read(configuration: WebsiteConfiguration) -> S3Result<Self> {
        let WebsiteConfiguration { error_document, index_document, redirect_all_requests_to, routing_rules } =
            configuration;
        let website = match redirect_all_requests_to {
            Some(_) if index_document.is_some() || error_document.is_some() || routing_rules.is_some() => {
                return Err(s3_error!(
                    InvalidArgument,
                    "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules."
                ));
            }
            Some(elsewhere) => Self::Elsewhere(Elsewhere::read(elsewhere)?),
            None => Self::Pages(Pages {
                index_suffix: read_suffix(index_document)?,
                error_key: error_document.map(read_error_key).transpose()?,
                rules: routing_rules.map(read_rules).transpose()?.unwrap_or_default(),
            }),
        };
        if website.text_bytes() > TEXT_BYTES_MAX {
            return Err(s3_error!(MaxMessageLengthExceeded, "Your request was too big."));
        }
        Ok(website)
    }

    /// The configuration as it was put.
    pub(crate) fn shown(self) -> GetBucketWebsiteOutput {
        match self {
            Self::Elsewhere(Elsewhere { host, protocol }) => GetBucketWebsiteOutput {
                redirect_all_requests_to: Some(RedirectAllRequestsTo {
                    host_name: host,
                    protocol: protocol.map(Protocol::shown),
                }),
                ..GetBucketWebsiteOutput::default()
            },
            Self::Pages(Pages { index_suffix, error_key, rules }) => GetBucketWebsiteOutput {
                index_document: Some(IndexDocument { suffix: index_suffix }),
                error_document: error_key.map(|key| ErrorDocument { key }),
                routing_rules: (!rules.is_empty()).then(|| rules.into_iter().map(Rule::shown).collect()),
                redirect_all_requests_to: None,
            },
        }
    }
}

impl Elsewhere {
    fn read(elsewhere: RedirectAllRequestsTo) -> S3Result<Self> {
        let RedirectAllRequestsTo { host_name, protocol } = elsewhere;
        if host_name.is_empty() {
            return Err(s3_error!(
                InvalidArgument,
                "A host name must be provided to redirect all requests (e.g. \"example.com\")."
            ));
        }
        Ok(Self { host: host_name, protocol: protocol.as_ref().map(Protocol::read).transpose()? })
    }
}

impl Rule {
    fn read(rule: RoutingRule) -> S3Result<Self> {
        let RoutingRule { condition, redirect } = rule;
        let (key_prefix, refused_with) = condition.map(read_condition).transpose()?.unwrap_or_default();
        let Redirect { host_name, http_redirect_code, protocol, replace_key_prefix_with, replace_key_with } =
            redirect;
        let host = host_name.filter(|host| !host.is_empty());
        let key = match (replace_key_with, replace_key_prefix_with) {
            (None, None) => NewKey::Same,
            (Some(key), None) => NewKey::Whole(key),
            (None, Some(prefix)) => NewKey::Prefix(prefix),
            (Some(_), Some(_)) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "You can only define ReplaceKeyPrefix or ReplaceKey but not both."
                ));
            }
        };
        if host.is_none() && protocol.is_none() && http_redirect_code.is_none() && key == NewKey::Same {
            return Err(malformed());
        }
        Ok(Self {
            key_prefix,
            refused_with,
            protocol: protocol.as_ref().map(Protocol::read).transpose()?,
            host,
            key,
            status: http_redirect_code.as_deref().map(read_redirect_code).transpose()?,
        })
    }

    fn shown(self) -> RoutingRule {
        let Self { key_prefix, refused_with, protocol, host, key, status } = self;
        let (replace_key_with, replace_key_prefix_with) = match key {
            NewKey::Same => (None, None),
            NewKey::Whole(key) => (Some(key), None),
            NewKey::Prefix(prefix) => (None, Some(prefix)),
        };
        let condition = Condition {
            http_error_code_returned_equals: refused_with.map(|code| code.to_string()),
            key_prefix_equals: key_prefix,
        };
        RoutingRule {
            condition: (condition != Condition::default()).then_some(condition),
            redirect: Redirect {
                host_name: host,
                http_redirect_code: status.map(|code| code.to_string()),
                protocol: protocol.map(Protocol::shown),
                replace_key_prefix_with,
                replace_key_with,
            },
        }
    }
}

impl Protocol {
    fn read(protocol: &ProtocolName) -> S3Result<Self> {
        match protocol.as_str() {
            ProtocolName::HTTP => Ok(Self::Http),
            ProtocolName::HTTPS => Ok(Self::Https),
            _ => Err(s3_error!(
                InvalidRequest,
                "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."
            )),
        }
    }

    fn shown(self) -> ProtocolName {
        ProtocolName::from_static(self.as_str())
    }
}

fn read_suffix(index: Option<IndexDocument>) -> S3Result<String> {
    let IndexDocument { suffix } = index.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"
        )
    })?;
    if suffix.is_empty() || suffix.contains('/') {
        return Err(s3_error!(InvalidArgument, "The IndexDocument Suffix is not well formed"));
    }
    Ok(suffix)
}

fn read_error_key(error: ErrorDocument) -> S3Result<String> {
    if error.key.is_empty() { Err(malformed()) } else { Ok(error.key) }
}

fn read_rules(rules: Vec<RoutingRule>) -> S3Result<Vec<Rule>> {
    match rules.len() {
        0 => Err(malformed()),
        1..=RULES_MAX => rules.into_iter().map(Rule::read).collect(),
        count => Err(s3_error!(
            InvalidRequest,
            "{count} routing rules provided, the number of routing rules in a website configuration is limited to {RULES_MAX}."
        )),
    }
}

/// The key's prefix and the error's status.
fn read_condition(condition: Condition) -> S3Result<(Option<String>, Option<u16>)> {
    let Condition { http_error_code_returned_equals: code, key_prefix_equals: prefix } = condition;
    if code.is_none() && prefix.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present."
        ));
    }
    let code = code.as_deref().map(read_error_code).transpose()?;
    Ok((prefix, code))
}

fn read_redirect_code(text: &str) -> S3Result<u16> {
    match read_code(text)? {
        code @ (301..=305 | 307 | 308) => Ok(code),
        code => Err(s3_error!(
            InvalidRequest,
            "The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300."
        )),
    }
}

fn read_error_code(text: &str) -> S3Result<u16> {
    match read_code(text)? {
        code @ (400..=417 | 500..=505) => Ok(code),
        code => Err(s3_error!(
            InvalidRequest,
            "The provided HTTP error code ({code}) is not valid. Valid codes are 4XX or 5XX."
        )),
    }
}

fn read_code(text: &str) -> S3Result<u16> {
    text.parse().map_err(|_| malformed())
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}
