//! Validation of the scripted faults of a link.

use super::{Checked, PathPart, known, mistake};
use crate::scenario::{Direction, Pick, Scenario};

/// Checks one direction of the link with this index. `key` is the key of the direction.
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
                PathPart::Key("link"),
                PathPart::Index(index),
                PathPart::Key(key),
                PathPart::Key(list),
                PathPart::Index(number),
            ];
            validate_pick(scenario, list, pick, &path)?;
        }
    }
    Ok(())
}

fn validate_pick<'a>(
    scenario: &'a Scenario,
    list: &str,
    pick: &'a Pick,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    if let Some(kind) = &pick.kind {
        known("kind of datagram", kind, scenario.profile.kinds(), &at("kind"))?;
    }
    if pick.nth == Some(0) {
        return Err(mistake(&at("nth"), "`nth` counts from 1"));
    }
    if let (Some(from), Some(until)) = (pick.from, pick.until)
        && from >= until
    {
        return Err(mistake(
            &at("until"),
            format!("`until` must be later than `from`, which is {from}"),
        ));
    }
    match (list, pick.by) {
        ("late", None) => Err(mistake(path, "`late` needs `by`, the additional delay")),
        ("late", Some(by)) if by.0.is_zero() => Err(mistake(&at("by"), "`by` must be longer than 0")),
        ("late", Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err(mistake(&at("by"), "`by` is only for `late`; remove this key")),
    }
}
