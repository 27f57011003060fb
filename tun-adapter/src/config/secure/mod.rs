//! The files of the secure profile: keys and users stand in files of their own, and the server tells its clients the rest.

mod client;
mod server;

pub use client::Client;
pub use server::{ClientSettings, Forwarding, Server, UserFiles};
