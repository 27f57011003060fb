//! The secrets of the test vectors, and the time at which each must be erased.

use std::hint::black_box;

use curve25519_dalek::scalar::Scalar;
use libcrux_ml_kem::mlkem768;
use sandhog_proto::aead::Cipher;
use serde_json::Value as Json;
use zeroize::{Zeroize, Zeroizing};

use crate::generators;
use crate::password::{Stretched, stretched};

/// All copies in this test are stored with these bits changed, so that the search does not find them.
const MASK: u8 = 0xa5;
const PIECE_LEN: usize = 16;

/// Time from which on no memory may contain a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Erased {
    /// The login and the first rekey are over.
    WhenUp,
    /// The second rekey is over, more than 10 s after the first one.
    AfterTheSecondRekey,
    /// 60 s after a change of the password.
    AfterTheChange,
    /// Client and server were dropped.
    WithThePeers,
}

/// Secrets in the files, by their JSON pointer.
const IN_FILES: &[(&str, &str, Erased)] = &[
    ("/inputs/psk", "pre-shared key", Erased::WhenUp),
    ("/inputs/client_seed", "seed of the client", Erased::WhenUp),
    ("/inputs/server_seed", "seed of the server", Erased::WhenUp),
    ("/inputs/password_utf8", "password", Erased::AfterTheChange),
    ("/control/prk", "PRK of the control keys", Erased::WhenUp),
    ("/control/up", "control key up", Erased::WithThePeers),
    ("/control/down", "control key down", Erased::WithThePeers),
    ("/control/mix", "mix", Erased::WithThePeers),
    ("/cookie/secret", "cookie secret", Erased::WithThePeers),
    (
        "/m1/client_keyshare_seed",
        "login client OPAQUE seed",
        Erased::WhenUp,
    ),
    ("/m1/x25519_secret", "login X25519", Erased::WhenUp),
    ("/m1/dh", "login dh", Erased::WhenUp),
    ("/m1/k", "login k", Erased::WhenUp),
    ("/m1/k1", "login k1", Erased::WhenUp),
    (
        "/m2/server_keyshare_seed",
        "login server OPAQUE seed",
        Erased::WhenUp,
    ),
    ("/m2/k2", "login k2", Erased::WhenUp),
    ("/m3/session_key", "login session key", Erased::WhenUp),
    ("/m3/encapsulation", "login encapsulation", Erased::WhenUp),
    ("/m3/ss", "login ss", Erased::WhenUp),
    ("/epoch_0/chain", "chain_0", Erased::WhenUp),
    ("/epoch_0/next", "next_0", Erased::WhenUp),
    ("/epoch_0/up", "up_0", Erased::AfterTheSecondRekey),
    ("/epoch_0/down", "down_0", Erased::AfterTheSecondRekey),
    ("/rekey_1/client_secret", "rekey_1 client X25519", Erased::WhenUp),
    ("/rekey_1/server_secret", "rekey_1 server X25519", Erased::WhenUp),
    ("/rekey_1/kem_seed", "rekey_1 ML-KEM seed", Erased::WhenUp),
    ("/rekey_1/encapsulation", "rekey_1 encapsulation", Erased::WhenUp),
    ("/rekey_1/dh", "rekey_1 dh", Erased::WhenUp),
    ("/rekey_1/ss", "rekey_1 ss", Erased::WhenUp),
    ("/epoch_1/chain", "chain_1", Erased::WhenUp),
    ("/epoch_1/next", "next_1", Erased::AfterTheSecondRekey),
    ("/epoch_1/up", "up_1", Erased::AfterTheChange),
    ("/epoch_1/down", "down_1", Erased::AfterTheChange),
    (
        "/rekey_2/client_secret",
        "rekey_2 client X25519",
        Erased::AfterTheSecondRekey,
    ),
    (
        "/rekey_2/server_secret",
        "rekey_2 server X25519",
        Erased::AfterTheSecondRekey,
    ),
    (
        "/rekey_2/kem_seed",
        "rekey_2 ML-KEM seed",
        Erased::AfterTheSecondRekey,
    ),
    (
        "/rekey_2/encapsulation",
        "rekey_2 encapsulation",
        Erased::AfterTheSecondRekey,
    ),
    ("/rekey_2/dh", "rekey_2 dh", Erased::AfterTheSecondRekey),
    ("/rekey_2/ss", "rekey_2 ss", Erased::AfterTheSecondRekey),
    ("/epoch_2/chain", "chain_2", Erased::AfterTheSecondRekey),
    ("/epoch_2/next", "next_2", Erased::WithThePeers),
    ("/epoch_2/up", "up_2", Erased::WithThePeers),
    ("/epoch_2/down", "down_2", Erased::WithThePeers),
    (
        "/change/client_keyshare_seed",
        "proof client OPAQUE seed",
        Erased::AfterTheChange,
    ),
    (
        "/change/server_keyshare_seed",
        "proof server OPAQUE seed",
        Erased::AfterTheChange,
    ),
    ("/change/session_key", "proof session key", Erased::AfterTheChange),
];

