//! What a word is. Written down letter by letter, since Postgres and Rust, and each with its libraries and versions, know
//! different letters.

/// Beyond ASCII, what does not belong to a word: blanks, punctuation and symbols. Everything else does.
const BETWEEN_WORDS: [(char, char); 16] = [
    ('\u{80}', '\u{a9}'),
    ('\u{ab}', '\u{b4}'),
    ('\u{b6}', '\u{b9}'),
    ('\u{bb}', '\u{bf}'),
    ('\u{d7}', '\u{d7}'),
    ('\u{f7}', '\u{f7}'),
    ('\u{2000}', '\u{206f}'),
    ('\u{20a0}', '\u{20cf}'),
    ('\u{2190}', '\u{2bff}'),
    ('\u{3000}', '\u{3004}'),
    ('\u{3008}', '\u{3020}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff0f}'),
    ('\u{ff1a}', '\u{ff20}'),
    ('\u{ff5b}', '\u{ff65}'),
    ('\u{1f000}', '\u{1faff}'),
];

/// As above, in ASCII, but for NUL, which no text of Postgres has.
const BETWEEN_ASCII_WORDS: [(char, char); 4] = [('\u{1}', '/'), (':', '@'), ('[', '`'), ('{', '\u{7f}')];

fn in_word(letter: char) -> bool {
    !BETWEEN_ASCII_WORDS.iter().chain(&BETWEEN_WORDS).any(|(first, last)| (*first..=*last).contains(&letter))
}

/// Whether a word occurs in a text with no letter or digit on either side; both are folded.
pub fn has_word(text: &str, word: &str) -> bool {
    let mut from = 0;
    while let Some(at) = text[from..].find(word).map(|at| from + at) {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        if !before.is_some_and(in_word) && !after.is_some_and(in_word) {
            return true;
        }
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    false
}

/// The same as a regular expression of Postgres.
pub fn pattern(word: &str) -> String {
    let mut between = String::new();
    for (first, last) in BETWEEN_ASCII_WORDS.iter().chain(&BETWEEN_WORDS) {
        between += &format!("\\U{:08x}-\\U{:08x}", *first as u32, *last as u32);
    }
    let mut literal = String::new();
    for letter in word.chars() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
            literal.push('\\');
        }
        literal.push(letter);
    }
    format!("(^|[{between}]){literal}($|[{between}])")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_alone() {
        for (text, word) in [
            ("see you", "see"),
            ("see you", "you"),
            ("(see)", "see"),
            ("so, see: that", "see"),
            ("oversee see", "see"),
            ("c++ and c", "c++"),
            ("straße", "straße"),
            ("„größe“", "größe"),
            ("a see you b", "see you"),
            ("日本", "日本"),
            ("++ ", "++"),
            ("aab aa", "aa"),
        ] {
            assert!(has_word(text, word), "{word} in {text}");
        }
        for (text, word) in
            [("oversee", "see"), ("seen", "see"), ("7see", "see"), ("öl", "l"), ("c++", "++"), ("", "x"), ("aaa", "aa")]
        {
            assert!(!has_word(text, word), "{word} in {text}");
        }
    }
}
