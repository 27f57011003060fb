//! Faults that a tunnel of the secure profile survives. The rows of `docs/survival.md` name each test.

mod accounts;
mod attacks;
mod faults;
mod keys;
mod logins;
mod paths;

use sandhog_sim::Scenario;

use crate::support::AliceAndServer;

/// The scenario of alice and a server that lasts for its duration.
fn scenario(duration: &str, steps: &str, link: &str, rest: &str) -> Scenario {
    let scenario = AliceAndServer {
        duration,
        ends_early: false,
        steps,
        link,
        rest,
        ..AliceAndServer::default()
    };
    scenario.scenario()
}
