//! The client's nftables table: kill switch, TCP MSS clamping and connection marks. [`nft`](super::nft)
//! applies the text.

use std::fmt::Write;

use sandhog_proto::IpPrefix;

use crate::config::DeviceName;

/// The nftables rules of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// The tunnel's device.
    pub device: DeviceName,
    /// Blocks all outgoing traffic outside the tunnel.
    pub kill_switch: Option<KillSwitch>,
    /// Restores this mark on replies, for a kernel that checks reverse paths (`rp_filter`).
    pub mark_replies: Option<u32>,
    /// Clamps the MSS of forwarded TCP connections to this MTU, in bytes.
    pub clamp: Option<u16>,
}

/// The traffic that the kill switch allows outside the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillSwitch {
    /// The mark of the tunnel's own datagrams.
    pub mark: u32,
    /// Networks outside the tunnel.
    pub excluded: Vec<IpPrefix>,
}

/// Size of the IP and TCP headers without options, in bytes.
const HEADERS: [(&str, u16); 2] = [("ipv4", 40), ("ipv6", 60)];

impl Ruleset {
    /// Returns true if there are no rules.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.kill_switch.is_none() && self.mark_replies.is_none() && self.clamp.is_none()
    }

    /// The chains of the table, as nftables text.
    #[must_use]
    pub fn chains(&self) -> String {
        let mut text = String::new();
        let device = &self.device;
        if let Some(switch) = &self.kill_switch {
            text.push_str(&switch.chains(device));
        }
        if let Some(mark) = self.mark_replies {
            text.push_str(&chain(
                "answers",
                "filter hook prerouting priority mangle; policy accept",
                &["meta l4proto udp meta mark set ct mark".to_owned()],
            ));
            text.push_str(&chain(
                "marks",
                "filter hook postrouting priority mangle; policy accept",
                &[format!(
                    "meta l4proto udp meta mark {mark:#x} ct mark set meta mark"
                )],
            ));
        }
        if let Some(mtu) = self.clamp {
            let mut rules = vec![format!(
                "oifname \"{device}\" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"
            )];
            // Packets from the tunnel leave through a device with a larger MTU, so its route MTU does not
            // help.
            rules.extend(HEADERS.map(|(family, headers)| {
                let size = mtu - headers;
                format!(
                    "iifname \"{device}\" meta nfproto {family} tcp flags & (syn | rst) == syn tcp option maxseg size set {size}"
                )
            }));
            text.push_str(&chain(
                "segments",
                "filter hook forward priority mangle; policy accept",
                &rules,
            ));
        }
        text
    }
}

impl KillSwitch {
    fn chains(&self, device: &DeviceName) -> String {
        let mut out = vec![
            "oifname \"lo\" accept".to_owned(),
            format!("oifname \"{device}\" accept"),
            format!("meta mark {:#x} accept", self.mark),
            // Address configuration: DHCP (RFC 2131, section 4.1; RFC 8415, section 7.2), neighbour discovery
            // (RFC 4861, section 4), and the multicast group memberships that it needs (RFC 3810).
            "udp sport 68 udp dport 67 accept".to_owned(),
            "udp sport 546 udp dport 547 accept".to_owned(),
            "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept".to_owned(),
            "icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept".to_owned(),
        ];
        out.extend(self.excluded_by("daddr"));
        out.push("counter drop".to_owned());
        let mut forward = vec![
            format!("oifname \"{device}\" accept"),
            format!("iifname \"{device}\" accept"),
        ];
        forward.extend(self.excluded_by("daddr"));
        forward.extend(self.excluded_by("saddr"));
        forward.push("counter drop".to_owned());
        chain("output", "filter hook output priority filter; policy drop", &out)
            + &chain(
                "forward",
                "filter hook forward priority filter; policy drop",
                &forward,
            )
    }

