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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The parts of a body fed in pieces of these sizes, over and over: where each begins, and its bytes.
    fn parts(boundary: &str, body: &[u8], sizes: &[usize]) -> Vec<(usize, Vec<u8>)> {
        let (mut scanner, mut parts, mut open) = (Scanner::new(boundary), Vec::<(usize, Vec<u8>)>::new(), false);
        let mut take = |found: Found<'_>| match found {
            Found::Begin(at) => {
                assert!(!std::mem::replace(&mut open, true));
                parts.push((at as usize, Vec::new()));
            }
            Found::Bytes(bytes) => {
                assert!(open && !bytes.is_empty());
                parts.last_mut().unwrap().1.extend_from_slice(bytes);
            }
            Found::End => assert!(std::mem::replace(&mut open, false)),
        };
        let (mut rest, mut sizes) = (body, sizes.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap_or(&usize::MAX)));
            scanner.feed(now, &mut take);
            rest = later;
        }
        scanner.end(&mut take);
        assert!(!open);
        parts
    }

    /// The same, line by line over the whole body.
    fn parts_of_whole(boundary: &str, body: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let (mut parts, mut begin, mut at) = (Vec::new(), None, 0);
        let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
        for line in lines {
            let text = line.strip_suffix(b"\n").map_or(line, |text| text.strip_suffix(b"\r").unwrap_or(text));
            let text = if line.ends_with(b"\n") { text } else { line.strip_suffix(b"\r").unwrap_or(line) };
            if let Some(rest) = text.strip_prefix(format!("--{boundary}").as_bytes()) {
                let (last, padding) = rest.strip_prefix(b"--").map_or((false, rest), |padding| (true, padding));
                if padding.iter().all(|byte| b" \t".contains(byte)) && padding.len() <= PADDING_BYTES_MAX {
                    if let Some(begin) = begin {
                        let part = &body[begin..at.max(begin)];
                        let part =
                            part.strip_suffix(b"\n").map_or(part, |part| part.strip_suffix(b"\r").unwrap_or(part));
                        parts.push((begin, part.to_vec()));
                    }
                    begin = Some(at + line.len());
                    if last {
                        return parts;
                    }
                }
            }
            at += line.len();
        }
        parts.extend(begin.map(|begin| (begin, body[begin..].to_vec())));
        parts
    }

    #[test]
    fn the_line_break_before_a_delimiter_is_the_delimiters() {
        let found =
            parts("b", b"preamble\r\n--b\r\n1\r\n\r\n--b \t\r\n2\n--bb\n--b\n\r\n--b--\r\nepilogue\r\n--b\r\n", &[1]);
        let texts: Vec<_> = found.iter().map(|(_, part)| std::str::from_utf8(part).unwrap()).collect();
        assert_eq!(texts, ["1\r\n", "2\n--bb", ""]);
        assert_eq!(found[0].0, 15);
    }

    #[test]
    fn a_body_that_breaks_off_ends_its_last_part() {
        assert_eq!(parts("b", b"--b\r\nx\r\n", &[3]), [(5, b"x\r\n".to_vec())]);
        assert_eq!(parts("b", b"--b\r\nx\r\n--b--", &[3]), [(5, b"x".to_vec())]);
        assert_eq!(parts("b", b"--b\r\nx\r\n--b-", &[3]), [(5, b"x\r\n--b-".to_vec())]);
        assert_eq!(parts("b", b"", &[1]), []);
    }

    /// Bodies that are made of what matters.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        const WORDS: &[&str] = &["--b", "--b--", "--", "-", "b", "\r\n", "\n", "\r", " ", "\t", "x: y", "\0", "text"];
        vec(
            prop_oneof![4 => proptest::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
                        1 => vec(any::<u8>(), 0..5)],
            0..40,
        )
        .prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn however_it_is_cut_the_parts_are_the_same(body in pieces(), sizes in vec(1_usize..9, 1..4)) {
            prop_assert_eq!(parts("b", &body, &sizes), parts_of_whole("b", &body));
        }
    }
}
