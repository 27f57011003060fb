//! Main loop with the secure profile: slow jobs run on other threads, and a new password is valid only after
//! it is stored.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog::clock;
use sandhog::failure::Failure;
use sandhog::shell::{Direct, SaveTask, Shell};
use sandhog::users::UsersFile;
use sandhog_proto::secure::{
    Client, ClientConfig, Login, Psk, Server, ServerConfig, Suite, User, UserStore, WallClock,
};
use sandhog_proto::{Command, EventKind, StartError, TunnelStatus};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

use crate::shell::{until, while_running};
use crate::support::{Folder, PASSWORD, Wire, setup, user};

fn psk() -> Psk {
    Psk::new([7; 32]).expect("a valid key")
}

fn kean() -> Login {
    Login::new("kean").expect("a login")
}

/// A folder with the users of the server, and its shell.
pub(crate) async fn server(logins: &[&str]) -> (Folder, Shell<Server, Direct<Wire>>, SocketAddr) {
    let mut users = UserStore::new();
    for login in logins {
        let laboratory = User {
            suite: Suite::Laboratory,
            ..user(login)
        };
        users.add(laboratory).expect("different names");
    }
    let folder = Folder::new();
    folder.write("users", &users.to_text());
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    let config = ServerConfig {
        psk: psk(),
        second_psk: None,
        setup: setup(),
        users,
        suite: Suite::Laboratory,
        addresses: vec!["10.9.0.1/24".parse().expect("a prefix")],
        mtu: 1420,
        dns: Vec::new(),
        search: Vec::new(),
        routes: Vec::new(),
        keepalive: 0,
        isolate_clients: false,
        clock: Some(clock::wall()),
        checks_clock: true,
        seed: [1; 32],
    };
    let server = Server::new(config).expect("a valid configuration");
    // The output of the device is not read.
    let (device, _kernel) = UnixDatagram::pair().expect("a pair of sockets");
    let shell = Shell::new(server, socket, Wire(device)).expect("a timer");
    (folder, shell, address)
}

/// A client after the command to start, with the kernel's end of its device.
pub(crate) async fn client(
    server: SocketAddr,
    password: &str,
) -> (Shell<Client, Direct<Wire>>, UnixDatagram) {
    client_with(server, password, Some(clock::wall())).await
}

/// The same, with this clock.
async fn client_with(
    server: SocketAddr,
    password: &str,
    clock: Option<WallClock>,
) -> (Shell<Client, Direct<Wire>>, UnixDatagram) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let config = ClientConfig {
        psk: psk(),
        login: kean(),
        password: password.to_owned().into(),
        suite: Suite::Laboratory,
        server,
        server_key: setup().server_key(),
        ticket: None,
        clock,
        mtu_search: false,
        seed: [2; 32],
    };
    let (device, kernel) = UnixDatagram::pair().expect("a pair of sockets");
    let mut shell = Shell::new(Client::new(config), socket, Wire(device)).expect("a timer");
    shell.command(Command::Start);
    (shell, kernel)
}

/// The same, logged in.
pub(crate) async fn logged_in(
    server: &mut Shell<Server, Direct<Wire>>,
    address: SocketAddr,
) -> (Shell<Client, Direct<Wire>>, UnixDatagram) {
    let (mut client, kernel) = client(address, PASSWORD).await;
    while_running(server, until(&mut client, is_up)).await;
    (client, kernel)
}

pub(crate) fn is_up(event: &EventKind) -> bool {
    matches!(event, EventKind::Status(TunnelStatus::Connected))
}

pub(crate) fn is_changed(event: &EventKind) -> bool {
    matches!(event, EventKind::PasswordChanged(_))
}

/// Stores users in the file of the folder.
fn saver(folder: &Folder) -> impl Fn(&Server, &str) -> SaveTask + use<> {
    let file = UsersFile::at(&folder.path("users")).expect("the users");
    move |server, text| {
        let (file, before, after) = (file.clone(), server.users().clone(), text.to_owned());
        Box::new(move || file.save_changes(&before, &after))
    }
}

pub(crate) fn ask_for_change(client: &mut Shell<Client, Direct<Wire>>) {
    client
        .with_peer(|client, now| client.change_password(now, "battery staple".to_owned().into()))
        .expect("a session");
}

