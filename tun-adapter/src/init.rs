//! `sandhog init`: keys, user list and configuration files for a new server and its clients.

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
use crate::fingerprint::fingerprint;
use crate::fs::atomic_file::{sync_folder, write_new};
use crate::profile::client_file;
use crate::random;

const SERVER_FILE: &str = "server.toml";
const CLIENT_FILE: &str = "client.toml";
const KEY_FILE: &str = "sandhog.key";
const SETUP_FILE: &str = "sandhog.setup";
const USERS_FILE: &str = "users";

/// Creates a key, a setup, an empty user store and the two configuration files in `folder`. Returns the text
/// to print. `server` is the address for the client's file.
///
/// # Errors
///
/// If one of the files exists, or if a file cannot be created. Then no new file remains.
pub fn run(folder: &Path, server: Option<&Endpoint>) -> Result<String, Failure> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|error| Failure::folder(folder, &error))?;
    let names = [SERVER_FILE, CLIENT_FILE, KEY_FILE, SETUP_FILE, USERS_FILE];
    // A dangling symbolic link also counts as existing.
    let is_there = |name: &&str| fs::symlink_metadata(folder.join(name)).is_ok();
    if let Some(name) = names.into_iter().find(is_there) {
        return Err(already_exists(&folder.join(name)));
    }
    let key = Zeroizing::new(random::bytes::<32>()?);
    let key = Zeroizing::new(format!("{}\n", BASE64_STANDARD.encode(*key)));
    let mut rng = ChaCha20Rng::from_seed(random::bytes()?);
    let setup = ServerSetup::generate(&mut rng);
    let server_key = setup.server_key();
    let texts = [
        SERVER_TEXT,
        &client_file(server, &server_key, KEY_FILE, None),
        &key,
        &setup_to_text(&setup),
        &UserStore::new().to_text(),
    ];
    let mut created = CreatedFiles::default();
    for (name, text) in names.into_iter().zip(texts) {
        created.write(folder.join(name), text)?;
    }
    sync_folder(folder)
        .map_err(|error| Failure::runtime(format_args!("write the folder {}", folder.display()), error))?;
    created.keep();
    Ok(next_steps(folder, &names, server, &fingerprint(&server_key)))
}

/// The text for the user: the files, the backups, the next commands. Paths are relative to the current folder.
fn next_steps(folder: &Path, names: &[&str], server: Option<&Endpoint>, fingerprint: &str) -> String {
    let config = match folder.to_str() {
        Some(".") => SERVER_FILE.to_owned(),
        // A command would take this for an option.
        Some(name) if name.starts_with('-') => format!("./{}", folder.join(SERVER_FILE).display()),
        _ => folder.join(SERVER_FILE).display().to_string(),
    };
    let config = shell_word(&config);
    let server = server.map_or_else(
        || "HOST:PORT".to_owned(),
        |server| shell_word(&server.to_string()),
    );
    format!(
        "created in {}: {}\n\n\
         {SERVER_FILE} and {CLIENT_FILE} are configuration files, one for each side.\n\
         {KEY_FILE} is the pre-shared key of the server and all clients.\n\
         {SETUP_FILE} has the server's own secrets: its keys, and its part of all passwords.\n\
         {USERS_FILE} is the list of the users. It is empty.\n\n\
         Back up {SETUP_FILE} and {USERS_FILE}, in two different places. Without the setup,\n\
         no user can ever log in again. Anyone who has both files can guess passwords\n\
         offline. Copy {KEY_FILE} to every client over a safe channel, such as scp.\n\n\
         The fingerprint of the server is\n  {fingerprint}\n\
         Clients refuse any other server.\n\n\
         Next: check {config}, then run\n  \
         sandhog user add --config {config} NAME\n  \
         sandhog profile --config {config} --server {server} NAME\n  \
         sandhog server --config {config}",
        folder.display(),
        names.join(", ")
    )
}

/// Quotes `text` for a shell if it has characters that a shell may interpret.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The files created so far. They are removed on drop, unless `keep` is called.
#[derive(Default)]
struct CreatedFiles(Vec<PathBuf>);

impl CreatedFiles {
    fn write(&mut self, path: PathBuf, text: &str) -> Result<(), Failure> {
        match write_new(&path, text) {
            Ok(()) => {
                self.0.push(path);
                Ok(())
            }
            // Another process was faster.
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
            // The user sees the error that caused the removal.
            let _ = fs::remove_file(path);
        }
    }
}

fn already_exists(path: &Path) -> Failure {
    Failure::input(format!("{} already exists", path.display())).with_help(
        "nothing was created or changed; choose another folder with `--folder`, or move the old files away if they are \
         no longer needed",
    )
}

/// The server's configuration file.
const SERVER_TEXT: &str = "\
# Sandhog server. Start: `sandhog server --config server.toml`. docs/running.md explains every key.
listen = \"0.0.0.0:40404\"          # \"[::]:40404\" for IPv6 as well
key-file = \"sandhog.key\"          # the same file on all clients
# second-key-file = \"old.key\"      # a second key that clients may have, while the key is changed
setup-file = \"sandhog.setup\"      # the server's own secrets: back them up and keep them secret
users-file = \"users\"              # edited by `sandhog user`; `sandhog reload` makes a running server read it again

[device]
# The server's own addresses in the tunnel. Clients get addresses from the same networks.
addresses = [\"10.9.0.1/24\", \"fd00:9::1/64\"]

# [clients]                        # settings that the server sends to its clients
# routes = [\"192.0.2.0/24\"]        # networks to reach through the tunnel
# dns = [\"10.9.0.1\"]               # name servers
# search = [\"example.com\"]         # search domains
# keepalive = 25                   # seconds without sending after which a client pings; 0: never
# isolated = true                  # clients cannot reach each other through the tunnel

# [forwarding]                     # makes this machine a router for the clients while the server runs
# enabled = true
# masquerade = true                # replace the clients' addresses by this machine's address (NAT)

# [metrics]                        # for Prometheus
# listen = \"127.0.0.1:9586\"        # http://127.0.0.1:9586/metrics
# login-names = false              # true: also metrics for each user
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_paths_work_from_the_current_folder() {
        let config = |folder: &str| {
            let text = next_steps(Path::new(folder), &[], None, "");
            let command = text.lines().last().expect("a command").trim().to_owned();
            command.replace("sandhog server --config ", "")
        };
        assert_eq!(config("."), "server.toml");
        assert_eq!(config("d"), "d/server.toml");
        assert_eq!(config("/etc/sandhog/"), "/etc/sandhog/server.toml");
        assert_eq!(config("it's new"), "'it'\\''s new/server.toml'");
        assert_eq!(config("-d"), "./-d/server.toml");
    }
}
