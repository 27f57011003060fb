//! A server of the secure profile: its users stand in a file that changes while it runs, by its own hand and by others.

use std::net::SocketAddr;

use sandhog_proto::EventKind;
use sandhog_proto::secure::{self, Login, UserStore};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use super::{explain_bind, forwarding, own_settings};
use crate::config::Offload;
use crate::config::secure::Server;
use crate::control::handle::PendingRequest;
use crate::control::queue::RequestQueue;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::net::record::Journal;
use crate::plane::Plane;
use crate::privileges::Privileges;
use crate::service::{
    DropLog, Hangup, Signals, log_counters, log_login, log_refused_login, log_stopping, log_warnings,
};
use crate::shell::{Shell, Transport};
use crate::status::{Profile, Role, Status, StatusTracker};
use crate::tun::Queue;
use crate::udp::{Options, Socket};
use crate::users::UsersFile;
use crate::{clock, config, interface, notify, random};

/// Serves. `privileges` are those to be given up once all is set up; `None` where others in this process need them.
pub(super) async fn run(
    config: Server,
    mut signals: Signals,
    privileges: Option<Privileges>,
) -> Result<(), Failure> {
    log_warnings(&config.warnings);
    let protocol = config.protocol(random::bytes()?, Some(clock::unix_origin()));
    let mut server = secure::Server::new(protocol).map_err(|error| config.users_file.explain(&error))?;
    server.set_cipher(config.cipher);
    if config.users.is_empty() {
        warn!("nobody can log in yet: `sandhog user add` adds users, and SIGHUP has them taken up");
    }
    let Server {
        listen,
        users_file,
        device,
        forwarding,
        offload,
        workers,
        metrics,
        ..
    } = config;
    let mut hangup = Hangup::catch()?;
    let left = Journal::clear(&device.name, false).await?;
    let sockets = open_sockets(listen, workers, offload)?;
    let queues = Queue::open(&device.name, workers, offload.tun_segmentation)?;
    let mut requests = RequestQueue::open(&device.name, metrics.as_ref())?;
    let mut journal = Journal::begin(&device.name, left)?;
    let own = Own { listen, device };
    let result = async {
        interface::apply(&own.device.name, &own_settings(listen, &own.device)).await?;
        forwarding::apply(&mut journal, &own.device, forwarding).await?;
        if let Some(privileges) = privileges {
            // The device goes with the process; what else was changed has to be undone.
            privileges.keep_for_running(!journal.changes().is_empty())?;
        }
        // A new server remembers no failed logins.
        if let Err(failure) = users_file.take_unlocks() {
            warn!("{}", failure.message());
        }
        let mut life = Life::new(
            Shell::with_transport(server, Plane::start(queues, sockets)?)?,
            users_file,
        );
        let (device, users) = (&own.device.name, life.count_users());
        let about = format!("listening on {listen}, device {device}; users: {users}");
        info!(event = "ready", %listen, %device, users, "ready: {about}");
        notify::ready(&about);
        let result = life.run(&mut signals, &mut hangup, &mut requests, &own).await;
        notify::stopping();
        life.end().await;
        result
    }
    .await;
    let undone = journal.end().await;
    result.and(undone)
}

/// The sockets of all threads, on one port.
fn open_sockets(listen: SocketAddr, workers: usize, offload: Offload) -> Result<Vec<Socket>, Failure> {
    let options = Options {
        reports_local_address: listen.ip().is_unspecified(),
        ..offload.socket_options()
    };
    Socket::bind_many(listen, workers, &options).map_err(|error| explain_bind(listen, &error))
}

/// What a server is on this machine.
struct Own {
    listen: SocketAddr,
    device: config::Device,
}

/// A server at work.
#[derive(Debug)]
pub struct Life<T> {
    shell: Shell<secure::Server, T>,
    users: Users,
    drops: DropLog,
    progress: StatusTracker,
}

/// The file with the users, as the server sees it.
#[derive(Debug)]
struct Users {
    file: UsersFile,
    /// The file is being read.
    reading: Option<Reading>,
    /// The file has changed again since it began to be read.
    is_outdated: bool,
    /// A password was being stored when the users were last taken from the file: once that is done, the file is read
    /// again, so that neither is lost.
    is_stale: bool,
    /// Who waits to hear what comes out of the reading.
    waiting: Vec<PendingRequest>,
}

#[derive(Debug)]
struct Reading {
    task: JoinHandle<Found>,
    /// How often the shell had begun or ended to store users by then.
    saves: u64,
}

impl<T: Transport<secure::Server>> Life<T> {
    /// A server whose users are those of `file`, as they were read from there.
    pub fn new(mut shell: Shell<secure::Server, T>, file: UsersFile) -> Self {
        let stored = file.clone();
        shell.save_users_with(move |server: &secure::Server, text| {
            let (file, before, after) = (stored.clone(), server.users().clone(), text.to_owned());
            Box::new(move || file.save_changes(&before, &after))
        });
        Self {
            shell,
            users: Users {
                file,
                reading: None,
                is_outdated: false,
                is_stale: false,
                waiting: Vec::new(),
            },
            drops: DropLog::default(),
            progress: StatusTracker::new(),
        }
    }

