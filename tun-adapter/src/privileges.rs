//! Gives up the rights of root that a tunnel has no use for: most before anything from the network is looked at, and the
//! rest as soon as it is not needed any more (`capabilities(7)`).
//!
//! Rights belong to threads, and a thread gets those of the one that makes it. So what begins a life has to call this first.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use tracing::debug;

use crate::failure::Failure;

/// Devices, routes, marks and filters.
const NETWORK: CapabilitySet = CapabilitySet::NET_ADMIN;
/// Ports below 1024.
const PORTS: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;
/// Files that belong to somebody else.
const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER);

/// What a process may still do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Privileges {
    files: CapabilitySet,
}

impl Privileges {
    /// Keeps what it takes to set a tunnel up, for this process and all that it starts. `written` is a file that will be
    /// replaced while the tunnel runs: where it belongs to another user, the rights for that are kept as well.
    ///
    /// # Errors
    ///
    /// None that is known of: whoever runs a program may always have less.
    pub(crate) fn keep_for_setup(written: Option<&Path>) -> Result<Self, Failure> {
        let files = if written.is_some_and(belongs_to_another) {
            FILES
        } else {
            CapabilitySet::empty()
        };
        let kept = NETWORK | PORTS | files;
        for right in CapabilitySet::all().difference(kept).iter() {
            // This alone needs a right. Who does not have it, as under systemd, has little to lose.
            if let Err(error) = remove_capability_from_bounding_set(right) {
                debug!("cannot give {right:?} up for programs that are started: {error}");
            }
        }
        set_no_new_privs(true)
            .map_err(|error| Failure::runtime("give up the right to become somebody else", error))?;
        keep(kept)?;
        Ok(Self { files })
    }

    /// Keeps what a tunnel needs that is set up. `network`: whether it will change the machine's network again, if only
    /// to undo what it has changed.
    ///
    /// # Errors
    ///
    /// As for [`keep_for_setup`](Self::keep_for_setup).
    pub(crate) fn keep_for_running(self, network: bool) -> Result<(), Failure> {
        let network = if network { NETWORK } else { CapabilitySet::empty() };
        keep(network | self.files)
    }
}

/// Keeps nothing, for the calling thread alone.
///
/// # Errors
///
/// As for [`Privileges::keep_for_setup`].
pub(crate) fn give_up_all() -> Result<(), Failure> {
    keep(CapabilitySet::empty())
}

fn keep(rights: CapabilitySet) -> Result<(), Failure> {
    let failure = |error| Failure::runtime("give up rights that are not needed", error);
    let now = capabilities(None).map_err(failure)?;
    let less = CapabilitySets {
        effective: now.effective & rights,
        permitted: now.permitted & rights,
        inheritable: now.inheritable & rights,
    };
    set_capabilities(None, less).map_err(failure)
}

/// Whether replacing a file takes rights over others' files: because of its owner, who is to stay the same, or its folder's.
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

    /// In a thread of its own, for it cannot be taken back.
    fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(work).join()).expect("no panic")
    }

    #[test]
    fn a_thread_keeps_what_is_asked_for_and_others_keep_theirs() {
        let before = capabilities(None).expect("a thread has some");
        let after = in_a_thread(|| {
            Privileges::keep_for_setup(None)
                .and_then(|privileges| privileges.keep_for_running(true))
                .expect("less is always possible");
            capabilities(None).expect("a thread has some")
        });
        assert_eq!(after.permitted, before.permitted & NETWORK);
        assert_eq!(after.effective, before.effective & NETWORK);
        assert_eq!(capabilities(None).expect("a thread has some"), before);
    }

    #[test]
    fn what_is_given_up_does_not_come_back_with_another_program() {
        let after = in_a_thread(|| {
            give_up_all().expect("less is always possible");
            set_no_new_privs(true).expect("always possible");
            std::process::Command::new("grep")
                .args(["CapEff", "/proc/self/status"])
                .output()
                .expect("grep is everywhere")
        });
        let line = String::from_utf8(after.stdout).expect("text");
        assert_eq!(line, "CapEff:\t0000000000000000\n");
    }

    #[test]
    fn rights_over_files_stay_where_the_file_belongs_to_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("users");
        fs::write(&file, "").expect("our folder");
        assert!(!belongs_to_another(&file));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_534), None).expect("root may");
            assert!(belongs_to_another(&file));
        }
    }
}
