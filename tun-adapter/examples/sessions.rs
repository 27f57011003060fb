//! Load generator: many clients in one process. `cargo xtask bench-tun` runs it.
//!
//! `sessions users COUNT FOLDER` writes the file `users` for a new server that `sandhog init` has created in
//! `FOLDER`, with enough users for `COUNT` sessions. `sessions hold COUNT FOLDER` logs in `COUNT` clients to
//! the server on this machine, prints `ready:` on standard error, and keeps the sessions until it is killed.
//!
//! Every login computes the full password hash: about 0.1 s of a processor and 64 MiB of memory. 1000 logins
//! take one or two minutes. As many run at a time as there are processors.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    crowd::main()
}

#[cfg(target_os = "linux")]
mod crowd {
    use std::error::Error;
    use std::io;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::path::Path;
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use sandhog::{clock, random};
    use sandhog_proto::secure::{
        Client, ClientConfig, Login, Psk, ServerSetup, Suite, User, UserStore, register, setup_from_text,
    };
    use sandhog_proto::{Batch, Command, Datagram, EventKind, JobDone, PacketBuf, Peer};
    use zeroize::Zeroizing;

    const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40404);
    const PASSWORD: &str = "password of the load generator";
    /// Sessions per user, and clients per address.
    const SHARE: u16 = 20;
    /// Interval of the progress messages.
    const REPORT_EVERY: Duration = Duration::from_secs(10);

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let [what, count, folder] = arguments.as_slice() else {
            return Err("usage: sessions users|hold COUNT FOLDER".into());
        };
        let (count, folder) = (count.parse()?, Path::new(folder));
        match what.as_str() {
            "users" => write_users(count, folder),
            "hold" => hold(count, folder),
            _ => Err("expected `users` or `hold`".into()),
        }
    }

    fn login(number: u16) -> Result<Login, Box<dyn Error>> {
        Ok(Login::new(&format!("user{number}"))?)
    }

    fn write_users(count: u16, folder: &Path) -> Result<(), Box<dyn Error>> {
        let setup = setup_from_text(&std::fs::read_to_string(folder.join("sandhog.setup"))?)?;
        let mut rng = ChaCha20Rng::from_seed(random::bytes().map_err(|failure| failure.to_string())?);
        let mut users = UserStore::new();
        for number in 0..count.div_ceil(SHARE) {
            let login = login(number)?;
            users.add(User {
                record: register(&setup, Suite::Standard, &login, PASSWORD, &mut rng)?,
                login,
                suite: Suite::Standard,
                disabled: false,
                expires: None,
                address4: None,
                address6: None,
                max_sessions: SHARE,
            })?;
        }
        std::fs::write(folder.join("users"), users.to_text())?;
        Ok(())
    }

    /// A client and its socket.
    struct Member {
        peer: Client,
        socket: UdpSocket,
        /// The thread that computes a password hash.
        job: Option<JoinHandle<JobDone>>,
        is_up: bool,
    }

    impl Member {
        /// Clients of one user have different addresses, and clients at one address have different users.
        fn new(
            (psk, setup, users): (&Psk, &ServerSetup, &UserStore),
            number: u16,
            count: u16,
        ) -> Result<Self, Box<dyn Error>> {
            let addresses = count.div_ceil(SHARE);
            let [high, low] = (number % addresses + 2).to_be_bytes();
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, high, low), 0))?;
            socket.set_nonblocking(true)?;
            let login = login(number / SHARE)?;
            let user = users.get(&login).ok_or("the file `users` has too few users")?;
            let ticket = setup.ticket(&login, &user.record, clock::unix_now());
            let peer = Client::new(ClientConfig {
                psk: psk.clone(),
                login,
                password: Zeroizing::new(PASSWORD.to_owned()),
                suite: Suite::Standard,
                server: SERVER,
                server_key: setup.server_key(),
                ticket: Some(ticket),
                clock: Some(clock::wall()),
                mtu_search: false,
                seed: random::bytes().map_err(|failure| failure.to_string())?,
            });
            Ok(Self {
                peer,
                socket,
                job: None,
                is_up: false,
            })
        }

        /// Receives datagrams, runs one turn of the peer, and sends its datagrams.
        fn turn(&mut self, room: &mut [u8]) -> Result<(), Box<dyn Error>> {
            let (mut input, mut output) = (Batch::default(), Batch::default());
            loop {
                match self.socket.recv_from(room) {
                    Ok((len, remote)) => input.datagrams.push(Datagram {
                        remote,
                        kind: "",
                        payload: PacketBuf::copied_from(&room[..len]),
                    }),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(job) = self.job.take_if(|job| job.is_finished()) {
                let done = job.join().map_err(|_| "a job failed")?;
                self.peer.handle_job(clock::now(), done)?;
            }
            self.peer.turn(clock::now(), &mut input, &mut output);
            if let Some(job) = self.peer.poll_job() {
                self.job = Some(thread::spawn(move || job.run()));
            }
            for datagram in &output.datagrams {
                self.socket.send_to(&datagram.payload, datagram.remote)?;
            }
            while let Some(event) = self.peer.poll_event() {
                match event.kind {
                    EventKind::Started(Ok(_)) => self.is_up = true,
                    EventKind::Started(Err(error)) | EventKind::Cancelled(error) => return Err(error.into()),
                    _ => {}
                }
            }
            Ok(())
        }
    }

    fn hold(count: u16, folder: &Path) -> Result<(), Box<dyn Error>> {
        allow_files(u64::from(count) + 64)?;
        let text = std::fs::read_to_string(folder.join("sandhog.key"))?;
        let key = STANDARD.decode(text.trim()).map_err(|error| error.to_string())?;
        let psk = Psk::new(key.try_into().map_err(|_| "the key has the wrong length")?)?;
        let setup = setup_from_text(&std::fs::read_to_string(folder.join("sandhog.setup"))?)?;
        let users = UserStore::parse(&std::fs::read_to_string(folder.join("users"))?)?;
        let keys = (&psk, &setup, &users);
        let under_way = thread::available_parallelism()?.get();
        let mut members: Vec<Member> = Vec::new();
        let (mut is_ready, mut report_at) = (false, clock::now() + REPORT_EVERY);
        let mut room = vec![0; 65_535];
        loop {
            let up = members.iter().filter(|member| member.is_up).count();
            if up == usize::from(count) && !is_ready {
                eprintln!("ready: {up} sessions are up");
                is_ready = true;
            } else if !is_ready && clock::now() > report_at {
                eprintln!("{up} of {count} sessions are up");
                report_at = report_at + REPORT_EVERY;
            }
            while members.len() < usize::from(count) && members.len() < up + under_way {
                let mut member = Member::new(keys, u16::try_from(members.len())?, count)?;
                member.peer.command(clock::now(), Command::Start)?;
                members.push(member);
            }
            for member in &mut members {
                member.turn(&mut room)?;
            }
            wait(&members, is_ready)?;
        }
    }

    /// Waits for a datagram, for a short time at most, because finished jobs and timers do not end the wait.
    fn wait(members: &[Member], is_quiet: bool) -> io::Result<()> {
        let mut sockets: Vec<_> = members
            .iter()
            .map(|member| PollFd::new(&member.socket, PollFlags::IN))
            .collect();
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: if is_quiet { 250_000_000 } else { 10_000_000 },
        };
        poll(&mut sockets, Some(&moment))?;
        Ok(())
    }

    fn allow_files(count: u64) -> io::Result<()> {
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < count) {
            let current = Some(count);
            setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
        }
        Ok(())
    }
}
