//! Text form of a tape: one line for each fault.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sandhog_peer::Instant;

use super::{Address, Entry, Fault, Tape};
use crate::suggest::suggestion;
use crate::values::Span;

/// First words of a tape. The version follows.
const MAGIC: &str = "sandhog tape ";

/// Version of both forms of a tape.
pub(super) const VERSION: u64 = 1;

/// Last line of a tape. A tape without it may be cut.
const END: &str = "end";

/// The text for the kind of a datagram without a kind.
const NO_KIND: &str = "\"\"";

/// The faults, as in the text form, for suggestions.
const FAULTS: [&str; 9] = [
    "drop",
    "double",
    "delay",
    "late",
    "hold until",
    "swap",
    "flip bit",
    "rebind",
    "crash",
];

/// A mistake in a tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeError {
    /// Number of the line, from 1. `None` for the number of an entry in a tape that was not read from text.
    pub line: Option<usize>,
    /// Number of the entry, from 1, if the mistake is in an entry.
    pub entry: Option<usize>,
    /// The mistake.
    pub message: String,
}

impl TapeError {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            entry: None,
            message: message.into(),
        }
    }

    /// The mistake that entry `index` names a host that does not exist.
    pub(crate) fn no_host(index: usize, name: &str, names: &[&str]) -> Self {
        Self::of_entry(
            index,
            format!("there is no host `{name}`{}", suggestion(name, names)),
        )
    }

    /// A mistake in entry `index`.
    pub(crate) fn of_entry(index: usize, message: String) -> Self {
        Self {
            line: None,
            entry: Some(index + 1),
            message,
        }
    }

    /// A mistake in the whole tape.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self {
            line: None,
            entry: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for TapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.entry) {
            (Some(line), _) => write!(f, "line {line}: {}", self.message),
            (None, Some(entry)) => write!(f, "fault {entry}: {}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

impl Error for TapeError {}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}{VERSION}")?;
        writeln!(f, "scenario {}", self.setup)?;
        writeln!(f, "seed {}", self.seed)?;
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))?;
        writeln!(f, "{END}")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.datagrams)?;
        if let Some(at) = self.sent_at {
            write!(f, " @ {}", exact(at.saturating_duration_since(Instant::ZERO)))?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sender,
            receiver,
            kind,
            nth,
            onwards,
        } = self;
        let from = if *onwards { "from " } else { "" };
        let kind = if kind.is_empty() { NO_KIND } else { kind };
        write!(f, "{sender}→{receiver} {kind} {from}#{nth}")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Double => f.write_str("double"),
            Self::Delay(time) => write!(f, "delay {}", exact(*time)),
            Self::DelayCopy(time) => write!(f, "delay copy {}", exact(*time)),
            Self::Late(time) => write!(f, "late {}", exact(*time)),
            Self::Hold(until) => {
                write!(
                    f,
                    "hold until {}",
                    exact(until.saturating_duration_since(Instant::ZERO))
                )
            }
            Self::Swap => f.write_str("swap"),
            Self::Flip(bit) => write!(f, "flip bit {bit}"),
            Self::FlipCopy(bit) => write!(f, "flip bit {bit} of copy"),
            Self::Rebind { host, to } => write!(f, "rebind {host} to {to}"),
            Self::Crash { host, down } => write!(f, "crash {host} for {}", exact(*down)),
        }
    }
}

/// A time without rounding: `31.4s`, `120ms`, `0.000001ms`.
fn exact(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (unit, size) = if nanos >= 1_000_000_000 && nanos.is_multiple_of(1_000_000) {
        ("s", 1_000_000_000)
    } else {
        ("ms", 1_000_000)
    };
    let fraction = format!("{:09}", nanos % size * (1_000_000_000 / size));
    match fraction.trim_end_matches('0') {
        "" => format!("{}{unit}", nanos / size),
        fraction => format!("{}.{fraction}{unit}", nanos / size),
    }
}

impl FromStr for Tape {
    type Err = TapeError;

    fn from_str(text: &str) -> Result<Self, TapeError> {
        let count = text.lines().count();
        let is_last = |number: usize| number == count && !text.ends_with('\n');
        let lines = text.lines().zip(1..);
        let mut lines = lines
            .map(|(line, number)| (number, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, first) = lines.next().ok_or_else(|| {
            TapeError::at(
                1,
                format!("the tape is empty; its first line is `{MAGIC}{VERSION}`"),
            )
        })?;
        check_version(first).map_err(|message| TapeError::at(number, message))?;
        let mut tape = Self::default();
        let mut last = number;
        for (key, field) in [("scenario", 0), ("seed", 1)] {
            let (number, line) = lines.next().ok_or_else(|| cut(last))?;
            last = number;
            let value = line.strip_prefix(key).filter(|value| value.starts_with(' '));
            let value = value.map(str::trim).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                TapeError::at(number, format!("expected `{key}` and its value, found `{line}`"))
            })?;
            if field == 0 {
                tape.setup = value.into();
            } else {
                tape.seed = value.parse().map_err(|_| {
                    TapeError::at(
                        number,
                        format!("`{value}` is not a seed; expected a number below 2^64"),
                    )
                })?;
            }
        }
        for (number, line) in &mut lines {
            if line == END {
                return match lines.next() {
                    Some((number, _)) => Err(TapeError::at(number, "nothing may follow `end`")),
                    None => Ok(tape),
                };
            }
            let entry = line.parse().map_err(|message: String| {
                // Each line of a whole tape ends with a line break, except perhaps the last one.
                let hint = if is_last(number) {
                    "; the tape may be cut here"
                } else {
                    ""
                };
                TapeError::at(number, format!("{message}{hint}"))
            })?;
            tape.entries.push(entry);
            last = number;
        }
        Err(cut(last))
    }
}

