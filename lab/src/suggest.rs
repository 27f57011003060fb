//! Suggestions for misspelled words in error messages.

/// The word of `words` that is most similar to `word`, or `None` if no word is similar enough.
///
/// ```
/// use sandhog_lab::suggest::nearest;
///
/// assert_eq!(nearest("dealy", ["delay", "loss"]), Some("delay"));
/// assert_eq!(nearest("colour", ["delay", "loss"]), None);
/// ```
#[must_use]
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    words
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The end of an error message about an unknown `word`: `; did you mean ...?`, or the list of all words.
#[must_use]
pub fn suggestion(word: &str, words: &[&str]) -> String {
    match nearest(word, words.iter().copied()) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None if words.is_empty() => String::new(),
        None => format!("; expected one of {}", words.join(", ")),
    }
}
