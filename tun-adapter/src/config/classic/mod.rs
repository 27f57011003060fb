//! The files of the classic profile, which name every user and every address themselves.

mod client;
mod server;

pub use client::Client;
pub use server::Server;
pub(super) use server::ServerTable;
