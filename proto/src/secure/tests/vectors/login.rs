//! The login: M0 to M3 and the ticket in M4, each value computed from its parts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::RngCore;
use sha2::{Digest, Sha512};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use super::file::{
    CookieValues, LoginValues, M1Values, M2Values, M3Values, RegistrationValues, ServerValues, TicketValues,
};
use super::pair::Pair;
use super::{
    CLIENT_SEED, LOGIN, PASSWORD, PSK, Recorder, SERVER_SEED, UNIX_MILLIS, account, array, client_address,
    hex, setup,
};
use crate::Instant;
use crate::aead::{Aead, Cipher, DefaultAead};
use crate::kem::Seed;
use crate::secret::Secret;
use crate::secure::cookie::Cookies;
use crate::secure::keys::tests::hex as bytes;
use crate::secure::keys::{Chain, Ephemeral, expand, extract, mac};
use crate::secure::message::{Control, Ke2Reply, Proof};
use crate::secure::opaque::{ClientLoginState, ServerLoginState, context, respond};
use crate::secure::{Psk, Record, Suite, TICKET_FOR, forget, generator, seed_from, stream};

/// Time of M0, M1 and M4.
const TIME: u64 = UNIX_MILLIS + 1000;

/// The groups of the file that belong to the login.
pub(super) struct LoginGroups {
    pub(super) login: LoginValues,
    pub(super) cookie: CookieValues,
    pub(super) m1: M1Values,
    pub(super) m2: M2Values,
    pub(super) m3: M3Values,
}

/// Both sides after the login: the generators of client and server, those of their sessions, and the receiver indices.
pub(super) struct After {
    pub(super) peers: [Recorder; 2],
    pub(super) sessions: [Recorder; 2],
    pub(super) indices: [u32; 2],
}

/// The values of M1 that later messages need.
struct Request {
    ke1: [u8; 96],
    ephemeral: [u8; 32],
    k: Secret<64>,
    /// M1 without version, type and time.
    message: Vec<u8>,
}

/// The values of M2 that M3 needs.
struct Reply {
    state: ServerLoginState,
    index: u32,
    message: Vec<u8>,
}

/// The public keys of the server, from its secrets.
pub(super) fn server_values() -> ServerValues {
    let (bytes, public) = (setup().to_bytes(), setup());
    let public = public.public();
    let x25519_public = x25519(array(&bytes[128..160]), X25519_BASEPOINT_BYTES);
    let (_, kem) = Seed::new(array(&bytes[160..224])).key_pair();
    assert_eq!((public.x25519, &public.kem), (x25519_public, &kem));
    let parts = [&x25519_public[..], &public.opaque, kem.as_bytes()].concat();
    let hash = Sha512::digest([b"sandhog/3 server", &*parts].concat());
    assert_eq!(hash[..32], public.fingerprint);
    ServerValues {
        x25519_public: hex(&x25519_public),
        opaque_public: hex(&public.opaque),
        ek: hex(kem.as_bytes()),
        fingerprint: hex(&public.fingerprint),
        server_key: setup().server_key().to_base64(),
    }
}

/// The first nonce of a peer, one more than the number that it draws.
fn first_nonce(peer: &mut Recorder) -> u128 {
    peer.rng.fill_bytes(&mut [0; 4]);
    let mut start = [0; 16];
    peer.rng.fill_bytes(&mut start[4..]);
    u128::from_be_bytes(start) + 1
}

/// Checks that the messages of these kinds have consecutive nonces.
fn check_nonces(pair: &Pair, first: u128, kinds: &[&str]) {
    for (nonce, kind) in (first..).zip(kinds) {
        assert_eq!(pair.control(kind).1, nonce.to_be_bytes()[4..], "{kind}");
    }
}

/// A sealed part of M1 or M2.
fn sealed(key: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let mut body = plaintext.to_vec();
    let aead = DefaultAead::new(Cipher::ChaCha20Poly1305, key);
    let tag = aead.seal(&[0; 12], &[], &mut body).unwrap();
    [&*body, &tag].concat()
}

/// `chain_0` from its formula, and in the code.
pub(super) type FirstChain = ([u8; 64], Chain);

