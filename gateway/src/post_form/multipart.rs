//! The framing of `multipart/form-data` (RFC 7578, RFC 2046 §5.1.1), strictly: fields of text in bounded memory, then
//! one file, of which no more is held than what may be the beginning of its end.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use s3s::S3ErrorCode;

use super::Sizes;
use crate::refusal::Refusal;

/// Everything before the file's first byte, as S3 limits it; likewise what follows the file.
pub(super) const FIELDS_BYTES_MAX: usize = 20 * 1024;

/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// What stands between the parts of a form.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// With the line break that belongs to it: `\r\n--` and the boundary. Its only `\r` is its first byte.
    delimiter: Bytes,
}

impl Boundary {
    /// The boundary that `headers` name in `Content-Type`.
    ///
    /// # Errors
    /// `MalformedPOSTRequest` when there is none, or it is not one.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parameters =
            content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let boundary = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"));
        let boundary = boundary.map(|(_, value)| value.trim()).unwrap_or_default();
        let quoted = boundary.strip_prefix('"').and_then(|boundary| boundary.strip_suffix('"'));
        let boundary = quoted.unwrap_or(boundary);
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let is_boundary = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
            && boundary.bytes().all(is_allowed)
            && !boundary.ends_with(' ');
        match is_boundary {
            true => Ok(Self { delimiter: format!("\r\n--{boundary}").into() }),
            false => Err(malformed("its Content-Type names no boundary")),
        }
    }
}

/// The parts of a form up to its file's first byte.
pub struct Prelude {
    boundary: Boundary,
    buffer: BytesMut,
    /// How much of the body has been understood and is no longer in `buffer`.
    understood_bytes: usize,
    /// How much of `buffer` cannot hold the beginning of what is looked for.
    searched_bytes: usize,
    place: Place,
    fields: Vec<(String, String)>,
}

/// Where in the prelude the next byte is.
enum Place {
    /// Before the first delimiter, which has no line break of its own.
    Start,
    /// Right after a delimiter.
    DelimiterEnd,
    /// In the headers of a part.
    Head,
    /// In the value of the named field.
    Value(String),
}

/// A form whose file begins.
pub struct Begun {
    /// Names and values, in the order in which they came.
    pub fields: Vec<(String, String)>,
    /// What the client calls the file, if anything.
    pub file_name: Option<String>,
    /// The file's first bytes, as far as they have come.
    pub rest: Bytes,
}

impl Prelude {
    /// Nothing of a form whose parts `boundary` divides.
    #[must_use]
    pub fn new(boundary: Boundary) -> Self {
        Self {
            boundary,
            buffer: BytesMut::new(),
            understood_bytes: 0,
            searched_bytes: 0,
            place: Place::Start,
            fields: Vec::new(),
        }
    }

