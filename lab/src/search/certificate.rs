//! Certificate of an exhaustive search: bounds, counts and failing schedules, as JSON.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::bounds::{Bounds, Start};
use super::faults::{FaultKind, Values};
use super::schedule::FailingSchedule;
use crate::setup::Setup;
use crate::trace::Digest;

/// Version of the format.
const VERSION: u64 = 2;

/// A mistake in a certificate, or a difference from the repeated search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError(String);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for CertificateError {}

/// Certificate of an exhaustive search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The name of the setup.
    pub setup: String,
    /// SHA-256 over the description of the setup.
    pub setup_digest: Digest,
    /// Version of this crate.
    pub version: String,
    /// The commit of the sources, if known.
    pub commit: Option<String>,
    /// The bounds.
    pub bounds: Bounds,
    /// Number of runs to the end.
    pub runs: u64,
    /// Number of runs that stopped after their last fault, at a state with a known result.
    pub stopped: u64,
    /// Number of explored states.
    pub states: u64,
    /// Number of failing schedules.
    pub failing: u64,
    /// SHA-256 over the failing schedules.
    pub failing_digest: Digest,
}

impl Certificate {
    pub(super) fn new(
        setup: &Setup,
        bounds: &Bounds,
        runs: u64,
        stopped: u64,
        states: u64,
        failing: &[FailingSchedule],
    ) -> Self {
        let mut hash = Sha256::new();
        for FailingSchedule {
            schedule, failure, ..
        } in failing
        {
            hash.update(format!("{schedule} {}\n", failure.primary));
        }
        Self {
            setup: setup.name.clone(),
            setup_digest: digest_of(setup),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: None,
            bounds: bounds.clone(),
            runs,
            stopped,
            states,
            failing: failing.len() as u64,
            failing_digest: Digest(hash.finalize().into()),
        }
    }

    /// Number of schedules that were not run.
    #[must_use]
    pub fn pruned(&self) -> u64 {
        let started = self.runs.saturating_add(self.stopped);
        self.bounds.schedules().saturating_sub(started)
    }

    pub(super) fn check_setup(&self, setup: &Setup) -> Result<(), CertificateError> {
        if self.setup != setup.name {
            return Err(CertificateError(format!(
                "the certificate is of the scenario `{}`, not of `{}`",
                self.setup, setup.name
            )));
        }
        if self.setup_digest != digest_of(setup) {
            return Err(CertificateError(format!(
                "the scenario `{}` has changed since the certificate was made; make a new one",
                self.setup
            )));
        }
        Ok(())
    }

    /// Compares the certificate with that of a repeated search.
    pub(super) fn check_result(&self, again: &Self) -> Result<(), CertificateError> {
        let numbers = [
            ("runs", self.runs, again.runs),
            ("stopped runs", self.stopped, again.stopped),
            ("explored states", self.states, again.states),
            ("failing schedules", self.failing, again.failing),
        ];
        for (name, expected, found) in numbers {
            if expected != found {
                return Err(CertificateError(format!(
                    "the certificate has {expected} {name}, and the repeated search has {found}"
                )));
            }
        }
        if self.failing_digest != again.failing_digest {
            return Err(CertificateError(
                "the repeated search has other failing schedules than the certificate".into(),
            ));
        }
        Ok(())
    }

