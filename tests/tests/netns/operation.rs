//! Operation of running tunnels: status, reload, metrics and logs.

/// The metrics parser of the unit tests.
#[path = "../../../tun-adapter/src/metrics/tests/checker.rs"]
mod checker;

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};

use super::namespace::{Namespace, assert_unchanged};
use super::ping_three_times;
use super::program::Program;
use super::tunnel::{CLIENT_INNER, KEY, Outer, PASSWORD, SERVER_INNER, Testbed, USER};

/// The output of `sandhog status --json` for the only tunnel of a machine.
#[track_caller]
fn status(testbed: &Testbed, namespace: &Namespace) -> Value {
    let (code, stdout, stderr) = testbed.query(namespace, &["status", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let mut all: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(all["version"], 1);
    assert_eq!(all["tunnels"].as_array().map(Vec::len), Some(1), "{all}");
    all["tunnels"][0].take()
}

#[test]
fn status_shows_sessions_and_traffic_on_both_sides() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let _tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let [inner4, inner6] = CLIENT_INNER.map(|address| address.to_string());

    let client = status(&testbed, &testbed.client);
    assert_eq!(client["status"], "connected");
    assert_eq!(
        client["addresses"],
        json!([format!("{inner4}/24"), format!("{inner6}/64")])
    );
    assert_eq!(client["client"]["remote"], "198.18.0.1:40404");
    assert_eq!(client["client"]["login"], USER);
    let server = status(&testbed, &testbed.server);
    assert_eq!(server["server"]["logins_accepted"], 1);
    let session = &server["server"]["sessions"][0];
    assert_eq!(session["login"], USER);
    assert_eq!(session["addresses"], json!([inner4, inner6]));
    for session in [session, &client["client"]["session"]] {
        // The keys have changed once, to change the cipher.
        assert_eq!(session["epoch"], 1);
        assert_eq!(session["cipher"], "aes-256-gcm");
        assert_eq!(session["key_exchange"], "X25519 + ML-KEM-768");
    }
    assert_eq!(session["bytes_received"], 3 * 84);
    let fingerprint = &server["server"]["fingerprint"];
    assert_eq!(fingerprint.as_str().map(str::len), Some(64), "{server}");
    assert_eq!(&client["client"]["fingerprint"], fingerprint);
    for side in [&client, &server] {
        assert_eq!(side["traffic"]["packets_received"], 3, "{side}");
        assert_eq!(side["traffic"]["bytes_sent"], 3 * 84, "{side}");
        assert_eq!(side["dropped"], json!({}));
    }

    let (code, text, _) = testbed.query(&testbed.server, &["status"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("kean at 198.18.0.2:"), "{text}");
    assert!(
        text.contains("252 B received (3 packets), 252 B sent (3 packets)"),
        "{text}"
    );
}

#[test]
fn without_a_tunnel_status_and_reload_exit_with_1() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let (code, _, stderr) = testbed.query(&testbed.server, &["status"]);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(1), "error: no tunnel is running on this machine\n")
    );
    let (code, stdout, _) = testbed.query(&testbed.server, &["status", "--json"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(1), "{\"version\":1,\"tunnels\":[]}\n")
    );
    let (code, _, stderr) = testbed.query(&testbed.server, &["reload"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("error: no running server to reload\nhelp: "),
        "{stderr}"
    );
}

#[test]
fn reload_prints_the_number_of_users_or_the_error_in_their_file() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let server = testbed.start_server();
    testbed.user(&["add", "--password-stdin", "alice"], "battery staple");
    let (code, stdout, stderr) = testbed.query(&testbed.server, &["reload"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "sandhog0: 2 users\n"),
        "{stderr}"
    );

    testbed.edit("users", "{\"end\":2}\n", "");
    let (code, _, stderr) = testbed.query(&testbed.server, &["reload", "--device", "sandhog0"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.starts_with("error: sandhog0: ") && stderr.contains("users"),
        "{stderr}"
    );
    assert_eq!(status(&testbed, &testbed.server)["server"]["users"], 2);
    server.terminate();
}

