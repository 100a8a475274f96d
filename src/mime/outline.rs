//! What a payload consists of: its parts as ranges of its bytes, and its text.

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use serde::{Deserialize, Serialize};

use super::Head;
use super::boundary::{Found, Scanner};
use super::encoding::{Decoder, Encoding};

/// Bytes of the headers of a part, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of text that are kept of all parts together, for whoever searches.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// A part: of a multipart payload each of the first level, of another one the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its Content-Type with parameters.
    #[serde(rename = "type")]
    pub content_type: String,
    /// Its Content-ID, without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its Content-Location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Its Content-Disposition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// Bytes of its content, decoded.
    pub size: u64,
    /// Where in the payload its content begins.
    pub offset: u64,
    /// Bytes of its content in the payload.
    pub length: u64,
    /// How its content is encoded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// A payload that cannot be taken: too many parts, or a part with endless headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// The outline of a payload whose bytes are passing.
#[derive(Debug)]
pub struct Outline {
    scanner: Option<Scanner>,
    parts: Parts,
}

impl Outline {
    /// Of a payload that its sender describes so, and that has no more than `parts_max` parts.
    pub fn new(head: &Head, parts_max: usize) -> Self {
        let mut parts = Parts { done: Vec::new(), open: None, texts: Vec::new(), parts_max, refused: false };
        let scanner = head.boundary.as_deref().map(Scanner::new);
        if scanner.is_none() && !head.media_type.starts_with("multipart/") {
            // As it is stored: whatever it came in has been decoded.
            let head = Head { encoding: None, ..head.clone() };
            parts.open = Some(Open::Content(Content::new(&head, 0, parts.text_room())));
        }
        Outline { scanner, parts }
    }

    /// More of the payload.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match &mut self.scanner {
            Some(scanner) => scanner.feed(bytes, &mut |found| self.parts.take(found)),
            None => self.parts.take(Found::Bytes(bytes)),
        }
        if self.parts.refused { Err(Refused) } else { Ok(()) }
    }

    /// All of it: its parts in their order, and their texts.
    pub fn end(mut self) -> Result<(Vec<Part>, Vec<String>), Refused> {
        match self.scanner.take() {
            Some(scanner) => scanner.end(&mut |found| self.parts.take(found)),
            None => self.parts.take(Found::End),
        }
        if self.parts.refused { Err(Refused) } else { Ok((self.parts.done, self.parts.texts)) }
    }
}

#[derive(Debug)]
struct Parts {
    done: Vec<Part>,
    open: Option<Open>,
    texts: Vec<String>,
    parts_max: usize,
    refused: bool,
}

/// A part whose end has not come yet.
#[derive(Debug)]
enum Open {
    /// Its headers are not complete.
    Head { at: u64, lines: Vec<u8> },
    /// Its headers are known.
    Content(Box<Content>),
}

#[derive(Debug)]
struct Content {
    part: Part,
    decoder: Decoder,
    /// Room for what is decoded.
    decoded: Vec<u8>,
    text: Option<Text>,
}

