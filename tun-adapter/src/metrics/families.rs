//! List of all metrics. A test checks that `docs/running.md` has the same list.

use std::fmt;

use sandhog_proto::{DropReason, TunnelStatus};

use super::page::Kind::{Counter, Gauge};
use super::page::{Family, Page, Samples};
use crate::status::{Profile, Role, SessionStatus};

/// All statuses of a client.
const CLIENT_STATUSES: [TunnelStatus; 6] = [
    TunnelStatus::Invalid,
    TunnelStatus::Disconnected,
    TunnelStatus::Connecting,
    TunnelStatus::Connected,
    TunnelStatus::Reasserting,
    TunnelStatus::Disconnecting,
];

/// All metric families, in the order of the page.
pub(super) const FAMILIES: [Family; 24] = [
    Family {
        name: "sandhog_build_info",
        kind: Gauge,
        help: "Always 1. The labels are version, role and profile.",
        write: build_info,
    },
    Family {
        name: "sandhog_start_time_seconds",
        kind: Gauge,
        help: "Start time of the tunnel, in seconds of Unix time.",
        write: |page, out| out.put(&[], page.started),
    },
    Family {
        name: "sandhog_status",
        kind: Gauge,
        help: "1 for the current status of the tunnel, 0 for all other statuses.",
        write: status,
    },
    Family {
        name: "sandhog_status_age_seconds",
        kind: Gauge,
        help: "Seconds since the last change of status.",
        write: |page, out| out.put(&[], page.status.status_seconds),
    },
    Family {
        name: "sandhog_mtu_bytes",
        kind: Gauge,
        help: "MTU of the tunnel.",
        write: |page, out| match page.status.mtu {
            // Unknown before the first login of a client.
            0 => Ok(()),
            mtu => out.put(&[], mtu),
        },
    },
    Family {
        name: "sandhog_received_packets_total",
        kind: Counter,
        help: "Packets received through the tunnel.",
        write: |page, out| out.put(&[], page.status.traffic.packets_received),
    },
    Family {
        name: "sandhog_received_bytes_total",
        kind: Counter,
        help: "Bytes of the packets received through the tunnel.",
        write: |page, out| out.put(&[], page.status.traffic.bytes_received),
    },
    Family {
        name: "sandhog_sent_packets_total",
        kind: Counter,
        help: "Packets sent through the tunnel.",
        write: |page, out| out.put(&[], page.status.traffic.packets_sent),
    },
    Family {
        name: "sandhog_sent_bytes_total",
        kind: Counter,
        help: "Bytes of the packets sent through the tunnel.",
        write: |page, out| out.put(&[], page.status.traffic.bytes_sent),
    },
    Family {
        name: "sandhog_datagrams_received_total",
        kind: Counter,
        help: "UDP datagrams received, valid or not.",
        write: |page, out| out.put(&[], page.status.traffic.datagrams_received),
    },
    Family {
        name: "sandhog_datagrams_sent_total",
        kind: Counter,
        help: "UDP datagrams sent.",
        write: |page, out| out.put(&[], page.status.traffic.datagrams_sent),
    },
    Family {
        name: "sandhog_dropped_packets_total",
        kind: Counter,
        help: "Packets and datagrams dropped, by reason.",
        write: dropped,
    },
    Family {
        name: "sandhog_users",
        kind: Gauge,
        help: "Number of users of the server.",
        write: |page, out| on_server(page, |server| out.put(&[], server.users as u64)),
    },
    Family {
        name: "sandhog_sessions",
        kind: Gauge,
        help: "Number of sessions of the server.",
        write: |page, out| on_server(page, |server| out.put(&[], server.session_count as u64)),
    },
    Family {
        name: "sandhog_logins_total",
        kind: Counter,
        help: "Completed logins, by result.",
        write: |page, out| {
            on_server(page, |server| {
                out.put(&[("result", "accepted")], server.logins_accepted)?;
                out.put(&[("result", "refused")], server.logins_refused)
            })
        },
    },
    Family {
        name: "sandhog_logins_half_open",
        kind: Gauge,
        help: "Logins in progress.",
        write: |page, out| on_server(page, |server| out.put(&[], server.logins_half_open as u64)),
    },
    Family {
        name: "sandhog_session_age_seconds",
        kind: Gauge,
        help: "Age of the session.",
        write: |page, out| on_sessions(page, out, |session| session.age_seconds),
    },
    Family {
        name: "sandhog_session_epoch",
        kind: Gauge,
        help: "Number of rekeys of the session.",
        write: |page, out| on_sessions(page, out, |session| session.epoch.into()),
    },
    Family {
        name: "sandhog_session_key_age_seconds",
        kind: Gauge,
        help: "Age of the session's keys.",
        write: |page, out| on_sessions(page, out, |session| session.key_seconds),
    },
    Family {
        name: "sandhog_last_received_seconds",
        kind: Gauge,
        help: "Seconds since the last authenticated datagram from the peer.",
        write: |page, out| on_sessions(page, out, |session| session.last_received_seconds),
    },
    Family {
        name: "sandhog_session_received_packets_total",
        kind: Counter,
        help: "Packets received in the session.",
        write: |page, out| on_sessions(page, out, |session| session.packets_received),
    },
    Family {
        name: "sandhog_session_received_bytes_total",
        kind: Counter,
        help: "Bytes of the packets received in the session.",
        write: |page, out| on_sessions(page, out, |session| session.bytes_received),
    },
    Family {
        name: "sandhog_session_sent_packets_total",
        kind: Counter,
        help: "Packets sent in the session.",
        write: |page, out| on_sessions(page, out, |session| session.packets_sent),
    },
    Family {
        name: "sandhog_session_sent_bytes_total",
        kind: Counter,
        help: "Bytes of the packets sent in the session.",
        write: |page, out| on_sessions(page, out, |session| session.bytes_sent),
    },
];

