//! Reading one TOML table key by key, so that one pass finds every fault: wrong types, values out of range and
//! keys that nobody asked for.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::{Table, Value};

use super::Fault;

/// A table being read. Each reader takes its key out; what [`finish`](Self::finish) finds left is unknown.
pub(super) struct Keys {
    path: String,
    table: Table,
    faults: Vec<Fault>,
}

impl Keys {
    /// The keys of `table`, which stands at `path` (empty for the whole file).
    pub(super) fn new(path: impl Into<String>, table: Table) -> Self {
        Self { path: path.into(), table, faults: Vec::new() }
    }

    /// Every fault found, with one for each key that was not read.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for key in self.table.keys() {
            self.faults.push(Fault::new(dotted(&self.path, key), "unknown key"));
        }
        self.faults
    }

    /// Notes a fault at `key`.
    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        self.faults.push(Fault::new(dotted(&self.path, key), problem));
    }

    /// Adds faults that were found elsewhere.
    pub(super) fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// Adds faults that were found elsewhere, but for keys that have a fault already.
    pub(super) fn extend_new(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            if self.faults.iter().all(|known| known.key != fault.key) {
                self.faults.push(fault);
            }
        }
    }

    /// The keys that have not been read, for a table whose keys are names.
    pub(super) fn names(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Whether the table holds `key`.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The table at `key`; an empty one where there is none.
    pub(super) fn table(&mut self, key: &str) -> Self {
        let path = dotted(&self.path, key);
        match self.table.remove(key) {
            None => Self::new(path, Table::new()),
            Some(Value::Table(table)) => Self::new(path, table),
            Some(_) => {
                self.fault(key, "must be a table");
                Self::new(path, Table::new())
            }
        }
    }

    /// The tables of the array at `key`; none where there is no such key.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Self> {
        let Some(value) = self.table.remove(key) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.fault(key, format!("must be written as [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = dotted(&self.path, &format!("{key}[{index}]"));
            match item {
                Value::Table(table) => tables.push(Self::new(path, table)),
                _ => self.faults.push(Fault::new(path, "must be a table")),
            }
        }
        tables
    }

    /// The text at `key`, which must be there.
    pub(super) fn text(&mut self, key: &str) -> String {
        if !self.holds(key) {
            self.fault(key, "is missing");
        }
        self.optional_text(key).unwrap_or_default()
    }

    /// The text at `key`, if any.
    pub(super) fn optional_text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.fault(key, "must be text");
                None
            }
        }
    }

    /// The texts in the array at `key`; none where there is no such key.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.table.remove(key) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.fault(key, "must be an array of texts");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                _ => self.fault(&format!("{key}[{index}]"), "must be text"),
            }
        }
        texts
    }

    /// The path at `key`, which must be there.
    pub(super) fn path(&mut self, key: &str) -> PathBuf {
        PathBuf::from(self.text(key))
    }

    /// The IP address and port at `key`, if any.
    pub(super) fn address(&mut self, key: &str) -> Option<SocketAddr> {
        let text = self.optional_text(key)?;
        let address = text.parse().ok();
        if address.is_none() {
            self.fault(key, format!("{text:?} is not an IP address and a port, such as \"0.0.0.0:9000\""));
        }
        address
    }

    /// The number at `key`, or `default`.
    pub(super) fn count(&mut self, key: &str, default: usize, allowed: RangeInclusive<usize>) -> usize {
        let Some(value) = self.table.remove(key) else { return default };
        let count = value.as_integer().and_then(|number| usize::try_from(number).ok());
        match count.filter(|count| allowed.contains(count)) {
            Some(count) => count,
            None => {
                self.fault(key, format!("must be a number from {} to {}", allowed.start(), allowed.end()));
                default
            }
        }
    }

    /// The yes or no at `key`, or `default`.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.table.remove(key) {
            None => default,
            Some(Value::Boolean(flag)) => flag,
            Some(_) => {
                self.fault(key, "must be true or false");
                default
            }
        }
    }

    /// The size at `key`, or `default`: a whole number of bytes, or text such as `"64 KiB"`.
    pub(super) fn bytes(&mut self, key: &str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.table.remove(key) else { return default };
        let bytes = match &value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => parse_bytes(text),
            _ => None,
        };
        match bytes {
            Some(bytes) if allowed.contains(&bytes) => bytes,
            Some(_) => {
                let (least, most) = (show_bytes(*allowed.start()), show_bytes(*allowed.end()));
                self.fault(key, format!("must be from {least} to {most}"));
                default
            }
            None => {
                self.fault(key, "must be a size such as \"64 KiB\", \"256 MiB\" or \"4 GiB\"");
                default
            }
        }
    }

    /// The time at `key`, or `default`: text such as `"500ms"`, `"30s"`, `"5m"` or `"1h"`.
    pub(super) fn duration(
        &mut self,
        key: &str,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.table.remove(key) else { return default };
        match value.as_str().and_then(parse_duration) {
            Some(duration) if allowed.contains(&duration) => duration,
            Some(_) => {
                self.fault(key, format!("must be from {:?} to {:?}", allowed.start(), allowed.end()));
                default
            }
            None => {
                self.fault(key, "must be a time such as \"500ms\", \"30s\", \"5m\" or \"1h\"");
                default
            }
        }
    }
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The whole number at the start of `text`, and the unit after it.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

/// A size as the file spells it: `17`, `64 KiB`, `3MiB`.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(scale)
}

fn show_bytes(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(scale, _)| bytes != 0 && bytes.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{} {unit}", bytes / scale),
        None => format!("{bytes} B"),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_alone() {
        for (text, bytes) in [("0", 0), ("17", 17), ("1 KiB", 1024), ("3MiB", 3 << 20), ("2 TiB", 2 << 40)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1 MB", "1 mib", "-1", "1.5 GiB", "99999999 TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times_always_have_a_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1 h", 3_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "1d", "-1s", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_is_whole() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1 MiB"), (1536 << 20, "1536 MiB")] {
            assert_eq!(show_bytes(bytes), text);
        }
    }
}
