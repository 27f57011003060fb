//! Session tables that the packet threads have: the present one, and earlier ones until the end of their last batch.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use sandhog_proto::secure::DataPaths;

use crate::clock;

/// Session tables that were published. Only the main loop publishes.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Generation of the present table.
    generation: Option<u64>,
    /// The earlier tables that a thread may still use.
    earlier: Vec<Weak<DataPaths>>,
}

impl Published {
    /// Returns true if the threads have the table of this generation.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation == Some(generation)
    }

    /// Gives a table to the threads. Each uses an earlier one until the end of its batch at the latest.
    pub(super) fn replace(&mut self, present: &ArcSwap<DataPaths>, generation: u64, table: DataPaths) {
        self.generation = Some(generation);
        // After the swap, the count of references includes those that the threads hold.
        let before = present.swap(Arc::new(table));
        self.earlier.push(Arc::downgrade(&before));
        drop(before);
        self.earlier.retain(|table| table.strong_count() > 0);
    }

    /// Waits until no thread uses an earlier table. Returns false if one still does after `limit`.
    pub(super) fn wait_for_threads(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        while self.earlier.iter().any(|table| table.strong_count() > 0) {
            if clock::now() >= until {
                return false;
            }
            thread::yield_now();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_loop_waits_for_a_thread_that_uses_a_table_before_the_last_one() {
        let present = ArcSwap::from_pointee(DataPaths::none());
        let mut published = Published::default();
        let is_released = AtomicBool::new(false);
        thread::scope(|scope| {
            let (sender, has_loaded) = mpsc::channel();
            let (present, is_released) = (&present, &is_released);
            scope.spawn(move || {
                let table = present.load();
                sender.send(()).expect("a receiver");
                // A batch that takes long.
                for _ in 0..300 {
                    thread::yield_now();
                }
                is_released.store(true, Ordering::SeqCst);
                drop(table);
            });
            has_loaded.recv().expect("a sender");
            published.replace(present, 1, DataPaths::none());
            published.replace(present, 2, DataPaths::none());
            assert!(published.wait_for_threads(Duration::from_secs(60)));
            assert!(is_released.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn a_thread_that_never_lets_go_of_a_table_is_reported() {
        let present = ArcSwap::from_pointee(DataPaths::none());
        let mut published = Published::default();
        let held = present.load();
        published.replace(&present, 1, DataPaths::none());
        assert!(!published.wait_for_threads(Duration::from_millis(1)));
        drop(held);
        assert!(published.wait_for_threads(Duration::ZERO));
    }
}
