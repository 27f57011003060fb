//! Test vectors of an independent implementation, read and written byte for byte, and the example of RFC
//! 8439.

use sandhog_proto::PacketBuf;
use sandhog_proto::aead::{Aead, Cipher, Portable};
use sandhog_proto::classic::{
    Client, ClientConfig, Code, Codec, DecodeError, Key, KeyError, Malformed, Message,
};
use sandhog_proto::{Instant, Peer};
use serde::Deserialize;

use super::support;

#[derive(Deserialize)]
struct Vectors {
    key: String,
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    code: u8,
    nonce: String,
    plaintext: String,
    datagram: String,
    password: Option<String>,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    datagram: String,
    error: String,
}

fn vectors() -> (Vectors, Codec) {
    let vectors: Vectors = serde_json::from_str(include_str!("../vectors/classic.json")).unwrap();
    let codec = Codec::new(&Key::from_base64(&vectors.key).unwrap(), [0; 32], 0);
    assert_eq!((vectors.valid.len(), vectors.invalid.len()), (9, 8));
    (vectors, codec)
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_valid_datagram_opens_to_its_plaintext() {
    let (vectors, codec) = vectors();
    for vector in vectors.valid {
        let mut buf = PacketBuf::copied_from(&hex(&vector.datagram));
        let code = codec.open(&mut buf).unwrap();
        assert_eq!(code.byte(), vector.code, "{}", vector.name);
        assert_eq!(buf.to_vec(), hex(&vector.plaintext), "{}", vector.name);
    }
}

#[test]
fn every_plaintext_seals_to_its_datagram() {
    let (vectors, codec) = vectors();
    for vector in vectors.valid {
        let mut buf = PacketBuf::copied_from(&hex(&vector.plaintext));
        let code = Code::from_byte(vector.code).unwrap();
        let nonce = hex(&vector.nonce).try_into().unwrap();
        codec.seal_with_nonce(code, nonce, &mut buf).unwrap();
        assert_eq!(buf.to_vec(), hex(&vector.datagram), "{}", vector.name);
    }
}

#[test]
fn every_valid_body_is_parsed() {
    let (vectors, codec) = vectors();
    for vector in vectors.valid {
        let mut buf = PacketBuf::copied_from(&hex(&vector.datagram));
        match codec.decode(&mut buf).unwrap() {
            Message::AuthRequest(credentials) => {
                assert_eq!(vector.code, 1, "{}", vector.name);
                assert_eq!(credentials.login, "kean", "{}", vector.name);
                let password = vector.password.as_deref().unwrap_or("123456");
                assert_eq!(*credentials.password, password, "{}", vector.name);
                assert!(
                    buf.iter().all(|byte| *byte == 0),
                    "the password is erased from the buffer"
                );
            }
            Message::AuthResponse { is_ok } => {
                assert_eq!(vector.code, 2, "{}", vector.name);
                assert_eq!(is_ok, vector.name != "auth-response-no", "{}", vector.name);
            }
            Message::Data => {
                assert_eq!(vector.code, 3, "{}", vector.name);
                assert_eq!(buf.to_vec(), hex(&vector.plaintext), "{}", vector.name);
            }
        }
    }
}

#[test]
fn every_invalid_datagram_gives_the_expected_error() {
    let (vectors, codec) = vectors();
    for vector in vectors.invalid {
        let mut buf = PacketBuf::copied_from(&hex(&vector.datagram));
        let error = codec.decode(&mut buf).unwrap_err();
        assert_eq!(error.to_string(), vector.error, "{}", vector.name);
        let is_malformed = matches!(error, DecodeError::Malformed(_));
        assert_eq!(
            is_malformed,
            vector.error != "authentication failed",
            "{}",
            vector.name
        );
    }
}

#[test]
fn every_truncated_datagram_is_rejected() {
    let (vectors, codec) = vectors();
    for vector in vectors.valid {
        let datagram = hex(&vector.datagram);
        for len in 0..datagram.len() {
            let error = codec
                .decode(&mut PacketBuf::copied_from(&datagram[..len]))
                .unwrap_err();
            let expected = if len < 29 {
                DecodeError::Malformed(Malformed::NotEnoughData)
            } else {
                DecodeError::AuthenticationFailed
            };
            assert_eq!(error, expected, "{} cut to {len} bytes", vector.name);
        }
    }
}

#[test]
fn a_flipped_bit_after_the_code_is_never_accepted() {
    let (vectors, codec) = vectors();
    let datagram = hex(&vectors.valid[6].datagram);
    for bit in 8..datagram.len() * 8 {
        let mut buf = PacketBuf::copied_from(&datagram);
        buf[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            codec.open(&mut buf),
            Err(DecodeError::AuthenticationFailed),
            "bit {bit}"
        );
    }
}

/// The vector `auth-request` as a client writes it, except for the nonce.
#[test]
fn a_client_writes_the_request_of_the_test_vector() {
    let (vectors, codec) = vectors();
    let key = Key::from_base64(&vectors.key).unwrap();
    let mut client = Client::new(ClientConfig {
        key,
        ..support::client_config(1)
    });
    client.start(Instant::ZERO).unwrap();
    let request = client.poll_datagram().unwrap().payload;
    let nonce = request[1..13].try_into().unwrap();

    let mut expected = PacketBuf::copied_from(&hex(&vectors.valid[0].plaintext));
    codec
        .seal_with_nonce(Code::AuthRequest, nonce, &mut expected)
        .unwrap();
    assert_eq!(request.to_vec(), expected.to_vec());
    assert_eq!(client.counters().datagrams_out, 1);
}

#[test]
fn strings_are_escaped_as_by_foundation() {
    let mut client = Client::new(ClientConfig {
        login: "a/b\"c\\d".to_owned(),
        password: "\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é😀".to_owned().into(),
        ..support::client_config(1)
    });
    client.start(Instant::ZERO).unwrap();
    let (_, body) = support::open(&client.poll_datagram().unwrap().payload);
    let expected = "{\"login\":\"a\\/b\\\"c\\\\d\",\"password\":\"\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}é😀\"}";
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn requests_are_parsed_as_by_foundation() {
    let codec = Codec::<Portable>::new(&support::key(), [0; 32], 0);
    let read = |body: &str| codec.decode(&mut support::seal(Code::AuthRequest, body.as_bytes()));

    let body =
        " {\r\n\t\"x\": {\"login\": [null, 1e9]}, \"password\" : \"\\ud83d\\ude00\\/\", \"login\":\"\" }\n";
    let Ok(Message::AuthRequest(credentials)) = read(body) else {
        panic!("a request")
    };
    assert_eq!(
        (credentials.login.as_str(), credentials.password.as_str()),
        ("", "😀/")
    );

    for malformed in [
        r#"{"login":"kean","password":"1"} x"#,
        r#"{"login":"kean","password":1}"#,
        r#"{"login":null,"password":"1"}"#,
        r#"{"login":"kean","password":"\ud83d"}"#,
        r#"{"Login":"kean","password":"1"}"#,
        r#"["kean","1"]"#,
        "",
    ] {
        let error = read(malformed).unwrap_err();
        assert_eq!(error, DecodeError::Malformed(Malformed::Body), "{malformed}");
    }
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(read(&deep).unwrap_err(), DecodeError::Malformed(Malformed::Body));
}

#[test]
fn a_key_must_be_32_bytes_in_base64() {
    assert!(Key::from_base64("KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=").is_ok());
    assert_eq!(Key::from_base64("!").unwrap_err(), KeyError::NotBase64);
    assert_eq!(Key::from_base64("").unwrap_err(), KeyError::WrongLength(0));
    assert_eq!(Key::from_base64("AAAA").unwrap_err(), KeyError::WrongLength(3));
}

/// RFC 8439, section 2.8.2.
#[test]
fn the_cipher_reproduces_the_example_of_rfc_8439() {
    let key: [u8; 32] = core::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
    let nonce: [u8; 12] = hex("070000004041424344454647").try_into().unwrap();
    let associated = hex("50515253c0c1c2c3c4c5c6c7");
    let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                      future, sunscreen would be it.";
    let ciphertext = hex(concat!(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6",
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36",
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc",
        "3ff4def08e4b7a9de576d26586cec64b6116",
    ));
    let aead = Portable::new(Cipher::ChaCha20Poly1305, &key);

    let mut body = plaintext.to_vec();
    let tag = aead.seal(&nonce, &associated, &mut body).unwrap();
    assert_eq!(body, ciphertext);
    assert_eq!(tag.to_vec(), hex("1ae10b594f09e26a7e902ecbd0600691"));

    aead.open(&nonce, &associated, &mut body, &tag).unwrap();
    assert_eq!(body, plaintext);
    let mut body = ciphertext.clone();
    assert!(aead.open(&nonce, b"other", &mut body, &tag).is_err());
    assert_eq!(
        body, ciphertext,
        "nothing is decrypted before the tag is verified"
    );
}
