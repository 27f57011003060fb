//! Command line of the simulator for another protocol: `profile = "arq"` in scenario files.
//!
//! ```text
//! cargo run -p sandhog-sim --example arq-sim -- list
//! cargo run -p sandhog-sim --example arq-sim -- run arq-download --out d
//! ```

// The protocol of the example `arq` of sandhog-lab.
#[path = "../../lab/examples/arq/protocol.rs"]
mod protocol;

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use sandhog_lab::setup::{MakePeer, Rules};
use sandhog_sim::scenario::{Builtin, Client, Profile, Scenario, Server};

use protocol::{Arq, KINDS};

#[derive(Debug)]
struct ArqProfile;

impl Profile for ArqProfile {
    fn name(&self) -> &'static str {
        "arq"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn counted_kinds(&self) -> &'static [&'static str] {
        &["data", "ack"]
    }

    /// The protocol neither encrypts nor authenticates. It delivers every packet unchanged and at most once.
    fn rules(&self) -> Rules {
        Rules {
            at_most_once: true,
            ..Rules::plain()
        }
    }

    fn server(&self, _: &Scenario, _: &Server) -> MakePeer {
        Arc::new(|_| Box::new(Arq::default()))
    }

    fn client(&self, _: &Scenario, _: &Client, server: SocketAddr) -> MakePeer {
        Arc::new(move |_| Box::new(Arq::client(server)))
    }

    fn scenarios(&self) -> Vec<Builtin> {
        vec![Builtin {
            name: "arq-download",
            source: include_str!("arq-download.toml"),
            profile: None,
            files: &[],
        }]
    }
}

fn main() -> ExitCode {
    sandhog_sim::cli::main_with(&[&ArqProfile])
}
