//! Protocol profile: the interface through which scenarios use a protocol.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_lab::setup::{MakePeer, Rules};

use super::adversary::{Part, Speak};
use super::builtin::Builtin;
use super::{Client, Scenario, Server};

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
    /// `clock` of hosts, `checks-clock` of servers, and `clock` events.
    pub clock: bool,
    /// A start without an answer goes on, unless the client has `once`.
    pub retries: bool,
}

/// A protocol, as scenarios use it.
///
/// A program for another protocol implements this trait and passes it to `cli::main_with`. Scenarios then name it:
/// `profile = "beacon"`.
///
/// ```
/// use std::{net::SocketAddr, sync::Arc, time::Duration};
///
/// use sandhog_lab::setup::{MakePeer, Rules};
/// use sandhog_peer::{
///     ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason,
/// };
/// use sandhog_sim::scenario::{Client, Profile, Scenario, Server};
///
/// /// A client sends one datagram each second. A server ignores them.
/// struct Beacon(Option<SocketAddr>, Instant);
///
/// impl Peer for Beacon {
///     fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
///         input.clear();
///         let remote = self.0?;
///         if self.1 <= now {
///             let payload = PacketBuf::copied_from(b"beacon");
///             output.datagrams.push(Datagram { remote, kind: "beacon", payload });
///             self.1 = now + Duration::from_secs(1);
///         }
///         Some((self.1, Reason::Other("beacon")))
///     }
/// #   fn poll_event(&mut self) -> Option<Event> { None }
/// #   fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> { Ok(()) }
/// #   fn counters(&self) -> Counters { Counters::default() }
///     // and the other functions of `Peer`
/// }
///
/// #[derive(Debug)]
/// struct BeaconProfile;
///
/// impl Profile for BeaconProfile {
///     fn name(&self) -> &'static str {
///         "beacon"
///     }
///     fn kinds(&self) -> &'static [&'static str] {
///         &["beacon"]
///     }
///     fn rules(&self) -> Rules {
///         Rules::plain()
///     }
///     fn server(&self, _: &Scenario, _: &Server) -> MakePeer {
///         Arc::new(|_| Box::new(Beacon(None, Instant::ZERO)))
///     }
///     fn client(&self, _: &Scenario, _: &Client, server: SocketAddr) -> MakePeer {
///         Arc::new(move |_| Box::new(Beacon(Some(server), Instant::ZERO)))
///     }
/// }
///
/// let text = r#"
/// title = "ten datagrams, one of them lost"
/// duration = "9500ms"
/// ends-early = false
/// liveness = "100ms"
/// server = [{ name = "server", address = "192.0.2.1:4000", inner = ["10.9.0.1/24"] }]
///
/// [[client]]
/// name = "alice"
/// address = "192.0.2.2:4000"
/// inner = ["10.9.0.2/24"]
/// server = "server"
///
/// [[link]]
/// between = ["alice", "server"]
/// forward = { drop = [{ kind = "beacon", nth = 3 }] }
/// "#;
/// let scenario = Scenario::parse_with(&[&BeaconProfile], "beacon.toml", text, &|_| Err("no files".into())).unwrap();
/// let run = sandhog_sim::run(&scenario, &sandhog_sim::RunOptions::default()).unwrap();
/// assert_eq!(run.counters["datagrams.made"], 10);
/// assert_eq!(run.counters["lost.scripted"], 1);
/// ```
pub trait Profile: fmt::Debug + Sync {
    /// The name in scenarios, in kebab case.
    fn name(&self) -> &'static str;

    /// The kinds of datagrams that the peers send. Scripted faults and adversaries select datagrams by kind.
    fn kinds(&self) -> &'static [&'static str];

    /// The kinds of datagrams that the story and the diagrams count instead of listing each one.
    fn counted_kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// The properties that the protocol promises.
    fn rules(&self) -> Rules;

    /// The time that the protocol needs at most until its tunnels work again after all faults were switched off. It is the
    /// default of the key `liveness`.
    fn liveness(&self) -> Duration {
        Duration::from_secs(10)
    }

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

    /// The function that creates the endpoints of an adversary that speaks the protocol with `server`, or in its place. `None` if
    /// the protocol has no such adversary.
    fn adversary(&self, scenario: &Scenario, speak: &Speak, server: &Server) -> Option<MakePeer> {
        let _ = (scenario, speak, server);
        None
    }

    /// The kinds of datagrams that an adversary with this part withholds by default.
    fn withheld(&self, part: Part) -> &'static [&'static str] {
        let _ = part;
        &[]
    }

    /// The built-in scenarios of this profile, in the order in which `list` prints them.
    fn scenarios(&self) -> Vec<Builtin> {
        Vec::new()
    }
}

/// The profile with this name among `profiles`.
pub(super) fn find(profiles: &[&'static dyn Profile], name: &str) -> Option<&'static dyn Profile> {
    profiles.iter().copied().find(|profile| profile.name() == name)
}

/// Profile of a scenario while it is read. The parser replaces it before it checks the scenario.
#[derive(Debug)]
pub(super) struct Unresolved;

impl Profile for Unresolved {
    fn name(&self) -> &'static str {
        "unresolved"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    fn rules(&self) -> Rules {
        Rules::plain()
    }

    fn server(&self, _: &Scenario, _: &Server) -> MakePeer {
        unreachable!("the parser sets the profile of a scenario");
    }

    fn client(&self, _: &Scenario, _: &Client, _: SocketAddr) -> MakePeer {
        unreachable!("the parser sets the profile of a scenario");
    }
}
