//! Tests of the exporter: contents and format of the page, and the HTTP server.

mod checker;
mod exporter;
mod text;

use std::collections::BTreeMap;

use crate::status::{ClientStatus, Profile, Role, ServerStatus, SessionStatus, Status, Traffic, UserSession};

/// Status of a server of the secure profile with two sessions: alice and kean.
fn server() -> Status {
    let session = |login: &str, address: &str, packets: u64| UserSession {
        login: login.to_owned(),
        remote: "198.18.0.2:4000".to_owned(),
        addresses: vec![address.to_owned(), "fd00:9::2".to_owned()],
        session: session(packets),
    };
    Status {
        role: Role::Server,
        status: "listening".to_owned(),
        dropped: BTreeMap::from([("no-route".to_owned(), 3)]),
        server: Some(ServerStatus {
            listen: "0.0.0.0:40404".to_owned(),
            fingerprint: None,
            users: 5,
            logins_half_open: 1,
            logins_accepted: 7,
            logins_refused: 2,
            session_count: 2,
            sessions: vec![session("alice", "10.9.0.2", 20), session("kean", "10.9.0.3", 30)],
        }),
        ..bare()
    }
}

/// Status of a connected client of the secure profile.
fn client() -> Status {
    Status {
        role: Role::Client,
        status: "connected".to_owned(),
        client: Some(ClientStatus {
            login: "kean".to_owned(),
            server: "vpn.example.com:40404".to_owned(),
            remote: "198.18.0.1:40404".to_owned(),
            fingerprint: None,
            routes: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            session: Some(session(40)),
        }),
        ..bare()
    }
}

fn bare() -> Status {
    Status {
        device: "sandhog0".to_owned(),
        role: Role::Server,
        profile: Profile::Secure,
        program: "0.1.0".to_owned(),
        pid: 4711,
        uptime_seconds: 100,
        status: String::new(),
        status_seconds: 90,
        addresses: vec!["10.9.0.2/24".to_owned(), "fd00:9::2/64".to_owned()],
        mtu: 1420,
        // 9,007,199,254,740,993 is the first integer that a 64-bit float cannot represent.
        traffic: Traffic {
            packets_received: 11,
            bytes_received: 9_007_199_254_740_993,
            packets_sent: 13,
            bytes_sent: u64::MAX,
            datagrams_received: 15,
            datagrams_sent: 16,
        },
        dropped: BTreeMap::new(),
        client: None,
        server: None,
    }
}

fn session(packets: u64) -> SessionStatus {
    SessionStatus {
        age_seconds: 80,
        epoch: 2,
        cipher: "aes-256-gcm".to_owned(),
        key_exchange: "X25519 + ML-KEM-768".to_owned(),
        key_seconds: 70,
        last_received_seconds: 6,
        packets_received: packets,
        bytes_received: packets * 100,
        packets_sent: packets + 1,
        bytes_sent: packets * 100 + 1,
    }
}