fn build_info(page: &Page<'_>, out: &mut Samples<'_, '_>) -> fmt::Result {
    let role = match page.status.role {
        Role::Server => "server",
        Role::Client => "client",
    };
    let profile = match page.status.profile {
        Profile::Secure => "secure",
        Profile::Classic => "classic",
    };
    let labels = [
        ("version", page.status.program.as_str()),
        ("role", role),
        ("profile", profile),
    ];
    out.put(&labels, 1_u64)
}

fn status(page: &Page<'_>, out: &mut Samples<'_, '_>) -> fmt::Result {
    let now = page.status.status.as_str();
    match page.status.role {
        // A server has only this status.
        Role::Server => out.put(&[("status", now)], 1_u64),
        Role::Client => CLIENT_STATUSES.iter().try_for_each(|status| {
            let name = status.name();
            out.put(&[("status", name)], name == now)
        }),
    }
}

/// Writes reasons that have not occurred as 0, so that rates can be computed from the start.
fn dropped(page: &Page<'_>, out: &mut Samples<'_, '_>) -> fmt::Result {
    DropReason::ALL.iter().try_for_each(|reason| {
        let name = reason.name();
        let count = page.status.dropped.get(name).copied().unwrap_or_default();
        out.put(&[("reason", name)], count)
    })
}

fn on_server(
    page: &Page<'_>,
    write: impl FnOnce(&crate::status::ServerStatus) -> fmt::Result,
) -> fmt::Result {
    page.status.server.as_ref().map_or(Ok(()), write)
}

/// Writes one sample for the session of a client. For a server, writes one sample per session if user names
/// are allowed. Sessions of a server never share an address, so user name and address identify a session.
fn on_sessions(
    page: &Page<'_>,
    out: &mut Samples<'_, '_>,
    value: impl Fn(&SessionStatus) -> u64,
) -> fmt::Result {
    if let Some(client) = &page.status.client
        && let Some(session) = &client.session
    {
        let address = page.status.addresses.first().map_or("", |prefix| bare(prefix));
        let labels = [("login", client.login.as_str()), ("address", address)];
        let named: &[_] = if page.login_names { &labels } else { &[] };
        return out.put(named, value(session));
    }
    let sessions = page.status.server.iter().flat_map(|server| &server.sessions);
    sessions.filter(|_| page.login_names).try_for_each(|session| {
        let address = session.addresses.first().map_or("", String::as_str);
        let labels = [("login", session.login.as_str()), ("address", address)];
        out.put(&labels, value(&session.session))
    })
}

/// An address without its prefix length.
fn bare(prefix: &str) -> &str {
    prefix.split('/').next().unwrap_or(prefix)
}
