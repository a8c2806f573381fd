//! The process, under the names that every Prometheus client gives it, and the runtime that it works with.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::own;

/// Registers the process as it is now; what the system does not tell is absent.
pub(super) fn register(registry: &mut Registry, started: SystemTime) {
    let started = started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    registry.register("process_start_time_seconds", "When the process started, since 1970", ConstGauge::new(started));
    let runtime = Handle::current().metrics();
    let count = |count: usize| ConstGauge::new(count as u64);
    own(registry, "runtime_workers", "Threads that work on requests", count(runtime.num_workers()));
    own(registry, "runtime_tasks", "Tasks that are not over", count(runtime.num_alive_tasks()));
    own(registry, "runtime_queued_tasks", "Tasks that wait for any thread", count(runtime.global_queue_depth()));
    #[cfg(target_os = "linux")]
    linux(registry);
}

/// What proc(5) tells of a process.
#[cfg(target_os = "linux")]
fn linux(registry: &mut Registry) {
    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::process::{Resource, getrlimit};

    if let Some([virtual_pages, resident_pages]) = numbers("/proc/self/statm", 0) {
        let bytes = |pages: u64| ConstGauge::new(pages * page_size() as u64);
        registry.register("process_virtual_memory_bytes", "Virtual memory", bytes(virtual_pages));
        registry.register("process_resident_memory_bytes", "Resident memory", bytes(resident_pages));
    }
    // Fields 14 and 15, counted from 1.
    if let Some([user, system]) = numbers("/proc/self/stat", 13) {
        let seconds = (user + system) as f64 / clock_ticks_per_second() as f64;
        registry.register("process_cpu_seconds", "User and system time", ConstCounter::new(seconds));
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The one that the folder is read through is not counted.
        let open = files.count().saturating_sub(1) as u64;
        registry.register("process_open_fds", "Open files and connections", ConstGauge::new(open));
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        registry.register("process_max_fds", "How many may be open", ConstGauge::new(limit));
    }
}

/// Two neighbouring numbers in a file of fields. The program's name, the second field of `stat`, holds no space.
#[cfg(target_os = "linux")]
fn numbers(path: &str, first: usize) -> Option<[u64; 2]> {
    let text = fs::read_to_string(path).ok()?;
    let mut fields = text.split(' ').skip(first).map(str::parse);
    Some([fields.next()?.ok()?, fields.next()?.ok()?])
}
