//! What every tunnel needs of a machine.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities};
use rustix::time::{ClockId, clock_gettime};

use super::Finding;
use crate::net::command;

/// What receive buffers should be able to hold, in bytes: a tenth of a second at 640 Mbit/s.
const GOOD_BUFFER: u64 = 8 << 20;
/// 2025-01-01 00:00 UTC: no clock is right that shows less.
const PAST: i64 = 1_735_689_600;
/// 2100-01-01 00:00 UTC.
const FAR_FUTURE: i64 = 4_102_444_800;

pub(super) fn look() -> Vec<Finding> {
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
        rights(may_administer),
        clock(clock_gettime(ClockId::Realtime).tv_sec),
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
    const SUBJECT: &str = "device driver";
    match opened {
        Ok(()) => Finding::ok(SUBJECT, "/dev/net/tun can be opened"),
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::PermissionDenied => "run as root",
                _ => "load the driver with `modprobe tun`; in a container, pass /dev/net/tun into it",
            };
            Finding::fail(SUBJECT, format!("cannot open /dev/net/tun: {error}"), help)
        }
    }
}

fn rights(may_administer: bool) -> Finding {
    if may_administer {
        return Finding::ok("rights", "this user may make devices and routes (CAP_NET_ADMIN)");
    }
    Finding::fail(
        "rights",
        "this user may not make devices and routes",
        "run as root, or with the capability CAP_NET_ADMIN",
    )
}

fn clock(now: i64) -> Finding {
    if (PAST..FAR_FUTURE).contains(&now) {
        return Finding::ok(
            "clock",
            "the year is plausible; timers count the time of a sleep (CLOCK_BOOTTIME)",
        );
    }
    Finding::warn(
        "clock",
        "this machine's clock is years off",
        "set it, by NTP or `date`; only a server's users with a day of expiry depend on it",
    )
}

fn ipv6(disabled: Option<&str>) -> Finding {
    match disabled.map(str::trim) {
        Some("0") => Finding::ok("IPv6", "switched on"),
        Some(_) => Finding::warn(
            "IPv6",
            "switched off: tunnels will carry IPv4 only",
            "set the sysctl net.ipv6.conf.all.disable_ipv6 to 0 if you want it",
        ),
        None => Finding::warn(
            "IPv6",
            "this kernel has none: tunnels will carry IPv4 only",
            "start the kernel without ipv6.disable=1 if you want it",
        ),
    }
}

fn buffers(most: Option<u64>, may_administer: bool) -> Finding {
    const SUBJECT: &str = "receive buffers";
    match most {
        _ if may_administer => Finding::ok(SUBJECT, "as large as they need to be"),
        Some(bytes) if bytes >= GOOD_BUFFER => Finding::ok(SUBJECT, format!("at most {bytes} bytes")),
        _ => Finding::warn(
            SUBJECT,
            "small without CAP_NET_ADMIN: packets are lost when many come at once",
            format!("set the sysctl net.core.rmem_max to {GOOD_BUFFER}"),
        ),
    }
}

fn nft(program: Option<&Path>) -> Finding {
    match program {
        Some(program) => Finding::ok("nftables", program.display().to_string()),
        None => Finding::warn(
            "nftables",
            "there is no program nft: no kill switch, no masquerading",
            "apt-get install nftables, if you want either",
        ),
    }
}

fn dns(is_resolved: bool, has_resolvconf: bool) -> Finding {
    let how = match (is_resolved, has_resolvconf) {
        (true, _) => "by resolvectl: systemd-resolved runs",
        (false, true) => "by resolvconf",
        (false, false) => "by /etc/resolv.conf itself: there is neither systemd-resolved nor resolvconf",
    };
    Finding::ok("name servers are set", how)
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn each_part_of_a_machine_is_judged() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let levels = [
            (driver(Ok(())), Level::Ok),
            (driver(Err(denied())), Level::Fail),
            (rights(true), Level::Ok),
            (rights(false), Level::Fail),
            (clock(0), Level::Warn),
            (clock(1_790_000_000), Level::Ok),
            (clock(i64::MAX), Level::Warn),
            (ipv6(Some("0\n")), Level::Ok),
            (ipv6(Some("1\n")), Level::Warn),
            (ipv6(None), Level::Warn),
            (buffers(Some(212_992), true), Level::Ok),
            (buffers(Some(212_992), false), Level::Warn),
            (buffers(Some(GOOD_BUFFER), false), Level::Ok),
            (nft(None), Level::Warn),
            (dns(false, false), Level::Ok),
        ];
        for (finding, level) in levels {
            assert_eq!(finding.level, level, "{finding}");
            assert_eq!(finding.help.is_some(), level != Level::Ok, "{finding}");
        }
    }
}