    /// The certificate as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Bounds {
            datagrams,
            faults,
            kinds,
            values,
            start,
            seed,
            prune,
        } = &self.bounds;
        let described = kinds
            .iter()
            .map(|kind| (kind.name().to_owned(), values.describe(*kind).into()));
        json!({
            "sandhog_certificate": VERSION,
            "scenario": self.setup,
            "scenario_digest": self.setup_digest.to_string(),
            "version": self.version,
            "commit": self.commit,
            "seed": seed,
            "from": match start {
                Start::First => Value::Null,
                Start::Record(id) => json!(id),
                Start::Event(name) => json!(name),
            },
            "datagrams": datagrams,
            "faults": faults,
            "kinds": described.collect::<serde_json::Map<String, Value>>(),
            "late_ns": nanos(values.late),
            "hold_ns": nanos(values.hold),
            "down_ns": nanos(values.down),
            "prune": prune,
            "schedules": self.bounds.schedules(),
            "runs": self.runs,
            "stopped": self.stopped,
            "pruned": self.pruned(),
            "states": self.states,
            "failing": self.failing,
            "failing_digest": self.failing_digest.to_string(),
        })
    }

    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// The text is not a certificate, has a newer version, or lacks a field.
    pub fn from_json(text: &str) -> Result<Self, CertificateError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| CertificateError(format!("this is not a certificate, or it is cut: {error}")))?;
        let fields = Fields(&value);
        match fields.number("sandhog_certificate")? {
            VERSION => {}
            version => {
                return Err(CertificateError(format!(
                    "the certificate has version {version}, but this program reads version {VERSION}; use the program that \
                     wrote it, or make a new certificate"
                )));
            }
        }
        let kinds = value["kinds"]
            .as_object()
            .ok_or_else(|| Fields::missing("kinds"))?;
        let kinds = kinds.keys().map(|name| name.parse().map_err(CertificateError));
        let mut kinds = kinds.collect::<Result<Vec<FaultKind>, _>>()?;
        kinds.sort_unstable();
        let time = |name| fields.number(name).map(Duration::from_nanos);
        let small = |name| -> Result<u32, CertificateError> {
            u32::try_from(fields.number(name)?).map_err(|_| Fields::missing(name))
        };
        let certificate = Self {
            setup: fields.text("scenario")?.into(),
            setup_digest: fields.digest("scenario_digest")?,
            version: fields.text("version")?.into(),
            commit: value["commit"].as_str().map(str::to_owned),
            bounds: Bounds {
                datagrams: small("datagrams")?,
                faults: small("faults")?,
                kinds,
                values: Values {
                    late: time("late_ns")?,
                    hold: time("hold_ns")?,
                    down: time("down_ns")?,
                },
                start: match &value["from"] {
                    Value::Null => Start::First,
                    Value::String(name) => Start::Event(name.clone()),
                    _ => Start::Record(fields.number("from")?),
                },
                seed: fields.number("seed")?,
                prune: value["prune"].as_bool().ok_or_else(|| Fields::missing("prune"))?,
            },
            runs: fields.number("runs")?,
            stopped: fields.number("stopped")?,
            states: fields.number("states")?,
            failing: fields.number("failing")?,
            failing_digest: fields.digest("failing_digest")?,
        };
        // These follow from the others.
        for (name, count) in [("runs", certificate.runs), ("stopped", certificate.stopped)] {
            if count > certificate.bounds.schedules() {
                return Err(Fields::missing(name));
            }
        }
        let derived = [
            ("schedules", certificate.bounds.schedules()),
            ("pruned", certificate.pruned()),
        ];
        for (name, expected) in derived {
            if fields.number(name)? != expected {
                return Err(Fields::missing(name));
            }
        }
        Ok(certificate)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The digest of everything in a setup that has a description. Functions have none: the peers, and the one that finds nonces.
fn digest_of(setup: &Setup) -> Digest {
    let mut setup = setup.clone();
    setup.rules.nonce_of = None;
    Digest(Sha256::digest(format!("{setup:?}")).into())
}

/// The fields of a certificate.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn missing(name: &str) -> CertificateError {
        CertificateError(format!(
            "the field `{name}` of the certificate is missing or wrong; it is cut or changed, so make a new one"
        ))
    }

    fn number(&self, name: &str) -> Result<u64, CertificateError> {
        self.0[name].as_u64().ok_or_else(|| Self::missing(name))
    }

    fn text(&self, name: &str) -> Result<&'a str, CertificateError> {
        self.0[name].as_str().ok_or_else(|| Self::missing(name))
    }

    fn digest(&self, name: &str) -> Result<Digest, CertificateError> {
        let text = self.text(name)?;
        let mut bytes = [0; 32];
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != 2 * bytes.len() || !is_hex {
            return Err(Self::missing(name));
        }
        let byte = |index: usize| u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok();
        for (index, place) in bytes.iter_mut().enumerate() {
            *place = byte(index).ok_or_else(|| Self::missing(name))?;
        }
        Ok(Digest(bytes))
    }
}
