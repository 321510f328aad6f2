//! The fields of a form, by name.

use std::fmt;

use s3s::S3ErrorCode;

use super::missing;
use super::multipart::FIELDS_BYTES_MAX;
use crate::refusal::Refusal;

/// What a field says in place of the file's name.
const FILE_NAME: &str = "${filename}";

/// Fields that are proof of something and stand as they were sent.
const PROOFS: [&str; 8] = [
    "awsaccesskeyid",
    "policy",
    "signature",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];

/// The fields before the file; each once. In all but the proofs the file's name has taken the place of `${filename}`.
///
/// Printed by their names alone: signatures and keys are values among them.
pub struct Form {
    /// Names in lower case.
    fields: Vec<(String, String)>,
}

impl Form {
    /// The form with these `fields`, and the name of its file, if that has one.
    ///
    /// # Errors
    /// `InvalidArgument` for a field that is there twice, `MaxPostPreDataLengthExceeded` where the fields are too long with
    /// the file's name in them.
    pub fn of(fields: Vec<(String, String)>, file_name: Option<String>) -> Result<Self, Refusal> {
        let path = file_name.unwrap_or_default();
        // Browsers have sent whole paths.
        let file_name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut form = Self { fields: Vec::with_capacity(fields.len()) };
        let mut bytes = 0;
        for (name, value) in fields {
            let name = name.to_ascii_lowercase();
            if form.get(&name).is_some() {
                return Err(Refusal::new(S3ErrorCode::InvalidArgument, "A form has each field once.")
                    .with_detail("ArgumentName", name));
            }
            let value = match PROOFS.contains(&name.as_str()) {
                true => value,
                false => {
                    bytes += value.len() + value.matches(FILE_NAME).count() * file_name.len();
                    if bytes > FIELDS_BYTES_MAX {
                        return Err(S3ErrorCode::MaxPostPreDataLengthExceededError.into());
                    }
                    value.replace(FILE_NAME, file_name)
                }
            };
            form.fields.push((name, value));
        }
        Ok(form)
    }

    /// The value of the field `name`, which is in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name`, which S3 spells like this and a form needs.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn needs(&self, name: &str) -> Result<&str, Refusal> {
        self.get(&name.to_ascii_lowercase()).ok_or_else(|| missing(name))
    }

    /// Names in lower case and values, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)], file_name: Option<&str>) -> Result<Form, Refusal> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Form::of(fields.iter().map(owned).collect(), file_name.map(str::to_owned))
    }

    #[test]
    fn names_have_no_case_and_come_once() {
        let form = form(&[("kEy", "a"), ("Policy", "p")], None);
        let form = form.expect("two fields");
        assert_eq!((form.get("key"), form.get("policy"), form.get("acl")), (Some("a"), Some("p"), None));
        assert!(self::form(&[("key", "a"), ("KEY", "a")], None).is_err());
        assert_eq!(format!("{form:?}"), r#"["key", "policy"]"#);
    }

    #[test]
    fn a_files_name_does_not_make_a_small_form_a_large_one() {
        let named = FILE_NAME.repeat(900);
        let field = [("x-ignore-a", named.as_str())];
        assert!(form(&field, Some("cat.jpg")).is_ok());
        let refused = form(&field, Some(&"x".repeat(10_000))).expect_err("9 MB");
        assert_eq!(*refused.code(), S3ErrorCode::MaxPostPreDataLengthExceededError);
        assert!(
            form(&[("policy", named.as_str())], Some(&"x".repeat(10_000))).is_ok(),
            "no name is put there"
        );
    }

    #[test]
    fn the_files_name_stands_wherever_it_is_named() {
        for (file_name, expected) in [
            (Some("cat.jpg"), "user/cat.jpg!"),
            (Some("/home/eric/cat.jpg"), "user/cat.jpg!"),
            (Some("C:\\pictures\\cat.jpg"), "user/cat.jpg!"),
            (Some("pictures/"), "user/!"),
            (Some("${filename}"), "user/${filename}!"),
            (None, "user/!"),
        ] {
            let said = "user/${filename}!";
            let fields = [("key", said), ("x-amz-meta-name", said), ("policy", said)];
            let form = form(&fields, file_name).expect("three fields");
            assert_eq!(form.get("key"), Some(expected), "{file_name:?}");
            assert_eq!(form.get("x-amz-meta-name"), Some(expected), "{file_name:?}");
            assert_eq!(form.get("policy"), Some(said), "what is signed stands as it was sent");
        }
    }
}
