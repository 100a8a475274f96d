//! Content-Transfer-Encoding (RFC 2045, 6), decoded while it passes, as liberally as mail is read.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An encoding that changes the bytes; the others (`7bit`, `8bit`, `binary`) do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// `base64`.
    #[serde(rename = "base64")]
    Base64,
    /// `quoted-printable`.
    #[serde(rename = "quoted-printable")]
    QuotedPrintable,
}

impl Encoding {
    /// From its name in a Content-Transfer-Encoding.
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "base64" => Some(Encoding::Base64),
            "quoted-printable" => Some(Encoding::QuotedPrintable),
            _ => None,
        }
    }
}

/// Content that is passing.
#[derive(Debug)]
pub struct Decoder {
    encoding: Option<Encoding>,
    /// Less than four letters of base64; an escape of quoted-printable that is not complete.
    held: Vec<u8>,
    /// base64 ended with `=`.
    padded: bool,
    sound: bool,
}

impl Decoder {
    /// Decodes this encoding; `None` leaves the bytes as they are.
    pub fn new(encoding: Option<Encoding>) -> Self {
        Decoder { encoding, held: Vec::new(), padded: false, sound: true }
    }

    /// Whether everything so far was as the encoding has it. What was not is left out of base64, and stands as it is in
    /// quoted-printable.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Appends to `out` what more of the content is.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.encoding {
            None => out.extend_from_slice(bytes),
            Some(Encoding::Base64) => self.base64(bytes, out),
            Some(Encoding::QuotedPrintable) => bytes.iter().for_each(|byte| self.quoted(*byte, out)),
        }
    }

    /// The content is over.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match self.encoding {
            // One letter alone says nothing, and nothing but letters was held: it cannot fail.
            Some(Encoding::Base64) if held.len() > 1 => drop(BASE64.decode_vec(&held, out)),
            Some(Encoding::Base64) => self.sound &= held.is_empty(),
            Some(Encoding::QuotedPrintable) if held != b"=" => out.extend_from_slice(&held),
            _ => {}
        }
    }

    fn base64(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            match byte {
                b'=' => self.padded = true,
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if !self.padded => self.held.push(*byte),
                byte => self.sound &= byte.is_ascii_whitespace(),
            }
        }
        let whole = self.held.len() / 4 * 4;
        let _ = BASE64.decode_vec(&self.held[..whole], out); // nothing but letters: it cannot fail
        self.held.drain(..whole);
    }

    fn quoted(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.held.as_slice(), byte) {
            ([], b'=') => self.held.push(byte),
            ([], _) => out.push(byte),
            ([_], b'\n') | ([_, b'\r'], b'\n') => self.held.clear(), // a soft line break
            ([_], b'\r') => self.held.push(byte),
            ([_], _) if byte.is_ascii_hexdigit() => self.held.push(byte),
            ([_, high], _) if high.is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
                out.push(digit(*high) << 4 | digit(byte));
                self.held.clear();
            }
            _ => {
                self.sound = false;
                out.append(&mut self.held);
                self.quoted(byte, out);
            }
        }
    }
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(encoding: Encoding, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut decoder, mut out) = (Decoder::new(Some(encoding)), Vec::new());
        for piece in pieces {
            decoder.decode(piece, &mut out);
        }
        decoder.end(&mut out);
        (out, decoder.is_sound())
    }

    #[test]
    fn what_is_no_base64_is_left_out() {
        for (text, content) in
            [("aGVsbG8", "hello"), ("aG Vs\tbG8=\r\n", "hello"), ("aGVs*bG8=", "hello"), ("aGVsb", "hel"), ("b", "")]
        {
            let (out, sound) = decoded(Encoding::Base64, &[text.as_bytes()]);
            assert_eq!(
                (out.as_slice(), sound),
                (content.as_bytes(), text.ends_with(['8', '=', '\n']) && !text.contains('*'))
            );
        }
    }

    #[test]
    fn soft_breaks_go_and_what_is_no_escape_stands() {
        let quoted = |text: &str| {
            let (out, sound) = decoded(Encoding::QuotedPrintable, &[text.as_bytes()]);
            (String::from_utf8(out).unwrap(), sound)
        };
        assert_eq!(quoted("caf=C3=A9 =\r\nau =\nlait="), ("café au lait".to_owned(), true));
        assert_eq!(quoted("a=b, 1=2z, =4g=="), ("a=b, 1=2z, =4g=".to_owned(), false));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes: Vec<u8>, cuts in proptest::collection::vec(any::<usize>(), 0..6)) {
            let lines = base64::engine::general_purpose::STANDARD.encode(&bytes);
            let lines: Vec<&[u8]> = lines.as_bytes().chunks(76).collect();
            let base64 = lines.join(&b"\r\n"[..]);
            let quoted: Vec<u8> = bytes.iter().flat_map(|byte| format!("={byte:02x}").into_bytes()).collect();
            for (encoding, text) in [(Encoding::Base64, base64), (Encoding::QuotedPrintable, quoted)] {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
                cuts.extend([0, text.len()]);
                cuts.sort_unstable();
                let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
                prop_assert_eq!(decoded(encoding, &pieces), (bytes.clone(), true));
            }
        }
    }
}
