//! Testbed: two namespaces, configuration files, and the two programs.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::namespace::Namespace;
use super::program::Program;

/// The server's addresses inside the tunnel.
pub(super) const SERVER_INNER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1)),
];
/// The client's addresses inside the tunnel.
pub(super) const CLIENT_INNER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 2)),
];

/// Base64 of 32 readable bytes: `sandhog tests in namespaces only`.
pub(super) const KEY: &str = "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=";
/// The only user.
pub(super) const USER: &str = "kean";
/// The user's password.
pub(super) const PASSWORD: &str = "correct horse battery staple";

/// The address family of the outer network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outer {
    /// 198.18.0.0/24, reserved for benchmarks (RFC 2544).
    V4,
    /// 2001:db8::/64, reserved for documentation (RFC 3849).
    V6,
}

impl Outer {
    /// The addresses of server and client.
    pub(super) const fn addresses(self) -> [&'static str; 2] {
        match self {
            Self::V4 => ["198.18.0.1", "198.18.0.2"],
            Self::V6 => ["2001:db8::1", "2001:db8::2"],
        }
    }

    const fn prefix(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    /// The server's address and port, as in a client's file.
    pub(super) fn server(self) -> String {
        let [address, _] = self.addresses();
        match self {
            Self::V4 => format!("{address}:40404"),
            Self::V6 => format!("[{address}]:40404"),
        }
    }

    /// The unspecified address.
    const fn any(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0",
            Self::V6 => "[::]",
        }
    }
}

/// Two network namespaces as two machines, with a folder for their files.
#[derive(Debug)]
pub(super) struct Testbed {
    /// The namespace of the server.
    pub(super) server: Namespace,
    /// The namespace of the client.
    pub(super) client: Namespace,
    program: PathBuf,
    folder: tempfile::TempDir,
    start: Instant,
    _lock: MachineLock,
}

impl Drop for Testbed {
    /// Prints the duration of the test, for the table of `cargo xtask netns`.
    fn drop(&mut self) {
        let thread = std::thread::current();
        let (test, seconds) = (
            thread.name().unwrap_or_default(),
            self.start.elapsed().as_secs_f64(),
        );
        println!("took: {test} {seconds:.1}");
    }
}

/// Lock that every test holds while it runs, so that a test can have the whole machine.
static MACHINE: RwLock<()> = RwLock::new(());

