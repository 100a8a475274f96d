//! Comparing names and texts without case.

/// A text as it is compared without case: lower case letter by letter, whatever the letters around it. `tocsin.fold` of
/// the database does the same.
pub fn fold(text: &str) -> String {
    text.chars()
        .flat_map(|letter| match letter {
            'İ' => 'i'.to_lowercase(),
            'ς' => 'σ'.to_lowercase(),
            other => other.to_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_lost_and_nothing_else() {
        assert_eq!(fold("\\Seen ÄÖÜ ΣΟΦΟΣ σοφος İ ß Ж1"), "\\seen äöü σοφοσ σοφοσ i ß ж1");
    }
}
