//! A protocol of your own in the laboratory: both engines, a capture, and two real UDP sockets.
//!
//! ```text
//! cargo run -p sandhog-lab --example arq                # both engines, over a lossy link
//! cargo run -p sandhog-lab --example arq -- arq.pcapng  # the same, and a capture for Wireshark
//! cargo run -p sandhog-lab --example arq -- --udp       # two UDP sockets on loopback
//! ```

mod protocol;
mod udp;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use sandhog_lab::link::LinkConfig;
use sandhog_lab::setup::{Expected, HostSpec, InnerSpec, Rules, Script, Setup};
use sandhog_lab::{Engine, RunOptions, report, run_setup};
use sandhog_netstack::{Service, Task};

use protocol::Arq;

/// A client that downloads 20 kB from the server through the tunnel.
fn setup() -> Setup {
    let [server, client] = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 40404)));
    let inner = |host: u8| InnerSpec::new([10, 9, 0, host].into(), 24);
    let from = SocketAddr::from(([10, 9, 0, 1], 9));
    let script = Script::new(from.ip()).with_step(Task::Download { from, bytes: 20_000 });
    let link: LinkConfig = "delay 20ms 5ms, loss 10%, duplicate 5%".parse().expect("a link");
    Setup {
        name: "arq".into(),
        hosts: vec![
            HostSpec::new("server", server, Arc::new(|_| Box::new(Arq::default())))
                .with_inner(inner(1).with_service(Service::Bulk { port: 9 })),
            HostSpec::new("client", client, Arc::new(move |_| Box::new(Arq::client(server))))
                .with_inner(inner(2))
                .with_script(script),
        ],
        links: vec![(0, 1, link.clone()), (1, 0, link)],
        duration: Duration::from_secs(60),
        liveness: Some(Duration::from_secs(10)),
        expectations: vec![Expected::connected(1)],
        rules: Rules::plain(),
        counted_kinds: vec!["data", "ack"],
        ..Setup::default()
    }
}

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("--udp") => udp::ping().map_err(|error| format!("cannot ping over UDP on loopback: {error}")),
        capture => simulate(capture),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs both engines, prints the checks and digests, and writes a capture to the file `capture`.
///
/// # Errors
///
/// The capture cannot be written.
fn simulate(capture: Option<&str>) -> Result<(), String> {
    let run = |engine| {
        let options = RunOptions {
            engine,
            ..RunOptions::default()
        };
        run_setup(&setup(), &options).expect("a valid setup")
    };
    let (event, turmoil) = (run(Engine::Event), run(Engine::Turmoil));
    for check in &event.checks {
        let result = if check.passed { "passed" } else { "FAILED" };
        println!("{result}  {}: {}", check.name, check.detail);
    }
    println!("retransmissions: {}", event.counters["client.retransmissions"]);
    println!("event    {}\nturmoil  {}", event.digest, turmoil.digest);
    if let Some(path) = capture {
        std::fs::write(path, report::capture(&event)).map_err(|error| {
            format!("cannot write the capture {path}: {error}; name a file in an existing folder")
        })?;
        println!("capture  {path}");
    }
    assert!(event.passed, "a check failed");
    assert_eq!(event.digest, turmoil.digest, "the engines differ");
    Ok(())
}
