//! Log output on standard error, as text or as JSON. The log never contains keys, passwords or the content of
//! packets.
//!
//! Each event has a complete message, and fields with the same values for programs. The text format shows
//! only the message, JSON shows both. `docs/running.md` lists the fields that programs may rely on.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::ValueEnum;
use tracing::error;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::failure::Failure;

/// Format of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, with colours on a terminal
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging: warnings and information, with `verbose` also debug messages. Libraries log warnings only.
pub fn init(format: Format, verbose: bool) {
    let level = if verbose {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("sandhog", level);
    tracing_subscriber::registry()
        .with(lines(format))
        .with(filter)
        .init();
}

fn lines(format: Format) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    match format {
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        // The journal adds its own timestamps.
        Format::Text if is_journal(io::stderr()) => lines.without_time().fmt_fields(MessageOnly).boxed(),
        Format::Text => lines.fmt_fields(MessageOnly).boxed(),
    }
}

/// Returns true if `stream` is connected to the journal of systemd (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal(stream: impl AsFd) -> bool {
    let Some(journal) = env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    // The variable may be inherited from a parent whose stream is another one.
    rustix::fs::fstat(stream)
        .is_ok_and(|stat| journal.to_str() == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)))
}

/// Prints why the program ends, as the last line.
pub fn report_failure(format: Format, failure: &Failure) {
    match format {
        Format::Text => eprintln!("{failure}"),
        Format::Json => error!(
            event = "failed",
            exit = failure.exit as u8,
            help = failure.help(),
            "{}",
            failure.message()
        ),
    }
}

/// Formatter that shows only the message of an event.
struct MessageOnly;

impl<'writer> FormatFields<'writer> for MessageOnly {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = MessageVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

/// Visitor that drops all other fields. The library's visitor does the writing, because it escapes terminal
/// control characters.
struct MessageVisitor<'a>(DefaultVisitor<'a>);

impl Visit for MessageVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.record_debug(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::info;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn text_shows_only_the_message_and_escapes_control_characters() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(MessageOnly);
        with_default(tracing_subscriber::registry().with(layer), || {
            let login = "kean\x1b[2J";
            info!(event = "login-accepted", login, number = 1, "{login} logged in");
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert_eq!(text, " INFO kean\\x1b[2J logged in\n");
    }
}