/// All values of the login, compared with the datagrams.
pub(super) fn login_values(pair: &Pair, record: &Record) -> (LoginGroups, FirstChain, After) {
    let mut client = Recorder::of_stream(CLIENT_SEED, stream::CLIENT);
    let mut server = Recorder::of_stream(SERVER_SEED, stream::SERVER);
    let server_nonce = first_nonce(&mut server);
    check_nonces(pair, server_nonce, &["cookie", "ke2"]);
    let index = client.rng.next_u32();
    let (Control::Hello { time, index: sent }, _) = pair.control("login") else {
        panic!("M0");
    };
    assert_eq!((time, sent), (TIME, index));
    let cookie = cookie_values(pair, index);
    let (m1, request) = m1(pair, &mut client, (index, &bytes(&cookie.cookie)));
    let client_nonce = first_nonce(&mut client);
    check_nonces(pair, client_nonce, &["login", "login-cookie", "ke3"]);
    // The jitter of M0 and M1, and the number of the job.
    for _ in 0..2 {
        client.rng.next_u32();
    }
    client.rng.next_u64();
    let (m2, reply) = m2(pair, &mut server, record, (index, &request));
    let indices = [index, reply.index];
    let (m3, [chain_0, session_key, shared, transcript]) = m3(pair, &mut client, (&request, &reply));
    let sessions = [&mut client, &mut server].map(|peer| {
        let mut session = Recorder::new(seed_from(&mut peer.rng).get_seed());
        forget(&mut peer.rng);
        // The jitter of the next rekey, which is not used, because the first rekey follows at once.
        session.rng.next_u32();
        session
    });
    // The jitter of M3.
    client.rng.next_u32();
    let mix = Psk::new(PSK).unwrap().keys().mix;
    let keys = Chain::first(
        &mix,
        &array(&session_key),
        &Zeroizing::new(array(&shared)),
        &array(&transcript),
    );
    let login = LoginValues {
        client_index: index,
        server_index: reply.index,
        time: TIME,
        client_first_nonce: hex(&client_nonce.to_be_bytes()[4..]),
        server_first_nonce: hex(&server_nonce.to_be_bytes()[4..]),
    };
    let groups = LoginGroups {
        login,
        cookie,
        m1,
        m2,
        m3,
    };
    let after = After {
        peers: [client, server],
        sessions,
        indices,
    };
    (groups, (array(&chain_0), keys), after)
}

/// The cookie secret is the first output of its generator, because the login ends before the secret rotates.
fn cookie_values(pair: &Pair, client_index: u32) -> CookieValues {
    let rng = generator(&SERVER_SEED, stream::COOKIES);
    let mut secret = [0; 32];
    rng.clone().fill_bytes(&mut secret);
    let cookie = Cookies::new(rng).make(Instant::from_secs(1), client_address(), client_index);
    let port = client_address().port().to_be_bytes();
    let input = [&[198, 51, 100, 2][..], &port, &client_index.to_be_bytes()].concat();
    assert_eq!(cookie, mac(&secret, &[&input])[..16]);
    let setup = setup();
    let public = setup.public();
    let sent = Control::Cookie {
        to: client_index,
        cookie,
        fingerprint: public.fingerprint,
        key_half: Box::new(array(&public.kem.as_bytes()[..592])),
    };
    assert!(pair.control("cookie").0 == sent);
    CookieValues {
        secret: hex(&secret),
        input: hex(&input),
        cookie: hex(&cookie),
    }
}

fn m1(pair: &Pair, client: &mut Recorder, (index, cookie): (u32, &[u8])) -> (M1Values, Request) {
    let (_, ke1) = ClientLoginState::start(&account(), PASSWORD, client).unwrap();
    let [blind, keyshare_seed, nonce] = client.take();
    let ephemeral = Ephemeral::new(client).public();
    let [secret] = client.take();
    forget(&mut client.rng);
    assert_eq!(ephemeral, x25519(array(&secret), X25519_BASEPOINT_BYTES));

    let server = setup().public().x25519;
    let dh = x25519(array(&secret), server);
    let k = extract(&[cookie, &index.to_be_bytes()].concat(), &[&dh]);
    let k1 = expand::<32>(&k, &[b"m1", &ephemeral, &server]);
    let mut name = [0; 64];
    name[..LOGIN.len()].copy_from_slice(LOGIN.as_bytes());
    let length = u8::try_from(LOGIN.len()).unwrap();
    let plaintext = [&[length][..], &name, &ke1, &[0; 32]].concat();
    let sealed = sealed(&k1, &plaintext);
    let message = [&index.to_be_bytes()[..], cookie, &ephemeral, &sealed].concat();
    let (sent, _) = pair.control("login-cookie");
    let expected = [&[0x33][..], &TIME.to_be_bytes(), &message].concat();
    assert_eq!(sent.to_bytes(), expected);
    let values = M1Values {
        blind: hex(&blind),
        client_keyshare_seed: hex(&keyshare_seed),
        client_nonce: hex(&nonce),
        ke1: hex(&ke1),
        x25519_secret: hex(&secret),
        x25519_public: hex(&ephemeral),
        dh: hex(&dh),
        k: hex(&*k),
        k1: hex(&*k1),
        plaintext: hex(&plaintext),
        sealed: hex(&sealed),
    };
    let request = Request {
        ke1,
        ephemeral,
        k,
        message,
    };
    (values, request)
}

