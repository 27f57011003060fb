//! The log: lines on standard error, with colours on a terminal only. What never goes into it: keys, passwords,
//! and the bytes of packets.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Turns the log on: warnings and news, with `verbose` also details. Of libraries only warnings.
pub fn init(verbose: bool) {
    let level = if verbose {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("sandhog", level);
    tracing_subscriber::registry().with(lines).with(filter).init();
}
