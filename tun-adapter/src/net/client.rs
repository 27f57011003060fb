//! A client's place in this machine's network, from before its login to after its end.

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

/// What the kernel has to be told so that marked datagrams count for its check of sources.
const SRC_VALID_MARK: &str = "net/ipv4/conf/all/src_valid_mark";

/// What a client's configuration says of this machine's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Networks to be reached through the tunnel, besides those that the server offers.
    pub included: Vec<IpPrefix>,
    /// Networks to be reached as before the tunnel.
    pub excluded: Vec<IpPrefix>,
    /// The mark of the tunnel's own datagrams.
    pub mark: Mark,
    /// What becomes of IPv6 that does not go into a tunnel that all of IPv4 goes into.
    pub ipv6_outside: Ipv6Outside,
    /// How this machine is told of name servers.
    pub dns: dns::Method,
    /// Whether nothing leaves this machine but through the tunnel.
    pub kill_switch: bool,
}

/// The mark of the tunnel's own datagrams, by which routing and kill switch know them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// One that nobody uses.
    #[default]
    Free,
    /// This one.
    Number(u32),
    /// None.
    Off,
}

/// What becomes of IPv6 that does not go into the tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6Outside {
    /// It goes nowhere.
    #[default]
    Block,
    /// It goes where it went before.
    Leave,
}

/// What is left of an earlier process.
#[derive(Debug)]
pub struct StaleState(Option<Record>);

impl StaleState {
    /// Undoes what an earlier process has left behind under this name. A kill switch stays if there is to be one again.
    ///
    /// # Errors
    ///
    /// When the device belongs to a process that runs, and when something cannot be undone.
    pub async fn clear(device: &DeviceName, options: &Options) -> Result<Self, Failure> {
        if options.kill_switch {
            nft::find("set the kill switch")?;
        }
        Journal::clear(device, options.kill_switch).await.map(Self)
    }

    /// Where the server was last, if a kill switch may keep its name from being looked up.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        let behind_switch = self.0.as_ref().filter(|left| left.has_kill_switch());
        behind_switch.map_or(&[], |left| &left.servers)
    }
}

/// The network of this machine, with a tunnel in it.
#[derive(Debug)]
pub struct Network {
    device: DeviceName,
    options: Options,
    journal: Journal,
    policy: Option<Policy>,
    /// Whether the kill switch was there before this process.
    is_inherited: bool,
    applied: Option<Applied>,
}

/// What is in force.
#[derive(Debug)]
struct Applied {
    settings: NetworkSettings,
    plan: Plan,
    dns: Option<Dns>,
    rules: Ruleset,
}

impl Network {
    /// Takes the device's name for this process and closes the kill switch, if there is to be one. From then on nothing is
    /// looked up any more.
    ///
    /// # Errors
    ///
    /// When the record cannot be written, the mark is taken, or `nft` fails. Everything is as before then.
    pub async fn begin(
        device: &DeviceName,
        options: Options,
        left: StaleState,
        servers: &[SocketAddr],
    ) -> Result<Self, Failure> {
        let policy = match options.mark {
            Mark::Free => Some(Policy::choose(None).await?),
            Mark::Number(mark) => Some(Policy::choose(Some(mark)).await?),
            Mark::Off => None,
        };
        let is_inherited = left.0.as_ref().is_some_and(Record::has_kill_switch);
        let mut network = Self {
            journal: Journal::begin(device, left.0)?,
            device: device.clone(),
            options,
            policy,
            is_inherited,
            applied: None,
        };
        match network.close(servers).await {
            Ok(()) => Ok(network),
            Err(failure) => network.end(Err(failure)).await,
        }
    }

    /// The mark that the tunnel's own datagrams need.
    #[must_use]
    pub fn mark(&self) -> Option<u32> {
        self.policy.map(|policy| policy.mark)
    }

