//! Turmoil engine: every host is an async task in turmoil's network. Its socket and its timers wake it.
//!
//! The link model decides the fate of each datagram before turmoil sees it. One more host, the *wire*, is registered last and
//! never crashes. It holds every copy until one tick before the copy is due. turmoil itself adds no latency. So a copy that has
//! left its sender survives a crash of the sender, as in the event engine. turmoil runs the tasks, carries the bytes, and crashes
//! and restarts the hosts.
//!
//! turmoil's clock counts ticks of 1 ms. Its first step only binds the wire's socket, so time 0 of the simulation is turmoil's
//! first millisecond.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use sandhog_peer::{Instant, PacketBuf};
use tokio::sync::Notify;
use turmoil::net::UdpSocket;

use crate::net::FlightKey;
use crate::node::Node;
use crate::record::HostId;
use crate::world::{Power, World};

/// turmoil's tick, the only resolution of this engine.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// The UDP port of every host on turmoil's network.
const PORT: u16 = 9000;

/// The name of the wire on turmoil's network.
const WIRE: &str = "wire";

/// Length of an encoded [`FlightKey`] before the payload, in bytes.
const HEADER_LEN: usize = 20;

/// Capacity of a socket in datagrams. turmoil drops datagrams beyond its default of 64 without an error.
const SOCKET_CAPACITY: usize = 1 << 16;

type Failure = Box<dyn Error>;

/// Shared state of the tasks.
struct Shared {
    world: RefCell<World>,
    /// Wakes a host for a turn, by host number.
    wakes: Vec<Notify>,
    /// Wakes the wire for copies that were sent before the turns of the hosts.
    wire_wake: Notify,
    /// A difference between turmoil and the laboratory. It must never happen, and ends the run.
    fault: RefCell<Option<String>>,
}

/// Runs `world` to the end.
///
/// # Errors
///
/// turmoil lost a datagram or ended a host.
pub(crate) fn run(world: World) -> Result<World, String> {
    let wakes = world.hosts.iter().map(|_| Notify::new()).collect();
    let shared = Rc::new(Shared {
        world: RefCell::new(world),
        wakes,
        wire_wake: Notify::new(),
        fault: RefCell::new(None),
    });
    simulate(&shared).map_err(|error| error.to_string())?;
    let shared = Rc::into_inner(shared).ok_or("a task of turmoil outlived its simulation")?;
    Ok(shared.world.into_inner())
}

fn simulate(shared: &Rc<Shared>) -> Result<(), Failure> {
    let mut sim = build();
    let hosts = shared.wakes.len() as HostId;
    for host in 0..hosts {
        let shared = Rc::clone(shared);
        sim.host(name(host), move || host_task(Rc::clone(&shared), host));
    }
    let on_wire = Rc::clone(shared);
    sim.host(WIRE, move || wire_task(Rc::clone(&on_wire)));
    sim.step()?; // binds the wire's socket, while the hosts wait for time 0
    let mut now = Instant::ZERO;
    while !shared.world.borrow().is_over() {
        for power in shared.world.borrow_mut().begin_tick(now) {
            match power {
                Power::Crash(host) => sim.crash(name(host)),
                Power::Restart(host) => sim.bounce(name(host)),
            }
        }
        for host in (0..hosts).filter(|host| shared.world.borrow().wake_requested(*host)) {
            shared.wakes[usize::from(host)].notify_one();
        }
        if shared.world.borrow().is_over() {
            break;
        }
        if !shared.world.borrow().launched.is_empty() {
            shared.wire_wake.notify_one();
        }
        sim.step()?;
        if let Some(fault) = shared.fault.take() {
            return Err(fault.into());
        }
        let mut world = shared.world.borrow_mut();
        if !world.is_over() && world.net.next_due().is_some_and(|due| due <= now) {
            return Err(format!("turmoil did not deliver a datagram that was due at {now}").into());
        }
        world.end_tick();
        now = now + TICK;
    }
    Ok(())
}

fn build<'a>() -> turmoil::Sim<'a> {
    turmoil::Builder::new()
        .tick_duration(TICK)
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::ZERO)
        .fail_rate(0.0)
        .udp_capacity(SOCKET_CAPACITY)
        .rng_seed(0)
        .epoch(epoch())
        .build()
}

/// A fixed origin of time. Without it turmoil reads the wall clock.
#[expect(
    clippy::disallowed_types,
    reason = "turmoil needs a SystemTime, and this one is a constant"
)]
fn epoch() -> std::time::SystemTime {
    std::time::SystemTime::UNIX_EPOCH
}

fn name(host: HostId) -> String {
    format!("host-{host}")
}

/// The simulated time of the present step. `None` during the first step.
fn present() -> Option<Instant> {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    elapsed.checked_sub(TICK).map(|elapsed| Instant::ZERO + elapsed)
}

/// Waits until `due`, or for ever if it is `None`.
async fn wait_until(due: Option<Instant>) {
    let Some(due) = due else {
        return std::future::pending().await;
    };
    let now = present().unwrap_or_default();
    tokio::time::sleep(due.saturating_duration_since(now)).await;
}

