//! Values of scenario files: the parser and the JSON Schema accept the same ones.

use std::sync::LazyLock;

use sandhog_sim::{Scenario, builtin};
use serde_json::Value;

use crate::json_schema::accepts;
use crate::support::parse;

/// A scenario with every table.
const EVERYTHING: &str = r#"
title = "every table"
duration = "60s"

[[server]]
name = "server"
address = "192.0.2.1:4000"
inner = ["10.9.0.1/24"]
serve = { udp-echo = 7, bulk = 5001, http = 80 }
user = [{ login = "alice", password = "correct horse", addresses = ["10.9.0.2"] }]

[[client]]
name = "alice"
address = "198.51.100.2:50000"
inner = ["10.9.0.2/24"]
server = "server"
login = "alice"
password = "correct horse"
do = [
  { ping = { to = "10.9.0.1" } },
  { echo = { to = "10.9.0.1:7" } },
  { download = { from = "10.9.0.1:5001", bytes = "1 MiB" } },
  { upload = { to = "10.9.0.1:5001", bytes = "1 MiB" } },
  { get = { from = "10.9.0.1:80", path = "/a.txt" } },
]

[[link]]
between = ["alice", "server"]
rate = "10mbit"
forward = { drop = [{ kind = "data", nth = 1000 }], late = [{ nth = 2000, by = "1s" }] }

[[event]]
at = "1s"
crash = "server"

[[event]]
at = "2s"
rebind = "alice"
to = "203.0.113.80:61000"

[[event]]
at = "3s"
account = { server = "server", login = "alice", becomes = "disabled" }

[[event]]
at = "4s"
clock = { of = "alice", becomes = "+1h" }

[[event]]
at = "5s"
passwd = { client = "alice", password = "battery staple" }

[[adversary]]
name = "mallory"
address = "203.0.113.66:666"
on-path = ["alice", "server"]
budget = 100
do = [
  { inject = { to = "server" } },
  { replay = { kind = "data" } },
  { alter = { kind = "data" } },
  { reflect = { kind = "data" } },
  { flood = { to = "server", rate = 10, for = "1s" } },
]

[[adversary]]
name = "trudy"
address = "203.0.113.67:666"
budget = 100
do = [{ speak = { to = "server", as = "key-holder" } }]

[[expect]]
client = "alice"
outcome = "connected"
"#;

/// The scenario with one value set. The numbers in `path` are positions in lists.
fn with(path: &str, value: &str) -> toml::Table {
    let mut table: toml::Table = EVERYTHING.parse().unwrap();
    let value = format!("value = {value}").parse::<toml::Table>().unwrap()["value"].clone();
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut place: Option<&mut toml::Value> = None;
    for part in parent.split('.').filter(|part| !part.is_empty()) {
        let next = match (place, part.parse::<usize>()) {
            (None, _) => table.get_mut(part),
            (Some(list), Ok(index)) => list.get_mut(index),
            (Some(table), Err(_)) => table.get_mut(part),
        };
        place = Some(next.unwrap_or_else(|| panic!("{path}: there is no {part}")));
    }
    match (place, key.parse::<usize>()) {
        (None, _) => drop(table.insert(key.into(), value)),
        (Some(toml::Value::Array(list)), Ok(index)) => list[index] = value,
        (Some(toml::Value::Table(inner)), _) => drop(inner.insert(key.into(), value)),
        _ => panic!("{path}"),
    }
    table
}

/// The results of the parser and of the schema: true for an accepted scenario.
fn results(table: &toml::Table) -> (Result<(), String>, bool) {
    let parsed = parse(&toml::to_string(table).unwrap());
    static SCHEMA: LazyLock<Value> = LazyLock::new(Scenario::schema);
    let fits = accepts(&SCHEMA, &serde_json::to_value(table).unwrap());
    (parsed.map(|_| ()).map_err(|error| error.message), fits)
}

