//! Pages of other sites (CORS): what a browser asks before it sends their requests, and what it is told beside answers.
//!
//! The bucket's rules are among its facts, asked of its owner for each request that names an `Origin`, so that a rule
//! that was taken away holds for no request after it. Nothing here lets anybody in: it tells browsers what a page may see
//! of an answer, refusals too, and whoever asks is judged by signature and permission as ever.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use origin::cors::{Cors, CorsRule, CrossOrigin};
use s3s::{S3Error, S3ErrorCode};

use crate::refusal::Refusal;

/// What the answer depends on: caches between us and the browser are told so.
const DEPENDS_ON: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

/// Most headers that a browser may ask about at once: each is held against every pattern of every rule, for whoever asks.
const ASKED_HEADERS_MAX: usize = 100;

/// What every answer to one request says beside what it says anyway.
#[derive(Clone, Debug)]
pub struct Beside(pub HeaderMap);

/// What the answer to a request with `method` and `headers` tells a browser; nothing where no rule lets the page that it
/// came from make it. A request that names a method of its own is judged by that one, as S3 does.
#[must_use]
pub fn beside(cors: &Cors, method: &Method, headers: &HeaderMap) -> HeaderMap {
    let Some(origin) = text(headers, &ORIGIN) else { return HeaderMap::new() };
    let method = text(headers, &ACCESS_CONTROL_REQUEST_METHOD).unwrap_or(method.as_str());
    match cors.allowing(&CrossOrigin { origin, method, headers: &[] }) {
        Some(rule) => told(rule, origin),
        None => HeaderMap::new(),
    }
}

/// The answer to a browser's question whether a page may make a request.
///
/// # Errors
/// `BadRequest` for a question without a method that could be allowed, or about more than 100 headers; `AccessForbidden` where no rule allows it, or where
/// there is none.
pub fn preflight(cors: Option<&Cors>, headers: &HeaderMap) -> Result<HeaderMap, Refusal> {
    const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];
    let origin = text(headers, &ORIGIN).ok_or_else(|| bad_request("Origin request header needed."))?;
    let method = text(headers, &ACCESS_CONTROL_REQUEST_METHOD)
        .filter(|method| METHODS.contains(method))
        .ok_or_else(|| bad_request("Invalid Access-Control-Request-Method."))?;
    let asked = text(headers, &ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default().to_ascii_lowercase();
    let asked: Vec<&str> = asked.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if asked.len() > ASKED_HEADERS_MAX {
        return Err(bad_request("Too many Access-Control-Request-Headers."));
    }
    let cors = cors.ok_or_else(|| forbidden("CORSResponse: CORS is not enabled for this bucket."))?;
    let rule = cors.allowing(&CrossOrigin { origin, method, headers: &asked }).ok_or_else(|| {
        forbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / \
             Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
        )
    })?;
    let mut told = told(rule, origin);
    insert(&mut told, ACCESS_CONTROL_ALLOW_HEADERS, &asked.join(", "));
    Ok(told)
}

