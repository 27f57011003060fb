//! The command `relay`: what it is asked, and how it tells.

use std::net::SocketAddr;

use clap::Args;

use super::{BadInput, find_scenario, print, read_seed};
use crate::relay::{self, Order};
use crate::{Scenario, link::LinkConfig};

/// The arguments of `relay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where clients send to; with port 0 a free one is taken and told
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The server that they mean
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Netem's words, such as "delay 20ms 5ms loss 2%", or a scenario (a built-in name or a file), whose first link is taken
    #[arg(long, value_name = "LINK", default_value = "")]
    link: String,
    /// The seed that everything random comes from
    #[arg(long, value_name = "N", value_parser = read_seed, default_value = "1", allow_negative_numbers = true)]
    seed: u64,
}

/// Relays until a signal.
pub(super) fn run(arguments: Arguments) -> Result<(), BadInput> {
    let Arguments {
        listen,
        to,
        link,
        seed,
    } = arguments;
    if to.port() == 0 || to.ip().is_unspecified() {
        return Err(BadInput(format!(
            "`--to {to}` is no place to send to; name the server's own address and port"
        )));
    }
    let order = Order {
        listen,
        to,
        link: read_link(&link)?,
        seed,
    };
    relay::run(order, &mut |line| print(&format!("{line}\n"))).map_err(BadInput)
}

/// A link in netem's words has blanks in it or is empty; a scenario's name has none.
fn read_link(text: &str) -> Result<[LinkConfig; 2], BadInput> {
    let is_scenario = Scenario::builtin(text).is_some() || std::path::Path::new(text).is_file();
    if is_scenario || (text.ends_with(".toml") || text.ends_with(".json")) {
        return relay::of_scenario(&find_scenario(text)?).map_err(BadInput);
    }
    relay::both_ways(text).map_err(|error| BadInput(format!("`--link`: {error}")))
}
