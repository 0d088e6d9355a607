use bytes::{Buf, Bytes, BytesMut};

use super::SoapError;
use super::related::{MimeHeaders, PART_HEADERS_MAX};

/// The headers of one part may hold this many bytes.
const PART_HEADER_BYTES_MAX: usize = 16 * 1024;
/// White space that may follow a boundary on its line.
const PADDING_MAX: usize = 64;

/// What the parser found, in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartEvent {
    /// A part begins.
    Start(MimeHeaders),
    /// Content of the part.
    Data(Bytes),
    /// The part ended.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary, and behind the last.
    Outside,
    /// The rest of the line of a boundary.
    Boundary,
    Headers,
    Content,
    Epilogue,
}

/// Reads a multipart body as information systems write it (RFC 2046 §5.1.1, with line ends of either kind, preamble and epilogue), in
/// slices of any size; it keeps no more than a boundary and the headers of one part.
#[derive(Debug)]
pub struct MultipartParser {
    /// `LF - - boundary`.
    delimiter: Vec<u8>,
    state: State,
    buffer: BytesMut,
    /// Bytes at the start of the buffer that are no content: the line end before the content, which may belong to a boundary.
    lead: usize,
}

/// Where the delimiter is in the buffer.
enum Found {
    At(usize),
    /// It may begin here and go on in the next slice.
    Perhaps(usize),
}

impl MultipartParser {
    /// A parser for parts between this boundary.
    pub fn new(boundary: &str) -> Self {
        let delimiter = [b"\n--", boundary.as_bytes()].concat();
        // The first boundary may stand at the very start: a line end before it is thought.
        Self { delimiter, state: State::Outside, buffer: BytesMut::from(&b"\n"[..]), lead: 0 }
    }

    /// Takes the next slice and tells `sink` what it holds.
    pub fn push(
        &mut self,
        chunk: &[u8],
        sink: &mut dyn FnMut(PartEvent) -> Result<(), SoapError>,
    ) -> Result<(), SoapError> {
        self.buffer.extend_from_slice(chunk);
        while self.step(sink)? {}
        Ok(())
    }

    /// Ends the body. It must have had its last boundary, unless it never had a first. A boundary as the very last bytes ends it too:
    /// every part is whole (X-Road reads so).
    pub fn finish(&mut self, sink: &mut dyn FnMut(PartEvent) -> Result<(), SoapError>) -> Result<(), SoapError> {
        if self.state == State::Content && self.buffer.ends_with(&self.delimiter) {
            self.push(b"--", sink)?;
        }
        match self.state {
            State::Epilogue => Ok(()),
            State::Outside => Err(SoapError::MissingSoap),
            _ => Err(SoapError::Multipart("it breaks off before its last boundary")),
        }
    }

    fn step(&mut self, sink: &mut dyn FnMut(PartEvent) -> Result<(), SoapError>) -> Result<bool, SoapError> {
        match self.state {
            State::Outside | State::Content => self.content(sink),
            State::Boundary => self.boundary(),
            State::Headers => self.headers(sink),
            State::Epilogue => {
                self.buffer.clear();
                Ok(false)
            }
        }
    }

    fn content(&mut self, sink: &mut dyn FnMut(PartEvent) -> Result<(), SoapError>) -> Result<bool, SoapError> {
        let inside = self.state == State::Content;
        let (end, whole) = match self.locate() {
            Found::At(at) => (at, true),
            Found::Perhaps(at) => (at, false),
        };
        // The carriage return before the line feed belongs to the boundary, or is not known yet to be content.
        let before = end.checked_sub(1).and_then(|at| self.buffer.get(at));
        let data_end = if before == Some(&b'\r') { end - 1 } else { end };
        if data_end > self.lead {
            let mut data = self.buffer.split_to(data_end);
            data.advance(self.lead);
            self.lead = 0;
            if inside {
                sink(PartEvent::Data(data.freeze()))?;
            }
        }
        if !whole {
            return Ok(false);
        }
        let rest = self.locate_again();
        self.buffer.advance(rest + self.delimiter.len());
        self.lead = 0;
        if inside {
            sink(PartEvent::End)?;
        }
        self.state = State::Boundary;
        Ok(true)
    }

