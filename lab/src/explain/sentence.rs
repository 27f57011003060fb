//! Sentences about the rows of a trace.

use serde_json::Value;

use super::rows::Row;

/// A row in one line: number, time, host, kind and the fields that carry meaning.
pub(super) fn line(row: &Row) -> String {
    let micros = row.at.as_micros();
    let host = row.host.as_deref().unwrap_or("-");
    let time = format!("{}.{:06} s", micros / 1_000_000, micros % 1_000_000);
    format!("record {}  {time}  {host}  {}", row.id, text(row))
}

/// Kind and fields of a row.
pub(super) fn text(row: &Row) -> String {
    let field = |name: &str| row.fields.get(name).map(plain).unwrap_or_default();
    match row.what.as_str() {
        "sent" => format!(
            "sent {} #{} to {} ({} bytes)",
            field("kind"),
            field("nth"),
            field("to"),
            field("len")
        ),
        "received" => format!(
            "received {} from {} ({} bytes)",
            field("kind"),
            field("from"),
            field("len")
        ),
        "flight" => {
            let due = row
                .fields
                .get("due_ns")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            let delay = due.saturating_sub(row.at.as_nanos()) / 1000;
            let copy = if field("copy") == "0" {
                ""
            } else {
                ", the duplicate"
            };
            let corrupted = if field("corrupted") == "true" {
                ", with a flipped bit"
            } else {
                ""
            };
            format!(
                "in flight to {} for {}.{:03} ms{copy}{corrupted}",
                field("to"),
                delay / 1000,
                delay % 1000
            )
        }
        what => {
            let values = row
                .fields
                .iter()
                .filter(|(name, _)| *name != "print")
                .map(|(_, value)| plain(value));
            let values: Vec<String> = values.filter(|value| !value.is_empty()).collect();
            format!("{what} {}", values.join(" ")).trim_end().to_owned()
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The meaning of the reason of a loss or timer.
pub(super) fn reason(row: &Row) -> Option<&'static str> {
    let reason = row.fields.get("reason").and_then(Value::as_str)?;
    Some(match (row.what.as_str(), reason) {
        ("lost", "random") => "The link lost it at random.",
        ("lost", "scripted") => "The scenario drops this datagram.",
        ("lost", "mtu") => "It was larger than the MTU of the link.",
        ("lost", "queue-full") => "The queue of the rate limit was full.",
        ("lost", "partition") => "The two hosts were cut off from each other.",
        ("lost", "host-down") => "The receiver was down.",
        ("lost", "no-host") => "No host had the destination address at that time.",
        ("lost", "intercepted") => "An adversary intercepted it.",
        ("lost", "too-long") => "UDP cannot carry a payload of this length.",
        ("timer", "repeat") => "A request had no reply yet, so the retransmit timer was due.",
        ("timer", "login-deadline") => "The login was not complete within its timeout.",
        ("timer", "reconnect") => "The delay before the next login was over.",
        ("timer", "rekey") => "The rekey interval was over.",
        ("timer", "keepalive") => "Nothing was sent for the keepalive interval.",
        ("timer", "probe") => "Sent packets had no reply, so the peer probes the other side.",
        ("timer", "dead") => "Sent packets and probes had no reply, so the session ends.",
        ("timer", "idle") => "The session was idle for its timeout.",
        ("timer", "half-open") => "A login did not finish within its timeout.",
        ("timer", "inner-host") => "A timer of the host inside the tunnel was due.",
        _ => return None,
    })
}
