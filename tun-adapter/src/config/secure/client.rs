//! Configuration file of a client in the secure profile.

use std::path::PathBuf;
use std::time::Duration;

use sandhog_proto::IpPrefix;
use sandhog_proto::aead::Cipher;
use sandhog_proto::secure::{Login, MIN_REKEY_AFTER, Psk, REKEY_AFTER, ServerKey};
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::config::choice::Choice;
use crate::config::cipher::CipherChoice;
use crate::config::device::NameTable;
use crate::config::metrics::MetricsTable;
use crate::config::secret::{SecretSetting, find_password, read_secret};
use crate::config::source::Source;
use crate::config::text::{DeviceName, Endpoint, Text};
use crate::config::{Metrics, Offload, Profile, Workers, networks};
use crate::failure::Failure;
use crate::net::client::{Ipv6Outside, Mark, Options};
use crate::net::dns::Method;
use crate::ticket::Ticket;

/// A valid configuration of a client.
#[derive(Debug)]
pub struct Client {
    /// Address of the server.
    pub server: Endpoint,
    /// The public key of the server. The client sends no proof of the password to any other server.
    pub server_key: ServerKey,
    /// The pre-shared key. Datagrams that are not sealed under it get no reply.
    pub psk: Psk,
    /// The user's name.
    pub login: Login,
    /// The user's password. `None`: the client asks the user.
    pub password: Option<Zeroizing<String>>,
    /// A ticket of the user. Without one, login attempts of others count against the user's own.
    pub ticket: Option<Ticket>,
    /// The name of the TUN device. All other settings of it come from the server.
    pub device: DeviceName,
    /// Settings of this machine's network.
    pub network: Options,
    /// Offload features in use.
    pub offload: Offload,
    /// Number of packet threads, at least one.
    pub workers: usize,
    /// True to search for the path MTU.
    pub mtu_search: bool,
    /// The preferred cipher. It is used if the server prefers it too.
    pub cipher: Cipher,
    /// Longest time for which keys are used.
    pub rekey_after: Duration,
    /// Settings of the metrics endpoint, if there is one.
    pub metrics: Option<Metrics>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClientFile {
    #[serde(rename = "profile")]
    _profile: Option<Profile>,
    server: Text<Endpoint>,
    server_key: Option<Spanned<String>>,
    key_file: Spanned<PathBuf>,
    login: Spanned<String>,
    password_file: Option<Spanned<PathBuf>>,
    ticket: Option<Spanned<String>>,
    #[serde(default)]
    included_routes: Vec<Spanned<Text<IpPrefix>>>,
    #[serde(default)]
    excluded_routes: Vec<Spanned<Text<IpPrefix>>>,
    fwmark: Option<Spanned<u32>>,
    #[serde(default)]
    ipv6_outside: Choice<Ipv6Outside>,
    #[serde(default)]
    dns: Choice<Method>,
    kill_switch: Option<Spanned<bool>>,
    #[serde(default)]
    device: NameTable,
    #[serde(default)]
    offload: Offload,
    #[serde(default)]
    workers: Workers,
    mtu_search: Option<bool>,
    #[serde(default)]
    cipher: Choice<CipherChoice>,
    rekey_after: Option<Spanned<u64>>,
    metrics: Option<MetricsTable>,
}

impl Client {
    /// Checks the file and the files that it names.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ClientFile = source.parse()?;
        let mut warnings = Vec::new();
        let server_key = server_key(file.server_key.as_ref(), source)?;
        let ticket = file
            .ticket
            .as_ref()
            .map(|text| ticket(text, source))
            .transpose()?;
        let login = Login::new(file.login.get_ref())
            .map_err(|error| source.error(file.login.span(), &error.to_string()))?;
        let psk = read_secret("key-file", &file.key_file, source, &mut warnings)?.into_psk(source)?;
        let mark = mark(&file, source)?;
        let password = SecretSetting {
            name: "password",
            inline: None,
            file: file.password_file,
        };
        let password = find_password(password, source, &mut warnings)?
            .map(|found| found.into_new_password(source))
            .transpose()?;
        let network = Options {
            included: networks(source, file.included_routes)?,
            excluded: networks(source, file.excluded_routes)?,
            mark,
            ipv6_outside: file.ipv6_outside.0,
            dns: file.dns.0,
            kill_switch: file.kill_switch.is_some_and(Spanned::into_inner),
        };
        let rekey_after = rekey_after(file.rekey_after.as_ref(), source)?;
        Ok(Self {
            server: file.server.0,
            server_key,
            psk,
            login,
            password,
            ticket,
            device: file.device.into(),
            network,
            offload: file.offload,
            workers: file.workers.0,
            mtu_search: file.mtu_search.unwrap_or(true),
            cipher: file.cipher.0.into(),
            rekey_after,
            metrics: Metrics::read(source, file.metrics)?,
            warnings,
        })
    }
}

