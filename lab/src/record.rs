//! Records of a run: typed entries of the trace, and their canonical bytes for the digest.

use std::time::Duration;

use sandhog_peer::Instant;

/// The number of a host: its position in the setup. The numbers of adversaries follow those of the hosts.
pub type HostId = u16;

/// The number of a record, from 1. 0 means "no record".
pub type RecordId = u64;

/// One entry of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The number, from 1.
    pub id: RecordId,
    /// Simulated time.
    pub at: Instant,
    /// The host. `None` for the laboratory itself.
    pub host: Option<HostId>,
    /// The record that caused it, or 0.
    pub cause: RecordId,
    /// The kind of record, with its details.
    pub kind: RecordKind,
}

/// The kind of a [`Record`], with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The host booted.
    Boot {
        /// Number of earlier boots of the host.
        boot: u32,
    },
    /// The laboratory changed hosts or links.
    Fault {
        /// A sentence.
        text: String,
    },
    /// The tunnel's user gave a command.
    Command {
        /// Its name.
        command: &'static str,
    },
    /// An event that only the peer's protocol defines.
    Event {
        /// Its name.
        event: &'static str,
    },
    /// A deadline was due.
    Timer {
        /// The peer's reason for the deadline.
        reason: &'static str,
    },
    /// The tunnel's status changed.
    Status {
        /// Its name.
        status: &'static str,
    },
    /// `start` completed.
    Started {
        /// `connected`, or the name of the error.
        result: &'static str,
    },
    /// A server accepted a login.
    LoggedIn {
        /// The user name.
        login: String,
        /// The client.
        from: Option<HostId>,
    },
    /// A server refused a login.
    LoginRefused {
        /// The sender.
        from: Option<HostId>,
    },
    /// The other side of a session moved to another address.
    Roamed {
        /// The old address.
        from: String,
        /// The new address.
        to: String,
    },
    /// A tunnel received other settings.
    SettingsChanged,
    /// A new login of a tunnel failed. The client will retry.
    Retrying {
        /// The name of the error.
        error: &'static str,
    },
    /// The peer starts to seal with new keys.
    Rekeyed {
        /// Number of the epoch.
        epoch: u32,
    },
    /// A session of a server ended.
    SessionEnded {
        /// The user name.
        login: String,
        /// The name of the reason.
        reason: &'static str,
    },
    /// The laboratory changed the outer address of the host.
    Rebound {
        /// The new address.
        to: String,
    },
    /// An adversary attacks. The record causes a `Sent`. Its own cause is the `Sent` of the captured datagram, or the `Received`
    /// of the datagram that an endpoint answers, if any.
    Attack {
        /// The attack: `inject`, `flood`, `replay`, `alter`, `reflect` or `speak`.
        act: &'static str,
        /// The source address of the forged datagram.
        source: String,
    },
    /// The peer dropped a datagram or packet.
    Dropped {
        /// The name of the reason.
        reason: &'static str,
    },
    /// A host or adversary sent an outer datagram.
    Sent {
        /// The receiver. `None` if no host has the address.
        to: Option<HostId>,
        /// Message kind.
        kind: &'static str,
        /// Number among the datagrams of its kind on this link direction, from 1.
        nth: u64,
        /// Length of the UDP payload in bytes.
        len: u64,
        /// The first 8 bytes of the payload's SHA-256.
        fingerprint: u64,
    },
    /// A datagram or a copy of it did not arrive. Caused by a `Sent` or a `Flight`.
    Lost {
        /// The receiver.
        to: Option<HostId>,
        /// The name of the reason.
        reason: &'static str,
    },
    /// A copy of a datagram is in flight. Caused by a `Sent`.
    Flight {
        /// The receiver.
        to: HostId,
        /// Time of arrival.
        due: Instant,
        /// 0 for the original, 1 for the duplicate.
        copy: u64,
        /// True if a bit was flipped.
        corrupted: bool,
    },
    /// An outer datagram arrived. Caused by a `Flight`.
    Received {
        /// The sender.
        from: HostId,
        /// Message kind, from the sender.
        kind: &'static str,
        /// Length of the UDP payload in bytes.
        len: u64,
        /// The first 8 bytes of the payload's SHA-256.
        fingerprint: u64,
    },
    /// The inner host sent a packet into the tunnel.
    InnerOut {
        /// Length in bytes.
        len: u64,
        /// The first 8 bytes of its SHA-256.
        fingerprint: u64,
    },
    /// A packet came out of the tunnel to the inner host.
    InnerIn {
        /// Length in bytes.
        len: u64,
        /// The first 8 bytes of its SHA-256.
        fingerprint: u64,
    },
    /// Progress of a task of the inner host.
    Task {
        /// Number of the client's step, from 1. 0 for the ping of P9.
        step: u32,
        /// A sentence.
        text: String,
    },
}

/// The value of a field, for the digest and for JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// A name or a sentence.
    Text(&'a str),
    /// A boolean.
    Flag(bool),
    /// A host, if any.
    Host(Option<HostId>),
    /// 8 bytes, shown as hexadecimal digits.
    Fingerprint(u64),
}

