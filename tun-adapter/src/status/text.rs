//! Text format of a status, for the terminal.

use std::fmt::{self, Display, Write};

use super::{ClientStatus, Profile, Role, ServerStatus, SessionStatus, Status, Traffic, UserSession};

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Server => "server",
            Role::Client => "client",
        };
        let profile = match self.profile {
            Profile::Secure => "secure",
            Profile::Classic => "classic, INSECURE",
        };
        writeln!(f, "{}: {role} ({profile}), process {}", self.device, self.pid)?;
        let (status, since) = (&self.status, Span(self.status_seconds));
        line(f, "status", &format!("{status} for {since}"))?;
        if let Some(client) = &self.client {
            client.write(f)?;
        }
        if let Some(server) = &self.server {
            server.write(f)?;
        }
        if !self.addresses.is_empty() {
            line(f, "addresses", &self.addresses.join(", "))?;
            line(f, "MTU", &self.mtu.to_string())?;
        }
        line(f, "traffic", &self.traffic.to_string())?;
        if !self.dropped.is_empty() {
            let drops: Vec<_> = self
                .dropped
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            line(f, "dropped", &drops.join(", "))?;
        }
        let mut sessions = self.server.iter().flat_map(|server| &server.sessions);
        sessions.try_for_each(|session| session.write(f))
    }
}

impl ClientStatus {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "login", &self.login)?;
        if self.server == self.remote {
            line(f, "server", &self.server)?;
        } else {
            line(f, "server", &format!("{} ({})", self.server, self.remote))?;
        }
        if let Some(fingerprint) = &self.fingerprint {
            line(f, "fingerprint", fingerprint)?;
        }
        if let Some(session) = &self.session {
            line(f, "session", &session.to_string())?;
        }
        let lists = [
            ("routes", &self.routes),
            ("DNS", &self.dns),
            ("search", &self.search),
        ];
        let mut filled = lists.iter().filter(|(_, list)| !list.is_empty());
        filled.try_for_each(|(name, list)| line(f, name, &list.join(", ")))
    }
}

impl ServerStatus {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "listen", &self.listen)?;
        if let Some(fingerprint) = &self.fingerprint {
            line(f, "fingerprint", fingerprint)?;
        }
        let Self {
            users,
            session_count,
            logins_half_open: half_open,
            logins_accepted: accepted,
            logins_refused: refused,
            ..
        } = self;
        line(f, "users", &format!("{users}, sessions: {session_count}"))?;
        line(
            f,
            "logins",
            &format!("{accepted} accepted, {refused} refused, {half_open} in progress"),
        )
    }
}

impl UserSession {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\n')?;
        writeln!(f, "  {} at {}", self.login, self.remote)?;
        writeln!(f, "    addresses: {}", self.addresses.join(", "))?;
        writeln!(f, "    session: {}", self.session)?;
        let traffic = Traffic {
            packets_received: self.session.packets_received,
            bytes_received: self.session.bytes_received,
            packets_sent: self.session.packets_sent,
            bytes_sent: self.session.bytes_sent,
            ..Traffic::default()
        };
        writeln!(f, "    traffic: {traffic}")
    }
}

impl Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = [&self.key_exchange, &self.cipher].map(String::as_str);
        let methods: Vec<_> = methods.into_iter().filter(|name| !name.is_empty()).collect();
        write!(
            f,
            "up {}, last packet {} ago, {}, keys {} old (rekeys: {})",
            Span(self.age_seconds),
            Span(self.last_received_seconds),
            methods.join(", "),
            Span(self.key_seconds),
            self.epoch
        )
    }
}

impl Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (received, sent) = (Bytes(self.bytes_received), Bytes(self.bytes_sent));
        let (packets_received, packets_sent) = (self.packets_received, self.packets_sent);
        write!(
            f,
            "{received} received ({packets_received} packets), {sent} sent ({packets_sent} packets)"
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name}: {value}")
}

/// A duration in seconds, formatted as "3 h 20 min".
struct Span(u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match () {
            () if days > 0 => write!(f, "{days} d {} h", hours % 24),
            () if hours > 0 => write!(f, "{hours} h {} min", minutes % 60),
            () if minutes > 0 => write!(f, "{minutes} min {} s", seconds % 60),
            () => write!(f, "{seconds} s"),
        }
    }
}

/// A number of bytes, formatted as "1.5 MiB" and rounded down.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let power = self.0.checked_ilog2().unwrap_or_default() / 10;
        let Some(unit) = power.checked_sub(1).and_then(|index| units.get(index as usize)) else {
            return write!(f, "{} B", self.0);
        };
        let tenths = (self.0 >> (10 * (power - 1))) * 10 / 1024;
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_two_largest_units() {
        let texts = [0, 59, 60, 3599, 3600, 86_399, 86_400, 90_061].map(|seconds| Span(seconds).to_string());
        let expected = [
            "0 s",
            "59 s",
            "1 min 0 s",
            "59 min 59 s",
            "1 h 0 min",
            "23 h 59 min",
            "1 d 0 h",
            "1 d 1 h",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn byte_counts_have_one_decimal() {
        let texts = [0, 1023, 1024, 1536, 1 << 20, u64::MAX].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(
            texts,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "15.9 EiB"]
        );
    }

    /// The status of a client of the secure profile, with these keys added.
    fn client_with(client: &str, session: &str) -> String {
        let text = format!(
            r#"{{"device":"sandhog0","role":"client","profile":"secure","program":"0.1.0","pid":1,"uptime_seconds":9,
            "status":"connected","status_seconds":8,"addresses":[],"mtu":1420,"traffic":{{"packets_received":0,
            "bytes_received":0,"packets_sent":0,"bytes_sent":0,"datagrams_received":0,"datagrams_sent":0}},"dropped":{{}},
            "client":{{"login":"kean","server":"a:1","remote":"a:1","routes":[],"dns":[],"search":[]{client},
            "session":{{"age_seconds":8,"epoch":1,"cipher":"aes-256-gcm","key_seconds":7,"last_received_seconds":6,
            "packets_received":0,"bytes_received":0,"packets_sent":0,"bytes_sent":0{session}}}}}}}"#
        );
        let status: Status = serde_json::from_str(&text).expect("a status");
        status.to_string()
    }

    #[test]
    fn a_clients_status_shows_fingerprint_and_key_exchange() {
        let shown = client_with(
            r#","fingerprint":"c0ffee""#,
            r#","key_exchange":"X25519 + ML-KEM-768""#,
        );
        let expected = "  server: a:1\n  fingerprint: c0ffee\n  session: up 8 s, last packet 6 s ago, X25519 + ML-KEM-768, \
                        aes-256-gcm, keys 7 s old (rekeys: 1)\n";
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn a_status_of_an_earlier_version_is_shown_without_the_new_keys() {
        let shown = client_with("", "");
        let expected = "  session: up 8 s, last packet 6 s ago, aes-256-gcm, keys 7 s old (rekeys: 1)\n";
        assert!(
            shown.contains(expected) && !shown.contains("fingerprint"),
            "{shown}"
        );
    }
}
