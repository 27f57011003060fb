//! A strict reader of the text format 0.0.4: stricter than Prometheus itself, and of no use for anything but tests.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a page, by name and labels as they stand there, with their values.
pub(super) type Samples = BTreeMap<String, u64>;

/// Reads a page, or tells the first line that is not as it should be.
///
/// Each family has its HELP, its TYPE and its samples in this order and nowhere else, at least one sample, and the same labels
/// in each; names fit the conventions, values are whole numbers, and no series stands twice.
pub(super) fn check(page: &str) -> Result<Samples, String> {
    if !page.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let (mut samples, mut names) = (Samples::new(), BTreeSet::new());
    let mut lines = page.split_terminator('\n').peekable();
    while let Some(line) = lines.next() {
        let name = head(line, "# HELP ")?;
        let kind_line = lines.next().unwrap_or_default();
        if head(kind_line, "# TYPE ")? != name || !names.insert(name) {
            return Err(format!(
                "the type of another family, or a second time: {kind_line}"
            ));
        }
        let kind = kind_line.rsplit(' ').next().unwrap_or_default();
        if !matches!(kind, "counter" | "gauge") || (kind == "counter") != name.ends_with("_total") {
            return Err(format!("a type that does not go with the name: {kind_line}"));
        }
        let mut labels = None;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').ok_or("a sample without value")?;
            let its = label_names(series.strip_prefix(name).ok_or_else(|| stray(line))?)
                .ok_or_else(|| format!("bad labels: {line}"))?;
            if *labels.get_or_insert_with(|| its.clone()) != its {
                return Err(format!("other labels than in the line above: {line}"));
            }
            let is_number = value.bytes().all(|digit| digit.is_ascii_digit());
            let value = value.parse().ok().filter(|_| is_number);
            let value = value.ok_or_else(|| format!("not a whole number: {line}"))?;
            if samples.insert(series.to_owned(), value).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
        labels.ok_or_else(|| format!("a family without samples: {name}"))?;
    }
    Ok(samples)
}

fn stray(line: &str) -> String {
    format!("a sample of another family: {line}")
}

/// The name in a line of comment, which has something after it.
fn head<'a>(line: &'a str, begin: &str) -> Result<&'a str, String> {
    let rest = line.strip_prefix(begin);
    let (name, text) = rest
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(|| format!("no {begin}: {line:?}"))?;
    let is_plain = !text.is_empty() && !text.contains(['\\', '\r', '\t']) && text.trim() == text;
    if is_name(name) && is_plain {
        Ok(name)
    } else {
        Err(format!("a bad name or text: {line:?}"))
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    text.as_bytes().first().is_some_and(is_letter)
        && text.bytes().all(|byte| is_letter(&byte) || byte.is_ascii_digit())
        && !text.starts_with("__")
}

/// The names of labels in `{a="b",c="d"}`, each once.
fn label_names(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('{')?;
    let mut names = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        if !is_name(name) || names.iter().any(|other| other == name) {
            return None;
        }
        names.push(name.to_owned());
        let end = end_of_value(after)?;
        rest = after.get(end + 1..)?;
        match rest {
            "}" => return Some(names),
            _ => rest = rest.strip_prefix(',')?,
        }
    }
}

/// Where the quote is that ends a value; before it, a backslash stands only in its three combinations.
fn end_of_value(text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    loop {
        match letters.next()? {
            (at, '"') => return Some(at),
            (_, '\\') if matches!(letters.next()?.1, '\\' | '"' | 'n') => {}
            (_, '\\' | '\r') => return None,
            _ => {}
        }
    }
}
