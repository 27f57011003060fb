//! A server's machine as a router for its clients: the kernel's switches, and a table of nftables. Both only when asked for, and
//! only for as long as the server runs.

use std::fs;
use std::net::IpAddr;

use tracing::info;

use crate::config::secure::Forwarding;
use crate::config::{Device, network_of};
use crate::failure::Failure;
use crate::net::record::{Change, Journal};
use crate::net::{nft, sysctl};

/// A family of addresses, as the kernel's switches and nftables name it.
struct Family {
    /// In nftables.
    name: &'static str,
    /// As an expression for addresses.
    address: &'static str,
    /// The switch that makes the machine a router, below /proc/sys.
    switch: &'static str,
    /// The folder with a folder for each device, each with a switch of its own.
    devices: &'static str,
}

const V4: Family = Family {
    name: "ipv4",
    address: "ip",
    switch: "net/ipv4/ip_forward",
    devices: "net/ipv4/conf",
};
const V6: Family = Family {
    name: "ipv6",
    address: "ip6",
    switch: "net/ipv6/conf/all/forwarding",
    devices: "net/ipv6/conf",
};

/// Has this machine forward what clients send and get, until the end of the journal.
///
/// # Errors
///
/// When the kernel or `nft` refuses. What was changed by then stands in the journal.
pub(super) async fn apply(journal: &mut Journal, device: &Device, wanted: Forwarding) -> Result<(), Failure> {
    if !wanted.is_enabled {
        return Ok(());
    }
    let for_what = "forward the clients' packets";
    nft::find(for_what)?;
    let mut opened = Vec::new();
    for family in [V4, V6] {
        let has_some = device
            .addresses
            .iter()
            .any(|prefix| Family::of(prefix.address).name == family.name);
        if has_some && open(journal, &family)? {
            opened.push(family.name);
        }
    }
    let table = nft::server_table(&device.name);
    journal.note(Change::Nft {
        table: table.clone(),
        kill_switch: false,
    })?;
    let chains = chains(device, &opened, wanted.masquerades);
    nft::apply(for_what, &nft::replacement(&table, &chains)).await?;
    info!(
        "forwarding: {}",
        if wanted.masquerades {
            "clients reach the networks of this machine under its own addresses"
        } else {
            "clients reach the networks of this machine under their own addresses"
        }
    );
    Ok(())
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { V4 } else { V6 }
    }
}

/// Makes the machine a router for one family; tells whether it was none before.
fn open(journal: &mut Journal, family: &Family) -> Result<bool, Failure> {
    if sysctl::read(family.switch)? == "1" {
        return Ok(false);
    }
    // With the one switch the kernel sets those of all devices, and when it is set back as well. What stands first in the journal
    // is undone last: devices that forwarded before do so again.
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
    sysctl::set(journal, family.switch, "1")?;
    Ok(true)
}

/// A router takes no routes from other routers' advertisements, unless it is told to with a 2: without that, a machine that has
/// its own way out from there would lose it.
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

/// The devices that have switches of this family, in the order of their names.
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

/// The chains of the table. Where the machine was no router before (`opened`), it becomes one for the tunnel alone.
fn chains(device: &Device, opened: &[&str], masquerades: bool) -> String {
    let name = &device.name;
    let mut text =
        String::from("\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n");
    for family in opened {
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
    fn with_masquerade_only_the_tunnels_networks_are_hidden_and_not_inside_the_tunnel() {
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
    fn a_machine_that_was_no_router_becomes_one_for_the_tunnel_alone() {
        let text = chains(&device(), &["ipv6"], false);
        assert_eq!(text.matches("drop").count(), 1, "{text}");
        let rule = "\t\tmeta nfproto ipv6 iifname != \"sandhog0\" oifname != \"sandhog0\" drop\n";
        assert!(text.contains(rule), "{text}");
    }

    #[test]
    fn segments_are_cut_to_the_path_in_both_directions() {
        let text = chains(&device(), &[], false);
        for direction in ["iifname", "oifname"] {
            let rule =
                format!("{direction} \"sandhog0\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu");
            assert!(text.contains(&rule), "{text}");
        }
    }
}
