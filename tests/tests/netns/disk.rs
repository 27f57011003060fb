//! A full disk: nothing is lost, what was changed is undone, and the message says what to do.

use std::fs;
use std::process::Command;

use super::namespace::assert_unchanged;
use super::network::full_tunnel;
use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, Tunnel, USER, World};

/// A file system of 32 KiB in memory on a folder, for as long as a test runs.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount_on(folder: std::path::PathBuf) -> Self {
        fs::create_dir(&folder).expect("a folder of ours");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"])
            .arg(&folder)
            .status();
        assert!(status.expect("mount").success());
        Self(folder)
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let path = self.0.join("ballast");
        assert!(
            fs::write(path, [0; 1 << 20]).is_err(),
            "a megabyte fits into 32 KiB"
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg(&self.0).status() {
            eprintln!("umount: {error}");
        }
    }
}

/// A world whose users are on a small disk.
fn users_on_a_small_disk() -> Result<(World, SmallDisk), String> {
    let world = World::secure(Outer::V4)?;
    let disk = SmallDisk::mount_on(world.path("disk"));
    fs::copy(world.path("users"), world.path("disk/users")).expect("there is room");
    world.edit(
        "server.toml",
        "users-file = \"users\"",
        "users-file = \"disk/users\"",
    );
    Ok((world, disk))
}

const FULL: &str = "No space left on device";
const ADVICE: &str = "help: nothing was changed; free some disk space";

#[test]
fn a_full_disk_ends_a_command_on_users_with_code_1_and_the_users_as_they_were() {
    let (world, disk) = world_or_skip!(users_on_a_small_disk());
    disk.fill();
    let before = fs::read(world.path("disk/users")).expect("the users");
    let config = world.path("server.toml").display().to_string();
    let (code, said) = world.try_sandhog(&["user", "disable", "--config", &config, USER], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("disk/users: {FULL}")) && said.contains(ADVICE),
        "{said}"
    );
    assert_eq!(fs::read(world.path("disk/users")).expect("the users"), before);
    let names: Vec<_> = fs::read_dir(world.path("disk"))
        .expect("the disk")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_password_that_a_full_disk_does_not_take_is_not_changed_and_the_old_one_is_good() {
    let (world, disk) = world_or_skip!(users_on_a_small_disk());
    let mut server = world.start_server();
    disk.fill();
    let before = fs::read(world.path("disk/users")).expect("the users");
    let config = world.path("client.toml").display().to_string();
    let passwd = ["passwd", "--config", &config, "--password-stdin"];
    let (code, said) = world
        .client
        .enter(|| world.try_sandhog(&passwd, "battery staple\n"));
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("help: the server may or may not have taken"),
        "{said}"
    );
    server.wait_for(FULL);
    assert_eq!(fs::read(world.path("disk/users")).expect("the users"), before);
    let _client = world.start_client();
    ping_three_times(&world.client, SERVER_INNER[0]);
}

#[test]
fn where_the_record_of_changes_does_not_fit_both_sides_end_with_code_1_before_they_change_anything() {
    let world = world_or_skip!(World::secure(Outer::V4));
    for (namespace, role) in [(&world.client, "client"), (&world.server, "server")] {
        let disk = SmallDisk::mount_on(world.path(&format!("run-{}", namespace.name())));
        disk.fill();
        let before = namespace.state();
        let (code, log) = world.spawn(namespace, role, &format!("{role}.toml")).wait();
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains(&format!("sandhog0.json: {FULL}")) && log.contains(ADVICE),
            "{log}"
        );
        assert_unchanged(&before, &namespace.state());
    }
}

#[test]
fn a_disk_that_is_full_by_the_end_keeps_nothing_from_being_undone() {
    let world = world_or_skip!(full_tunnel());
    let disk = SmallDisk::mount_on(world.path(&format!("run-{}", world.client.name())));
    let before = world.client.state();
    let Tunnel { server, client } = world.tunnel();
    disk.fill();
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_unchanged(&before, &world.client.state());
    assert!(!disk.0.join("sandhog0.json").exists());
    drop(server);
}
