//! Texts about the inner hosts, and about the end of the faults, in the trace. The digest covers them.

use sandhog_netstack::{EventKind, Task, TcpOptions};

use crate::record::format_duration;
use crate::setup::ScriptStep;
use crate::values::Size;

/// The text for the end of all faults.
pub(crate) const FAULTS_OFF: &str = "all faults heal; a ping must pass";

/// Endings of texts in the trace, and plainer ones for the story. The digest covers the trace, so its texts stay as they are.
const ENDINGS: [(&str, &str); 6] = [
    (FAULTS_OFF, "all faults are switched off; a ping must pass"),
    (" are cut off from each other", " cannot reach each other"),
    (" until an answer comes", " until a reply arrives"),
    ("TCP connection stands", "TCP connection is established"),
    (" is right", " is correct"),
    (" were wanted", " were expected"),
];

/// The text of a record as the story shows it.
pub(crate) fn plain_text(text: &str) -> String {
    let plainer = ENDINGS
        .iter()
        .find_map(|(ending, plainer)| Some(text.strip_suffix(ending)?.to_owned() + plainer));
    plainer.unwrap_or_else(|| text.to_owned())
}

/// The number of the ping, if the text says that it has no reply.
pub(crate) fn unanswered_ping(text: &str) -> Option<u16> {
    let number = text.strip_prefix("ping ")?.strip_suffix(": no answer")?;
    number.parse().ok()
}

/// The text for the start of a task.
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
        Task::WithOptions { task, options } => format!("{}{}", task_begins(task), option_text(options)),
    }
}

/// The options of a TCP task that differ from an ordinary client.
fn option_text(options: &TcpOptions) -> String {
    let mut text = String::new();
    if let Some(rate) = options.read_rate {
        text += &format!(", reads at most {} a second", Size(rate));
    }
    if options.half_close {
        text += ", closes its half of the connection when it has sent everything";
    }
    if let Some(bytes) = options.reset_after {
        text += &format!(", resets the connection after {}", Size(bytes));
    }
    text
}

/// The result of a step: true for success, and the text.
pub(crate) fn task_ended(step: &ScriptStep, event: &EventKind) -> (bool, String) {
    let summary = match event {
        EventKind::Done(summary) => summary,
        EventKind::Failed(error) => return (false, format!("{} fails: {error}", name(&step.task))),
        _ => return (false, "has not ended".into()),
    };
    let time = format_duration(summary.elapsed);
    match &step.task {
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
                sha256.unwrap_or_else(|| ", then the client resets the connection".into())
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
        Task::WithOptions { task, .. } => name(task),
    }
}

fn short_hex(hash: &[u8; 32]) -> String {
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
