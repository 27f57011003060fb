//! Validation of the hosts of a setup: inner hosts, services and scripts.

use std::collections::BTreeSet;

use sandhog_netstack::{ConfigError, Service, Task};

use super::{Checked, MIN_SECRET_LEN, ensure, mistake, since_start, validate_time, validate_unicast};
use crate::setup::{HostSpec, InnerSpec, Script, ScriptStep, Setup};

pub(super) fn validate(setup: &Setup) -> Checked {
    for (index, host) in setup.hosts.iter().enumerate() {
        if let Some(inner) = &host.inner {
            validate_inner(&format!("hosts[{index}].inner"), inner)?;
        }
        if let Some(script) = &host.script {
            validate_script(setup, &format!("hosts[{index}].script"), host, script)?;
        }
    }
    validate_liveness(setup)
}

fn validate_inner(field: &str, inner: &InnerSpec) -> Checked {
    inner.config(0, [0; 16]).check().map_err(|error| {
        let name = match error {
            ConfigError::Mtu { .. } => "mtu",
            _ => "addresses",
        };
        mistake(format!("{field}.{name}"), error.to_string())
    })?;
    let mut addresses = BTreeSet::new();
    for (address, _) in &inner.addresses {
        let problem = format!("the host already has the address {address}");
        ensure(addresses.insert(address), format!("{field}.addresses"), problem)?;
    }
    let mut ports = BTreeSet::new();
    for (number, service) in inner.services.iter().enumerate() {
        let field = format!("{field}.services[{number}]");
        let (protocol, port) = match service {
            Service::UdpEcho { port } => ("UDP", *port),
            Service::Bulk { port } | Service::Http { port, .. } => ("TCP", *port),
        };
        ensure(port != 0, field.as_str(), "port 0 is not a valid port")?;
        let problem = format!("another service already has the {protocol} port {port}");
        ensure(ports.insert((protocol, port)), field, problem)?;
    }
    Ok(())
}

fn validate_script(setup: &Setup, field: &str, host: &HostSpec, script: &Script) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    if let Some(secret) = &script.secret {
        let problem = format!(
            "a secret of {} bytes is too short: it would be found in random bytes by chance. Use at least \
             {MIN_SECRET_LEN} bytes, or `None`",
            secret.len()
        );
        ensure(secret.len() >= MIN_SECRET_LEN, at("secret"), problem)?;
    }
    let possible = host.inner.is_some() || script.steps.is_empty();
    ensure(
        possible,
        at("steps"),
        "steps need an inner host, and `inner` is `None`",
    )?;
    setup.before_the_end(&at("start"), since_start(script.start))?;
    for (number, step) in script.steps.iter().enumerate() {
        validate_step(setup, &at(&format!("steps[{number}]")), step)?;
    }
    Ok(())
}

fn validate_step(setup: &Setup, field: &str, step: &ScriptStep) -> Checked {
    setup.before_the_end(&format!("{field}.at"), since_start(step.at))?;
    let (count, interval, timeout) = match &step.task {
        Task::Ping {
            count,
            interval,
            timeout,
            ..
        }
        | Task::UdpEcho {
            count,
            interval,
            timeout,
            ..
        } => (*count, *interval, *timeout),
        _ => return Ok(()),
    };
    ensure(
        count > 0,
        format!("{field}.task.count"),
        "the count must be at least 1",
    )?;
    let problem = format!("{} replies to {count} requests are not possible", step.replies);
    ensure(
        step.replies <= u32::from(count),
        format!("{field}.replies"),
        problem,
    )?;
    validate_time(&format!("{field}.task.interval"), interval)?;
    validate_time(&format!("{field}.task.timeout"), timeout)
}

/// Checks that the ping of P9 can pass.
fn validate_liveness(setup: &Setup) -> Checked {
    let Some(liveness) = setup.liveness else {
        return Ok(());
    };
    let problem = "no ping passes in a time of 0; use `None` to switch the check off";
    ensure(!liveness.is_zero(), "liveness", problem)?;
    let clients = setup.hosts.iter().filter(|host| host.script.is_some());
    let possible = clients.clone().count() == 0 || clients.clone().any(|host| host.inner.is_some());
    let problem = "no client has an inner host for the ping; add one, or use `None` to switch the check off";
    ensure(possible, "liveness", problem)?;
    for (index, host) in setup.hosts.iter().enumerate() {
        if let (Some(script), Some(_)) = (&host.script, &host.inner) {
            let field = format!("hosts[{index}].script.liveness_target");
            validate_unicast(&field, script.liveness_target)?;
        }
    }
    Ok(())
}
