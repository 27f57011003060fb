//! What can be wrong with the datagrams that a link is told to treat in a way of their own.

use super::{At, Checked, known, mistake};
use crate::scenario::{Direction, Pick, Scenario};

/// Checks one direction of the link number `index`; `key` is its key there.
pub(super) fn validate<'a>(
    scenario: &'a Scenario,
    index: usize,
    key: &'a str,
    direction: &'a Direction,
) -> Checked<'a> {
    for (list, picks) in [
        ("drop", &direction.drop),
        ("late", &direction.late),
        ("double", &direction.double),
        ("damage", &direction.damage),
    ] {
        for (number, pick) in picks.iter().enumerate() {
            let path = [
                At::Key("link"),
                At::Index(index),
                At::Key(key),
                At::Key(list),
                At::Index(number),
            ];
            validate_pick(scenario, list, pick, &path)?;
        }
    }
    Ok(())
}

fn validate_pick<'a>(scenario: &'a Scenario, list: &str, pick: &'a Pick, path: &[At<'a>]) -> Checked<'a> {
    let at = |key| [path, &[At::Key(key)]].concat();
    if let Some(kind) = &pick.kind {
        known("kind of datagram", kind, scenario.profile.kinds(), &at("kind"))?;
    }
    if pick.nth == Some(0) {
        return Err(mistake(&at("nth"), "datagrams are counted from 1"));
    }
    if let (Some(from), Some(until)) = (pick.from, pick.until)
        && from >= until
    {
        return Err(mistake(
            &at("until"),
            format!("nothing is sent before {until} and not before {from}"),
        ));
    }
    match (list, pick.by) {
        ("late", None) => Err(mistake(
            path,
            "`late` needs `by`: how much longer the datagram takes",
        )),
        ("late", Some(by)) if by.0.is_zero() => {
            Err(mistake(&at("by"), "a datagram that is late by 0 is not late"))
        }
        ("late", Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err(mistake(&at("by"), "`by` belongs to `late`")),
    }
}
