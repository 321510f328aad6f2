//! Moments: ISO 8601 in the forms of the W3C's note on dates and times, or seconds since 1970.

use time::{Date, Duration, Month, OffsetDateTime, Time};

/// The moment that `text` writes. Four digits are a year; any other whole number is seconds since 1970. What is left
/// out is the first of its kind; a time of day needs its zone.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && text.len() != 4 {
        return OffsetDateTime::from_unix_timestamp(text.parse().ok()?).ok();
    }
    match text.split_once('T') {
        None => Some(date(text)?.midnight().assume_utc()),
        Some((day, rest)) => {
            let (time_of_day, offset) = zone(rest)?;
            // A moment outside the calendar is none.
            let moment = date(day)?.with_time(clock(time_of_day)?).assume_utc();
            moment.checked_sub(offset)
        }
    }
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn date(text: &str) -> Option<Date> {
    let mut fields = text.split('-');
    let year: u16 = number(fields.next()?, 4)?;
    let month: u8 = fields.next().map_or(Some(1), |field| number(field, 2))?;
    let day = fields.next().map_or(Some(1), |field| number(field, 2))?;
    match fields.next() {
        None => Date::from_calendar_date(year.into(), Month::try_from(month).ok()?, day).ok(),
        Some(_) => None,
    }
}

/// `hh:mm`, `hh:mm:ss` or with a fraction of up to nine digits.
fn clock(text: &str) -> Option<Time> {
    let (whole, nanoseconds) = match text.split_once('.') {
        None => (text, 0),
        Some((whole, fraction)) => {
            let is_fraction =
                (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
            (whole, is_fraction.then(|| format!("{fraction:0<9}").parse().ok()).flatten()?)
        }
    };
    let mut fields = whole.split(':');
    let hour = number(fields.next()?, 2)?;
    let minute = number(fields.next()?, 2)?;
    let second = match fields.next() {
        None if whole.len() != text.len() => return None,
        None => 0,
        Some(field) => number(field, 2)?,
    };
    match fields.next() {
        None => Time::from_hms_nano(hour, minute, second, nanoseconds).ok(),
        Some(_) => None,
    }
}

/// What stands before the zone, and how far the zone is ahead of UTC.
fn zone(text: &str) -> Option<(&str, Duration)> {
    if let Some(before) = text.strip_suffix('Z') {
        return Some((before, Duration::ZERO));
    }
    let (before, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes): (u8, u8) = (number(hours, 2)?, number(minutes, 2)?);
    let ahead = Time::from_hms(hours, minutes, 0).ok()? - Time::MIDNIGHT;
    match offset.as_bytes()[0] {
        b'+' => Some((before, ahead)),
        b'-' => Some((before, -ahead)),
        _ => None,
    }
}

/// A number of exactly `digits` digits.
fn number<T: std::str::FromStr>(text: &str, digits: usize) -> Option<T> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