const WRONG: &[(&str, &[&str])] = &[
    ("title", &["\"a \\u001b[31m title\"", "\"two\\nlines\"", "7"]),
    ("about", &["\"a \\u001b[31m text\""]),
    (
        "duration",
        &[
            "\"30\"",
            "30",
            "\"-5s\"",
            "\"5 minutes\"",
            "\"\"",
            "\"1.5.2s\"",
            "\"1e3ms\"",
            "\"ms\"",
            "[1]",
        ],
    ),
    ("seed", &["-1", "1.5", "\"7\""]),
    ("profile", &["\"secrue\""]),
    ("ends-early", &["\"yes\"", "1"]),
    (
        "server.0.name",
        &["\"\"", "\"two words\"", "\"123456789012345678901234567890123\""],
    ),
    (
        "server.0.address",
        &[
            "\"192.0.2.1\"",
            "\"192.0.2.256:1\"",
            "\"host:1\"",
            "\"[::1]\"",
            "\"192.0.2.1:65536\"",
            "\"192.0.2.1:0\"",
        ],
    ),
    (
        "client.0.address",
        &["\"[1:2:3:4:5:6:7:8:9]:1\"", "\"[::1::2]:1\"", "\"::1:1\""],
    ),
    (
        "server.0.inner",
        &[
            "[]",
            "[\"10.9.0.1\"]",
            "[\"10.9.0.1/33\"]",
            "[\"fd00::1/129\"]",
            "\"10.9.0.1/24\"",
        ],
    ),
    ("server.0.mtu", &["575", "9001", "\"1420\""]),
    (
        "server.0.user.0.addresses",
        &["[\"10.9.0.2/24\"]", "[\"10.9.0\"]"],
    ),
    ("server.0.serve.bulk", &["0", "65536", "-1"]),
    ("server.0.serve.connections", &["0", "10001"]),
    ("client.0.cipher", &["\"aes\""]),
    (
        "client.0.do.0.ping.to",
        &["\"10.9.0.1:7\"", "\"10.9.0.256\"", "\"server\""],
    ),
    ("client.0.do.0.ping.count", &["0", "65536"]),
    ("client.0.do.0.ping.size", &["1301"]),
    ("client.0.do.1.echo.size", &["23"]),
    ("client.0.do.1.echo.to", &["\"10.9.0.1\"", "\"10.9.0.1:0\""]),
    (
        "client.0.do.2.download.bytes",
        &["\"10 MiBs\"", "-1", "\"1 TiB\"", "\"many\""],
    ),
    (
        "client.0.do.2.download.read-rate",
        &["\"fast\"", "1000", "\"10 kB\""],
    ),
    (
        "client.0.do.4.get.path",
        &["\"a.txt\"", "\"/a b\"", "\"/\\u001b\""],
    ),
    (
        "link.0.delay",
        &["\"30\"", "\"30ms 10ms 25% 1\"", "\"30 ms\"", "\"fast\"", "5"],
    ),
    (
        "link.0.loss",
        &[
            "\"2\"",
            "1.2",
            "\"101%\"",
            "\"-1%\"",
            "\"random\"",
            "\"2% 25% 3%\"",
            "\"2 %\"",
            "\"gemodel 1% 20%\"",
        ],
    ),
    ("link.0.rate", &["\"0mbit\"", "100", "\"100MBit\"", "\"0.0kbit\""]),
    ("link.0.limit", &["0", "-1"]),
    ("link.0.mtu", &["0", "28"]),
    ("link.0.between", &["[\"alice\"]", "[\"alice\", \"\"]"]),
    ("link.0.forward.drop.0.nth", &["0"]),
    ("link.0.forward.drop.0.kind", &["\"logon\""]),
    ("event.0.crash", &["\"the server\""]),
    ("event.1.to", &["\"203.0.113.80\""]),
    ("event.2.account.becomes", &["\"gone\""]),
    (
        "event.3.clock.becomes",
        &["\"none\"", "\"1h\"", "\"+1\"", "\"wrong\""],
    ),
    ("client.0.clock", &["\"25s\"", "\"+\"", "\"\""]),
    ("server.0.checks-clock", &["\"yes\"", "0"]),
    ("adversary.0.budget", &["-1"]),
    ("adversary.0.do.0.inject.bytes", &["\"0g\"", "\"abc\"", "\"\""]),
    (
        "adversary.0.do.0.inject.from",
        &["\"not a host\"", "\"10.9.0.1:99999\""],
    ),
    ("adversary.0.do.0.inject.size", &["9001"]),
    ("adversary.0.do.2.alter.chance", &["\"2\""]),
    ("adversary.0.do.4.flood.rate", &["0"]),
    ("adversary.1.do.0.speak.as", &["\"holder\""]),
    ("adversary.1.do.0.speak.from", &["\"alice\"", "\"192.0.2.9:53\""]),
    ("adversary.1.do.0.speak.count", &["0"]),
    ("adversary.1.do.0.speak.withhold", &["[\"ke4\"]", "\"ke3\""]),
    ("expect.0.outcome", &["\"conected\""]),
    ("expect.0.or", &["\"rejected\""]),
    ("expect.0.finally", &["\"up\""]),
];

