//! Records: what happened in a run, one typed entry at a time, and the bytes that the digest is made of.

use std::time::Duration;

use sandhog_peer::Instant;

/// The number of a host: servers first, then clients, then adversaries, in the scenario's order.
pub type HostId = u16;

/// The number of a record, from 1. 0 means "no record".
pub type RecordId = u64;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub id: RecordId,
    /// When, on the simulation's clock.
    pub at: Instant,
    /// Where; `None` is the laboratory itself.
    pub host: Option<HostId>,
    /// The record that caused it, 0 if none did.
    pub cause: RecordId,
    /// What.
    pub kind: RecordKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The host started; 0 is the first time.
    Boot {
        /// How often it had started before.
        boot: u32,
    },
    /// The laboratory did something to hosts or links.
    Fault {
        /// What, in words.
        text: String,
    },
    /// The tunnel's user asked for something.
    Command {
        /// Its name.
        command: &'static str,
    },
    /// An event of the peer that only its own protocol knows.
    Event {
        /// Its name.
        event: &'static str,
    },
    /// A deadline was due.
    Timer {
        /// The reason that the peer had given for it.
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
        /// The user.
        login: String,
        /// The session's host.
        from: Option<HostId>,
    },
    /// A server refused a login.
    LoginRefused {
        /// Where it came from.
        from: Option<HostId>,
    },
    /// A session of the peer is with another address now.
    Roamed {
        /// The address before.
        from: String,
        /// The address now.
        to: String,
    },
    /// A tunnel that was up has other settings than before.
    SettingsChanged,
    /// A tunnel that was up could not log in again, and will try once more.
    Retrying {
        /// The name of the error.
        error: &'static str,
    },
    /// The peer seals with keys of another epoch from now on.
    Rekeyed {
        /// The epoch.
        epoch: u32,
    },
    /// A server's session is gone.
    SessionEnded {
        /// The user.
        login: String,
        /// The name of the reason.
        reason: &'static str,
    },
    /// The laboratory gave the host another address on the outer network.
    Rebound {
        /// The new address.
        to: String,
    },
    /// An adversary acts. Causes a `Sent`; caused by that of the datagram that it has seen, if any.
    Attack {
        /// What it does: `inject`, `flood`, `replay`, `alter`, `reflect`.
        act: &'static str,
        /// The source address that it writes on the datagram.
        source: String,
    },
    /// The peer did not take a datagram or packet.
    Dropped {
        /// The name of the reason.
        reason: &'static str,
    },
    /// The peer sent an outer datagram.
    Sent {
        /// To whom; `None` if nobody has that address.
        to: Option<HostId>,
        /// What it means.
        kind: &'static str,
        /// Which one of its kind on this link direction, from 1.
        nth: u64,
        /// Bytes of UDP payload.
        len: u64,
        /// The first 8 bytes of the payload's SHA-256.
        print: u64,
    },
    /// A datagram or a copy of it did not arrive. Caused by a `Sent` or a `Flight`.
    Lost {
        /// To whom it was on its way.
        to: Option<HostId>,
        /// The name of the reason.
        reason: &'static str,
    },
    /// A copy of a datagram set out. Caused by a `Sent`.
    Flight {
        /// To whom.
        to: HostId,
        /// When it arrives.
        due: Instant,
        /// 0, or 1 for a duplicate.
        copy: u64,
        /// Whether a bit was flipped.
        corrupted: bool,
    },
    /// An outer datagram arrived. Caused by a `Flight`.
    Received {
        /// From whom.
        from: HostId,
        /// What its sender meant.
        kind: &'static str,
        /// Bytes of UDP payload.
        len: u64,
        /// The first 8 bytes of the payload's SHA-256.
        print: u64,
    },
    /// The inner host sent a packet into the tunnel.
    InnerOut {
        /// Bytes.
        len: u64,
        /// The first 8 bytes of its SHA-256.
        print: u64,
    },
    /// A packet came out of the tunnel to the inner host.
    InnerIn {
        /// Bytes.
        len: u64,
        /// The first 8 bytes of its SHA-256.
        print: u64,
    },
    /// Something about what the inner host does.
    Task {
        /// Which step of the client, from 1; 0 is the laboratory's own ping.
        step: u32,
        /// What, in words.
        text: String,
    },
}

