//! Reports: what a run looks like to a person, a script, a packet analyser and a page.