#[test]
fn reload_is_rejected_by_clients_and_classic_servers() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    let _tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    for (side, role) in [(&testbed.server, "server"), (&testbed.client, "client")] {
        let (code, _, stderr) = testbed.query(side, &["reload", "--device", "sandhog0"]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("only a server of the secure profile"), "{stderr}");
        let status = status(&testbed, side);
        assert_eq!(
            (&status["role"], &status["profile"]),
            (&json!(role), &json!("classic"))
        );
        assert_eq!(status["traffic"]["packets_sent"], 3);
    }
}

/// Address of the metrics on both sides: each namespace has its own loopback device.
const METRICS: &str = "127.0.0.1:9586";

/// Switches metrics on for both sides.
fn add_metrics(testbed: &Testbed, more: &str) {
    for file in ["server.toml", "client.toml"] {
        let text = fs::read_to_string(testbed.path(file)).expect("a file of the test");
        testbed.write(
            file,
            &format!("{text}\n[metrics]\nlisten = \"{METRICS}\"\n{more}\n"),
        );
    }
}

fn scrape(namespace: &Namespace) -> String {
    let url = format!("http://{METRICS}/metrics");
    namespace.run(
        "curl",
        &["--silent", "--show-error", "--fail", "--max-time", "10", &url],
    )
}

/// A sample of a page, by its name and its labels (without the device).
#[track_caller]
fn sample(page: &str, name: &str, labels: &str) -> u64 {
    let samples = checker::check(page).unwrap_or_else(|error| panic!("{error}\n{page}"));
    let series = format!("{name}{{device=\"sandhog0\"{labels}}}");
    *samples
        .get(&series)
        .unwrap_or_else(|| panic!("no {series} in {page}"))
}

/// Checks that the page counts exactly three pings.
#[track_caller]
fn assert_three_pings_counted(page: &str) {
    for (name, expected) in [
        ("sandhog_received_packets_total", 3),
        ("sandhog_received_bytes_total", 3 * 84),
        ("sandhog_sent_packets_total", 3),
        ("sandhog_sent_bytes_total", 3 * 84),
    ] {
        assert_eq!(sample(page, name, ""), expected, "{name}");
    }
}

#[test]
fn metrics_count_all_traffic_and_contain_no_user_names() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    add_metrics(&testbed, "");
    let tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let [server, client] = [&testbed.server, &testbed.client].map(scrape);
    for page in [&server, &client] {
        assert_three_pings_counted(page);
        assert_eq!(
            sample(page, "sandhog_dropped_packets_total", ",reason=\"replayed\""),
            0
        );
        assert!(!page.contains(USER) && !page.contains("login="), "{page}");
    }
    assert_eq!(sample(&server, "sandhog_users", ""), 1);
    assert_eq!(sample(&server, "sandhog_sessions", ""), 1);
    assert_eq!(sample(&server, "sandhog_logins_total", ",result=\"accepted\""), 1);
    assert_eq!(sample(&client, "sandhog_status", ",status=\"connected\""), 1);
    assert_eq!(sample(&client, "sandhog_session_epoch", ""), 1);

    let version = env!("CARGO_PKG_VERSION");
    let build = format!(",version=\"{version}\",role=\"server\",profile=\"secure\"");
    assert_eq!(sample(&server, "sandhog_build_info", &build), 1);
    let started = "sandhog_start_time_seconds";
    assert_eq!(
        sample(&server, started, ""),
        sample(&scrape(&testbed.server), started, "")
    );
    let resident = [&tunnel.server, &tunnel.client].map(Program::resident_kib);
    println!("KiB resident of server and client with metrics: {resident:?}");
    assert!(resident.iter().all(|kib| *kib < 20 << 10), "{resident:?}");
    tunnel.stop();
}

