//! Linux capabilities: drops those that a tunnel does not need (`capabilities(7)`). Most are dropped before
//! the first datagram is read, the rest as soon as setup is complete.
//!
//! Capabilities belong to threads, and a new thread inherits those of its creator. Therefore this must run
//! before other threads start.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use tracing::debug;

use crate::failure::Failure;

/// For devices, routes, marks and filters.
const NETWORK: CapabilitySet = CapabilitySet::NET_ADMIN;
/// For ports below 1024.
const PORTS: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;
/// For replacing files of other users.
const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER);

/// For reading files of other users.
const READS: CapabilitySet = CapabilitySet::DAC_READ_SEARCH;

/// The capabilities over files that the process still has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Privileges {
    files: CapabilitySet,
}

impl Privileges {
    /// Keeps only the capabilities for setting up a tunnel, for this process and its children. While the tunnel
    /// runs, the file `written` will be replaced, and the files in `read` will be read. If one of them belongs to
    /// another user, the capabilities for that are kept too.
    ///
    /// # Errors
    ///
    /// None are known: dropping capabilities is always allowed.
    pub(crate) fn keep_for_setup(written: Option<&Path>, read: &[PathBuf]) -> Result<Self, Failure> {
        let mut files = CapabilitySet::empty();
        if written.is_some_and(belongs_to_another) {
            files |= FILES;
        }
        if read.iter().any(|file| belongs_to_another(file)) {
            files |= READS;
        }
        let kept = NETWORK | PORTS | files;
        for right in CapabilitySet::all().difference(kept).iter() {
            // This needs CAP_SETPCAP. Without it, for example under systemd, the process has few capabilities
            // anyway.
            if let Err(error) = remove_capability_from_bounding_set(right) {
                debug!("cannot remove {right:?} from the bounding set: {error}");
            }
        }
        set_no_new_privs(true).map_err(|error| Failure::runtime("set no_new_privs", error))?;
        keep(kept)?;
        Ok(Self { files })
    }

    /// Keeps only the capabilities of a running tunnel. `network`: true if it will change the machine's
    /// network again, if only to undo its changes.
    ///
    /// # Errors
    ///
    /// As for [`keep_for_setup`](Self::keep_for_setup).
    pub(crate) fn keep_for_running(self, network: bool) -> Result<(), Failure> {
        let network = if network { NETWORK } else { CapabilitySet::empty() };
        keep(network | self.files)
    }
}

/// Drops all capabilities of the calling thread.
///
/// # Errors
///
/// As for [`Privileges::keep_for_setup`].
pub(crate) fn give_up_all() -> Result<(), Failure> {
    keep(CapabilitySet::empty())
}

fn keep(rights: CapabilitySet) -> Result<(), Failure> {
    let failure = |error| Failure::runtime("drop capabilities", error);
    let now = capabilities(None).map_err(failure)?;
    let less = CapabilitySets {
        effective: now.effective & rights,
        permitted: now.permitted & rights,
        inheritable: now.inheritable & rights,
    };
    set_capabilities(None, less).map_err(failure)
}

/// Returns true if replacing `file` needs capabilities: its owner, which must stay the same, or the owner of
/// its folder is another user.
fn belongs_to_another(file: &Path) -> bool {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let me = geteuid().as_raw();
    let is_mine = |path: &Path| fs::metadata(path).is_ok_and(|found| found.uid() == me);
    !is_mine(file) || !is_mine(folder)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Runs `work` in a new thread, because dropped capabilities cannot be restored.
    fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(work).join()).expect("no panic")
    }

    #[test]
    fn a_thread_keeps_only_the_requested_capabilities_and_other_threads_keep_all() {
        let before = capabilities(None).expect("a thread has some");
        let after = in_thread(|| {
            Privileges::keep_for_setup(None, &[])
                .and_then(|privileges| privileges.keep_for_running(true))
                .expect("dropping is allowed");
            capabilities(None).expect("a thread has some")
        });
        assert_eq!(after.permitted, before.permitted & NETWORK);
        assert_eq!(after.effective, before.effective & NETWORK);
        assert_eq!(capabilities(None).expect("a thread has some"), before);
    }

    #[test]
    fn dropped_capabilities_do_not_return_in_a_child_process() {
        let after = in_thread(|| {
            give_up_all().expect("dropping is allowed");
            set_no_new_privs(true).expect("always possible");
            std::process::Command::new("grep")
                .args(["CapEff", "/proc/self/status"])
                .output()
                .expect("grep is installed")
        });
        let line = String::from_utf8(after.stdout).expect("text");
        assert_eq!(line, "CapEff:\t0000000000000000\n");
    }

    #[test]
    fn file_capabilities_are_kept_if_the_file_belongs_to_another_user() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("users");
        fs::write(&file, "").expect("the test folder");
        assert!(!belongs_to_another(&file));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_534), None).expect("root may");
            assert!(belongs_to_another(&file));
        }
    }
}
