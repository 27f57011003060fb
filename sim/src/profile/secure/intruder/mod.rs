//! Client that does not obey a refusal: after its login was refused, it sends a ping, asks for a rekey, and changes the password.
//!
//! It is written from the specification. A client of the protocol stops after a refusal, so it cannot do this.

mod opaque;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason};
use serde_json::Value;

use opaque::{Attempt, Registration};
use wire::{ControlKeys, SessionKeys, bytes_of, index_of, text_of};

/// The password that the client sets.
const NEW_PASSWORD: &str = "set by the adversary";

/// Interval between the transmissions of a message.
const REPEAT_AFTER: Duration = Duration::from_millis(500);

/// Number of transmissions of a message until the client continues without an answer. A lossy link needs some.
const MAX_TRANSMISSIONS: u32 = 6;

/// A public key of X25519: the base point (RFC 7748, section 4.1). The client never uses the new epoch, so it needs no secret.
const BASE_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

/// A user name and its password.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) login: String,
    pub(super) password: String,
}

/// The message that waits for its answer.
enum Request {
    /// A control datagram. Its repetition has the same bytes.
    Control(&'static str, Vec<u8>),
    /// A session message. It is sealed anew for each transmission.
    Session(&'static str, String),
}

/// The state of the client. Each state but the first and the last waits for an answer.
enum Stage {
    Idle,
    Login(Box<Attempt>, Vec<u8>),
    Confirm,
    Ping,
    Rekey,
    Reg1(Box<Registration>),
    Reg3,
    Over,
}

/// The client.
pub(super) struct Intruder {
    account: Account,
    server: SocketAddr,
    rng: ChaCha20Rng,
    keys: ControlKeys,
    session: Option<SessionKeys>,
    /// Its receiver index.
    index: u32,
    stage: Stage,
    request: Option<Request>,
    transmissions: u32,
    repeat_at: Instant,
}

impl Intruder {
    pub(super) fn new(psk: &[u8; 32], account: Account, server: SocketAddr, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        Self {
            account,
            server,
            index: rng.next_u32() | 1,
            rng,
            keys: ControlKeys::new(psk),
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
            (Some(Request::Control(kind, bytes)), _) => (*kind, bytes.clone()),
            (Some(Request::Session(kind, json)), Some(session)) => (*kind, session.seal(json)),
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

    /// The first message of a login, with the cookie if there is one.
    fn login(&mut self, ke1: &[u8], cookie: Option<&str>) -> Request {
        let (kind, cookie) = match cookie {
            Some(cookie) => ("login-cookie", format!(r#","cookie":"{cookie}""#)),
            None => ("login", String::new()),
        };
        let (index, login, ke1) = (self.index, &self.account.login, text_of(ke1));
        let json = format!(r#"{{"v":2,"t":"login","idx":{index},"login":"{login}","ke1":"{ke1}"{cookie}}}"#);
        Request::Control(kind, self.keys.seal(&mut self.rng, &json))
    }

    fn begin(&mut self, now: Instant, output: &mut Batch) {
        let attempt = Attempt::start(&mut self.rng, &self.account.login, &self.account.password);
        let Some((attempt, ke1)) = attempt else {
            return self.stop();
        };
        let request = self.login(&ke1, None);
        self.stage = Stage::Login(Box::new(attempt), ke1);
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
    fn on_control(&mut self, now: Instant, message: &Value, tag: u64, output: &mut Batch) {
        if index_of(message, "to") != Some(self.index) {
            return;
        }
        let Stage::Login(attempt, ke1) = &self.stage else {
            return;
        };
        if let Some(cookie) = message.get("cookie").and_then(Value::as_str) {
            let ke1 = ke1.clone();
            let request = self.login(&ke1, Some(cookie));
            return self.ask(now, request, tag, output);
        }
        let (Some(theirs), Some(ke2)) = (index_of(message, "idx"), bytes_of(message, "ke2")) else {
            return;
        };
        let Some((ke3, key)) = attempt.finish(&mut self.rng, [self.index, theirs], &ke2) else {
            return self.stop();
        };
        self.session = Some(self.keys.session(&key, theirs));
        let json = format!(r#"{{"v":2,"t":"ke3","to":{theirs},"ke3":"{}"}}"#, text_of(&ke3));
        let request = Request::Control("ke3", self.keys.seal(&mut self.rng, &json));
        self.stage = Stage::Confirm;
        self.ask(now, request, tag, output);
    }

    /// Handles a message of the session.
    fn on_message(&mut self, now: Instant, message: &Value, tag: u64, output: &mut Batch) {
        let kind = message.get("t").and_then(Value::as_str).unwrap_or_default();
        match (&self.stage, kind) {
            (Stage::Confirm, "") => match message.get("isOK").and_then(Value::as_bool) {
                Some(false) => self.continue_with(now, Stage::Ping, tag, output),
                _ => self.stop(), // accepted
            },
            (_, "ping") => self.answer(message, tag, output),
            (Stage::Ping, "pong") => self.continue_with(now, Stage::Rekey, tag, output),
            (Stage::Rekey, "rekeyed") => self.change_password(now, tag, output),
            (Stage::Reg1(registration), "reg2") => {
                let reg2 = bytes_of(message, "reg2").unwrap_or_default();
                let Some(record) = registration.finish(&mut self.rng, &reg2) else {
                    return self.stop();
                };
                self.stage = Stage::Reg3;
                let json = format!(r#"{{"t":"reg3","reg3":"{}"}}"#, text_of(&record));
                self.ask(now, Request::Session("reg3", json), tag, output);
            }
            (Stage::Reg3, "regOk") => self.stop(),
            _ => {}
        }
    }

    /// Goes on with a ping or a rekey.
    fn continue_with(&mut self, now: Instant, stage: Stage, tag: u64, output: &mut Batch) {
        let request = match stage {
            Stage::Rekey => {
                let (index, pk) = (self.index ^ 2, text_of(&BASE_POINT));
                let json = format!(r#"{{"t":"rekey","n":1,"idx":{index},"pk":"{pk}"}}"#);
                Request::Session("rekey", json)
            }
            _ => Request::Session("ping", r#"{"t":"ping","n":1}"#.into()),
        };
        self.stage = stage;
        self.ask(now, request, tag, output);
    }

    fn change_password(&mut self, now: Instant, tag: u64, output: &mut Batch) {
        let started = Registration::start(&mut self.rng, &self.account.login, NEW_PASSWORD);
        let Some((registration, reg1)) = started else {
            return self.stop();
        };
        self.stage = Stage::Reg1(Box::new(registration));
        let json = format!(r#"{{"t":"reg1","reg1":"{}"}}"#, text_of(&reg1));
        self.ask(now, Request::Session("reg1", json), tag, output);
    }

    /// Answers a ping of the server.
    fn answer(&mut self, ping: &Value, tag: u64, output: &mut Batch) {
        let number = ping.get("n").and_then(Value::as_u64).unwrap_or_default();
        let json = format!(r#"{{"t":"pong","n":{number}}}"#);
        if let Some(bytes) = self.session.as_mut().map(|session| session.seal(&json)) {
            self.send("pong", &bytes, tag, output);
        }
    }

    /// Repeats the request, or goes on without an answer to it.
    fn on_timeout(&mut self, now: Instant, output: &mut Batch) {
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
