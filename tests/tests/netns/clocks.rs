//! Clock tests: machines with different clocks, and a client that was suspended.
//!
//! The system clock is not changed here, because it belongs to the whole machine. The module `tidy` checks
//! that no deadline depends on it. The tests of the program set the clock of a client.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::namespace::Namespace;
use super::ping_three_times;
use super::program::Program;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, Testbed};

/// Seconds by which a clock is ahead.
const AHEAD: &str = "3600";

/// A testbed on a machine with time namespaces.
fn testbed_with_clocks() -> Result<Testbed, String> {
    let testbed = Testbed::secure(Outer::V4)?;
    testbed
        .client
        .try_run("unshare", &["--time", "--boottime", AHEAD, "--fork", "true"])
        .map_err(|error| format!("needs time namespaces: {error}"))?;
    Ok(testbed)
}

/// Starts one side with `CLOCK_BOOTTIME` one hour ahead, and waits until it is ready.
#[track_caller]
fn start_ahead(testbed: &Testbed, namespace: &Namespace, role: &str) -> Program {
    let inner = testbed.role(namespace, role, &format!("{role}.toml"));
    let mut command = Command::new("unshare");
    command
        .args(["--time", "--boottime", AHEAD])
        // The end of `unshare` also stops the program.
        .args(["--fork", "--kill-child=SIGTERM"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("RUNTIME_DIRECTORY", testbed.runtime_folder(namespace));
    let mut program = namespace.enter(|| Program::spawn(command));
    program.wait_for("ready: ");
    program
}

#[track_caller]
fn ping_both_ways(testbed: &Testbed) {
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    ping_three_times(&testbed.server, CLIENT_INNER[0]);
}

#[test]
fn a_client_with_a_clock_one_hour_ahead_logs_in_and_carries_packets() {
    let testbed = testbed_or_skip!(testbed_with_clocks());
    let _server = testbed.start_server();
    let _client = start_ahead(&testbed, &testbed.client, "client");
    ping_both_ways(&testbed);
}

#[test]
fn a_client_with_a_clock_one_hour_behind_logs_in_and_carries_packets() {
    let testbed = testbed_or_skip!(testbed_with_clocks());
    let _server = start_ahead(&testbed, &testbed.server, "server");
    let _client = testbed.start_client();
    ping_both_ways(&testbed);
}

#[test]
fn a_client_suspended_longer_than_the_session_timeout_logs_in_again() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let tunnel = testbed.tunnel();
    let mut client = tunnel.client;
    ping_both_ways(&testbed);
    // A packet without a reply is sent before the suspend. After it, the network works again.
    let cut = "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }";
    testbed.server.run("nft", &[cut]);
    let to = SERVER_INNER[0].to_string();
    testbed
        .client
        .run_to_failure("ping", &["-c", "1", "-W", "1", &to]);
    client.suspend();
    testbed.server.run("nft", &["delete table inet cut"]);
    // Wait for the session timeout: 15 s after the first packet without a reply.
    sleep(Duration::from_secs(15));
    client.resume();
    client.wait_for("status: reasserting");
    client.wait_for("status: connected");
    ping_both_ways(&testbed);
    let (code, log) = tunnel.server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("kean logged in").count(), 2, "{log}");
}
