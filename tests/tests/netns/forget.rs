//! `sandhog forget`, for a machine that was restored from a snapshot: nothing leaves under the old keys, and clients come back.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::namespace::Namespace;
use super::ping_three_times;
use super::program::Program;
use super::tap::{Tap, udp_payload};
use super::tunnel::{CLIENT_INNER, KEY, Outer, SERVER_INNER, Testbed, Tunnel};

/// First byte of a datagram of a session.
const SESSION: u8 = 3;

/// Datagrams in a capture, so that its frames have an order relative to the steps of the test.
const MARKS: [&[u8]; 2] = [b"before the command", b"after the command"];

/// Sends a mark from one side to the other.
fn send_mark(from: &Namespace, to: &str, mark: &[u8]) {
    let socket = from.enter(|| UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
    socket.send_to(mark, (to, 9)).expect("a route");
}

/// Pings without a pause until it is dropped.
fn ping_without_end(from: &Namespace, to: IpAddr) -> Program {
    let mut command = Command::new("ping");
    command.args(["-i", "0.01", "-q", &to.to_string()]);
    from.enter(|| Program::spawn(command))
}

/// Receiver indices of the session datagrams that a machine has sent before the first mark, and after the second one.
#[track_caller]
fn sent_indices(frames: &[Vec<u8>], machine: u8) -> [BTreeSet<[u8; 4]>; 2] {
    let payloads: Vec<_> = frames
        .iter()
        .filter(|frame| frame.get(6..12) == Some(&[2, 0, 0, 0, 0, machine]))
        .filter_map(|frame| udp_payload(frame))
        .collect();
    let [before, after] = MARKS.map(|mark| {
        let place = payloads.iter().position(|payload| *payload == mark);
        place.expect("a mark in the capture")
    });
    let index = |payload: &&[u8]| match payload {
        [SESSION, a, b, c, d, ..] => Some([*a, *b, *c, *d]),
        _ => None,
    };
    [&payloads[..before], &payloads[after..]].map(|part| part.iter().filter_map(index).collect())
}

/// Runs `sandhog forget` on one side while both send all the time, and waits until the client is connected again.
#[track_caller]
fn forget_under_load(testbed: &Testbed, side: &Namespace, machine: u8, other: &str) {
    let Tunnel { server, mut client } = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let load = [
        ping_without_end(&testbed.client, SERVER_INNER[0]),
        ping_without_end(&testbed.server, CLIENT_INNER[0]),
    ];
    let tap = Tap::start(side);
    testbed
        .client
        .run("ping", &["-c", "20", "-i", "0.01", "10.9.0.1"]);
    send_mark(side, other, MARKS[0]);
    let (code, stdout, stderr) = testbed.query(side, &["forget"]);
    send_mark(side, other, MARKS[1]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "sandhog0: 1 session forgotten\n"),
        "{stderr}"
    );
    client.wait_for("status: reasserting");
    client.wait_for("status: connected");
    testbed
        .client
        .run("ping", &["-c", "20", "-i", "0.01", "10.9.0.1"]);
    // The capture ends when no more frames arrive.
    drop(load);
    let [old, new] = sent_indices(&tap.stop_with_frames(), machine);
    assert!(!old.is_empty() && !new.is_empty(), "both sessions have sent");
    assert!(old.is_disjoint(&new), "sent under old keys: {old:?}, {new:?}");
    for (program, side) in [(client, "client"), (server, "server")] {
        let (code, log) = program.terminate();
        assert_eq!(code, Some(0), "{side}: {log}");
        let is_told = log.contains("1 session forgotten, as requested");
        assert_eq!(is_told, (side == "server") == (machine == 1), "{side}: {log}");
    }
}

#[test]
fn a_client_that_forgets_sends_nothing_under_old_keys_and_is_back_at_once() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.use_workers(2);
    let [server, _] = Outer::V4.addresses();
    forget_under_load(&testbed, &testbed.client, 2, server);
}

#[test]
fn a_server_that_forgets_sends_nothing_under_old_keys_and_clients_come_back() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.use_workers(2);
    let [_, client] = Outer::V4.addresses();
    forget_under_load(&testbed, &testbed.server, 1, client);
}