#[test]
fn the_parser_and_the_schema_refuse_the_same_wrong_values() {
    let mut count = 0;
    for (path, values) in WRONG {
        for value in *values {
            let (parsed, fits) = results(&with(path, value));
            assert!(parsed.is_err(), "the parser accepts {path} = {value}");
            assert!(!fits, "the schema accepts {path} = {value}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

const RIGHT: &[(&str, &[&str])] = &[
    ("title", &["\"Ünïcode → 東京\""]),
    ("about", &["\"two\\nlines\\tand a tab\"", "\"\""]),
    (
        "duration",
        &[
            "\"100s\"",
            "\"1.5min\"",
            "\" 90 s \"",
            "\"90000000000ns\"",
            "\"1h\"",
            "\"90000000µs\"",
        ],
    ),
    ("liveness", &["0", "\"0\"", "\"10s\""]),
    (
        "server.0.inner",
        &["[\"10.9.0.1/24\", \"fd00::1/64\"]", "[\"10.9.0.1/30\"]"],
    ),
    (
        "server.0.address",
        &["\"255.255.255.255:65535\"", "\"192.0.2.1:1\""],
    ),
    (
        "adversary.0.address",
        &[
            "\"[::]:1\"",
            "\"[::1]:1\"",
            "\"[1::]:1\"",
            "\"[2001:db8::1]:4000\"",
            "\"[1:2:3:4:5:6:7:8]:1\"",
            "\"[1:2:3:4:5:6:7::]:1\"",
            "\"[::ffff:192.0.2.1]:1\"",
            "\"[fe80::1%5]:1\"",
            "\"[64:ff9b::192.0.2.1]:1\"",
        ],
    ),
    ("server.0.serve.connections", &["1", "10000"]),
    ("client.0.do.0.ping.to", &["\"fd00::1\""]),
    (
        "client.0.do.2.download.bytes",
        &["512", "\"1500 B\"", "\"10 kB\"", "\"1.5 MiB\"", "\"2GiB\""],
    ),
    ("client.0.do.2.download.read-rate", &["\"80kbit\"", "\"0.5mbit\""]),
    (
        "link.0.delay",
        &[
            "0",
            "\"0s\"",
            "\"30ms\"",
            "\"30ms 10ms\"",
            "\"30ms 10ms 25%\"",
            "\"1.5s 0 0.25\"",
        ],
    ),
    (
        "link.0.loss",
        &[
            "0",
            "1",
            "0.02",
            "\"2%\"",
            "\"0.02\"",
            "\"random 2%\"",
            "\"2% 25%\"",
            "\"100%\"",
            "\"0%\"",
            "\"2.5%\"",
        ],
    ),
    (
        "link.0.rate",
        &[
            "\"100mbit\"",
            "\"1.5gbit\"",
            "\"64kbit\"",
            "\"1bit\"",
            "\"0.064mbit\"",
        ],
    ),
    ("link.0.mtu", &["29", "65535"]),
    ("event.1.to", &["\"203.0.113.80:1\""]),
    (
        "adversary.0.do.0.inject.bytes",
        &["\"random\"", "\"copied-header\"", "\"00ffAB\""],
    ),
    (
        "adversary.0.do.0.inject.from",
        &["\"own\"", "\"random\"", "\"alice\"", "\"192.0.2.9:53\""],
    ),
    ("adversary.1.do.0.speak.from", &["\"own\"", "\"random\""]),
    ("adversary.1.do.0.speak.withhold", &["[]", "[\"ke3\", \"data\"]"]),
    ("event.2.account.becomes", &["\"expired\""]),
    ("event.3.clock.becomes", &["\"right\"", "\"-1.5min\""]),
    ("client.0.clock", &["\"none\"", "\"-3ms\""]),
    ("server.0.checks-clock", &["false"]),
    ("expect.0.or", &["\"authentication-rejected\""]),
];

#[test]
fn the_parser_and_the_schema_accept_the_same_right_values() {
    for (path, values) in RIGHT {
        for value in *values {
            let (parsed, fits) = results(&with(path, value));
            assert_eq!(parsed, Ok(()), "the parser refuses {path} = {value}");
            assert!(fits, "the schema refuses {path} = {value}");
        }
    }
}

#[test]
fn the_schema_accepts_every_builtin_scenario() {
    let schema = Scenario::schema();
    for builtin in builtin::ALL {
        let table: toml::Table = builtin.source.parse().unwrap();
        assert!(
            accepts(&schema, &serde_json::to_value(table).unwrap()),
            "{}",
            builtin.name
        );
    }
}

/// A key with its default from a table of `docs/scenarios.md`: heading of the table, key, default.
fn documented_defaults() -> Vec<(String, String, String)> {
    let page = include_str!("../../docs/scenarios.md");
    let section = page.split_once("## Every key").unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let (mut heading, mut has_defaults, mut found) = (String::new(), false, Vec::new());
    for line in section.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            heading = title.trim_matches('`').to_owned();
        }
        if line.starts_with("| key |") {
            has_defaults = line.contains("| default |");
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [keys, _, defaults, _] = cells[..] else {
            continue;
        };
        if !has_defaults {
            continue;
        }
        let keys: Vec<&str> = keys.split('`').skip(1).step_by(2).collect();
        // One default for all keys, or one for each key.
        let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
        let each: Vec<Option<String>> = defaults.split(", ").map(quoted).collect();
        for (position, key) in keys.iter().enumerate() {
            let default = match each.len() == keys.len() {
                true => each[position].clone(),
                false => quoted(defaults),
            };
            found.extend(default.map(|default| (heading.clone(), (*key).to_owned(), default)));
        }
    }
    found
}

/// The place in the scenario of a key of the table with this heading.
fn place(heading: &str, key: &str) -> String {
    let step = |name: &str| match name {
        "ping" => 0,
        "echo" => 1,
        "download" => 2,
        "upload" => 3,
        _ => 4,
    };
    let act = |name: &str| match name {
        "inject" => 0,
        "replay" => 1,
        "alter" => 2,
        "reflect" => 3,
        _ => 4,
    };
    let table = key.split_once('.').map(|(table, _)| table);
    match (heading, table) {
        ("[[server]]", _) => format!("server.0.{key}"),
        ("[[client]]", _) => format!("client.0.{key}"),
        ("[[client.do]]", Some(table)) => format!("client.0.do.{}.{key}", step(table)),
        ("[[client.do]]", None) => format!("client.0.do.0.{key}"),
        ("[[link]]", Some("backward")) => "link.0.backward".into(),
        ("[[link]]", _) => format!("link.0.{key}"),
        ("[[adversary]]", Some("speak")) => format!("adversary.1.do.0.{key}"),
        ("[[adversary]]", Some(table)) => format!("adversary.0.do.{}.{key}", act(table)),
        ("[[adversary]]", None) => format!("adversary.0.{key}"),
        ("[[expect]]", _) => format!("expect.0.{key}"),
        _ => key.to_owned(),
    }
}

#[test]
fn every_documented_default_is_accepted_when_it_is_written_out() {
    let defaults = documented_defaults();
    assert!(defaults.len() > 40, "{}: {defaults:?}", defaults.len());
    for (heading, key, default) in defaults {
        let value = match key.strip_prefix("backward.") {
            Some(list) => format!("{{ {list} = {default} }}"),
            None => default,
        };
        let place = place(&heading, &key);
        let (parsed, fits) = results(&with(&place, &value));
        assert_eq!(parsed, Ok(()), "{place} = {value}");
        assert!(fits, "the schema refuses {place} = {value}");
    }
}

#[test]
fn one_injected_datagram_needs_no_interval() {
    let mut table = with("resolution", "\"10ms\"");
    assert_eq!(results(&table), (Ok(()), true));
    table = with("adversary.0.do.0.inject.count", "2");
    table.insert("resolution".into(), "10ms".into());
    let message = "`every` must be at least the resolution".to_owned();
    assert_eq!(results(&table), (Err(message), true));
}

#[test]
fn every_default_of_the_schema_fits_its_own_constraints() {
    let schema = Scenario::schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for table in definitions.chain([&schema]) {
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            let Some(default) = property.get("default") else {
                continue;
            };
            let mut part = property.clone();
            part["$defs"] = schema["$defs"].clone();
            assert!(accepts(&part, default), "{key} = {default}");
            assert_ne!(default, &Value::Null, "{key}");
        }
    }
}
