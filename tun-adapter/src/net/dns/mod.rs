//! Name servers of a tunnel: set with systemd-resolved, with `resolvconf`, or in /etc/resolv.conf.

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

/// Method for setting this machine's name servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The first available of the following.
    #[default]
    Auto,
    /// `resolvectl`, for systemd-resolved.
    Resolvectl,
    /// `resolvconf`.
    Resolvconf,
    /// Replacement of /etc/resolv.conf.
    File,
    /// Name servers are not set.
    Off,
}

/// Name servers and search domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name servers, in order of preference.
    pub servers: Vec<IpAddr>,
    /// Domains that are appended to short names.
    pub search: Vec<String>,
    /// True if the name servers are used for all names, false if only for the search domains.
    pub for_all_names: bool,
}

impl Dns {
    /// The name servers in the settings of a session. Returns `None` if there are none.
    #[must_use]
    pub fn of(settings: &NetworkSettings, is_full_tunnel: bool) -> Option<Self> {
        let (search, invalid): (Vec<_>, Vec<_>) = settings
            .search_domains
            .iter()
            .cloned()
            .partition(|domain| is_domain(domain));
        if !invalid.is_empty() {
            warn!("ignoring invalid search domains from the server: {invalid:?}");
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

    /// Text in the format of resolv.conf(5).
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

/// Returns true for a valid domain name (RFC 1035, section 2.3.1, plus the underscore, which is used in
/// practice). Only such names are safe in resolv.conf and on command lines.
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

/// Sets this machine's name servers and records the change.
///
/// # Errors
///
/// If the program is not installed or fails, or if the file cannot be written. Recorded changes must then be
/// undone.
pub async fn apply(
    journal: &mut Journal,
    device: &DeviceName,
    method: Method,
    dns: &Dns,
) -> Result<(), Failure> {
    let help = "`dns` in the client's configuration selects another method. `dns = \"off\"` leaves this machine's name \
                servers unchanged";
    let servers: Vec<_> = dns.servers.iter().map(ToString::to_string).collect();
    let how = match choose(method, Path::new("/")) {
        Method::Off | Method::Auto => {
            info!(
                "name servers of the server are not used, because `dns` is \"off\": {}",
                servers.join(", ")
            );
            return Ok(());
        }
        Method::Resolvectl => {
            journal.note(Change::Resolvectl)?;
            set_resolvectl(device, dns).await.map(|()| "resolvectl")
        }
        Method::Resolvconf => {
            let name = resolvconf_name(device, Path::new("/"));
            journal.note(Change::Resolvconf { name: name.clone() })?;
            set_resolvconf(&name, dns).await.map(|()| "resolvconf")
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
    info!("name servers, set with {how}: {}", servers.join(", "));
    Ok(())
}

/// Resolves `Auto` for the machine with the root folder `root`.
fn choose(method: Method, root: &Path) -> Method {
    match method {
        Method::Auto if uses_resolved(root) && command::find("resolvectl").is_some() => Method::Resolvectl,
        Method::Auto if command::find("resolvconf").is_some() => Method::Resolvconf,
        Method::Auto => Method::File,
        other => other,
    }
}

/// Returns true if systemd-resolved is running and programs use it: through its resolv.conf, or the NSS
/// module `resolve`.
fn uses_resolved(root: &Path) -> bool {
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

async fn set_resolvectl(device: &DeviceName, dns: &Dns) -> Result<(), Failure> {
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

/// Removes the device's name servers from systemd-resolved.
pub(super) async fn revert_resolvectl(device: &DeviceName) -> Result<(), Failure> {
    resolvectl(&["revert", device.as_str()]).await
}

async fn resolvectl(arguments: &[&str]) -> Result<(), Failure> {
    let program = find("resolvectl")?;
    command::run(&program, arguments, "").await.map(drop)
}

/// Name of the entry in `resolvconf`. Debian's resolvconf orders entries by name, and prefers names that
/// start with `tun.`.
fn resolvconf_name(device: &DeviceName, root: &Path) -> String {
    if fs::exists(root.join("etc/resolvconf/interface-order")).unwrap_or(false) {
        format!("tun.{device}")
    } else {
        device.to_string()
    }
}

async fn set_resolvconf(name: &str, dns: &Dns) -> Result<(), Failure> {
    let program = find("resolvconf")?;
    // For openresolv, `-m 0 -x` makes this entry the preferred one. Debian's resolvconf ignores these
    // options.
    let arguments = ["-a", name, "-m", "0", "-x"];
    command::run(&program, &arguments, &dns.to_text()).await.map(drop)
}

/// Removes an entry from `resolvconf`.
pub(super) async fn revert_resolvconf(name: &str) -> Result<(), Failure> {
    let program = find("resolvconf")?;
    command::run(&program, &["-d", name, "-f"], "").await.map(drop)
}

fn find(program: &str) -> Result<std::path::PathBuf, Failure> {
    command::find(program).ok_or_else(|| {
        Failure::runtime(
            "set this machine's name servers",
            format_args!("the program `{program}` is not installed"),
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
    fn resolv_conf_text_has_name_servers_and_search_domains() {
        assert_eq!(
            dns(true).to_text(),
            "nameserver 10.9.0.1\nnameserver fd00:9::1\nsearch corp.example example.com\n"
        );
    }

    #[test]
    fn search_domains_that_could_be_options_or_extra_lines_are_invalid() {
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
    fn systemd_resolved_is_used_only_if_it_runs_and_programs_use_it() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of ours");
            fs::write(path, text).expect("a folder of ours");
        };
        put("etc/resolv.conf", "nameserver 127.0.0.53\n");
        assert!(!uses_resolved(root.path()), "not running");
        put("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n");
        assert!(uses_resolved(root.path()), "its stub resolver is used");
        put("etc/resolv.conf", "nameserver 192.0.2.1\n");
        assert!(!uses_resolved(root.path()), "another resolver is used");
        put(
            "etc/nsswitch.conf",
            "hosts: files resolve [!UNAVAIL=return] dns\n",
        );
        assert!(uses_resolved(root.path()), "the NSS module is used");
        put("etc/nsswitch.conf", "hosts: files dns\n");
        fs::remove_file(root.path().join("etc/resolv.conf")).expect("a file of ours");
        std::os::unix::fs::symlink(
            "../run/systemd/resolve/stub-resolv.conf",
            root.path().join("etc/resolv.conf"),
        )
        .expect("a folder of ours");
        assert!(uses_resolved(root.path()), "its file is used");
    }

    #[test]
    fn an_explicit_method_is_used_on_any_machine() {
        let nowhere = Path::new("/nowhere");
        for method in [Method::Resolvectl, Method::Resolvconf, Method::File, Method::Off] {
            assert_eq!(choose(method, nowhere), method);
        }
    }
}
