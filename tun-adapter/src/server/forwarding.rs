//! IP forwarding for the clients of a server: sysctls and an nftables table. Both are optional and in force
//! only while the server runs.

use std::fs;
use std::net::IpAddr;

use tracing::info;

use crate::config::secure::Forwarding;
use crate::config::{Device, network_of};
use crate::failure::Failure;
use crate::net::record::{Change, Journal};
use crate::net::{nft, sysctl};

/// Names of an address family in nftables and in sysctls.
struct Family {
    /// Name of the family in nftables.
    name: &'static str,
    /// Name of the address expression in nftables.
    address: &'static str,
    /// Sysctl that enables forwarding.
    sysctl: &'static str,
    /// Folder below /proc/sys with the sysctls of each device.
    devices: &'static str,
}

const V4: Family = Family {
    name: "ipv4",
    address: "ip",
    sysctl: "net/ipv4/ip_forward",
    devices: "net/ipv4/conf",
};
const V6: Family = Family {
    name: "ipv6",
    address: "ip6",
    sysctl: "net/ipv6/conf/all/forwarding",
    devices: "net/ipv6/conf",
};

/// Enables forwarding for the clients, and records the changes in `journal`.
///
/// # Errors
///
/// If the kernel or `nft` fails. Changes made before are in the journal.
pub(super) async fn apply(journal: &mut Journal, device: &Device, wanted: Forwarding) -> Result<(), Failure> {
    if !wanted.is_enabled {
        return Ok(());
    }
    let action = "forward the clients' packets";
    nft::find(action)?;
    let mut enabled = Vec::new();
    for family in [V4, V6] {
        let has_address = device
            .addresses
            .iter()
            .any(|prefix| Family::of(prefix.address).name == family.name);
        if has_address && enable(journal, &family)? {
            enabled.push(family.name);
        }
    }
    let table = nft::server_table(&device.name);
    journal.note(Change::Nft {
        table: table.clone(),
        kill_switch: false,
    })?;
    let chains = chains(device, &enabled, wanted.masquerades);
    nft::apply(action, &nft::replacement(&table, &chains)).await?;
    info!(
        "forwarding: {}",
        if wanted.masquerades {
            "clients reach this machine's networks with its addresses (masquerading)"
        } else {
            "clients reach this machine's networks with their own addresses"
        }
    );
    Ok(())
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { V4 } else { V6 }
    }
}

/// Enables forwarding for one family. Returns true if it was disabled before.
fn enable(journal: &mut Journal, family: &Family) -> Result<bool, Failure> {
    if sysctl::read(family.sysctl)? == "1" {
        return Ok(false);
    }
    // This sysctl also sets those of all devices, now and when it is restored. The journal is undone in
    // reverse order, so devices that forwarded before are recorded first and restored last.
    for device in devices(family) {
        let key = format!("{}/{device}/forwarding", family.devices);
        if device != "all" && sysctl::read(&key).is_ok_and(|value| value == "1") {
            journal.note(Change::Sysctl {
                key,
                before: "1".to_owned(),
                after: "0".to_owned(),
            })?;
        }
    }
    if family.name == V6.name {
        keep_accepting_routers(journal, family)?;
    }
    sysctl::set(journal, family.sysctl, "1")?;
    Ok(true)
}

/// Sets `accept_ra` from 1 to 2. With the value 1, a forwarding machine ignores router advertisements and
/// could lose its default route.
fn keep_accepting_routers(journal: &mut Journal, family: &Family) -> Result<(), Failure> {
    for device in devices(family) {
        let key = format!("{}/{device}/accept_ra", family.devices);
        let is_real = !["all", "default", "lo"].contains(&&*device);
        if is_real && sysctl::read(&key).is_ok_and(|value| value == "1") {
            sysctl::set(journal, &key, "2")?;
        }
    }
    Ok(())
}

/// Devices that have sysctls of this family, sorted by name.
fn devices(family: &Family) -> Vec<String> {
    let folder = fs::read_dir(format!("/proc/sys/{}", family.devices));
    let mut names: Vec<_> = folder
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The chains of the table. For the families in `enabled`, the machine forwards only packets from and to the
/// tunnel.
fn chains(device: &Device, enabled: &[&str], masquerades: bool) -> String {
    let name = &device.name;
    let mut text =
        String::from("\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n");
    for family in enabled {
        text.push_str(&format!(
            "\t\tmeta nfproto {family} iifname != \"{name}\" oifname != \"{name}\" drop\n"
        ));
    }
    text.push_str("\t}\n\tchain segments {\n\t\ttype filter hook forward priority mangle; policy accept;\n");
    for direction in ["iifname", "oifname"] {
        text.push_str(&format!(
            "\t\t{direction} \"{name}\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n"
        ));
    }
    text.push_str("\t}\n");
    if masquerades {
        text.push_str("\tchain hiding {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n");
        for network in &device.addresses {
            let family = Family::of(network.address);
            text.push_str(&format!(
                "\t\t{} saddr {} oifname != \"{name}\" masquerade\n",
                family.address,
                network_of(*network)
            ));
        }
        text.push_str("\t}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device {
            name: "sandhog0".parse().expect("a name"),
            addresses: ["10.9.0.1/24", "fd00:9::1/64"]
                .map(|text| text.parse().expect("a prefix"))
                .into(),
            mtu: 1420,
        }
    }

    #[test]
    fn masquerading_applies_only_to_traffic_that_leaves_the_tunnel() {
        let text = chains(&device(), &[], true);
        assert!(
            text.contains("\t\tip saddr 10.9.0.0/24 oifname != \"sandhog0\" masquerade\n"),
            "{text}"
        );
        assert!(
            text.contains("\t\tip6 saddr fd00:9::/64 oifname != \"sandhog0\" masquerade\n"),
            "{text}"
        );
        assert!(!text.contains("drop"), "{text}");
        assert!(!chains(&device(), &[], false).contains("masquerade"));
    }

    #[test]
    fn newly_enabled_forwarding_is_restricted_to_the_tunnel() {
        let text = chains(&device(), &["ipv6"], false);
        assert_eq!(text.matches("drop").count(), 1, "{text}");
        let rule = "\t\tmeta nfproto ipv6 iifname != \"sandhog0\" oifname != \"sandhog0\" drop\n";
        assert!(text.contains(rule), "{text}");
    }

    #[test]
    fn mss_is_clamped_in_both_directions() {
        let text = chains(&device(), &[], false);
        for direction in ["iifname", "oifname"] {
            let rule =
                format!("{direction} \"sandhog0\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu");
            assert!(text.contains(&rule), "{text}");
        }
    }
}
