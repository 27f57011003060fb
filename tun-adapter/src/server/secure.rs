//! A server of the secure profile: its users stand in a file that changes while it runs, by its own hand and by others.

use sandhog_proto::EventKind;
use sandhog_proto::secure::{self, UserStore};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use super::{bind, own_settings};
use crate::config::secure::Server;
use crate::failure::Failure;
use crate::service::{DropLog, Hangup, Signals, tell_counters, warn_of_files};
use crate::shell::Shell;
use crate::tun::Tun;
use crate::users::UsersFile;
use crate::{clock, interface, random};

pub(super) async fn run(config: Server) -> Result<(), Failure> {
    warn_of_files(&config.warnings);
    let protocol = config.protocol(random::bytes()?, Some(clock::unix_origin()));
    let server = secure::Server::new(protocol).map_err(|error| config.users_file.explain(&error))?;
    let Server {
        listen,
        users_file,
        device,
        ..
    } = config;
    let (mut signals, mut hangup) = (Signals::catch()?, Hangup::catch()?);
    let socket = bind(listen).await?;
    let tun = Tun::create(&device.name)?;
    interface::apply(&device.name, &own_settings(listen, &device)).await?;
    // A new server remembers no failed logins.
    if let Err(failure) = users_file.take_unlocks() {
        warn!("{}", failure.message());
    }
    let mut life = Life {
        shell: Shell::new(server, socket, tun)?,
        users: Users {
            file: users_file,
            reading: None,
            is_stale: false,
        },
        drops: DropLog::default(),
    };
    let file = life.users.file.clone();
    life.shell.save_users_by(move |server: &secure::Server, text| {
        let (file, before, after) = (file.clone(), server.users().clone(), text.to_owned());
        Box::new(move || file.save_changes(&before, &after))
    });
    info!(
        "ready: listening on {listen}, device {}; users: {}",
        device.name,
        life.shell.with_peer(|server, _| server.users().len())
    );
    let result = life.run(&mut signals, &mut hangup).await;
    life.shell.finish_saving().await;
    life.shell.with_peer(|server, now| server.shut_down(now));
    life.shell.end();
    tell_counters(&life.shell.counters());
    result
}

/// A server at work.
struct Life {
    shell: Shell<secure::Server, Tun>,
    users: Users,
    drops: DropLog,
}

/// The file with the users, as the server sees it.
struct Users {
    file: UsersFile,
    /// The file is being read.
    reading: Option<Reading>,
    /// A password was being stored when the users were last taken from the file: once that is done, the file is read
    /// again, so that neither is lost.
    is_stale: bool,
}

struct Reading {
    task: JoinHandle<Result<UserStore, Failure>>,
    /// How often the shell had begun or ended to store users by then.
    saves: u64,
}

impl Life {
    /// Serves until a signal to stop.
    async fn run(&mut self, signals: &mut Signals, hangup: &mut Hangup) -> Result<(), Failure> {
        loop {
            let event = tokio::select! {
                biased;
                name = signals.stop() => {
                    info!("{name}: stopping");
                    return Ok(());
                }
                () = hangup.next() => {
                    info!("SIGHUP: reading {}", self.users.file.path().display());
                    self.read_users();
                    continue;
                }
                users = self.users.next_read() => {
                    self.take_users(users);
                    continue;
                }
                event = self.shell.next_event() => event?,
            };
            match event.kind {
                EventKind::LoggedIn { login, remote } => info!("{login} logged in from {remote}"),
                EventKind::LoginRefused { remote } => info!("refused a login from {remote}"),
                EventKind::SessionEnded { login, reason } => {
                    info!("a session of {login} has ended: {reason}");
                }
                EventKind::RecordChanged { login } => {
                    info!("{login} has a new password");
                    if std::mem::take(&mut self.users.is_stale) {
                        self.read_users();
                    }
                }
                EventKind::Dropped(reason) => self.drops.tell(reason),
                other => debug!("{other:?}"),
            }
        }
    }

    /// Begins to read the users, off this thread: every record in the file is checked.
    fn read_users(&mut self) {
        let file = self.users.file.clone();
        self.users.reading = Some(Reading {
            task: tokio::task::spawn_blocking(move || file.load()),
            saves: self.shell.saves(),
        });
    }

    /// The users are read: the server takes them, unless something is wrong with them. Then it keeps the old ones.
    fn take_users(&mut self, read: Read) {
        let Read { users, saves } = read;
        if self.shell.saves() != saves {
            // What was read may be older than what has been written since.
            self.read_users();
            return;
        }
        let taken = users.and_then(|users| {
            self.shell
                .with_peer(|server, now| server.set_users(now, users))
                .map_err(|error| self.users.file.explain(&error))
        });
        match taken {
            Ok(()) => {
                self.users.is_stale = self.shell.is_saving();
                self.unlock();
                let count = self.shell.with_peer(|server, _| server.users().len());
                info!("users: {count}");
            }
            Err(failure) => error!("keeping the old users: {}", failure.message()),
        }
    }

    /// Forgets the failed logins of those for whom somebody has asked.
    fn unlock(&mut self) {
        match self.users.file.take_unlocks() {
            Ok(logins) => {
                for login in &logins {
                    self.shell.with_peer(|server, _| server.unlock(login));
                    info!("{login} is unlocked");
                }
            }
            Err(failure) => error!("cannot unlock: {}", failure.message()),
        }
    }
}

/// What came out of reading.
struct Read {
    users: Result<UserStore, Failure>,
    saves: u64,
}

impl Users {
    /// Waits for the end of the reading that is under way; for ever, if none is. May be dropped and called again.
    async fn next_read(&mut self) -> Read {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let users = match (&mut reading.task).await {
            Ok(users) => users,
            Err(error) => Err(Failure::runtime("read the users", error)),
        };
        let saves = reading.saves;
        self.reading = None;
        Read { users, saves }
    }
}
