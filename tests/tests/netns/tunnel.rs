//! The world of a test: two namespaces, configuration files, and the two programs.

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

/// 32 bytes that can be read: `sandhog tests in namespaces only`.
pub(super) const KEY: &str = "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=";
/// The one user.
pub(super) const USER: &str = "kean";
/// The user's password.
pub(super) const PASSWORD: &str = "correct horse battery staple";

/// What the outer network speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outer {
    /// 198.18.0.0/24, which RFC 2544 sets aside for such tests.
    V4,
    /// 2001:db8::/64, which RFC 3849 sets aside for examples.
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

    /// Where the server is, as a client names it.
    pub(super) fn server(self) -> String {
        let [address, _] = self.addresses();
        match self {
            Self::V4 => format!("{address}:40404"),
            Self::V6 => format!("[{address}]:40404"),
        }
    }

    /// All addresses of the server.
    const fn any(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0",
            Self::V6 => "[::]",
        }
    }
}

/// Two machines, as it were.
#[derive(Debug)]
pub(super) struct World {
    /// Where the server runs.
    pub(super) server: Namespace,
    /// Where the client runs.
    pub(super) client: Namespace,
    program: PathBuf,
    folder: tempfile::TempDir,
    begun: Instant,
    _turn: Turn,
}

impl Drop for World {
    /// Says how long the test took; `cargo xtask netns` makes a table of that.
    fn drop(&mut self) {
        let thread = std::thread::current();
        let (test, seconds) = (
            thread.name().unwrap_or_default(),
            self.begun.elapsed().as_secs_f64(),
        );
        println!("took: {test} {seconds:.1}");
    }
}

/// Held by every test as long as it runs, so that a test that needs all of the machine can have it.
static MACHINE: RwLock<()> = RwLock::new(());

/// Whether others run beside.
#[derive(Debug)]
#[expect(dead_code, reason = "held, never read")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    fn shared() -> Self {
        Self::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn alone() -> Self {
        Self::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server and a client that is logged in.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// The server.
    pub(super) server: Program,
    /// The client.
    pub(super) client: Program,
}

impl World {
    /// Makes everything up to the start of programs of the classic profile, or says what is missing for it.
    pub(super) fn classic(outer: Outer) -> Result<Self, String> {
        Self::classic_with(outer, KEY, PASSWORD)
    }

    /// The same with this key and this password.
    pub(super) fn classic_with(outer: Outer, key: &str, password: &str) -> Result<Self, String> {
        let world = Self::bare(outer, Turn::shared())?;
        world.write("key", &format!("{key}\n"));
        world.write("password", &format!("{password}\n"));
        let server = outer.server();
        world.write("server.toml", &world.server_configuration(&server));
        world.write("client.toml", &client_configuration(&server));
        Ok(world)
    }

    /// The same for the secure profile, with what the program itself makes, and one user.
    pub(super) fn secure(outer: Outer) -> Result<Self, String> {
        Self::with_init(outer, Turn::shared())
    }

    /// The same for a test beside which no other runs.
    pub(super) fn alone(outer: Outer) -> Result<Self, String> {
        Self::with_init(outer, Turn::alone())
    }

    fn with_init(outer: Outer, turn: Turn) -> Result<Self, String> {
        let world = Self::bare(outer, turn)?;
        let folder = world.path("").display().to_string();
        world.sandhog(&["init", "--folder", &folder, "--server", &outer.server()], "");
        world.write("password", &format!("{PASSWORD}\n"));
        // Namespaces share the machine's own file with name servers.
        world.edit("client.toml", "# password-file", "dns = \"off\"\npassword-file");
        // Tests count packets and bytes to the last one; the search has a test of its own.
        world.edit("client.toml", "# mtu-search = true ", "mtu-search = false");
        world.edit("server.toml", "0.0.0.0", outer.any());
        // The same on every machine, whatever its processor does fast.
        let cipher = "cipher = \"aes-256-gcm\"";
        world.edit("client.toml", "# cipher = \"auto\"", cipher);
        world.edit("server.toml", "users-file", &format!("{cipher}\nusers-file"));
        world.user(&["add", "--password-stdin", USER], PASSWORD);
        Ok(world)
    }

