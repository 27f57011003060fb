//! The interfaces through which a shell runs a client.

use super::Client;
use super::login_attempt::Stage;
use crate::queues::Queues;
use crate::secure::job::{self, LoginFinished, Registered};
use crate::turn::Steps;
use crate::{
    ApiMisuse, Batch, Command, Counters, Datagram, Event, Gauges, Instant, Job, JobDone, PacketBuf, Peer,
    Reason, State,
};

impl Steps for Client {
    fn queues(&mut self) -> &mut Queues {
        &mut self.queues
    }

    fn on_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse> {
        self.handle_datagram(now, datagram)
    }

    fn on_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse> {
        self.handle_packet(now, packet)
    }

    fn on_timeout(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        self.handle_timeout(now)
    }

    fn next_timeout(&self) -> Option<(Instant, Reason)> {
        self.poll_timeout()
    }
}

impl Peer for Client {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.run_turn(now, input, output)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.queues.poll_event()
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse> {
        match command {
            Command::Start => self.start(now),
            Command::Stop => self.stop(now),
            Command::Sleep => self.sleep(now),
            Command::Wake => self.wake(now),
            Command::NetworkChanged => self.network_changed(now),
            Command::ClockSet { unix_millis } => {
                self.set_clock(now, unix_millis);
                Ok(())
            }
            _ => Err(ApiMisuse::Unsupported),
        }
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        let now = self.queues.advance(now);
        let awaited = self.login.as_ref().and_then(|login| match login.stage {
            Stage::Stretch { job, .. } => Some(job),
            _ => None,
        });
        let id = done.id();
        match done.name() {
            job::FINISH_LOGIN if awaited == Some(id) => {
                self.on_login_finished(now, done.result::<LoginFinished>().flatten());
                Ok(())
            }
            job::FINISH_LOGIN if self.proving_job() == Some(id) => {
                self.on_proved(now, done.result::<LoginFinished>().flatten());
                Ok(())
            }
            job::REGISTER => self.on_registered(now, id, done.result::<Registered>().flatten()),
            _ => Err(ApiMisuse::UnknownJob),
        }
    }

    fn counters(&self) -> Counters {
        self.queues.counters.clone()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            unauthenticated: usize::from(self.login.is_some()),
            sessions: usize::from(self.session.is_some()),
        }
    }

    fn describe(&self, state: &mut State<'_>) -> bool {
        self.describe_state(state);
        true
    }
}
