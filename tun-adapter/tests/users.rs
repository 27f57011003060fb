//! File with the users: atomic changes by several processes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Child;

use sandhog::failure::Exit;
use sandhog::users::UsersFile;
use sandhog_proto::secure::{Login, Suite, UserStore};

use crate::support::{Folder, command, record, store, text, user};

fn file(folder: &Folder) -> UsersFile {
    UsersFile::at(&folder.path("users")).expect("the users")
}

fn login(name: &str) -> Login {
    Login::new(name).expect("a login")
}

/// Disables a user in the file.
fn disable(file: &UsersFile, name: &str) {
    file.change(|users| {
        users.disable(&login(name)).expect("a user");
        Ok(())
    })
    .expect("a file of the test");
}

#[test]
fn a_change_replaces_the_whole_file_with_owner_only_permissions() {
    let folder = Folder::with_users(&["alice", "kean"]);
    folder.permit("users", 0o644);
    disable(&file(&folder), "kean");
    let mut expected = store(&["alice", "kean"]);
    expected.disable(&login("kean")).expect("a user");
    assert_eq!(folder.read("users"), expected.to_text());
    let mode = fs::metadata(folder.path("users"))
        .expect("the users")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(folder.names(), ["key", "server.toml", "setup", "users"]);
}

#[test]
fn unchanged_users_are_not_written() {
    let folder = Folder::with_users(&["kean"]);
    disable(&file(&folder), "kean");
    let before = fs::metadata(folder.path("users")).expect("the users").ino();
    disable(&file(&folder), "kean");
    assert_eq!(
        fs::metadata(folder.path("users")).expect("the users").ino(),
        before
    );
}

#[test]
fn the_next_write_removes_the_partial_file_of_a_killed_writer() {
    let folder = Folder::with_users(&["kean"]);
    folder.write(".users.new", "{\"sandhog\":\"users\",\"ver");
    assert!(file(&folder).load().is_ok(), "the partial file is not read");
    disable(&file(&folder), "kean");
    assert_eq!(folder.names(), ["key", "server.toml", "setup", "users"]);
}

#[test]
fn a_failed_write_leaves_the_file_unchanged() {
    let folder = Folder::with_users(&["kean"]);
    // A folder cannot be overwritten by a file, not even by root.
    fs::create_dir(folder.path(".users.new")).expect("the test folder");
    let before = folder.read("users");
    let failure = file(&folder)
        .change(|users| {
            users.disable(&login("kean")).expect("a user");
            Ok(())
        })
        .expect_err("no place for the new file");
    assert_eq!(failure.exit, Exit::Runtime);
    assert!(failure.message().starts_with("cannot write "), "{failure}");
    assert_eq!(folder.read("users"), before);
}

#[test]
fn every_command_reports_a_damaged_file_and_leaves_it_unchanged() {
    let folder = Folder::with_users(&["alice", "kean"]);
    let bad = folder.read("users").replace("kean", "alice");
    folder.write("users", &bad);
    for arguments in [
        &["add", "--password-stdin", "bob"][..],
        &["passwd", "--password-stdin", "alice"],
        &["list"],
        &["disable", "alice"],
        &["enable", "alice"],
        &["unlock", "alice"],
        &["remove", "alice"],
    ] {
        let output = folder.user(arguments, "battery staple\n");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(
            folder.strip(&text(&output.stderr)),
            "error: users:3: a line above has the same user name, alice; remove one of them\n"
        );
    }
    assert_eq!(folder.read("users"), bad);
    assert_eq!(folder.names(), ["key", "server.toml", "setup", "users"]);
}

#[test]
fn a_symbolic_link_to_the_users_stays_a_link() {
    let folder = Folder::with_users(&["kean"]);
    fs::create_dir(folder.path("elsewhere")).expect("the test folder");
    fs::rename(folder.path("users"), folder.path("elsewhere/users")).expect("files of the test");
    symlink("elsewhere/users", folder.path("users")).expect("the test folder");
    disable(&file(&folder), "kean");
    assert!(folder.path("users").is_symlink());
    assert!(folder.read("elsewhere/users").contains("\"disabled\":true"));
}

