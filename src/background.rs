//! Long calculations that nobody waits for.

use std::{panic, thread};

/// Calculates on a thread of its own, which steps back, as do those that it starts; whoever calls waits for it.
///
/// A thread that others use is no place for it: none takes its priority back without the right to (setpriority(2)).
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let work = || {
        step_back();
        work()
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Lets this thread have a tenth of the processor where others want it too. Outside Linux, nothing changes.
pub fn step_back() {
    // On Linux this is a thread's own value, and of those that it starts (sched(7)); elsewhere it is the whole process's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::run;
    use crate::parallel;

    #[test]
    fn all_of_what_runs_there_steps_back_and_nothing_else() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let there = run(|| parallel::map(&[(); 100], 1, |()| niceness()));
        assert_eq!((there, niceness()), (vec![19.min(before + 10); 100], before));
    }
}
