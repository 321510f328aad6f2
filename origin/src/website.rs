//! How a bucket is shown as a website: which object a path stands for, and where requests are sent instead.
//!
//! Pure. A configuration is refused when it is put if it is not understood in full (Amazon S3 API reference,
//! "PutBucketWebsite"; User Guide, "Hosting a static website"), so that what is kept can be acted on: [`document`] reads
//! and shows it. Reading is not here, nor who may: that a site leads to an object gives nobody leave to read it.

pub(crate) mod document;
#[cfg(test)]
mod tests;

use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// What is encoded of a key in a URL's path: all but what RFC 3986 §3.3 lets stand in one, slashes among it.
const KEY_ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// What is encoded of text that was written for a URL, where `?`, `#` and escapes mean what they mean: what no URL, and no
/// header, can hold.
const WRITTEN_ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A bucket's website.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Website {
    /// Another host has it.
    Elsewhere(Elsewhere),
    /// The bucket's objects are its pages.
    Pages(Pages),
}

/// The host that every request is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    host: String,
    protocol: Option<Protocol>,
}

/// A website whose pages are objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pages {
    /// The last part of the key that stands for a path that ends in a slash.
    index_suffix: String,
    /// The key of the page for what cannot be shown.
    error_key: Option<String>,
    rules: Vec<Rule>,
}

/// Sends on what its condition holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Rule {
    /// The key starts with it.
    key_prefix: Option<String>,
    /// The page cannot be shown, and this status says so; without one the rule is looked at before the page is.
    refused_with: Option<u16>,
    protocol: Option<Protocol>,
    host: Option<String>,
    key: NewKey,
    /// The redirect's status; 301 where none is given.
    status: Option<u16>,
}

/// What becomes of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum NewKey {
    #[default]
    Same,
    /// This stands in its place.
    Whole(String),
    /// This stands in place of the prefix that the condition names.
    Prefix(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Protocol {
    Http,
    Https,
}

/// A request, as far as redirects are made of it.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Whether it came over HTTPS.
    pub is_tls: bool,
    /// `Host`, with its port.
    pub host: &'a str,
    /// The path, decoded, without its first slash.
    pub key: &'a str,
    /// The query as it was sent.
    pub query: &'a [u8],
}

/// Where a request is sent on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// 301 to 308.
    pub status: StatusCode,
    /// `Location`: what no header can hold is encoded in it, wherever it came from.
    pub location: HeaderValue,
}

/// What a key without a slash at its end may stand for, if there is no such object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The object that has to be there.
    pub index_key: String,
    /// To the same key with a slash.
    pub redirection: Redirection,
}

impl Website {
    /// About as many bytes as its texts take.
    fn text_bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Elsewhere(elsewhere) => elsewhere.host.len(),
            Self::Pages(Pages { index_suffix, error_key, rules }) => {
                let rules = rules.iter().map(|rule| {
                    let key = match &rule.key {
                        NewKey::Same => 0,
                        NewKey::Whole(key) | NewKey::Prefix(key) => key.len(),
                    };
                    length(&rule.key_prefix) + length(&rule.host) + key
                });
                index_suffix.len() + length(error_key) + rules.sum::<usize>()
            }
        }
    }
}

impl Elsewhere {
    /// Where a request is sent: with its key and its query.
    #[must_use]
    pub fn redirection(&self, visit: &Visit<'_>) -> Redirection {
        let key = utf8_percent_encode(visit.key, KEY_ENCODED).to_string();
        let location = visit.url(self.protocol, Some(&self.host), &key);
        Redirection { status: StatusCode::MOVED_PERMANENTLY, location }
    }
}

impl Pages {
    /// Where a request is sent whatever there is in the bucket: by the first rule that asks for nothing but its key.
    #[must_use]
    pub fn redirect_before(&self, visit: &Visit<'_>) -> Option<Redirection> {
        self.rules
            .iter()
            .find(|rule| rule.refused_with.is_none() && rule.is_about(visit.key))
            .map(|rule| rule.redirection(visit))
    }

    /// Where a request is sent whose page cannot be shown, as `refused_with` says.
    #[must_use]
    pub fn redirect_after(&self, visit: &Visit<'_>, refused_with: StatusCode) -> Option<Redirection> {
        self.rules
            .iter()
            .find(|rule| rule.refused_with == Some(refused_with.as_u16()) && rule.is_about(visit.key))
            .map(|rule| rule.redirection(visit))
    }

    /// The key of the object that `key` stands for: a folder's index, or the object of that name.
    #[must_use]
    pub fn object_key(&self, key: &str) -> String {
        if is_folder(key) { format!("{key}{}", self.index_suffix) } else { key.to_owned() }
    }

    /// What `key` may stand for where there is no such object; `None` where it says already that it is a folder.
    #[must_use]
    pub fn folder(&self, key: &str) -> Option<Folder> {
        if is_folder(key) {
            return None;
        }
        // Two slashes at the start of a location would be another host.
        let (start, rest) = key.strip_prefix('/').map_or(("", key), |rest| ("%2F", rest));
        let location = format!("/{start}{}/", utf8_percent_encode(rest, KEY_ENCODED));
        Some(Folder {
            index_key: format!("{key}/{}", self.index_suffix),
            redirection: Redirection { status: StatusCode::FOUND, location: header(&location) },
        })
    }

    /// The key of the page for what cannot be shown, if there is one.
    #[must_use]
    pub fn error_key(&self) -> Option<&str> {
        self.error_key.as_deref()
    }
}

impl Rule {
    fn is_about(&self, key: &str) -> bool {
        self.key_prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Where a request goes whose key the rule is about.
    fn redirection(&self, visit: &Visit<'_>) -> Redirection {
        let encoded = |key: &str| utf8_percent_encode(key, KEY_ENCODED).to_string();
        let key = match &self.key {
            NewKey::Same => encoded(visit.key),
            NewKey::Whole(key) => key.clone(),
            NewKey::Prefix(prefix) => {
                let replaced = self.key_prefix.as_deref().unwrap_or_default();
                prefix.clone() + &encoded(visit.key.strip_prefix(replaced).unwrap_or(visit.key))
            }
        };
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        Redirection {
            status: status.unwrap_or(StatusCode::MOVED_PERMANENTLY),
            location: visit.url(self.protocol, self.host.as_deref(), &key),
        }
    }
}

impl Redirection {
    /// Where an object sends its visitors that was stored with `x-amz-website-redirect-location`.
    #[must_use]
    pub fn of_object(location: &str) -> Self {
        Self { status: StatusCode::MOVED_PERMANENTLY, location: header(location) }
    }
}

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Visit<'_> {
    /// The URL of `path`, which is written for one, with the request's query; of the request's protocol and host where no
    /// others are given.
    fn url(&self, protocol: Option<Protocol>, host: Option<&str>, path: &str) -> HeaderValue {
        let protocol = protocol.unwrap_or(if self.is_tls { Protocol::Https } else { Protocol::Http });
        let mut url = format!("{}://{}/{path}", protocol.as_str(), host.unwrap_or(self.host));
        if !self.query.is_empty() {
            url.push(if path.contains('?') { '&' } else { '?' });
            url.extend(percent_encode(self.query, WRITTEN_ENCODED));
        }
        header(&url)
    }
}

fn is_folder(key: &str) -> bool {
    key.is_empty() || key.ends_with('/')
}

fn header(location: &str) -> HeaderValue {
    let location = utf8_percent_encode(location, WRITTEN_ENCODED).to_string();
    HeaderValue::try_from(location).expect("visible characters of ASCII")
}