#[test]
fn metrics_contain_user_names_only_if_configured() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    add_metrics(&testbed, "login-names = true");
    let _tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let labels = format!(",login=\"{USER}\",address=\"{}\"", CLIENT_INNER[0]);
    for side in [&testbed.server, &testbed.client] {
        let page = scrape(side);
        assert_three_pings_counted(&page);
        assert_eq!(
            sample(&page, "sandhog_session_received_packets_total", &labels),
            3
        );
    }
}

#[test]
fn metrics_are_available_in_the_classic_profile() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    add_metrics(&testbed, "login-names = true");
    let _tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    for (side, role) in [(&testbed.server, "server"), (&testbed.client, "client")] {
        let page = scrape(side);
        assert_three_pings_counted(&page);
        let version = env!("CARGO_PKG_VERSION");
        let build = format!(",version=\"{version}\",role=\"{role}\",profile=\"classic\"");
        assert_eq!(sample(&page, "sandhog_build_info", &build), 1);
    }
}

#[test]
fn a_metrics_port_in_use_exits_with_1_before_any_change() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    add_metrics(&testbed, "");
    testbed.edit("client.toml", "# kill-switch = false", "kill-switch = true");
    for (namespace, role) in [(&testbed.server, "server"), (&testbed.client, "client")] {
        let _socket = namespace
            .enter(|| TcpListener::bind(METRICS))
            .expect("a free port");
        let before = namespace.state();
        let (code, log) = testbed.spawn(namespace, role, &format!("{role}.toml")).wait();
        assert_eq!(code, Some(1), "{log}");
        for text in [
            "error: cannot listen on TCP 127.0.0.1:9586 for metrics: Address already in use",
            "help: another program uses this port: `ss -ltnp 'sport = :9586'` shows it",
        ] {
            assert!(log.contains(text), "no {text:?} in: {log}");
        }
        assert_unchanged(&before, &namespace.state());
        let left = fs::read_dir(testbed.runtime_folder(namespace)).expect("the test folder");
        assert_eq!(left.count(), 0, "runtime files");
    }
}

/// The first event `name` in a JSON log.
#[track_caller]
fn event(log: &str, name: &str) -> Value {
    let objects = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let mut found = objects.filter(|object| object["event"] == name);
    found.next().unwrap_or_else(|| panic!("no {name} in {log}"))
}

#[test]
fn a_json_log_has_the_values_of_events_as_fields() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let spawn = |namespace: &Namespace, role: &str| {
        let mut command = testbed.role(namespace, role, &format!("{role}.toml"));
        command.args(["--log-format", "json"]);
        let mut program = namespace.enter(|| Program::spawn(command));
        program.wait_for("ready: ");
        program
    };
    let server = spawn(&testbed.server, "server");
    let client = spawn(&testbed.client, "client");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let [client, server] = [client, server].map(|program| {
        let (code, log) = program.terminate();
        assert_eq!(code, Some(0), "{log}");
        log
    });
    let ready = event(&server, "ready");
    assert_eq!(
        (&ready["listen"], &ready["device"], &ready["users"]),
        (&json!("0.0.0.0:40404"), &json!("sandhog0"), &json!(1))
    );
    let login = event(&server, "login-accepted");
    assert_eq!((&login["login"], &login["level"]), (&json!(USER), &json!("INFO")));
    let remote = login["remote"].as_str().expect("an address");
    assert!(remote.starts_with("198.18.0.2:"), "{login}");
    assert_eq!(
        login["message"],
        format!("{USER} logged in from {remote}"),
        "the message of the text format"
    );
    assert_eq!(event(&client, "logging-in")["server"], "198.18.0.1:40404");
    assert_eq!(event(&client, "status")["status"], "connecting");
    for log in [&client, &server] {
        assert_eq!(event(log, "stopping")["reason"], "SIGTERM");
        let stopped = event(log, "stopped");
        for (key, expected) in [
            ("packets_received", 3),
            ("bytes_received", 3 * 84),
            ("packets_sent", 3),
            ("bytes_sent", 3 * 84),
            ("dropped", 0),
        ] {
            assert_eq!(stopped[key], expected, "{key}: {stopped}");
        }
    }
}