impl Parts {
    fn take(&mut self, found: Found<'_>) {
        if self.refused {
            return;
        }
        match found {
            Found::Begin(_) if self.done.len() >= self.parts_max => self.refused = true,
            Found::Begin(at) => self.open = Some(Open::Head { at, lines: Vec::new() }),
            Found::Bytes(bytes) => self.bytes(bytes),
            Found::End => self.end(),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match &mut self.open {
            None => {}
            Some(Open::Content(content)) => content.take(bytes),
            Some(Open::Head { at, lines }) => {
                let before = lines.len();
                lines.extend_from_slice(bytes);
                if let Some((head, content)) = split_head(lines, before) {
                    let (at, content) = (*at + content as u64, lines.split_off(content));
                    self.open = Some(Open::Content(Content::new(&Head::parse(&lines[..head]), at, self.text_room())));
                    self.bytes(&content);
                } else if lines.len() > HEAD_BYTES_MAX {
                    self.refused = true;
                }
            }
        }
    }

    fn end(&mut self) {
        match self.open.take() {
            None => {}
            // Headers, and nothing else.
            Some(Open::Head { at, lines }) => {
                let at = at + lines.len() as u64;
                let (part, _) = Content::new(&Head::parse(&lines), at, 0).end();
                self.done.push(part);
            }
            Some(Open::Content(content)) => {
                let (part, text) = content.end();
                self.done.push(part);
                self.texts.extend(text);
            }
        }
    }

    fn text_room(&self) -> usize {
        TEXT_BYTES_MAX.saturating_sub(self.texts.iter().map(String::len).sum())
    }
}

impl Content {
    fn new(head: &Head, offset: u64, text_room: usize) -> Box<Content> {
        let part = Part {
            content_type: head.content_type().to_owned(),
            id: head.id.clone(),
            location: head.location.clone(),
            disposition: head.disposition.clone(),
            size: 0,
            offset,
            length: 0,
            encoding: head.encoding,
        };
        let text = (head.media_type.starts_with("text/") && text_room > 0).then(|| Text {
            charset: head.charset.clone(),
            html: head.media_type == "text/html",
            room: text_room,
            bytes: Vec::new(),
        });
        Box::new(Content { part, decoder: Decoder::new(head.encoding), decoded: Vec::new(), text })
    }

    fn take(&mut self, bytes: &[u8]) {
        self.part.length += bytes.len() as u64;
        self.decoded.clear();
        self.decoder.decode(bytes, &mut self.decoded);
        self.add_decoded();
    }

    fn end(mut self: Box<Self>) -> (Part, Option<String>) {
        self.decoded.clear();
        self.decoder.end(&mut self.decoded);
        self.add_decoded();
        (self.part, self.text.and_then(Text::read))
    }

    fn add_decoded(&mut self) {
        self.part.size += self.decoded.len() as u64;
        if let Some(text) = &mut self.text {
            text.take(&self.decoded);
        }
    }
}

/// Where header lines end and where the content begins, if the blank line between them is there; the first `known` bytes
/// have been looked at before.
fn split_head(bytes: &[u8], known: usize) -> Option<(usize, usize)> {
    let blank = |rest: &[u8]| match rest {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    };
    if let Some(length) = blank(bytes) {
        return Some((0, length));
    }
    let from = known.saturating_sub(3);
    let ends = bytes[from..].iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| from + at + 1);
    ends.filter_map(|end| blank(&bytes[end..]).map(|length| (end, end + length))).next()
}

/// The text of a part.
#[derive(Debug)]
struct Text {
    charset: Option<String>,
    html: bool,
    /// Bytes that may be kept.
    room: usize,
    bytes: Vec<u8>,
}

