//! Shell blocks of the page, each with the machine on which it is typed.
//!
//! The text before a block names the machine: **On the server**, **On the client** or **On both**. "In a window of its own"
//! means that the command goes on running, and "wait for `…`" names the output that shows that it is ready. A text block
//! directly below shows the output, and its numbers are examples.

use anyhow::{Context as _, Result, bail, ensure};

/// The heading of the section.
const SECTION: &str = "## For people with two Linux machines";

/// The machine on which a line is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Server,
    Client,
    Both,
}

/// A line to be typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Number of the line on the page, from 1.
    pub(super) number: usize,
    pub(super) text: String,
}

/// A block of lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) place: Place,
    pub(super) lines: Vec<Line>,
    /// Output after which the command goes on running; none for a command that ends.
    pub(super) stays_after: Option<String>,
    /// Output, as the page shows it.
    pub(super) shows: Vec<Line>,
}

/// The blocks of the section, in their order.
///
/// # Errors
/// There is no such section, or a block has no machine.
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
                "README.md:{}: this block is neither a command nor the output of one",
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
            bail!("the text before this block does not name the machine");
        };
        let stays_after = if words.contains("in a window of its own") {
            let sign = words
                .split_once("wait for `")
                .and_then(|(_, rest)| rest.split_once('`'));
            let (sign, _) =
                sign.context("add \"wait for `…`\" with the output that shows that the command is ready")?;
            ensure!(lines.len() == 1, "a window has one command");
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

    /// The first shown line that is not in `printed`. In a line with a colon, only the text before the colon is compared.
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
    fn a_block_is_for_the_machine_that_the_text_before_it_names() {
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
    fn a_block_without_a_machine_or_with_two_is_rejected_with_its_line() {
        for words in ["Then:", "**On the server** and **On the client:**"] {
            let error = section(&format!("{words}\n```sh\na\n```\n")).expect_err("an unclear section");
            assert!(format!("{error:#}").starts_with("README.md:9: "), "{error:#}");
        }
    }

    #[test]
    fn shown_lines_must_be_printed_except_for_the_text_after_a_colon() {
        let text = "**On the client:**\n```sh\nstatus\n```\n```text\n# Title\n  status: up for 3 s\n```\n";
        let blocks = section(text).expect("a good section");
        assert_eq!(blocks[0].missing_in("# Title\r\n  status: down\n"), None);
        let missing = |printed| blocks[0].missing_in(printed).map(|line| line.number);
        assert_eq!(missing("# Title\nstatus: up\n"), Some(14));
        assert_eq!(missing("  status: up\n"), Some(13));
    }
}
