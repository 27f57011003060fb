//! Smaller candidates of a scenario document: without hosts, elements and keys, and with shorter values.

use std::time::Duration;

use sandhog_lab::values::{Size, Span};
use toml::{Table, Value};

/// Lists whose elements name hosts.
const REFERRING: &[&str] = &["client", "link", "event", "expect", "adversary"];

/// Largest list of which pairs of elements are removed.
const MAX_PAIRS: usize = 8;

/// Keys with a time. A shorter time limit such as `timeout` could be the cause of a failure, so limits are not among them.
const TIMES: &[&str] = &[
    "at", "every", "start", "from", "until", "by", "after", "for", "delay",
];

/// Least time from the last event or step to the end of the run, so that a repaired protocol has time to pass.
const REST: Duration = Duration::from_secs(10);

/// Times that replace longer ones, the shortest first.
const SHORT_TIMES: &[&str] = &[
    "0s", "10ms", "100ms", "1s", "2s", "3s", "5s", "10s", "15s", "20s", "30s", "1min", "2min", "5min",
];

/// Keys with a number of things.
const COUNTS: &[&str] = &["count", "replies", "times", "budget", "size", "rate"];

/// Numbers that replace larger ones, the smallest first.
const SMALL_COUNTS: &[i64] = &[0, 1, 2, 3, 5, 10, 20, 50, 100, 1_000];

/// Keys with a number of bytes.
const SIZES: &[&str] = &["bytes", "reset-after"];

/// Sizes that replace larger ones, the smallest first.
const SMALL_SIZES: &[&str] = &["1 KiB", "10 KiB", "100 KiB", "1 MiB"];

/// One part of the path to a value of the tree.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

/// The value at `path`.
fn at_mut<'a>(root: &'a mut Table, path: &[Part]) -> Option<&'a mut Value> {
    let (Part::Key(first), rest) = path.split_first()? else {
        return None;
    };
    rest.iter()
        .try_fold(root.get_mut(first)?, |value, part| match part {
            Part::Key(key) => value.get_mut(key.as_str()),
            Part::Index(index) => value.get_mut(*index),
        })
}

/// The same keys without the value at `path`.
pub(super) fn without(root: &Table, path: &[Part]) -> Table {
    let mut root = root.clone();
    match path.split_last() {
        Some((Part::Key(key), [])) => {
            root.remove(key);
        }
        Some((Part::Key(key), parent)) => {
            if let Some(Value::Table(table)) = at_mut(&mut root, parent) {
                table.remove(key);
            }
        }
        Some((Part::Index(index), parent)) => {
            if let Some(Value::Array(list)) = at_mut(&mut root, parent)
                && *index < list.len()
            {
                list.remove(*index);
            }
        }
        None => {}
    }
    root
}

/// The same keys with another value at `path`.
pub(super) fn replaced(root: &Table, path: &[Part], value: Value) -> Table {
    let mut root = root.clone();
    if let Some(place) = at_mut(&mut root, path) {
        *place = value;
    }
    root
}

/// The paths of all values, those of outer values first.
fn paths(root: &Table) -> Vec<(Vec<Part>, &Value)> {
    fn visit<'a>(value: &'a Value, path: &[Part], found: &mut Vec<(Vec<Part>, &'a Value)>) {
        found.push((path.to_vec(), value));
        let with = |part| [path, &[part]].concat();
        match value {
            Value::Table(table) => table
                .iter()
                .for_each(|(key, value)| visit(value, &with(Part::Key(key.clone())), found)),
            Value::Array(list) => (0..)
                .zip(list)
                .for_each(|(index, value)| visit(value, &with(Part::Index(index)), found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (key, value) in root {
        visit(value, &[Part::Key(key.clone())], &mut found);
    }
    found
}

/// The names of all hosts and adversaries, those that others need last.
pub(super) fn host_names(root: &Table) -> Vec<String> {
    let lists = ["adversary", "client", "server"].into_iter();
    let hosts = lists.filter_map(|list| root.get(list)?.as_array()).flatten();
    let names = hosts.filter_map(|host| host.get("name")?.as_str());
    names.map(str::to_owned).collect()
}

/// The same keys without a host and all that names it. A client without its server is removed too.
pub(super) fn without_host(root: &Table, name: &str) -> Table {
    let mut root = root.clone();
    if let Some(Value::Array(adversaries)) = root.get_mut("adversary") {
        for adversary in adversaries {
            if let Some(Value::Array(acts)) = adversary.get_mut("do") {
                acts.retain(|act| !mentions(act, name));
            }
        }
    }
    let mut orphans = Vec::new();
    for list in REFERRING.iter().chain(&["server"]) {
        let Some(Value::Array(elements)) = root.get_mut(*list) else {
            continue;
        };
        elements.retain(|element| {
            let is_host = element.get("name").is_some();
            let own = element.get("name").and_then(Value::as_str) == Some(name);
            let orphan = *list == "client" && element.get("server").and_then(Value::as_str) == Some(name);
            if orphan && !own {
                orphans.extend(element.get("name").and_then(Value::as_str).map(str::to_owned));
            }
            match (is_host, *list) {
                (true, "adversary") => !own && !mentions(element, name),
                (true, _) => !own && !orphan,
                (false, _) => !mentions(element, name),
            }
        });
    }
    orphans
        .iter()
        .fold(root, |root, orphan| without_host(&root, orphan))
}

/// Returns true if a value names the host. A `login` is the name of a user, not of a host.
fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(list) => list.iter().any(|element| mentions(element, name)),
        Value::Table(table) => {
            let mut keys = table
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "login" | "password"));
            keys.any(|(_, value)| mentions(value, name))
        }
        _ => false,
    }
}