fn m2(
    pair: &Pair,
    server: &mut Recorder,
    record: &Record,
    (client_index, request): (u32, &Request),
) -> (M2Values, Reply) {
    let (sent, _) = pair.control("ke2");
    let Control::Ke2(Ke2Reply { index, .. }) = sent else {
        panic!("M2");
    };
    let setup = setup();
    let public = setup.public();
    let context = context(Suite::Laboratory, client_index, index, &public.fingerprint);
    let (state, ke2) = respond(
        setup.opaque(),
        Some(record),
        &account(),
        &request.ke1,
        &context,
        server,
    )
    .unwrap();
    let [_, masking_nonce, keyshare_seed, nonce] = server.take();
    forget(&mut server.rng);
    let k2 = expand::<32>(
        &request.k,
        &[b"m2", &request.ephemeral, &public.x25519, &index.to_be_bytes()],
    );
    let plaintext = [&public.opaque[..], &ke2, &public.kem.as_bytes()[592..]].concat();
    let sealed = sealed(&k2, &plaintext);
    let message = [
        &[0x34][..],
        &client_index.to_be_bytes(),
        &index.to_be_bytes(),
        &sealed,
    ]
    .concat();
    assert_eq!(sent.to_bytes(), message);
    let values = M2Values {
        context: hex(&context),
        masking_nonce: hex(&masking_nonce),
        server_keyshare_seed: hex(&keyshare_seed),
        server_nonce: hex(&nonce),
        ke2: hex(&ke2),
        k2: hex(&*k2),
        plaintext: hex(&plaintext),
        sealed: hex(&sealed),
    };
    let reply = Reply {
        state,
        index,
        message,
    };
    (values, reply)
}

/// M3, and `chain_0` with its three parts.
fn m3(pair: &Pair, client: &mut Recorder, (request, reply): (&Request, &Reply)) -> (M3Values, [Vec<u8>; 4]) {
    let (sent, _) = pair.control("ke3");
    let Control::Ke3(Proof { ke3, .. }) = sent else {
        panic!("M3");
    };
    let session_key = reply.state.verify(&ke3).unwrap();
    assert_eq!(session_key, pair.session_keys[0]);
    let setup = setup();
    let (ct, ss) = setup.public().kem.encapsulate(client);
    let [encapsulation] = client.take();
    assert_eq!(setup.decapsulate(&ct), ss);
    let tag = &mac(&*session_key, &[b"m3", &*ct])[..14];
    let proved = [&[0x35][..], &reply.index.to_be_bytes(), &ke3, &*ct].concat();
    assert_eq!(sent.to_bytes(), [&*proved, tag].concat());
    let transcript = Sha512::new()
        .chain_update(&request.message)
        .chain_update(&reply.message)
        .chain_update(setup.public().kem.as_bytes())
        .chain_update(&proved)
        .finalize();
    let mix = Psk::new(PSK).unwrap().keys().mix;
    let chain_0 = extract(&*mix, &[&*session_key, &*ss, &transcript]);
    let values = M3Values {
        ke3: hex(&ke3),
        session_key: hex(&*session_key),
        encapsulation: hex(&encapsulation),
        ct: hex(&*ct),
        ss: hex(&*ss),
        mac: hex(tag),
        transcript: hex(&transcript),
    };
    let parts = [&chain_0[..], &*session_key, &*ss, &transcript].map(<[u8]>::to_vec);
    (values, parts)
}

/// The ticket in M4.
pub(super) fn ticket_values(registration: &RegistrationValues) -> TicketValues {
    let expiry = TIME / 1000 + TICKET_FOR.as_secs();
    let record_hash = Sha512::digest(bytes(&registration.record));
    let expiry_bytes = expiry.to_be_bytes();
    let key = &setup().to_bytes()[224..];
    let tag = mac(key, &[b"ticket", &record_hash, &expiry_bytes, LOGIN.as_bytes()]);
    TicketValues {
        expiry,
        record_hash: hex(&record_hash),
        ticket: hex(&[&expiry_bytes[..], &tag[..24]].concat()),
    }
}