fn cut(line: usize) -> TapeError {
    TapeError::at(line + 1, "the tape ends without the line `end`; it may be cut")
}

fn check_version(line: &str) -> Result<(), String> {
    let version = line
        .strip_prefix(MAGIC)
        .ok_or_else(|| format!("this is not a tape; the first line of a tape is `{MAGIC}{VERSION}`"))?;
    match version.trim().parse::<u64>() {
        Ok(VERSION) => Ok(()),
        Ok(version) if version > VERSION => Err(newer(version)),
        _ => Err(format!(
            "`{version}` is not a version of a tape; expected `{VERSION}`"
        )),
    }
}

/// The message about a tape of a newer version.
pub(super) fn newer(version: u64) -> String {
    format!(
        "the tape has version {version}, but this program reads version {VERSION}; use the program that recorded it"
    )
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (place, fault) = line
            .split_once(": ")
            .ok_or_else(|| format!("expected `SENDER→RECEIVER KIND #N: FAULT`, found `{line}`"))?;
        let (place, sent_at) = match place.split_once('@') {
            Some((place, at)) => (place, Some(time(at)?)),
            None => (place, None),
        };
        Ok(Self {
            datagrams: place.trim().parse()?,
            sent_at: sent_at.map(|at| Instant::ZERO + at),
            fault: fault.trim().parse()?,
        })
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}`: expected `SENDER→RECEIVER KIND #N` or `SENDER→RECEIVER KIND from #N`");
        let (sender, rest) = text
            .split_once('→')
            .or_else(|| text.split_once("->"))
            .ok_or_else(expected)?;
        let (rest, number) = rest.rsplit_once('#').ok_or_else(expected)?;
        let nth: u64 = number.trim().parse().map_err(|_| expected())?;
        if nth == 0 {
            return Err(format!("`{text}`: datagrams are numbered from 1"));
        }
        let rest = rest.trim();
        let (rest, onwards) = match rest.strip_suffix(" from") {
            Some(rest) => (rest.trim(), true),
            None => (rest, false),
        };
        let (receiver, kind) = rest.rsplit_once(' ').ok_or_else(expected)?;
        let [sender, receiver, kind] = [sender, receiver, kind].map(str::trim);
        if sender.is_empty() || receiver.is_empty() {
            return Err(expected());
        }
        Ok(Self {
            sender: sender.into(),
            receiver: receiver.into(),
            kind: if kind == NO_KIND {
                String::new()
            } else {
                kind.into()
            },
            nth,
            onwards,
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        Ok(match (word, rest) {
            ("drop", "") => Self::Drop,
            ("double", "") => Self::Double,
            ("swap", "") => Self::Swap,
            ("delay", rest) => match rest.strip_prefix("copy ") {
                Some(rest) => Self::DelayCopy(time(rest)?),
                None => Self::Delay(time(rest)?),
            },
            ("late", rest) => Self::Late(time(rest)?),
            ("hold", rest) => {
                let until = rest.strip_prefix("until ").ok_or("expected `hold until TIME`")?;
                Self::Hold(Instant::ZERO + time(until)?)
            }
            ("flip", rest) => flip(rest)?,
            ("rebind", rest) => {
                let parts = rest.rsplit_once(" to ");
                let (host, to) = parts.ok_or("expected `rebind HOST to ADDRESS:PORT`")?;
                let to = to
                    .trim()
                    .parse()
                    .map_err(|_| format!("`{to}` is not an address with a port, like `192.0.2.1:4000`"))?;
                Self::Rebind {
                    host: host.trim().into(),
                    to,
                }
            }
            ("crash", rest) => {
                let parts = rest.rsplit_once(" for ");
                let (host, down) = parts.ok_or("expected `crash HOST for TIME`")?;
                Self::Crash {
                    host: host.trim().into(),
                    down: time(down)?,
                }
            }
            _ => return Err(format!("`{text}` is not a fault{}", suggestion(text, &FAULTS))),
        })
    }
}

fn flip(text: &str) -> Result<Fault, String> {
    let number = text.strip_prefix("bit ").unwrap_or(text);
    let (number, copy) = match number.strip_suffix(" of copy") {
        Some(number) => (number, true),
        None => (number, false),
    };
    let bit = number
        .trim()
        .parse()
        .map_err(|_| format!("`flip {text}`: expected `flip bit N`"))?;
    Ok(if copy {
        Fault::FlipCopy(bit)
    } else {
        Fault::Flip(bit)
    })
}

fn time(text: &str) -> Result<Duration, String> {
    text.trim().parse::<Span>().map(|span| span.0)
}
