//! Which pages of other sites may use a bucket from a browser: its rules, and which of them holds for a request.
//!
//! Pure. Rules are refused when they are put if they are not understood in full (Amazon S3 User Guide, "Elements of a CORS
//! configuration"), so that what is kept can be answered with.

use http::{HeaderName, HeaderValue};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// S3's limit on rules.
const RULES_MAX: usize = 100;
/// S3's limit on a configuration, in bytes; here of its texts.
const BYTES_MAX: usize = 64 * 1024;
/// S3's limit on a rule's name.
const ID_CHARACTERS_MAX: usize = 255;
/// What a rule can allow.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// A bucket's rules, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    rules: Vec<CorsRule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CorsRule {
    /// What its author calls it.
    pub id: Option<String>,
    /// Of [`METHODS`]; one at least.
    pub methods: Vec<String>,
    /// Where pages may come from, each with one `*` at most; one at least.
    pub origins: Vec<String>,
    /// Which headers their requests may have, each with one `*` at most.
    pub headers: Vec<String>,
    /// Which headers of answers they may see.
    pub exposed_headers: Vec<String>,
    /// For how long a browser may remember the answer to its question.
    pub max_age_seconds: Option<u32>,
}

/// What a browser tells of the page that wants to make a request.
#[derive(Clone, Copy, Debug)]
pub struct CrossOrigin<'a> {
    /// `Origin`.
    pub origin: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The headers that it will have beside the usual.
    pub headers: &'a [&'a str],
}

impl Cors {
    /// The rules, if each is one.
    ///
    /// # Errors
    /// `MalformedXML` for no rules, too many or too long ones, and ones without origins or methods; `InvalidRequest` for a
    /// method that no rule can allow and for more wildcards than there may be.
    pub fn new(rules: Vec<CorsRule>) -> S3Result<Self> {
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(malformed());
        }
        rules.iter().try_for_each(CorsRule::verify)?;
        let cors = Self { rules };
        if cors.estimated_bytes() > BYTES_MAX + cors.rules.len() * CorsRule::FIXED_BYTES {
            Err(malformed())
        } else {
            Ok(cors)
        }
    }

    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[CorsRule] {
        &self.rules
    }

    /// The first rule that lets the page make the request.
    #[must_use]
    pub fn allowing(&self, asked: &CrossOrigin<'_>) -> Option<&CorsRule> {
        self.rules.iter().find(|rule| rule.allows(asked))
    }

    /// About as many bytes as the rules take, in memory or on the way.
    #[must_use]
    pub fn estimated_bytes(&self) -> usize {
        self.rules.iter().map(CorsRule::estimated_bytes).sum()
    }
}

impl CorsRule {
    const FIXED_BYTES: usize = 128;

    /// The origin that the rule has in mind when it allows `origin`: everybody, or that one.
    #[must_use]
    pub fn shown_origin<'o>(&self, origin: &'o str) -> &'o str {
        if self.origins.iter().any(|allowed| allowed == "*") { "*" } else { origin }
    }

    fn allows(&self, asked: &CrossOrigin<'_>) -> bool {
        self.methods.iter().any(|method| method == asked.method)
            && self.origins.iter().any(|pattern| matches(pattern, asked.origin))
            && asked.headers.iter().all(|header| self.allows_header(header))
    }

    fn allows_header(&self, header: &str) -> bool {
        self.headers.iter().any(|pattern| matches_in_any_case(pattern, header))
    }

    fn verify(&self) -> S3Result<()> {
        if self.methods.is_empty() || self.origins.is_empty() {
            return Err(malformed());
        }
        if self.id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARACTERS_MAX) {
            return Err(malformed());
        }
        if let Some(method) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            return Err(s3_error!(
                InvalidRequest,
                "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            ));
        }
        for (element, patterns) in [("AllowedOrigin", &self.origins), ("AllowedHeader", &self.headers)] {
            if let Some(pattern) = patterns.iter().find(|pattern| pattern.matches('*').count() > 1) {
                return Err(s3_error!(
                    InvalidRequest,
                    "{element} \"{pattern}\" can not have more than one wildcard."
                ));
            }
        }
        for header in &self.exposed_headers {
            if header.contains('*') {
                return Err(s3_error!(
                    InvalidRequest,
                    "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
                ));
            }
            HeaderName::try_from(header.as_str()).map_err(|_| malformed())?;
        }
        let values = self.origins.iter().chain(&self.headers);
        let are_text =
            values.into_iter().all(|value| !value.is_empty() && HeaderValue::from_str(value).is_ok());
        if are_text { Ok(()) } else { Err(malformed()) }
    }

    fn estimated_bytes(&self) -> usize {
        let texts = [&self.methods, &self.origins, &self.headers, &self.exposed_headers];
        // As many bytes again for what holds each text.
        let texts: usize = texts.into_iter().flatten().map(|text| 24 + text.len()).sum();
        Self::FIXED_BYTES + texts + self.id.as_ref().map_or(0, String::len)
    }
}

