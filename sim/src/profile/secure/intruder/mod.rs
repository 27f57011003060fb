//! Client with an account that does not follow the protocol: it continues after a refusal, or floods its own session.
//!
//! It is written from the specification. A client of the protocol stops after a refusal, so it cannot do this.

mod opaque;
pub(super) mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason};
use serde_json::Value;

use opaque::{Attempt, Context, Registration};
use sandhog_proto::kem::Seed;
use sandhog_proto::secure::WallClock;
use wire::{ControlKeys, ServerKeys, SessionKeys, bytes_of, text_of};

/// The password that the client sets.
const NEW_PASSWORD: &str = "set by the adversary";

/// Interval between the transmissions of a message.
const REPEAT_AFTER: Duration = Duration::from_millis(500);

/// Number of transmissions of a message until the client continues without an answer. A lossy link needs some.
const MAX_TRANSMISSIONS: u32 = 6;

/// Interval between the requests of a flood.
const FLOOD_EVERY: Duration = Duration::from_millis(10);

/// The purpose of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Continues after a refusal: sends a ping, asks for a rekey, and changes the password.
    Continue,
    /// Asks in its accepted session for rekeys and for changes of the password without end.
    Flood,
}

/// A user name and its password.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) login: String,
    pub(super) password: String,
}