impl Testbed {
    /// Lets both sides use this number of packet threads.
    fn use_workers(&self, count: usize) {
        for file in ["server.toml", "client.toml"] {
            let text = fs::read_to_string(self.path(file)).expect("a file of the test");
            self.write(file, &format!("workers = {count}\n{text}"));
        }
    }
}

#[test]
fn without_a_tunnel_forget_exits_with_1() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for arguments in [&["forget"][..], &["forget", "--device", "sandhog0"]] {
        let (code, stdout, stderr) = testbed.query(&testbed.server, arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(
            stderr.starts_with("error: no running tunnel that could forget its sessions\nhelp: "),
            "{stderr}"
        );
    }
}

#[test]
fn a_classic_tunnel_refuses_to_forget_and_the_others_do_it_all_the_same() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.write("key", &format!("{KEY}\n"));
    let password_hash = testbed.hash_password();
    testbed.write(
        "classic.toml",
        &format!(
            "profile = \"classic\"\nlisten = \"198.18.0.1:40405\"\nkey-file = \"key\"\n\
             [device]\nname = \"other\"\naddresses = [\"10.8.0.1/24\"]\n\
             [[users]]\nlogin = \"kean\"\npassword-hash = \"{password_hash}\"\naddresses = [\"10.8.0.2\"]\n"
        ),
    );
    let Tunnel {
        server: _server,
        mut client,
    } = testbed.tunnel();
    let mut classic = testbed.spawn(&testbed.server, "server", "classic.toml");
    classic.wait_for("ready: ");
    let (code, stdout, stderr) = testbed.query(&testbed.server, &["forget"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(1), "sandhog0: 1 session forgotten\n"),
        "{stderr}"
    );
    assert_eq!(
        stderr,
        "error: other: a tunnel of the classic profile cannot take new random numbers while it runs\n\
         help: this tunnel has not forgotten its sessions; stop it with `sandhog down --device other` and start it again\n"
    );
    // Also while it logs in. It has no session then.
    let (code, stdout, stderr) = testbed.query(&testbed.server, &["forget", "--device", "sandhog0"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "sandhog0: 0 sessions forgotten\n"),
        "{stderr}"
    );
    let (code, stdout, _) = testbed.query(&testbed.client, &["forget"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "sandhog0: 1 session forgotten\n")
    );
    client.wait_for("status: reasserting");
    client.wait_for("status: connected");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

#[test]
fn only_the_owner_of_a_tunnel_may_let_it_forget() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel {
        server: _server,
        client: _client,
    } = testbed.tunnel();
    fs::set_permissions(testbed.path(""), Permissions::from_mode(0o755)).expect("our folder");
    let program = testbed.path("sandhog");
    fs::copy(testbed.program(), &program).expect("the test folder");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(["forget", "--device", "sandhog0"])
        .env("RUNTIME_DIRECTORY", testbed.runtime_folder(&testbed.server))
        .output()
        .expect("a program that starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error: cannot query the tunnel sandhog0: Permission denied")
            && stderr.contains("help: run this command as root"),
        "{stderr}"
    );
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

#[test]
fn a_client_that_forgets_during_its_first_login_logs_in_with_new_numbers() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mut client = testbed.spawn_client();
    client.wait_for("status: connecting");
    let tap = Tap::start(&testbed.client);
    let (code, stdout, stderr) = testbed.query(&testbed.client, &["forget"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "sandhog0: 0 sessions forgotten\n"),
        "{stderr}"
    );
    let _server = testbed.start_server();
    client.wait_for("ready: ");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let frames = tap.stop_with_frames();
    let logins: Vec<_> = frames
        .iter()
        .filter_map(|frame| udp_payload(frame))
        .filter(|payload| (payload.first(), payload.len()) == (Some(&1), 1200))
        .collect();
    let nonces: BTreeSet<_> = logins.iter().map(|login| &login[1..13]).collect();
    assert!(nonces.len() >= 3, "{} messages", logins.len());
    assert_eq!(nonces.len(), logins.len(), "a nonce was used twice");
}