    /// Two joined namespaces and an empty folder.
    fn bare(outer: Outer, turn: Turn) -> Result<Self, String> {
        let begun = Instant::now();
        if !rustix::process::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        if !fs::exists("/dev/net/tun").unwrap_or(false) {
            return Err("needs /dev/net/tun".to_owned());
        }
        let program = Program::path()?;
        let (server, client) = (Namespace::new()?, Namespace::new()?);
        server.join("outer", &client, "outer")?;
        let [server_address, client_address] = outer.addresses();
        for (namespace, address) in [(&server, server_address), (&client, client_address)] {
            namespace.give("outer", &format!("{address}/{}", outer.prefix()))?;
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self {
            server,
            client,
            program,
            folder,
            begun,
            _turn: turn,
        })
    }

    /// Where a file of this world is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces what stands once in a file.
    #[track_caller]
    pub(super) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).expect("a file of ours");
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {text}");
        self.write(name, &text.replace(old, new));
    }

    /// Runs `sandhog user` on the server's users, which must go well.
    #[track_caller]
    pub(super) fn user(&self, arguments: &[&str], input: &str) {
        let (command, rest) = arguments.split_first().expect("a command");
        let config = self.path("server.toml").display().to_string();
        let start = ["user", command, "--config", &config];
        self.sandhog(&[&start, rest].concat(), input);
    }

    /// Runs the program to its end, which must be a good one.
    #[track_caller]
    fn sandhog(&self, arguments: &[&str], input: &str) {
        let (code, text) = self.try_sandhog(arguments, input);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }

    /// Runs the program to its end and gives its exit code and what it said on standard error.
    pub(super) fn try_sandhog(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program that starts");
        // A program that does not read closes the pipe; that is its right.
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

    /// Asks the program itself, through a pipe, as a script would.
    pub(super) fn hash_password(&self) -> String {
        let password = fs::File::open(self.path("password")).expect("a file of ours");
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

    /// Writes a file beside the configuration.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a folder of ours");
    }

    /// Starts the program in a namespace with a configuration file of this world.
    pub(super) fn spawn(&self, namespace: &Namespace, role: &str, file: &str) -> Program {
        namespace.enter(|| Program::spawn(self.role(namespace, role, file)))
    }

    /// The command that starts the program for a namespace, to be run there.
    pub(super) fn role(&self, namespace: &Namespace, role: &str, file: &str) -> Command {
        let mut command = self.command(namespace);
        command.args([role, "--config"]).arg(self.path(file));
        command
    }

    /// Starts a relay beside the client, over which the next client goes.
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

    /// The program, to be started in a namespace with more arguments.
    pub(super) fn command(&self, namespace: &Namespace) -> Command {
        let mut command = Command::new(&self.program);
        command.env("RUNTIME_DIRECTORY", self.runtime_folder(namespace));
        command
    }

    /// Where the program is.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Where a namespace has its runtime files. Namespaces share the machine's own folder for them.
    pub(super) fn runtime_folder(&self, namespace: &Namespace) -> PathBuf {
        let folder = self.path(&format!("run-{}", namespace.name()));
        fs::create_dir_all(&folder).expect("a folder of ours");
        folder
    }

    /// Asks a running program of one of the two machines something, by a command; gives exit code and both outputs.
    pub(super) fn ask(&self, namespace: &Namespace, arguments: &[&str]) -> (Option<i32>, String, String) {
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

    /// Starts a client and does not wait for anything.
    pub(super) fn spawn_client(&self) -> Program {
        self.spawn(&self.client, "client", "client.toml")
    }

    /// Starts a server and waits until it listens.
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

    /// Starts both.
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
    /// Stops both, which must go well, and gives the logs of server and client.
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