impl Text {
    fn take(&mut self, bytes: &[u8]) {
        let room = self.room - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What there is to search for; `None` when that is nothing.
    fn read(self) -> Option<String> {
        let decode = self.charset.and_then(|charset| charset_decoder(charset.as_bytes()));
        let mut text = match decode {
            Some(decode) => decode(&self.bytes),
            None => String::from_utf8_lossy(&self.bytes).into_owned(),
        };
        if self.html {
            text = html_to_text(&text);
        }
        let text = text.replace('\0', " "); // which no text in Postgres can hold
        let text = text.trim_end_matches('\u{fffd}').trim(); // a letter that was cut
        let text = &text[..text.floor_char_boundary(self.room)];
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn outline(
        content_type: &str,
        body: &[u8],
        piece: usize,
        parts_max: usize,
    ) -> Result<(Vec<Part>, Vec<String>), Refused> {
        let head = Head::parse(format!("Content-Type: {content_type}").as_bytes());
        let mut outline = Outline::new(&head, parts_max);
        for piece in body.chunks(piece) {
            outline.take(piece)?;
        }
        outline.end()
    }

    #[test]
    fn what_is_not_multipart_is_one_part_and_a_multipart_without_boundary_none() {
        let (parts, texts) = outline("text/html; charset=iso-8859-1", b"<p>caf\xe9 <b>noir</b></p>", 3, 10).unwrap();
        assert_eq!((parts[0].offset, parts[0].length, parts[0].size), (0, 23, 23));
        assert_eq!((parts.len(), texts), (1, vec!["café noir".to_owned()]));
        let (parts, texts) = outline("multipart/mixed", b"--b\r\n\r\nx\r\n--b--", 3, 10).unwrap();
        assert_eq!((parts, texts), (vec![], vec![]));
    }

    #[test]
    fn text_is_kept_within_bounds_and_without_nul() {
        let text = "é".repeat(TEXT_BYTES_MAX);
        let body = format!("--b\r\n\r\na\0bc\r\n--b\r\n\r\n{text}\r\n--b\r\n\r\nlate\r\n--b--");
        let (_, texts) = outline("multipart/mixed; boundary=b", body.as_bytes(), 1000, 10).unwrap();
        assert_eq!(texts[0], "a bc");
        assert!(texts.len() == 2 && texts[1].chars().all(|letter| letter == 'é'), "{}", texts.len());
        assert!((TEXT_BYTES_MAX - 8..=TEXT_BYTES_MAX).contains(&texts.iter().map(String::len).sum()));
    }

    #[test]
    fn too_many_parts_and_endless_headers_are_refused() {
        let body = "--b\r\n\r\n".repeat(4);
        assert!(outline("multipart/mixed; boundary=b", body.as_bytes(), 2, 4).is_ok());
        assert_eq!(outline("multipart/mixed; boundary=b", body.as_bytes(), 2, 3), Err(Refused));
        let body = format!("--b\r\n{}", "X: y\r\n".repeat(4000));
        assert_eq!(outline("multipart/mixed; boundary=b", body.as_bytes(), 1000, 3), Err(Refused));
    }

    /// A part as a sender writes it: its bytes, whether it is in base64, and whether it is text.
    fn part() -> impl Strategy<Value = (Vec<u8>, bool, bool)> {
        (vec(any::<u8>(), 0..200), any::<bool>(), any::<bool>()).prop_map(|(bytes, base64, text)| match text {
            true => (bytes.iter().map(|byte| b' ' + byte % 95).collect(), base64, text),
            false => (bytes, base64, text),
        })
    }

    proptest! {
        #[test]
        fn a_mail_parser_finds_the_same(parts in vec(part(), 1..6), piece in 1_usize..50) {
            use base64::Engine;
            let mut body = Vec::new();
            for (n, (bytes, base64, text)) in parts.iter().enumerate() {
                let kind = if *text { "text/plain" } else { "image/png" };
                body.extend(format!("--=_x\r\nContent-Type: {kind}; name=\"{n}\"\r\nContent-ID: <id{n}>\r\n").bytes());
                if *base64 {
                    body.extend(b"Content-Transfer-Encoding: base64\r\n\r\n");
                    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                    encoded.as_bytes().chunks(76).for_each(|line| body.extend([line, b"\r\n"].concat()));
                } else {
                    body.extend(b"Content-Transfer-Encoding: binary\r\n\r\n");
                    body.extend(bytes);
                    body.extend(b"\r\n");
                }
            }
            body.extend(b"--=_x--\r\n");
            let content_type = "multipart/mixed; boundary=\"=_x\"";
            let (ours, _) = outline(content_type, &body, piece, 10).unwrap();
            let message = [format!("Content-Type: {content_type}\r\n\r\n").as_bytes(), &body].concat();
            let theirs = MessageParser::default().parse(&message).unwrap();
            prop_assert_eq!(ours.len(), theirs.parts.len() - 1);
            for ((ours, theirs), (bytes, ..)) in ours.iter().zip(&theirs.parts[1..]).zip(&parts) {
                prop_assert_eq!(ours.id.as_deref(), theirs.content_id());
                let stored = &body[usize::try_from(ours.offset).unwrap()..][..usize::try_from(ours.length).unwrap()];
                let (mut decoder, mut content) = (Decoder::new(ours.encoding), Vec::new());
                decoder.decode(stored, &mut content);
                decoder.end(&mut content);
                prop_assert_eq!(&content, bytes);
                prop_assert_eq!(ours.size, bytes.len() as u64);
            }
        }
    }
}