    /// Takes the next bytes of the body. `Some` once the file begins.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`, `InvalidArgument` when the form ends and there was no file,
    /// `MaxPostPreDataLengthExceededError`.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Begun>, Refusal> {
        self.buffer.extend_from_slice(bytes);
        while let Some(step) = self.step()? {
            if let Step::File(file_name) = step {
                let (fields, rest) = (std::mem::take(&mut self.fields), self.buffer.split().freeze());
                return Ok(Some(Begun { fields, file_name, rest }));
            }
        }
        match self.understood_bytes + self.buffer.len() <= FIELDS_BYTES_MAX {
            true => Ok(None),
            false => Err(S3ErrorCode::MaxPostPreDataLengthExceededError.into()),
        }
    }

    /// The body is over, before the file.
    #[must_use]
    pub fn cut_short(self) -> Refusal {
        malformed("it ends before its file")
    }

    /// One step further, if what has come reaches that far.
    fn step(&mut self) -> Result<Option<Step>, Refusal> {
        match &mut self.place {
            Place::Start => {
                let first = &self.boundary.delimiter[2..];
                let common = first.len().min(self.buffer.len());
                if self.buffer[..common] != first[..common] {
                    return Err(malformed("it does not begin with its boundary"));
                }
                if common < first.len() {
                    return Ok(None);
                }
                self.understand(common, Place::DelimiterEnd);
            }
            Place::DelimiterEnd => match self.within_limit().get(..2) {
                None => return Ok(None),
                Some(b"\r\n") => self.understand(2, Place::Head),
                Some(b"--") => return Err(no_file()),
                Some(_) => return Err(malformed("a boundary is followed by something else")),
            },
            Place::Head => {
                let Some(end) = self.find(b"\r\n\r\n") else { return Ok(None) };
                let Disposition { name, file_name } = Disposition::parse(&self.buffer[..end])?;
                let is_file = name.eq_ignore_ascii_case("file");
                self.understand(end + 4, Place::Value(name));
                if is_file {
                    return Ok(Some(Step::File(file_name)));
                }
            }
            Place::Value(name) => {
                let name = std::mem::take(name);
                let Some(end) = self.find(&self.boundary.delimiter.clone()) else {
                    self.place = Place::Value(name);
                    return Ok(None);
                };
                let value =
                    str::from_utf8(&self.buffer[..end]).map_err(|_| malformed("a field is not text"))?;
                self.fields.push((name, value.to_owned()));
                self.understand(end + self.boundary.delimiter.len(), Place::DelimiterEnd);
            }
        }
        Ok(Some(Step::Onward))
    }

    fn understand(&mut self, bytes: usize, place: Place) {
        self.buffer.advance(bytes);
        self.understood_bytes += bytes;
        self.searched_bytes = 0;
        self.place = place;
    }

    /// What has come and is not understood, as far as it may come before a file: nothing beyond that is looked at, so that
    /// it makes no difference in how many pieces a body comes.
    fn within_limit(&self) -> &[u8] {
        &self.buffer[..self.buffer.len().min(FIELDS_BYTES_MAX - self.understood_bytes)]
    }

    /// Where `needle` is in what has come; what was searched in vain is not searched again.
    fn find(&mut self, needle: &[u8]) -> Option<usize> {
        let (come, searched) = (self.within_limit(), self.searched_bytes);
        match find(&come[searched..], needle) {
            Some(at) => Some(searched + at),
            None => {
                self.searched_bytes = (come.len() + 1).saturating_sub(needle.len());
                None
            }
        }
    }
}

/// What became of a step.
enum Step {
    Onward,
    /// The file of this name begins.
    File(Option<String>),
}

/// The one header of a part that says something here.
struct Disposition {
    name: String,
    file_name: Option<String>,
}

impl Disposition {
    /// Reads the headers of a part: lines of a name, a colon and a value.
    fn parse(head: &[u8]) -> Result<Self, Refusal> {
        let head = str::from_utf8(head).map_err(|_| malformed("the headers of a part are not text"))?;
        let mut disposition = None;
        for line in head.split("\r\n") {
            let (name, value) =
                line.split_once(':').ok_or_else(|| malformed("a header of a part has no colon"))?;
            if name.eq_ignore_ascii_case("content-disposition")
                && disposition.replace(Self::parse_value(value)?).is_some()
            {
                return Err(malformed("a part has two Content-Dispositions"));
            }
        }
        disposition.ok_or_else(|| malformed("a part has no Content-Disposition"))
    }

    /// `form-data; name="…"; filename="…"`.
    fn parse_value(value: &str) -> Result<Self, Refusal> {
        let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(malformed("a part is not form-data"));
        }
        let (mut name, mut file_name) = (None, None);
        while !rest.trim().is_empty() {
            let (parameter, after) =
                rest.split_once('=').ok_or_else(|| malformed("a parameter has no value"))?;
            let (text, after) = parameter_value(after)?;
            let slot = match parameter.trim().to_ascii_lowercase().as_str() {
                "name" => Some(&mut name),
                "filename" => Some(&mut file_name),
                _ => None,
            };
            if slot.is_some_and(|slot| slot.replace(text).is_some()) {
                return Err(malformed("a parameter is there twice"));
            }
            rest = after;
        }
        let name = name.ok_or_else(|| malformed("a part has no name"))?;
        Ok(Self { name, file_name })
    }
}

/// The value at the start of `text`, and what follows its semicolon. In quotes a backslash stands before a quote or a
/// backslash; before anything else it is one itself, as in the paths that old browsers send.
fn parameter_value(text: &str) -> Result<(String, &str), Refusal> {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let (token, after) = text.split_once(';').unwrap_or((text, ""));
        return Ok((token.trim().to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => {
                let after = quoted[at + 1..].trim_start();
                let after = match after.strip_prefix(';') {
                    Some(after) => after,
                    None if after.is_empty() => after,
                    None => return Err(malformed("a quoted value is followed by something else")),
                };
                return Ok((value, after));
            }
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                value.extend(chars.next().map(|(_, escaped)| escaped));
            }
            _ => value.push(char),
        }
    }
    Err(malformed("a quoted value does not end"))
}