    /// Serves until a signal to stop.
    async fn run(
        &mut self,
        signals: &mut Signals,
        hangup: &mut Hangup,
        requests: &mut RequestQueue,
        own: &Own,
    ) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                name = signals.stop() => {
                    log_stopping(name);
                    return Ok(());
                }
                () = hangup.next() => {
                    info!("SIGHUP: reading {}", self.users.file.path().display());
                    self.read_users();
                }
                pending = requests.next() => match pending.request {
                    Request::Status => pending.reply(Reply::Status(self.status(own).into())),
                    Request::Reload => self.reload(pending),
                },
                step = self.step() => step?,
            }
        }
    }

    /// How the server is.
    fn status(&mut self, own: &Own) -> Status {
        let counters = self.shell.counters();
        let mut status = self
            .progress
            .status(Role::Server, Profile::Secure, &own.device.name, &counters)
            .with_settings(&own_settings(own.listen, &own.device));
        status.server = Some(self.shell.with_peer(|server, _| {
            let (users, half_open) = (server.users().len(), server.half_open_count());
            self.progress.server(
                own.listen,
                users,
                half_open,
                server.session_count(),
                server.session_infos(),
            )
        }));
        status
    }

    /// Begins to read the users again, and answers when that is done.
    fn reload(&mut self, pending: PendingRequest) {
        info!("asked to reload: reading {}", self.users.file.path().display());
        self.users.waiting.push(pending);
        self.read_users();
    }

    /// Serves until there is something to tell, and tells it.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time and called again; nothing is lost.
    pub async fn step(&mut self) -> Result<(), Failure> {
        let event = tokio::select! {
            biased;
            read = self.users.next_read() => {
                self.take_users(read);
                return Ok(());
            }
            event = self.shell.next_event() => event?,
        };
        self.progress.note(&event.kind);
        match event.kind {
            EventKind::LoggedIn { login, remote } => log_login(&login, remote),
            EventKind::LoginRefused { remote } => log_refused_login(remote),
            EventKind::SessionEnded { login, reason } => {
                info!(event = "session-ended", login, %reason, "a session of {login} has ended: {reason}");
            }
            EventKind::RecordChanged { login } => {
                info!(event = "password-changed", login, "{login} has a new password");
                if std::mem::take(&mut self.users.is_stale) {
                    self.read_users();
                }
            }
            EventKind::Dropped(reason) => self.drops.log(reason),
            other => debug!("{other:?}"),
        }
        Ok(())
    }

    /// Finishes what must not be left half done, and tells the clients that the server goes away.
    async fn end(&mut self) {
        self.shell.finish_saving().await;
        self.shell.with_peer(|server, now| server.shut_down(now));
        self.shell.end();
        log_counters(&self.shell.counters());
    }

    /// The loop that it is built round.
    pub const fn shell(&mut self) -> &mut Shell<secure::Server, T> {
        &mut self.shell
    }

    fn count_users(&mut self) -> usize {
        self.shell.with_peer(|server, _| server.users().len())
    }

    /// Begins to read the users again, off this thread: every record is checked, and somebody may hold the lock.
    pub fn read_users(&mut self) {
        if self.users.reading.is_some() {
            self.users.is_outdated = true;
            return;
        }
        notify::reloading();
        let file = self.users.file.clone();
        self.users.reading = Some(Reading {
            task: tokio::task::spawn_blocking(move || (file.load(), file.take_unlocks())),
            saves: self.shell.saves(),
        });
    }

    /// The users are read: the server takes them, unless something is wrong with them. Then it keeps the old ones.
    fn take_users(&mut self, read: Read) {
        self.unlock(read.unlocks);
        let is_outdated = std::mem::take(&mut self.users.is_outdated);
        if is_outdated || self.shell.saves() != read.saves {
            // What was read may be older than what has been written since.
            self.read_users();
            return;
        }
        let taken = read.users.and_then(|users| {
            self.shell
                .with_peer(|server, now| server.set_users(now, users))
                .map_err(|error| self.users.file.explain(&error))
        });
        let users = self.count_users();
        let outcome = match &taken {
            Ok(()) => {
                self.users.is_stale = self.shell.is_saving();
                info!(event = "users-read", users, "users: {users}");
                format!("users: {users}")
            }
            Err(failure) => {
                let error = failure.message();
                error!(
                    event = "users-kept",
                    users, error, "keeping the old users: {error}"
                );
                format!("users: {users}, the old ones: {}", failure.message())
            }
        };
        notify::ready(&outcome);
        for pending in self.users.waiting.drain(..) {
            pending.reply(match &taken {
                Ok(()) => Reply::Reloaded { users },
                Err(failure) => failure.into(),
            });
        }
    }

    /// Forgets the failed logins of those for whom somebody has asked.
    fn unlock(&mut self, logins: Result<Vec<Login>, Failure>) {
        match logins {
            Ok(logins) => {
                for login in &logins {
                    self.shell.with_peer(|server, _| server.unlock(login));
                    info!(event = "unlocked", %login, "{login} is unlocked");
                }
            }
            Err(failure) => error!("cannot unlock: {}", failure.message()),
        }
    }
}

/// What is in the files: all users, and those who are to be unlocked.
type Found = (Result<UserStore, Failure>, Result<Vec<Login>, Failure>);

/// What came out of reading.
struct Read {
    users: Result<UserStore, Failure>,
    unlocks: Result<Vec<Login>, Failure>,
    /// As in [`Reading`].
    saves: u64,
}

impl Users {
    /// Waits for the end of the reading that is under way; for ever, if none is. May be dropped and called again.
    async fn next_read(&mut self) -> Read {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let (users, unlocks) = (&mut reading.task).await.unwrap_or_else(|error| {
            let failure = Failure::runtime("read the users", error);
            (Err(failure), Ok(Vec::new()))
        });
        let saves = reading.saves;
        self.reading = None;
        Read {
            users,
            unlocks,
            saves,
        }
    }
}