    /// Where the delimiter stands after the content before it was taken out: at most a carriage return or the lead is before it.
    fn locate_again(&self) -> usize {
        match self.locate() {
            Found::At(at) | Found::Perhaps(at) => at,
        }
    }

    /// The first delimiter with the rest of its line, or where one may begin.
    fn locate(&self) -> Found {
        let mut from = 0;
        while let Some(offset) = self.buffer.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let at = from + offset;
            let rest = self.buffer.get(at..).unwrap_or_default();
            if rest.len() < self.delimiter.len() {
                if self.delimiter.starts_with(rest) {
                    return Found::Perhaps(at);
                }
            } else if rest.starts_with(&self.delimiter) {
                match is_line(rest.get(self.delimiter.len()..).unwrap_or_default()) {
                    Some(true) => return Found::At(at),
                    Some(false) => {}
                    None => return Found::Perhaps(at),
                }
            }
            from = at + 1;
        }
        Found::Perhaps(self.buffer.len())
    }

    /// `--` ends the body; else a line end begins the headers of a part.
    fn boundary(&mut self) -> Result<bool, SoapError> {
        if self.buffer.starts_with(b"--") {
            self.state = State::Epilogue;
            return Ok(true);
        }
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return if self.buffer.len() > PADDING_MAX {
                Err(SoapError::Multipart("the line of a boundary does not end"))
            } else {
                Ok(false)
            };
        };
        self.buffer.advance(end + 1);
        self.state = State::Headers;
        Ok(true)
    }

    fn headers(&mut self, sink: &mut dyn FnMut(PartEvent) -> Result<(), SoapError>) -> Result<bool, SoapError> {
        let Some((block, blank)) = header_block(&self.buffer) else {
            return if self.buffer.len() > PART_HEADER_BYTES_MAX {
                Err(SoapError::TooLarge { what: "the headers of a part", max: PART_HEADER_BYTES_MAX })
            } else {
                Ok(false)
            };
        };
        if block > PART_HEADER_BYTES_MAX {
            return Err(SoapError::TooLarge { what: "the headers of a part", max: PART_HEADER_BYTES_MAX });
        }
        let headers = read_headers(&self.buffer.split_to(block))?;
        self.lead = blank;
        self.state = State::Content;
        sink(PartEvent::Start(headers))?;
        Ok(true)
    }
}

/// Whether what follows a boundary is `--`, or white space to the end of the line; `None` where more must come.
fn is_line(rest: &[u8]) -> Option<bool> {
    if rest.starts_with(b"--") {
        return Some(true);
    }
    if rest == b"-" {
        return None;
    }
    for (count, byte) in rest.iter().enumerate() {
        match byte {
            b'\n' => return Some(true),
            b' ' | b'\t' | b'\r' if count < PADDING_MAX => {}
            _ => return Some(false),
        }
    }
    None
}

/// The length of the header lines, and of the blank line behind them.
fn header_block(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut start = 0;
    loop {
        let line = bytes.get(start..)?;
        let end = line.iter().position(|byte| *byte == b'\n')?;
        let line = line.get(..end)?;
        if line.is_empty() || line == b"\r" {
            return Some((start, end + 1));
        }
        start += end + 1;
    }
}