#[test]
fn concurrent_commands_lose_no_change() {
    let logins = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let folder = Folder::with_users(&logins);
    let config = folder.name("server.toml");
    let disabling = logins.map(|login| {
        command(&["user", "disable", "--config", &config, login])
            .spawn()
            .expect("the program starts")
    });
    for child in disabling {
        let output = child.wait_with_output().expect("the program ends");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let users = file(&folder).load().expect("a valid file");
    assert_eq!(users.iter().filter(|user| user.disabled).count(), logins.len());
}

/// Waits for the child in at most `steps` small steps, until it has ended or `is_due`. Returns the number of
/// steps.
fn wait_in_steps(child: &mut Child, steps: u64, is_due: impl Fn() -> bool) -> u64 {
    (0..steps)
        .take_while(|_| !is_due() && child.try_wait().expect("a child process").is_none())
        .count()
        .try_into()
        .expect("a small number")
}

#[test]
fn a_writer_killed_at_any_moment_leaves_the_old_users_or_the_new_ones() {
    const ROUNDS: u64 = 48;
    let names: Vec<_> = (0..200).map(|number| format!("user{number}")).collect();
    let folder = Folder::with_users(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let config = folder.name("server.toml");
    let mut outcomes = [0, 0];
    let mut round = |steps: u64, is_due: &dyn Fn() -> bool| {
        let old = folder.read("users");
        let mut users = UserStore::parse(&old).expect("the users are whole");
        let is_disabled = users.iter().any(|user| user.disabled);
        let operation = if is_disabled { "enable" } else { "disable" };
        if is_disabled {
            users.enable(&login("user77")).expect("a user");
        } else {
            users.disable(&login("user77")).expect("a user");
        }
        let mut child = command(&["user", operation, "--config", &config, "user77"])
            .spawn()
            .expect("the program starts");
        let taken = wait_in_steps(&mut child, steps, is_due);
        child.kill().expect("a child process");
        child.wait().expect("a child process");
        let found = folder.read("users");
        assert!(
            found == old || found == users.to_text(),
            "neither old nor new:\n{found}"
        );
        outcomes[usize::from(found != old)] += 1;
        taken
    };
    let whole = round(u64::MAX, &|| false);
    for number in 0..ROUNDS {
        // From the start of the process to slightly after its end.
        round(whole * number / (ROUNDS - 6), &|| false);
        // While it writes.
        round(u64::MAX, &|| folder.path(".users.new").exists());
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    disable(&file(&folder), "user0");
    assert_eq!(folder.names(), ["key", "server.toml", "setup", "users"]);
}

#[test]
fn a_password_change_by_a_client_is_merged_with_other_changes_in_the_file() {
    let folder = Folder::with_users(&["alice", "kean"]);
    let known = store(&["alice", "kean"]);
    let mut wanted = known.clone();
    let changed = record(&login("kean"), 2);
    wanted.change(&login("kean"), changed.clone()).expect("a user");

    let file = file(&folder);
    disable(&file, "alice");
    file.change(|users| {
        users.add(user("bob")).expect("a new name");
        Ok(())
    })
    .expect("a file of the test");
    file.save_changes(&known, &wanted.to_text()).expect("a change");

    let users = file.load().expect("a valid file");
    assert_eq!(users.len(), 3);
    assert!(users.get(&login("alice")).expect("alice").disabled);
    let kean = users.get(&login("kean")).expect("kean");
    assert_eq!(kean.record.to_bytes(), changed.to_bytes());
    // The same again, as after a lost reply.
    file.save_changes(&known, &wanted.to_text()).expect("no change");
}

#[test]
fn a_password_change_by_a_client_yields_to_the_operators_change() {
    let known = store(&["alice", "kean"]);
    let kean = login("kean");
    let mut wanted = known.clone();
    wanted.change(&kean, record(&kean, 2)).expect("a user");
    type Work = fn(&mut UserStore);
    let works: [Work; 3] = [
        |users| drop(users.remove(&login("kean")).expect("a user")),
        |users| users.disable(&login("kean")).expect("a user"),
        |users| {
            let other = record(&login("kean"), 3);
            users.change(&login("kean"), other).expect("a user");
        },
    ];
    for work in works {
        let folder = Folder::with_users(&["alice", "kean"]);
        let file = file(&folder);
        file.change(|users| {
            work(users);
            Ok(())
        })
        .expect("a file of the test");
        let before = folder.read("users");
        let failure = file
            .save_changes(&known, &wanted.to_text())
            .expect_err("a conflict");
        assert_eq!(
            folder.printed(&failure),
            "error: the user kean was changed in users at the same time"
        );
        assert_eq!(folder.read("users"), before);
    }
}

#[test]
fn the_user_commands_change_the_file() {
    let folder = Folder::with_users(&["alice"]);
    let say = |arguments: &[&str], input: &str| {
        let output = folder.user(arguments, input);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let find = |name: &str| {
        file(&folder)
            .load()
            .expect("a valid file")
            .get(&login(name))
            .cloned()
    };
    let up = "If the server is running: sudo sandhog reload\n";

    let add = [
        "add",
        "--password-stdin",
        "--address",
        "10.9.0.7",
        "--address",
        "fd00:9::7",
        "--expires",
        "2027-01-31",
        "--max-sessions",
        "3",
        "kean",
    ];
    assert_eq!(say(&add, "correct horse\n"), format!("added kean. {up}"));
    let kean = find("kean").expect("kean");
    assert_eq!((kean.suite, kean.expires), (Suite::Standard, Some(1_801_353_600)));
    assert_eq!(
        say(&["list"], ""),
        "LOGIN  STATE    EXPIRES     SESSIONS  ADDRESSES\n\
         alice  enabled  never       1         any\n\
         kean   enabled  2027-01-31  3         10.9.0.7, fd00:9::7\n"
    );

    assert_eq!(say(&["disable", "kean"], ""), format!("disabled kean. {up}"));
    assert!(find("kean").expect("kean").disabled);
    let passwd = say(&["passwd", "--password-stdin", "kean"], "battery staple\n");
    assert_eq!(passwd, format!("changed the password of kean. {up}"));
    let again = find("kean").expect("kean");
    assert_ne!(again.record.to_bytes(), kean.record.to_bytes());
    assert!(again.disabled && again.address4.is_some() && again.max_sessions == 3);
    assert_eq!(say(&["enable", "kean"], ""), format!("enabled kean. {up}"));
    assert!(!find("kean").expect("kean").disabled);
    assert_eq!(say(&["remove", "kean"], ""), format!("removed kean. {up}"));
    assert!(find("kean").is_none());

    assert_eq!(say(&["unlock", "alice"], ""), format!("unlocked alice. {up}"));
    say(&["unlock", "alice"], "");
    let file = file(&folder);
    assert_eq!(file.take_unlocks().expect("a file of the test"), [login("alice")]);
    assert_eq!(file.take_unlocks().expect("no file"), []);
}

#[test]
fn invalid_user_commands_exit_with_2_and_change_nothing() {
    let folder = Folder::with_users(&["kean"]);
    let before = folder.read("users");
    let refuse = |arguments: &[&str], input: &str, expected: &str| {
        let output = folder.user(arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(folder.strip(&text(&output.stderr)), expected, "{arguments:?}");
    };
    let nobody = "error: nobody: no user has this name\n\
                  help: `sandhog user list` shows all users\n";
    for command in ["disable", "enable", "unlock", "remove"] {
        refuse(&[command, "nobody"], "", nobody);
    }
    refuse(
        &["passwd", "--password-stdin", "nobody"],
        "correct horse\n",
        nobody,
    );
    refuse(
        &["add", "--password-stdin", "kean"],
        "correct horse\n",
        "error: kean: a user with this name already exists\n\
         help: `sandhog user passwd` changes the password\n",
    );
    refuse(
        &["add", "--password-stdin", "bob"],
        "\n",
        "error: the password is empty\n",
    );
    refuse(
        &["add", "bob"],
        "correct horse\n",
        "error: cannot ask for the password: standard input is not a terminal\n\
         help: to read it from a pipe, use `--password-stdin`\n",
    );
    let address = |address: &str, expected: &str| {
        refuse(
            &["add", "--address", address, "bob"],
            "",
            &format!("error: {expected}\n"),
        );
    };
    address("10.9.0.1", "10.9.0.1 is the server's own address");
    address(
        "10.8.0.7",
        "10.8.0.7 is not in a network of the server (10.9.0.1/24, fd00:9::1/64)",
    );
    refuse(
        &["add", "--address", "10.9.0.7", "--address", "10.9.0.8", "bob"],
        "",
        "error: 10.9.0.8 is a second address of its family; a user can have only one\n",
    );
    assert_eq!(folder.read("users"), before);
}

#[test]
fn user_commands_reject_the_file_of_a_classic_server() {
    let folder = Folder::with_users(&[]);
    let text_before = folder.read("server.toml");
    folder.write("server.toml", &format!("profile = \"classic\"\n{text_before}"));
    let output = folder.user(&["list"], "");
    assert_eq!(output.status.code(), Some(2));
    let said = folder.strip(&text(&output.stderr));
    assert!(
        said.starts_with("error: server.toml is a file of the classic profile\nhelp: its users are"),
        "{said}"
    );
}
