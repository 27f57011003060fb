//! Crashes: either side is killed during a transfer, and cleanup after every kind of end.

use std::io::Write;
use std::time::Duration;

use super::namespace::assert_unchanged;
use super::ping_three_times;
use super::transfer::{Echo, receive, text};
use super::tunnel::{Outer, PASSWORD, SERVER_INNER, Testbed, Tunnel, USER};

/// Time limit: a client detects after 15 s that its server is gone, and TCP retransmits with growing pauses.
const LONG: Duration = Duration::from_secs(90);

/// Sends 4 MiB to the server and back. After the first quarter, `crash` kills and restarts a side while the rest is being sent. The
/// returned program runs until all data have come back.
fn transfer_during<T>(testbed: &Testbed, crash: impl FnOnce() -> T) {
    let text = text(4 << 20);
    let (first, rest) = text.split_at(1 << 20);
    let echo = Echo::start(&testbed.server, SERVER_INNER[0], LONG);
    let (mut writer, mut reader) = echo.connect(&testbed.client);
    writer.write_all(first).expect("send");
    let mut back = receive(&mut reader, first.len());
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(rest).expect("send"));
        let _restarted = crash();
        back.extend(receive(&mut reader, rest.len()));
    });
    assert!(back == text, "the echoed data differs");
}

#[test]
fn tcp_continues_after_the_server_was_killed_and_restarted() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel { server, mut client } = testbed.tunnel();
    transfer_during(&testbed, || {
        // Killed and restarted immediately. The client detects it by missing replies.
        drop(server);
        let server = testbed.start_server();
        client.wait_for("status: reasserting");
        client.wait_for("status: connected");
        ping_without_counting(&testbed);
        server
    });
}

/// Pings without counting packets, because TCP sends at the same time.
fn ping_without_counting(testbed: &Testbed) {
    let to = SERVER_INNER[1].to_string();
    testbed
        .client
        .run("ping", &["-c", "3", "-i", "0.1", "-W", "2", &to]);
}

#[test]
fn tcp_continues_after_the_client_was_killed_and_restarted() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.user(&["remove", USER], "");
    testbed.user(
        &["add", "--password-stdin", "--address", "10.9.0.77", USER],
        PASSWORD,
    );
    let Tunnel {
        server: _server,
        client,
    } = testbed.tunnel();
    transfer_during(&testbed, || {
        drop(client);
        testbed.start_client()
    });
}

#[test]
fn nothing_is_left_behind_after_a_stop_or_a_kill() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let state = || [&testbed.server, &testbed.client].map(|namespace| namespace.state());
    let before = state();
    let tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    assert_ne!(state(), before, "a running tunnel changes the state");
    tunnel.stop();
    let unchanged = || {
        before
            .iter()
            .zip(state())
            .for_each(|(before, after)| assert_unchanged(before, &after));
    };
    unchanged();
    let Tunnel { server, client } = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    drop((server, client));
    unchanged();
}