/// A field's value, for digest and JSON alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// A name or a sentence.
    Text(&'a str),
    /// Yes or no.
    Flag(bool),
    /// A host, or nobody.
    Host(Option<HostId>),
    /// 8 bytes to be shown as hex.
    Print(u64),
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

    /// Shows each field by name, in a fixed order: the one definition behind the digest and the JSON.
    pub fn fields(&self, mut see: impl FnMut(&'static str, Value<'_>)) {
        use Value::{Flag, Host, Number, Print, Text};
        match self {
            Self::Boot { boot } => see("boot", Number(u64::from(*boot))),
            Self::Fault { text } => see("text", Text(text)),
            Self::Command { command } => see("command", Text(command)),
            Self::Event { event } => see("event", Text(event)),
            Self::Timer { reason } => see("reason", Text(reason)),
            Self::Status { status } => see("status", Text(status)),
            Self::Started { result } => see("result", Text(result)),
            Self::Dropped { reason } => see("reason", Text(reason)),
            Self::Sent {
                to,
                kind,
                nth,
                len,
                print,
            } => {
                see("to", Host(*to));
                see("kind", Text(kind));
                see("nth", Number(*nth));
                see("len", Number(*len));
                see("print", Print(*print));
            }
            Self::Lost { to, reason } => {
                see("to", Host(*to));
                see("reason", Text(reason));
            }
            Self::Flight {
                to,
                due,
                copy,
                corrupted,
            } => {
                see("to", Host(Some(*to)));
                see("due_ns", Number(due.as_nanos()));
                see("copy", Number(*copy));
                see("corrupted", Flag(*corrupted));
            }
            Self::Received {
                from,
                kind,
                len,
                print,
            } => {
                see("from", Host(Some(*from)));
                see("kind", Text(kind));
                see("len", Number(*len));
                see("print", Print(*print));
            }
            Self::InnerOut { len, print } | Self::InnerIn { len, print } => {
                see("len", Number(*len));
                see("print", Print(*print));
            }
            Self::Task { step, text } => {
                see("step", Number(u64::from(*step)));
                see("text", Text(text));
            }
            Self::LoggedIn { .. }
            | Self::LoginRefused { .. }
            | Self::Roamed { .. }
            | Self::SettingsChanged
            | Self::Retrying { .. }
            | Self::Rekeyed { .. }
            | Self::SessionEnded { .. }
            | Self::Rebound { .. }
            | Self::Attack { .. } => self.fields_of_sessions(see),
        }
    }

    /// The same for what becomes of sessions and addresses.
    fn fields_of_sessions(&self, mut see: impl FnMut(&'static str, Value<'_>)) {
        use Value::{Host, Number, Text};
        match self {
            Self::LoggedIn { login, from } => {
                see("login", Text(login));
                see("from", Host(*from));
            }
            Self::LoginRefused { from } => see("from", Host(*from)),
            Self::Roamed { from, to } => {
                see("from", Text(from));
                see("to", Text(to));
            }
            Self::Retrying { error } => see("error", Text(error)),
            Self::Rekeyed { epoch } => see("epoch", Number(u64::from(*epoch))),
            Self::SessionEnded { login, reason } => {
                see("login", Text(login));
                see("reason", Text(reason));
            }
            Self::Rebound { to } => see("to", Text(to)),
            Self::Attack { act, source } => {
                see("act", Text(act));
                see("source", Text(source));
            }
            _ => {}
        }
    }
}

impl Record {
    /// Appends the canonical bytes: length-prefixed name and fields, big-endian numbers, the same on every target.
    pub fn canonical_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.at.as_nanos().to_be_bytes());
        put_host(bytes, self.host);
        bytes.extend(self.cause.to_be_bytes());
        put_text(bytes, self.kind.name());
        self.kind.fields(|_, value| match value {
            Value::Number(number) | Value::Print(number) => bytes.extend(number.to_be_bytes()),
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

/// A length of time for a sentence: `84.2 ms`, `3.150 s`. Rounded down.
#[must_use]
pub fn in_words(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 if micros % 1_000 < 100 => format!("{} ms", micros / 1_000),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000),
    }
}
