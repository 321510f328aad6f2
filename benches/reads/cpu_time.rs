//! Processor time, to the nanosecond: the kernel tells that of a whole process to a hundredth of a second only.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// What each thread of some processes has used so far, its own and the kernel's for it.
pub(crate) struct CpuTimes(HashMap<String, Duration>);

impl CpuTimes {
    /// As of now. A thread that runs at this moment may have used a few milliseconds more.
    pub(crate) fn of(processes: &[u32]) -> Self {
        let mut times = HashMap::new();
        for process in processes {
            let threads = fs::read_dir(format!("/proc/{process}/task")).expect("list a server's threads");
            for thread in threads {
                let id =
                    thread.expect("list a server's threads").file_name().into_string().expect("a number");
                // One that has ended since the list was made has no file any more.
                if let Ok(line) = fs::read_to_string(format!("/proc/{process}/task/{id}/schedstat")) {
                    let time = line.split_whitespace().next().and_then(|time| time.parse().ok());
                    times.insert(id, Duration::from_nanos(time.expect("nanoseconds")));
                }
            }
        }
        Self(times)
    }

    /// What was used from `before` to this, without what threads used that have ended in between.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = |(id, time): (&String, &Duration)| *time - before.0.get(id).copied().unwrap_or_default();
        self.0.iter().map(used).sum()
    }
}