/// Whether `text` is what `pattern` says, whose one `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

/// The same, where case does not matter.
fn matches_in_any_case(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    match pattern.iter().position(|&byte| byte == b'*') {
        None => pattern.eq_ignore_ascii_case(text),
        Some(at) => {
            let (start, end) = (&pattern[..at], &pattern[at + 1..]);
            text.len() >= start.len() + end.len()
                && text[..start.len()].eq_ignore_ascii_case(start)
                && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
        }
    }
}

fn malformed() -> s3s::S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        CorsRule {
            methods: texts(methods),
            origins: texts(origins),
            headers: texts(headers),
            ..CorsRule::default()
        }
    }

    fn allows(rule: &CorsRule, origin: &str, method: &str, headers: &[&str]) -> bool {
        let cors = Cors::new(vec![rule.clone()]).expect("a rule");
        cors.allowing(&CrossOrigin { origin, method, headers }).is_some()
    }

    #[test]
    fn an_origin_is_matched_with_one_wildcard_anywhere() {
        for (pattern, origin, expected) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example.org", false),
            ("https://a.example", "http://a.example", false),
            ("*", "https://anything", true),
            ("*.example", "https://a.example", true),
            ("*.example", "https://a.example:80", false),
            ("https://*.example", "https://a.b.example", true),
            ("https://*.example", "https://.example", true),
            ("aba*aba", "aba", false),
            ("aba*aba", "abaaba", true),
            ("prefix*", "prefix", true),
            ("prefix*", "a.prefix", false),
        ] {
            assert_eq!(
                allows(&rule(&[pattern], &["GET"], &[]), origin, "GET", &[]),
                expected,
                "{pattern} {origin}"
            );
        }
    }

    #[test]
    fn method_and_every_header_have_to_be_allowed_by_one_rule() {
        let rule = rule(&["*"], &["GET", "PUT"], &["x-amz-*", "Content-Type", "X-*-Id"]);
        for (method, headers, expected) in [
            ("GET", &[][..], true),
            ("DELETE", &[], false),
            ("get", &[], false),
            ("PUT", &["content-type", "X-Amz-Meta-A"], true),
            ("PUT", &["content-type", "authorization"], false),
            ("PUT", &["x-some-ID", "x--id"], true),
            ("PUT", &["x-id"], false),
            ("PUT", &["x-am"], false),
        ] {
            assert_eq!(allows(&rule, "https://a", method, headers), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn the_first_rule_that_allows_counts() {
        let first = CorsRule { max_age_seconds: Some(1), ..rule(&["https://a"], &["GET"], &[]) };
        let second = CorsRule { max_age_seconds: Some(2), ..rule(&["*"], &["GET", "PUT"], &[]) };
        let cors = Cors::new(vec![first, second]).expect("rules");
        let age = |method| {
            let asked = CrossOrigin { origin: "https://a", method, headers: &[] };
            cors.allowing(&asked).and_then(|rule| rule.max_age_seconds)
        };
        assert_eq!((age("GET"), age("PUT"), age("POST")), (Some(1), Some(2), None));
    }

    #[test]
    fn rules_that_are_not_understood_are_refused() {
        let good = rule(&["https://a"], &["GET"], &["*"]);
        let code =
            |rules: Vec<CorsRule>| Cors::new(rules).err().map(|refused| refused.code().as_str().to_owned());
        assert_eq!(code(vec![good.clone()]), None);
        assert_eq!(code(vec![good.clone(); RULES_MAX]), None);
        let (malformed, invalid) = (Some("MalformedXML".to_owned()), Some("InvalidRequest".to_owned()));
        for (rules, expected) in [
            (vec![], &malformed),
            (vec![good.clone(); RULES_MAX + 1], &malformed),
            (vec![rule(&[], &["GET"], &[])], &malformed),
            (vec![rule(&["*"], &[], &[])], &malformed),
            (vec![rule(&["*"], &["PATCH"], &[])], &invalid),
            (vec![rule(&["*"], &["OPTIONS"], &[])], &invalid),
            (vec![rule(&["*.*"], &["GET"], &[])], &invalid),
            (vec![rule(&["*"], &["GET"], &["x-*-*"])], &invalid),
            (vec![rule(&["a\nb"], &["GET"], &[])], &malformed),
            (vec![CorsRule { exposed_headers: texts(&["x-*"]), ..good.clone() }], &invalid),
            (vec![CorsRule { exposed_headers: texts(&["a b"]), ..good.clone() }], &malformed),
            (vec![CorsRule { id: Some("i".repeat(256)), ..good.clone() }], &malformed),
            (vec![CorsRule { origins: vec!["a".repeat(70_000)], ..good }], &malformed),
        ] {
            assert_eq!(&code(rules.clone()), expected, "{rules:?}");
        }
    }
}
