//! Tests of the page's exact text, and of the list of metrics in the documentation.

use std::collections::BTreeMap;

use super::checker::{Samples, check};
use super::{client, server};
use crate::metrics::families::FAMILIES;
use crate::metrics::page::Page;
use crate::status::{Profile, Status};

fn page(status: &Status, login_names: bool) -> String {
    Page {
        status,
        started: 1_700_000_000,
        login_names,
    }
    .to_string()
}

#[track_caller]
fn samples(status: &Status, login_names: bool) -> Samples {
    let page = page(status, login_names);
    check(&page).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

/// A page without comments, without drop reasons that are 0, and without the label `device`.
fn essence(status: &Status, login_names: bool) -> String {
    let page = page(status, login_names);
    let lines = page
        .lines()
        .filter(|line| !(line.starts_with('#') || line.contains("reason=") && line.ends_with(" 0")));
    let text: Vec<_> = lines
        .map(|line| {
            line.replace("device=\"sandhog0\",", "")
                .replace("{device=\"sandhog0\"}", "")
        })
        .collect();
    text.join("\n")
}

const SERVER: &str = r#"sandhog_build_info{version="0.1.0",role="server",profile="secure"} 1
sandhog_start_time_seconds 1700000000
sandhog_status{status="listening"} 1
sandhog_status_age_seconds 90
sandhog_mtu_bytes 1420
sandhog_received_packets_total 11
sandhog_received_bytes_total 9007199254740993
sandhog_sent_packets_total 13
sandhog_sent_bytes_total 18446744073709551615
sandhog_datagrams_received_total 15
sandhog_datagrams_sent_total 16
sandhog_dropped_packets_total{reason="no-route"} 3
sandhog_users 5
sandhog_sessions 2
sandhog_logins_total{result="accepted"} 7
sandhog_logins_total{result="refused"} 2
sandhog_logins_half_open 1"#;

const SERVER_SESSIONS: &str = r#"
sandhog_session_age_seconds{login="alice",address="10.9.0.2"} 80
sandhog_session_age_seconds{login="kean",address="10.9.0.3"} 80
sandhog_session_epoch{login="alice",address="10.9.0.2"} 2
sandhog_session_epoch{login="kean",address="10.9.0.3"} 2
sandhog_session_key_age_seconds{login="alice",address="10.9.0.2"} 70
sandhog_session_key_age_seconds{login="kean",address="10.9.0.3"} 70
sandhog_last_received_seconds{login="alice",address="10.9.0.2"} 6
sandhog_last_received_seconds{login="kean",address="10.9.0.3"} 6
sandhog_session_received_packets_total{login="alice",address="10.9.0.2"} 20
sandhog_session_received_packets_total{login="kean",address="10.9.0.3"} 30
sandhog_session_received_bytes_total{login="alice",address="10.9.0.2"} 2000
sandhog_session_received_bytes_total{login="kean",address="10.9.0.3"} 3000
sandhog_session_sent_packets_total{login="alice",address="10.9.0.2"} 21
sandhog_session_sent_packets_total{login="kean",address="10.9.0.3"} 31
sandhog_session_sent_bytes_total{login="alice",address="10.9.0.2"} 2001
sandhog_session_sent_bytes_total{login="kean",address="10.9.0.3"} 3001"#;

#[test]
fn a_server_page_has_totals_and_no_user_names_by_default() {
    assert_eq!(essence(&server(), false), SERVER);
}

#[test]
fn a_server_page_with_login_names_has_each_session() {
    assert_eq!(essence(&server(), true), format!("{SERVER}{SERVER_SESSIONS}"));
}

#[test]
fn a_client_page_has_its_session_and_all_statuses() {
    let expected = r#"sandhog_build_info{version="0.1.0",role="client",profile="secure"} 1
sandhog_start_time_seconds 1700000000
sandhog_status{status="invalid"} 0
sandhog_status{status="disconnected"} 0
sandhog_status{status="connecting"} 0
sandhog_status{status="connected"} 1
sandhog_status{status="reasserting"} 0
sandhog_status{status="disconnecting"} 0
sandhog_status_age_seconds 90
sandhog_mtu_bytes 1420
sandhog_received_packets_total 11
sandhog_received_bytes_total 9007199254740993
sandhog_sent_packets_total 13
sandhog_sent_bytes_total 18446744073709551615
sandhog_datagrams_received_total 15
sandhog_datagrams_sent_total 16
sandhog_session_age_seconds 80
sandhog_session_epoch 2
sandhog_session_key_age_seconds 70
sandhog_last_received_seconds 6
sandhog_session_received_packets_total 40
sandhog_session_received_bytes_total 4000
sandhog_session_sent_packets_total 41
sandhog_session_sent_bytes_total 4001"#;
    assert_eq!(essence(&client(), false), expected);
    let named = essence(&client(), true);
    assert!(
        named.contains("sandhog_session_epoch{login=\"kean\",address=\"10.9.0.2\"} 2"),
        "{named}"
    );
}

#[test]
fn a_client_without_a_session_has_no_session_metrics() {
    let mut status = client();
    status.profile = Profile::Classic;
    status.addresses.clear();
    status.mtu = 0;
    if let Some(client) = &mut status.client {
        client.session = None;
    }
    let text = page(&status, true);
    for absent in ["sandhog_session", "sandhog_last_received", "sandhog_mtu", "kean"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert!(text.contains("profile=\"classic\""), "{text}");
}

#[test]
fn families_have_help_and_type_and_all_drop_reasons_start_at_zero() {
    let text = page(&server(), false);
    assert!(
        text.contains(
            "# HELP sandhog_users Number of users of the server.\n# TYPE sandhog_users gauge\n\
             sandhog_users{device=\"sandhog0\"} 5\n"
        ),
        "{text}"
    );
    let begin = "# TYPE sandhog_dropped_packets_total counter\n\
                 sandhog_dropped_packets_total{device=\"sandhog0\",reason=\"not-enough-data\"} 0\n";
    assert!(text.contains(begin), "{text}");
}

#[test]
fn all_pages_are_well_formed() {
    for status in [server(), client()] {
        for login_names in [false, true] {
            assert!(samples(&status, login_names).len() > 30);
        }
    }
}

#[test]
fn user_names_in_labels_are_escaped() {
    let mut status = server();
    let sessions = status.server.iter_mut().flat_map(|server| &mut server.sessions);
    for session in sessions {
        session.login = "a\\\"} 1\nsandhog_users{x=\"".to_owned();
    }
    let samples = samples(&status, true);
    let epoch =
        r#"sandhog_session_epoch{device="sandhog0",login="a\\\"} 1\nsandhog_users{x=\"",address="10.9.0.2"}"#;
    assert_eq!(samples.get(epoch), Some(&2), "{samples:?}");
    assert_eq!(samples.get("sandhog_users{device=\"sandhog0\"}"), Some(&5));
}

#[test]
fn the_checker_rejects_invalid_pages() {
    let good = page(&server(), true);
    let bad = [
        ("# HELP sandhog_users Number", "# HELP sandhog_users  Number"),
        ("# TYPE sandhog_users gauge\n", ""),
        ("# TYPE sandhog_users gauge", "# TYPE sandhog_users counter"),
        ("# TYPE sandhog_users gauge", "# TYPE sandhog_sessions gauge"),
        ("sandhog_users{device=\"sandhog0\"} 5\n", ""),
        ("sandhog_users{device=\"sandhog0\"} 5\n", "\n"),
        ("sandhog0\"} 5", "sandhog0\"} 5.0"),
        ("sandhog0\"} 5", "sandhog0\"} +5"),
        ("sandhog0\"} 5", "sandhog0\"}  5"),
        ("sandhog0\"} 5", "sand\\hog0\"} 5"),
        ("sandhog0\"} 5", "sandhog0\",} 5"),
        ("result=\"refused\"", "result=\"accepted\""),
        ("result=\"refused\"", "reslt=\"refused\""),
        (",result=\"refused\"", ",device=\"refused\""),
    ];
    for (old, new) in bad {
        assert!(good.contains(old), "not on the page: {old}");
        assert!(check(&good.replacen(old, new, 1)).is_err(), "{old} -> {new}");
    }
    assert!(check(good.trim_end()).is_err());
    assert!(check(&good.repeat(2)).is_err());
}

/// Rows of the table in the documentation: name, type, and labels except `device`.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let page = include_str!("../../../../docs/running.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `sandhog_"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").expect("a name");
        let mut cells = rest.split(" | ");
        let (kind, labels) = (cells.next().expect("a type"), cells.next().expect("labels"));
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (format!("sandhog_{name}"), (kind.to_owned(), labels))
    })
    .collect()
}

#[test]
fn the_documentation_lists_exactly_the_metrics_with_types_and_labels() {
    let texts = [page(&server(), true), page(&client(), true)].concat();
    let labels_of = |name: &str| -> Vec<String> {
        let begin = format!("{name}{{device=\"sandhog0\"");
        let line = texts.lines().find_map(|line| line.strip_prefix(&begin));
        let labels = line.expect("a sample").split(',').skip(1);
        labels
            .filter_map(|label| label.split('=').next())
            .map(str::to_owned)
            .collect()
    };
    let written: BTreeMap<_, _> = FAMILIES
        .iter()
        .map(|family| {
            let kind = family.kind.name().to_owned();
            (family.name.to_owned(), (kind, labels_of(family.name)))
        })
        .collect();
    assert_eq!(documented(), written);
}
