//! `cargo xtask bench-tun`: the real program beside WireGuard in user space, on this machine, in one run.
//!
//! Two network namespaces stand for two machines, a pair of veth devices for the cable. All tunnels are up at once, each with
//! its own network inside, and take turns in being measured, so that whatever else the machine does is shared by all. A
//! figure is the median of the turns.

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
use space::World;

/// What is measured, and how long.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many turns each peer gets.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seconds that one measurement with iperf3 takes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only this peer; may be given several times. Ratios need `sandhog` and `boringtun`.
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<Name>,
    /// Measure this `sandhog` in place of one that is built now.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Leave out the idle time and the thousand sessions, which take some minutes.
    #[arg(long)]
    quick: bool,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Name {
    /// The bare cable.
    Direct,
    /// Sandhog's secure profile.
    Sandhog,
    /// Cloudflare's WireGuard in Rust, from crates.io.
    Boringtun,
    /// WireGuard in Go, as the distribution has it.
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

/// Prints the tables; whether everything promised is kept.
///
/// # Errors
/// A tool is missing, a peer cannot be started, or a measurement cannot be taken.
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
    let world = World::new()?;
    let peers = names
        .iter()
        .map(|&name| Peer::start(name, &world, &program))
        .collect::<Result<Vec<_>>>()?;
    let mut figures: Vec<Figures> = names.iter().map(|_| Figures::default()).collect();
    for run in 1..=options.runs {
        println!("-- turn {run} of {}: pings", options.runs);
        measure::pings(&world, &peers, &mut figures)?;
        for (peer, figures) in peers.iter().zip(&mut figures) {
            println!("-- turn {run} of {}: {}", options.runs, peer.name.word());
            measure::take(&world, peer, options.seconds, figures)?;
        }
    }
    if !options.quick {
        measure::idle(&peers, &mut figures)?;
    }
    let sessions = if is_ours && !options.quick {
        Some(peers::thousand_sessions(&world, &program)?)
    } else {
        None
    };
    println!("\n{}", report::figures(&names, &figures));
    let (text, is_kept) = report::promises(&names, &figures, sessions);
    println!("{text}");
    Ok(is_kept)
}

/// Builds the program and the crowd of clients as they are delivered.
fn build() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(
        "build --quiet --release --package sandhog --bin sandhog --example sessions",
    ))?;
    let program = shell::target_dir().join("release/sandhog");
    ensure!(program.is_file(), "there is no {}", program.display());
    Ok(program)
}
