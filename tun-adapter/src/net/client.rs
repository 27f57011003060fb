//! Network changes of a client, from its start to its end: routes, name servers, kill switch.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use sandhog_proto::{IpPrefix, NetworkSettings};
use tracing::{debug, info, warn};

use super::dns::{self, Dns};
use super::plan::{self, Plan, RoutePolicy};
use super::policy::Policy;
use super::record::{Change, Journal, Record};
use super::ruleset::{KillSwitch, Ruleset};
use super::{netlink, nft, sysctl};
use crate::config::DeviceName;
use crate::failure::Failure;
use crate::interface;

/// Sysctl that makes the reverse-path filter consider the mark.
const SRC_VALID_MARK: &str = "net/ipv4/conf/all/src_valid_mark";

/// Network options in a client's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Networks to route through the tunnel, in addition to those from the server.
    pub included: Vec<IpPrefix>,
    /// Networks outside the tunnel.
    pub excluded: Vec<IpPrefix>,
    /// The firewall mark of the tunnel's own datagrams.
    pub mark: Mark,
    /// Handling of IPv6 outside a tunnel that carries all IPv4 traffic.
    pub ipv6_outside: Ipv6Outside,
    /// Method for setting name servers.
    pub dns: dns::Method,
    /// True if traffic outside the tunnel is blocked.
    pub kill_switch: bool,
}

/// The firewall mark (fwmark) of the tunnel's own datagrams, used by routing rules and kill switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// An unused mark.
    #[default]
    Free,
    /// The given mark.
    Number(u32),
    /// No mark.
    Off,
}

/// Handling of IPv6 outside the tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6Outside {
    /// Block it.
    #[default]
    Block,
    /// Leave it unchanged.
    Leave,
}

/// The rest of a killed process's record.
#[derive(Debug)]
pub struct StaleState(Option<Record>);

impl StaleState {
    /// Undoes the changes that a killed process has left. A kill switch stays if `options` have one.
    ///
    /// # Errors
    ///
    /// If the device belongs to a running process, or if a change cannot be undone.
    pub async fn clear(device: &DeviceName, options: &Options) -> Result<Self, Failure> {
        if options.kill_switch {
            nft::find("set the kill switch")?;
        }
        Journal::clear(device, options.kill_switch).await.map(Self)
    }

    /// The last known addresses of the server, if a kill switch may block the lookup of its name.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        let behind_switch = self.0.as_ref().filter(|left| left.has_kill_switch());
        behind_switch.map_or(&[], |left| &left.servers)
    }
}

/// The network changes of a running client.
#[derive(Debug)]
pub struct Network {
    device: DeviceName,
    options: Options,
    journal: Journal,
    policy: Option<Policy>,
    /// True if the kill switch was taken over from a killed process.
    is_inherited: bool,
    applied: Option<Applied>,
}

/// The settings in force.
#[derive(Debug)]
struct Applied {
    settings: NetworkSettings,
    plan: Plan,
    dns: Option<Dns>,
    rules: Ruleset,
}

impl Network {
    /// Creates the record for the device and sets the kill switch, if configured. After that, names can no
    /// longer be looked up.
    ///
    /// # Errors
    ///
    /// If the record cannot be written, the mark is in use, or `nft` fails. Changes are then undone.
    pub async fn begin(
        device: &DeviceName,
        options: Options,
        stale: StaleState,
        servers: &[SocketAddr],
    ) -> Result<Self, Failure> {
        let policy = match options.mark {
            Mark::Free => Some(Policy::choose(None).await?),
            Mark::Number(mark) => Some(Policy::choose(Some(mark)).await?),
            Mark::Off => None,
        };
        let is_inherited = stale.0.as_ref().is_some_and(Record::has_kill_switch);
        let mut network = Self {
            journal: Journal::begin(device, stale.0)?,
            device: device.clone(),
            options,
            policy,
            is_inherited,
            applied: None,
        };
        match network.set_kill_switch(servers).await {
            Ok(()) => Ok(network),
            Err(failure) => network.end(Err(failure)).await,
        }
    }

    /// The mark for the tunnel's own datagrams.
    #[must_use]
    pub fn mark(&self) -> Option<u32> {
        self.policy.map(|policy| policy.mark)
    }

    /// Records the addresses of the server.
    ///
    /// # Errors
    ///
    /// If the record cannot be written.
    pub fn note_servers(&mut self, servers: &[SocketAddr]) -> Result<(), Failure> {
        self.journal.note_servers(servers)
    }

    async fn set_kill_switch(&mut self, servers: &[SocketAddr]) -> Result<(), Failure> {
        self.note_servers(servers)?;
        if !self.options.kill_switch {
            return Ok(());
        }
        let rules = Ruleset {
            device: self.device.clone(),
            kill_switch: self.kill_switch(),
            mark_replies: None,
            clamp: None,
        };
        self.apply_rules(&rules).await?;
        info!("kill switch: traffic outside the tunnel is blocked");
        Ok(())
    }

