//! Clocks and the time that passes: machines whose clocks differ, and a client that stood still as in a suspend.
//!
//! The clock of the world is not turned here: it is the whole machine's. That it decides nothing while a tunnel is up is what
//! the module `tidy` holds the sources to.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::namespace::Namespace;
use super::ping_three_times;
use super::program::Program;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, World};

/// As long after the machine's start as a clock is ahead here.
const AHEAD: &str = "3600";

/// A world on a machine that can give a process a clock of its own.
fn world_with_clocks() -> Result<World, String> {
    let world = World::secure(Outer::V4)?;
    world
        .client
        .try_run("unshare", &["--time", "--boottime", AHEAD, "--fork", "true"])
        .map_err(|error| format!("needs time namespaces: {error}"))?;
    Ok(world)
}

/// Starts one side with `CLOCK_BOOTTIME` an hour ahead, and waits until it is ready.
#[track_caller]
fn start_ahead(world: &World, namespace: &Namespace, role: &str) -> Program {
    let inner = world.role(namespace, role, &format!("{role}.toml"));
    let mut command = Command::new("unshare");
    command
        .args(["--time", "--boottime", AHEAD])
        // Who ends `unshare` ends the program.
        .args(["--fork", "--kill-child=SIGTERM"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("RUNTIME_DIRECTORY", world.runtime_folder(namespace));
    let mut program = namespace.enter(|| Program::spawn(command));
    program.wait_for("ready: ");
    program
}

#[track_caller]
fn both_ways(world: &World) {
    ping_three_times(&world.client, SERVER_INNER[0]);
    ping_three_times(&world.server, CLIENT_INNER[0]);
}

#[test]
fn a_client_whose_clock_is_an_hour_ahead_of_the_servers_logs_in_and_carries_packets() {
    let world = world_or_skip!(world_with_clocks());
    let _server = world.start_server();
    let _client = start_ahead(&world, &world.client, "client");
    both_ways(&world);
}

#[test]
fn a_client_whose_clock_is_an_hour_behind_the_servers_logs_in_and_carries_packets() {
    let world = world_or_skip!(world_with_clocks());
    let _server = start_ahead(&world, &world.server, "server");
    let _client = world.start_client();
    both_ways(&world);
}

#[test]
fn a_client_that_stood_still_for_longer_than_a_session_lives_unanswered_logs_in_again_by_itself() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let tunnel = world.tunnel();
    let mut client = tunnel.client;
    both_ways(&world);
    // A packet without an answer before the machine sleeps; when it wakes, the network is as it was.
    let cut = "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }";
    world.server.run("nft", &[cut]);
    let to = SERVER_INNER[0].to_string();
    world.client.run_to_failure("ping", &["-c", "1", "-W", "1", &to]);
    client.stand_still();
    world.server.run("nft", &["delete table inet cut"]);
    // Time has to pass: a session is given up 15 s after its first packet without an answer.
    sleep(Duration::from_secs(15));
    client.go_on();
    client.wait_for("status: reasserting");
    client.wait_for("status: connected");
    both_ways(&world);
    let (code, log) = tunnel.server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("kean logged in").count(), 2, "{log}");
}
