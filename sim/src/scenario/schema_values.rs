//! Patterns and ranges of the JSON Schema. They use only regular expressions that ECMA-262 and Rust share.

use serde_json::{Value, json};

/// Constraint on the value of a key.
pub(super) enum Constraint {
    /// A text matches this pattern.
    Pattern(&'static str),
    /// A number is in this range.
    Range(u64, u64),
    /// Each text of a list matches this pattern, and the list has this number of entries.
    Each(&'static str, u64, u64),
    /// A list has at least one entry.
    NotEmpty,
}

impl Constraint {
    /// The keywords of the schema.
    pub(super) fn keywords(&self) -> Value {
        match self {
            Self::Pattern(pattern) => json!({ "pattern": pattern }),
            Self::Range(min, max) => json!({ "minimum": min, "maximum": max }),
            Self::Each(pattern, min, max) => {
                json!({ "items": { "pattern": pattern }, "minItems": min, "maxItems": max })
            }
            Self::NotEmpty => json!({ "minItems": 1 }),
        }
    }
}

use Constraint::{Each, NotEmpty, Pattern, Range};

macro_rules! ipv4 {
    () => {
        r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}

/// RFC 4291, section 2.2. `h` is a group of up to four hex digits.
macro_rules! ipv6 {
    () => {
        ipv6!(r"[0-9A-Fa-f]{1,4}")
    };
    ($h:literal) => {
        concat!(
            "((",
            $h,
            ":){7}",
            $h,
            "|(",
            $h,
            ":){1,7}:",
            "|(",
            $h,
            ":){1,6}:",
            $h,
            "|(",
            $h,
            ":){1,5}(:",
            $h,
            "){1,2}",
            "|(",
            $h,
            ":){1,4}(:",
            $h,
            "){1,3}",
            "|(",
            $h,
            ":){1,3}(:",
            $h,
            "){1,4}",
            "|(",
            $h,
            ":){1,2}(:",
            $h,
            "){1,5}",
            "|",
            $h,
            ":(:",
            $h,
            "){1,6}",
            "|:((:",
            $h,
            "){1,7}|:)",
            "|(",
            $h,
            ":){6}",
            ipv4!(),
            "|((",
            $h,
            ":){1,5}|:)(:",
            $h,
            "){0,4}:",
            ipv4!(),
            ")"
        )
    };
}

/// A port from 1 to 65535.
macro_rules! port {
    () => {
        "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    };
}

macro_rules! socket {
    () => {
        concat!("(", ipv4!(), "|\\[", ipv6!(), "(%[0-9]{1,10})?\\]):", port!())
    };
}

macro_rules! name {
    () => {
        "[A-Za-z0-9_-]{1,32}"
    };
}

const IP: &str = concat!("^(", ipv4!(), "|", ipv6!(), ")$");
const PREFIX: &str = concat!(
    "^(",
    ipv4!(),
    "/(3[0-2]|[12]?[0-9])|",
    ipv6!(),
    "/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
);
const SOCKET: &str = concat!("^", socket!(), "$");
const NAME: &str = concat!("^", name!(), "$");
const SOURCE: &str = concat!("^(", name!(), "|", socket!(), ")$");
const SPEAK_SOURCE: &str = "^(own|random)$";
/// Text without control characters.
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]*$";
const PARAGRAPH: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]*$";
const LOGIN: &str = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]+$";
const FILE: &str = r"^[^/\\\u0000-\u001f\u007f-\u009f][^\\\u0000-\u001f\u007f-\u009f]*$";
const HTTP_PATH: &str = "^/[!-~]*$";
const CLOCK: &str = r"^(right|none|[+-]\s*[0-9]{1,18}(\.[0-9]{0,9})?\s*(ns|us|ms|s|min|h)\s*)$";
const SET_CLOCK: &str = r"^(right|[+-]\s*[0-9]{1,18}(\.[0-9]{0,9})?\s*(ns|us|ms|s|min|h)\s*)$";
const BYTES: &str = "^(random|copied-header|([0-9A-Fa-f]{2})+)$";

/// The largest number of the type `u64`.
const MANY: u64 = u64::MAX;
const PORT: Constraint = Range(1, 65_535);
const U32: u64 = 4_294_967_295;

/// Table, key and constraint. The table of the scenario itself has no name.
pub(super) const CONSTRAINTS: &[(&str, &str, Constraint)] = &[
    ("", "title", Pattern(LINE)),
    ("", "about", Pattern(PARAGRAPH)),
    ("", "seed", Range(0, MANY)),
    ("", "server", NotEmpty),
    ("Server", "name", Pattern(NAME)),
    ("Server", "address", Pattern(SOCKET)),
    ("Server", "inner", Each(PREFIX, 1, 4)),
    ("Server", "mtu", Range(576, 9000)),
    ("Server", "clock", Pattern(CLOCK)),
    ("User", "login", Pattern(LOGIN)),
    ("User", "addresses", Each(IP, 0, MANY)),
    ("Serve", "udp-echo", PORT),
    ("Serve", "bulk", PORT),
    ("Serve", "http", PORT),
    ("Serve", "files", Each(FILE, 0, MANY)),
    ("Serve", "connections", Range(1, 10_000)),
    ("Client", "name", Pattern(NAME)),
    ("Client", "address", Pattern(SOCKET)),
    ("Client", "inner", Each(PREFIX, 0, 4)),
    ("Client", "mtu", Range(576, 9000)),
    ("Client", "clock", Pattern(CLOCK)),
    ("Client", "server", Pattern(NAME)),
    ("Client", "login", Pattern(LINE)),
    ("Ping", "to", Pattern(IP)),
    ("Ping", "count", Range(1, 65_535)),
    ("Ping", "size", Range(0, 1300)),
    ("Echo", "to", Pattern(SOCKET)),
    ("Echo", "count", Range(1, 65_535)),
    ("Echo", "size", Range(24, 1300)),
    ("Download", "from", Pattern(SOCKET)),
    ("Upload", "to", Pattern(SOCKET)),
    ("Get", "from", Pattern(SOCKET)),
    ("Get", "path", Pattern(HTTP_PATH)),
    ("Link", "between", Each(NAME, 2, 2)),
    ("Link", "limit", Range(1, U32)),
    ("Link", "mtu", Range(29, 65_535)),
    ("Direction", "limit", Range(1, U32)),
    ("Direction", "mtu", Range(29, 65_535)),
    ("Pick", "nth", Range(1, MANY)),
    ("TimedEvent", "times", Range(1, U32)),
    ("TimedEvent", "crash", Pattern(NAME)),
    ("TimedEvent", "restart", Pattern(NAME)),
    ("TimedEvent", "partition", Each(NAME, 2, 2)),
    ("TimedEvent", "repair", Each(NAME, 2, 2)),
    ("TimedEvent", "stop", Pattern(NAME)),
    ("TimedEvent", "start", Pattern(NAME)),
    ("TimedEvent", "sleep", Pattern(NAME)),
    ("TimedEvent", "wake", Pattern(NAME)),
    ("TimedEvent", "network-changed", Pattern(NAME)),
    ("TimedEvent", "rebind", Pattern(NAME)),
    ("TimedEvent", "to", Pattern(SOCKET)),
    ("AccountChange", "server", Pattern(NAME)),
    ("AccountChange", "login", Pattern(LOGIN)),
    ("PasswordChange", "client", Pattern(NAME)),
    ("ClockChange", "of", Pattern(NAME)),
    ("ClockChange", "becomes", Pattern(SET_CLOCK)),
    ("Adversary", "name", Pattern(NAME)),
    ("Adversary", "address", Pattern(SOCKET)),
    ("Adversary", "on-path", Each(NAME, 2, 2)),
    ("Adversary", "budget", Range(0, MANY)),
    ("Adversary", "seed", Range(0, MANY)),
    ("Inject", "to", Pattern(NAME)),
    ("Inject", "from", Pattern(SOURCE)),
    ("Inject", "bytes", Pattern(BYTES)),
    ("Inject", "size", Range(0, 9000)),
    ("Inject", "count", Range(1, MANY)),
    ("Replay", "nth", Range(1, MANY)),
    ("Replay", "by", Pattern(NAME)),
    ("Replay", "to", Pattern(NAME)),
    ("Replay", "from", Pattern(SOURCE)),
    ("Replay", "count", Range(1, MANY)),
    ("Alter", "nth", Range(1, MANY)),
    ("Alter", "by", Pattern(NAME)),
    ("Alter", "bit", Range(0, MANY)),
    ("Reflect", "nth", Range(1, MANY)),
    ("Reflect", "by", Pattern(NAME)),
    ("Flood", "to", Pattern(NAME)),
    ("Flood", "from", Pattern(SOURCE)),
    ("Flood", "size", Range(0, 9000)),
    ("Flood", "rate", Range(1, U32)),
    ("Speak", "to", Pattern(NAME)),
    ("Speak", "login", Pattern(LOGIN)),
    ("Speak", "from", Pattern(SPEAK_SOURCE)),
    ("Speak", "count", Range(1, MANY)),
    ("Expectation", "client", Pattern(NAME)),
];
