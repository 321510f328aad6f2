//! The values that a policy gives for a key, of one kind, and whether a request's is among them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;

use super::super::Malformed;
use super::super::json::syntax;
use super::super::key::Key;
use super::super::steps::Steps;
use super::super::template::{Resolve, Template, Variables, Wildcards};
use super::arn::ArnTemplate;
use super::date;
use super::decimal::Decimal;
use super::network::{self, Network};
use super::operator::{Comparison, Order};

/// The values of one condition, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Texts, with wildcards or without.
    Texts(Vec<Template>),
    TextsIgnoringCase(Vec<Template>),
    Numbers(Order, Vec<Decimal>),
    Dates(Order, Vec<OffsetDateTime>),
    Truths(Vec<bool>),
    Bytes(Vec<Vec<u8>>),
    Networks(Vec<Network>),
    Arns(Vec<ArnTemplate>),
}

impl Values {
    /// The values that `texts` write for `comparison`, which is not `Null`.
    ///
    /// # Errors
    /// For a text that is no such value, with its place.
    pub(super) fn parse(
        comparison: Comparison,
        texts: &[String],
        variables: Variables,
    ) -> Result<Self, Malformed> {
        let template = |wildcards| move |text: &str| Template::parse(text, variables, wildcards);
        Ok(match comparison {
            Comparison::Text => Self::Texts(parse_each(texts, template(Wildcards::No))?),
            Comparison::Like => Self::Texts(parse_each(texts, template(Wildcards::Yes))?),
            Comparison::TextIgnoringCase => {
                Self::TextsIgnoringCase(parse_each(texts, template(Wildcards::No))?)
            }
            Comparison::Number(order) => {
                Self::Numbers(order, parse_each(texts, or_else(Decimal::parse, "number"))?)
            }
            Comparison::Date(order) => Self::Dates(order, parse_each(texts, or_else(date::parse, "date"))?),
            Comparison::Truth | Comparison::Null => Self::Truths(parse_each(texts, truth)?),
            Comparison::Bytes => Self::Bytes(parse_each(texts, or_else(bytes, "base64"))?),
            Comparison::Address => Self::Networks(parse_each(texts, or_else(Network::parse, "network"))?),
            Comparison::Arn => Self::Arns(parse_each(texts, |text| ArnTemplate::parse(text, variables))?),
        })
    }

    /// Whether `said` is among them. What is not of their kind is not.
    pub(super) fn include(&self, said: &str, resolve: &Resolve<'_>) -> bool {
        match self {
            Self::Texts(wanted) => wanted.iter().any(|template| template.matches(said, resolve)),
            Self::TextsIgnoringCase(wanted) => {
                wanted.iter().any(|template| template.matches_ignoring_case(said, resolve))
            }
            Self::Numbers(order, wanted) => is_among(wanted, Decimal::parse(said), |a, b| order.holds(a, b)),
            Self::Dates(order, wanted) => is_among(wanted, date::parse(said), |a, b| order.holds(a, b)),
            Self::Truths(wanted) => is_among(wanted, truth(said).ok(), |a, b| a == b),
            Self::Bytes(wanted) => is_among(wanted, bytes(said), |a, b| a == b),
            Self::Networks(wanted) => {
                is_among(wanted, network::address(said), |address, network| network.holds(*address))
            }
            Self::Arns(wanted) => wanted.iter().any(|template| template.matches(said, resolve)),
        }
    }

    /// Whether every variable in them has a value or a default.
    pub(super) fn are_resolved(&self, resolve: &Resolve<'_>) -> bool {
        match self {
            Self::Texts(wanted) | Self::TextsIgnoringCase(wanted) => {
                wanted.iter().all(|template| template.is_resolved(resolve))
            }
            Self::Arns(wanted) => wanted.iter().all(|template| template.is_resolved(resolve)),
            Self::Numbers(..) | Self::Dates(..) | Self::Truths(_) | Self::Bytes(_) | Self::Networks(_) => {
                true
            }
        }
    }

    /// Whether they are texts without wildcards and variables.
    pub(super) fn are_fixed(&self) -> bool {
        match self {
            Self::Texts(wanted) | Self::TextsIgnoringCase(wanted) => {
                wanted.iter().all(|template| template.fixed().is_some())
            }
            Self::Arns(wanted) => wanted.iter().all(ArnTemplate::is_fixed),
            Self::Numbers(..) | Self::Dates(..) | Self::Truths(_) | Self::Bytes(_) | Self::Networks(_) => {
                false
            }
        }
    }

    /// Whether `text` is one of the fixed ones.
    pub(super) fn include_fixed(&self, text: &str) -> bool {
        self.include(text, &Resolve { value: &|_| None, steps: &Steps::unlimited() })
    }

    /// Whether they are networks that S3 does not take for the whole internet.
    pub(super) fn are_narrow_networks(&self) -> bool {
        matches!(self, Self::Networks(wanted) if wanted.iter().all(Network::is_narrow))
    }

    /// The keys of the variables in them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let (texts, arns): (&[Template], &[ArnTemplate]) = match self {
            Self::Texts(wanted) | Self::TextsIgnoringCase(wanted) => (wanted, &[]),
            Self::Arns(wanted) => (&[], wanted),
            Self::Numbers(..) | Self::Dates(..) | Self::Truths(_) | Self::Bytes(_) | Self::Networks(_) => {
                (&[], &[])
            }
        };
        texts.iter().flat_map(Template::keys).chain(arns.iter().flat_map(ArnTemplate::keys))
    }
}

/// Parses each text; a single one has no index in the place of an error.
pub(super) fn parse_each<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Malformed> {
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        parse(text).map_err(|why| if texts.len() > 1 { syntax(why).at(index) } else { syntax(why) })
    });
    parsed.collect()
}

/// `true` or `false`, in any case.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn or_else<T>(parse: impl Fn(&str) -> Option<T>, kind: &str) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).ok_or_else(|| format!("{text:?} is no {kind}"))
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn is_among<S, W>(wanted: &[W], said: Option<S>, is: impl Fn(&S, &W) -> bool) -> bool {
    said.is_some_and(|said| wanted.iter().any(|wanted| is(&said, wanted)))
}
