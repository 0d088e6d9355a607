use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::TransportError;
use crate::message::{is_name, is_value};

/// The headers of one part may hold this many bytes.
const PART_HEADER_BYTES_MAX: usize = 4 * 1024;
/// What may follow the last boundary.
const EPILOGUE_BYTES_MAX: usize = 1024;

/// What the reader found, in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Start {
        /// Its media type, lower case, without parameters.
        content_type: String,
        /// All its headers.
        headers: PartHeaders,
    },
    /// Content of the part.
    Data(Bytes),
    /// The part ended.
    End,
}

/// The headers of a part, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHeaders(Bytes);

impl PartHeaders {
    /// The block up to and with the empty line. Headers are written on to information systems as they came: what another reader could
    /// take for the end of a line, of the headers or of the part would show it another message than the one that was verified.
    fn of(block: Bytes) -> Result<Self, TransportError> {
        let text = std::str::from_utf8(&block).map_err(|_| TransportError::Multipart("a part header is not UTF-8"))?;
        let block = if text.contains("\r\n ") || text.contains("\r\n\t") { unfolded(text) } else { block };
        let headers = Self(block);
        let sound =
            |line: &str| line.split_once(':').is_some_and(|(name, value)| is_name(name.trim_end()) && is_value(value));
        if headers.lines().all(sound) {
            Ok(headers)
        } else {
            Err(TransportError::Multipart("a part header has no name, or a character that may not stand there"))
        }
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        // The block was read as UTF-8 when it came.
        std::str::from_utf8(&self.0).unwrap_or_default().split("\r\n").filter(|line| !line.is_empty())
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim()))
    }

    /// The first header with this name, in whatever case.
    pub fn get(&self, wanted: &str) -> Option<&str> {
        self.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    }

    /// All of them as pairs.
    pub fn to_vec(&self) -> Vec<(String, String)> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// The same headers without folded lines (RFC 5322 §2.2.3).
fn unfolded(block: &str) -> Bytes {
    let mut out = String::with_capacity(block.len());
    for line in block.split_inclusive("\r\n") {
        if line.starts_with([' ', '\t']) && out.ends_with("\r\n") {
            out.truncate(out.len() - 2);
            out.push(' ');
            out.push_str(line.trim_start_matches([' ', '\t']));
        } else {
            out.push_str(line);
        }
    }
    Bytes::from(out)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    AfterBoundary,
    Headers,
    Content,
    Epilogue,
}

/// Reads a multipart body in slices of any size, keeping no more than a boundary between two of them.
#[derive(Debug)]
pub struct MultipartReader {
    /// `CR LF - - boundary`.
    delimiter: memmem::Finder<'static>,
    /// Whether an empty line may stand before the first boundary, as X-Road writes it before nested parts.
    empty_line_first: bool,
    state: State,
    carry: Bytes,
    epilogue_bytes: usize,
}

/// Where the delimiter is in a slice.
enum Found {
    At(usize),
    /// It may begin here and go on in the next slice.
    Perhaps(usize),
    No,
}

impl MultipartReader {
    /// A reader for parts between this boundary.
    pub fn new(boundary: &str) -> Self {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        let delimiter = memmem::Finder::new(&delimiter).into_owned();
        Self { delimiter, empty_line_first: false, state: State::Start, carry: Bytes::new(), epilogue_bytes: 0 }
    }

    /// The same, for a body in which an empty line may stand before the first boundary.
    pub fn after_empty_line(boundary: &str) -> Self {
        Self { empty_line_first: true, ..Self::new(boundary) }
    }

    /// Takes the next slice and tells `sink` what it holds.
    pub fn push(
        &mut self,
        chunk: Bytes,
        sink: &mut dyn FnMut(Event) -> Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        let mut buffer = if self.carry.is_empty() {
            chunk
        } else {
            let mut joined = BytesMut::with_capacity(self.carry.len() + chunk.len());
            joined.extend_from_slice(&self.carry);
            joined.extend_from_slice(&chunk);
            self.carry = Bytes::new();
            joined.freeze()
        };
        while self.step(&mut buffer, sink)? {}
        // What is kept is small; a copy sets the large slice free.
        self.carry = if buffer.len() < 256 { Bytes::copy_from_slice(&buffer) } else { buffer };
        Ok(())
    }

    /// Ends the body: it must have had its last boundary.
    pub fn finish(&self) -> Result<(), TransportError> {
        if self.state == State::Epilogue { Ok(()) } else { Err(TransportError::Truncated("last boundary")) }
    }

