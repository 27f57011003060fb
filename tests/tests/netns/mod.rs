//! End-to-end tests of the program in network namespaces: a pair of veth devices connects two namespaces,
//! with `sandhog server` in one and `sandhog client` in the other. They need root, `ip` and `ping`, and leave
//! nothing behind.
//!
//! The path of the program is the value of the environment variable `SANDHOG_BIN`. The default is `sandhog`
//! in the folder above this test binary (`target/debug`), the output of `cargo build --package sandhog`.

mod namespace;
mod program;
mod stranger;
mod tap;
mod transfer;
mod tunnel;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use namespace::Namespace;

/// Returns a testbed. If the machine does not support one, prints the reason and ends the test. In strict
/// mode (`SANDHOG_STRICT=1`) the test fails then.
macro_rules! testbed_or_skip {
    ($testbed:expr) => {
        match $testbed {
            Ok(testbed) => testbed,
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
mod crashes;
mod crowds;
mod disk;
mod dns;
mod forget;
mod gateway;
mod held;
mod interop;
mod limits;
mod loss;
mod network;
mod operation;
mod paths;
mod plane;
mod refusals;
mod rekey;
mod replays;
mod secure;
mod traffic;

/// True if the tests may take minutes and use large numbers (`SANDHOG_LONG=1`, which `cargo xtask netns --long` sets).
fn is_long() -> bool {
    std::env::var_os("SANDHOG_LONG").is_some_and(|long| long == "1")
}

/// Sets a flag when it is dropped, also if the test panics. Otherwise the threads that wait for the flag would run for ever.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends three pings from one side. The tunnel's device must carry exactly these pings and their replies.
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
