//! Requests that botocore signed (`tests/vectors/botocore_signatures.py` writes them).

use http::{HeaderMap, HeaderName};

use super::signer::Signed;
use super::vectors::{Vector, Vectors};
use super::{ACCESS_KEY, Keys, judge};
use crate::target::AmzDate;

impl Vector {
    fn request(&self) -> Signed {
        let pairs = self.headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("header name");
            (name, value.parse().expect("header value"))
        });
        Signed {
            method: self.method.parse().expect("method"),
            raw_target: self.target.clone(),
            headers: HeaderMap::from_iter(pairs),
        }
    }
}

#[test]
fn signatures_of_botocore_are_accepted() {
    let vectors = Vectors::read();
    let now = AmzDate::parse(&vectors.signed_at).expect("date").moment();
    let keys = Keys::new(8);
    assert!(vectors.requests.len() > 100, "{} requests", vectors.requests.len());
    for vector in &vectors.requests {
        let request = vector.request();
        assert_eq!(judge(&request, now, &keys), Ok(Some(ACCESS_KEY.to_owned())), "{request:?}");
        let forged = judge(&request.with_digit_changed(0), now, &keys);
        assert_eq!(forged, Err("SignatureDoesNotMatch".to_owned()), "{request:?}");
    }
}