async fn host_task(shared: Rc<Shared>, host: HostId) -> Result<(), Failure> {
    let socket = UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), PORT)).await?;
    let wire = SocketAddr::new(turmoil::lookup(WIRE), PORT);
    if present().is_none() {
        tokio::time::sleep(TICK).await;
    }
    if shared.world.borrow().is_over() {
        return std::future::pending().await; // an earlier host has ended the run
    }
    let mut node = Node::boot(&mut shared.world.borrow_mut(), host);
    let mut deadline = present();
    let mut buffer = vec![0; HEADER_LEN + usize::from(u16::MAX)];
    loop {
        if shared.world.borrow().is_over() {
            return std::future::pending().await; // another host has ended the run
        }
        let now = present().unwrap_or_default();
        let flights = {
            let mut world = shared.world.borrow_mut();
            if let Err(fault) = take_from_wire(&socket, &mut world, &mut buffer) {
                shared.fault.replace(Some(fault));
            }
            let wake_requested = world.take_wake_request(host);
            let arrivals = world.take_arrivals(host);
            if wake_requested || !arrivals.is_empty() || deadline.is_some_and(|due| due <= now) {
                deadline = node.turn(&mut world, arrivals);
            }
            take_launched(&mut world)
        };
        for flight in flights {
            socket.send_to(&flight, wire).await?;
        }
        tokio::select! {
            biased;
            ready = socket.readable() => ready?,
            () = shared.wakes[usize::from(host)].notified() => {}
            () = wait_until(deadline) => {}
        }
    }
}

/// Gives the received payloads back to the network.
fn take_from_wire(socket: &UdpSocket, world: &mut World, buffer: &mut [u8]) -> Result<(), String> {
    while let Ok((len, _)) = socket.try_recv_from(buffer) {
        let message = buffer.get(..len).unwrap_or_default();
        let (key, payload) = decode(message).ok_or("turmoil delivered a truncated message")?;
        if key.due != world.now || !world.net.put_payload(key, PacketBuf::copied_from(payload)) {
            return Err(format!("turmoil delivered {key:?} at {}", world.now));
        }
    }
    Ok(())
}

/// The messages to the wire for all copies sent since the last call. Copies to adversaries are left out, because adversaries are
/// not hosts of turmoil.
fn take_launched(world: &mut World) -> Vec<Vec<u8>> {
    let launched = std::mem::take(&mut world.launched);
    let carried = launched.into_iter().filter_map(|key| {
        let payload = world.is_host(key.target).then(|| world.net.lend_payload(key))?;
        Some(encode(key, &payload?))
    });
    carried.collect()
}

/// Holds every copy until one tick before it is due, so that it arrives in the tick in which it is due.
async fn wire_task(shared: Rc<Shared>) -> Result<(), Failure> {
    let socket = UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), PORT)).await?;
    let hosts = shared.wakes.len() as HostId;
    let addresses: Vec<SocketAddr> = (0..hosts)
        .map(|host| SocketAddr::new(turmoil::lookup(name(host)), PORT))
        .collect();
    let mut held: BTreeMap<FlightKey, Vec<u8>> = BTreeMap::new();
    let mut buffer = vec![0; HEADER_LEN + usize::from(u16::MAX)];
    loop {
        while let Ok((len, _)) = socket.try_recv_from(&mut buffer) {
            let message = buffer.get(..len).unwrap_or_default();
            if let Some((key, _)) = decode(message) {
                held.insert(key, message.to_vec());
            }
        }
        for message in take_launched(&mut shared.world.borrow_mut()) {
            if let Some((key, _)) = decode(&message) {
                held.insert(key, message);
            }
        }
        let now = present().unwrap_or_default();
        while let Some(first) = held.first_entry().filter(|entry| entry.key().due <= now + TICK) {
            let (key, message) = first.remove_entry();
            socket
                .send_to(&message, addresses[usize::from(key.target)])
                .await?;
        }
        let next = held.first_key_value().map(|(key, _)| key.due - TICK);
        tokio::select! {
            biased;
            ready = socket.readable() => ready?,
            () = shared.wire_wake.notified() => {}
            () = wait_until(next) => {}
        }
    }
}

fn encode(key: FlightKey, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_LEN + payload.len());
    message.extend(key.due.as_nanos().to_be_bytes());
    message.extend(key.target.to_be_bytes());
    message.extend(key.source.to_be_bytes());
    message.extend(key.sequence.to_be_bytes());
    message.extend(payload);
    message
}

fn decode(message: &[u8]) -> Option<(FlightKey, &[u8])> {
    let (due, rest) = message.split_first_chunk()?;
    let (target, rest) = rest.split_first_chunk()?;
    let (source, rest) = rest.split_first_chunk()?;
    let (sequence, payload) = rest.split_first_chunk()?;
    let key = FlightKey {
        due: Instant::from_nanos(u64::from_be_bytes(*due)),
        target: HostId::from_be_bytes(*target),
        source: HostId::from_be_bytes(*source),
        sequence: u64::from_be_bytes(*sequence),
    };
    Some((key, payload))
}
