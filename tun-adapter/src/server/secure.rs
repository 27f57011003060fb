//! Server of the secure profile. Its users file can be changed by the server and by other programs while the
//! server runs, and its pre-shared keys by the operator.

use std::net::SocketAddr;
use std::path::PathBuf;

use sandhog_proto::EventKind;
use sandhog_proto::secure::{self, Login, UserStore};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use super::{device_settings, explain_bind, forwarding};
use crate::config::Offload;
use crate::config::secure::{Keys, Server};
use crate::control::command::forgotten;
use crate::control::handle::PendingRequest;
use crate::control::queue::RequestQueue;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::fingerprint::fingerprint;
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

/// Serves until a signal to stop. `privileges` are dropped after the setup. `None` keeps them, for a second
/// server in this process.
pub(super) async fn run(
    config: Server,
    mut signals: Signals,
    privileges: Option<Privileges>,
) -> Result<(), Failure> {
    log_warnings(&config.warnings);
    let protocol = config.protocol(random::bytes()?, Some(clock::wall()));
    let mut server = secure::Server::new(protocol).map_err(|error| config.users_file.explain(&error))?;
    server.set_cipher(config.cipher);
    if config.users.is_empty() {
        warn!("there are no users yet: add users with `sandhog user add`, then run `sandhog reload`");
    }
    let Server {
        path,
        keys,
        listen,
        setup,
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
    let local = LocalConfig {
        listen,
        fingerprint: fingerprint(&setup.server_key()),
        device,
    };
    let result = async {
        interface::apply(&local.device.name, &device_settings(listen, &local.device)).await?;
        forwarding::apply(&mut journal, &local.device, forwarding).await?;
        if let Some(privileges) = privileges {
            // The kernel removes the device with the process. Recorded changes need privileges to be undone.
            privileges.keep_for_running(!journal.changes().is_empty())?;
        }
        // A new server has no failed logins to forget.
        if let Err(failure) = users_file.take_unlocks() {
            warn!("{}", failure.message());
        }
        let mut server = RunningServer::new(
            Shell::with_transport(server, Plane::start(queues, sockets)?)?,
            users_file,
        )
        .with_keys_of(path, keys);
        let (device, users) = (&local.device.name, server.count_users());
        let about = format!("listening on {listen}, device {device}; users: {users}");
        info!(event = "ready", %listen, %device, users, "ready: {about}");
        notify::ready(&about);
        let result = server.run(&mut signals, &mut hangup, &mut requests, &local).await;
        notify::stopping();
        server.end().await;
        result
    }
    .await;
    let undone = journal.end().await;
    result.and(undone)
}

/// Opens the sockets of all threads, on one port.
fn open_sockets(listen: SocketAddr, workers: usize, offload: Offload) -> Result<Vec<Socket>, Failure> {
    let options = Options {
        reports_local_address: listen.ip().is_unspecified(),
        ..offload.socket_options()
    };
    Socket::bind_many(listen, workers, &options).map_err(|error| explain_bind(listen, &error))
}

/// Listen address, identity and device of the server.
struct LocalConfig {
    listen: SocketAddr,
    /// Fingerprint of the server.
    fingerprint: String,
    device: config::Device,
}

/// A running server.
#[derive(Debug)]
pub struct RunningServer<T> {
    shell: Shell<secure::Server, T>,
    users: Users,
    keys: Option<KeyFiles>,
    drops: DropLog,
    tracker: StatusTracker,
}

/// The pre-shared keys in use, and the configuration file that names their files.
#[derive(Debug)]
struct KeyFiles {
    path: PathBuf,
    keys: Keys,
}

/// State of the users file.
#[derive(Debug)]
struct Users {
    file: UsersFile,
    /// The read in progress.
    reading: Option<ReadTask>,
    /// True if another read was requested during the present one.
    is_outdated: bool,
    /// True if a password was being stored when the users were last replaced. The file is then read again
    /// after the password is stored, so that no change is lost.
    is_stale: bool,
    /// Requests that wait for the result.
    waiting: Vec<PendingRequest>,
}

#[derive(Debug)]
struct ReadTask {
    task: JoinHandle<Files>,
    /// Value of [`Shell::saves`] at the start.
    saves: u64,
}

impl<T: Transport<secure::Server>> RunningServer<T> {
    /// A server with the users that were read from `file`.
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
            keys: None,
            drops: DropLog::default(),
            tracker: StatusTracker::new(),
        }
    }

    /// The same server, which also reads its pre-shared keys again. `path` is the configuration file. `keys` are the keys in
    /// use.
    #[must_use]
    pub fn with_keys_of(mut self, path: PathBuf, keys: Keys) -> Self {
        self.keys = Some(KeyFiles { path, keys });
        self
    }

    /// Serves until a signal to stop.
    async fn run(
        &mut self,
        signals: &mut Signals,
        hangup: &mut Hangup,
        requests: &mut RequestQueue,
        local: &LocalConfig,
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
                    self.read_files();
                }
                pending = requests.next() => match pending.request {
                    Request::Status => pending.reply(Reply::Status(self.status(local).into())),
                    Request::Reload => self.reload(pending),
                    Request::Forget => pending.reply(forgotten(self.forget())),
                },
                step = self.step() => step?,
            }
        }
    }

    /// Status of the server.
    fn status(&mut self, local: &LocalConfig) -> Status {
        let counters = self.shell.counters();
        let mut status = self
            .tracker
            .status(Role::Server, Profile::Secure, &local.device.name, &counters)
            .with_settings(&device_settings(local.listen, &local.device));
        status.server = Some(self.shell.with_peer(|server, _| {
            let (users, half_open) = (server.users().len(), server.half_open_count());
            let status = self.tracker.server(
                local.listen,
                users,
                half_open,
                server.session_count(),
                server.session_infos(),
            );
            status.with_fingerprint(local.fingerprint.clone())
        }));
        status
    }

    /// Forgets all sessions and logins, after a restore of the machine. Returns the number of sessions.
    ///
    /// # Errors
    ///
    /// If the kernel has no random bytes, or a thread does not stop using the old keys.
    pub fn forget(&mut self) -> Result<usize, Failure> {
        let seed = random::bytes()?;
        self.shell.forget(|server, now| {
            let count = server.session_count();
            server.forget_sessions(now, seed);
            count
        })
    }

    /// Starts to read users and keys, and replies when the result is known.
    fn reload(&mut self, pending: PendingRequest) {
        info!("reload requested: reading {}", self.users.file.path().display());
        self.users.waiting.push(pending);
        self.read_files();
    }

    /// Serves until the next event, and handles it.
    ///
    /// # Errors
    ///
    /// If the device is removed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time and called again. Nothing is lost.
    pub async fn step(&mut self) -> Result<(), Failure> {
        let event = tokio::select! {
            biased;
            read = self.users.next_read() => {
                self.finish_reading(read);
                return Ok(());
            }
            event = self.shell.next_event() => event?,
        };
        self.tracker.on_event(&event.kind);
        match event.kind {
            EventKind::LoggedIn { login, remote } => log_login(&login, remote),
            EventKind::LoginRefused { remote } => log_refused_login(remote),
            EventKind::SessionEnded { login, reason } => {
                info!(event = "session-ended", login, %reason, "session of {login} ended: {reason}");
            }
            EventKind::RecordChanged { login } => {
                info!(event = "password-changed", login, "{login} changed the password");
                if std::mem::take(&mut self.users.is_stale) {
                    self.read_files();
                }
            }
            EventKind::Other("login-unconfirmed") => {
                info!(
                    event = "login-unconfirmed",
                    "a login ended: its client sent nothing after the password was accepted"
                );
            }
            EventKind::Dropped(reason) => self.drops.log(reason),
            other => debug!("{other:?}"),
        }
        Ok(())
    }

    /// Waits for pending saves and tells the clients that the server stops.
    async fn end(&mut self) {
        self.shell.finish_saving().await;
        self.shell.with_peer(|server, now| server.shut_down(now));
        self.shell.end();
        log_counters(&self.shell.counters());
    }

    /// The shell of the server.
    pub const fn shell(&mut self) -> &mut Shell<secure::Server, T> {
        &mut self.shell
    }

    fn count_users(&mut self) -> usize {
        self.shell.with_peer(|server, _| server.users().len())
    }

    /// Starts to read users and keys on another thread, because all records are checked and another program may
    /// hold the lock.
    pub fn read_files(&mut self) {
        if self.users.reading.is_some() {
            self.users.is_outdated = true;
            return;
        }
        notify::reloading();
        let file = self.users.file.clone();
        let path = self.keys.as_ref().map(|files| files.path.clone());
        self.users.reading = Some(ReadTask {
            task: tokio::task::spawn_blocking(move || Files {
                users: file.load(),
                keys: path.map(|path| Server::load_keys(&path)).transpose(),
                unlocks: file.take_unlocks(),
            }),
            saves: self.shell.saves(),
        });
    }

    /// Replaces users and keys with those that were read. On an error the server keeps all old ones.
    fn finish_reading(&mut self, (files, saves): (Files, u64)) {
        self.unlock(files.unlocks);
        let is_outdated = std::mem::take(&mut self.users.is_outdated);
        if is_outdated || self.shell.saves() != saves {
            // The file may have been changed after it was read.
            self.read_files();
            return;
        }
        let result = self.replace(files.users, files.keys);
        let users = self.count_users();
        let outcome = match &result {
            Ok(()) => {
                self.users.is_stale = self.shell.is_saving();
                info!(event = "users-read", users, "users: {users}");
                format!("users: {users}")
            }
            Err(failure) => {
                let error = failure.message();
                error!(
                    event = "users-kept",
                    users, error, "nothing reloaded, keeping the old users and keys: {error}"
                );
                format!("users: {users}, not reloaded: {}", failure.message())
            }
        };
        notify::ready(&outcome);
        for pending in self.users.waiting.drain(..) {
            pending.reply(match &result {
                Ok(()) => Reply::Reloaded { users },
                Err(failure) => failure.into(),
            });
        }
    }

    /// Replaces the users, and the keys if they are other ones. On an error nothing changes.
    fn replace(
        &mut self,
        users: Result<UserStore, Failure>,
        keys: Result<Option<(Keys, Vec<String>)>, Failure>,
    ) -> Result<(), Failure> {
        let (users, keys) = (users?, keys?);
        self.shell
            .with_peer(|server, now| server.set_users(now, users))
            .map_err(|error| self.users.file.explain(&error))?;
        let Some((files, (keys, warnings))) = self.keys.as_mut().zip(keys) else {
            return Ok(());
        };
        if files.keys != keys {
            log_warnings(&warnings);
            self.shell
                .with_peer(|server, _| server.set_keys(&keys.first, keys.second.as_ref()))
                .map_err(|error| Failure::runtime("replace the pre-shared keys", error))?;
            let count = if keys.second.is_some() {
                "two keys"
            } else {
                "one key"
            };
            info!(
                event = "keys-read",
                "new pre-shared keys: clients may use {count}"
            );
            files.keys = keys;
        }
        Ok(())
    }

    /// Forgets the failed logins of these users.
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

/// The content of all files that are read while the server runs.
#[derive(Debug)]
struct Files {
    users: Result<UserStore, Failure>,
    /// With warnings for the user. `None` if this server does not read them.
    keys: Result<Option<(Keys, Vec<String>)>, Failure>,
    /// The users to be unlocked.
    unlocks: Result<Vec<Login>, Failure>,
}

impl Users {
    /// Waits for the read in progress, or forever if there is none. May be dropped and called again. Returns the files, and
    /// the number of saves before they were read.
    async fn next_read(&mut self) -> (Files, u64) {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let files = (&mut reading.task).await.unwrap_or_else(|error| Files {
            users: Err(Failure::runtime("read the users", error)),
            keys: Ok(None),
            unlocks: Ok(Vec::new()),
        });
        let saves = reading.saves;
        self.reading = None;
        (files, saves)
    }
}
