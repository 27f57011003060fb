//! Peers of the measurement: the setup of each tunnel between the two namespaces.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::space::{Network, Process, Space, TIMEOUT, wait_until};
use super::{Name, tools};
use crate::shell;

/// MTU of all tunnels, so that none has longer packets.
const MTU: u16 = 1420;
const PASSWORD: &str = "only for measuring\n";
/// Number of sessions for the measurement of a server's memory.
const SESSIONS: &str = "1000";
/// Timeout of their logins, each with the full cost of the password hash.
const CROWD_TIMEOUT: Duration = Duration::from_secs(600);

/// A tunnel that is up.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: Name,
    /// The server's address inside.
    pub(super) address: String,
    /// The daemons: the server's first.
    pub(super) daemons: Vec<Process>,
    /// Files that killed daemons leave behind.
    _sockets: Vec<Socket>,
}

/// A socket in the file system, removed on drop.
#[derive(Debug)]
struct Socket(String);

impl Drop for Socket {
    fn drop(&mut self) {
        // The daemon may have ended before it created the socket.
        let _ = fs::remove_file(&self.0);
    }
}

impl Peer {
    /// Sets the tunnel up, and pings through it once.
    pub(super) fn start(name: Name, network: &Network, program: &Path) -> Result<Self> {
        println!("-- starting {}", name.word());
        let (address, daemons, sockets) = match name {
            Name::Direct => (Network::SERVER.to_owned(), Vec::new(), Vec::new()),
            Name::Sandhog => ("10.77.1.1".to_owned(), sandhog(network, program)?, Vec::new()),
            Name::Boringtun => wireguard(network, 2, &|space, device| {
                let mut command = space.daemon(tools::boringtun());
                command.args(["--foreground", "--disable-drop-privileges", device]);
                command.env("WG_SUDO", "1");
                command
            })?,
            Name::WireguardGo => wireguard(network, 3, &|space, device| {
                let mut command = space.daemon("wireguard-go");
                command.args(["--foreground", device]);
                command
            })?,
        };
        let peer = Self {
            name,
            address,
            daemons,
            _sockets: sockets,
        };
        wait_until("a reply to a ping", || {
            let mut ping = network.client.command("ping");
            ping.args(["-c", "1", "-W", "1", &peer.address]);
            Ok(ping.stdout(Stdio::null()).status()?.success())
        })
        .with_context(|| format!("{} does not work", name.word()))?;
        Ok(peer)
    }
}

/// A device name that is unique on this machine, because the sockets of WireGuard are named by it.
fn device(number: u8, side: char) -> String {
    format!("shb{}{number}{side}", std::process::id() % 1_000_000)
}

/// Sets up keys, two daemons started by `daemon`, and the network `10.77.NUMBER.0/24` between them.
fn wireguard(
    network: &Network,
    number: u8,
    daemon: &dyn Fn(&Space, &str) -> Command,
) -> Result<(String, Vec<Process>, Vec<Socket>)> {
    let ends = [(&network.server, 's', 1), (&network.client, 'c', 2)];
    let mut daemons = Vec::new();
    let mut sockets = Vec::new();
    let mut public_keys = Vec::new();
    for (space, side, _) in ends {
        let device = device(number, side);
        let mut command = daemon(space, &device);
        daemons.push(Process::start(command.stderr(Stdio::null()))?);
        sockets.push(Socket(format!("/var/run/wireguard/{device}.sock")));
        let key = shell::read(&mut shell::command("wg", "genkey"))?;
        let file = network.folder.join(&device);
        fs::write(&file, key)?;
        let mut public = Command::new("wg");
        let public = shell::read(public.arg("pubkey").stdin(fs::File::open(&file)?))?;
        public_keys.push(public.trim().to_owned());
    }
    for (end, (space, side, host)) in ends.into_iter().enumerate() {
        let device = device(number, side);
        wait_until(&format!("the device {device}"), || {
            Ok(Path::new(&sockets[end].0).exists())
        })?;
        let port = 51_800 + u16::from(number);
        let mut set = space.command("wg");
        set.args(["set", &device, "listen-port", &port.to_string(), "private-key"]);
        set.arg(network.folder.join(&device));
        set.args([
            "peer",
            &public_keys[1 - end],
            "allowed-ips",
            &format!("10.77.{number}.0/24"),
        ]);
        if side == 'c' {
            set.args(["endpoint", &format!("{}:{port}", Network::SERVER)]);
        }
        shell::read(&mut set)?;
        space.ip(&format!("address add 10.77.{number}.{host}/24 dev {device}"))?;
        space.ip(&format!("link set {device} mtu {MTU} up"))?;
    }
    Ok((format!("10.77.{number}.1"), daemons, sockets))
}

