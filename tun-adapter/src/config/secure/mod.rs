//! Configuration files of the secure profile. Keys and users are in separate files, and clients get most
//! settings from the server.

mod client;
mod keys;
mod server;

pub use client::Client;
pub use keys::Keys;
pub use server::{ClientSettings, ClockCheck, Forwarding, Server, UserFiles};