/// Secrets in the setup of the server, with the place of their first byte and their length.
const IN_SETUP: [(usize, usize, &str); 5] = [
    (0, 64, "OPRF seed"),
    (64, 32, "OPAQUE private key"),
    (128, 32, "server X25519"),
    (160, 64, "server ML-KEM seed"),
    (224, 32, "ticket key"),
];

/// Random numbers of the OPRF, which are used modulo the order of the group.
const BLINDS: [(&str, &str, Erased); 3] = [
    ("/m1/blind", "login blind", Erased::WhenUp),
    ("/change/blind", "proof blind", Erased::AfterTheChange),
    (
        "/change/registration/blind",
        "registration blind",
        Erased::AfterTheChange,
    ),
];

struct Secret {
    name: &'static str,
    masked: Vec<u8>,
    erased: Erased,
}

/// Up to 16 bytes of a secret.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) name: &'static str,
    pub(crate) erased: Erased,
    pub(crate) len: usize,
    masked: [u8; PIECE_LEN],
}

/// All secrets of a file of vectors, and its datagrams.
pub(crate) struct Secrets {
    pub(crate) cipher: Cipher,
    all: Vec<Secret>,
    pub(crate) setup: Vec<u8>,
    pub(crate) record: Vec<u8>,
    pub(crate) datagrams: Vec<Vec<u8>>,
}

fn masked(mut bytes: Zeroizing<Vec<u8>>) -> Vec<u8> {
    bytes.iter_mut().for_each(|byte| *byte ^= MASK);
    bytes.to_vec()
}

/// The bytes of a masked secret. They are erased when dropped.
pub(crate) fn unmasked(masked: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(masked.iter().map(|byte| byte ^ MASK).collect())
}

fn hex(file: &Json, pointer: &str) -> Zeroizing<Vec<u8>> {
    let text = file.pointer(pointer).and_then(Json::as_str).expect(pointer);
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    Zeroizing::new((0..text.len()).step_by(2).map(byte).collect())
}

/// Overwrites the stack below the caller, as far as the computation of the secrets uses it.
#[inline(never)]
fn overwrite_stack() {
    let mut room = [0_u8; 128 * 1024];
    black_box(&mut room);
}

impl Secrets {
    /// The secrets of the vectors for this cipher. The stack is overwritten afterwards: otherwise copies of the secrets would get
    /// into the unused bytes of values that the session moves.
    pub(crate) fn of_vectors(cipher: Cipher) -> Self {
        let secrets = Self::computed(cipher);
        overwrite_stack();
        secrets
    }

    #[inline(never)]
    fn computed(cipher: Cipher) -> Self {
        let text = match cipher {
            Cipher::ChaCha20Poly1305 => include_str!("../vectors/secure.json"),
            Cipher::Aes256Gcm => include_str!("../vectors/secure-aes-256-gcm.json"),
        };
        let file: Json = serde_json::from_str(text).unwrap();
        let mut secrets = Self {
            cipher,
            all: vec![],
            setup: masked(hex(&file, "/inputs/setup")),
            record: masked(hex(&file, "/registration/record")),
            datagrams: (0..file["datagrams"].as_array().unwrap().len())
                .map(|n| hex(&file, &format!("/datagrams/{n}/datagram")).to_vec())
                .collect(),
        };
        for (pointer, name, erased) in IN_FILES {
            secrets.add(name, hex(&file, pointer), *erased);
        }
        let new_password = file["inputs"]["new_password"].as_str().unwrap();
        let new_password = Zeroizing::new(new_password.as_bytes().to_vec());
        secrets.add("new password", new_password, Erased::WithThePeers);
        let setup = hex(&file, "/inputs/setup");
        for (at, len, name) in IN_SETUP {
            let part = Zeroizing::new(setup[at..at + len].to_vec());
            secrets.add(name, part, Erased::WithThePeers);
        }
        for (pointer, name, erased) in BLINDS {
            let wide: [u8; 64] = hex(&file, pointer).as_slice().try_into().unwrap();
            let scalar = Scalar::from_bytes_mod_order_wide(&wide);
            secrets.add(name, Zeroizing::new(scalar.as_bytes().to_vec()), erased);
        }
        secrets.add_kem_keys(&file, &setup);
        secrets.add_stretched(&file);
        secrets.add_generators(&file);
        secrets
    }