    fn excluded_by(&self, address: &str) -> Vec<String> {
        let rule = |prefix: &IpPrefix| {
            let family = if prefix.address.is_ipv4() { "ip" } else { "ip6" };
            format!("{family} {address} {prefix} accept")
        };
        self.excluded.iter().map(rule).collect()
    }
}

fn chain(name: &str, kind: &str, rules: &[String]) -> String {
    let mut text = format!("\tchain {name} {{\n\t\ttype {kind};\n");
    for rule in rules {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\t\t{rule}");
    }
    text.push_str("\t}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Ruleset {
        Ruleset {
            device: DeviceName::default(),
            kill_switch: None,
            mark_replies: None,
            clamp: None,
        }
    }

    fn switch(excluded: &[&str]) -> Ruleset {
        let excluded = excluded
            .iter()
            .map(|text| text.parse().expect("a prefix"))
            .collect();
        Ruleset {
            kill_switch: Some(KillSwitch {
                mark: 0xca6d,
                excluded,
            }),
            ..nothing()
        }
    }

    #[test]
    fn the_kill_switch_allows_the_tunnel_and_address_configuration() {
        assert_eq!(
            switch(&["192.0.2.0/24", "2001:db8::/32"]).chains(),
            "\tchain output {\n\
             \t\ttype filter hook output priority filter; policy drop;\n\
             \t\toifname \"lo\" accept\n\
             \t\toifname \"sandhog0\" accept\n\
             \t\tmeta mark 0xca6d accept\n\
             \t\tudp sport 68 udp dport 67 accept\n\
             \t\tudp sport 546 udp dport 547 accept\n\
             \t\ticmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept\n\
             \t\ticmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept\n\
             \t\tip daddr 192.0.2.0/24 accept\n\
             \t\tip6 daddr 2001:db8::/32 accept\n\
             \t\tcounter drop\n\
             \t}\n\
             \tchain forward {\n\
             \t\ttype filter hook forward priority filter; policy drop;\n\
             \t\toifname \"sandhog0\" accept\n\
             \t\tiifname \"sandhog0\" accept\n\
             \t\tip daddr 192.0.2.0/24 accept\n\
             \t\tip6 daddr 2001:db8::/32 accept\n\
             \t\tip saddr 192.0.2.0/24 accept\n\
             \t\tip6 saddr 2001:db8::/32 accept\n\
             \t\tcounter drop\n\
             \t}\n"
        );
    }

    #[test]
    fn mss_is_clamped_to_the_route_into_the_tunnel_and_to_the_mtu_out_of_it() {
        let clamp = Ruleset {
            clamp: Some(1420),
            ..nothing()
        };
        let syn = "tcp flags & (syn | rst) == syn tcp option maxseg size set";
        assert_eq!(
            clamp.chains(),
            format!(
                "\tchain segments {{\n\
                 \t\ttype filter hook forward priority mangle; policy accept;\n\
                 \t\toifname \"sandhog0\" {syn} rt mtu\n\
                 \t\tiifname \"sandhog0\" meta nfproto ipv4 {syn} 1380\n\
                 \t\tiifname \"sandhog0\" meta nfproto ipv6 {syn} 1360\n\
                 \t}}\n"
            )
        );
    }

    #[test]
    fn replies_get_the_mark_of_their_connection() {
        let marks = Ruleset {
            mark_replies: Some(0xca6d),
            ..nothing()
        };
        let text = marks.chains();
        assert!(
            text.contains("meta l4proto udp meta mark 0xca6d ct mark set meta mark\n"),
            "{text}"
        );
        assert!(
            text.contains("meta l4proto udp meta mark set ct mark\n"),
            "{text}"
        );
        assert!(!text.contains("drop"), "{text}");
    }

    #[test]
    fn an_empty_ruleset_has_no_text() {
        assert!(nothing().is_empty() && nothing().chains().is_empty());
        assert!(!switch(&[]).is_empty());
    }
}
