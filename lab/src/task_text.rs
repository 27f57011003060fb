//! The sentences in which a run tells what inner hosts do; they are part of the trace.

use sandhog_netstack::{EventKind, Task};

use crate::record::in_words;
use crate::setup::ScriptStep;
use crate::values::Size;

/// What begins.
pub(crate) fn task_begins(task: &Task) -> String {
    match task {
        Task::Ping {
            to, count: u16::MAX, ..
        } => format!("pings {to} until an answer comes"),
        Task::Ping { to, count: 1, .. } => format!("pings {to} once"),
        Task::Ping { to, count, .. } => format!("pings {to} {count} times"),
        Task::UdpEcho { to, count, .. } => format!("sends {count} UDP datagrams to the echo port {to}"),
        Task::Download { from, bytes } => format!("downloads {} from {from} over TCP", Size(*bytes)),
        Task::Upload { to, bytes } => format!("uploads {} to {to} over TCP", Size(*bytes)),
        Task::HttpGet { from, path } => format!("gets http://{from}{path}"),
    }
}

/// How a step ended: whether it was a success, and in words.
pub(crate) fn task_ended(step: &ScriptStep, event: &EventKind) -> (bool, String) {
    let summary = match event {
        EventKind::Done(summary) => summary,
        EventKind::Failed(error) => return (false, format!("{} fails: {error}", name(&step.task))),
        _ => return (false, "has not ended".into()),
    };
    let time = in_words(summary.elapsed);
    match step.task {
        Task::Ping { .. } | Task::UdpEcho { .. } => {
            let succeeded = summary.received >= step.replies;
            let text = format!(
                "{}: {} of {} answered",
                name(&step.task),
                summary.received,
                summary.sent
            );
            let missing = if succeeded {
                String::new()
            } else {
                format!(", {} were wanted", step.replies)
            };
            (succeeded, text + &missing)
        }
        _ => {
            let sha256 = summary
                .sha256
                .map(|hash| format!(", SHA-256 {}… is right", short_hex(&hash)));
            let text = format!(
                "{}: {} in {time}{}",
                name(&step.task),
                Size(summary.bytes),
                sha256.unwrap_or_default()
            );
            (true, text)
        }
    }
}

fn name(task: &Task) -> &'static str {
    match task {
        Task::Ping { .. } => "ping",
        Task::UdpEcho { .. } => "echo",
        Task::Download { .. } => "download",
        Task::Upload { .. } => "upload",
        Task::HttpGet { .. } => "get",
    }
}

fn short_hex(hash: &[u8; 32]) -> String {
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
