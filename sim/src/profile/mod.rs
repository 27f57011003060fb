//! Protocol profiles: the interface through which scenarios use a protocol, and the two profiles of Sandhog.

mod classic;
mod operator;
mod secure;

use std::fmt;
use std::net::SocketAddr;

use sandhog_lab::setup::{MakePeer, Rules};

use crate::builtin::Builtin;
use crate::scenario::{Client, Scenario, Server};

pub use classic::Classic;
pub use secure::Secure;

/// The profiles of the program `sandhog-sim`. The first is the default of scenarios that name none.
pub static PROFILES: &[&dyn Profile] = &[&Secure, &Classic];

/// Optional parts of the scenario language that a profile supports. A scenario that uses another part is rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Users log in: `login` and `password` of clients, and `user` of servers.
    pub login: bool,
    /// The server assigns inner addresses, so a client needs no `inner`.
    pub assigned_addresses: bool,
    /// `mtu-search` of clients.
    pub mtu_search: bool,
    /// `cipher` of clients and servers.
    pub cipher: bool,
    /// `account` events.
    pub accounts: bool,
}

/// A protocol, as scenarios use it.
///
/// A program for another protocol implements this trait and passes it to
/// [`cli::main_with`](crate::cli::main_with). Scenarios then name it: `profile = "arq"`.
pub trait Profile: fmt::Debug + Sync {
    /// The name in scenarios, in kebab case.
    fn name(&self) -> &'static str;

    /// The kinds of datagrams that the peers send. Scripted faults and adversaries select datagrams by kind.
    fn kinds(&self) -> &'static [&'static str];

    /// The kinds of datagrams that the story and the diagrams count instead of listing each one.
    fn counted_kinds(&self) -> &'static [&'static str];

    /// The properties that the protocol promises.
    fn rules(&self) -> Rules;

    /// The supported parts of the scenario language.
    fn features(&self) -> Features {
        Features::default()
    }

    /// Number of bytes at the start of each datagram that are not encrypted. Adversaries copy them.
    fn header_len(&self) -> usize {
        0
    }

    /// The results of a client's `start` that this protocol adds to `connected` and the names of
    /// [`StartError::ALL`](sandhog_peer::StartError::ALL).
    fn outcomes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks that the protocol accepts the user name `login`.
    ///
    /// # Errors
    ///
    /// The mistake, in one sentence.
    fn check_login(&self, login: &str) -> Result<(), String> {
        let _ = login;
        Ok(())
    }

    /// Checks that a server of the protocol can start as the scenario describes it.
    ///
    /// # Errors
    ///
    /// The mistake, in one sentence.
    fn check_server(&self, server: &Server) -> Result<(), String> {
        let _ = server;
        Ok(())
    }

    /// The function that creates the peers of `server`. The scenario is valid.
    fn server(&self, scenario: &Scenario, server: &Server) -> MakePeer;

    /// The function that creates the peers of `client`, whose server has the outer address `server`. The scenario is valid.
    fn client(&self, scenario: &Scenario, client: &Client, server: SocketAddr) -> MakePeer;

    /// The built-in scenarios of this profile, in the order in which `list` prints them.
    fn scenarios(&self) -> Vec<Builtin> {
        Vec::new()
    }
}

/// The profile `name` among `profiles`.
#[must_use]
pub fn find(profiles: &[&'static dyn Profile], name: &str) -> Option<&'static dyn Profile> {
    profiles.iter().copied().find(|profile| profile.name() == name)
}
