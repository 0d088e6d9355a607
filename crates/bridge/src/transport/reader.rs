use bytes::{Bytes, BytesMut};

use super::TransportError;

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
    },
    /// Content of the part.
    Data(Bytes),
    /// The part ended.
    End,
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
pub struct MultipartReader {
    /// `CR LF - - boundary`.
    delimiter: Vec<u8>,
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
        Self { delimiter, state: State::Start, carry: Bytes::new(), epilogue_bytes: 0 }
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
        let opening = self.delimiter.get(2..).unwrap_or_default();
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
        let Some(end) = find(buffer, b"\r\n\r\n") else {
            return if buffer.len() > PART_HEADER_BYTES_MAX {
                Err(TransportError::Multipart("the headers of a part are too long or have no end"))
            } else {
                Ok(false)
            };
        };
        if end > PART_HEADER_BYTES_MAX {
            return Err(TransportError::Multipart("the headers of a part are too long"));
        }
        let block = buffer.split_to(end + 4);
        let text = std::str::from_utf8(&block).map_err(|_| TransportError::Multipart("a part header is not UTF-8"))?;
        let content_type = text
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .ok_or(TransportError::Multipart("a part has no content type"))?;
        sink(Event::Start { content_type })?;
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
                let _ = buffer.split_to(self.delimiter.len());
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
        let mut from = 0;
        while let Some(offset) = buffer.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\r')) {
            let at = from + offset;
            let rest = buffer.get(at..).unwrap_or_default();
            if rest.starts_with(&self.delimiter) {
                return Found::At(at);
            }
            if rest.len() < self.delimiter.len() && self.delimiter.starts_with(rest) {
                return Found::Perhaps(at);
            }
            from = at + 1;
        }
        Found::No
    }
}

fn no_boundary() -> TransportError {
    TransportError::Multipart("the body does not begin with its boundary")
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