/// The message that waits for its answer.
enum Request {
    /// A message of the login, made from the present time. It is sealed anew for each transmission.
    Control(&'static str, Box<dyn Fn(u64) -> Vec<u8> + Send>),
    /// A session message. It is sealed anew for each transmission.
    Session(&'static str, Vec<u8>),
}

/// The state of the client. Each state but the first and the last waits for an answer.
enum Stage {
    Idle,
    Login(Box<Attempt>, Vec<u8>, Option<Box<wire::Request>>),
    Confirm,
    /// Number of requests.
    Flood(u64),
    Ping,
    Rekey,
    Prove(Box<Attempt>),
    Register(Box<Registration>, Vec<u8>),
    Reg3,
    Over,
}

/// The client.
pub(super) struct Intruder {
    account: Account,
    aim: Aim,
    server: SocketAddr,
    rng: ChaCha20Rng,
    keys: ControlKeys,
    server_keys: ServerKeys,
    clock: WallClock,
    session: Option<SessionKeys>,
    /// Its receiver index.
    index: u32,
    /// Receiver index of the server in the first epoch.
    theirs: u32,
    /// X25519 secret of M1.
    ephemeral: [u8; 32],
    stage: Stage,
    request: Option<Request>,
    transmissions: u32,
    repeat_at: Instant,
}

impl Intruder {
    pub(super) fn new(
        (psk, server_keys, clock): (&[u8; 32], ServerKeys, WallClock),
        account: Account,
        server: SocketAddr,
        aim: Aim,
        seed: [u8; 32],
    ) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut ephemeral = [0; 32];
        rng.fill_bytes(&mut ephemeral);
        Self {
            account,
            aim,
            server,
            index: rng.next_u32() | 1,
            theirs: 0,
            ephemeral,
            rng,
            keys: ControlKeys::new(psk),
            server_keys,
            clock,
            session: None,
            stage: Stage::Idle,
            request: None,
            transmissions: 0,
            repeat_at: Instant::ZERO,
        }
    }

    /// Sends a new request in place of the present one.
    fn ask(&mut self, now: Instant, request: Request, tag: u64, output: &mut Batch) {
        self.request = Some(request);
        self.transmissions = 0;
        self.transmit(now, tag, output);
    }

    /// Sends the present request.
    fn transmit(&mut self, now: Instant, tag: u64, output: &mut Batch) {
        let (kind, bytes) = match (&self.request, &mut self.session) {
            (Some(Request::Control(kind, message)), _) => {
                let message = message(self.clock.read(now));
                (*kind, self.keys.seal(&mut self.rng, &message))
            }
            (Some(Request::Session(kind, message)), Some(session)) => (*kind, session.seal(message)),
            _ => return,
        };
        self.transmissions += 1;
        self.repeat_at = now + REPEAT_AFTER;
        self.send(kind, &bytes, tag, output);
    }

    fn send(&self, kind: &'static str, bytes: &[u8], tag: u64, output: &mut Batch) {
        output.datagrams.push(Datagram {
            remote: self.server,
            kind,
            payload: PacketBuf::copied_from(bytes).with_tag(tag),
        });
    }

    fn stop(&mut self) {
        self.stage = Stage::Over;
        self.request = None;
    }

    fn begin(&mut self, now: Instant, output: &mut Batch) {
        let attempt = Attempt::start(&mut self.rng, &self.account.login, &self.account.password);
        let Some((attempt, ke1)) = attempt else {
            return self.stop();
        };
        let index = self.index;
        self.stage = Stage::Login(Box::new(attempt), ke1, None);
        let request = Request::Control("login", Box::new(move |time| wire::m0(time, index)));
        self.ask(now, request, 0, output);
    }

    fn on_datagram(&mut self, now: Instant, payload: &PacketBuf, output: &mut Batch) {
        let tag = payload.tag;
        match &self.session {
            None => {
                if let Some(message) = self.keys.open(payload) {
                    self.on_control(now, &message, tag, output);
                }
            }
            Some(session) => {
                if let Some(message) = session.open(payload) {
                    self.on_message(now, &message, tag, output);
                }
            }
        }
    }

    /// Handles a control message: the cookie or KE2.
    fn on_control(&mut self, now: Instant, message: &[u8], tag: u64, output: &mut Batch) {
        let Stage::Login(attempt, ke1, asked) = &mut self.stage else {
            return;
        };
        if let Some(cookie) = wire::cookie(message, self.index) {
            let own = (self.ephemeral, self.index);
            let request = wire::Request::new(&self.server_keys, own, cookie, (&self.account.login, ke1));
            *asked = Some(Box::new(request.clone()));
            let request = Request::Control("login-cookie", Box::new(move |time| request.message(time)));
            return self.ask(now, request, tag, output);
        }
        let Some(asked) = asked else { return };
        let Some((theirs, ke2)) = asked.ke2(&self.server_keys, message) else {
            return;
        };
        let context = Context {
            purpose: b"sandhog/3",
            indices: [self.index, theirs],
            fingerprint: self.server_keys.fingerprint,
        };
        let Some((ke3, key)) = attempt.finish(&mut self.rng, &context, &ke2) else {
            return self.stop();
        };
        let keys = (&self.server_keys, &self.keys);
        let (m3, session) = asked.proof(keys, &mut self.rng, message, (theirs, &ke3, &key));
        (self.session, self.theirs) = (Some(session), theirs);
        self.stage = Stage::Confirm;
        self.ask(
            now,
            Request::Control("ke3", Box::new(move |_| m3.clone())),
            tag,
            output,
        );
    }

    /// Handles a message of the session.
    fn on_message(&mut self, now: Instant, bytes: &[u8], tag: u64, output: &mut Batch) {
        let message: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let is_rekeyed = bytes.first() == Some(&2);
        let kind = message.get("t").and_then(Value::as_str).unwrap_or_default();
        let bytes = |key: &str| bytes_of(&message, key).unwrap_or_default();
        match (&self.stage, kind) {
            (Stage::Rekey, _) if is_rekeyed => self.change_password(now, tag, output),
            (Stage::Confirm, "") => match message.get("isOK").and_then(Value::as_bool) {
                Some(false) if self.aim == Aim::Continue => self.continue_with(now, Stage::Ping, tag, output),
                Some(true) if self.aim == Aim::Flood => {
                    self.stage = Stage::Flood(0);
                    self.flood(now, tag, output);
                }
                _ => self.stop(),
            },
            (_, "ping") => self.answer(&message, tag, output),
            (Stage::Ping, "pong") => self.continue_with(now, Stage::Rekey, tag, output),
            (Stage::Prove(_), "prove2") => self.prove(now, &bytes("ke2"), tag, output),
            (Stage::Register(registration, key), "reg2") => {
                let reg2 = bytes("reg2");
                let Some(record) = registration.finish(&mut self.rng, &reg2) else {
                    return self.stop();
                };
                let mac = wire::mac(key, &[b"reg3", &reg2, &record]);
                let (record, mac) = (text_of(&record), text_of(&mac[..32]));
                self.stage = Stage::Reg3;
                let json = format!(r#"{{"t":"reg3","reg3":"{record}","mac":"{mac}"}}"#);
                self.ask(now, Request::Session("reg3", json.into()), tag, output);
            }
            (Stage::Reg3, "regOk") => self.stop(),
            _ => {}
        }
    }

    /// Goes on with a ping or a rekey.
    fn continue_with(&mut self, now: Instant, stage: Stage, tag: u64, output: &mut Batch) {
        let request = match stage {
            Stage::Rekey => Request::Session("rekey", self.rekey()),
            _ => Request::Session("ping", br#"{"t":"ping","n":1}"#.to_vec()),
        };
        self.stage = stage;
        self.ask(now, request, tag, output);
    }

    /// A request for new keys. The client never uses the new epoch, so it needs no secret of its X25519 key.
    fn rekey(&mut self) -> Vec<u8> {
        let mut x25519 = [0; 32];
        self.rng.fill_bytes(&mut x25519);
        let index = (self.index ^ 2).to_be_bytes();
        let (_, kem) = Seed::generate(&mut self.rng).key_pair();
        let head = [&[1, 0, 0, 0, 1][..], &index, &[0]].concat();
        [&head, &x25519[..], kem.as_bytes()].concat()
    }

    /// Sends the next request of a flood: a ping first, then rekeys and proofs of the password in turn.
    fn flood(&mut self, now: Instant, tag: u64, output: &mut Batch) {
        let Stage::Flood(sent) = &mut self.stage else {
            return;
        };
        let number = *sent;
        *sent += 1;
        let (kind, message) = match number {
            0 => ("ping", br#"{"t":"ping","n":1}"#.to_vec()),
            odd if odd % 2 == 1 => ("rekey", self.rekey()),
            _ => {
                let Some((_, ke1)) =
                    Attempt::start(&mut self.rng, &self.account.login, &self.account.password)
                else {
                    return self.stop();
                };
                let json = format!(r#"{{"t":"prove1","ke1":"{}"}}"#, text_of(&ke1));
                ("prove1", json.into())
            }
        };
        self.ask(now, Request::Session(kind, message), tag, output);
        self.repeat_at = now + FLOOD_EVERY;
    }

    /// Begins to change the password: asks for a KE2 for the old one.
    fn change_password(&mut self, now: Instant, tag: u64, output: &mut Batch) {
        let started = Attempt::start(&mut self.rng, &self.account.login, &self.account.password);
        let Some((attempt, ke1)) = started else {
            return self.stop();
        };
        self.stage = Stage::Prove(Box::new(attempt));
        let json = format!(r#"{{"t":"prove1","ke1":"{}"}}"#, text_of(&ke1));
        self.ask(now, Request::Session("prove1", json.into()), tag, output);
    }

    /// Proves the old password, and asks to register a new one.
    fn prove(&mut self, now: Instant, ke2: &[u8], tag: u64, output: &mut Batch) {
        let Stage::Prove(attempt) = &self.stage else {
            return;
        };
        let context = Context {
            purpose: b"sandhog/c",
            indices: [self.index, self.theirs],
            fingerprint: self.server_keys.fingerprint,
        };
        let proved = attempt.finish(&mut self.rng, &context, ke2);
        let started = Registration::start(&mut self.rng, &self.account.login, NEW_PASSWORD);
        let (Some((ke3, key)), Some((registration, reg1))) = (proved, started) else {
            return self.stop();
        };
        let mac = wire::mac(&key, &[b"reg1", &reg1]);
        self.stage = Stage::Register(Box::new(registration), key);
        let json = format!(
            r#"{{"t":"prove3","ke3":"{}","reg1":"{}","mac":"{}"}}"#,
            text_of(&ke3),
            text_of(&reg1),
            text_of(&mac[..32])
        );
        self.ask(now, Request::Session("prove3", json.into()), tag, output);
    }

    /// Answers a ping of the server.
    fn answer(&mut self, ping: &Value, tag: u64, output: &mut Batch) {
        let number = ping.get("n").and_then(Value::as_u64).unwrap_or_default();
        let json = format!(r#"{{"t":"pong","n":{number}}}"#);
        if let Some(bytes) = self.session.as_mut().map(|session| session.seal(json.as_bytes())) {
            self.send("pong", &bytes, tag, output);
        }
    }

    /// Repeats the request, or goes on without an answer to it.
    fn on_timeout(&mut self, now: Instant, output: &mut Batch) {
        if matches!(self.stage, Stage::Flood(_)) {
            return self.flood(now, 0, output);
        }
        if self.transmissions < MAX_TRANSMISSIONS {
            return self.transmit(now, 0, output);
        }
        match self.stage {
            Stage::Ping => self.continue_with(now, Stage::Rekey, 0, output),
            Stage::Rekey => self.change_password(now, 0, output),
            _ => self.stop(),
        }
    }
}

impl Peer for Intruder {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        if matches!(self.stage, Stage::Idle) {
            self.begin(now, output);
        }
        for datagram in input.datagrams.drain(..) {
            if datagram.remote == self.server {
                self.on_datagram(now, &datagram.payload, output);
            }
        }
        input.clear();
        if self.request.is_some() && self.repeat_at <= now {
            self.on_timeout(now, output);
        }
        self.request.as_ref().map(|_| (self.repeat_at, Reason::Repeat))
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
