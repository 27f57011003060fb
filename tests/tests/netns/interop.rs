//! Interoperability of the classic profile: with datagrams of an independent implementation, and next to the
//! secure profile.

use std::net::UdpSocket;
use std::time::Duration;

use sandhog_proto::PacketBuf;
use sandhog_proto::classic::{Codec, Key, Message};
use serde_json::Value;

use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, Testbed};

const VECTORS: &str = include_str!("../../../proto/tests/vectors/classic.json");

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits"))
        .collect()
}

/// The bytes of `field` in the vector `name`.
fn vector(vectors: &Value, list: &str, name: &str, field: &str) -> Vec<u8> {
    let list = vectors[list].as_array().expect("a list");
    let vector = list.iter().find(|vector| vector["name"] == name);
    hex(vector.expect("a vector of this name")[field]
        .as_str()
        .expect("a text"))
}

/// A client that sends only the datagrams of the test vectors.
struct VectorClient {
    socket: UdpSocket,
    codec: Codec,
    vectors: Value,
}

impl VectorClient {
    fn send(&self, list: &str, name: &str) {
        let datagram = vector(&self.vectors, list, name, "datagram");
        self.socket.send(&datagram).expect("send");
    }

    /// Receives the server's next reply, and returns its kind and body.
    #[track_caller]
    fn reply(&self) -> (Message, Vec<u8>) {
        let mut buffer = [0; 2048];
        let len = self.socket.recv(&mut buffer).expect("a reply");
        let mut buf = PacketBuf::copied_from(&buffer[..len]);
        let message = self.codec.decode(&mut buf).expect("a reply under the key");
        (message, buf.to_vec())
    }

    #[track_caller]
    fn login_succeeds(&self, name: &str) -> bool {
        self.send("valid", name);
        match self.reply().0 {
            Message::AuthResponse { is_ok } => is_ok,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn recorded_datagrams_of_the_original_client_log_in_and_carry_packets() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let key = vectors["key"].as_str().expect("a text").to_owned();
    let testbed = testbed_or_skip!(Testbed::classic_with(Outer::V4, &key, "123456"));
    let server = testbed.start_server();
    let socket = testbed
        .client
        .enter(|| UdpSocket::bind("198.18.0.2:0"))
        .expect("a UDP socket");
    socket.connect("198.18.0.1:40404").expect("a route");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time limit");
    let key = Key::from_base64(&key).expect("a key");
    let client = VectorClient {
        socket,
        codec: Codec::new(&key, [0; 32], 0),
        vectors,
    };
    assert!(
        !client.login_succeeds("auth-request-escaped-slash"),
        "the password is wrong"
    );
    // None of these gets a reply. The next reply is that to the login.
    let invalid = client.vectors["invalid"].as_array().expect("a list").clone();
    for vector in &invalid {
        client.send("invalid", vector["name"].as_str().expect("a text"));
    }
    assert!(client.login_succeeds("auth-request"));
    assert!(
        client.login_succeeds("auth-request-other-key-order"),
        "a second login of the same user"
    );
    client.send("valid", "data-ipv4-ping");
    let (message, reply) = client.reply();
    let ping = vector(&client.vectors, "valid", "data-ipv4-ping", "plaintext");
    assert!(matches!(message, Message::Data), "{message:?}");
    assert_eq!(
        (&reply[12..16], &reply[16..20]),
        (&ping[16..20], &ping[12..16]),
        "the reply goes to the sender"
    );
    assert_eq!(reply[20], 0, "an echo reply");
    assert_eq!(
        reply[24..],
        ping[24..],
        "the reply has identifier, number and payload of the request"
    );
    let (_, log) = server.terminate();
    assert!(log.contains("THIS KEY IS PUBLIC"), "{log}");
    let dropped = "dropped: not-enough-data 3, invalid-code 1, authentication-failed 2, malformed-body 2";
    assert!(log.contains(dropped), "{log}");
}

/// A testbed of the secure profile whose server also runs the classic profile, with its own port, device, key
/// and users.
fn both_profiles() -> Result<Testbed, String> {
    let testbed = Testbed::secure(Outer::V4)?;
    let hash = testbed.hash_password();
    let server = std::fs::read_to_string(testbed.path("server.toml")).expect("a file of the test");
    let beside = format!(
        "{server}\n[classic]\nlisten = \"0.0.0.0:40405\"\nkey-file = \"classic.key\"\n\
         [classic.device]\nname = \"classic0\"\naddresses = [\"10.8.0.1/24\"]\n\
         [[classic.users]]\nlogin = \"old\"\npassword-hash = \"{hash}\"\naddresses = [\"10.8.0.2\"]\n"
    );
    testbed.write("server.toml", &beside);
    testbed.write("classic.key", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n");
    testbed.write(
        "old.toml",
        "profile = \"classic\"\nserver = \"198.18.0.1:40405\"\nkey-file = \"classic.key\"\nlogin = \"old\"\n\
         password-file = \"password\"\n[device]\nname = \"old0\"\naddresses = [\"10.8.0.2/24\"]\n",
    );
    Ok(testbed)
}

#[test]
fn a_server_runs_both_profiles_on_two_ports_and_stops_both_together() {
    let testbed = testbed_or_skip!(both_profiles());
    let before = testbed.server.state();
    let mut server = testbed.spawn(&testbed.server, "server", "server.toml");
    server.wait_for("the classic profile is INSECURE");
    server.wait_for("ready: ");
    server.wait_for("ready: ");
    let secure = testbed.start_client();
    let mut old = testbed.spawn(&testbed.client, "client", "old.toml");
    old.wait_for("ready: ");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    testbed
        .client
        .run("ping", &["-c", "3", "-i", "0.1", "-W", "2", "10.8.0.1"]);
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("kean logged in from") && log.contains("old logged in from"),
        "{log}"
    );
    super::namespace::assert_unchanged(&before, &testbed.server.state());
    drop((secure, old));
}

#[test]
fn if_one_profile_cannot_start_the_other_stops_and_nothing_is_left() {
    let testbed = testbed_or_skip!(both_profiles());
    let taken = testbed
        .server
        .enter(|| UdpSocket::bind("0.0.0.0:40405"))
        .expect("a free port");
    let before = testbed.server.state();
    let (code, log) = testbed.spawn(&testbed.server, "server", "server.toml").wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot listen on UDP 0.0.0.0:40405"), "{log}");
    super::namespace::assert_unchanged(&before, &testbed.server.state());
    drop(taken);
}