    fn kill_switch(&self) -> Option<KillSwitch> {
        let policy = self.policy.filter(|_| self.options.kill_switch)?;
        Some(KillSwitch {
            mark: policy.mark,
            excluded: self.options.excluded.clone(),
        })
    }

    async fn apply_rules(&mut self, rules: &Ruleset) -> Result<(), Failure> {
        let table = nft::client_table(&self.device);
        self.journal.note(Change::Nft {
            table: table.clone(),
            kill_switch: rules.kill_switch.is_some(),
        })?;
        nft::apply(
            "set the nftables rules",
            &nft::replacement(&table, &rules.chains()),
        )
        .await
    }

    /// Applies the settings from the server: device, routes, rules, nftables and name servers. Returns the
    /// settings in force.
    ///
    /// # Errors
    ///
    /// If a change fails. [`end`](Self::end) then undoes the others.
    pub async fn apply(
        &mut self,
        mut settings: NetworkSettings,
        server: IpAddr,
    ) -> Result<NetworkSettings, Failure> {
        for route in &self.options.included {
            if !settings.included_routes.contains(route) {
                settings.included_routes.push(*route);
            }
        }
        let policy = RoutePolicy {
            excluded: self.options.excluded.clone(),
            block_ipv6: self.options.ipv6_outside == Ipv6Outside::Block,
            has_mark: self.policy.is_some(),
        };
        remove_ipv6_if_disabled(&self.device, &mut settings);
        let plan = Plan::new(&settings, server, &policy).map_err(|route| explain_loop(route, server))?;
        self.apply_to_device(&settings, &plan).await?;
        self.apply_policy(&plan).await?;
        let rules = self.rules(&settings, &plan);
        self.update_rules(&rules).await?;
        let dns = Dns::of(&settings, plan::is_full(&settings));
        self.apply_dns(dns.as_ref()).await?;
        self.log(&settings, &plan);
        self.applied = Some(Applied {
            settings: settings.clone(),
            plan,
            dns,
            rules,
        });
        Ok(settings)
    }

    async fn apply_to_device(&self, settings: &NetworkSettings, plan: &Plan) -> Result<(), Failure> {
        let on_device = |settings: &NetworkSettings, plan: &Plan| NetworkSettings {
            included_routes: plan.main.clone(),
            ..settings.clone()
        };
        let new = on_device(settings, plan);
        match &self.applied {
            Some(old) => interface::change(&self.device, &on_device(&old.settings, &old.plan), &new).await,
            None => interface::apply(&self.device, &new).await,
        }
    }

    async fn apply_policy(&mut self, plan: &Plan) -> Result<(), Failure> {
        let Some(policy) = self.policy else {
            return Ok(());
        };
        let nothing = Plan::default();
        let old = self.applied.as_ref().map_or(&nothing, |applied| &applied.plan);
        if !plan.has_table() && !old.has_table() {
            return Ok(());
        }
        self.journal.note(Change::Policy {
            table: policy.mark,
            priority: policy.priority,
        })?;
        let device = netlink::index_of(&self.device)
            .map_err(|error| Failure::runtime(format_args!("find the device `{}`", self.device), error))?;
        policy.apply(device, old, plan).await?;
        let has_v4 = !plan.tables[0].routes.is_empty();
        if has_v4 && let Err(failure) = sysctl::set(&mut self.journal, SRC_VALID_MARK, "1") {
            // The sysctl matters only with a strict reverse-path filter.
            if has_strict_rp_filter() {
                return Err(failure);
            }
            debug!("{}", failure.message());
        }
        Ok(())
    }

    /// The nftables rules for these settings.
    fn rules(&self, settings: &NetworkSettings, plan: &Plan) -> Ruleset {
        let needs_marks = plan.has_table() && (has_strict_rp_filter() || has_connection_tracking());
        Ruleset {
            device: self.device.clone(),
            kill_switch: self.kill_switch(),
            mark_replies: self.mark().filter(|_| needs_marks),
            clamp: Some(settings.mtu).filter(|_| forwards()),
        }
    }

    /// Applies the nftables rules. Without a kill switch a missing `nft` is only a warning.
    async fn update_rules(&mut self, rules: &Ruleset) -> Result<(), Failure> {
        if self
            .applied
            .as_ref()
            .is_some_and(|applied| applied.rules == *rules)
        {
            return Ok(());
        }
        let had_any = self
            .journal
            .changes()
            .iter()
            .any(|change| matches!(change, Change::Nft { .. }));
        if rules.is_empty() && !had_any {
            return Ok(());
        }
        if rules.kill_switch.is_some() || nft::find("").is_ok() {
            return self.apply_rules(rules).await;
        }
        if rules.clamp.is_some() {
            warn!(
                "this machine forwards packets, but without `nft` their TCP MSS is not clamped to the tunnel's MTU: install nftables"
            );
        }
        if rules.mark_replies.is_some() && has_strict_rp_filter() {
            warn!(
                "the reverse-path filter is strict (net.ipv4.conf.*.rp_filter = 1), and without `nft` replies may be dropped: \
                 install nftables, or set rp_filter to 2"
            );
        }
        Ok(())
    }