/// The file on its way, and what follows it.
#[derive(Debug)]
pub struct FileBody {
    boundary: Boundary,
    sizes: Sizes,
    /// Of the file, so far.
    bytes: u64,
    /// How many bytes of the delimiter have come at the end of what has come.
    matched: usize,
    /// What came after the file, once that has ended.
    after: Option<Vec<u8>>,
}

impl FileBody {
    /// A file that begins, of which `sizes` are allowed.
    #[must_use]
    pub fn new(boundary: Boundary, sizes: Sizes) -> Self {
        Self { boundary, sizes, bytes: 0, matched: 0, after: None }
    }

    /// Takes the next bytes of the body and hands those of the file to `pass`.
    ///
    /// # Errors
    /// `EntityTooLarge`; `MalformedPOSTRequest` when too much follows the file.
    pub fn take(&mut self, mut bytes: Bytes, mut pass: impl FnMut(Bytes)) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            if let Some(after) = &mut self.after {
                after.extend_from_slice(&bytes);
                return match after.len() <= FIELDS_BYTES_MAX {
                    true => Ok(()),
                    false => Err(malformed("too much follows the file")),
                };
            }
            let piece = self.next_piece(&mut bytes);
            self.bytes += piece.len() as u64;
            self.sizes.verify_at_most(self.bytes)?;
            if !piece.is_empty() {
                pass(piece);
            }
        }
        Ok(())
    }

    /// The body is over.
    ///
    /// # Errors
    /// `MalformedPOSTRequest` when file or form have not ended, `EntityTooSmall`.
    pub fn finish(self) -> Result<(), Refusal> {
        let after = self.after.ok_or_else(|| malformed("it ends within its file"))?;
        let last = [&self.boundary.delimiter[..], b"--"].concat();
        let has_ended = after.starts_with(b"--")
            // The fields after the file are ignored, as S3 does.
            || after.starts_with(b"\r\n") && find(&after, &last).is_some();
        if !has_ended {
            return Err(malformed("its last boundary is missing"));
        }
        self.sizes.verify_at_least(self.bytes)
    }

    /// Takes from `bytes` either some of the delimiter, or the longest piece that cannot belong to it.
    fn next_piece(&mut self, bytes: &mut Bytes) -> Bytes {
        let delimiter = self.boundary.delimiter.clone();
        if self.matched == 0 {
            let end = beginning_of(&delimiter, bytes);
            if end > 0 {
                return bytes.split_to(end);
            }
        }
        let rest = &delimiter[self.matched..];
        let common = rest.iter().zip(bytes.iter()).take_while(|(expected, byte)| expected == byte).count();
        bytes.advance(common);
        let matched = self.matched + common;
        if matched == delimiter.len() {
            self.after = Some(Vec::new());
        } else if !bytes.is_empty() {
            // It was none: what has matched was the file's.
            self.matched = 0;
            return delimiter.slice(..matched);
        }
        self.matched = matched;
        Bytes::new()
    }
}

/// Where `delimiter`, or a beginning of it that the end cuts off, starts in `bytes`; their length when nowhere.
fn beginning_of(delimiter: &[u8], bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&byte| byte == b'\r') {
        let candidate = &bytes[from + at..];
        let common = candidate.len().min(delimiter.len());
        if candidate[..common] == delimiter[..common] {
            return from + at;
        }
        from += at + 1;
    }
    bytes.len()
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn no_file() -> Refusal {
    Refusal::new(S3ErrorCode::InvalidArgument, "POST requires exactly one file upload per request.")
        .with_detail("ArgumentName", "file")
        .with_detail("ArgumentValue", "0")
}

fn malformed(why: &str) -> Refusal {
    let message = format!("The body of your POST request is not well-formed multipart/form-data: {why}.");
    Refusal::new(S3ErrorCode::MalformedPOSTRequest, message)
}

#[cfg(test)]
mod tests;