fn read_headers(block: &[u8]) -> Result<MimeHeaders, SoapError> {
    let text = match std::str::from_utf8(block) {
        Ok(text) => text.to_owned(),
        Err(_) => block.iter().map(|byte| char::from(*byte)).collect(),
    };
    let mut headers: MimeHeaders = Vec::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            let last =
                headers.last_mut().ok_or(SoapError::Multipart("the headers of a part begin with white space"))?;
            if !last.1.is_empty() {
                last.1.push(' ');
            }
            last.1.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(SoapError::Multipart("a header of a part has no colon"))?;
        let name = name.trim_end();
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || value.chars().any(|character| character.is_control() && character != '\t') {
            return Err(SoapError::Multipart("a header of a part holds a character that may not stand there"));
        }
        if headers.len() >= PART_HEADERS_MAX {
            return Err(SoapError::TooLarge { what: "the number of headers of a part", max: PART_HEADERS_MAX });
        }
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = Vec<(MimeHeaders, Vec<u8>)>;

    fn read(bytes: &[u8], boundary: &str, slice: usize) -> Result<Parts, SoapError> {
        let mut parts: Parts = Vec::new();
        let mut sink = |event| {
            match event {
                PartEvent::Start(headers) => parts.push((headers, Vec::new())),
                PartEvent::Data(data) => parts.last_mut().unwrap().1.extend_from_slice(&data),
                PartEvent::End => {}
            }
            Ok(())
        };
        let mut parser = MultipartParser::new(boundary);
        for chunk in bytes.chunks(slice.max(1)) {
            parser.push(chunk, &mut sink)?;
        }
        parser.finish(&mut sink)?;
        Ok(parts)
    }

    fn contents(bytes: &[u8], boundary: &str, slice: usize) -> Result<Vec<String>, SoapError> {
        let parts = read(bytes, boundary, slice)?;
        Ok(parts.into_iter().map(|(_, content)| String::from_utf8(content).unwrap()).collect())
    }

    #[test]
    fn parts_are_found_with_either_line_end_in_slices_of_any_size() {
        let unix = "preamble\n--b\nA: 1\n B\nC:2\n\none\n--bb\n\n--b  \n\n\n--b\nX: y\n\n--b\n\n\n--b--\nepilogue";
        let dos = unix.replace('\n', "\r\n");
        for slice in 1..unix.len() {
            assert_eq!(
                contents(unix.as_bytes(), "b", slice).unwrap(),
                ["one\n--bb\n", "", "", ""],
                "slices of {slice}"
            );
            assert_eq!(
                contents(dos.as_bytes(), "b", slice).unwrap(),
                ["one\r\n--bb\r\n", "", "", ""],
                "slices of {slice}"
            );
        }
        let (headers, _) = &read(dos.as_bytes(), "b", 3).unwrap()[0];
        assert_eq!(
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
            [("A", "1 B"), ("C", "2")]
        );
    }

    #[test]
    fn a_body_that_breaks_off_is_refused_and_one_without_parts_holds_no_message() {
        let whole = "--b\nA: 1\n\none\n--b--";
        for end in 4..whole.len() - 2 {
            assert!(contents(&whole.as_bytes()[..end], "b", 5).is_err(), "cut at {end}");
        }
        assert_eq!(contents(b"--b\nA: 1\n\none\r\n--b", "b", 5).unwrap(), ["one"]);
        assert_eq!(contents(whole.as_bytes(), "b", 5).unwrap(), ["one"]);
        assert_eq!(contents(b"", "b", 1), Err(SoapError::MissingSoap));
        assert_eq!(contents(b"no boundary here\n--other\n", "b", 1), Err(SoapError::MissingSoap));
    }

    #[test]
    fn headers_have_limits() {
        let long = format!("--b\nA: {}\n\nx\n--b--", "x".repeat(PART_HEADER_BYTES_MAX));
        assert!(matches!(contents(long.as_bytes(), "b", 4096), Err(SoapError::TooLarge { .. })));
        let many = format!("--b\n{}\nx\n--b--", "A: 1\n".repeat(PART_HEADERS_MAX + 1));
        assert!(matches!(contents(many.as_bytes(), "b", 4096), Err(SoapError::TooLarge { .. })));
        for bad in ["--b\nno colon\n\nx\n--b--", "--b\n A: 1\n\nx\n--b--", "--b\nA : \u{1}\n\nx\n--b--"] {
            assert!(matches!(contents(bad.as_bytes(), "b", 64), Err(SoapError::Multipart(_))), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_parser_and_slices_do_not_matter(
            pieces in proptest::collection::vec(proptest::sample::select(vec!["--b", "\n", "\r\n", "\r", "-", "--", "A: 1", "x", " ", "--bb"]), 0..40),
            slice in 1..12_usize,
        ) {
            let text = format!("--b\n{}", pieces.concat());
            let whole = contents(text.as_bytes(), "b", text.len());
            proptest::prop_assert_eq!(contents(text.as_bytes(), "b", slice), whole);
        }

        #[test]
        fn any_content_comes_back(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), slice in 1..40_usize) {
            let mut bytes = b"--boundary-x\r\nA: 1\r\n\r\n".to_vec();
            bytes.extend_from_slice(&content);
            bytes.extend_from_slice(b"\r\n--boundary-x--\r\n");
            proptest::prop_assert_eq!(&read(&bytes, "boundary-x", slice).unwrap()[0].1, &content);
        }
    }
}
