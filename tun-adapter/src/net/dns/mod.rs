//! The name servers that a tunnel brings: told to systemd-resolved, to `resolvconf`, or written into /etc/resolv.conf.

pub mod file;

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use sandhog_proto::NetworkSettings;
use serde::Deserialize;
use tracing::{info, warn};

use super::command;
use super::record::{Change, Journal};
use crate::config::DeviceName;
use crate::failure::Failure;

/// How this machine is told of name servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The first of the following that this machine has.
    #[default]
    Auto,
    /// By `resolvectl`, for systemd-resolved.
    Resolvectl,
    /// By `resolvconf`.
    Resolvconf,
    /// By replacing /etc/resolv.conf.
    File,
    /// Not at all.
    Off,
}

/// Which name servers to ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name servers, the best first.
    pub servers: Vec<IpAddr>,
    /// Domains that are appended to short names.
    pub search: Vec<String>,
    /// Whether they are asked for all names, and not only for those in the search domains.
    pub for_all_names: bool,
}

impl Dns {
    /// What the settings of a session say of name servers, if they say anything.
    #[must_use]
    pub fn of(settings: &NetworkSettings, is_full_tunnel: bool) -> Option<Self> {
        let (search, strange): (Vec<_>, Vec<_>) = settings
            .search_domains
            .iter()
            .cloned()
            .partition(|domain| is_domain(domain));
        if !strange.is_empty() {
            warn!("the server offers search domains that are none, and they are left out: {strange:?}");
        }
        if settings.dns_servers.is_empty() {
            return None;
        }
        Some(Self {
            servers: settings.dns_servers.clone(),
            for_all_names: is_full_tunnel || search.is_empty(),
            search,
        })
    }

    /// The same as the text of a resolver's configuration file (resolv.conf(5)).
    fn to_text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        text
    }
}

/// Whether it can stand in a file and on a command line without being taken for anything else (RFC 1035, section 2.3.1, and
/// the underscore that is seen in practice).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// Has this machine ask `dns`, until that is undone.
///
/// # Errors
///
/// When the program for it fails or is not there, or the file cannot be written. What was noted by then is to be undone.
pub async fn apply(
    journal: &mut Journal,
    device: &DeviceName,
    method: Method,
    dns: &Dns,
) -> Result<(), Failure> {
    let help = "`dns` in the client's configuration chooses another way, `dns = \"off\"` leaves this machine's name servers \
                as they are";
    let servers: Vec<_> = dns.servers.iter().map(ToString::to_string).collect();
    let how = match choose(method, Path::new("/")) {
        Method::Off | Method::Auto => {
            info!(
                "the server offers name servers, and `dns` is off: {}",
                servers.join(", ")
            );
            return Ok(());
        }
        Method::Resolvectl => {
            journal.note(Change::Resolvectl)?;
            tell_resolvectl(device, dns).await.map(|()| "resolvectl")
        }
        Method::Resolvconf => {
            let name = resolvconf_name(device, Path::new("/"));
            journal.note(Change::Resolvconf { name: name.clone() })?;
            tell_resolvconf(&name, dns).await.map(|()| "resolvconf")
        }
        Method::File => {
            let replaced = file::plan(Path::new(file::PATH), device, &dns.to_text());
            replaced.and_then(|replaced| {
                journal.note(Change::ResolvFile(replaced.clone()))?;
                file::replace(&replaced).map(|()| file::PATH)
            })
        }
    };
    let how = how.map_err(|failure| failure.or_help(help))?;
    info!("name servers, by {how}: {}", servers.join(", "));
    Ok(())
}

/// What `Auto` stands for on the machine below `root`.
fn choose(method: Method, root: &Path) -> Method {
    match method {
        Method::Auto if resolved_is_asked(root) && command::find("resolvectl").is_some() => {
            Method::Resolvectl
        }
        Method::Auto if command::find("resolvconf").is_some() => Method::Resolvconf,
        Method::Auto => Method::File,
        other => other,
    }
}

/// Whether systemd-resolved runs, and programs ask it: through its own resolv.conf, or the module `resolve` of the C library.
fn resolved_is_asked(root: &Path) -> bool {
    let runs = fs::exists(root.join("run/systemd/resolve/resolv.conf")).unwrap_or(false);
    let file = root.join("etc/resolv.conf");
    let is_its_link =
        fs::read_link(&file).is_ok_and(|target| target.to_string_lossy().contains("systemd/resolv"));
    let has =
        |path: &Path, sign: &dyn Fn(&str) -> bool| fs::read_to_string(path).is_ok_and(|text| sign(&text));
    let names_it = || has(&file, &|text| text.contains("nameserver 127.0.0.53"));
    let is_module = || {
        has(&root.join("etc/nsswitch.conf"), &|text| {
            let mut hosts = text.lines().filter_map(|line| line.strip_prefix("hosts:"));
            hosts.any(|modules| modules.split_whitespace().any(|module| module == "resolve"))
        })
    };
    runs && (is_its_link || names_it() || is_module())
}