    /// Notes where the server is now.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub fn note_servers(&mut self, servers: &[SocketAddr]) -> Result<(), Failure> {
        self.journal.note_servers(servers)
    }

    async fn close(&mut self, servers: &[SocketAddr]) -> Result<(), Failure> {
        self.note_servers(servers)?;
        if !self.options.kill_switch {
            return Ok(());
        }
        let rules = Ruleset {
            device: self.device.clone(),
            kill_switch: self.kill_switch(),
            mark_answers: None,
            clamp: None,
        };
        self.apply_rules(&rules).await?;
        info!("kill switch: nothing leaves this machine but through the tunnel");
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
            "set the rules of nftables",
            &nft::replacement(&table, &rules.chains()),
        )
        .await
    }

    /// Gives the device what the server at `server` says, and has this machine's routing and name servers follow. Gives what
    /// the device has got in the end.
    ///
    /// # Errors
    ///
    /// When something of it is not possible; the message says what. [`end`](Self::end) undoes the rest.
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
        let wishes = RoutePolicy {
            excluded: self.options.excluded.clone(),
            block_ipv6: self.options.ipv6_outside == Ipv6Outside::Block,
            has_mark: self.policy.is_some(),
        };
        leave_out_ipv6(&self.device, &mut settings);
        let plan = Plan::new(&settings, server, &wishes).map_err(|route| explain_loop(route, server))?;
        self.apply_to_device(&settings, &plan).await?;
        self.apply_policy(&plan).await?;
        let rules = self.rules(&settings, &plan);
        self.apply_rest_of_rules(&rules).await?;
        let dns = Dns::of(&settings, plan::is_full(&settings));
        self.apply_dns(dns.as_ref()).await?;
        self.tell(&settings, &plan);
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
            // It matters only where the kernel checks sources strictly.
            if checks_sources() {
                return Err(failure);
            }
            debug!("{}", failure.message());
        }
        Ok(())
    }

    /// What this machine needs of nftables for these settings.
    fn rules(&self, settings: &NetworkSettings, plan: &Plan) -> Ruleset {
        let needs_marks = plan.has_table() && (checks_sources() || tracks_connections());
        Ruleset {
            device: self.device.clone(),
            kill_switch: self.kill_switch(),
            mark_answers: self.mark().filter(|_| needs_marks),
            clamp: Some(settings.mtu).filter(|_| forwards()),
        }
    }

    /// Applies the rules of nftables. Without a kill switch they are not worth an end: a machine may have no `nft`.
    async fn apply_rest_of_rules(&mut self, rules: &Ruleset) -> Result<(), Failure> {
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
                "this machine forwards, and has no `nft` to fit TCP's segments into the tunnel: install nftables"
            );
        }
        if rules.mark_answers.is_some() && checks_sources() {
            warn!(
                "this machine checks sources strictly (net.ipv4.conf.*.rp_filter = 1), and has no `nft` to mark answers: \
                 install nftables, or set it to 2"
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

    fn tell(&self, settings: &NetworkSettings, plan: &Plan) {
        let addresses: Vec<_> = settings.addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        info!(event = "addresses", addresses, "addresses: {addresses}");
        if plan.has_table() {
            let mark = self.mark().unwrap_or_default();
            info!(
                "routing: all but the tunnel's own datagrams (mark and table {mark}) go by its routes first"
            );
        }
        if self.options.ipv6_outside == Ipv6Outside::Block
            && self.policy.is_some()
            && plan::leaves_ipv6_outside(settings)
        {
            warn!(
                "the tunnel takes all of IPv4 and not IPv6: what is left of IPv6 is blocked (`ipv6-outside = \"leave\"` lets it \
                 out)"
            );
        }
    }

    /// Whether datagrams to this address would go into the tunnel.
    #[must_use]
    pub fn leads_into_tunnel(&self, address: IpAddr) -> bool {
        self.applied.as_ref().is_some_and(|applied| {
            let networks = &applied.settings.addresses;
            let mut prefixes = networks.iter().chain(&applied.plan.main);
            prefixes.any(|prefix| prefix.contains(address))
        })
    }

    /// Undoes everything, and gives `result` if that went well. After an end that nobody has asked for, a kill switch that has
    /// guarded a tunnel stays.
    ///
    /// # Errors
    ///
    /// That of `result`, or else the first thing that could not be undone.
    pub async fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        let was_guarded = self.applied.is_some() || self.is_inherited;
        if result.is_err() && self.options.kill_switch && was_guarded {
            warn!(
                "the kill switch stays: `sandhog down --device {}` lifts it, and a new start takes it over",
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
    let why = format!("{route} would lead the datagrams for the server {server} into the tunnel itself");
    Failure::input(why).with_help(
        "have it left out of `included-routes` here and of the server's `routes`, or leave `fwmark` out, which lets the \
         tunnel's own datagrams pass; the network of the tunnel's addresses cannot hold the server",
    )
}

/// Takes out what a machine without IPv6 cannot have.
fn leave_out_ipv6(device: &DeviceName, settings: &mut NetworkSettings) {
    if !is_ipv6_off(device) {
        return;
    }
    let before = settings.addresses.len();
    settings.addresses.retain(|prefix| prefix.address.is_ipv4());
    settings.included_routes.retain(|prefix| prefix.address.is_ipv4());
    if settings.addresses.len() < before {
        warn!("IPv6 is switched off on this machine: the tunnel carries IPv4 only");
    }
}

/// Whether the kernel takes no IPv6 addresses for the device.
fn is_ipv6_off(device: &DeviceName) -> bool {
    sysctl::read(&format!("net/ipv6/conf/{device}/disable_ipv6")).map_or(true, |switch| switch != "0")
}

/// Whether this machine passes packets on that are not its own.
fn forwards() -> bool {
    ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"]
        .into_iter()
        .any(|key| sysctl::read(key).is_ok_and(|switch| switch != "0"))
}

/// Whether the kernel drops what comes in by another way than it would answer (`rp_filter` 1, RFC 3704).
fn checks_sources() -> bool {
    let Ok(devices) = fs::read_dir("/proc/sys/net/ipv4/conf") else {
        return false;
    };
    let names = devices.filter_map(|device| device.ok()?.file_name().into_string().ok());
    let switches: Vec<_> = names
        .filter_map(|name| {
            Some((
                sysctl::read(&format!("net/ipv4/conf/{name}/rp_filter")).ok()?,
                name,
            ))
        })
        .collect();
    let is = |value: &str, of: &str| {
        switches
            .iter()
            .any(|(switch, name)| name == of && switch == value)
    };
    // The higher one of a device's own switch and that of all counts.
    !is("2", "all")
        && switches
            .iter()
            .any(|(switch, name)| switch == "1" && name != "default" && name != "lo")
}

/// Whether this machine follows connections anyway, as where it has a firewall that asks for the way back itself.
fn tracks_connections() -> bool {
    fs::exists("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or(false)
}
