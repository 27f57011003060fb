//! `cargo xtask bench-tun`: the real program beside WireGuard in user space, on this machine, in one run.
//!
//! Two network namespaces represent two machines, and a pair of veth devices the cable. All tunnels are up at the same time, each
//! with its own inner network. They are measured in turns, so that other load on the machine affects all of them. A figure is
//! the median of the turns.

mod figures;
mod measure;
mod peers;
mod report;
mod space;
mod tools;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::shell;
use figures::Figures;
use peers::Peer;
use space::Network;

/// Options of the command.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Number of turns for each peer.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Duration of one measurement with iperf3, in seconds.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only this peer; may be given several times. Ratios need `sandhog` and `boringtun`.
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<Name>,
    /// Measure this `sandhog` instead of building one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Skip the idle time and the thousand sessions, which take some minutes.
    #[arg(long)]
    quick: bool,
}

/// A program to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Name {
    /// The cable without a tunnel.
    Direct,
    /// Sandhog's secure profile.
    Sandhog,
    /// Cloudflare's WireGuard in Rust, from crates.io.
    Boringtun,
    /// WireGuard in Go, from the distribution.
    WireguardGo,
}

impl Name {
    const ALL: [Self; 4] = [Self::Direct, Self::Sandhog, Self::Boringtun, Self::WireguardGo];

    const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Sandhog => "sandhog",
            Self::Boringtun => "boringtun",
            Self::WireguardGo => "wireguard-go",
        }
    }
}

/// Prints the tables. Returns true if all promises are kept.
///
/// # Errors
/// A tool is missing, a peer cannot be started, or a measurement fails.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut names = options.peers.clone();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        names = Name::ALL.to_vec();
    }
    tools::check(&names)?;
    let is_ours = names.contains(&Name::Sandhog);
    let program = match &options.program {
        Some(program) => std::path::absolute(program)?,
        None if is_ours => build()?,
        None => PathBuf::new(),
    };
    let network = Network::new()?;
    let peers = names
        .iter()
        .map(|&name| Peer::start(name, &network, &program))
        .collect::<Result<Vec<_>>>()?;
    let mut figures: Vec<Figures> = names.iter().map(|_| Figures::default()).collect();
    for run in 1..=options.runs {
        println!("-- turn {run} of {}: pings", options.runs);
        measure::pings(&network, &peers, &mut figures)?;
        for (peer, figures) in peers.iter().zip(&mut figures) {
            println!("-- turn {run} of {}: {}", options.runs, peer.name.word());
            measure::take(&network, peer, options.seconds, figures)?;
        }
    }
    if !options.quick {
        measure::idle(&peers, &mut figures)?;
    }
    let sessions = if is_ours && !options.quick {
        Some(peers::thousand_sessions(&network, &program)?)
    } else {
        None
    };
    println!("\n{}", report::figures(&names, &figures));
    let (text, is_kept) = report::promises(&names, &figures, sessions);
    println!("{text}");
    Ok(is_kept)
}

/// Builds the program and the example with many clients in release.
fn build() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(
        "build --quiet --release --package sandhog --bin sandhog --example sessions",
    ))?;
    let program = shell::target_dir().join("release/sandhog");
    ensure!(program.is_file(), "there is no {}", program.display());
    Ok(program)
}
