//! The names of the operators.

/// What a condition's operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) comparison: Comparison,
    pub(super) is_negated: bool,
    /// True of a request that does not say anything of the key.
    pub(super) if_exists: bool,
    pub(super) quantifier: Quantifier,
}

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Text,
    TextIgnoringCase,
    /// With wildcards.
    Like,
    Number(Order),
    Date(Order),
    Truth,
    /// Base64 of equal bytes.
    Bytes,
    /// An address in a network.
    Address,
    /// Field by field, with wildcards.
    Arn,
    /// Whether there is a value at all.
    Null,
}

/// How the request's value lies to the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Which of several values of the request must be as the operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    /// Not said: one must match, or for a negated operator none.
    None,
    /// `ForAnyValue:` one at least.
    Any,
    /// `ForAllValues:` each; of nothing, each is.
    All,
}

/// Every operator, and whether it is a negation.
const OPERATORS: [(&str, Comparison, bool); 27] = [
    ("ArnEquals", Comparison::Arn, false),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnNotLike", Comparison::Arn, true),
    ("BinaryEquals", Comparison::Bytes, false),
    ("Bool", Comparison::Truth, false),
    ("DateEquals", Comparison::Date(Order::Equal), false),
    ("DateGreaterThan", Comparison::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Comparison::Date(Order::GreaterOrEqual), false),
    ("DateLessThan", Comparison::Date(Order::Less), false),
    ("DateLessThanEquals", Comparison::Date(Order::LessOrEqual), false),
    ("DateNotEquals", Comparison::Date(Order::Equal), true),
    ("IpAddress", Comparison::Address, false),
    ("NotIpAddress", Comparison::Address, true),
    ("Null", Comparison::Null, false),
    ("NumericEquals", Comparison::Number(Order::Equal), false),
    ("NumericGreaterThan", Comparison::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Comparison::Number(Order::GreaterOrEqual), false),
    ("NumericLessThan", Comparison::Number(Order::Less), false),
    ("NumericLessThanEquals", Comparison::Number(Order::LessOrEqual), false),
    ("NumericNotEquals", Comparison::Number(Order::Equal), true),
    ("StringEquals", Comparison::Text, false),
    ("StringEqualsIgnoreCase", Comparison::TextIgnoringCase, false),
    ("StringLike", Comparison::Like, false),
    ("StringNotEquals", Comparison::Text, true),
    ("StringNotEqualsIgnoreCase", Comparison::TextIgnoringCase, true),
    ("StringNotLike", Comparison::Like, true),
];

impl Operator {
    /// The operator called `name`, with its prefix and suffix; `None` when there is none.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (quantifier, plain) = match name.split_once(':') {
            None => (Quantifier::None, name),
            Some(("ForAnyValue", plain)) => (Quantifier::Any, plain),
            Some(("ForAllValues", plain)) => (Quantifier::All, plain),
            Some(_) => return None,
        };
        let (plain, if_exists) =
            plain.strip_suffix("IfExists").map_or((plain, false), |without| (without, true));
        let (_, comparison, is_negated) = *OPERATORS.iter().find(|(known, ..)| *known == plain)?;
        // Whether there is a value is not asked of each value, nor if there is one.
        let is_plain = quantifier == Quantifier::None && !if_exists;
        (comparison != Comparison::Null || is_plain).then_some(Self {
            comparison,
            is_negated,
            if_exists,
            quantifier,
        })
    }
}

impl Order {
    /// Whether `said` lies so to `wanted`.
    pub(super) fn holds<T: Ord>(self, said: &T, wanted: &T) -> bool {
        match self {
            Self::Equal => said == wanted,
            Self::Less => said < wanted,
            Self::LessOrEqual => said <= wanted,
            Self::Greater => said > wanted,
            Self::GreaterOrEqual => said >= wanted,
        }
    }
}