fn told(rule: &CorsRule, origin: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let shown = rule.shown_origin(origin);
    insert(&mut headers, ACCESS_CONTROL_ALLOW_ORIGIN, shown);
    insert(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
    insert(&mut headers, ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed_headers.join(", "));
    if let Some(seconds) = rule.max_age_seconds {
        headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.into());
    }
    if shown != "*" {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(VARY, DEPENDS_ON);
    headers
}

/// What is empty says nothing; what is kept in a rule can be a header.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

fn bad_request(why: &str) -> Refusal {
    with_status("BadRequest", &format!("Insufficient information. {why}"), StatusCode::BAD_REQUEST)
}

fn forbidden(message: &str) -> Refusal {
    with_status("AccessForbidden", message, StatusCode::FORBIDDEN)
}

fn with_status(code: &'static str, message: &str, status: StatusCode) -> Refusal {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message.to_owned());
    error.set_status_code(status);
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let one = CorsRule {
            methods: texts(&["GET", "PUT"]),
            origins: texts(&["https://a.example"]),
            headers: texts(&["x-amz-*"]),
            exposed_headers: texts(&["ETag", "x-amz-version-id"]),
            max_age_seconds: Some(60),
            ..CorsRule::default()
        };
        let all = CorsRule { methods: texts(&["GET"]), origins: texts(&["*"]), ..CorsRule::default() };
        Cors::new(vec![one, all]).expect("rules")
    }

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
            })
            .collect()
    }

    fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
        let mut shown: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .filter(|(name, _)| name != "vary")
            .collect();
        shown.sort();
        shown
    }

    fn expected(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn answers_tell_what_the_rule_says_and_nothing_where_none_allows() {
        let named = map(&[("origin", "https://a.example")]);
        let told = beside(&cors(), &Method::PUT, &named);
        assert_eq!(told[VARY], DEPENDS_ON);
        assert_eq!(
            shown(&told),
            expected(&[
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "GET, PUT"),
                ("access-control-allow-origin", "https://a.example"),
                ("access-control-expose-headers", "ETag, x-amz-version-id"),
                ("access-control-max-age", "60"),
            ])
        );
        let other = map(&[("origin", "https://b.example")]);
        assert_eq!(
            shown(&beside(&cors(), &Method::GET, &other)),
            expected(&[("access-control-allow-methods", "GET"), ("access-control-allow-origin", "*")])
        );
        assert!(beside(&cors(), &Method::PUT, &other).is_empty());
        assert!(beside(&cors(), &Method::DELETE, &named).is_empty());
        assert!(beside(&cors(), &Method::GET, &HeaderMap::new()).is_empty());
    }

    #[test]
    fn a_question_is_answered_by_the_rule_that_allows_all_of_it() {
        let ask = |headers: &[(&'static str, &str)]| {
            preflight(Some(&cors()), &map(headers))
                .map_err(|refused| (refused.status().as_u16(), refused.code().as_str().to_owned()))
        };
        let (origin, method, headers) =
            ("origin", "access-control-request-method", "access-control-request-headers");
        let told =
            ask(&[(origin, "https://a.example"), (method, "PUT"), (headers, "X-Amz-Date, x-amz-meta-a")]);
        assert_eq!(told.expect("allowed")[ACCESS_CONTROL_ALLOW_HEADERS], "x-amz-date, x-amz-meta-a");
        let many = "x-amz-date,".repeat(100);
        assert!(ask(&[(origin, "https://a.example"), (method, "PUT"), (headers, &many)]).is_ok());
        let refused = |status, code: &str| (status, code.to_owned());
        for (question, expected) in [
            (
                &[(origin, "https://a.example"), (method, "PUT"), (headers, "authorization")][..],
                refused(403, "AccessForbidden"),
            ),
            (&[(origin, "https://b.example"), (method, "PUT")], refused(403, "AccessForbidden")),
            (
                &[(origin, "https://b.example"), (method, "GET"), (headers, "x-amz-date")],
                refused(403, "AccessForbidden"),
            ),
            (&[(origin, "https://a.example")], refused(400, "BadRequest")),
            (&[(origin, "https://a.example"), (method, "PATCH")], refused(400, "BadRequest")),
            (&[(method, "GET")], refused(400, "BadRequest")),
            (
                &[(origin, "https://a.example"), (method, "GET"), (headers, &"x-amz-date,".repeat(101))],
                refused(400, "BadRequest"),
            ),
        ] {
            assert_eq!(ask(question).expect_err("refused"), expected, "{question:?}");
        }
        let anybody = map(&[(origin, "https://a.example"), (method, "GET")]);
        let none = preflight(None, &anybody).expect_err("no rules");
        assert_eq!(none.status(), StatusCode::FORBIDDEN);
    }
}
