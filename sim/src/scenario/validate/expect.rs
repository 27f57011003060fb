//! Validation of the expected results: known names, and no result that can never happen.

use sandhog_lab::record::format_duration;
use sandhog_lab::setup::PENDING;
use sandhog_peer::StartError;

use super::{Checked, PathPart, known, mistake};
use crate::scenario::expectations::outcomes;
use crate::scenario::{Client, Expectation, Finally, Scenario, TimedEvent};

pub(super) fn validate(scenario: &Scenario) -> Checked<'_> {
    let clients: Vec<&str> = scenario
        .clients
        .iter()
        .map(|client| client.name.as_str())
        .collect();
    let valid = outcomes(scenario.profile);
    for (index, expect) in scenario.expect.iter().enumerate() {
        known("client", &expect.client, &clients, &path(index, "client"))?;
        known("outcome", &expect.outcome, &valid, &path(index, "outcome"))?;
        if let Some(or) = &expect.or {
            known("outcome", or, &valid, &path(index, "or"))?;
        }
        if scenario.expect[..index]
            .iter()
            .any(|earlier| earlier.client == expect.client)
        {
            let message = format!(
                "there is already an [[expect]] for `{}`; write a second outcome into its key `or`",
                expect.client
            );
            return Err(mistake(&path(index, "client"), message));
        }
        let client = scenario
            .clients
            .iter()
            .find(|client| client.name == expect.client);
        if let Some(client) = client {
            validate_timeout(scenario, index, client, expect)?;
            validate_time(scenario, index, client, expect)?;
            validate_finally(scenario, index, expect)?;
        }
    }
    Ok(())
}

fn path<'a>(index: usize, key: &'a str) -> [PathPart<'a>; 3] {
    [
        PathPart::Key("expect"),
        PathPart::Index(index),
        PathPart::Key(key),
    ]
}

/// Checks that a start that is expected to time out can do so.
fn validate_timeout<'a>(
    scenario: &'a Scenario,
    index: usize,
    client: &Client,
    expect: &'a Expectation,
) -> Checked<'a> {
    let is_timeout = |outcome: &str| outcome == StartError::ConnectionTimedOut.name();
    let key = if is_timeout(&expect.outcome) {
        "outcome"
    } else if expect.or.as_deref().is_some_and(is_timeout) {
        "or"
    } else {
        return Ok(());
    };
    if client.once || !scenario.profile.features().retries {
        return Ok(());
    }
    let message = format!(
        "this outcome can never happen: `{}` tries again until the server answers; add `once = true` to the client",
        client.name
    );
    Err(mistake(&path(index, key), message))
}

/// Checks that the outcome can happen before the work ends, and at the given time.
fn validate_time<'a>(
    scenario: &'a Scenario,
    index: usize,
    client: &Client,
    expect: &'a Expectation,
) -> Checked<'a> {
    let (start, end) = (client.start.0, scenario.duration.0);
    if start >= end {
        let message = format!(
            "`{}` starts its tunnel at {}, and the work ends at {}, so it never has an outcome; increase `duration`",
            client.name,
            format_duration(start),
            format_duration(end)
        );
        return Err(mistake(&path(index, "client"), message));
    }
    let Some(at) = expect.at.map(|at| at.0) else {
        return Ok(());
    };
    let problem = if at >= end {
        format!("the work ends at {}, before this time", format_duration(end))
    } else if at < start {
        format!(
            "`{}` starts its tunnel at {}, after this time",
            client.name,
            format_duration(start)
        )
    } else if expect.outcome == PENDING {
        format!("a start that is `{PENDING}` at the end of the work has no time")
    } else if at.as_nanos() % scenario.resolution.0.as_nanos() != 0 {
        format!(
            "everything happens at a multiple of the resolution, {}, and this time is none",
            format_duration(scenario.resolution.0)
        )
    } else {
        return Ok(());
    };
    Err(mistake(
        &path(index, "at"),
        format!("this outcome can never happen: {problem}"),
    ))
}

/// Checks that `finally` does not contradict the outcome and the events.
fn validate_finally<'a>(scenario: &'a Scenario, index: usize, expect: &'a Expectation) -> Checked<'a> {
    let Some(finally) = expect.finally.filter(|status| *status != Finally::Disconnected) else {
        return Ok(());
    };
    let problem = match last_switch(scenario, &expect.client) {
        Some(Switch::Stop) => "its user stops the tunnel before, and does not start it again",
        Some(Switch::Crash) => "its host crashes before, and does not restart",
        Some(Switch::Start) => return Ok(()),
        None if fails(expect) => {
            "its `start` fails, and no event starts it again; use `finally = \"disconnected\"`"
        }
        None if finally == Finally::Connecting => {
            "no event starts it again after its outcome; use `finally = \"reasserting\"`"
        }
        None => return Ok(()),
    };
    let message = format!(
        "`{}` can never have this status at the end: {problem}",
        expect.client
    );
    Err(mistake(&path(index, "finally"), message))
}

/// Returns true if every accepted outcome is an error of `start`.
fn fails(expect: &Expectation) -> bool {
    let is_error = |outcome: &String| StartError::ALL.iter().any(|error| error.name() == outcome);
    is_error(&expect.outcome) && expect.or.as_ref().is_none_or(is_error)
}

/// An event that starts or ends a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Start,
    Stop,
    Crash,
}

/// The last event that starts or ends the tunnel of this client. Of two events at one time, the later one of the file.
fn last_switch(scenario: &Scenario, client: &str) -> Option<Switch> {
    let names = |name: &Option<String>| name.as_deref() == Some(client);
    let switch = |event: &TimedEvent| {
        if names(&event.stop) {
            Some(Switch::Stop)
        } else if names(&event.crash) {
            Some(Switch::Crash)
        } else if names(&event.start) || names(&event.restart) {
            Some(Switch::Start)
        } else {
            None
        }
    };
    let events = scenario.events.iter();
    let switches = events.filter_map(|event| {
        let last = event.occurrences(scenario.duration).last()?;
        Some((last.1, switch(event)?))
    });
    switches.max_by_key(|(at, _)| *at).map(|(_, switch)| switch)
}
