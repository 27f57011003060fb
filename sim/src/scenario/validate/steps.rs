//! Validation of the steps of clients, and of the number of their TCP connections.

use super::{Checked, PORT_ZERO, PathPart, mistake};
use crate::scenario::steps::TcpKeys;
use crate::scenario::{Client, Scenario, Step};

/// Largest value of `connections` of a server. Each connection may allocate 1 MiB.
const MAX_CONNECTIONS: u16 = 10_000;

/// Smallest payload of a UDP echo in bytes: the canary and the number.
const MIN_ECHO: u16 = 24;

/// Checks one step. `path` is the path of its table.
pub(super) fn validate<'a>(step: &'a Step, path: &[PathPart<'a>]) -> Checked<'a> {
    let actions = [
        step.ping.is_some(),
        step.echo.is_some(),
        step.download.is_some(),
        step.upload.is_some(),
        step.get.is_some(),
    ];
    match actions.iter().filter(|action| **action).count() {
        1 => {}
        0 => {
            return Err(mistake(
                path,
                "a step needs one of ping, echo, download, upload and get",
            ));
        }
        _ => {
            return Err(mistake(
                path,
                "a step has only one action; write a [[client.do]] for each",
            ));
        }
    }
    validate_port(step, path)?;
    validate_requests(step, path)?;
    if let Some(keys) = step.tcp_keys() {
        validate_tcp(&keys, path)?;
    }
    match &step.get {
        Some(get) if !get.path.starts_with('/') => Err(mistake(path, "an HTTP path must start with `/`")),
        Some(get) if !get.path.bytes().all(|byte| byte.is_ascii_graphic()) => Err(mistake(
            &[path, &[PathPart::Key("get"), PathPart::Key("path")]].concat(),
            "an HTTP path contains only printable ASCII without spaces; write other bytes as `%20`",
        )),
        _ => Ok(()),
    }
}

/// Checks the port of the service.
fn validate_port<'a>(step: &'a Step, path: &[PathPart<'a>]) -> Checked<'a> {
    let addresses = [
        ("echo", "to", step.echo.as_ref().map(|echo| echo.to)),
        (
            "download",
            "from",
            step.download.as_ref().map(|download| download.from),
        ),
        ("upload", "to", step.upload.as_ref().map(|upload| upload.to)),
        ("get", "from", step.get.as_ref().map(|get| get.from)),
    ];
    for (table, key, address) in addresses {
        if address.is_some_and(|address| address.port() == 0) {
            let path = [path, &[PathPart::Key(table), PathPart::Key(key)]].concat();
            return Err(mistake(&path, PORT_ZERO));
        }
    }
    Ok(())
}

/// Checks a ping or echo.
fn validate_requests<'a>(step: &'a Step, path: &[PathPart<'a>]) -> Checked<'a> {
    let ping = step
        .ping
        .as_ref()
        .map(|ping| (ping.count, ping.replies, ping.size, ping.every));
    let requests = ping.or_else(|| {
        let echo = step.echo.as_ref()?;
        Some((echo.count, echo.replies, echo.size, echo.every))
    });
    let Some((count, replies, size, every)) = requests else {
        return Ok(());
    };
    if count == 0 {
        return Err(mistake(path, "`count` must be at least 1"));
    }
    if replies.is_some_and(|replies| replies > count) {
        return Err(mistake(path, "`replies` must not be larger than `count`"));
    }
    if size > 1300 {
        return Err(mistake(
            path,
            "`size` must be at most 1300 bytes; the inner hosts do not fragment",
        ));
    }
    if step.echo.is_some() && size < MIN_ECHO {
        return Err(mistake(
            path,
            format!("`size` of an echo must be at least {MIN_ECHO} bytes"),
        ));
    }
    if every.0.is_zero() {
        return Err(mistake(path, "`every` must not be 0"));
    }
    Ok(())
}

/// Checks the keys of a TCP connection.
fn validate_tcp<'a>(keys: &TcpKeys, path: &[PathPart<'a>]) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(keys.table), PathPart::Key(key)]].concat();
    if keys.timeout.0.is_zero() {
        return Err(mistake(&at("timeout"), "`timeout` must be longer than 0"));
    }
    if keys.read_rate.is_some_and(|rate| rate.bits_per_second < 8) {
        return Err(mistake(
            &at("read-rate"),
            "`read-rate` must be at least 8bit, one byte a second",
        ));
    }
    if let (Some(after), Some(bytes)) = (keys.reset_after, keys.bytes)
        && after >= bytes
    {
        return Err(mistake(
            &at("reset-after"),
            format!("`reset-after` must be less than `bytes`, which is {bytes}"),
        ));
    }
    Ok(())
}

/// Checks the limits and ports of each server, and that it accepts all TCP connections that its clients may open at the same time.
pub(super) fn validate_servers(scenario: &Scenario) -> Checked<'_> {
    for (index, server) in scenario.servers.iter().enumerate() {
        let limit = server.serve.connections;
        let at = |key| {
            [
                PathPart::Key("server"),
                PathPart::Index(index),
                PathPart::Key("serve"),
                PathPart::Key(key),
            ]
        };
        if limit == 0 || limit > MAX_CONNECTIONS {
            return Err(mistake(
                &at("connections"),
                format!("`connections` must be between 1 and {MAX_CONNECTIONS}"),
            ));
        }
        let serve = &server.serve;
        for (key, port) in [
            ("udp-echo", serve.udp_echo),
            ("bulk", serve.bulk),
            ("http", serve.http),
        ] {
            if port == Some(0) {
                return Err(mistake(&at(key), PORT_ZERO));
            }
        }
        if server.serve.timeout.0.is_zero() {
            return Err(mistake(&at("timeout"), "`timeout` must be longer than 0"));
        }
        let clients = scenario
            .clients
            .iter()
            .filter(|client| client.server == server.name);
        let needed: usize = clients.map(most_connections).sum();
        if needed > usize::from(limit) {
            return Err(mistake(
                &at("connections"),
                format!(
                    "`{}` accepts {limit} TCP connections at the same time, and its clients may need {needed}; set \
                     `connections = {needed}` in its `serve`",
                    server.name
                ),
            ));
        }
    }
    Ok(())
}

/// The largest number of TCP connections that a client may have at the same time: those of a step and of all `meanwhile`
/// steps that follow it.
fn most_connections(client: &Client) -> usize {
    let (mut most, mut open) = (0, 0);
    for step in &client.steps {
        if !step.meanwhile {
            open = 0;
        }
        open += usize::from(step.is_tcp());
        most = most.max(open);
    }
    most
}
