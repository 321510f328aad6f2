//! The names that a new bucket may have.

use s3s::path::check_bucket_name;
use s3s::{S3Result, s3_error};

/// Names that no bucket is given. Buckets that have one already keep it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReservedNames {
    /// Whatever begins so.
    pub prefixes: Vec<String>,
    /// Exactly these.
    pub names: Vec<String>,
}

impl ReservedNames {
    /// Refuses a name that no bucket may have. A dot is none of the letters: a bucket's name is one label of a host name,
    /// and of the certificate that speaks for it.
    ///
    /// # Errors
    /// `InvalidBucketName`.
    pub(super) fn verify(&self, name: &str) -> S3Result<()> {
        let is_reserved = self.names.iter().any(|reserved| reserved == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix));
        if check_bucket_name(name) && !name.contains('.') && !is_reserved {
            return Ok(());
        }
        Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_label_that_nobody_reserved() {
        let reserved = ReservedNames { prefixes: vec!["sys-".into()], names: vec!["admin".into()] };
        for (name, is_free) in [
            ("abc", true),
            ("1-2", true),
            ("sys", true),
            ("asys-", false),
            ("asys-a", true),
            ("admins", true),
            ("admin", false),
            ("sys-a", false),
            ("ab", false),
            ("a.b", false),
            ("192.168.1.1", false),
            ("xn--abc", false),
            ("aBc", false),
            ("a_b", false),
            ("-ab", false),
        ] {
            assert_eq!(reserved.verify(name).is_ok(), is_free, "{name}");
        }
    }
}
