//! What an operator does beside the tunnels: asking how they are, reloading.

use serde_json::{Value, json};

use super::ping_three_times;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, USER, World};

/// What `sandhog status --json` tells of the one tunnel of a machine.
#[track_caller]
fn status(world: &World, namespace: &super::Namespace) -> Value {
    let (code, stdout, stderr) = world.ask(namespace, &["status", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let mut all: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(all["version"], 1);
    assert_eq!(all["tunnels"].as_array().map(Vec::len), Some(1), "{all}");
    all["tunnels"][0].take()
}

#[test]
fn status_tells_on_both_sides_who_is_connected_and_what_was_carried() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let _tunnel = world.tunnel();
    ping_three_times(&world.client, SERVER_INNER[0]);
    let [inner4, inner6] = CLIENT_INNER.map(|address| address.to_string());

    let client = status(&world, &world.client);
    assert_eq!(client["status"], "connected");
    assert_eq!(
        client["addresses"],
        json!([format!("{inner4}/24"), format!("{inner6}/64")])
    );
    assert_eq!(client["client"]["remote"], "198.18.0.1:40404");
    assert_eq!(client["client"]["login"], USER);
    let server = status(&world, &world.server);
    assert_eq!(server["server"]["logins_accepted"], 1);
    let session = &server["server"]["sessions"][0];
    assert_eq!(session["login"], USER);
    assert_eq!(session["addresses"], json!([inner4, inner6]));
    assert_eq!(session["epoch"], 0);
    assert_eq!(session["bytes_received"], 3 * 84);
    for side in [&client, &server] {
        assert_eq!(side["traffic"]["packets_received"], 3, "{side}");
        assert_eq!(side["traffic"]["bytes_sent"], 3 * 84, "{side}");
        assert_eq!(side["dropped"], json!({}));
    }

    let (code, text, _) = world.ask(&world.server, &["status"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("kean at 198.18.0.2:"), "{text}");
    assert!(
        text.contains("252 B received in 3 packets, 252 B sent in 3 packets"),
        "{text}"
    );
}

#[test]
fn without_a_tunnel_status_and_reload_end_with_code_1() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let (code, _, stderr) = world.ask(&world.server, &["status"]);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(1), "error: no tunnel runs on this machine\n")
    );
    let (code, stdout, _) = world.ask(&world.server, &["status", "--json"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(1), "{\"version\":1,\"tunnels\":[]}\n")
    );
    let (code, _, stderr) = world.ask(&world.server, &["reload"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("error: no server runs that could reload\nhelp: "),
        "{stderr}"
    );
}

#[test]
fn reload_tells_how_many_users_there_are_or_what_is_wrong_with_them() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let server = world.start_server();
    world.user(&["add", "--password-stdin", "alice"], "battery staple");
    let (code, stdout, stderr) = world.ask(&world.server, &["reload"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "sandhog0: 2 users\n"),
        "{stderr}"
    );

    world.edit("users", "{\"end\":2}\n", "");
    let (code, _, stderr) = world.ask(&world.server, &["reload", "--device", "sandhog0"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.starts_with("error: sandhog0: ") && stderr.contains("users"),
        "{stderr}"
    );
    assert_eq!(status(&world, &world.server)["server"]["users"], 2);
    server.terminate();
}

#[test]
fn a_client_and_a_classic_server_have_nothing_to_reload() {
    let world = world_or_skip!(World::classic(Outer::V4));
    let _tunnel = world.tunnel();
    ping_three_times(&world.client, SERVER_INNER[0]);
    for (side, role) in [(&world.server, "server"), (&world.client, "client")] {
        let (code, _, stderr) = world.ask(side, &["reload", "--device", "sandhog0"]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("only a server of the secure profile"), "{stderr}");
        let status = status(&world, side);
        assert_eq!(
            (&status["role"], &status["profile"]),
            (&json!(role), &json!("classic"))
        );
        assert_eq!(status["traffic"]["packets_sent"], 3);
    }
}
