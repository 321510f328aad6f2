//! The query of a request target: decoded once, every name at most once.

use std::fmt;

use s3s::S3ErrorCode;

use super::percent;
use crate::refusal::Refusal;

/// Most parameters of a query: over twice what any operation has together with a signature. Each name is held against all
/// before it.
const PARAMETERS_MAX: usize = 64;

/// Decoded parameters in the order they were sent. A parameter without `=` has an empty value.
///
/// Printed by their names alone: a presigned request's signature is a value among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters in `raw`, what follows the `?` of a request target; `+` is a space, as in HTML forms, which is
    /// how S3 and s3s read it.
    ///
    /// # Errors
    /// `InvalidURI` when an escape is malformed or the text is not UTF-8, `InvalidArgument` when a name comes twice or there
    /// are more than 64.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, Refusal> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in raw.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(Refusal::new(S3ErrorCode::InvalidArgument, "The query has too many parameters."));
            }
            let cut = pair.iter().position(|&byte| byte == b'=');
            let (name, value) = cut.map_or((pair, &[][..]), |cut| (&pair[..cut], &pair[cut + 1..]));
            let (name, value) = (percent::decode_form(name)?, percent::decode_form(value)?);
            if parameters.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Refusal::new(S3ErrorCode::InvalidArgument, "A query parameter is given twice.")
                    .with_detail("ArgumentName", name));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`, case-sensitive as S3's parameters are.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether there is a parameter called `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All parameters, in the order they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_so_many_parameters_at_most() {
        let of = |count: usize| (0..count).map(|number| format!("p{number}&")).collect::<String>();
        assert_eq!(
            Query::parse(of(PARAMETERS_MAX).as_bytes()).expect("parameters").iter().count(),
            PARAMETERS_MAX
        );
        let refused = Query::parse(of(PARAMETERS_MAX + 1).as_bytes()).expect_err("too many");
        assert_eq!(refused.code().as_str(), "InvalidArgument");
    }
}
