//! Search for secrets in public bytes, with one automaton for all secrets (Aho and Corasick, "Efficient String Matching", 1975).

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// The secrets of a run.
#[derive(Debug)]
pub(super) struct Secrets {
    /// `None` if there is no secret.
    automaton: Option<AhoCorasick>,
}

impl Secrets {
    /// An automaton for these secrets. They may contain duplicates.
    ///
    /// # Panics
    ///
    /// The secrets have more than 2 GiB together.
    pub(super) fn new(secrets: &[&[u8]]) -> Self {
        let mut secrets = secrets.to_vec();
        secrets.sort_unstable();
        secrets.dedup();
        // Each run builds one, so it must be quick to build.
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        let built = (!secrets.is_empty()).then(|| builder.build(secrets));
        let automaton = built.map(|built| built.expect("the secrets are shorter than the automaton's limit"));
        Self { automaton }
    }

    /// The position of the first secret in these bytes.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let found = self.automaton.as_ref()?.find(bytes)?;
        Some(found.start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_many_secrets_is_found_at_its_position() {
        let secrets: Vec<Vec<u8>> = (0..1000)
            .map(|number| format!("secret {number:04}").into())
            .collect();
        let slices: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        let automaton = Secrets::new(&slices);
        for secret in &secrets {
            assert_eq!(automaton.find(&[b"public ", &secret[..], b"."].concat()), Some(7));
        }
        assert_eq!(automaton.find(b"a secret 1000 that is not one of them"), None);
    }

    #[test]
    fn a_run_without_secrets_finds_none() {
        assert_eq!(Secrets::new(&[]).find(b"anything"), None);
    }
}
