//! Content of a vector file, in the order of the file. Bytes are hex.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Vectors {
    pub(super) about: &'static str,
    pub(super) inputs: Inputs,
    pub(super) control: ControlValues,
    pub(super) registration: RegistrationValues,
    pub(super) login: LoginValues,
    pub(super) cookie: CookieValues,
    pub(super) epoch_0: EpochValues,
    pub(super) rekey: RekeyValues,
    pub(super) epoch_1: EpochValues,
    pub(super) datagrams: Vec<Entry>,
}

#[derive(Serialize)]
pub(super) struct Inputs {
    pub(super) psk: String,
    pub(super) login: &'static str,
    pub(super) password: &'static str,
    pub(super) password_utf8: String,
    pub(super) suite: u8,
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
    pub(super) blind: String,
    pub(super) client_keyshare_seed: String,
    pub(super) client_nonce: String,
    pub(super) ke1: String,
    pub(super) context: String,
    pub(super) masking_nonce: String,
    pub(super) server_keyshare_seed: String,
    pub(super) server_nonce: String,
    pub(super) ke2: String,
    pub(super) ke3: String,
    pub(super) session_key: String,
}

#[derive(Serialize)]
pub(super) struct CookieValues {
    pub(super) secret: String,
    pub(super) input: String,
    pub(super) cookie: String,
}

#[derive(Serialize)]
pub(super) struct EpochValues {
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
    pub(super) server_secret: String,
    pub(super) server_public: String,
    pub(super) dh: String,
    pub(super) rekey: String,
    pub(super) rekeyed: String,
    pub(super) transcript: String,
}

/// A datagram. Its plaintext is JSON (`text`) or an inner `packet`.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) key: &'static str,
    pub(super) nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) packet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) padded: Option<String>,
    pub(super) padded_length: usize,
    pub(super) datagram: String,
}