    async fn apply_dns(&mut self, dns: Option<&Dns>) -> Result<(), Failure> {
        let before = self.applied.as_ref().and_then(|applied| applied.dns.as_ref());
        if before == dns {
            return Ok(());
        }
        if before.is_some() {
            self.journal.undo_where(Change::is_dns).await?;
        }
        match dns {
            Some(dns) => dns::apply(&mut self.journal, &self.device, self.options.dns, dns).await,
            None => Ok(()),
        }
    }

    fn log(&self, settings: &NetworkSettings, plan: &Plan) {
        let addresses: Vec<_> = settings.addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        info!(event = "addresses", addresses, "addresses: {addresses}");
        if plan.has_table() {
            let mark = self.mark().unwrap_or_default();
            info!("routing: table {mark} has the tunnel's routes; its own datagrams skip it (mark {mark})");
        }
        if self.options.ipv6_outside == Ipv6Outside::Block
            && self.policy.is_some()
            && plan::leaves_ipv6_outside(settings)
        {
            warn!(
                "the tunnel carries all IPv4 but not all IPv6 traffic: other IPv6 traffic is blocked (`ipv6-outside = \"leave\"` \
                 allows it)"
            );
        }
    }

    /// Returns true if datagrams to this address would go into the tunnel.
    #[must_use]
    pub fn leads_into_tunnel(&self, address: IpAddr) -> bool {
        self.applied.as_ref().is_some_and(|applied| {
            let networks = &applied.settings.addresses;
            let mut prefixes = networks.iter().chain(&applied.plan.main);
            prefixes.any(|prefix| prefix.contains(address))
        })
    }

    /// Undoes all changes and returns `result`. After an error, a kill switch stays if the tunnel was up
    /// before or the kill switch was taken over.
    ///
    /// # Errors
    ///
    /// The error in `result`, or else the first change that could not be undone.
    pub async fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        let was_up = self.applied.is_some() || self.is_inherited;
        if result.is_err() && self.options.kill_switch && was_up {
            warn!(
                "the kill switch stays: `sandhog down --device {}` removes it, a restarted client takes it over",
                self.device
            );
            let undone = self.journal.end_behind_kill_switch().await;
            return result.and_then(|value| undone.map(|()| value));
        }
        let undone = self.journal.end().await;
        result.and_then(|value| undone.map(|()| value))
    }
}

fn explain_loop(route: IpPrefix, server: IpAddr) -> Failure {
    let why = format!("{route} would route the datagrams to the server {server} into the tunnel");
    Failure::input(why).with_help(
        "remove this route from `included-routes` here or from `routes` on the server, or remove `fwmark = 0` so that the tunnel's \
         own datagrams get a mark. The network of the tunnel's addresses cannot contain the server",
    )
}

/// Removes IPv6 addresses and routes if IPv6 is disabled on this machine.
fn remove_ipv6_if_disabled(device: &DeviceName, settings: &mut NetworkSettings) {
    if !is_ipv6_disabled(device) {
        return;
    }
    let before = settings.addresses.len();
    settings.addresses.retain(|prefix| prefix.address.is_ipv4());
    settings.included_routes.retain(|prefix| prefix.address.is_ipv4());
    if settings.addresses.len() < before {
        warn!("IPv6 is disabled on this machine: the tunnel carries IPv4 only");
    }
}

/// Returns true if IPv6 is disabled for the device.
fn is_ipv6_disabled(device: &DeviceName) -> bool {
    sysctl::read(&format!("net/ipv6/conf/{device}/disable_ipv6")).map_or(true, |value| value != "0")
}

/// Returns true if IP forwarding is enabled.
fn forwards() -> bool {
    ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"]
        .into_iter()
        .any(|key| sysctl::read(key).is_ok_and(|value| value != "0"))
}

/// Returns true if the reverse-path filter is strict (`rp_filter` 1, RFC 3704): the kernel then drops packets
/// that do not arrive on the device of the route back to their source.
fn has_strict_rp_filter() -> bool {
    let Ok(devices) = fs::read_dir("/proc/sys/net/ipv4/conf") else {
        return false;
    };
    let names = devices.filter_map(|device| device.ok()?.file_name().into_string().ok());
    let values: Vec<_> = names
        .filter_map(|name| {
            Some((
                sysctl::read(&format!("net/ipv4/conf/{name}/rp_filter")).ok()?,
                name,
            ))
        })
        .collect();
    let is = |value: &str, of: &str| values.iter().any(|(found, name)| name == of && found == value);
    // The maximum of `all` and the device's own value is in force.
    !is("2", "all")
        && values
            .iter()
            .any(|(value, name)| value == "1" && name != "default" && name != "lo")
}

/// Returns true if connection tracking is loaded, as for a firewall that matches on the state of connections.
fn has_connection_tracking() -> bool {
    fs::exists("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or(false)
}
