//! From a policy's text to its statements: every element known, every value understood, or a refusal that says where.

use super::action::{ActionSet, AppliesTo};
use super::condition::{self, Condition};
use super::json::{Json, syntax};
use super::principal::Principals;
use super::resource::{Reach, Resources};
use super::template::Variables;
use super::{Effect, Malformed, Policy, Statement, TEXT_BYTES_MAX};

/// The policy that `text` writes; its resources are held against `bucket` where one is given.
///
/// # Errors
/// When any of it is not understood.
pub(super) fn parse(text: &str, bucket: Option<&str>) -> Result<Policy, Malformed> {
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("{} bytes; the limit is {TEXT_BYTES_MAX}", text.len());
        return Err(Malformed::new("Policy exceeds the maximum allowed document size.", why));
    }
    let document = Json::parse(text)?;
    let elements = Elements::of(&document, &["Version", "Id", "Statement"])?;
    let variables = elements.optional("Version", version)?.unwrap_or(Variables::Unknown);
    elements.optional("Id", |id| id.text().map(|_| ()))?;
    let statements = elements.required("Statement", |list| {
        if list.one_or_many().is_empty() {
            return Err(syntax("it is empty"));
        }
        list.each(|one| statement(one, variables, bucket))
    })?;
    let number = |(index, statement)| Statement { index, ..statement };
    Ok(Policy { statements: statements.into_iter().enumerate().map(number).collect() })
}

fn version(value: &Json) -> Result<Variables, Malformed> {
    match value.text()? {
        "2012-10-17" => Ok(Variables::Known),
        "2008-10-17" => Ok(Variables::Unknown),
        other => Err(Malformed::new("The policy must contain a valid version string", format!("{other:?}"))),
    }
}

fn statement(value: &Json, variables: Variables, bucket: Option<&str>) -> Result<Statement, Malformed> {
    const KNOWN: [&str; 9] = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    let elements = Elements::of(value, &KNOWN)?;
    let effect = elements.required("Effect", effect)?;
    let principals = elements.one_of("Principal", "NotPrincipal", |value, is_negated| {
        if is_negated && effect == Effect::Allow {
            return Err(syntax("an Allow names whom it is for"));
        }
        Principals::parse(value, is_negated)
    })?;
    let actions = elements.one_of("Action", "NotAction", ActionSet::parse)?;
    let resources = elements.one_of("Resource", "NotResource", |value, is_negated| {
        Resources::parse(value, is_negated, variables, bucket)
    })?;
    // An allow that reaches nothing gives nothing. A deny that reaches nothing keeps nobody from what it was meant to.
    if let Some(bucket) = bucket
        && effect == Effect::Deny
    {
        verify_reach(&elements, actions, resources.reach(bucket))?;
    }
    let conditions =
        elements.optional("Condition", |value| condition::parse_all(value, variables))?.unwrap_or_default();
    if bucket.is_some() {
        verify_conditions(&elements, actions, &conditions)?;
    }
    Ok(Statement {
        index: 0,
        sid: elements.optional("Sid", |sid| sid.text().map(str::to_owned))?,
        effect,
        principals,
        actions,
        resources,
        conditions,
    })
}

fn effect(value: &Json) -> Result<Effect, Malformed> {
    match value.text()? {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(Malformed::new("Invalid effect", format!("{other:?} is neither Allow nor Deny"))),
    }
}

/// Each action that is denied by name must be able to meet one of the resources; of those that `NotAction` leaves, one must.
fn verify_reach(elements: &Elements<'_>, actions: ActionSet, reach: Reach) -> Result<(), Malformed> {
    let nothing = || Malformed::new("Action does not apply to any resource(s) in statement", "");
    let meets = |set: ActionSet| {
        set.iter().any(|action| match action.applies_to() {
            AppliesTo::Service => true,
            AppliesTo::Bucket => reach.bucket,
            AppliesTo::Object => reach.objects,
        })
    };
    elements.optional("Action", |value| {
        let is_array = matches!(value, Json::Array(_));
        let misses = ActionSet::named(value)?.into_iter().position(|set| !meets(set));
        misses.map_or(Ok(()), |index| Err(if is_array { nothing().at(index) } else { nothing() }))
    })?;
    if meets(actions) { Ok(()) } else { Err(nothing().inside("NotAction")) }
}

/// Each action that is named must be one whose requests can have what the conditions ask for, and of a wildcard or of
/// what `NotAction` leaves, one: a condition on what no request has is not what its writer meant.
fn verify_conditions(
    elements: &Elements<'_>,
    actions: ActionSet,
    conditions: &[Condition],
) -> Result<(), Malformed> {
    let named = elements.optional("Action", ActionSet::named)?.unwrap_or_else(|| vec![actions]);
    let fits = |condition: &&Condition| {
        let is_of_some = |set: &ActionSet| set.iter().any(|action| condition.key().is_of(action));
        named.iter().all(is_of_some)
    };
    match conditions.iter().find(|condition| !fits(condition)) {
        None => Ok(()),
        Some(condition) => {
            let what = "Conditions do not apply to combination of actions and resources in statement";
            let why = format!("not every action has {}", condition.key().as_str());
            Err(Malformed::new(what, why).inside("Condition"))
        }
    }
}

/// The elements of the document or of a statement, all of them known.
struct Elements<'j> {
    members: &'j [(String, Json)],
}

impl<'j> Elements<'j> {
    fn of(value: &'j Json, known: &[&str]) -> Result<Self, Malformed> {
        let members = value.members()?;
        match members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Malformed::new("Unknown field", format!("{name:?}"))),
            None => Ok(Self { members }),
        }
    }

    fn get(&self, name: &str) -> Option<&'j Json> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    fn optional<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&'j Json) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.get(name).map(|value| parse(value).map_err(|e| e.inside(name))).transpose()
    }

    fn required<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&'j Json) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.optional(name, parse)?.ok_or_else(|| missing(name))
    }

    /// Exactly one of two elements, of which the second means the opposite of the first.
    fn one_of<T>(
        &self,
        name: &'static str,
        negated: &'static str,
        parse: impl Fn(&'j Json, bool) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        match (self.get(name), self.get(negated)) {
            (Some(_), Some(_)) => Err(syntax(format!("{name} and {negated} exclude each other"))),
            (None, Some(value)) => parse(value, true).map_err(|e| e.inside(negated)),
            (Some(value), None) => parse(value, false).map_err(|e| e.inside(name)),
            (None, None) => Err(missing(name)),
        }
    }
}

fn missing(name: &'static str) -> Malformed {
    let what = match name {
        "Statement" => "Missing required field Statement",
        "Effect" => "Missing required field Effect",
        "Principal" => "Missing required field Principal",
        "Action" => "Missing required field Action",
        "Resource" => "Missing required field Resource",
        _ => "Missing required field",
    };
    Malformed::new(what, "")
}
