//! Recording of a run as a tape, and replay of a tape.

use sandhog_peer::Instant;

use crate::compare::Second;
use crate::net::{Faults, Noted, NotedFault};
use crate::run::{Run, RunError, RunOptions, finish, run_world};
use crate::setup::{Setup, validate_socket};
use crate::tape::{Address, Entry, Fault, HostFault, Player, Tape, TapeError};
use crate::world::World;

/// Result of a replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The run.
    pub run: Run,
    /// The faults that occurred, as a new tape. Without divergence, it has the entries of the replayed one.
    pub tape: Tape,
    /// The first entry that no longer fits, if any.
    pub divergence: Option<Divergence>,
}

/// The first entry of a tape that no longer fits the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The number of the entry, from 1.
    pub entry: usize,
    /// The entry.
    pub datagrams: Address,
    /// Its time on the tape.
    pub expected: Option<Instant>,
    /// The time at which its datagram was sent now. `None` if it was never sent.
    pub found: Option<Instant>,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            entry,
            datagrams,
            expected,
            found,
        } = self;
        match (found, expected) {
            (None, None) => write!(f, "fault {entry}: {datagrams} was never sent"),
            (None, Some(expected)) => {
                write!(
                    f,
                    "fault {entry}: {datagrams} was sent at {expected} on the tape, but never now"
                )
            }
            (Some(found), Some(expected)) => {
                write!(
                    f,
                    "fault {entry}: {datagrams} was sent at {expected} on the tape, but at {found} now"
                )
            }
            (Some(found), None) => write!(f, "fault {entry}: {datagrams} was sent at {found}"),
        }
    }
}

/// Runs a setup from a seed and writes its faults down.
///
/// # Errors
///
/// As [`run_setup`](crate::run_setup).
pub fn record(setup: &Setup, options: &RunOptions) -> Result<(Run, Tape), RunError> {
    setup.validate()?;
    let faults = Faults {
        noted: true,
        ..Faults::default()
    };
    let world = run_world(setup, options, faults)?;
    let tape = tape_of(setup, options.seed, &world);
    Ok((finish(setup, options, world), tape))
}

/// Replays a tape. The links draw no random numbers: every fault comes from the tape. The seed of `options` is not used.
///
/// # Errors
///
/// [`RunError::Tape`] if the tape is of another setup, names a host that does not exist, or gives a host an address that it
/// cannot have. Otherwise as [`run_setup`](crate::run_setup).
pub fn replay(setup: &Setup, tape: &Tape, options: &RunOptions) -> Result<Replay, RunError> {
    if tape.setup != setup.name {
        let message = format!(
            "the tape is of the scenario `{}`, and this scenario is `{}`",
            tape.setup, setup.name
        );
        return Err(RunError::Tape(TapeError::whole(message)));
    }
    replay_with(setup, tape, options)
}

/// Replays a tape, also one of another setup. A shrunk setup needs this.
///
/// # Errors
///
/// As [`replay`].
pub fn replay_with(setup: &Setup, tape: &Tape, options: &RunOptions) -> Result<Replay, RunError> {
    setup.validate()?;
    let names = host_names(setup);
    let player = Player::new(tape, &names).map_err(RunError::Tape)?;
    check_host_faults(setup, tape).map_err(RunError::Tape)?;
    let options = RunOptions {
        seed: tape.seed,
        ..*options
    };
    let faults = Faults {
        random: false,
        director: Box::new(player),
        noted: true,
    };
    let world = run_world(setup, &options, faults)?;
    let divergence = divergence(tape, world.net.used_entries());
    let recorded = tape_of(setup, tape.seed, &world);
    Ok(Replay {
        run: finish(setup, &options, world),
        tape: recorded,
        divergence,
    })
}

/// Checks that the faults of hosts are possible: an adversary has none, and a host needs an address of its own.
fn check_host_faults(setup: &Setup, tape: &Tape) -> Result<(), TapeError> {
    let names: Vec<&str> = setup.hosts.iter().map(|host| host.name.as_str()).collect();
    for (index, entry) in tape.entries.iter().enumerate() {
        let (host, to) = match &entry.fault {
            Fault::Rebind { host, to } => (host, Some(*to)),
            Fault::Crash { host, .. } => (host, None),
            _ => continue,
        };
        if !names.contains(&host.as_str()) {
            return Err(TapeError::no_host(index, host, &names));
        }
        let Some(to) = to else { continue };
        let fail = |message: String| TapeError::of_entry(index, message);
        validate_socket("", to).map_err(|error| fail(error.problem))?;
        let mut others = setup.hosts.iter().filter(|other| other.name != *host);
        if let Some(owner) = others.find(|other| other.address == to) {
            let message = format!("{to} is the address of `{}`; use an unused address", owner.name);
            return Err(fail(message));
        }
    }
    Ok(())
}

/// Replays a tape as [`replay`], and adds a property that compares it with a second run.
///
/// # Errors
///
/// As [`replay`].
pub fn replay_compared(
    setup: &Setup,
    tape: &Tape,
    options: &RunOptions,
    second: &Second,
) -> Result<Replay, RunError> {
    let options = RunOptions {
        detail: options.detail.max(second.detail()),
        ..*options
    };
    let mut replay = replay(setup, tape, &options)?;
    second.judge_often(setup, &mut replay.run, |setup| {
        Ok(replay_with(setup, tape, &options)?.run)
    })?;
    Ok(replay)
}

/// The names of the hosts and then of the adversaries, by number.
pub(crate) fn host_names(setup: &Setup) -> Vec<&str> {
    let hosts = setup.hosts.iter().map(|host| host.name.as_str());
    let adversaries = setup.adversaries.iter().map(|adversary| adversary.name.as_str());
    hosts.chain(adversaries).collect()
}

/// The first entry that was not used, or used at another time.
fn divergence(tape: &Tape, used: &[Option<Instant>]) -> Option<Divergence> {
    let entries = tape.entries.iter().zip(used).zip(1..);
    let mut diverged = entries.filter(|((entry, found), _)| match (entry.sent_at, found) {
        (_, None) => true,
        (Some(expected), Some(found)) => expected != *found,
        (None, Some(_)) => false,
    });
    let ((entry, found), number) = diverged.next()?;
    Some(Divergence {
        entry: number,
        datagrams: entry.datagrams.clone(),
        expected: entry.sent_at,
        found: *found,
    })
}

/// The noted faults of a run as a tape.
pub(crate) fn tape_of(setup: &Setup, seed: u64, world: &World) -> Tape {
    let names = host_names(setup);
    let entries = world.net.noted.iter().map(|noted| entry(noted, &names));
    Tape {
        setup: setup.name.clone(),
        seed,
        entries: entries.collect(),
    }
}

fn entry(noted: &Noted, names: &[&str]) -> Entry {
    let name = |id: u16| names.get(usize::from(id)).copied().unwrap_or_default().to_owned();
    let departure = &noted.departure;
    let fault = match &noted.fault {
        NotedFault::Datagram(fault) => fault.clone(),
        NotedFault::Host(HostFault::Crash(host, down)) => Fault::Crash {
            host: name(*host),
            down: *down,
        },
        NotedFault::Host(HostFault::Rebind(host, to)) => Fault::Rebind {
            host: name(*host),
            to: *to,
        },
    };
    Entry {
        datagrams: Address {
            sender: name(departure.sender),
            receiver: name(departure.receiver),
            kind: departure.kind.into(),
            nth: departure.nth,
            onwards: false,
        },
        sent_at: Some(departure.now),
        fault,
    }
}
