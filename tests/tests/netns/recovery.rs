//! Sudden ends: either side killed under a transfer, and what is left behind of an end of any kind.

use std::io::Write;
use std::time::Duration;

use super::namespace::assert_unchanged;
use super::ping_three_times;
use super::transfer::{Echo, receive, text};
use super::tunnel::{Outer, PASSWORD, SERVER_INNER, Tunnel, USER, World};

/// A client notices after 15 s that its server is gone, and TCP waits longer and longer before it tries again.
const LONG: Duration = Duration::from_secs(90);

#[test]
fn tcp_goes_on_after_the_server_was_killed_and_started_again() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel { server, mut client } = world.tunnel();
    let text = text(4 << 20);
    let (first, rest) = text.split_at(1 << 20);
    let echo = Echo::start(&world.server, SERVER_INNER[0], LONG);
    let (mut writer, mut reader) = echo.connect(&world.client);
    writer.write_all(first).expect("send");
    let mut back = receive(&mut reader, first.len());
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(rest).expect("send"));
        // Killed, and under way again at once; the client learns of it from answers that do not come.
        drop(server);
        let _server = world.start_server();
        client.wait_for("status: reasserting");
        client.wait_for("status: connected");
        ping_three_times_at_last(&world);
        back.extend(receive(&mut reader, rest.len()));
    });
    assert!(back == text, "other bytes came back than were sent");
}

/// As long as TCP sends too, pings are not all that crosses.
fn ping_three_times_at_last(world: &World) {
    let to = SERVER_INNER[1].to_string();
    world
        .client
        .run("ping", &["-c", "3", "-i", "0.1", "-W", "2", &to]);
}

#[test]
fn tcp_goes_on_after_the_client_was_killed_and_started_again() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.user(&["remove", USER], "");
    world.user(
        &["add", "--password-stdin", "--address", "10.9.0.77", USER],
        PASSWORD,
    );
    let Tunnel {
        server: _server,
        client,
    } = world.tunnel();
    let text = text(4 << 20);
    let (first, rest) = text.split_at(1 << 20);
    let echo = Echo::start(&world.server, SERVER_INNER[0], LONG);
    let (mut writer, mut reader) = echo.connect(&world.client);
    writer.write_all(first).expect("send");
    let mut back = receive(&mut reader, first.len());
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(rest).expect("send"));
        drop(client);
        let _client = world.start_client();
        back.extend(receive(&mut reader, rest.len()));
    });
    assert!(back == text, "other bytes came back than were sent");
}

#[test]
fn nothing_is_left_behind_by_a_stop_and_nothing_by_a_kill() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let state = || [&world.server, &world.client].map(|namespace| namespace.state());
    let before = state();
    let tunnel = world.tunnel();
    ping_three_times(&world.client, SERVER_INNER[0]);
    assert_ne!(state(), before, "a tunnel that is up can be seen");
    tunnel.stop();
    let unchanged = || {
        before
            .iter()
            .zip(state())
            .for_each(|(before, after)| assert_unchanged(before, &after));
    };
    unchanged();
    let Tunnel { server, client } = world.tunnel();
    ping_three_times(&world.client, SERVER_INNER[0]);
    drop((server, client));
    unchanged();
}
