//! Large copies without `rep movsb`, where the C library's are slow: a setting that it reads before `main`.
//!
//! glibc before 2.40 copies 4 KiB and more with `rep movsb` on every processor that calls it fast. AMD's do, and then
//! take several times as long as a loop does when the destination is not aligned (glibc's bug 30994). TLS copies each
//! record to where five bytes of header end, so this is what every byte between nodes would pay. The threshold is a
//! tunable of glibc, which is read from the environment when a process starts: so this one starts itself once more,
//! under the same process id. Other C libraries and processors are left alone, and so is who has set it already.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

const TUNABLES: &str = "GLIBC_TUNABLES";
const THRESHOLD: &str = "glibc.cpu.x86_rep_movsb_threshold";

/// Set for the second start. Without it a loader that drops the tunables, as it does for a program with file capabilities,
/// would have the program start itself for ever.
const STARTED_AGAIN: &str = "PENSTOCK_STARTED_AGAIN";

/// More than anything here copies in one go.
const THRESHOLD_BYTES: u64 = 1 << 30;

/// Starts this program again with the setting, unless it is there or not needed. Where that fails the program goes on
/// as it is: copies are slower then, and nothing else is wrong.
pub fn settle() {
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) || std::env::var_os(STARTED_AGAIN).is_some() {
        return;
    }
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let current = std::env::var(TUNABLES).unwrap_or_default();
    let (Some(tunables), Ok(program)) = (tunables(&current, &processor), std::env::current_exe()) else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Returns only when it has failed.
    let _ = again.args(arguments).env(TUNABLES, tunables).env(STARTED_AGAIN, "1").exec();
}

/// What the tunables should be, where they should be others than `current`.
fn tunables(current: &str, processor: &str) -> Option<String> {
    let is_set = current.split(':').any(|tunable| tunable.split('=').next() == Some(THRESHOLD));
    if is_set || !processor.contains("AuthenticAMD") {
        return None;
    }
    let ours = format!("{THRESHOLD}={THRESHOLD_BYTES}");
    Some(if current.is_empty() { ours } else { format!("{current}:{ours}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_added_once_and_on_amd_alone() {
        let amd = "processor : 0\nvendor_id\t: AuthenticAMD\n";
        let ours = "glibc.cpu.x86_rep_movsb_threshold=1073741824";
        assert_eq!(tunables("", amd).as_deref(), Some(ours));
        let beside = tunables("glibc.malloc.check=3", amd).expect("not there yet");
        assert_eq!(beside, format!("glibc.malloc.check=3:{ours}"));
        for there in [ours, &beside, "glibc.cpu.x86_rep_movsb_threshold=4096"] {
            assert_eq!(tunables(there, amd), None, "{there}");
        }
        assert_eq!(tunables("", "vendor_id\t: GenuineIntel\n"), None);
        assert_eq!(tunables("", ""), None);
    }
}