/// A client that does not know the time until its shell tells it.
#[tokio::test]
async fn the_shell_tells_a_client_the_time_for_a_server_that_checks_clocks() {
    let (_folder, mut server, address) = server(&["kean"]).await;
    let (mut client, _kernel) = client_with(address, PASSWORD, None).await;
    while_running(&mut server, until(&mut client, is_up)).await;
}

#[tokio::test]
async fn the_shell_corrects_the_clock_of_a_client_before_its_login() {
    let (_folder, mut server, address) = server(&["kean"]).await;
    let wrong = WallClock::new(clock::now(), clock::unix_millis() + 3_600_000);
    let (mut client, _kernel) = client_with(address, PASSWORD, Some(wrong)).await;
    while_running(&mut server, until(&mut client, is_up)).await;
}

#[tokio::test]
async fn a_new_password_is_stored_and_replaces_the_old_one() {
    let (folder, mut server, address) = server(&["kean"]).await;
    server.save_users_with(saver(&folder));
    let (mut first, _kernel) = logged_in(&mut server, address).await;
    let before = folder.read("users");
    ask_for_change(&mut first);
    let events = while_running(&mut server, until(&mut first, is_changed)).await;
    assert_eq!(events.last(), Some(&EventKind::PasswordChanged(Ok(()))));
    let stored = folder.read("users");
    assert_ne!(stored, before);
    assert_eq!(stored, server.with_peer(|server, _| server.users().to_text()));

    for (password, result) in [
        ("battery staple", None),
        (PASSWORD, Some(StartError::AuthenticationRejected)),
    ] {
        let (mut client, _kernel) = client(address, password).await;
        let is_over = |event: &EventKind| matches!(event, EventKind::Started(_));
        let events = while_running(&mut server, until(&mut client, is_over)).await;
        let Some(EventKind::Started(started)) = events.last() else {
            unreachable!("`until` waited for it");
        };
        assert_eq!(started.as_ref().err().copied(), result, "{password}");
    }
}

#[tokio::test]
async fn a_new_password_is_not_accepted_until_it_can_be_stored() {
    let (folder, mut server, address) = server(&["kean"]).await;
    server.save_users_with(saver(&folder));
    let (mut client, _kernel) = logged_in(&mut server, address).await;
    let before = folder.read("users");
    // A folder blocks the path of the new file.
    fs::create_dir(folder.path(".users.new")).expect("the test folder");
    ask_for_change(&mut client);
    run_until_saves(&mut server, &mut client, 2).await;
    assert_eq!(server.with_peer(|server, _| server.users().to_text()), before);
    assert_eq!(folder.read("users"), before);

    fs::remove_dir(folder.path(".users.new")).expect("the test folder");
    let events = while_running(&mut server, until(&mut client, is_changed)).await;
    assert_eq!(events.last(), Some(&EventKind::PasswordChanged(Ok(()))));
    assert_eq!(
        folder.read("users"),
        server.with_peer(|server, _| server.users().to_text())
    );
}

#[tokio::test]
async fn a_save_task_that_panics_stores_nothing_and_does_not_block() {
    let (_folder, mut server, address) = server(&["kean"]).await;
    server.save_users_with(|_: &Server, _| Box::new(|| -> Result<(), Failure> { panic!("on purpose") }));
    let (mut client, _kernel) = logged_in(&mut server, address).await;
    let before = server.with_peer(|server, _| server.users().to_text());
    ask_for_change(&mut client);
    // The retransmitted request is tried again: the server does not wait for the first one.
    run_until_saves(&mut server, &mut client, 4).await;
    assert_eq!(server.with_peer(|server, _| server.users().to_text()), before);
}

/// Runs both until [`Shell::saves`] of the server is `saves` and no save is in progress.
async fn run_until_saves(
    server: &mut Shell<Server, Direct<Wire>>,
    client: &mut Shell<Client, Direct<Wire>>,
    saves: u64,
) {
    let running = async {
        while server.saves() < saves || server.is_saving() {
            // A short time, because a failed task causes no event.
            let _ = timeout(Duration::from_millis(10), server.next_event()).await;
        }
    };
    while_running(client, running).await;
}
