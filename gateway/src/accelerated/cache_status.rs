//! `Cache-Status` (RFC 9211): what this node's cache did for one answer.
//!
//! ```text
//! Cache-Status: penstock-las1; hit; detail="memory=8388608"
//! Cache-Status: penstock-las1; fwd=miss; stored; detail="origin=8388608"
//! Cache-Status: penstock-las1; fwd=method
//! ```
//!
//! The name is the region that served; `detail` says how many bytes were to come from where when the head of the
//! answer left, and which request directive kept the cache from storing.

use std::fmt::Write;

use cache::{Mode, Plan};
use http::{HeaderName, HeaderValue, Method};

use crate::topology::RegionName;

/// `Cache-Status`.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The header's value for an answer that `region` serves as `plan` says.
pub(super) fn cache_status(region: &RegionName, plan: &Plan, mode: Mode) -> HeaderValue {
    let mut text = format!("penstock-{region}");
    let is_partly_here = plan.memory_bytes + plan.nvme_bytes > 0;
    text.push_str(match mode {
        Mode::Bypass => "; fwd=bypass",
        Mode::Fill | Mode::LookOnly if plan.hit => "; hit",
        Mode::Fill | Mode::LookOnly if is_partly_here => "; fwd=partial",
        Mode::Fill | Mode::LookOnly => "; fwd=miss",
    });
    if mode == Mode::Fill && !plan.hit {
        text.push_str("; stored");
    }
    if plan.joined_bytes > 0 && plan.origin_bytes == 0 {
        text.push_str("; collapsed");
    }
    write_detail(&mut text, plan, mode);
    HeaderValue::try_from(text).expect("names, numbers and fixed words make a header")
}

/// The header's value for an answer that the cache of `region` has no part in: to a request that is not an object read.
#[must_use]
pub fn passed_by(region: &RegionName, method: &Method) -> HeaderValue {
    let why = if method.is_safe() { "bypass" } else { "method" };
    HeaderValue::try_from(format!("penstock-{region}; fwd={why}"))
        .expect("names and fixed words make a header")
}

fn write_detail(text: &mut String, plan: &Plan, mode: Mode) {
    let bytes = [
        ("memory", plan.memory_bytes),
        ("nvme", plan.nvme_bytes),
        ("joined", plan.joined_bytes),
        ("origin", plan.origin_bytes),
    ];
    let directive = match mode {
        Mode::Fill => None,
        Mode::LookOnly => Some("no-cache"),
        Mode::Bypass => Some("no-store"),
    };
    let mut before = "; detail=\"";
    for (place, bytes) in bytes.into_iter().filter(|(_, bytes)| *bytes > 0) {
        write!(text, "{before}{place}={bytes}").expect("a String takes anything");
        before = ", ";
    }
    if let Some(directive) = directive {
        text.push_str(before);
        text.push_str(directive);
        before = ", ";
    }
    if before == ", " {
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(plan: Plan, mode: Mode) -> String {
        let region = RegionName::parse("las1").expect("name");
        cache_status(&region, &plan, mode).to_str().expect("text").to_owned()
    }

    #[test]
    fn each_outcome_has_its_own_words() {
        let hit = Plan { hit: true, memory_bytes: 5, nvme_bytes: 3, ..Plan::default() };
        assert_eq!(of(hit, Mode::Fill), "penstock-las1; hit; detail=\"memory=5, nvme=3\"");
        assert_eq!(of(hit, Mode::LookOnly), "penstock-las1; hit; detail=\"memory=5, nvme=3, no-cache\"");
        let miss = Plan { origin_bytes: 8, ..Plan::default() };
        assert_eq!(of(miss, Mode::Fill), "penstock-las1; fwd=miss; stored; detail=\"origin=8\"");
        assert_eq!(of(miss, Mode::LookOnly), "penstock-las1; fwd=miss; detail=\"origin=8, no-cache\"");
        assert_eq!(of(miss, Mode::Bypass), "penstock-las1; fwd=bypass; detail=\"origin=8, no-store\"");
        let joined = Plan { joined_bytes: 8, ..Plan::default() };
        assert_eq!(of(joined, Mode::Fill), "penstock-las1; fwd=miss; stored; collapsed; detail=\"joined=8\"");
        let partial = Plan { memory_bytes: 2, origin_bytes: 6, ..Plan::default() };
        assert_eq!(
            of(partial, Mode::Fill),
            "penstock-las1; fwd=partial; stored; detail=\"memory=2, origin=6\""
        );
        let passed_by = |method| passed_by(&RegionName::parse("las1").expect("name"), &method);
        assert_eq!(passed_by(Method::PUT), "penstock-las1; fwd=method");
        assert_eq!(passed_by(Method::GET), "penstock-las1; fwd=bypass");
        let empty = Plan { hit: true, ..Plan::default() };
        assert_eq!(of(empty, Mode::Fill), "penstock-las1; hit");
    }
}
