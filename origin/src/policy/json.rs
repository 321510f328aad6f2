//! A JSON document with its members in order, repeated ones too: what a policy is before anything is understood.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::Malformed;

/// One JSON value. Deeper nesting than serde_json's 128 levels does not parse.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As it is written in decimal.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// In the document's order, with what is there twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The document in `text`, which is an object.
    ///
    /// # Errors
    /// In S3's words when it is not JSON, or its first byte is not `{`.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let not_json =
            |why| Malformed::new("Policies must be valid JSON and the first byte must be '{'", why);
        if !text.starts_with('{') {
            return Err(not_json(String::new()));
        }
        serde_json::from_str(text).map_err(|e| not_json(e.to_string()))
    }

    /// The members of an object, each there once.
    ///
    /// # Errors
    /// For any other value, and for a name that is there twice: two readers could each take another one.
    pub(super) fn members(&self) -> Result<&[(String, Json)], Malformed> {
        let Self::Object(members) = self else { return Err(syntax(format!("{} is no object", self.kind()))) };
        for (index, (name, _)) in members.iter().enumerate() {
            if members[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(syntax("it is there twice").inside(name));
            }
        }
        Ok(members)
    }

    /// The values of an array, or the one value that stands for an array of one.
    pub(super) fn one_or_many(&self) -> &[Self] {
        match self {
            Self::Array(values) => values,
            single => std::slice::from_ref(single),
        }
    }

    /// The text of a string.
    ///
    /// # Errors
    /// For any other value.
    pub(super) fn text(&self) -> Result<&str, Malformed> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(syntax(format!("{} is no string", self.kind()))),
        }
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Parses each value of an array, or the one in its place, and says of a refused one where it is.
    ///
    /// # Errors
    /// Those of `parse`.
    pub(super) fn each<T>(&self, parse: impl Fn(&Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let is_array = matches!(self, Self::Array(_));
        let parsed = self.one_or_many().iter().enumerate().map(|(index, value)| {
            parse(value).map_err(|malformed| if is_array { malformed.at(index) } else { malformed })
        });
        parsed.collect()
    }
}

/// A document of the wrong shape, in S3's words.
pub(super) fn syntax(why: impl Into<String>) -> Malformed {
    Malformed::new("Invalid policy syntax.", why)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes whatever comes.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element()? {
            array.push(value);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}
