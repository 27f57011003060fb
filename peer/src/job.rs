//! Blocking work that a peer hands to its shell, and the result that comes back.

use alloc::boxed::Box;
use alloc::string::String;
use core::any::Any;
use core::fmt;

/// The result of a job, of a type that only the peer knows.
type Outcome = Box<dyn Any + Send>;

/// Work that may take a tenth of a second and some MiB of memory. The shell runs it on a thread that carries no packets.
///
/// A job is `Send` and owns all its inputs. The result depends on the job alone. The shell must return the result of every
/// job that it polled through [`Peer::handle_job`](crate::Peer::handle_job), because a peer limits the number of its
/// unfinished jobs.
///
/// ```
/// use sandhog_peer::Job;
///
/// let job = Job::new(7, "add numbers", || 20 + 22);
/// let done = job.run();
/// assert_eq!((done.id(), done.result::<i32>()), (7, Some(42)));
/// ```
pub struct Job {
    id: u64,
    name: &'static str,
    text_to_save: Option<String>,
    work: Box<dyn FnOnce() -> Outcome + Send>,
}

/// The result of a [`Job`], for the peer that created the job.
pub struct JobDone {
    id: u64,
    name: &'static str,
    /// `None` if the job failed.
    outcome: Option<Outcome>,
}

impl Job {
    /// A job that calls `work`.
    ///
    /// `id` is unique among the unfinished jobs of the peer. `name` states the kind of work for logs, in a few words.
    /// Secrets that `work` captures are dropped when it has run.
    #[must_use]
    pub fn new<T, F>(id: u64, name: &'static str, work: F) -> Self
    where
        T: Any + Send,
        F: FnOnce() -> T + Send + 'static,
    {
        Self {
            id,
            name,
            text_to_save: None,
            work: Box::new(move || Box::new(work())),
        }
    }

    /// The same job with a text that the shell must write to disk before it calls [`run`](Self::run).
    ///
    /// ```
    /// use sandhog_peer::Job;
    ///
    /// let job = Job::new(1, "save users", || true).saving("alice".into());
    /// assert_eq!(job.text_to_save(), Some("alice"));
    /// ```
    #[must_use]
    pub fn saving(mut self, text: String) -> Self {
        self.text_to_save = Some(text);
        self
    }

    /// The identifier that the peer gave the job.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The kind of work.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The text that must be on disk before [`run`](Self::run) is called, or `None` for a job without one.
    ///
    /// A shell that cannot write it calls [`fail`](Self::fail) instead.
    #[must_use]
    pub fn text_to_save(&self) -> Option<&str> {
        self.text_to_save.as_deref()
    }

    /// Runs the work. May block for a tenth of a second.
    #[must_use]
    pub fn run(self) -> JobDone {
        JobDone {
            id: self.id,
            name: self.name,
            outcome: Some((self.work)()),
        }
    }

    /// The result of a job that the shell could not run. The peer continues as if the input that caused the job had not
    /// arrived.
    #[must_use]
    pub fn fail(self) -> JobDone {
        JobDone {
            id: self.id,
            name: self.name,
            outcome: None,
        }
    }
}

impl JobDone {
    /// The identifier of the job.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The kind of work.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value that the job computed, or `None` if the job failed or computed a value of another type.
    #[must_use]
    pub fn result<T: Any>(self) -> Option<T> {
        self.outcome?.downcast().ok().map(|value| *value)
    }

    /// A reference to the value that [`result`](Self::result) would return.
    #[must_use]
    pub fn result_ref<T: Any>(&self) -> Option<&T> {
        self.outcome.as_ref()?.downcast_ref()
    }
}

/// The kind of work only: the inputs may be secret.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.name)
    }
}

/// The kind of work only: the result may be secret.
impl fmt::Debug for JobDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobDone({})", self.name)
    }
}
