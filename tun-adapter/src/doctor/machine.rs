//! Checks of the machine that apply to all tunnels.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities};
use rustix::time::{ClockId, clock_gettime};

use super::Finding;
use crate::net::command;

/// Recommended receive buffer in bytes: 0.1 s at 640 Mbit/s.
const RECOMMENDED_BUFFER: u64 = 8 << 20;
/// 2026-01-01 00:00 UTC, before this program was built. An earlier time is wrong.
const PAST: i64 = 1_767_225_600;
/// 2100-01-01 00:00 UTC. A later time is wrong.
const FAR_FUTURE: i64 = 4_102_444_800;

pub(super) async fn check() -> Vec<Finding> {
    let may_administer =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN));
    vec![
        driver(
            OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/net/tun")
                .map(drop),
        ),
        privileges(may_administer),
        clock(clock_gettime(ClockId::Realtime).tv_sec, is_synchronised().await),
        ipv6(
            fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6")
                .ok()
                .as_deref(),
        ),
        buffers(number("/proc/sys/net/core/rmem_max"), may_administer),
        nft(command::find("nft").as_deref()),
        dns(
            Path::new("/run/systemd/resolve").exists() && command::find("resolvectl").is_some(),
            command::find("resolvconf").is_some(),
        ),
    ]
}

fn driver(opened: io::Result<()>) -> Finding {
    const SUBJECT: &str = "TUN driver";
    match opened {
        Ok(()) => Finding::ok(SUBJECT, "/dev/net/tun can be opened"),
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::PermissionDenied => "run as root",
                _ => "load the driver with `modprobe tun`; in a container, make /dev/net/tun available",
            };
            Finding::fail(SUBJECT, format!("cannot open /dev/net/tun: {error}"), help)
        }
    }
}

fn privileges(may_administer: bool) -> Finding {
    if may_administer {
        return Finding::ok(
            "privileges",
            "this user can create devices and routes (CAP_NET_ADMIN)",
        );
    }
    Finding::fail(
        "privileges",
        "this user cannot create devices and routes",
        "run as root, or with the capability CAP_NET_ADMIN",
    )
}

/// Checks the clock. `synchronised` is `None` if the machine cannot tell if its clock is set by NTP.
fn clock(now: i64, synchronised: Option<bool>) -> Finding {
    const SUBJECT: &str = "clock";
    const HELP: &str = "set it, best with NTP: `timedatectl set-ntp true`, or install chrony. A server ignores clients whose clock \
                        differs from its own by more than 30 s";
    if !(PAST..FAR_FUTURE).contains(&now) {
        return Finding::warn(SUBJECT, "this machine's clock is wrong by years", HELP);
    }
    match synchronised {
        Some(true) => Finding::ok(SUBJECT, "set by NTP"),
        Some(false) => Finding::warn(SUBJECT, "not set by NTP: it may be wrong by more than 30 s", HELP),
        None => Finding::ok(SUBJECT, "the date is plausible"),
    }
}

/// Returns the kernel's information about NTP (adjtimex(2)), from systemd. `None` without systemd, for example in a container.
async fn is_synchronised() -> Option<bool> {
    let program = command::find("timedatectl")?;
    let arguments = ["show", "--property=NTPSynchronized", "--value"];
    match command::run(&program, &arguments, "").await.ok()?.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn ipv6(disabled: Option<&str>) -> Finding {
    match disabled.map(str::trim) {
        Some("0") => Finding::ok("IPv6", "enabled"),
        Some(_) => Finding::warn(
            "IPv6",
            "disabled: tunnels carry IPv4 only",
            "to enable it, set the sysctl net.ipv6.conf.all.disable_ipv6 to 0",
        ),
        None => Finding::warn(
            "IPv6",
            "not supported by this kernel: tunnels carry IPv4 only",
            "to enable it, boot the kernel without ipv6.disable=1",
        ),
    }
}

fn buffers(max: Option<u64>, may_administer: bool) -> Finding {
    const SUBJECT: &str = "receive buffers";
    match max {
        _ if may_administer => Finding::ok(SUBJECT, "no limit with CAP_NET_ADMIN"),
        Some(bytes) if bytes >= RECOMMENDED_BUFFER => Finding::ok(SUBJECT, format!("up to {bytes} bytes")),
        _ => Finding::warn(
            SUBJECT,
            "too small without CAP_NET_ADMIN: bursts of packets may be lost",
            format!("set the sysctl net.core.rmem_max to {RECOMMENDED_BUFFER}"),
        ),
    }
}

fn nft(program: Option<&Path>) -> Finding {
    match program {
        Some(program) => Finding::ok("nftables", program.display().to_string()),
        None => Finding::warn(
            "nftables",
            "the program `nft` is not installed: no kill switch, no masquerading",
            "to use them, install nftables (on Debian: `apt install nftables`)",
        ),
    }
}

fn dns(is_resolved: bool, has_resolvconf: bool) -> Finding {
    let how = match (is_resolved, has_resolvconf) {
        (true, _) => "set with resolvectl (systemd-resolved is running)",
        (false, true) => "set with resolvconf",
        (false, false) => "/etc/resolv.conf is replaced (no systemd-resolved, no resolvconf)",
    };
    Finding::ok("DNS", how)
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn each_check_has_its_level_and_only_problems_have_help() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let levels = [
            (driver(Ok(())), Level::Ok),
            (driver(Err(denied())), Level::Fail),
            (privileges(true), Level::Ok),
            (privileges(false), Level::Fail),
            (clock(0, Some(true)), Level::Warn),
            (clock(PAST - 1, None), Level::Warn),
            (clock(1_790_000_000, None), Level::Ok),
            (clock(1_790_000_000, Some(true)), Level::Ok),
            (clock(1_790_000_000, Some(false)), Level::Warn),
            (clock(i64::MAX, None), Level::Warn),
            (ipv6(Some("0\n")), Level::Ok),
            (ipv6(Some("1\n")), Level::Warn),
            (ipv6(None), Level::Warn),
            (buffers(Some(212_992), true), Level::Ok),
            (buffers(Some(212_992), false), Level::Warn),
            (buffers(Some(RECOMMENDED_BUFFER), false), Level::Ok),
            (nft(None), Level::Warn),
            (dns(false, false), Level::Ok),
        ];
        for (finding, level) in levels {
            assert_eq!(finding.level, level, "{finding}");
            assert_eq!(finding.help.is_some(), level != Level::Ok, "{finding}");
        }
    }
}
