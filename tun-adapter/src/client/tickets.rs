//! Ticket of a client's latest login, kept in a file for the next start of the program.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sandhog_proto::secure::{Login, ServerKey};
use tracing::{debug, warn};

use crate::fingerprint::fingerprint;
use crate::fs::atomic_file::LockedFolder;
use crate::ticket::Ticket;

/// Default folder for state that outlives a reboot.
const FOLDER: &str = "/var/lib/sandhog";

/// The file with the ticket of one user at one server.
#[derive(Debug)]
pub(super) struct TicketFile {
    path: PathBuf,
    /// True after a failure was logged.
    is_failing: bool,
}

impl TicketFile {
    /// The file of `login` at the server with this key. It may not exist.
    pub(super) fn of(login: &Login, server: &ServerKey) -> Self {
        Self::within(&folder(), login, server)
    }

    fn within(folder: &Path, login: &Login, server: &ServerKey) -> Self {
        let server = fingerprint(server);
        let server = server.get(..16).unwrap_or(&server);
        Self {
            path: folder.join(format!("{server}-{login}.ticket")),
            is_failing: false,
        }
    }

    /// The ticket for the next login: the newer one of the stored ticket and that of the configuration. A stored ticket that is
    /// damaged or has expired is ignored.
    pub(super) fn choose(&self, configured: Option<Ticket>, unix_seconds: u64) -> Option<Ticket> {
        let stored = self.read(unix_seconds);
        // The later expiry is that of the newer ticket. The configuration has it if the operator wrote a new profile.
        stored.into_iter().chain(configured).reduce(|best, other| {
            if other.expiry() > best.expiry() {
                other
            } else {
                best
            }
        })
    }

    fn read(&self, unix_seconds: u64) -> Option<Ticket> {
        let path = self.path.display();
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => {
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) {
                    warn!("ignoring the stored ticket: cannot read {path}: {error}");
                }
                return None;
            }
        };
        let Some(ticket) = Ticket::from_base64(text.trim_end()) else {
            warn!("ignoring the stored ticket: {path} is damaged; the next login replaces it");
            return None;
        };
        if ticket.expiry() <= unix_seconds {
            warn!("ignoring the stored ticket: that in {path} has expired; the next login replaces it");
            return None;
        }
        Some(ticket)
    }

    /// Stores a ticket that the server has sent. A failure is only logged, because a login needs no ticket.
    pub(super) fn store(&mut self, ticket: Ticket) {
        match self.write(ticket) {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!("cannot write {}: {error}", self.path.display()),
            Err(error) => {
                self.is_failing = true;
                warn!(
                    "cannot write {}: {error}; the next start of this client uses an older ticket, or none",
                    self.path.display()
                );
            }
        }
    }

    fn write(&self, ticket: Ticket) -> io::Result<()> {
        let (folder, name) = (self.path.parent(), self.path.file_name());
        if let Some(folder) = folder {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let text = format!("{}\n", ticket.to_base64());
        LockedFolder::around(&self.path)?.replace(Path::new(name.unwrap_or_default()), &text)
    }
}

/// The folder for state: that of the service manager, or `/var/lib/sandhog`. If only another folder for runtime files is set, it
/// has the state too, so that two network namespaces share nothing.
fn folder() -> PathBuf {
    let named = |variable| {
        let list = env::var_os(variable)?;
        env::split_paths(&list).next().filter(|path| path.is_absolute())
    };
    named("STATE_DIRECTORY")
        .or_else(|| named("RUNTIME_DIRECTORY"))
        .unwrap_or_else(|| FOLDER.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    const NOW: u64 = 1_000;

    fn ticket(expiry: u64) -> Ticket {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&expiry.to_be_bytes());
        Ticket::new(bytes)
    }

    fn file(folder: &Path, login: &str, server: u8) -> TicketFile {
        let key = ServerKey::from_base64(&BASE64_STANDARD.encode([server; 64])).expect("64 bytes");
        TicketFile::within(folder, &Login::new(login).expect("a login"), &key)
    }

    #[test]
    fn a_stored_ticket_is_read_by_the_next_start_and_only_the_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("state");
        let mut first = file(&below, "kean", 1);
        assert_eq!(first.choose(None, NOW), None);
        first.store(ticket(2_000));
        first.store(ticket(3_000));
        assert_eq!(file(&below, "kean", 1).choose(None, NOW), Some(ticket(3_000)));
        let mode = |path: &Path| fs::metadata(path).expect("created").permissions().mode() & 0o777;
        assert_eq!((mode(&below), mode(&first.path)), (0o700, 0o600));
    }

    #[test]
    fn a_ticket_belongs_to_one_user_and_one_server() {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "kean", 1).store(ticket(2_000));
        assert_eq!(file(folder.path(), "alice", 1).choose(None, NOW), None);
        assert_eq!(file(folder.path(), "kean", 2).choose(None, NOW), None);
    }

    #[test]
    fn the_newer_one_of_the_stored_and_the_configured_ticket_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = file(folder.path(), "kean", 1);
        assert_eq!(file.choose(Some(ticket(1_500)), NOW), Some(ticket(1_500)));
        file.store(ticket(2_000));
        assert_eq!(file.choose(Some(ticket(1_500)), NOW), Some(ticket(2_000)));
        assert_eq!(file.choose(Some(ticket(2_500)), NOW), Some(ticket(2_500)));
    }

    #[test]
    fn a_damaged_or_expired_ticket_is_ignored_and_replaced_by_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = file(folder.path(), "kean", 1);
        for text in ["", "not base64\n", "c2hvcnQ=\n", &ticket(NOW).to_base64()] {
            fs::write(&file.path, text).expect("the test folder");
            assert_eq!(file.choose(None, NOW), None, "{text}");
            assert_eq!(
                file.choose(Some(ticket(1_500)), NOW),
                Some(ticket(1_500)),
                "{text}"
            );
        }
        file.store(ticket(2_000));
        assert_eq!(file.choose(None, NOW), Some(ticket(2_000)));
    }

    #[test]
    fn a_folder_that_cannot_be_written_stops_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").expect("the test folder");
        let mut file = file(&blocked, "kean", 1);
        file.store(ticket(2_000));
        assert_eq!(file.choose(Some(ticket(1_500)), NOW), Some(ticket(1_500)));
        assert!(file.is_failing);
    }
}
