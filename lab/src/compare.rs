//! Second run of a setup, with which a property compares the first run: P10 and P12.

use crate::checks::CheckResult;
use crate::record::HostId;
use crate::report::{Sighting, sightings};
use crate::run::{Run, RunError};
use crate::setup::Setup;
use crate::trace::Detail;

/// Second run with the same seed and the same faults.
#[derive(Clone, Debug)]
pub enum Second {
    /// The same setup again. P12: both runs have one digest.
    Repeat,
    /// A setup that an eavesdropper must not tell apart from the first one, such as a login with an unknown user. P10: the
    /// datagrams of each host have the same times, directions and lengths. Both setups have the same hosts.
    Twin(Box<Setup>),
}

/// Number of second runs of a replay. A run that depends on chance may equal the first run by chance.
const REPEATS: u32 = 8;

impl Second {
    /// The amount of data that the comparison needs of both runs.
    pub(crate) const fn detail(&self) -> Detail {
        match self {
            Self::Repeat => Detail::Digest,
            Self::Twin(_) => Detail::Records,
        }
    }

    /// Adds the property to `run`, a run of `setup`. `again` runs a setup with the same seed and the same faults.
    pub(crate) fn judge(
        &self,
        setup: &Setup,
        run: &mut Run,
        again: impl Fn(&Setup) -> Result<Run, RunError>,
    ) -> Result<(), RunError> {
        match self {
            Self::Repeat => run.check_repeat(&again(setup)?),
            Self::Twin(twin) => check_twin(run, &again(twin)?),
        }
        Ok(())
    }

    /// As [`judge`](Self::judge), with further second runs until one of them differs.
    pub(crate) fn judge_often(
        &self,
        setup: &Setup,
        run: &mut Run,
        again: impl Fn(&Setup) -> Result<Run, RunError>,
    ) -> Result<(), RunError> {
        let digest = run.digest;
        let again_until_different = |setup: &Setup| {
            let mut other = again(setup)?;
            for _ in 1..REPEATS {
                if other.digest != digest {
                    break;
                }
                other = again(setup)?;
            }
            Ok(other)
        };
        match self {
            Self::Repeat => self.judge(setup, run, again_until_different),
            Self::Twin(_) => self.judge(setup, run, again),
        }
    }
}

/// Adds check P10: an eavesdropper sees the same datagrams in `other`.
fn check_twin(run: &mut Run, other: &Run) {
    let difference = first_difference(run, other);
    let passed = difference.is_none();
    let detail = difference.unwrap_or_else(|| {
        let hosts = 0..run.hosts.len() as HostId;
        let count: usize = hosts.map(|host| sightings(run, host).len()).sum();
        format!("{count} sightings equal those of {}", other.name)
    });
    run.checks.push(CheckResult {
        name: format!("P10 looks like {}", other.name),
        passed,
        tested: true,
        detail,
    });
    run.passed &= passed;
}

/// The first datagram that only one of the runs has, in a sentence. `None` if there is none.
fn first_difference(run: &Run, other: &Run) -> Option<String> {
    let differences = (0..).zip(&run.hosts).filter_map(|(id, host)| {
        let (ours, theirs) = (sightings(run, id), sightings(other, id));
        let pairs = (0..ours.len().max(theirs.len())).map(|index| (ours.get(index), theirs.get(index)));
        let (ours, theirs) = pairs.into_iter().find(|(ours, theirs)| ours != theirs)?;
        let earliest = ours.into_iter().chain(theirs).min_by_key(|seen| seen.at)?;
        Some((
            *earliest,
            host.name.as_str(),
            ours.is_some_and(|ours| ours == earliest),
        ))
    });
    let (Sighting { at, outgoing, len }, host, is_ours) = differences.min_by_key(|(seen, ..)| seen.at)?;
    let does = if outgoing { "sends" } else { "receives" };
    let [with, without] = match is_ours {
        true => [&run.name, &other.name],
        false => [&other.name, &run.name],
    };
    Some(format!(
        "in {with}, but not in {without}, {host} {does} {len} bytes at {at}"
    ))
}
