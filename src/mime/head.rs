//! The headers of a part.

use mail_parser::{ContentType, HeaderName, HeaderValue, MessageParser};

use super::encoding::Encoding;

/// What a part without a Content-Type is (RFC 2046, 5.1; RFC 7578, 4.4).
const DEFAULT_TYPE: &str = "text/plain";

/// What the headers of a part say of its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The Content-Type as it was given, with its parameters; empty when none was.
    pub given_type: String,
    /// Of the Content-Type: `type/subtype`, in lower case.
    pub media_type: String,
    /// Of the Content-Type.
    pub charset: Option<String>,
    /// Of the Content-Type, if it is a multipart one.
    pub boundary: Option<String>,
    /// The Content-ID, without angle brackets.
    pub id: Option<String>,
    /// The Content-Location.
    pub location: Option<String>,
    /// The Content-Disposition as it was given.
    pub disposition: Option<String>,
    /// Of the Content-Disposition.
    pub filename: Option<String>,
    /// The Content-Transfer-Encoding, if it changes the bytes.
    pub encoding: Option<Encoding>,
}

impl Head {
    /// Reads header lines. What cannot be understood is as good as not there.
    pub fn parse(lines: &[u8]) -> Head {
        let mut head = Head { media_type: DEFAULT_TYPE.to_owned(), ..Head::default() };
        let lines = [lines, b"\r\n\r\n"].concat();
        let Some(message) = MessageParser::default().parse_headers(&lines) else { return head };
        for header in message.headers() {
            let (from, to) = (header.offset_start as usize, header.offset_end as usize);
            let raw = lines.get(from..to).map(unfolded).filter(|text| !text.is_empty());
            let parameter = |name| parameter(&header.value, name);
            match header.name {
                HeaderName::ContentType => {
                    head.media_type = media_type(&header.value).unwrap_or(head.media_type);
                    head.charset = parameter("charset");
                    head.boundary = parameter("boundary").filter(|_| head.media_type.starts_with("multipart/"));
                    head.given_type = raw.unwrap_or_default();
                }
                HeaderName::ContentId => head.id = raw.map(|id| id.trim_matches(['<', '>']).to_owned()),
                HeaderName::ContentLocation => head.location = raw,
                HeaderName::ContentDisposition => {
                    head.filename = parameter("filename");
                    head.disposition = raw;
                }
                HeaderName::ContentTransferEncoding => {
                    head.encoding = raw.as_deref().and_then(Encoding::parse);
                }
                _ => {}
            }
        }
        head
    }

    /// The Content-Type, or what stands for it.
    pub fn content_type(&self) -> &str {
        if self.given_type.is_empty() { DEFAULT_TYPE } else { &self.given_type }
    }

    /// Whether the content is text in UTF-8, or ASCII.
    pub fn is_plain_utf8(&self) -> bool {
        let charset = self.charset.as_deref().unwrap_or("utf-8");
        self.media_type == "text/plain" && ["utf-8", "us-ascii"].iter().any(|one| one.eq_ignore_ascii_case(charset))
    }
}

/// A header's text on one line, without control characters.
fn unfolded(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let words: Vec<&str> = text.split(['\r', '\n']).map(str::trim).filter(|word| !word.is_empty()).collect();
    words.join(" ").replace(char::is_control, " ")
}

fn structured<'a>(value: &'a HeaderValue<'_>) -> Option<&'a ContentType<'a>> {
    match value {
        HeaderValue::ContentType(value) => Some(value),
        _ => None,
    }
}

fn media_type(value: &HeaderValue<'_>) -> Option<String> {
    let value = structured(value)?;
    Some(format!("{}/{}", value.ctype(), value.subtype()?).to_ascii_lowercase())
}

fn parameter(value: &HeaderValue<'_>, name: &str) -> Option<String> {
    structured(value)?.attribute(name).map(str::to_owned).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_phones_write_it() {
        let head = Head::parse(
            b"content-type: Multipart/Related;\r\n\ttype=\"application/smil\"; start=\"<smil>\"; boundary=\"a b\"\r\n\
              Content-ID: <thumbnail>\r\nContent-Disposition: icon;filename=\"t.jpg\"\r\n\
              Content-Transfer-Encoding: BASE64\r\nContent-Location: t.jpg\r\nX: y",
        );
        assert_eq!(head.given_type, r#"Multipart/Related; type="application/smil"; start="<smil>"; boundary="a b""#);
        assert_eq!((head.media_type.as_str(), head.boundary.as_deref()), ("multipart/related", Some("a b")));
        assert_eq!((head.id.as_deref(), head.location.as_deref()), (Some("thumbnail"), Some("t.jpg")));
        assert_eq!(head.disposition.as_deref(), Some(r#"icon;filename="t.jpg""#));
        assert_eq!((head.filename.as_deref(), head.encoding), (Some("t.jpg"), Some(Encoding::Base64)));
        assert!(!head.is_plain_utf8());
    }

    #[test]
    fn what_is_not_said_is_plain_text() {
        for lines in ["", "nonsense", "Content-Type:", "Content-Transfer-Encoding: 8bit"] {
            let head = Head::parse(lines.as_bytes());
            assert_eq!(
                (head.content_type(), head.is_plain_utf8(), head.encoding),
                ("text/plain", true, None),
                "{lines}"
            );
        }
        for (given, plain) in [
            ("text/plain; charset=UTF-8", true),
            ("text/plain;charset=\"us-ascii\"", true),
            ("text/plain; charset=iso-8859-1", false),
            ("text/html", false),
        ] {
            let head = Head::parse(format!("Content-Type: {given}").as_bytes());
            assert_eq!((head.content_type(), head.is_plain_utf8()), (given, plain));
        }
    }
}
