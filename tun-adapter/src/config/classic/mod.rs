//! Configuration files of the classic profile. They contain all users and addresses.

mod client;
mod server;

pub use client::Client;
pub use server::Server;
pub(super) use server::ServerTable;
