//! A `bye` that the network delivers late: the client's tunnel outlives it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::is_long;
use super::ping_three_times;
use super::stranger::SERVER;
use super::tunnel::{Outer, SERVER_INNER, Testbed, Tunnel};

/// First byte of a datagram of a session.
const SESSION: u8 = 3;
/// Address of the relay in the client's namespace.
const NEAR: &str = "127.0.0.1:5000";
/// Interval at which the relay looks for its end.
const TICK: Duration = Duration::from_millis(50);

/// The treatment of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Treatment {
    /// All pass. The receiver indices of those to the client are noted.
    #[default]
    Pass,
    /// None passes.
    Cut,
    /// Datagrams to the client with a noted index are kept. The others pass.
    Hold,
    /// The same, but the settings of new sessions (M4) are lost.
    HoldWithoutSettings,
}

#[derive(Debug, Default)]
struct State {
    treatment: Treatment,
    client: Option<SocketAddr>,
    /// Receiver indices of the client's first session.
    noted: BTreeSet<[u8; 4]>,
    held: Vec<Vec<u8>>,
    /// Receiver indices of the lost settings, one for each attempt.
    lost: BTreeSet<[u8; 4]>,
}

/// A relay between client and server. Dropping it ends it.
struct Relay {
    state: Arc<Mutex<State>>,
    near: UdpSocket,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay in the client's namespace. The next client uses it.
    fn start(testbed: &Testbed) -> Self {
        let [near, far] = testbed
            .client
            .enter(|| [NEAR, "0.0.0.0:0"].map(|address| UdpSocket::bind(address).expect("a UDP socket")));
        far.connect(SERVER).expect("a route");
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(TICK)).expect("a valid time");
        }
        testbed.edit("client.toml", &Outer::V4.server(), NEAR);
        let mut relay = Self {
            state: Arc::default(),
            near,
            is_over: Arc::default(),
            threads: Vec::new(),
        };
        let (state, from, to) = (
            relay.state.clone(),
            relay.clone_of(&relay.near),
            relay.clone_of(&far),
        );
        relay.spawn(move |buffer| {
            if let Ok((len, client)) = from.recv_from(buffer) {
                let mut state = lock(&state);
                state.client = Some(client);
                if state.treatment != Treatment::Cut {
                    // The kernel reports here that a server is not running.
                    let _ = to.send(&buffer[..len]);
                }
            }
        });
        let (state, near) = (relay.state.clone(), relay.clone_of(&relay.near));
        relay.spawn(move |buffer| {
            if let Ok(len) = far.recv(buffer) {
                lock(&state).deliver(&near, &buffer[..len]);
            }
        });
        relay
    }

    fn clone_of(&self, socket: &UdpSocket) -> UdpSocket {
        socket.try_clone().expect("a file descriptor")
    }

    /// Starts a thread that repeats `step` until the end.
    fn spawn(&mut self, mut step: impl FnMut(&mut [u8]) + Send + 'static) {
        let is_over = self.is_over.clone();
        self.threads.push(thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !is_over.load(Ordering::Relaxed) {
                step(&mut buffer);
            }
        }));
    }

    fn treat(&self, treatment: Treatment) {
        lock(&self.state).treatment = treatment;
    }

    /// Waits until the settings of this number of logins were lost.
    fn wait_for_lost(&self, count: usize) {
        let start = Instant::now();
        while lock(&self.state).lost.len() < count {
            assert!(start.elapsed() < Duration::from_secs(20), "no {count} logins");
            thread::sleep(TICK);
        }
    }

    /// Delivers the held datagrams. Returns their number.
    fn release(&self) -> usize {
        let mut state = lock(&self.state);
        let client = state.client.expect("a client");
        for payload in &state.held {
            self.near.send_to(payload, client).expect("loopback");
        }
        std::mem::take(&mut state.held).len()
    }
}

impl State {
    fn deliver(&mut self, near: &UdpSocket, payload: &[u8]) {
        let index = match payload {
            [SESSION, a, b, c, d, ..] => Some([*a, *b, *c, *d]),
            _ => None,
        };
        let is_noted = index.is_some_and(|index| self.noted.contains(&index));
        match (self.treatment, index) {
            (Treatment::Cut, _) => return,
            (Treatment::Pass, index) => self.noted.extend(index),
            (Treatment::Hold | Treatment::HoldWithoutSettings, _) if is_noted => {
                return self.held.push(payload.to_vec());
            }
            (Treatment::HoldWithoutSettings, Some(index)) => {
                self.lost.insert(index);
                return;
            }
            (Treatment::Hold | Treatment::HoldWithoutSettings, _) => {}
        }
        if let Some(client) = self.client {
            near.send_to(payload, client).expect("loopback");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was printed.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a ping that gets no answer, so that the client detects the cut connection after 15 s.
fn ping_in_vain(testbed: &Testbed) {
    let to = SERVER_INNER[0].to_string();
    let ping = ["-c", "1", "-W", "1", &to];
    testbed.client.run_to_failure("ping", &ping);
}

/// Time for which a `bye` is held after the reconnect.
fn hold() {
    let time = if is_long() { 12_000 } else { 500 };
    thread::sleep(Duration::from_millis(time));
}

#[test]
fn a_bye_that_is_held_over_a_reconnect_does_not_end_the_tunnel() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let relay = Relay::start(&testbed);
    let Tunnel {
        mut server,
        mut client,
    } = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    relay.treat(Treatment::Cut);
    ping_in_vain(&testbed);
    client.wait_for("status: reasserting");
    // The server accepts two logins, but the client does not learn it. Its first session is its only one until then.
    relay.treat(Treatment::HoldWithoutSettings);
    relay.wait_for_lost(2);
    hold();
    let early = relay.release();
    relay.treat(Treatment::Hold);
    client.wait_for("status: connected");
    // Now the server has sent the `bye` of the first session.
    server.wait_for("session of kean ended: replaced");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    hold();
    let late = relay.release();
    println!("held datagrams of the first session: {early} during the attempts, {late} after the reconnect");
    assert!(early + late > 0, "no bye was held");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("status: reasserting").count(), 1, "{log}");
}