    /// One step; false where more bytes are needed.
    fn step(
        &mut self,
        buffer: &mut Bytes,
        sink: &mut dyn FnMut(Event) -> Result<(), TransportError>,
    ) -> Result<bool, TransportError> {
        match self.state {
            State::Start => self.start(buffer),
            State::AfterBoundary => self.after_boundary(buffer),
            State::Headers => self.headers(buffer, sink),
            State::Content => self.content(buffer, sink),
            State::Epilogue => {
                self.epilogue_bytes += buffer.len();
                buffer.clear();
                if self.epilogue_bytes > EPILOGUE_BYTES_MAX {
                    return Err(TransportError::Multipart("there is content after the last boundary"));
                }
                Ok(false)
            }
        }
    }

    fn start(&mut self, buffer: &mut Bytes) -> Result<bool, TransportError> {
        // The first boundary stands at the very beginning; no node writes a preamble.
        let with_line = self.delimiter.needle();
        let without_line = with_line.get(2..).unwrap_or_default();
        let opening = if self.empty_line_first && buffer.first().is_none_or(|byte| *byte == b'\r') {
            with_line
        } else {
            without_line
        };
        if buffer.len() < opening.len() {
            return if opening.starts_with(buffer) { Ok(false) } else { Err(no_boundary()) };
        }
        if !buffer.starts_with(opening) {
            return Err(no_boundary());
        }
        let _ = buffer.split_to(opening.len());
        self.state = State::AfterBoundary;
        Ok(true)
    }

    fn after_boundary(&mut self, buffer: &mut Bytes) -> Result<bool, TransportError> {
        if buffer.len() < 2 {
            return Ok(false);
        }
        let next = buffer.split_to(2);
        self.state = match next.as_ref() {
            b"\r\n" => State::Headers,
            b"--" => State::Epilogue,
            _ => return Err(TransportError::Multipart("a boundary is not followed by a line end")),
        };
        Ok(true)
    }

    fn headers(
        &mut self,
        buffer: &mut Bytes,
        sink: &mut dyn FnMut(Event) -> Result<(), TransportError>,
    ) -> Result<bool, TransportError> {
        // A part without headers begins with the empty line itself.
        let found =
            if buffer.starts_with(b"\r\n") { Some(0) } else { memmem::find(buffer, b"\r\n\r\n").map(|at| at + 2) };
        let Some(end) = found else {
            return if buffer.len() > PART_HEADER_BYTES_MAX {
                Err(TransportError::Multipart("the headers of a part are too long or have no end"))
            } else {
                Ok(false)
            };
        };
        if end > PART_HEADER_BYTES_MAX {
            return Err(TransportError::Multipart("the headers of a part are too long"));
        }
        let block = buffer.split_to(end + 2);
        let headers = PartHeaders::of(block)?;
        let content_type = headers
            .get("content-type")
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .ok_or(TransportError::Multipart("a part has no content type"))?;
        sink(Event::Start { content_type, headers })?;
        self.state = State::Content;
        Ok(true)
    }

    fn content(
        &mut self,
        buffer: &mut Bytes,
        sink: &mut dyn FnMut(Event) -> Result<(), TransportError>,
    ) -> Result<bool, TransportError> {
        match self.locate(buffer) {
            Found::At(at) => {
                let data = buffer.split_to(at);
                if !data.is_empty() {
                    sink(Event::Data(data))?;
                }
                let _ = buffer.split_to(self.delimiter.needle().len());
                sink(Event::End)?;
                self.state = State::AfterBoundary;
                Ok(true)
            }
            Found::Perhaps(at) => {
                let data = buffer.split_to(at);
                if !data.is_empty() {
                    sink(Event::Data(data))?;
                }
                Ok(false)
            }
            Found::No => {
                let data = std::mem::take(buffer);
                if !data.is_empty() {
                    sink(Event::Data(data))?;
                }
                Ok(false)
            }
        }
    }

    fn locate(&self, buffer: &[u8]) -> Found {
        if let Some(at) = self.delimiter.find(buffer) {
            return Found::At(at);
        }
        // Only the end of the slice can hold the beginning of a delimiter.
        let delimiter = self.delimiter.needle();
        let tail_at = buffer.len().saturating_sub(delimiter.len() - 1);
        let tail = buffer.get(tail_at..).unwrap_or_default();
        let begins = |offset: &usize| tail.get(*offset..).is_some_and(|rest| delimiter.starts_with(rest));
        match memchr::memchr_iter(b'\r', tail).find(begins) {
            Some(offset) => Found::Perhaps(tail_at + offset),
            None => Found::No,
        }
    }
}

fn no_boundary() -> TransportError {
    TransportError::Multipart("the body does not begin with its boundary")
}
