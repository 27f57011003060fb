//! Cipher agreement between the two ends of a session.

use alloc::vec;
use core::net::SocketAddr;

use zeroize::Zeroizing;

use crate::kem::CIPHERTEXT_LEN;
use crate::secret::Secret;
use crate::secure::message::NewKey;
use crate::secure::sealer::AES_REKEY_AFTER_MESSAGES;
use crate::secure::session::*;

const AES: Cipher = Cipher::Aes256Gcm;
const CHACHA: Cipher = Cipher::ChaCha20Poly1305;
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 9999);

/// Both ends of a session and their outgoing queues.
struct Ends {
    client: Session,
    server: Session,
    queues: Queues,
    /// The last receiver index that was assigned.
    index: u32,
}

impl Ends {
    /// Two ends of a session that begins now, with the preferred cipher of each and the MTU.
    fn new(preferred: [Cipher; 2], mtu: u16) -> Self {
        let session = |role, (ours, theirs), cipher| {
            let mut session = Session::new(
                role,
                Chain::first(&[1; 64], &[2; 64], &Zeroizing::new([3; 32]), &[4; 64]),
                Indices { ours, theirs },
                ADDRESS,
                Instant::ZERO,
                Generator::from_seed(&Secret::copied_from(&[ours as u8; 32])),
            );
            session.set_limits(mtu, Duration::ZERO);
            session.prefer(cipher);
            session.rekey_now(Instant::ZERO);
            session
        };
        Self {
            client: session(Role::Client, (1, 2), preferred[0]),
            server: session(Role::Server, (2, 1), preferred[1]),
            queues: Queues::default(),
            index: 2,
        }
    }

    /// Runs the client's timers, then delivers all datagrams until both sides are silent. Returns the kinds
    /// of the datagrams in order.
    fn talk(&mut self, now: Instant) -> Vec<&'static str> {
        let index = &mut self.index;
        let mut new_index = || {
            *index += 1;
            *index
        };
        self.client
            .handle_timeout(now, &mut new_index, &mut self.queues)
            .unwrap();
        let mut kinds = vec![];
        let mut is_up = true;
        loop {
            let sent: Vec<_> = core::iter::from_fn(|| self.queues.poll_datagram()).collect();
            if sent.is_empty() {
                return kinds;
            }
            for mut datagram in sent {
                kinds.push(datagram.kind);
                let to = if is_up { &mut self.server } else { &mut self.client };
                let payload = &mut datagram.payload;
                to.open(now, ADDRESS, payload, &mut new_index, &mut self.queues)
                    .unwrap();
            }
            is_up = !is_up;
        }
    }

    fn ciphers(&self) -> [Cipher; 2] {
        [&self.client, &self.server].map(|session| session.info().cipher)
    }
}

fn packet() -> PacketBuf {
    let mut header = [0; 20];
    (header[0], header[3]) = (0x45, 20);
    PacketBuf::copied_from(&header)
}

#[test]
fn a_cipher_that_both_sides_prefer_is_used_after_one_immediate_rekey() {
    let mut ends = Ends::new([AES, AES], 1420);
    assert_eq!(
        ends.ciphers(),
        [CHACHA, CHACHA],
        "a login makes keys for ChaCha20-Poly1305"
    );
    assert_eq!(
        ends.talk(Instant::ZERO),
        ["rekey", "rekeyed", "ping", "pong"],
        "no other datagrams"
    );
    assert_eq!(ends.ciphers(), [AES, AES]);
    assert_eq!(ends.talk(Instant::from_secs(60)), [""; 0]);
    assert_eq!(ends.talk(Instant::from_secs(120))[..2], ["rekey", "rekeyed"]);
    assert_eq!(ends.ciphers(), [AES, AES], "also in later epochs");
}

#[test]
fn a_cipher_that_only_one_side_prefers_is_not_used() {
    let mut client_only = Ends::new([AES, CHACHA], 1420);
    assert_eq!(client_only.talk(Instant::ZERO)[..2], ["rekey", "rekeyed"]);
    assert_eq!(client_only.ciphers(), [CHACHA, CHACHA]);
    assert_eq!(
        client_only.client.info().epoch,
        1,
        "the keys are new nevertheless"
    );
    let mut server_only = Ends::new([CHACHA, AES], 1420);
    assert_eq!(server_only.talk(Instant::ZERO)[..2], ["rekey", "rekeyed"]);
    assert_eq!(server_only.ciphers(), [CHACHA, CHACHA]);
}

#[test]
fn aes_is_not_used_if_the_mtu_is_above_2000_bytes() {
    let mut fits = Ends::new([AES, AES], 2000);
    assert_eq!(fits.talk(Instant::ZERO)[..2], ["rekey", "rekeyed"]);
    assert_eq!(fits.ciphers(), [AES, AES]);
    let mut jumbo = Ends::new([AES, AES], 2001);
    assert_eq!(jumbo.talk(Instant::ZERO)[..2], ["rekey", "rekeyed"]);
    assert_eq!(jumbo.ciphers(), [CHACHA, CHACHA]);
}

/// Attack 22: downgrade, and also the opposite.
#[test]
fn a_client_rejects_a_cipher_that_it_did_not_ask_for() {
    let mut ends = Ends::new([CHACHA, CHACHA], 1420);
    let now = Instant::from_secs(120);
    ends.client
        .handle_timeout(now, &mut || 3, &mut ends.queues)
        .unwrap();
    let answer = Message::Rekeyed(NewKey {
        n: 1,
        index: 4,
        pk: [9; 32],
        cipher: AES,
        kem: Box::new([9; CIPHERTEXT_LEN]),
    });
    let taken = ends.client.message(
        now,
        &PacketBuf::copied_from(&answer.to_bytes()),
        &mut || 5,
        &mut ends.queues,
    );
    assert_eq!(taken.unwrap_err(), DropReason::Unexpected);
    assert_eq!((ends.client.info().epoch, ends.client.info().cipher), (0, CHACHA));
}

/// The message limit of an AES key can be reached within an epoch, on either side.
#[test]
fn a_client_requests_a_rekey_after_the_server_has_sealed_2_to_the_26_aes_messages() {
    let mut ends = Ends::new([AES, AES], 1420);
    ends.talk(Instant::ZERO);
    let now = Instant::from_secs(20);
    let send_last = |ends: &mut Ends, messages| {
        ends.server.epochs.sealer().skip_to(messages - 1);
        ends.server.send_packet(now, packet(), &mut ends.queues);
        let mut datagram = ends.queues.poll_datagram().unwrap();
        ends.client
            .open(now, ADDRESS, &mut datagram.payload, &mut || 5, &mut ends.queues)
            .unwrap();
    };
    send_last(&mut ends, AES_REKEY_AFTER_MESSAGES - 1);
    assert_eq!(ends.talk(now), [""; 0]);
    send_last(&mut ends, AES_REKEY_AFTER_MESSAGES);
    assert_eq!(ends.talk(now)[..2], ["rekey", "rekeyed"]);
    assert_eq!(ends.client.info().epoch, 2);
}