const WRONG_PASSWORD: &str = "canary of a wrong password";
const NEW_PASSWORD: &str = "canary of a new password";

/// The output of both sides during a refused login, an accepted login, some packets, a password change, and a
/// reload.
fn all_output(testbed: &Testbed, format: &str) -> String {
    let more = ["--verbose", "--log-format", format];
    let spawn = |namespace: &Namespace, role: &str, password: &str| {
        let mut command = testbed.role(namespace, role, &format!("{role}.toml"));
        command.args(more).env("SANDHOG_PASSWORD", password);
        namespace.enter(|| Program::spawn(command))
    };
    let mut server = spawn(&testbed.server, "server", "");
    server.wait_for("ready: ");
    let (code, mut printed) = spawn(&testbed.client, "client", WRONG_PASSWORD).wait();
    assert_eq!(code, Some(3), "{printed}");
    let mut client = spawn(&testbed.client, "client", PASSWORD);
    client.wait_for("ready: ");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let config = testbed.path("client.toml").display().to_string();
    let passwd = [&["passwd", "--config", &config, "--password-stdin"], &more[..]].concat();
    let input = format!("{NEW_PASSWORD}\n");
    let (code, log) = testbed.client.enter(|| testbed.try_sandhog(&passwd, &input));
    assert_eq!(code, Some(0), "{log}");
    printed += &log;
    server.send_sighup();
    server.wait_for("users: 1");
    for program in [client, server] {
        printed += &program.terminate().1;
    }
    // Restore the password for the next run.
    testbed.user(&["passwd", "--password-stdin", USER], PASSWORD);
    printed
}

#[test]
fn logs_contain_no_password_and_no_key() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.write("sandhog.key", &format!("{KEY}\n"));
    let key = b"sandhog tests in namespaces only";
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = format!("{:?}", &key[..8]);
    let mut secrets: Vec<String> = [
        PASSWORD,
        WRONG_PASSWORD,
        NEW_PASSWORD,
        KEY,
        "sandhog tests in",
        &hex[..16],
    ]
    .map(str::to_owned)
    .into();
    secrets.push(numbers.trim_matches(['[', ']']).to_owned());
    for file in ["sandhog.setup", "users"] {
        let text = fs::read_to_string(testbed.path(file)).expect("a file of the test");
        let long = text.split('"').filter(|piece| piece.len() >= 40);
        secrets.extend(long.map(|piece| piece[..24].to_owned()));
    }
    assert!(secrets.len() >= 9, "the setup and a record are included");
    for format in ["text", "json"] {
        let printed = all_output(&testbed, format);
        assert!(
            printed.contains("logged in from") && printed.contains("DEBUG"),
            "{printed}"
        );
        for secret in &secrets {
            assert!(!printed.contains(secret), "{secret:?} in {printed}");
        }
    }
}

/// A value in the kernel's status of a thread.
fn value<'a>(state: &'a str, key: &str) -> &'a str {
    let line = state.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key} in {state}")).trim()
}

#[test]
fn a_running_tunnel_keeps_only_needed_capabilities_and_packet_threads_none() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let tunnel = testbed.tunnel();
    // CAP_NET_BIND_SERVICE is number 10, CAP_NET_ADMIN number 12.
    for (program, most) in [(&tunnel.server, 0), (&tunnel.client, 1 << 12 | 1 << 10)] {
        let states = program.thread_states();
        let mut for_packets = 0;
        for state in &states {
            let is_for_packets = value(state, "Name:").starts_with("packets-");
            for_packets += usize::from(is_for_packets);
            let allowed = if is_for_packets { 0 } else { most };
            for set in ["CapPrm:", "CapEff:"] {
                let rights = u64::from_str_radix(value(state, set), 16).expect("hexadecimal");
                assert_eq!(rights & !allowed, 0, "{set} {state}");
            }
            assert_eq!(value(state, "NoNewPrivs:"), "1", "{state}");
        }
        assert!(for_packets > 0, "{states:?}");
    }
    // The remaining capabilities are sufficient for the cleanup.
    tunnel.stop();
}
