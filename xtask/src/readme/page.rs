//! What the page has people type: its shell blocks, with the machine that each is for.
//!
//! The words before a block say where it belongs, to a reader as to this program: **On the server**, **On the client** or
//! **On both**. "In a window of its own" is said of what goes on running; "wait for `…`" says by which words it is seen to be
//! up. A block of text right below shows what comes out, and its numbers are examples.

use anyhow::{Context as _, Result, bail, ensure};

/// The heading of the section.
const SECTION: &str = "## For people with two Linux machines";

/// On which machine something is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Server,
    Client,
    Both,
}

/// A line to be typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it stands on the page.
    pub(super) number: usize,
    pub(super) text: String,
}

/// A block of lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) place: Place,
    pub(super) lines: Vec<Line>,
    /// It goes on running once it has said this.
    pub(super) stays_after: Option<String>,
    /// What it prints, as the page shows it.
    pub(super) shows: Vec<Line>,
}

/// The blocks of the section, in their order.
///
/// # Errors
/// There is no such section, or it is not clear where a block belongs.
pub(super) fn blocks(page: &str) -> Result<Vec<Block>> {
    let numbered = page.lines().enumerate().map(|(index, text)| Line {
        number: index + 1,
        text: text.to_owned(),
    });
    let mut lines = numbered.skip_while(|line| line.text != SECTION).skip(1);
    let mut blocks: Vec<Block> = Vec::new();
    let mut words = String::new();
    while let Some(line) = lines.next() {
        if line.text.starts_with("## ") {
            break;
        }
        let Some(kind) = line.text.strip_prefix("```") else {
            words.push_str(&line.text);
            words.push(' ');
            continue;
        };
        let inside = lines.by_ref().take_while(|line| line.text != "```").collect();
        match (kind, blocks.last_mut()) {
            ("sh", _) => {
                let block = Block::new(&words, inside);
                blocks.push(block.with_context(|| format!("README.md:{}", line.number))?);
            }
            ("text", Some(above)) if words.trim().is_empty() => above.shows = inside,
            _ => bail!(
                "README.md:{}: neither typed nor printed by what is typed",
                line.number
            ),
        }
        words.clear();
    }
    ensure!(
        !blocks.is_empty(),
        "README.md has no section `{SECTION}` with commands"
    );
    Ok(blocks)
}

impl Block {
    fn new(words: &str, lines: Vec<Line>) -> Result<Self> {
        let places = [
            ("**On the server", Place::Server),
            ("**On the client", Place::Client),
            ("**On both", Place::Both),
        ];
        let mut named = places.iter().filter(|(sign, _)| words.contains(sign));
        let (Some((_, place)), None) = (named.next(), named.next()) else {
            bail!("the words before this block do not say on which machine it is typed");
        };
        let stays_after = if words.contains("in a window of its own") {
            let sign = words
                .split_once("wait for `")
                .and_then(|(_, rest)| rest.split_once('`'));
            let (sign, _) = sign.context("how is this seen to be up? Say \"wait for `…`\"")?;
            ensure!(lines.len() == 1, "a window holds one command");
            Some(sign.to_owned())
        } else {
            None
        };
        Ok(Self {
            place: *place,
            lines,
            stays_after,
            shows: Vec::new(),
        })
    }

    /// The first shown line that `printed` does not have. Of a line with a colon only what stands before it has to be there.
    pub(super) fn missing_in(&self, printed: &str) -> Option<&Line> {
        let printed: Vec<_> = printed.lines().map(str::trim_end).collect();
        self.shows.iter().find(|shown| {
            let is_there = |line: &&str| match shown.text.split_once(':') {
                Some((field, _)) => line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':')),
                None => **line == shown.text,
            };
            !printed.iter().any(is_there)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<Vec<Block>> {
        blocks(&format!(
            "# A page\n\n```sh\nno\n```\n\n{SECTION}\n{text}\n## Another\n\n```sh\nno\n```\n"
        ))
    }

    #[test]
    fn a_block_belongs_to_the_machine_that_the_words_before_it_name() {
        let blocks = section(
            "**On both machines:**\n```sh\na\nb\n```\n**On the client, in a window of its own;** wait for `up:`.\n```sh\nc\n```\n",
        );
        let blocks = blocks.expect("a good section");
        assert_eq!(blocks.len(), 2);
        let texts: Vec<_> = blocks[0]
            .lines
            .iter()
            .map(|line| (line.number, &*line.text))
            .collect();
        assert_eq!(
            (blocks[0].place, texts),
            (Place::Both, vec![(10, "a"), (11, "b")])
        );
        assert_eq!(blocks[1].place, Place::Client);
        assert_eq!(blocks[1].stays_after.as_deref(), Some("up:"));
    }

    #[test]
    fn a_block_without_a_machine_or_with_two_is_refused_with_its_line() {
        for words in ["Then:", "**On the server** and **On the client:**"] {
            let error = section(&format!("{words}\n```sh\na\n```\n")).expect_err("it is unclear");
            assert!(format!("{error:#}").starts_with("README.md:9: "), "{error:#}");
        }
    }

    #[test]
    fn what_is_shown_has_to_be_printed_but_for_what_stands_behind_a_colon() {
        let text = "**On the client:**\n```sh\nstatus\n```\n```text\n# Title\n  status: up for 3 s\n```\n";
        let blocks = section(text).expect("a good section");
        assert_eq!(blocks[0].missing_in("# Title\r\n  status: down\n"), None);
        let missing = |printed| blocks[0].missing_in(printed).map(|line| line.number);
        assert_eq!(missing("# Title\nstatus: up\n"), Some(14));
        assert_eq!(missing("  status: up\n"), Some(13));
    }
}
