//! What a request tells the cache, the way LOTA clients do: `Cache-Control` on a GET, a one-byte range on a HEAD.

use cache::Mode;
use http::header::{CACHE_CONTROL, RANGE};
use http::{HeaderMap, Method};

/// How a request wants the cache used: `no-cache` looks and stores nothing, `no-store` does neither, anything else
/// looks and fills. Of a GET; other methods are not told.
pub(super) fn mode(method: &Method, headers: &HeaderMap) -> Mode {
    if method != Method::GET {
        return Mode::Fill;
    }
    let has = |wanted: &str| directives(headers).any(|directive| directive.eq_ignore_ascii_case(wanted));
    if has("no-store") {
        Mode::Bypass
    } else if has("no-cache") {
        Mode::LookOnly
    } else {
        Mode::Fill
    }
}

/// Whether the request asks for the whole object to be brought here: HEAD with `Range: bytes=0-0`.
pub(super) fn wants_prestage(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::HEAD && headers.get(RANGE).is_some_and(|range| range == "bytes=0-0")
}

/// The names of all cache directives (RFC 9111 §5.2), however they are spread over header lines. A comma inside a
/// quoted argument separates nothing.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| {
        let (mut is_quoted, mut is_escaped) = (false, false);
        line.split(move |character| {
            let escaped = std::mem::replace(&mut is_escaped, false);
            match character {
                '\\' if is_quoted && !escaped => is_escaped = true,
                '"' if !escaped => is_quoted = !is_quoted,
                ',' => return !is_quoted,
                _ => {}
            }
            false
        })
        .map(|directive| directive.split('=').next().unwrap_or_default().trim())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(lines: &[&'static str]) -> Mode {
        let lines = lines.iter().map(|line| (CACHE_CONTROL, HeaderValue::from_static(line)));
        mode(&Method::GET, &HeaderMap::from_iter(lines))
    }

    #[test]
    fn directives_are_found_in_any_case_and_place() {
        for (lines, expected) in [
            (&[][..], Mode::Fill),
            (&["max-age=0"], Mode::Fill),
            (&["no-cache"], Mode::LookOnly),
            (&["No-Cache"], Mode::LookOnly),
            (&["max-age=0 ,\tno-cache "], Mode::LookOnly),
            (&["max-age=0", "no-cache"], Mode::LookOnly),
            (&["no-cache=\"set-cookie\""], Mode::LookOnly),
            (&["no-store"], Mode::Bypass),
            (&["no-cache, NO-STORE"], Mode::Bypass),
        ] {
            assert_eq!(of(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_directive_is_none() {
        for line in [
            "no-caches",
            "x-no-cache",
            "no cache",
            "\"no-cache\"",
            "a=\"x, no-store\"",
            "a=\"\\\", no-store\"",
        ] {
            assert_eq!(of(&[line]), Mode::Fill, "{line}");
        }
    }

    #[test]
    fn directives_count_on_get_alone() {
        let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
        assert_eq!(mode(&Method::HEAD, &headers), Mode::Fill);
    }

    #[test]
    fn a_prestage_is_a_head_of_exactly_the_first_byte() {
        let range = |range| HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
        assert!(wants_prestage(&Method::HEAD, &range("bytes=0-0")));
        assert!(!wants_prestage(&Method::GET, &range("bytes=0-0")));
        assert!(!wants_prestage(&Method::HEAD, &range("bytes=0-1")));
        assert!(!wants_prestage(&Method::HEAD, &HeaderMap::new()));
    }
}
