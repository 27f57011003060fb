//! The classic profile in company: with the datagrams of an independent implementation, and beside the secure profile.

use std::net::UdpSocket;
use std::time::Duration;

use sandhog_proto::PacketBuf;
use sandhog_proto::classic::{Codec, Key, Message};
use serde_json::Value;

use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, World};

const VECTORS: &str = include_str!("../../../proto/tests/vectors/classic.json");

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits"))
        .collect()
}

/// The bytes under `field` of the vector called `name`.
fn vector(vectors: &Value, list: &str, name: &str, field: &str) -> Vec<u8> {
    let list = vectors[list].as_array().expect("a list");
    let vector = list.iter().find(|vector| vector["name"] == name);
    hex(vector.expect("a vector of this name")[field]
        .as_str()
        .expect("a text"))
}

/// A client that knows only the bytes of the vectors.
struct Published {
    socket: UdpSocket,
    codec: Codec,
    vectors: Value,
}

impl Published {
    fn send(&self, list: &str, name: &str) {
        let datagram = vector(&self.vectors, list, name, "datagram");
        self.socket.send(&datagram).expect("send");
    }

    /// The server's next answer and its body.
    #[track_caller]
    fn answer(&self) -> (Message, Vec<u8>) {
        let mut buffer = [0; 2048];
        let len = self.socket.recv(&mut buffer).expect("an answer");
        let mut buf = PacketBuf::copied_from(&buffer[..len]);
        let message = self.codec.decode(&mut buf).expect("an answer under the key");
        (message, buf.to_vec())
    }

    #[track_caller]
    fn is_let_in(&self, name: &str) -> bool {
        self.send("valid", name);
        match self.answer().0 {
            Message::AuthResponse { is_ok } => is_ok,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_published_clients_datagrams_log_in_and_carry_packets() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let key = vectors["key"].as_str().expect("a text").to_owned();
    let world = world_or_skip!(World::classic_with(Outer::V4, &key, "123456"));
    let server = world.start_server();
    let socket = world
        .client
        .enter(|| UdpSocket::bind("198.18.0.2:0"))
        .expect("a UDP socket");
    socket.connect("198.18.0.1:40404").expect("a route");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time limit");
    let key = Key::from_base64(&key).expect("a key");
    let client = Published {
        socket,
        codec: Codec::new(&key, [0; 32], 0),
        vectors,
    };
    assert!(
        !client.is_let_in("auth-request-escaped-slash"),
        "another password"
    );
    // None of these gets an answer: the next one is that to the login.
    let invalid = client.vectors["invalid"].as_array().expect("a list").clone();
    for vector in &invalid {
        client.send("invalid", vector["name"].as_str().expect("a text"));
    }
    assert!(client.is_let_in("auth-request"));
    assert!(
        client.is_let_in("auth-request-other-key-order"),
        "a second login of the same user"
    );
    client.send("valid", "data-ipv4-ping");
    let (message, reply) = client.answer();
    let ping = vector(&client.vectors, "valid", "data-ipv4-ping", "plaintext");
    assert!(matches!(message, Message::Data), "{message:?}");
    assert_eq!(
        (&reply[12..16], &reply[16..20]),
        (&ping[16..20], &ping[12..16]),
        "back to the sender"
    );
    assert_eq!(reply[20], 0, "an echo reply");
    assert_eq!(
        reply[24..],
        ping[24..],
        "with identifier, number and payload of the request"
    );
    let (_, log) = server.terminate();
    assert!(log.contains("THIS KEY IS PUBLIC"), "{log}");
    let dropped = "dropped: not-enough-data 3, invalid-code 1, authentication-failed 2, malformed-body 2";
    assert!(log.contains(dropped), "{log}");
}

/// A world of the secure profile whose server speaks classic as well, on its own port, device, key and users.
fn both_profiles() -> Result<World, String> {
    let world = World::secure(Outer::V4)?;
    let hash = world.hash_password();
    let server = std::fs::read_to_string(world.path("server.toml")).expect("a file of ours");
    let beside = format!(
        "{server}\n[classic]\nlisten = \"0.0.0.0:40405\"\nkey-file = \"classic.key\"\n\
         [classic.device]\nname = \"classic0\"\naddresses = [\"10.8.0.1/24\"]\n\
         [[classic.users]]\nlogin = \"old\"\npassword-hash = \"{hash}\"\naddresses = [\"10.8.0.2\"]\n"
    );
    world.write("server.toml", &beside);
    world.write("classic.key", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n");
    world.write(
        "old.toml",
        "profile = \"classic\"\nserver = \"198.18.0.1:40405\"\nkey-file = \"classic.key\"\nlogin = \"old\"\n\
         password-file = \"password\"\n[device]\nname = \"old0\"\naddresses = [\"10.8.0.2/24\"]\n",
    );
    Ok(world)
}

#[test]
fn a_server_speaks_both_profiles_on_two_ports_and_ends_both_at_once() {
    let world = world_or_skip!(both_profiles());
    let before = world.server.state();
    let mut server = world.spawn(&world.server, "server", "server.toml");
    server.wait_for("the classic profile is INSECURE");
    server.wait_for("ready: ");
    server.wait_for("ready: ");
    let secure = world.start_client();
    let mut old = world.spawn(&world.client, "client", "old.toml");
    old.wait_for("ready: ");
    ping_three_times(&world.client, SERVER_INNER[0]);
    world
        .client
        .run("ping", &["-c", "3", "-i", "0.1", "-W", "2", "10.8.0.1"]);
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("kean logged in from") && log.contains("old logged in from"),
        "{log}"
    );
    super::namespace::assert_unchanged(&before, &world.server.state());
    drop((secure, old));
}

#[test]
fn when_one_profile_cannot_start_the_other_ends_too_and_nothing_is_left() {
    let world = world_or_skip!(both_profiles());
    let taken = world
        .server
        .enter(|| UdpSocket::bind("0.0.0.0:40405"))
        .expect("a free port");
    let before = world.server.state();
    let (code, log) = world.spawn(&world.server, "server", "server.toml").wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot listen on UDP 0.0.0.0:40405"), "{log}");
    super::namespace::assert_unchanged(&before, &world.server.state());
    drop(taken);
}
