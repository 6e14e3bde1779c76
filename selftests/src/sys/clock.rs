// SPDX-License-Identifier: GPL-2.0

//! The CPU's own clock, read without a system call.

/// The time in nanoseconds since some moment. Where the machine's clock counts instructions, one
/// for each nanosecond, that is how many there were.
pub fn now() -> u64 {
    read()
}

/// Calls `action`, and says how long it took. What lies between is marked for the profiler, a
/// plugin of QEMU: see `qemu/profile/src/mark.rs`. To anybody else the marks are nothing.
pub fn time<T>(action: impl FnOnce() -> T) -> (T, u64) {
    mark_start();
    let start = now();
    let result = action();
    let took = now() - start;
    mark_stop();
    (result, took)
}

#[cfg(target_arch = "x86_64")]
fn mark_start() {
    // SAFETY: `nopl 0x72616d01(%rax)`, which does nothing.
    unsafe { std::arch::asm!(".byte 0x0f, 0x1f, 0x80, 0x01, 0x6d, 0x61, 0x72") };
}

#[cfg(target_arch = "x86_64")]
fn mark_stop() {
    // SAFETY: `nopl 0x72616d02(%rax)`, which does nothing.
    unsafe { std::arch::asm!(".byte 0x0f, 0x1f, 0x80, 0x02, 0x6d, 0x61, 0x72") };
}

#[cfg(target_arch = "aarch64")]
fn mark_start() {
    // SAFETY: Writes a number to the register that is always zero.
    unsafe { std::arch::asm!("movz xzr, #0x6d01") };
}

#[cfg(target_arch = "aarch64")]
fn mark_stop() {
    // SAFETY: As above.
    unsafe { std::arch::asm!("movz xzr, #0x6d02") };
}

/// QEMU's TSC counts nanoseconds while it counts instructions.
#[cfg(target_arch = "x86_64")]
fn read() -> u64 {
    // SAFETY: Every x86-64 CPU has this instruction, and Linux lets programs use it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
fn read() -> u64 {
    let (count, frequency): (u64, u64);
    // SAFETY: Linux lets programs read both registers.
    unsafe {
        std::arch::asm!(
            "isb",
            "mrs {}, cntvct_el0",
            "mrs {}, cntfrq_el0",
            out(reg) count,
            out(reg) frequency,
            options(nomem, nostack)
        )
    };
    // The clock is slower than a nanosecond; in 128 bits nothing overflows.
    (u128::from(count) * 1_000_000_000 / u128::from(frequency)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes() {
        let before = now();
        let (one, took) = time(|| std::hint::black_box(1));
        assert!(one == 1 && now() > before + took);
    }
}
