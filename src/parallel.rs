//! The same work on many things, on all processors.

use std::panic;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More threads than this gain nothing: the disk and the network are shared.
const THREADS: usize = 8;

/// So many shares for each thread: one whose processor has other things to do takes fewer.
const SHARES: usize = 8;

/// What `work` makes of each item, in the order of the items. `least` is how many items are worth a thread.
pub fn map<T: Sync, R: Send>(items: &[T], least: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let threads = items.len().div_ceil(least.max(1)).clamp(1, processors);
    let share = items.len().div_ceil(threads * SHARES).max(1);
    let shares = on(threads, items.chunks(share), |share| share.iter().map(&work).collect::<Vec<R>>());
    shares.into_iter().flatten().collect()
}

/// What `work` makes of each item, in the order of the items, on so many threads; each that is free takes the next item.
pub fn on<T, R: Send>(threads: usize, items: impl Iterator<Item = T> + Send, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let items = Mutex::new(items.enumerate());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = || {
        let mut done = Vec::new();
        while let Some((position, item)) = next() {
            done.push((position, work(item)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut done = take();
        for other in others {
            // A panic over there is one here.
            done.extend(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_stand_where_their_items_stood() {
        for count in [0, 1, 2, 7, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            for least in [0, 1, 128] {
                assert_eq!(map(&items, least, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
            }
        }
    }
}
