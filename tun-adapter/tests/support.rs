//! Test helpers: the program as a process, a folder with a server's files, a device in memory.

use std::fs::{self, Permissions};
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog::failure::{Exit, Failure};
use sandhog::shell::Device;
use sandhog_proto::secure::{Login, Record, ServerSetup, Suite, User, UserStore, register, setup_to_text};
use tempfile::TempDir;
use tokio::net::UnixDatagram;

/// Runs the program to its end.
pub(crate) fn sandhog(arguments: &[&str], input: &str) -> Output {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that ends without reading closes the pipe, which is no error.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("the program ends")
}

/// The program, not started yet, with its outputs in pipes.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandhog"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The output of a program as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A temporary folder for the files of one test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A folder with all files of a secure server and the users `logins`.
    pub(crate) fn with_users(logins: &[&str]) -> Self {
        let folder = Self::new();
        folder.write("server.toml", SERVER);
        folder.write("key", KEY);
        folder.write("setup", &setup_to_text(&setup()));
        folder.write("users", &store(logins).to_text());
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as text, for a command line.
    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the test folder");
        self.permit(name, 0o600);
    }

    pub(crate) fn permit(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).expect("a file of the test");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file of the test")
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the test folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// The printed text of an input error, without the folder.
    #[track_caller]
    pub(crate) fn printed(&self, failure: &Failure) -> String {
        assert_eq!(failure.exit, Exit::Input, "{failure}");
        self.strip(&failure.to_string())
    }

    pub(crate) fn strip(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    /// Runs `sandhog user COMMAND --config server.toml ARGUMENTS`.
    pub(crate) fn user(&self, arguments: &[&str], input: &str) -> Output {
        let (command, rest) = arguments.split_first().expect("a command");
        let config = self.name("server.toml");
        let start = ["user", command, "--config", &config];
        sandhog(&[&start, rest].concat(), input)
    }
}

pub(crate) const SERVER: &str = r#"listen = "0.0.0.0:40404"
key-file = "key"
setup-file = "setup"
users-file = "users"

[device]
addresses = ["10.9.0.1/24", "fd00:9::1/64"]

[clients]
routes = ["192.0.2.0/24"]
dns = ["10.9.0.1"]
search = ["example.com"]
"#;

pub(crate) const KEY: &str = "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n";

/// The line of a client's file with a server's key: base64 of 64 readable bytes.
macro_rules! server_key_line {
    () => {
        "server-key = \"cHVibGljIGtleSBvZiBhIHNlcnZlciwgYW5kIGl0cyBmaW5nZXJwcmludDsgZm9yIGFsbCB0ZXN0cyBvbmx5Lg==\"\n"
    };
}
pub(crate) use server_key_line;

/// The password of all users of [`store`].
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) fn setup() -> ServerSetup {
    static SETUP: OnceLock<ServerSetup> = OnceLock::new();
    let make = || ServerSetup::generate(&mut ChaCha20Rng::from_seed([7; 32]));
    SETUP.get_or_init(make).clone()
}

/// A valid record with the cheapest password hash.
pub(crate) fn record(login: &Login, seed: u8) -> Record {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    register(&setup(), Suite::Laboratory, login, PASSWORD, &mut rng).expect("a short password")
}

/// A user whose record has the suite of production servers.
pub(crate) fn user(name: &str) -> User {
    let login = Login::new(name).expect("a login");
    User {
        record: record(&login, 1),
        login,
        suite: Suite::Standard,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    }
}

pub(crate) fn store(logins: &[&str]) -> UserStore {
    let mut users = UserStore::new();
    for login in logins {
        users.add(user(login)).expect("different names");
    }
    users
}

/// One end of a connection that carries whole packets.
pub(crate) struct Wire(pub(crate) UnixDatagram);

impl Device for Wire {
    async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    fn try_read(&self, packet: &mut [u8]) -> io::Result<usize> {
        self.0.try_recv(packet)
    }

    fn try_write(&self, packet: &[u8]) -> io::Result<usize> {
        self.0.try_send(packet)
    }
}
