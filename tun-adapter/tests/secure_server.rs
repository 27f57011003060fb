//! Running server whose file with users is changed by others at the same time.

use std::fs::File;
use std::future::Future;
use std::time::Duration;

use sandhog::server::secure::RunningServer;
use sandhog::shell::Direct;
use sandhog::users::UsersFile;
use sandhog_proto::EventKind;
use sandhog_proto::secure::{Login, UserStore};
use tokio::time::timeout;

use crate::secure_shell::{ask_for_change, is_changed, is_up, logged_in, server};
use crate::shell::until;
use crate::support::{Folder, PASSWORD, Wire};

/// Runs a server until `is_over`.
async fn serve(
    life: &mut RunningServer<Direct<Wire>>,
    mut is_over: impl FnMut(&mut RunningServer<Direct<Wire>>) -> bool,
) {
    let serving = async {
        while !is_over(life) {
            // A short time, because many changes cause no event.
            if let Ok(step) = timeout(Duration::from_millis(10), life.step()).await {
                step.expect("the device stays");
            }
        }
    };
    timeout(Duration::from_secs(8), serving)
        .await
        .expect("over in time");
}

/// Runs a server for as long as `work` takes.
async fn serve_during<T>(life: &mut RunningServer<Direct<Wire>>, work: impl Future<Output = T>) -> T {
    let serving = async {
        loop {
            life.step().await.expect("the device stays");
        }
    };
    tokio::select! {
        () = serving => unreachable!("it never ends by itself"),
        result = timeout(Duration::from_secs(8), work) => result.expect("done in time"),
    }
}

fn users_of(life: &mut RunningServer<Direct<Wire>>) -> String {
    life.shell().with_peer(|server, _| server.users().to_text())
}

/// Disables alice, as an operator does with an editor.
fn disable_alice(folder: &Folder) {
    let mut users = UserStore::parse(&folder.read("users")).expect("whole");
    users
        .disable(&Login::new("alice").expect("a login"))
        .expect("a user");
    folder.write("users", &users.to_text());
}

#[tokio::test]
async fn reading_users_while_a_password_is_stored_keeps_both_changes() {
    let (folder, mut shell, address) = server(&["alice", "kean"]).await;
    let (mut client, _kernel) = logged_in(&mut shell, address).await;
    let file = UsersFile::at(&folder.path("users")).expect("the users");
    let mut life = RunningServer::new(shell, file);
    let before = folder.read("users");

    // While the lock is held, the new password cannot be stored.
    let lock = File::open(folder.path(".")).expect("the test folder");
    lock.lock().expect("the lock is free");
    ask_for_change(&mut client);
    let changing = async {
        until(&mut client, is_changed).await;
    };
    let meanwhile = async {
        serve(&mut life, |life| life.shell().is_saving()).await;
        disable_alice(&folder);
        life.read_files();
        serve(&mut life, |life| users_of(life) != before).await;
        lock.unlock().expect("the held lock");
        let is_alike = |life: &mut RunningServer<Direct<Wire>>| {
            !life.shell().is_saving() && users_of(life) == folder.read("users")
        };
        serve(&mut life, is_alike).await;
        // Work that is still in progress changes nothing any more.
        serve_during(&mut life, tokio::time::sleep(Duration::from_millis(300))).await;
    };
    tokio::join!(changing, meanwhile);

    let users = UserStore::parse(&folder.read("users")).expect("whole");
    let find = |name: &str| users.get(&Login::new(name).expect("a login")).expect("a user");
    assert!(find("alice").disabled);
    let old = UserStore::parse(&before).expect("whole");
    let kean = old.get(&Login::new("kean").expect("a login")).expect("a user");
    assert_ne!(find("kean").record.to_bytes(), kean.record.to_bytes());
    assert_eq!(users_of(&mut life), users.to_text());
}

#[tokio::test]
async fn only_users_removed_from_the_file_lose_their_sessions() {
    let (folder, mut shell, address) = server(&["alice", "kean"]).await;
    let (mut client, _kernel) = logged_in(&mut shell, address).await;
    let file = UsersFile::at(&folder.path("users")).expect("the users");
    let mut life = RunningServer::new(shell, file.clone());
    let remove = |name: &str| {
        let login = Login::new(name).expect("a login");
        file.change(|users| {
            users.remove(&login).expect("a user");
            Ok(())
        })
        .expect("a file of the test");
    };
    let count = |life: &mut RunningServer<Direct<Wire>>| {
        life.shell()
            .with_peer(|server, _| (server.users().len(), server.session_count()))
    };
    remove("alice");
    life.read_files();
    serve(&mut life, |life| count(life).0 == 1).await;
    assert_eq!(count(&mut life), (1, 1));
    remove("kean");
    life.read_files();
    serve(&mut life, |life| count(life) == (0, 0)).await;
    let down =
        |event: &EventKind| matches!(event, EventKind::Status(status) if status.name() == "reasserting");
    serve_during(&mut life, until(&mut client, down)).await;
}

#[tokio::test]
async fn a_damaged_file_with_users_changes_nothing() {
    let (folder, mut shell, address) = server(&["alice", "kean"]).await;
    let (_client, _kernel) = logged_in(&mut shell, address).await;
    let file = UsersFile::at(&folder.path("users")).expect("the users");
    let mut life = RunningServer::new(shell, file);
    let before = users_of(&mut life);
    folder.write("users", &before.replace("{\"end\":2}\n", ""));
    life.read_files();
    serve_during(&mut life, tokio::time::sleep(Duration::from_millis(300))).await;
    assert_eq!(users_of(&mut life), before);
    let (mut other, _other_kernel) = crate::secure_shell::client(address, PASSWORD).await;
    serve_during(&mut life, until(&mut other, is_up)).await;
}
