// SPDX-License-Identifier: GPL-2.0

//! The kernel log: what it complains about while a test runs.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use protocol::log;
use rustix::fs::OFlags;
use rustix::io::Errno;

const PATH: &str = "/dev/kmsg";

/// Words that a healthy kernel does not use in its log: those that a test can cause. The harness,
/// which reads the whole log once more, knows some others.
const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "general protection fault",
    "Unable to handle kernel",
    "KASAN",
    "KCSAN",
    "UBSAN",
    "KFENCE",
    "DMA-API:",
    "refcount_t:",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "bad unlock balance",
    "held lock freed",
    "lock held when returning to user space",
    "trying to register non-static key",
    "suspicious RCU usage",
    "sleeping function called",
    "scheduling while atomic",
    "INFO: task",
    "self-detected stall",
    "detected stalls on CPUs",
    "detected expedited stalls",
    "soft lockup",
    "hard LOCKUP",
    "list_add corruption",
    "list_del corruption",
    "Bad page state",
    ": bad pgd ",
    ": bad p4d ",
    ": bad pud ",
    ": bad pmd ",
    "page allocation failure",
    "invoked oom-killer",
    "nobody cared",
    "kmemleak:",
    "panicked at",
];

/// Stands for records that were overwritten before they were read.
const LOST: &str = "records of the kernel log were lost";

/// Remembers where the log ended, and reads on from there.
#[derive(Debug)]
pub struct Kmsg {
    file: File,
}

impl Kmsg {
    /// Starts at the end of the log.
    ///
    /// # Errors
    ///
    /// Those of opening /dev/kmsg.
    pub fn watch() -> io::Result<Kmsg> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32);
        let mut file = options.open(PATH)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Kmsg { file })
    }

    /// Writes a line to the log, so that whoever reads it knows what was running.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn mark(&mut self, line: &str) -> io::Result<()> {
        // One write is one record; 6 is the level "info".
        self.file.write_all(format!("<6>{line}\n").as_bytes())
    }

    /// The complaints since the last call of this or of [`Kmsg::records`].
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn complaints(&mut self) -> io::Result<Vec<String>> {
        let mut records = self.records()?;
        // Those that were lost may have been complaints.
        records.retain(|text| {
            let excused = log::is_expected(text) || log::is_race_elsewhere(text);
            text == LOST || (is_complaint(text) && !excused)
        });
        Ok(records)
    }

    /// The first lines of all records since the last call; one more says so where some were
    /// overwritten before they were read.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn records(&mut self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(len) => {
                    let record = String::from_utf8_lossy(&record[..len]);
                    found.push(message(&record).to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {
                    found.push(LOST.to_owned());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The text of a record: what stands between the prefix and the first line end.
fn message(record: &str) -> &str {
    let text = record.split_once(';').map_or(record, |(_, text)| text);
    text.lines().next().unwrap_or("")
}

/// Whether no healthy kernel says this.
pub fn is_complaint(text: &str) -> bool {
    COMPLAINTS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_what_follows_the_prefix() {
        let record = "4,1234,5678901,-;WARNING: CPU: 0 PID: 1; at\n SUBSYSTEM=x\n";
        assert_eq!(message(record), "WARNING: CPU: 0 PID: 1; at");
    }

    #[test]
    fn complaints_are_told_from_news() {
        assert!(is_complaint("BUG: KASAN: slab-use-after-free in detach"));
        assert!(is_complaint(
            "DMA-API: edu 0000:00:03.0: device driver frees DMA memory"
        ));
        assert!(is_complaint(
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"
        ));
        assert!(is_complaint(
            "mm/pgtable-generic.c:30: bad pud 00000000ab54a98d(8000000140000ae7)"
        ));
        assert!(!is_complaint("udmabuf_rs: loaded"));
    }
}
