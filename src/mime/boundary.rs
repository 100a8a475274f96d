//! Finds the parts of a multipart body (RFC 2046, 5.1.1) while it passes, and holds back no more than may be a delimiter.

/// Blanks after a delimiter, at most: with more of them it is no delimiter.
const PADDING_BYTES_MAX: usize = 128;

/// What was found: for each part its begin, its bytes (headers and content, in pieces), and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A part begins, so many bytes after the body's beginning.
    Begin(u64),
    /// More of the part.
    Bytes(&'a [u8]),
    /// The part ends. The line break before a delimiter is the delimiter's.
    End,
}

/// Where in the body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Preamble,
    Part,
    Epilogue,
}

/// What the beginning of a line is.
enum Line {
    Delimiter { last: bool },
    MayBe,
    Other,
}

/// A body that is passing. Lines may end in LF alone. A body that breaks off ends its last part.
#[derive(Debug)]
pub struct Scanner {
    delimiter: Vec<u8>,
    place: Place,
    /// How many bytes have passed.
    at: u64,
    /// The line break before the present line, or a CR that may be one's beginning: held back.
    line_break: &'static [u8],
    /// The beginning of a line, while it may be a delimiter; `None` within a line.
    line: Option<Vec<u8>>,
}

impl Scanner {
    /// A body whose parts are separated by this boundary.
    pub fn new(boundary: &str) -> Self {
        let delimiter = [b"--", boundary.as_bytes()].concat();
        Scanner { delimiter, place: Place::Preamble, at: 0, line_break: b"", line: Some(Vec::new()) }
    }

    /// More of the body.
    pub fn feed(&mut self, mut bytes: &[u8], found: &mut impl FnMut(Found<'_>)) {
        while !bytes.is_empty() && self.place != Place::Epilogue {
            let taken = match self.line.take() {
                Some(line) => self.begin_line(line, bytes[0], found),
                None => self.within_line(bytes, found),
            };
            bytes = &bytes[taken..];
        }
        self.at += bytes.len() as u64;
    }

    /// The body is over.
    pub fn end(mut self, found: &mut impl FnMut(Found<'_>)) {
        if let Some(line) = self.line.take() {
            match self.look(&[line.as_slice(), b"\n"].concat()) {
                Line::Delimiter { last } => self.delimit(last, found),
                Line::MayBe | Line::Other => {
                    self.release_break(found);
                    self.emit(&line, found);
                }
            }
        }
        self.release_break(found);
        if self.place == Place::Part {
            found(Found::End);
        }
    }

    /// One more byte of a line that may be a delimiter.
    fn begin_line(&mut self, mut line: Vec<u8>, byte: u8, found: &mut impl FnMut(Found<'_>)) -> usize {
        line.push(byte);
        self.at += 1;
        match self.look(&line) {
            Line::MayBe => self.line = Some(line),
            Line::Delimiter { last } => {
                self.delimit(last, found);
                self.line = Some(Vec::new());
            }
            Line::Other => {
                self.release_break(found);
                self.at -= line.len() as u64;
                self.within_line(&line, found); // which is one line at most, so all of it is taken
            }
        }
        1
    }

    /// What is left of a line, or as much of it as there is; answers how much that is.
    fn within_line(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (text, taken) = match end {
            Some(end) => (&bytes[..end], end + 1),
            None => (bytes, bytes.len()),
        };
        self.at += taken as u64;
        if !text.is_empty() {
            self.release_break(found); // a CR after which no LF came
        }
        let (text, cr) = match text.split_last() {
            Some((b'\r', text)) => (text, true),
            _ => (text, self.line_break == b"\r"),
        };
        self.emit(text, found);
        self.line_break = match (cr, end) {
            (true, Some(_)) => b"\r\n",
            (true, None) => b"\r",
            (false, Some(_)) => b"\n",
            (false, None) => b"",
        };
        self.line = end.map(|_| Vec::new());
        taken
    }

    fn look(&self, line: &[u8]) -> Line {
        let Some(rest) = line.strip_prefix(self.delimiter.as_slice()) else {
            return if self.delimiter.starts_with(line) { Line::MayBe } else { Line::Other };
        };
        let (rest, ends) = match rest.strip_suffix(b"\n") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        if !ends && rest == b"-" {
            return Line::MayBe;
        }
        let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
        let (padding, last) = match rest.strip_prefix(b"--") {
            Some(padding) => (padding, true),
            None => (rest, false),
        };
        match padding.len() <= PADDING_BYTES_MAX && padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            true if ends => Line::Delimiter { last },
            true => Line::MayBe,
            false => Line::Other,
        }
    }

    fn delimit(&mut self, last: bool, found: &mut impl FnMut(Found<'_>)) {
        self.line_break = b"";
        if self.place == Place::Part {
            found(Found::End);
        }
        self.place = if last { Place::Epilogue } else { Place::Part };
        if !last {
            found(Found::Begin(self.at));
        }
    }

    fn release_break(&mut self, found: &mut impl FnMut(Found<'_>)) {
        let held = std::mem::take(&mut self.line_break);
        self.emit(held, found);
    }

    fn emit(&self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) {
        if self.place == Place::Part && !bytes.is_empty() {
            found(Found::Bytes(bytes));
        }
    }
}