/// Candidates with fewer elements of lists: none, all but one, and all but two.
pub(super) fn fewer_elements(root: &Table) -> Vec<Table> {
    let mut candidates = Vec::new();
    for (path, value) in paths(root) {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            continue;
        };
        candidates.push(without(root, &path));
        candidates.push(replaced(root, &path, Value::Array(Vec::new())));
        let element = |index| [&path[..], &[Part::Index(index)]].concat();
        candidates.extend((0..list.len()).rev().map(|index| without(root, &element(index))));
        if (3..=MAX_PAIRS).contains(&list.len()) {
            for later in (1..list.len()).rev() {
                let rest = without(root, &element(later));
                candidates.extend((0..later).rev().map(|earlier| without(&rest, &element(earlier))));
            }
        }
    }
    candidates
}

/// Candidates without one key.
pub(super) fn fewer_keys(root: &Table) -> Vec<Table> {
    let keys = paths(root).into_iter().filter(|(path, value)| match path.last() {
        // Another profile is another protocol.
        Some(Part::Key(key)) if matches!(key.as_str(), "profile" | "title") => false,
        // Without it, every request must be answered. That would be another expectation.
        Some(Part::Key(key)) if key == "replies" => sibling(root, path, "count") == Some(*value),
        last => matches!(last, Some(Part::Key(_))),
    });
    keys.map(|(path, _)| without(root, &path)).collect()
}

/// The value of another key of the same table.
fn sibling<'a>(root: &'a Table, path: &[Part], key: &str) -> Option<&'a Value> {
    let (_, parent) = path.split_last()?;
    let Some((Part::Key(first), rest)) = parent.split_first() else {
        return root.get(key);
    };
    let table = rest.iter().try_fold(root.get(first)?, |value, part| match part {
        Part::Key(key) => value.get(key.as_str()),
        Part::Index(index) => value.get(*index),
    });
    table?.get(key)
}

/// Candidates in which one value is shorter or simpler. The candidates of one value follow each other, the smallest first.
pub(super) fn shorter_values(root: &Table) -> Vec<Vec<Table>> {
    let candidates = paths(root).into_iter().filter_map(|(path, value)| {
        let Some(Part::Key(key)) = path.last() else {
            return None;
        };
        let shorter = shorter(key, value).into_iter();
        Some(
            shorter
                .map(|value| with_fewer_replies(replaced(root, &path, value), &path))
                .collect(),
        )
    });
    candidates.collect()
}

/// The same keys. If the value at `path` is a `count`, then `replies` is at most as large.
fn with_fewer_replies(root: Table, path: &[Part]) -> Table {
    let count = match path.last() {
        Some(Part::Key(key)) if key == "count" => sibling(&root, path, "count").and_then(Value::as_integer),
        _ => None,
    };
    let replies = sibling(&root, path, "replies").and_then(Value::as_integer);
    match (count, replies) {
        (Some(count), Some(replies)) if replies > count => {
            let path = [&path[..path.len() - 1], &[Part::Key("replies".into())]].concat();
            replaced(&root, &path, count.into())
        }
        _ => root,
    }
}

/// Candidates with a shorter duration.
pub(super) fn shorter_durations(root: &Table) -> Vec<Table> {
    let time_of = |value: &Value| value.as_str().map_or(Duration::ZERO, time);
    let starts = paths(root)
        .into_iter()
        .filter(|(path, _)| matches!(path.last(), Some(Part::Key(key)) if key == "at" || key == "start"));
    let last = starts.map(|(_, value)| time_of(value)).max().unwrap_or_default();
    let Some(duration) = root.get("duration").map(time_of) else {
        return Vec::new();
    };
    let shorter = SHORT_TIMES.iter().filter(|short| {
        let short = time(short);
        short >= last + REST && short < duration
    });
    let path = [Part::Key("duration".into())];
    shorter
        .map(|short| replaced(root, &path, Value::from(*short)))
        .collect()
}

/// Values that are smaller than that of a key, the smallest first.
fn shorter(key: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) if TIMES.contains(&key) => shorter_times(text),
        Value::Integer(number) if COUNTS.contains(&key) => {
            let smaller = SMALL_COUNTS.iter().filter(|count| *count < number);
            smaller.map(|count| Value::Integer(*count)).collect()
        }
        _ if SIZES.contains(&key) => {
            let size = match value {
                Value::Integer(bytes) => u64::try_from(*bytes).ok(),
                Value::String(text) => text.parse::<Size>().ok().map(|size| size.0),
                _ => None,
            };
            let smaller = SMALL_SIZES
                .iter()
                .filter(|text| text.parse::<Size>().is_ok_and(|small| Some(small.0) < size));
            smaller.map(|text| Value::from(*text)).collect()
        }
        _ => Vec::new(),
    }
}

/// Times that are shorter than `text`. A delay with a jitter is replaced by the delay alone.
fn shorter_times(text: &str) -> Vec<Value> {
    let first = text.split(' ').next().unwrap_or_default();
    let alone = Some(first).filter(|first| *first != text && !time(first).is_zero());
    let shorter = SHORT_TIMES.iter().filter(|short| time(short) < time(first));
    let all = shorter.copied().chain(alone);
    all.map(Value::from).collect()
}

/// The time of a text. Zero if it has none.
fn time(text: &str) -> Duration {
    text.parse::<Span>().map_or(Duration::ZERO, |span| span.0)
}