/// Returns the value of `server-key`, which every client needs.
fn server_key(text: Option<&Spanned<String>>, source: &Source) -> Result<ServerKey, Failure> {
    const HELP: &str = "copy it from the profile that `sandhog profile` writes on the server";
    let Some(text) = text else {
        return Err(source.error(0..0, "missing key `server-key`").with_help(HELP));
    };
    ServerKey::from_base64(text.get_ref()).map_err(|_| {
        source
            .error(text.span(), "the server key is not 88 characters of base64")
            .with_help(HELP)
    })
}

/// Returns the value of `ticket`. The error does not show it.
fn ticket(text: &Spanned<String>, source: &Source) -> Result<Ticket, Failure> {
    Ticket::from_base64(text.get_ref()).ok_or_else(|| {
        source
            .error(text.span(), "the ticket is not 44 characters of base64")
            .with_help("copy it from the profile that `sandhog profile` writes, or remove it: it is optional")
    })
}

/// Returns the value of `rekey-after`, which must be in the range that the protocol allows.
fn rekey_after(seconds: Option<&Spanned<u64>>, source: &Source) -> Result<Duration, Failure> {
    let Some(seconds) = seconds else {
        return Ok(REKEY_AFTER);
    };
    let (after, bounds) = (
        Duration::from_secs(*seconds.get_ref()),
        MIN_REKEY_AFTER..=REKEY_AFTER,
    );
    if bounds.contains(&after) {
        return Ok(after);
    }
    Err(source.error(
        seconds.span(),
        &format!(
            "expected {} to {} seconds",
            MIN_REKEY_AFTER.as_secs(),
            REKEY_AFTER.as_secs()
        ),
    ))
}

/// Returns the firewall mark, which some of the other keys need.
fn mark(file: &ClientFile, source: &Source) -> Result<Mark, Failure> {
    let Some(fwmark) = &file.fwmark else {
        return Ok(Mark::Free);
    };
    match *fwmark.get_ref() {
        0 => {}
        // The mark is also the number of a routing table, and these numbers are reserved.
        1..=255 => {
            return Err(source
                .error(fwmark.span(), "expected a mark above 255")
                .with_help(
                    "the mark is also the number of a routing table, and numbers up to 255 are reserved by the system",
                ));
        }
        number => return Ok(Mark::Number(number)),
    }
    let needs = |place, key: &str| {
        Err(source
            .error(
                place,
                &format!("`{key}` needs a firewall mark, but `fwmark` is 0"),
            )
            .with_help("remove `fwmark`; the client then chooses a free mark"))
    };
    match (&file.kill_switch, file.excluded_routes.first()) {
        (Some(switch), _) if *switch.get_ref() => needs(switch.span(), "kill-switch"),
        (_, Some(route)) => needs(route.span(), "excluded-routes"),
        _ => Ok(Mark::Off),
    }
}
