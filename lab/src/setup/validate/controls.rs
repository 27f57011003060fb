//! Validation of the controls of a setup: each alone, and all in the order of time.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Checked, ensure, since_start, validate_socket, validate_text};
use crate::grid::round_up;
use crate::record::HostId;
use crate::setup::{Control, Setup};

pub(super) fn validate(setup: &Setup) -> Checked {
    for (index, (at, control)) in setup.controls.iter().enumerate() {
        let field = format!("controls[{index}]");
        setup.before_the_end(&field, since_start(*at))?;
        validate_control(setup, &field, control)?;
    }
    validate_order(setup)
}

fn validate_control(setup: &Setup, field: &str, control: &Control) -> Checked {
    match control {
        Control::Crash(host) | Control::Restart(host) | Control::Command(host, _) => {
            setup.known(field, *host)
        }
        Control::Partition(a, b) | Control::Repair(a, b) => {
            setup.known(field, *a)?;
            setup.known(field, *b)?;
            ensure(a != b, field, "a partition needs two different hosts")
        }
        Control::Rebind(host, to) => {
            setup.known(field, *host)?;
            validate_socket(field, *to)
        }
        Control::Note(text) => validate_text(field, text),
    }
}

/// The state that the controls change.
struct State {
    addresses: Vec<SocketAddr>,
    down: BTreeSet<HostId>,
    partitions: BTreeSet<(HostId, HostId)>,
}

/// Checks the controls in the order in which they happen.
fn validate_order(setup: &Setup) -> Checked {
    let hosts = setup.hosts.iter().map(|host| host.address);
    let adversaries = setup.adversaries.iter().map(|adversary| adversary.address);
    let mut state = State {
        addresses: hosts.chain(adversaries).collect(),
        down: BTreeSet::new(),
        partitions: BTreeSet::new(),
    };
    let mut controls: Vec<_> = setup.controls.iter().enumerate().collect();
    controls.sort_by_key(|(_, (at, _))| round_up(*at, setup.resolution));
    for (index, (_, control)) in controls {
        apply(setup, &mut state, &format!("controls[{index}]"), control)?;
    }
    Ok(())
}

fn apply(setup: &Setup, state: &mut State, field: &str, control: &Control) -> Checked {
    match control {
        Control::Crash(host) => drop(state.down.insert(*host)),
        Control::Restart(host) => drop(state.down.remove(host)),
        Control::Partition(a, b) => drop(state.partitions.insert((*a.min(b), *a.max(b)))),
        Control::Repair(a, b) => {
            let begun = state.partitions.contains(&(*a.min(b), *a.max(b)));
            let problem = "there is no partition between these hosts before that time";
            return ensure(begun, field, problem);
        }
        Control::Command(host, _) => {
            let name = setup.name_of(usize::from(*host));
            let problem = format!("`{name}` is down at that time, so it has no user; restart it first");
            return ensure(!state.down.contains(host), field, problem);
        }
        Control::Rebind(host, to) => {
            let host = usize::from(*host);
            let owner = state.addresses.iter().position(|address| address == to);
            if let Some(owner) = owner.filter(|owner| *owner != host) {
                let problem = format!("{to} is the address of `{}` at that time", setup.name_of(owner));
                return ensure(false, field, problem);
            }
            state.addresses[host] = *to;
        }
        Control::Note(_) => {}
    }
    Ok(())
}
