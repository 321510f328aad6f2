//! Which core measures and which is measured.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// This process, and every thread and process that it starts from now on, runs on one core of at least two.
pub(crate) fn run_on_core(core: usize) {
    move_to_core(std::process::id(), core);
}

/// Every thread of a process, and what they start from now on, runs on one core of at least two.
pub(crate) fn move_to_core(process: u32, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).expect("list a process's threads") {
        let name = thread.expect("a thread").file_name();
        let id = name.to_str().and_then(|id| id.parse().ok()).expect("a thread's id is a number");
        sched_setaffinity(Pid::from_raw(id), &cores).expect("this machine has two cores");
    }
}
