//! Secrets never appear in printed text.

use sandhog_proto::aead::{Aead, Cipher, Portable};
use sandhog_proto::classic::{Client, ClientConfig, Code, Codec, Key, Server, ServerConfig};
use sandhog_proto::{Instant, PacketBuf, Peer};

use super::support::*;

const CANARY: &str = "canary-password-8f1c";

fn printed(what: &impl core::fmt::Debug) -> String {
    format!("{what:?}\n{what:#?}\n")
}

#[test]
fn password_key_and_hash_are_never_printed() {
    let secret_key = *b"canary-key-canary-key-canary-key";
    let key = Key::new(secret_key);
    let canary_user = user("dora", CANARY, &["10.9.0.9"]);
    let hash = canary_user.password_hash.clone();
    let client_config = ClientConfig {
        key: key.clone(),
        password: CANARY.to_owned().into(),
        ..client_config(0x77)
    };
    let users = vec![canary_user.clone(), user(LOGIN, PASSWORD, &[])];
    let server_config = ServerConfig {
        key: key.clone(),
        users,
        mtu: MTU,
        seed: [0x77; 32],
    };

    let mut text =
        printed(&key) + &printed(&client_config) + &printed(&server_config) + &printed(&canary_user);
    let mut client = Client::new(client_config);
    let mut server = Server::new(server_config).unwrap();
    client.start(Instant::ZERO).unwrap();
    let request = client.poll_datagram().unwrap();
    text += &printed(&request);
    let codec = Codec::<Portable>::new(&key, [1; 32], 0);
    text += &printed(&codec.decode(&mut request.payload.clone()).unwrap());
    server
        .handle_datagram(Instant::ZERO, from(client_address(0), request.payload))
        .unwrap();
    text += &(printed(&client) + &printed(&server) + &printed(&codec));
    let job = server.poll_job().unwrap();
    text += &printed(&job);
    let done = job.run();
    text += &printed(&done);
    server.handle_job(Instant::ZERO, done).unwrap();
    text += &(printed(&server) + &printed(&Portable::new(Cipher::ChaCha20Poly1305, &secret_key)));
    while let Some(event) = server.poll_event() {
        text += &printed(&event);
    }

    assert!(text.contains("LoginRefused"), "the run went as meant");
    let salt_and_output: Vec<&str> = hash.rsplit('$').take(2).collect();
    let key_as_list = "99, 97, 110, 97, 114, 121, 45, 107, 101, 121";
    let seed_as_list = "119, 119, 119, 119";
    for secret in [
        CANARY,
        "canary",
        key_as_list,
        seed_as_list,
        salt_and_output[0],
        salt_and_output[1],
    ] {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
}

#[test]
fn errors_contain_nothing_of_the_datagram() {
    let codec = Codec::<Portable>::new(&key(), [1; 32], 0);
    let body = format!(r#"{{"login":"{CANARY}","password":"{CANARY}","#);
    let error = codec
        .decode(&mut seal(Code::AuthRequest, body.as_bytes()))
        .unwrap_err();
    let text = printed(&error) + &error.to_string();
    assert!(!text.contains("canary"), "{text}");
    let text = printed(&Key::from_base64(CANARY).unwrap_err());
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_request_is_erased_from_its_buffer() {
    let codec = Codec::<Portable>::new(&key(), [1; 32], 0);
    for body in [
        format!(r#"{{"login":"a","password":"{CANARY}"}}"#),
        format!(r#"{{"password":"{CANARY}"}}"#),
    ] {
        let mut buf: PacketBuf = seal(Code::AuthRequest, body.as_bytes());
        let _ = codec.decode(&mut buf);
        assert_eq!(buf.to_vec(), vec![0; body.len()]);
    }
}
