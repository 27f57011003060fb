//! JSON: the summary for scripts, the trace line by line, and the whole run for the page.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::inner;
use super::story::story_lines;
use crate::link::LinkConfig;
use crate::record::{Record, Value, What};
use crate::run::Run;
use crate::scenario::Scenario;

/// The one object that `run --json` prints.
#[must_use]
pub fn summary_json(scenario: &Scenario, run: &Run, wall: Duration) -> Json {
    json!({
        "scenario": scenario.name,
        "seed": run.seed,
        "engine": run.engine.name(),
        "digest": run.digest.to_string(),
        "passed": run.passed,
        "outcome": run.outcome,
        "sim_seconds": seconds(run.sim_time()),
        "wall_seconds": seconds(wall),
        "checks": checks(run),
        "counters": run.counters,
    })
}

/// Seconds as a JSON number with microseconds; only for people and scripts, never computed with.
fn seconds(time: Duration) -> Json {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    serde_json::from_str(&text).unwrap_or(Json::Null)
}

fn checks(run: &Run) -> Json {
    run.checks
        .iter()
        .map(|check| json!({ "name": check.name, "passed": check.passed, "detail": check.detail }))
        .collect()
}

/// The trace, one record a line (JSON Lines).
#[must_use]
pub fn trace_jsonl(run: &Run) -> String {
    let mut text = String::new();
    for record in &run.records {
        text.push_str(&Json::Object(record_json(run, record)).to_string());
        text.push('\n');
    }
    text
}

/// Everything that the page draws from, as one object.
#[must_use]
pub fn page_json(scenario: &Scenario, run: &Run) -> String {
    let servers = scenario
        .servers
        .iter()
        .map(|host| (&host.name, "server", host.address, &host.inner));
    let clients = scenario
        .clients
        .iter()
        .map(|host| (&host.name, "client", host.address, &host.inner));
    let nowhere = Vec::new();
    let adversaries = scenario
        .adversaries
        .iter()
        .map(|host| (&host.name, "adversary", host.address, &nowhere));
    let hosts: Vec<Json> = servers
        .chain(clients)
        .chain(adversaries)
        .map(|(name, role, address, inner)| json!({ "name": name, "role": role, "address": address, "inner": inner }))
        .collect();
    let story: Vec<Json> = story_lines(run)
        .into_iter()
        .map(|line| {
            let host = line.host.map(|host| run.host_name(Some(host)));
            json!({ "record": line.record, "at_ns": line.at.as_nanos(), "host": host, "text": line.text })
        })
        .collect();
    json!({
        "scenario": scenario.name,
        "title": scenario.title,
        "about": scenario.about,
        "seed": run.seed,
        "digest": run.digest.to_string(),
        "passed": run.passed,
        "outcome": run.outcome,
        "end_ns": run.end.as_nanos(),
        "hosts": hosts,
        "links": links(scenario),
        "records": run.records.iter().map(|record| Json::Object(record_json(run, record))).collect::<Vec<_>>(),
        "story": story,
        "checks": checks(run),
        "counters": run.counters,
    })
    .to_string()
}

fn links(scenario: &Scenario) -> Vec<Json> {
    let described = scenario.links.iter().map(|link| {
        let [forward, backward] = LinkConfig::of(link).map(|config| config.describe());
        let [a, b] = &link.between;
        let description = match (forward == backward, forward.is_empty()) {
            (true, true) => "perfect".to_owned(),
            (true, false) => forward,
            (false, _) => format!("{a} → {b}: {forward}; {b} → {a}: {backward}"),
        };
        json!({ "a": a, "b": b, "description": description })
    });
    described.collect()
}

fn record_json(run: &Run, record: &Record) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("id".into(), record.id.into());
    object.insert("at_ns".into(), record.at.as_nanos().into());
    object.insert(
        "host".into(),
        record
            .host
            .map_or(Json::Null, |host| run.host_name(Some(host)).into()),
    );
    object.insert(
        "cause".into(),
        if record.cause == 0 {
            Json::Null
        } else {
            record.cause.into()
        },
    );
    object.insert("what".into(), record.what.name().into());
    record.what.fields(|name, value| {
        let value = match value {
            Value::Number(number) => number.into(),
            Value::Text(text) => text.into(),
            Value::Flag(flag) => flag.into(),
            Value::Host(host) => host.map_or(Json::Null, |host| run.host_name(Some(host)).into()),
            Value::Print(print) => format!("{print:016x}").into(),
        };
        object.insert(name.into(), value);
    });
    if let (What::InnerOut { .. } | What::InnerIn { .. }, Some(packet)) =
        (&record.what, run.packet(record.id))
    {
        object.insert("summary".into(), inner::summary(packet).into());
    }
    object
}