/// Creates the files with `sandhog init` and `sandhog user`, and starts server and client.
fn sandhog(network: &Network, program: &Path) -> Result<Vec<Process>> {
    let folder = network.folder.join("sandhog");
    let (server, client) = (device(1, 's'), device(1, 'c'));
    let addresses = "addresses = [\"10.77.1.1/24\"]";
    make_server(program, &folder, &server, &format!("{addresses}\nmtu = {MTU}"))?;
    let config = folder.join("server.toml");
    let mut add = Command::new(program);
    add.args(["user", "add", "--password-stdin", "bench", "--config"])
        .arg(&config);
    fs::write(folder.join("password"), PASSWORD)?;
    shell::read(add.stdin(fs::File::open(folder.join("password"))?))?;
    let sample = fs::read_to_string(folder.join("client.toml"))?;
    let is_server_key = |line: &&str| line.starts_with("server-key");
    let server_key = sample.lines().find(is_server_key);
    let server_key = server_key.context("`sandhog init` has written no server key")?;
    fs::write(
        folder.join("client.toml"),
        format!(
            "{server_key}\nserver = \"{}:40404\"\nkey-file = \"sandhog.key\"\nlogin = \"bench\"\npassword-file = \"password\"\n\
             [device]\nname = \"{client}\"\n",
            Network::SERVER
        ),
    )?;
    Ok(vec![
        start(&network.server, program, "server", &config)?,
        start(&network.client, program, "client", &folder.join("client.toml"))?,
    ])
}

/// Creates a folder with the files of `sandhog init`, and a server configuration with `network` for its device.
fn make_server(program: &Path, folder: &Path, device: &str, network: &str) -> Result<()> {
    let mut init = Command::new(program);
    shell::read(init.args(["init", "--folder"]).arg(folder))?;
    fs::write(
        folder.join("server.toml"),
        format!(
            "listen = \"0.0.0.0:40404\"\nkey-file = \"sandhog.key\"\nsetup-file = \"sandhog.setup\"\n\
             users-file = \"users\"\n[device]\nname = \"{device}\"\n{network}\n"
        ),
    )?;
    Ok(())
}

/// Starts a server or client and waits until it is ready.
fn start(space: &Space, program: &Path, side: &str, config: &Path) -> Result<Process> {
    let runtime = config.with_extension("run");
    fs::create_dir_all(&runtime)?;
    let mut command = space.daemon(program);
    command.args([side, "--config"]).arg(config);
    command.env("RUNTIME_DIRECTORY", runtime);
    let mut process = Process::start(command.stderr(Stdio::piped()))?;
    process.wait_for("ready: ", TIMEOUT)?;
    Ok(process)
}

/// Resident memory of a server with [`SESSIONS`] sessions, in bytes.
pub(super) fn thousand_sessions(network: &Network, program: &Path) -> Result<u64> {
    println!("-- {SESSIONS} sessions");
    let crowd = program.with_file_name("examples").join("sessions");
    ensure!(
        crowd.is_file(),
        "there is no {}: cargo build --release --package sandhog --example sessions",
        crowd.display()
    );
    let folder = network.folder.join("sessions");
    let space = Space::new()?;
    make_server(program, &folder, "shbcrowd", "addresses = [\"10.78.0.1/16\"]")?;
    shell::read(Command::new(&crowd).args(["users", SESSIONS]).arg(&folder))?;
    let server = start(&space, program, "server", &folder.join("server.toml"))?;
    let mut command = space.command(&crowd);
    command.args(["hold", SESSIONS]).arg(&folder);
    let mut clients = Process::start(command.stderr(Stdio::piped()))?;
    clients.wait_for("ready: ", CROWD_TIMEOUT)?;
    server.resident()
}