    fn add(&mut self, name: &'static str, bytes: Zeroizing<Vec<u8>>, erased: Erased) {
        let masked = masked(bytes);
        self.all.push(Secret { name, masked, erased });
    }

    /// The long form of each ML-KEM key: the first part is the secret vector.
    fn add_kem_keys(&mut self, file: &Json, setup: &[u8]) {
        let seeds = [
            (
                Zeroizing::new(setup[160..224].to_vec()),
                "server ML-KEM key",
                Erased::WithThePeers,
            ),
            (
                hex(file, "/rekey_1/kem_seed"),
                "rekey_1 ML-KEM key",
                Erased::WhenUp,
            ),
            (
                hex(file, "/rekey_2/kem_seed"),
                "rekey_2 ML-KEM key",
                Erased::AfterTheSecondRekey,
            ),
        ];
        for (seed, name, erased) in seeds {
            let pair = mlkem768::generate_key_pair(seed.as_slice().try_into().unwrap());
            let vector = Zeroizing::new(pair.private_key().as_slice()[..1152].to_vec());
            self.add(name, vector, erased);
        }
    }

    /// The values between the passwords and OPAQUE's keys, and the memory of Argon2id.
    fn add_stretched(&mut self, file: &Json) {
        let runs = [
            ("/registration", "/m1/blind", "/m2/ke2", Erased::WhenUp),
            (
                "/change/registration",
                "/change/registration/blind",
                "/change/registration/reg2",
                Erased::AfterTheChange,
            ),
        ];
        for (registration, blind, reply, erased) in runs {
            let input = hex(file, &format!("{registration}/password_input"));
            let record = hex(file, &format!("{registration}/record"));
            let Stretched { oprf, output, memory } =
                stretched(&input, &hex(file, blind), &hex(file, reply)[..32], &record);
            let normalized = input.rsplit(|byte| *byte == 0).next().unwrap();
            if erased == Erased::WhenUp {
                // The normal form of the other password is equal to the password, which the client keeps.
                self.add("normalized password", Zeroizing::new(normalized.to_vec()), erased);
            }
            self.add("OPRF output", oprf, erased);
            self.add("Argon2id output", output, erased);
            for block in memory.chunks(1024) {
                self.add("Argon2id memory", Zeroizing::new(block.to_vec()), erased);
            }
        }
    }

    fn add_generators(&mut self, file: &Json) {
        let client = hex(file, "/inputs/client_seed");
        let client = generators::of_client(&client, &hex(file, "/rekey_1/client_secret"));
        let server = hex(file, "/inputs/server_seed");
        let server = generators::of_server(&server, &hex(file, "/rekey_1/server_secret"));
        for state in client.into_iter().chain(server) {
            self.add("state of a generator", state, Erased::WhenUp);
        }
    }

    /// The bytes of a secret.
    pub(crate) fn named(&self, name: &str) -> Zeroizing<Vec<u8>> {
        let secret = self.all.iter().find(|secret| secret.name == name);
        unmasked(&secret.expect(name).masked)
    }

    /// The new password, masked.
    pub(crate) fn masked_password(&self) -> Vec<u8> {
        masked(self.named("new password"))
    }

    /// The first and the last 16 bytes of each secret.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.all.iter().flat_map(|secret| {
            let len = secret.masked.len().min(PIECE_LEN);
            let last = secret.masked.len() - len;
            let places = [Some(0), Some(last).filter(|last| *last > 0)];
            places.into_iter().flatten().map(move |at| {
                let mut piece = [0; PIECE_LEN];
                piece[..len].copy_from_slice(&secret.masked[at..at + len]);
                Piece {
                    name: secret.name,
                    erased: secret.erased,
                    len,
                    masked: piece,
                }
            })
        })
    }
}

impl Piece {
    pub(crate) const NONE: Self = Self {
        name: "",
        erased: Erased::WithThePeers,
        len: 0,
        masked: [0; PIECE_LEN],
    };

    pub(crate) fn byte(&self, n: usize) -> u8 {
        self.masked[n] ^ MASK
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.all.iter_mut().for_each(|secret| secret.masked.zeroize());
    }
}
