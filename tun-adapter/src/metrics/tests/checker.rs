//! Strict parser of the text format 0.0.4, for tests. It is stricter than Prometheus.

use std::collections::{BTreeMap, BTreeSet};

/// The values of a page, by series (name and labels as written).
pub(super) type Samples = BTreeMap<String, u64>;

/// Parses a page. The error names the first invalid line.
///
/// Each family has its HELP, its TYPE and at least one sample, in this order and without gaps. All samples of
/// a family have the same labels. Names follow the conventions, values are integers, and no series occurs
/// twice.
pub(super) fn check(page: &str) -> Result<Samples, String> {
    if !page.ends_with('\n') {
        return Err("the last line has no line feed".to_owned());
    }
    let (mut samples, mut names) = (Samples::new(), BTreeSet::new());
    let mut lines = page.split_terminator('\n').peekable();
    while let Some(line) = lines.next() {
        let name = head(line, "# HELP ")?;
        let kind_line = lines.next().unwrap_or_default();
        if head(kind_line, "# TYPE ")? != name || !names.insert(name) {
            return Err(format!("TYPE of another family, or a repeated TYPE: {kind_line}"));
        }
        let kind = kind_line.rsplit(' ').next().unwrap_or_default();
        if !matches!(kind, "counter" | "gauge") || (kind == "counter") != name.ends_with("_total") {
            return Err(format!("the type does not match the name: {kind_line}"));
        }
        let mut labels = None;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').ok_or("a sample without a value")?;
            let found = label_names(series.strip_prefix(name).ok_or_else(|| stray(line))?)
                .ok_or_else(|| format!("invalid labels: {line}"))?;
            if *labels.get_or_insert_with(|| found.clone()) != found {
                return Err(format!("labels differ from the line above: {line}"));
            }
            let is_number = value.bytes().all(|digit| digit.is_ascii_digit());
            let value = value.parse().ok().filter(|_| is_number);
            let value = value.ok_or_else(|| format!("not an integer: {line}"))?;
            if samples.insert(series.to_owned(), value).is_some() {
                return Err(format!("repeated series: {line}"));
            }
        }
        labels.ok_or_else(|| format!("family without samples: {name}"))?;
    }
    Ok(samples)
}

fn stray(line: &str) -> String {
    format!("sample of another family: {line}")
}

/// The metric name in a comment line. Text must follow it.
fn head<'a>(line: &'a str, begin: &str) -> Result<&'a str, String> {
    let rest = line.strip_prefix(begin);
    let (name, text) = rest
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(|| format!("missing {begin}: {line:?}"))?;
    let is_plain = !text.is_empty() && !text.contains(['\\', '\r', '\t']) && text.trim() == text;
    if is_name(name) && is_plain {
        Ok(name)
    } else {
        Err(format!("invalid name or text: {line:?}"))
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    text.as_bytes().first().is_some_and(is_letter)
        && text.bytes().all(|byte| is_letter(&byte) || byte.is_ascii_digit())
        && !text.starts_with("__")
}

/// The label names in `{a="b",c="d"}`. Returns `None` if a name is repeated.
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

/// Position of the quote that ends a label value. Before it, only three escape sequences are valid.
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
