//! Access and audit lines as JSON, written straight from their fields; every other line is left to the library's formatter.
//!
//! There is an access line for each request, and the library's way to it (a serializer that writes through two adaptors,
//! each of which looks once more whether text is text) was more than half of what a line costs. Both write the same to whoever
//! reads JSON. Here characters that a terminal obeys are escaped as well: what these lines say of clients is text of theirs.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, format};
use tracing_subscriber::registry::LookupSpan;

use crate::{access_log, audit};

/// One line of JSON for each event.
pub(super) struct Lines(Format<Json>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(format().json().flatten_event(true))
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        match [access_log::TARGET, audit::TARGET].contains(&event.metadata().target()) {
            true => write_line(to, event),
            false => self.0.format_event(ctx, to, event),
        }
    }
}

/// Field names are ours, and need no escaping.
fn write_line(mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
    to.write_str("{\"timestamp\":\"")?;
    SystemTime.format_time(&mut to)?;
    write!(to, "\",\"level\":\"{}\"", event.metadata().level())?;
    let mut fields = Fields { to, failed: Ok(()) };
    event.record(&mut fields);
    let Fields { mut to, failed } = fields;
    failed?;
    writeln!(to, ",\"target\":\"{}\"}}", event.metadata().target())
}

struct Fields<'a> {
    to: Writer<'a>,
    failed: fmt::Result,
}

impl Fields<'_> {
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.failed = self.failed.and_then(|()| {
            self.name(field)?;
            write!(self.to, "{value}")
        });
    }

    fn quoted(&mut self, field: &Field, write: impl FnOnce(&mut Escaping<'_, Writer<'_>>) -> fmt::Result) {
        self.failed = self.failed.and_then(|()| {
            self.name(field)?;
            self.to.write_char('"')?;
            write(&mut Escaping(&mut self.to))?;
            self.to.write_char('"')
        });
    }

    fn name(&mut self, field: &Field) -> fmt::Result {
        self.to.write_str(",\"")?;
        self.to.write_str(field.name())?;
        self.to.write_str("\":")
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.quoted(field, |to| to.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.quoted(field, |to| write!(to, "{value:?}"));
    }
}

/// Characters that are not seen and change how others are, or what a terminal does: controls, and those of bidirectional
/// text. All of them have four hexadecimal digits.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes text as the inside of a JSON string (RFC 8259 §7).
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        // Most text is looked at no further than this.
        let is_special = |byte: u8| !(b' '..0x7f).contains(&byte) || byte == b'"' || byte == b'\\';
        while let Some(at) = text.bytes().position(is_special) {
            self.0.write_str(&text[..at])?;
            // What is not ASCII begins with a byte that is special.
            let mut rest = text[at..].chars();
            match rest.next() {
                Some(quoted @ ('"' | '\\')) => write!(self.0, "\\{quoted}")?,
                Some(hidden) if is_hidden(hidden) => write!(self.0, "\\u{:04x}", u32::from(hidden))?,
                Some(shown) => self.0.write_char(shown)?,
                None => {}
            }
            text = rest.as_str();
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::info;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What an access line with `text` in each kind of field is, as ours and as the library's formatter writes it.
    fn lines(text: &str) -> [Value; 2] {
        let (ours, library) = (Written::default(), Written::default());
        let layers = tracing_subscriber::registry()
            .with(tracing_subscriber::fmt::layer().event_format(Lines::new()).with_writer(ours.clone()))
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(library.clone()));
        tracing::subscriber::with_default(layers, || {
            info!(
                target: access_log::TARGET,
                plain = text,
                shown = %text,
                debugged = Some(tracing::field::debug(text)),
                absent = None::<&str>,
                number = text.len(),
                below = -1,
                is_so = true,
            );
        });
        [ours, library].map(|written| {
            let bytes = written.0.lock().expect("nobody panics");
            assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
            let mut line: Value = serde_json::from_slice(&bytes).expect("JSON");
            let time = line["timestamp"].take();
            assert!(time.as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 27), "{time}");
            line
        })
    }

    /// What a terminal would obey is not in the line as it is, and is there when it is read.
    #[test]
    fn what_is_hidden_is_written_as_its_number() {
        let mut line = String::new();
        for text in ["a\u{9b}31mb", "\u{7f}", "\u{202e}gpj.exe", "größe 鍵"] {
            Escaping(&mut line).write_str(text).expect("memory");
            line.push(' ');
        }
        assert_eq!(line, "a\\u009b31mb \\u007f \\u202egpj.exe größe 鍵 ");
    }

    /// Client text cannot forge a line or a field, and is what it was when the line is read.
    #[test]
    fn both_formatters_write_the_same() {
        let all_ascii: String = (0..128).map(|byte| char::from(byte as u8)).collect();
        for text in [
            "",
            "cat.jpg",
            "a\"b\\c",
            "line\nanother\r\t",
            "größe 鍵 \u{7f}\u{9b}\u{202e}\u{2028}",
            &all_ascii,
        ] {
            let [ours, library] = lines(text);
            assert_eq!(ours, library);
            assert_eq!(
                (ours["plain"].as_str(), ours["number"].as_u64()),
                (Some(text), Some(text.len() as u64))
            );
        }
    }
}