impl RecordKind {
    /// The name of the kind of record, in kebab case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Boot { .. } => "boot",
            Self::Fault { .. } => "fault",
            Self::Command { .. } => "command",
            Self::Event { .. } => "event",
            Self::Timer { .. } => "timer",
            Self::Status { .. } => "status",
            Self::Started { .. } => "started",
            Self::LoggedIn { .. } => "logged-in",
            Self::LoginRefused { .. } => "login-refused",
            Self::Roamed { .. } => "roamed",
            Self::SettingsChanged => "settings-changed",
            Self::Retrying { .. } => "retrying",
            Self::Rekeyed { .. } => "rekeyed",
            Self::SessionEnded { .. } => "session-ended",
            Self::Rebound { .. } => "rebound",
            Self::Attack { .. } => "attack",
            Self::Dropped { .. } => "dropped",
            Self::Sent { .. } => "sent",
            Self::Lost { .. } => "lost",
            Self::Flight { .. } => "flight",
            Self::Received { .. } => "received",
            Self::InnerOut { .. } => "inner-out",
            Self::InnerIn { .. } => "inner-in",
            Self::Task { .. } => "task",
        }
    }

    /// Visits the fields with their names, in a fixed order. The digest and the JSON use it.
    pub fn fields(&self, mut visit: impl FnMut(&'static str, Value<'_>)) {
        use Value::{Fingerprint, Flag, Host, Number, Text};
        match self {
            Self::Boot { boot } => visit("boot", Number(u64::from(*boot))),
            Self::Fault { text } => visit("text", Text(text)),
            Self::Command { command } => visit("command", Text(command)),
            Self::Event { event } => visit("event", Text(event)),
            Self::Timer { reason } => visit("reason", Text(reason)),
            Self::Status { status } => visit("status", Text(status)),
            Self::Started { result } => visit("result", Text(result)),
            Self::Dropped { reason } => visit("reason", Text(reason)),
            Self::Sent {
                to,
                kind,
                nth,
                len,
                fingerprint,
            } => {
                visit("to", Host(*to));
                visit("kind", Text(kind));
                visit("nth", Number(*nth));
                visit("len", Number(*len));
                visit("print", Fingerprint(*fingerprint));
            }
            Self::Lost { to, reason } => {
                visit("to", Host(*to));
                visit("reason", Text(reason));
            }
            Self::Flight {
                to,
                due,
                copy,
                corrupted,
            } => {
                visit("to", Host(Some(*to)));
                visit("due_ns", Number(due.as_nanos()));
                visit("copy", Number(*copy));
                visit("corrupted", Flag(*corrupted));
            }
            Self::Received {
                from,
                kind,
                len,
                fingerprint,
            } => {
                visit("from", Host(Some(*from)));
                visit("kind", Text(kind));
                visit("len", Number(*len));
                visit("print", Fingerprint(*fingerprint));
            }
            Self::InnerOut { len, fingerprint } | Self::InnerIn { len, fingerprint } => {
                visit("len", Number(*len));
                visit("print", Fingerprint(*fingerprint));
            }
            Self::Task { step, text } => {
                visit("step", Number(u64::from(*step)));
                visit("text", Text(text));
            }
            Self::LoggedIn { .. }
            | Self::LoginRefused { .. }
            | Self::Roamed { .. }
            | Self::SettingsChanged
            | Self::Retrying { .. }
            | Self::Rekeyed { .. }
            | Self::SessionEnded { .. }
            | Self::Rebound { .. }
            | Self::Attack { .. } => self.session_fields(visit),
        }
    }

    /// Visits the fields of the kinds about sessions, addresses and attacks.
    fn session_fields(&self, mut visit: impl FnMut(&'static str, Value<'_>)) {
        use Value::{Host, Number, Text};
        match self {
            Self::LoggedIn { login, from } => {
                visit("login", Text(login));
                visit("from", Host(*from));
            }
            Self::LoginRefused { from } => visit("from", Host(*from)),
            Self::Roamed { from, to } => {
                visit("from", Text(from));
                visit("to", Text(to));
            }
            Self::Retrying { error } => visit("error", Text(error)),
            Self::Rekeyed { epoch } => visit("epoch", Number(u64::from(*epoch))),
            Self::SessionEnded { login, reason } => {
                visit("login", Text(login));
                visit("reason", Text(reason));
            }
            Self::Rebound { to } => visit("to", Text(to)),
            Self::Attack { act, source } => {
                visit("act", Text(act));
                visit("source", Text(source));
            }
            _ => {}
        }
    }
}

impl Record {
    /// Appends the canonical bytes: length-prefixed name and fields, numbers in big-endian order. They are equal on all targets.
    pub fn canonical_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.at.as_nanos().to_be_bytes());
        put_host(bytes, self.host);
        bytes.extend(self.cause.to_be_bytes());
        put_text(bytes, self.kind.name());
        self.kind.fields(|_, value| match value {
            Value::Number(number) | Value::Fingerprint(number) => bytes.extend(number.to_be_bytes()),
            Value::Text(text) => put_text(bytes, text),
            Value::Flag(flag) => bytes.push(u8::from(flag)),
            Value::Host(host) => put_host(bytes, host),
        });
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn put_host(bytes: &mut Vec<u8>, host: Option<HostId>) {
    bytes.extend(host.map_or(u32::MAX, u32::from).to_be_bytes());
}

/// A duration as text, rounded down.
///
/// ```
/// use std::time::Duration;
/// use sandhog_lab::record::format_duration;
///
/// assert_eq!(format_duration(Duration::from_micros(84_270)), "84.2 ms");
/// assert_eq!(format_duration(Duration::from_millis(3150)), "3.150 s");
/// ```
#[must_use]
pub fn format_duration(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 if micros % 1_000 < 100 => format!("{} ms", micros / 1_000),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000),
    }
}
