//! Parses the head of an HTTP request, and builds that of a response.
//!
//! Pure; accepts any bytes. RFC 9110 and 9112: GET and HEAD, one range. Not for bodies of requests, which GET and HEAD lack.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::serve::packet::REQUEST_MAX;

/// Maximum length of a request's head, in bytes.
pub(super) const HEAD_MAX: usize = 8192;
/// Maximum number of its fields.
const FIELDS_MAX: usize = 64;

/// The result of parsing the bytes received so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a head.
    Part,
    /// A whole head of this many bytes.
    Whole(Request, usize),
    /// To be answered with this status; the following bytes cannot be parsed.
    Refused(Status),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The requested name.
    pub(super) name: String,
    /// Whether only the head of the response is requested.
    pub(super) is_head: bool,
    /// The requested range.
    pub(super) range: Option<Range>,
    /// Whether the connection ends with the response.
    pub(super) closes: bool,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From an offset, to another one, inclusive.
    From(u64, Option<u64>),
    /// This many bytes at the end.
    Last(u64),
}

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 200,
    Partial = 206,
    BadRequest = 400,
    Forbidden = 403,
    NotFound = 404,
    NotAllowed = 405,
    OutOfRange = 416,
    TooLarge = 431,
    Failed = 500,
    Unavailable = 503,
}

impl Status {
    fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Partial => "Partial Content",
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::NotAllowed => "Method Not Allowed",
            Self::OutOfRange => "Range Not Satisfiable",
            Self::TooLarge => "Request Header Fields Too Large",
            Self::Failed => "Internal Server Error",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// Parses the bytes that a client has sent.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Parsed::Part,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(Status::TooLarge),
        Err(_) => return Parsed::Refused(Status::BadRequest),
    };
    let is_head = match head.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Refused(Status::NotAllowed),
    };
    let value = |name: &str| {
        let field = head
            .headers
            .iter()
            .find(|f| f.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok().map(str::trim)
    };
    let has_body = head.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("transfer-encoding")
            || (field.name.eq_ignore_ascii_case("content-length") && field.value != b"0")
    });
    if has_body {
        return Parsed::Refused(Status::BadRequest);
    }
    let Some(name) = head.path.and_then(name) else {
        return Parsed::Refused(Status::NotFound);
    };
    let says_close = value("connection").is_some_and(|options| {
        let mut options = options.split(',').map(str::trim);
        options.any(|option| option.eq_ignore_ascii_case("close"))
    });
    // A response has no validator that If-Range could match: RFC 9110, 13.1.5.
    let range = value("range").filter(|_| value("if-range").is_none());
    let request = Request {
        name,
        is_head,
        range: range.and_then(Range::parse),
        closes: says_close || head.version == Some(0),
    };
    Parsed::Whole(request, length)
}

/// Returns the name in a request's target; `None` if no file can have it.
fn name(target: &str) -> Option<String> {
    // A proxy's form: RFC 9112, 3.2.2.
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => target,
    };
    let path = path.split(['?', '#']).next()?.as_bytes();
    let mut name = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let code = path.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match code.and_then(|hex| std::str::from_utf8(hex).ok()) {
            Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                name.push(u8::from_str_radix(hex, 16).ok()?);
                at += 3;
            }
            _ => {
                name.push(*byte);
                at += 1;
            }
        }
    }
    let name = String::from_utf8(name).ok()?;
    (name.len() <= REQUEST_MAX && !name.chars().any(char::is_control)).then_some(name)
}

impl Range {
    /// Parses a field; `None` for one that is ignored: invalid, or of several ranges.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
        };
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// Returns the first byte and the one after the last, of a file of this size; `None` if there is none.
    pub(super) fn of(self, size: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Self::From(first, last) => {
                (first, last.map_or(size, |l| l.saturating_add(1).min(size)))
            }
            Self::Last(count) => (size.saturating_sub(count), size),
        };
        (first < end).then_some((first, end))
    }
}

/// The fields of a response's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) status: Status,
    /// The requested name, whose suffix determines the media type.
    pub(super) name: &'a str,
    /// The first byte and the one after the last.
    pub(super) part: (u64, u64),
    /// The size of the file.
    pub(super) size: u64,
    pub(super) closes: bool,
}

impl Head<'_> {
    /// Returns the head as it is sent.
    pub(super) fn text(&self) -> String {
        let (first, end) = self.part;
        // UEFI firmware starts files of that type (UEFI specification, 24.7.4).
        let media = match self.name.ends_with(".efi") {
            true => "application/efi",
            false => "application/octet-stream",
        };
        let range = match self.status {
            Status::Partial => {
                format!("Content-Range: bytes {first}-{}/{}\r\n", end - 1, self.size)
            }
            _ => String::new(),
        };
        let fields = format!(
            "Content-Type: {media}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\n{range}",
            end - first
        );
        start(self.status, self.closes) + &fields + "\r\n"
    }
}

/// Returns the whole response of a failure; `size` is that of the file, for a range that it does not have.
pub(super) fn refusal(status: Status, size: u64, is_head: bool, closes: bool) -> String {
    let more = match status {
        Status::NotAllowed => "Allow: GET, HEAD\r\n".to_string(),
        Status::OutOfRange => format!("Content-Range: bytes */{size}\r\n"),
        Status::Unavailable => "Retry-After: 1\r\n".to_string(),
        _ => String::new(),
    };
    let body = format!("{}\n", status.reason());
    let fields = format!(
        "Content-Type: text/plain\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    start(status, closes) + &fields + if is_head { "" } else { &body }
}

fn start(status: Status, closes: bool) -> String {
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now());
    let connection = if closes { "close" } else { "keep-alive" };
    format!(
        "HTTP/1.1 {} {}\r\nDate: {}\r\nConnection: {connection}\r\n",
        status as u16,
        status.reason(),
        date.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests;