async fn tell_resolvectl(device: &DeviceName, dns: &Dns) -> Result<(), Failure> {
    let servers: Vec<_> = dns.servers.iter().map(ToString::to_string).collect();
    let everything = dns.for_all_names.then_some("~.");
    let domains: Vec<_> = everything
        .into_iter()
        .chain(dns.search.iter().map(String::as_str))
        .collect();
    let servers: Vec<_> = servers.iter().map(String::as_str).collect();
    resolvectl(&[&["dns", device.as_str()], servers.as_slice()].concat()).await?;
    resolvectl(&[&["domain", device.as_str()], domains.as_slice()].concat()).await?;
    let for_rest = if dns.for_all_names { "true" } else { "false" };
    resolvectl(&["default-route", device.as_str(), for_rest]).await
}

/// Has systemd-resolved forget what it was told for the device.
pub(super) async fn revert_resolvectl(device: &DeviceName) -> Result<(), Failure> {
    resolvectl(&["revert", device.as_str()]).await
}

async fn resolvectl(arguments: &[&str]) -> Result<(), Failure> {
    let program = find("resolvectl")?;
    command::run(&program, arguments, "").await.map(drop)
}

/// Under which name `resolvconf` is told. Debian's sorts by name, and what is called `tun.…` comes before the rest.
fn resolvconf_name(device: &DeviceName, root: &Path) -> String {
    if fs::exists(root.join("etc/resolvconf/interface-order")).unwrap_or(false) {
        format!("tun.{device}")
    } else {
        device.to_string()
    }
}

async fn tell_resolvconf(name: &str, dns: &Dns) -> Result<(), Failure> {
    let program = find("resolvconf")?;
    // Debian's takes no notice of the last three; openresolv's knows the tunnel for the first choice by them.
    let arguments = ["-a", name, "-m", "0", "-x"];
    command::run(&program, &arguments, &dns.to_text()).await.map(drop)
}

/// Has `resolvconf` forget what it was told under this name.
pub(super) async fn revert_resolvconf(name: &str) -> Result<(), Failure> {
    let program = find("resolvconf")?;
    command::run(&program, &["-d", name, "-f"], "").await.map(drop)
}

fn find(program: &str) -> Result<std::path::PathBuf, Failure> {
    command::find(program).ok_or_else(|| {
        Failure::runtime(
            "tell this machine its name servers",
            format_args!("the program `{program}` is not here"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(for_all_names: bool) -> Dns {
        Dns {
            servers: vec![[10, 9, 0, 1].into(), "fd00:9::1".parse().expect("an address")],
            search: vec!["corp.example".to_owned(), "example.com".to_owned()],
            for_all_names,
        }
    }

    #[test]
    fn the_text_names_servers_and_search_domains_one_kind_a_line() {
        assert_eq!(
            dns(true).to_text(),
            "nameserver 10.9.0.1\nnameserver fd00:9::1\nsearch corp.example example.com\n"
        );
    }

    #[test]
    fn a_search_domain_that_would_be_an_option_or_another_line_is_none() {
        for good in ["example.com", "a_b.example.", "xn--bcher-kva.example", "corp"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "-x",
            "a..b",
            "a b",
            "a\nnameserver 192.0.2.1",
            "~.",
            "a;b",
            "*",
        ] {
            assert!(!is_domain(bad), "{bad:?}");
        }
        assert!(!is_domain(&"a.".repeat(127)), "too long");
    }

    #[test]
    fn systemd_resolved_is_told_only_where_it_runs_and_programs_ask_it() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of ours");
            fs::write(path, text).expect("a folder of ours");
        };
        put("etc/resolv.conf", "nameserver 127.0.0.53\n");
        assert!(!resolved_is_asked(root.path()), "it does not run");
        put("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n");
        assert!(resolved_is_asked(root.path()), "its stub is asked");
        put("etc/resolv.conf", "nameserver 192.0.2.1\n");
        assert!(!resolved_is_asked(root.path()), "programs ask another");
        put(
            "etc/nsswitch.conf",
            "hosts: files resolve [!UNAVAIL=return] dns\n",
        );
        assert!(resolved_is_asked(root.path()), "the C library asks it");
        put("etc/nsswitch.conf", "hosts: files dns\n");
        fs::remove_file(root.path().join("etc/resolv.conf")).expect("a file of ours");
        std::os::unix::fs::symlink(
            "../run/systemd/resolve/stub-resolv.conf",
            root.path().join("etc/resolv.conf"),
        )
        .expect("a folder of ours");
        assert!(resolved_is_asked(root.path()), "its file is read");
    }

    #[test]
    fn the_method_that_is_named_is_taken_whatever_the_machine_has() {
        let nowhere = Path::new("/nowhere");
        for method in [Method::Resolvectl, Method::Resolvconf, Method::File, Method::Off] {
            assert_eq!(choose(method, nowhere), method);
        }
    }
}
