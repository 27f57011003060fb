//! Full disk: no file is damaged, all changes are undone, and the message gives advice.

use std::fs;
use std::process::Command;

use super::namespace::assert_unchanged;
use super::network::full_tunnel;
use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, Testbed, Tunnel, USER};

/// A file system of 32 KiB in memory, mounted on a folder until it is dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount_on(folder: std::path::PathBuf) -> Self {
        fs::create_dir(&folder).expect("the test folder");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"])
            .arg(&folder)
            .status();
        assert!(status.expect("mount").success());
        Self(folder)
    }

    /// Fills it completely.
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

/// A testbed with the file of users on a small disk.
fn users_on_a_small_disk() -> Result<(Testbed, SmallDisk), String> {
    let testbed = Testbed::secure(Outer::V4)?;
    let disk = SmallDisk::mount_on(testbed.path("disk"));
    fs::copy(testbed.path("users"), testbed.path("disk/users")).expect("the disk has space");
    testbed.edit(
        "server.toml",
        "users-file = \"users\"",
        "users-file = \"disk/users\"",
    );
    Ok((testbed, disk))
}

const FULL: &str = "No space left on device";
const ADVICE: &str = "help: nothing was changed; free some disk space";

#[test]
fn a_user_command_on_a_full_disk_exits_with_1_and_changes_nothing() {
    let (testbed, disk) = testbed_or_skip!(users_on_a_small_disk());
    disk.fill();
    let before = fs::read(testbed.path("disk/users")).expect("the users");
    let config = testbed.path("server.toml").display().to_string();
    let (code, printed) = testbed.try_sandhog(&["user", "disable", "--config", &config, USER], "");
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains(&format!("disk/users: {FULL}")) && printed.contains(ADVICE),
        "{printed}"
    );
    assert_eq!(fs::read(testbed.path("disk/users")).expect("the users"), before);
    let names: Vec<_> = fs::read_dir(testbed.path("disk"))
        .expect("the disk")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_password_change_on_a_full_disk_fails_and_the_old_password_stays_valid() {
    let (testbed, disk) = testbed_or_skip!(users_on_a_small_disk());
    let mut server = testbed.start_server();
    disk.fill();
    let before = fs::read(testbed.path("disk/users")).expect("the users");
    let config = testbed.path("client.toml").display().to_string();
    let passwd = ["passwd", "--config", &config, "--password-stdin"];
    let (code, printed) = testbed
        .client
        .enter(|| testbed.try_sandhog(&passwd, "battery staple\n"));
    assert_eq!(code, Some(4), "{printed}");
    assert!(
        printed.contains("help: the server may or may not have stored"),
        "{printed}"
    );
    server.wait_for(FULL);
    assert_eq!(fs::read(testbed.path("disk/users")).expect("the users"), before);
    let _client = testbed.start_client();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

#[test]
fn both_sides_exit_with_1_before_any_change_if_the_record_does_not_fit() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for (namespace, role) in [(&testbed.client, "client"), (&testbed.server, "server")] {
        let disk = SmallDisk::mount_on(testbed.path(&format!("run-{}", namespace.name())));
        disk.fill();
        let before = namespace.state();
        let (code, log) = testbed.spawn(namespace, role, &format!("{role}.toml")).wait();
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains(&format!("sandhog0.json: {FULL}")) && log.contains(ADVICE),
            "{log}"
        );
        assert_unchanged(&before, &namespace.state());
    }
}

#[test]
fn all_changes_are_undone_on_a_disk_that_became_full() {
    let testbed = testbed_or_skip!(full_tunnel());
    let disk = SmallDisk::mount_on(testbed.path(&format!("run-{}", testbed.client.name())));
    let before = testbed.client.state();
    let Tunnel { server, client } = testbed.tunnel();
    disk.fill();
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_unchanged(&before, &testbed.client.state());
    assert!(!disk.0.join("sandhog0.json").exists());
    drop(server);
}
