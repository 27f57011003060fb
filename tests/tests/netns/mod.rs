//! The real program over real devices: two network namespaces, a pair of veth devices between them, `sandhog server` in
//! one and `sandhog client` in the other. Needs root, `ip` and `ping`; leaves nothing behind.
//!
//! The program is the file that the environment variable `SANDHOG_BIN` names, or else `sandhog` in the folder above
//! this test binary (`target/debug`), where `cargo build --package sandhog` puts it.

mod namespace;
mod program;
mod tap;
mod transfer;
mod tunnel;

use std::net::IpAddr;

use namespace::Namespace;

/// Gives a world to play in, or ends the test with a printed reason where the machine cannot have one. In strict mode
/// (`SANDHOG_STRICT=1`) that is a failure.
macro_rules! world_or_skip {
    ($world:expr) => {
        match $world {
            Ok(world) => world,
            Err(reason) if std::env::var_os("SANDHOG_STRICT").is_some_and(|strict| strict == "1") => {
                panic!("cannot run in strict mode: {reason}")
            }
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        }
    };
}

mod classic;
mod clocks;
mod crowds;
mod disk;
mod dns;
mod gateway;
mod interop;
mod limits;
mod loss;
mod network;
mod operation;
mod paths;
mod plane;
mod recovery;
mod refusals;
mod rekey;
mod secure;
mod traffic;

/// Three pings from one side; they and their answers must be all that crosses both devices.
#[track_caller]
fn ping_three_times(from: &Namespace, to: IpAddr) {
    let before = from.tunnel_packets();
    let output = from.run("ping", &["-c", "3", "-i", "0.1", "-W", "2", &to.to_string()]);
    assert!(
        output.contains("3 packets transmitted, 3 received, 0% packet loss"),
        "{output}"
    );
    let after = from.tunnel_packets();
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (3, 3),
        "packets out of and into the tunnel"
    );
}
