//! Command `relay`: arguments and output.

use std::net::SocketAddr;

use clap::Args;

use sandhog_lab::link::LinkConfig;

use super::{BadInput, Program, print, read_seed};
use crate::relay::{self, Config};

/// The arguments of `relay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address for the clients; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = read_address)]
    listen: SocketAddr,
    /// Address of the server
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = read_address)]
    to: SocketAddr,
    /// Netem terms, such as "delay 20ms 5ms loss 2%", or a scenario (a built-in
    /// name or a file) with the link to use [default: a perfect link]
    #[arg(long, value_name = "LINK", default_value = "", hide_default_value = true)]
    link: String,
    /// The seed of all randomness
    #[arg(long, value_name = "N", value_parser = read_seed, default_value = "1", allow_negative_numbers = true)]
    seed: u64,
}

fn read_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an address with a port, such as 127.0.0.1:5000 or [::1]:5000".into())
}

/// Runs the relay until a signal ends it.
pub(super) fn run(program: &Program<'_>, arguments: Arguments) -> Result<(), BadInput> {
    let Arguments {
        listen,
        to,
        link,
        seed,
    } = arguments;
    if to.port() == 0 || to.ip().is_unspecified() {
        return Err(BadInput(format!(
            "`--to {to}` is not an address that can receive; give the address and port of the server"
        )));
    }
    let config = Config {
        listen,
        to,
        link: read_link(program, &link)?,
        seed,
    };
    let mut print_line = |line| print(&format!("{line}\n")).map_err(|BadInput(message)| message);
    relay::run(config, &mut print_line).map_err(BadInput)
}

/// The link of a scenario, or a link in netem terms.
fn read_link(program: &Program<'_>, text: &str) -> Result<[LinkConfig; 2], BadInput> {
    let is_builtin = program.builtins().iter().any(|builtin| builtin.name == text);
    let is_scenario = is_builtin || std::path::Path::new(text).is_file();
    if is_scenario || (text.ends_with(".toml") || text.ends_with(".json")) {
        return relay::of_scenario(&program.find_scenario(text)?).map_err(BadInput);
    }
    relay::both_ways(text).map_err(|error| BadInput(format!("`--link`: {error}")))
}