/// Shared or exclusive use of the machine.
#[derive(Debug)]
#[expect(dead_code, reason = "held, never read")]
enum MachineLock {
    Shared(RwLockReadGuard<'static, ()>),
    Exclusive(RwLockWriteGuard<'static, ()>),
}

impl MachineLock {
    fn shared() -> Self {
        Self::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn exclusive() -> Self {
        Self::Exclusive(MACHINE.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server and a logged-in client.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// The server.
    pub(super) server: Program,
    /// The client.
    pub(super) client: Program,
}

impl Testbed {
    /// Prepares everything for the classic profile, without starting the programs. The error says what is
    /// missing on the machine.
    pub(super) fn classic(outer: Outer) -> Result<Self, String> {
        Self::classic_with(outer, KEY, PASSWORD)
    }

    /// The same with this key and password.
    pub(super) fn classic_with(outer: Outer, key: &str, password: &str) -> Result<Self, String> {
        let testbed = Self::bare(outer, MachineLock::shared())?;
        testbed.write("key", &format!("{key}\n"));
        testbed.write("password", &format!("{password}\n"));
        let server = outer.server();
        testbed.write("server.toml", &testbed.server_configuration(&server));
        testbed.write("client.toml", &client_configuration(&server));
        Ok(testbed)
    }

    /// The same for the secure profile, with the files of `sandhog init` and one user.
    pub(super) fn secure(outer: Outer) -> Result<Self, String> {
        Self::with_init(outer, MachineLock::shared())
    }

    /// The same for a test that needs the machine exclusively.
    pub(super) fn exclusive(outer: Outer) -> Result<Self, String> {
        Self::with_init(outer, MachineLock::exclusive())
    }

    fn with_init(outer: Outer, lock: MachineLock) -> Result<Self, String> {
        let testbed = Self::bare(outer, lock)?;
        let folder = testbed.path("").display().to_string();
        testbed.sandhog(&["init", "--folder", &folder, "--server", &outer.server()], "");
        testbed.write("password", &format!("{PASSWORD}\n"));
        // All namespaces share the machine's resolv.conf.
        testbed.edit("client.toml", "# password-file", "dns = \"off\"\npassword-file");
        // Tests count every packet, so the MTU search is off. It has its own test.
        testbed.edit("client.toml", "# mtu-search = true ", "mtu-search = false");
        testbed.edit("server.toml", "0.0.0.0", outer.any());
        // The same cipher on every machine, independent of its processor.
        let cipher = "cipher = \"aes-256-gcm\"";
        testbed.edit("client.toml", "# cipher = \"auto\"", cipher);
        testbed.edit("server.toml", "users-file", &format!("{cipher}\nusers-file"));
        testbed.user(&["add", "--password-stdin", USER], PASSWORD);
        Ok(testbed)
    }

    /// Creates two connected namespaces and an empty folder.
    fn bare(outer: Outer, lock: MachineLock) -> Result<Self, String> {
        let start = Instant::now();
        if !rustix::process::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        if !fs::exists("/dev/net/tun").unwrap_or(false) {
            return Err("needs /dev/net/tun".to_owned());
        }
        let program = Program::path()?;
        let (server, client) = (Namespace::new()?, Namespace::new()?);
        server.connect("outer", &client, "outer")?;
        let [server_address, client_address] = outer.addresses();
        for (namespace, address) in [(&server, server_address), (&client, client_address)] {
            namespace.add_address("outer", &format!("{address}/{}", outer.prefix()))?;
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self {
            server,
            client,
            program,
            folder,
            start,
            _lock: lock,
        })
    }

    /// Path of a file of this testbed.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a text that occurs once in a file.
    #[track_caller]
    pub(super) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).expect("a file of the test");
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {text}");
        self.write(name, &text.replace(old, new));
    }

    /// Runs `sandhog user` for the server, which must succeed.
    #[track_caller]
    pub(super) fn user(&self, arguments: &[&str], input: &str) {
        let (command, rest) = arguments.split_first().expect("a command");
        let config = self.path("server.toml").display().to_string();
        let start = ["user", command, "--config", &config];
        self.sandhog(&[&start, rest].concat(), input);
    }

    /// Runs the program to its end. It must succeed.
    #[track_caller]
    fn sandhog(&self, arguments: &[&str], input: &str) {
        let (code, text) = self.try_sandhog(arguments, input);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }

    /// Runs the program to its end, and returns its exit code and standard error.
    pub(super) fn try_sandhog(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        let mut child = Command::new(&self.program)
            .args(arguments)
            // A command that stores a ticket creates the folder.
            .env("RUNTIME_DIRECTORY", self.runtime_path(&self.client))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program that starts");
        // A program that does not read closes the pipe, which is no error.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("a program that ends");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    }

    fn server_configuration(&self, address: &str) -> String {
        let password_hash = self.hash_password();
        format!(
            "profile = \"classic\"\nlisten = \"{address}\"\nkey-file = \"key\"\n\
             [device]\naddresses = [\"{}/24\", \"{}/64\"]\n\
             [[users]]\nlogin = \"kean\"\npassword-hash = \"{password_hash}\"\naddresses = [\"{}\", \"{}\"]\n",
            SERVER_INNER[0], SERVER_INNER[1], CLIENT_INNER[0], CLIENT_INNER[1]
        )
    }

    /// Returns the output of `sandhog hash-password` with the password from a pipe.
    pub(super) fn hash_password(&self) -> String {
        let password = fs::File::open(self.path("password")).expect("a file of the test");
        let output = Command::new(&self.program)
            .arg("hash-password")
            .stdin(password)
            .stdout(Stdio::piped())
            .output()
            .expect("a program that starts");
        String::from_utf8(output.stdout)
            .expect("a PHC string")
            .trim()
            .to_owned()
    }

    /// Writes a file in the folder of the configuration.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the test folder");
    }

    /// Starts the program in a namespace with a configuration file of this testbed.
    pub(super) fn spawn(&self, namespace: &Namespace, role: &str, file: &str) -> Program {
        namespace.enter(|| Program::spawn(self.role(namespace, role, file)))
    }

    /// The command that starts the program in a namespace.
    pub(super) fn role(&self, namespace: &Namespace, role: &str, file: &str) -> Command {
        let mut command = self.command(namespace);
        command.args([role, "--config"]).arg(self.path(file));
        command
    }

    /// Starts a relay in the client's namespace. The next client uses it.
    #[track_caller]
    pub(super) fn start_relay(&self, link: &str) -> Program {
        let path = Program::laboratory().unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(path);
        let to = Outer::V4.server();
        command.args(["relay", "--listen", "127.0.0.1:5000", "--to", &to, "--link", link]);
        let mut relay = self.client.enter(|| Program::spawn(command));
        relay.wait_for("ready: ");
        self.edit("client.toml", &to, "127.0.0.1:5000");
        relay
    }

    /// The program as a command for a namespace, without arguments.
    pub(super) fn command(&self, namespace: &Namespace) -> Command {
        let mut command = Command::new(&self.program);
        command.env("RUNTIME_DIRECTORY", self.runtime_folder(namespace));
        command
    }

    /// Path of the program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Runtime folder of a namespace. Without it, all namespaces would share that of the machine.
    pub(super) fn runtime_folder(&self, namespace: &Namespace) -> PathBuf {
        let folder = self.runtime_path(namespace);
        fs::create_dir_all(&folder).expect("the test folder");
        folder
    }

    fn runtime_path(&self, namespace: &Namespace) -> PathBuf {
        self.path(&format!("run-{}", namespace.name()))
    }

    /// Runs a command that queries a running program. Returns exit code, standard output and standard error.
    pub(super) fn query(&self, namespace: &Namespace, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(&self.program)
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.runtime_folder(namespace))
            .stdin(Stdio::null())
            .output()
            .expect("a program that starts");
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code(), stdout, stderr)
    }

    /// Starts a client without waiting.
    pub(super) fn spawn_client(&self) -> Program {
        self.spawn(&self.client, "client", "client.toml")
    }

    /// Starts a client that ends if its first login has no answer.
    pub(super) fn spawn_client_once(&self) -> Program {
        let mut command = self.role(&self.client, "client", "client.toml");
        command.arg("--once");
        self.client.enter(|| Program::spawn(command))
    }

    /// Starts a server and waits until it is ready.
    #[track_caller]
    pub(super) fn start_server(&self) -> Program {
        let mut server = self.spawn(&self.server, "server", "server.toml");
        server.wait_for("ready: ");
        server
    }

    /// Starts a client and waits until its tunnel is up.
    #[track_caller]
    pub(super) fn start_client(&self) -> Program {
        let mut client = self.spawn_client();
        client.wait_for("ready: ");
        client
    }

    /// Starts server and client.
    #[track_caller]
    pub(super) fn tunnel(&self) -> Tunnel {
        let server = self.start_server();
        Tunnel {
            server,
            client: self.start_client(),
        }
    }
}

impl Tunnel {
    /// Stops both, which must succeed, and returns the logs of server and client.
    #[track_caller]
    pub(super) fn stop(self) -> (String, String) {
        let [client, server] = [self.client, self.server].map(|program| {
            let (code, log) = program.terminate();
            assert_eq!(code, Some(0), "{log}");
            log
        });
        (server, client)
    }
}

fn client_configuration(server: &str) -> String {
    format!(
        "profile = \"classic\"\nserver = \"{server}\"\nkey-file = \"key\"\n\
         login = \"kean\"\npassword-file = \"password\"\n\
         [device]\naddresses = [\"{}/24\", \"{}/64\"]\n",
        CLIENT_INNER[0], CLIENT_INNER[1]
    )
}
