//! `sandhog init`: everything that a new server needs, and what its clients need of it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::secure::{ServerSetup, UserStore, setup_to_text};
use zeroize::Zeroizing;

use crate::config::Endpoint;
use crate::failure::Failure;
use crate::random;
use crate::users::whole::{sync_folder, write_new};

const SERVER_FILE: &str = "server.toml";
const CLIENT_FILE: &str = "client.toml";
const KEY_FILE: &str = "sandhog.key";
const SETUP_FILE: &str = "sandhog.setup";
const USERS_FILE: &str = "users";

/// Makes a key, a setup, an empty store of users and the two configuration files in `folder`, and gives what to print.
/// `server` is where clients will find the server.
///
/// # Errors
///
/// When one of the files is there already: nothing has been made then. When one cannot be made: those that were made are
/// removed again.
pub fn run(folder: &Path, server: Option<&Endpoint>) -> Result<String, Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::runtime(format_args!("make the folder {}", folder.display()), error))?;
    let names = [SERVER_FILE, CLIENT_FILE, KEY_FILE, SETUP_FILE, USERS_FILE];
    // A link that leads nowhere is something, too.
    let is_there = |name: &&str| fs::symlink_metadata(folder.join(name)).is_ok();
    if let Some(name) = names.into_iter().find(is_there) {
        return Err(already_exists(&folder.join(name)));
    }
    let key = Zeroizing::new(random::bytes::<32>()?);
    let key = Zeroizing::new(format!("{}\n", BASE64_STANDARD.encode(*key)));
    let mut rng = ChaCha20Rng::from_seed(random::bytes()?);
    let setup = setup_to_text(&ServerSetup::generate(&mut rng));
    let texts = [
        SERVER_TEXT,
        &client_text(server),
        &key,
        &setup,
        &UserStore::new().to_text(),
    ];
    let mut created = CreatedFiles::default();
    for (name, text) in names.into_iter().zip(texts) {
        created.write(folder.join(name), text)?;
    }
    sync_folder(folder)
        .map_err(|error| Failure::runtime(format_args!("write the folder {}", folder.display()), error))?;
    created.keep();
    Ok(format!(
        "made in {}: {}\n\n\
         Keep a copy of {SETUP_FILE} and {USERS_FILE}, each in a place of its own: without the setup no user can ever log in \
         again,\nand whoever has both can try passwords at leisure. {KEY_FILE} goes to every client, by a safe way.\n\n\
         Next: look at {SERVER_FILE}, then\n  \
         sandhog user add --config {SERVER_FILE} LOGIN\n  \
         sandhog server --config {SERVER_FILE}",
        folder.display(),
        names.join(", ")
    ))
}

/// The files made so far. Removed when dropped, unless they are to be kept.
#[derive(Default)]
struct CreatedFiles(Vec<PathBuf>);

impl CreatedFiles {
    fn write(&mut self, path: PathBuf, text: &str) -> Result<(), Failure> {
        match write_new(&path, text) {
            Ok(()) => {
                self.0.push(path);
                Ok(())
            }
            // Somebody was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(already_exists(&path)),
            Err(error) => Err(Failure::write(&path, error)),
        }
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for CreatedFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // The error that is told is the one that led here.
            let _ = fs::remove_file(path);
        }
    }
}

fn already_exists(path: &Path) -> Failure {
    Failure::input(format!("{} is there already", path.display())).with_help(
        "nothing was made or changed; choose another folder with `--folder`, or move the old files away if you are sure \
         that nobody needs them",
    )
}

/// The server's configuration file.
const SERVER_TEXT: &str = "\
# The server. `sandhog server --config server.toml` runs it; docs/running.md explains every key.
listen = \"0.0.0.0:40404\"          # \"[::]:40404\" for IPv6 as well
key-file = \"sandhog.key\"          # the same on all clients
setup-file = \"sandhog.setup\"      # the server's part of all passwords: keep a copy, show it to nobody
users-file = \"users\"              # changed by `sandhog user`; a running server takes changes up on SIGHUP

[device]
# The server's own addresses in the tunnel; clients get theirs from the same networks.
addresses = [\"10.9.0.1/24\", \"fd00:9::1/64\"]

# [clients]                        # what clients are told besides
# routes = [\"192.0.2.0/24\"]        # networks that they reach through the tunnel
# dns = [\"10.9.0.1\"]
# search = [\"example.com\"]
# keepalive = 25                   # a client that has sent nothing for so many seconds pings; 0: never
# isolated = true                  # clients do not reach each other through the tunnel

# [forwarding]                     # this machine as a router for the clients, while the server runs
# enabled = true
# masquerade = true                # under its own addresses

# [metrics]                        # for Prometheus
# listen = \"127.0.0.1:9586\"        # http://127.0.0.1:9586/metrics
# login-names = false              # true: also numbers about each user
";

/// The client's configuration file.
fn client_text(server: Option<&Endpoint>) -> String {
    let server = server.map_or_else(|| "vpn.example.com:40404".to_owned(), ToString::to_string);
    format!(
        "\
# A client. Copy this file and sandhog.key to the client's machine; `sandhog client --config client.toml` runs it.
server = \"{server}\"
key-file = \"sandhog.key\"
login = \"kean\"                    # whom `sandhog user add` has added
# password-file = \"password\"      # without it, the password is asked for on the terminal
# included-routes = [\"192.0.2.0/24\"]   # networks to reach through the tunnel besides those that the server offers
# excluded-routes = [\"10.1.0.0/16\"]    # networks to reach as before the tunnel
# dns = \"auto\"                    # or \"off\": the server's name servers are not asked
# kill-switch = false              # true: nothing leaves this machine but through the tunnel
# mtu-search = true                # the tunnel's MTU follows what the path to the server carries
# cipher = \"auto\"                  # the faster one for this machine and the server's

# [metrics]                        # for Prometheus
# listen = \"127.0.0.1:9586\"        # http://127.0.0.1:9586/metrics
"
    )
}
