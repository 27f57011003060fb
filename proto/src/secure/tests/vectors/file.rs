//! Content of a vector file, in the order of the file. Bytes are hex.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Vectors {
    pub(super) about: &'static str,
    pub(super) inputs: Inputs,
    pub(super) control: ControlValues,
    pub(super) server: ServerValues,
    pub(super) registration: RegistrationValues,
    pub(super) login: LoginValues,
    pub(super) cookie: CookieValues,
    pub(super) m1: M1Values,
    pub(super) m2: M2Values,
    pub(super) m3: M3Values,
    pub(super) ticket: TicketValues,
    pub(super) epoch_0: EpochValues,
    pub(super) rekey_1: RekeyValues,
    pub(super) epoch_1: EpochValues,
    pub(super) rekey_2: RekeyValues,
    pub(super) epoch_2: EpochValues,
    pub(super) change: ChangeValues,
    pub(super) datagrams: Vec<Entry>,
}

#[derive(Serialize)]
pub(super) struct Inputs {
    pub(super) psk: String,
    pub(super) login: &'static str,
    pub(super) password: &'static str,
    pub(super) password_utf8: String,
    pub(super) new_password: &'static str,
    pub(super) suite: u8,
    pub(super) cipher: &'static str,
    pub(super) setup: String,
    pub(super) client_address: String,
    pub(super) client_seed: String,
    pub(super) server_seed: String,
}

#[derive(Serialize)]
pub(super) struct ControlValues {
    pub(super) prk: String,
    pub(super) up: String,
    pub(super) down: String,
    pub(super) mix: String,
}

#[derive(Serialize)]
pub(super) struct ServerValues {
    pub(super) x25519_public: String,
    pub(super) opaque_public: String,
    pub(super) ek: String,
    pub(super) fingerprint: String,
    /// Base64, as in a client's profile.
    pub(super) server_key: String,
}

#[derive(Serialize)]
pub(super) struct RegistrationValues {
    pub(super) password_input: String,
    pub(super) blind: String,
    pub(super) reg1: String,
    pub(super) reg2: String,
    pub(super) envelope_nonce: String,
    pub(super) record: String,
}

#[derive(Serialize)]
pub(super) struct LoginValues {
    pub(super) client_index: u32,
    pub(super) server_index: u32,
    /// Of M0, M1 and M4.
    pub(super) time: u64,
    pub(super) client_first_nonce: String,
    pub(super) server_first_nonce: String,
}

#[derive(Serialize)]
pub(super) struct CookieValues {
    pub(super) secret: String,
    pub(super) input: String,
    pub(super) cookie: String,
}

#[derive(Serialize)]
pub(super) struct M1Values {
    pub(super) blind: String,
    pub(super) client_keyshare_seed: String,
    pub(super) client_nonce: String,
    pub(super) ke1: String,
    pub(super) x25519_secret: String,
    pub(super) x25519_public: String,
    pub(super) dh: String,
    pub(super) k: String,
    pub(super) k1: String,
    pub(super) plaintext: String,
    #[serde(rename = "box")]
    pub(super) sealed: String,
}

#[derive(Serialize)]
pub(super) struct M2Values {
    pub(super) context: String,
    pub(super) masking_nonce: String,
    pub(super) server_keyshare_seed: String,
    pub(super) server_nonce: String,
    pub(super) ke2: String,
    pub(super) k2: String,
    pub(super) plaintext: String,
    #[serde(rename = "box")]
    pub(super) sealed: String,
}

#[derive(Serialize)]
pub(super) struct M3Values {
    pub(super) ke3: String,
    pub(super) session_key: String,
    pub(super) encapsulation: String,
    pub(super) ct: String,
    pub(super) ss: String,
    pub(super) mac: String,
    pub(super) transcript: String,
}

#[derive(Serialize)]
pub(super) struct TicketValues {
    pub(super) expiry: u64,
    pub(super) record_hash: String,
    pub(super) ticket: String,
}

#[derive(Serialize)]
pub(super) struct EpochValues {
    pub(super) cipher: &'static str,
    pub(super) client_index: u32,
    pub(super) server_index: u32,
    pub(super) chain: String,
    pub(super) up: String,
    pub(super) down: String,
    pub(super) next: String,
}

#[derive(Serialize)]
pub(super) struct RekeyValues {
    pub(super) client_secret: String,
    pub(super) client_public: String,
    /// `d ‖ z`.
    pub(super) kem_seed: String,
    pub(super) ek: String,
    pub(super) server_secret: String,
    pub(super) server_public: String,
    pub(super) encapsulation: String,
    pub(super) ct: String,
    pub(super) dh: String,
    pub(super) ss: String,
    pub(super) rekey: String,
    pub(super) rekeyed: String,
    pub(super) transcript: String,
}

#[derive(Serialize)]
pub(super) struct ChangeValues {
    pub(super) context: String,
    pub(super) blind: String,
    pub(super) client_keyshare_seed: String,
    pub(super) client_nonce: String,
    pub(super) ke1: String,
    pub(super) masking_nonce: String,
    pub(super) server_keyshare_seed: String,
    pub(super) server_nonce: String,
    pub(super) ke2: String,
    pub(super) ke3: String,
    pub(super) session_key: String,
    pub(super) registration: RegistrationValues,
    pub(super) mac: String,
}

/// A datagram. Its plaintext is JSON (`text`), an inner `packet`, or a binary `message`.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) key: &'static str,
    pub(super) nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) packet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) padded: Option<String>,
    pub(super) padded_length: usize,
    pub(super) datagram: String,
}
