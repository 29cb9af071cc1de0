//! Reading many items in parallel, on all processors.
//!
//! Results are in the order of the items. Not for changes, which are made one after another under a lock.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fs::threads;

/// Returns the result of `look` for each item; on this thread only if there are too few to be `worth` more threads.
pub fn all<T: Sync, R: Send>(items: &[T], worth: bool, look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    if !worth || workers < 2 {
        return items.iter().map(look).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, R)> {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else {
                return done;
            };
            done.push((i, look(item)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers.min(items.len()))
            // If no more threads can be started, fewer do the work.
            .map_while(|_| threads::start_in(scope, work).ok())
            .collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(theirs) => done.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, found)| found).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_order_is_that_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for worth in [false, true] {
            let found = super::all(&items, worth, |i| i * 2);
            assert!(found.iter().copied().eq(items.iter().map(|i| i * 2)));
        }
        assert!(super::all(&[] as &[u8], true, |b| *b).is_empty());
    }
}
