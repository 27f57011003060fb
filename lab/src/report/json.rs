//! JSON reports: summary for scripts, trace as JSON Lines, and the whole run for the page.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::story::story_lines;
use crate::inner_packet;
use crate::record::{Record, RecordKind, Value};
use crate::run::{Run, RunLink};

/// The summary of a run, which `run --json` prints.
#[must_use]
pub fn summary_json(run: &Run, wall: Duration) -> Json {
    json!({
        "scenario": run.name,
        "seed": run.seed,
        "engine": run.engine.name(),
        "digest": run.digest.to_string(),
        "passed": run.passed,
        "outcome": run.outcome,
        "checks_passed": run.checks.iter().filter(|check| check.passed && check.tested).count(),
        "checks_failed": run.checks.iter().filter(|check| !check.passed).count(),
        "checks_untested": run.checks.iter().filter(|check| check.passed && !check.tested).count(),
        "sim_seconds": seconds(run.sim_time()),
        "wall_seconds": seconds(wall),
        "checks": checks(run),
        "counters": run.counters,
    })
}

/// Seconds as a JSON number with microseconds, for reports only.
fn seconds(time: Duration) -> Json {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    serde_json::from_str(&text).unwrap_or(Json::Null)
}

fn checks(run: &Run) -> Json {
    run.checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name,
                "passed": check.passed,
                "tested": check.tested,
                "detail": check.detail,
            })
        })
        .collect()
}

/// The trace, one record per line (JSON Lines).
#[must_use]
pub fn trace_jsonl(run: &Run) -> String {
    let mut text = String::new();
    for record in &run.records {
        text.push_str(&Json::Object(record_json(run, record)).to_string());
        text.push('\n');
    }
    text
}

/// The input of the page, as one object.
#[must_use]
pub fn page_json(run: &Run) -> String {
    let hosts = run.hosts.iter().map(|host| {
        json!({ "name": host.name, "role": host.role.name(), "address": host.address, "inner": host.inner })
    });
    let hosts: Vec<Json> = hosts.collect();
    let story: Vec<Json> = story_lines(run)
        .into_iter()
        .map(|line| {
            let host = line.host.map(|host| run.host_name(Some(host)));
            json!({ "record": line.record, "at_ns": line.at.as_nanos(), "host": host, "text": line.text })
        })
        .collect();
    json!({
        "scenario": run.name,
        "title": run.title,
        "about": run.about,
        "seed": run.seed,
        "digest": run.digest.to_string(),
        "passed": run.passed,
        "outcome": run.outcome,
        "end_ns": run.end.as_nanos(),
        "hosts": hosts,
        "links": links(run),
        "records": run.records.iter().map(|record| Json::Object(record_json(run, record))).collect::<Vec<_>>(),
        "story": story,
        "checks": checks(run),
        "counters": run.counters,
    })
    .to_string()
}

fn links(run: &Run) -> Vec<Json> {
    let link = |link: &RunLink| {
        let [a, b] = [link.a, link.b].map(|host| run.host_name(Some(host)));
        json!({ "a": a, "b": b, "description": link.description })
    };
    run.links.iter().map(link).collect()
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
    object.insert("what".into(), record.kind.name().into());
    record.kind.fields(|name, value| {
        let value = match value {
            Value::Number(number) => number.into(),
            Value::Text(text) => text.into(),
            Value::Flag(flag) => flag.into(),
            Value::Host(host) => host.map_or(Json::Null, |host| run.host_name(Some(host)).into()),
            Value::Fingerprint(fingerprint) => format!("{fingerprint:016x}").into(),
        };
        object.insert(name.into(), value);
    });
    if let (RecordKind::InnerOut { .. } | RecordKind::InnerIn { .. }, Some(packet)) =
        (&record.kind, run.packet(record.id))
    {
        object.insert("summary".into(), inner_packet::summary(packet).into());
    }
    object
}
