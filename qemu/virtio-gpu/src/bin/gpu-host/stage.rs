// SPDX-License-Identifier: GPL-2.0

//! Both sides together: what is drawn in the inner guest, and what comes out of QEMU.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use selftests::{
    DmaBuf, HUGE_PAGE, Held, PAGE,
    driver::Driver,
    kmsg::{self, Kmsg},
    statistics,
};
use virtio_gpu::{Gpu, Layer, Memory, Picture, Request, Size};

use crate::{
    arguments::{Arguments, Ram},
    guest::Guest,
    machine::Machine,
    root::Places,
    screen::Screen,
};

/// The most pieces that QEMU takes a framebuffer in. One that is made of single pages, which a
/// guest's memory comes to after a while, has more of them than the 1,024 that the drivers take
/// in one request unless they are told otherwise: 1920x1080 is 2,025 pages.
const LIST_LIMIT: u32 = 16_384;

/// What every kernel says first; a log without it says nothing.
const FIRST_LINE: &str = "Linux version ";

/// The inner guest with its machine, and what there was before them.
pub struct Stage {
    /// The driver behind `/dev/udmabuf`, at both levels.
    pub driver: Driver,
    /// QEMU.
    pub machine: Machine,
    /// What runs in it.
    pub guest: Guest,
    /// The step that is being done.
    pub step: &'static str,
    /// What the kernel held before QEMU was started.
    pub before: Held,
    /// The outer guest's kernel log.
    log: Kmsg,
    /// Where screens are kept, up to the part of the name that tells them apart.
    results: PathBuf,
    prefix: String,
    ram: Ram,
}

impl Stage {
    /// Boots the inner guest.
    pub fn boot(arguments: &Arguments, places: &Places) -> Result<Self> {
        let driver = Driver::under_test();
        let log = Kmsg::watch().context("cannot watch the kernel log")?;
        let before = Held::now()?;
        driver
            .parameter("list_limit")
            .raise(LIST_LIMIT)
            .context("cannot raise the driver's list_limit")?;
        let (mut machine, lines) = Machine::start(arguments, places)?;
        let guest = Guest::boot(&mut machine, lines, driver)?;
        Ok(Stage {
            driver,
            machine,
            guest,
            step: "",
            before,
            log,
            results: places.results.clone(),
            prefix: arguments.ram.to_string(),
            ram: arguments.ram,
        })
    }

    /// Has a picture drawn, and checks the screen.
    pub fn show(&mut self, gpu: Gpu, memory: Memory, picture: &Picture) -> Result<()> {
        self.draw(gpu, memory, picture, None)?;
        self.expect(gpu, picture)
    }

    /// Has a picture drawn, with a wrong pixel perhaps.
    pub fn draw(
        &mut self,
        gpu: Gpu,
        memory: Memory,
        picture: &Picture,
        wrong: Option<(u32, u32)>,
    ) -> Result<()> {
        let picture = picture.clone();
        self.ask(&Request::Show {
            gpu,
            memory,
            picture,
            wrong,
        })
    }

    /// Has a part of the picture drawn anew.
    pub fn update(&mut self, layer: Layer) -> Result<()> {
        self.ask(&Request::Update(layer))
    }

    /// Has something done that brings no pixels.
    pub fn ask(&mut self, request: &Request) -> Result<()> {
        self.machine.process().must_run()?;
        self.guest.ask(request).map(drop)
    }

    /// What is on a screen.
    pub fn screen(&mut self, gpu: Gpu) -> Result<Screen> {
        Screen::read(self.machine.dump_screen(gpu)?)
    }

    /// What the inner guest's CPU sees in the framebuffer.
    pub fn seen_by_guest(&mut self, size: Size) -> Result<Screen> {
        Screen::from_memory(size, &self.guest.ask(&Request::Read)?)
    }

    /// An error unless a screen shows a picture. What it shows instead is kept.
    pub fn expect(&mut self, gpu: Gpu, picture: &Picture) -> Result<()> {
        let screen = self.screen(gpu)?;
        let wrong = match screen.compare_with(picture) {
            Ok(None) => return Ok(()),
            Ok(Some(wrong)) => wrong.to_string(),
            Err(error) => error.to_string(),
        };
        let name = format!("{}-wrong", self.step);
        self.keep(&screen, &name)?;
        let said = self.machine.process().said();
        let said = said.lines().last().map(|line| format!("; QEMU: {line}"));
        let said = said.unwrap_or_default();
        bail!("{wrong}; see {}-{name}.png{said}", self.prefix)
    }

    /// Keeps a screen as a file on the host.
    pub fn keep(&self, screen: &Screen, name: &str) -> Result<()> {
        screen.save(&self.results(&format!("{name}.png")))
    }

    /// The file on the host in which something of that name is kept.
    pub fn results(&self, name: &str) -> PathBuf {
        self.results.join(format!("{}-{name}", self.prefix))
    }

    /// The dma-buf that stands behind a framebuffer of that size, if it came through udmabuf: the
    /// kernel lists exactly one, its memory is pinned, the driver under test counts as many as the
    /// kernel, and QEMU holds it.
    pub fn framebuffer(&mut self, size: Size) -> Result<DmaBuf> {
        let bytes = size.bytes().next_multiple_of(PAGE);
        let held = Held::now()?;
        let listed = held.count(bytes);
        ensure!(
            listed == 1,
            "{listed} udmabufs of {bytes} bytes instead of one ({held})"
        );
        let all: usize = held.buffers.iter().map(|entry| entry.size).sum();
        let pages = all / PAGE;
        let pinned = held.pinned.checked_sub(self.before.pinned);
        let pinned = pinned.context("fewer pins than before QEMU was started")?;
        // A huge page is pinned once for all of its pages that are next to each other in a buffer.
        let least: usize = match self.ram {
            Ram::Memfd => pages,
            Ram::Hugetlb => {
                let sizes = held.buffers.iter().map(|entry| entry.size);
                sizes.map(|size| size.div_ceil(HUGE_PAGE)).sum()
            }
        };
        ensure!(
            (least as u64..=pages as u64).contains(&pinned),
            "{pinned} pins for {pages} pages in dma-bufs"
        );
        let counted = statistics::counter("buffers")?.zip(statistics::counter("pages")?);
        let expected = match self.driver {
            Driver::Rust => Some((held.buffers.len(), pages)),
            // Ours is not even loaded.
            Driver::C => None,
        };
        ensure!(
            counted == expected,
            "our driver counts (buffers, pages) {counted:?} instead of {expected:?}"
        );
        let mut own = self.machine.process().buffers()?.into_iter();
        own.find(|buffer| buffer.size() == Ok(bytes))
            .context("QEMU has no descriptor of the dma-buf")
    }

    /// What the outer guest's kernel has complained about since the last call.
    pub fn complaints(&mut self) -> Result<Vec<String>> {
        let complaints = self.log.complaints();
        complaints.context("cannot read the kernel log")
    }

    /// What the inner guest's kernel has complained about, and QEMU.
    pub fn complaints_inside(&mut self) -> Result<Vec<String>> {
        let text = fs::read(&self.machine.log).context("no kernel log of the inner guest")?;
        complaints(
            &String::from_utf8_lossy(&text),
            &self.machine.process().said(),
        )
    }
}

/// What no healthy kernel says in its log, and everything that QEMU says.
fn complaints(log: &str, qemu: &str) -> Result<Vec<String>> {
    ensure!(log.contains(FIRST_LINE), "the log lacks its first line");
    // DRM has a word of its own.
    let complains = |line: &&str| kmsg::is_complaint(line) || line.contains("*ERROR*");
    let kernel = log.lines().filter(complains).map(str::to_owned);
    let qemu = qemu.lines().map(|line| format!("QEMU: {line}"));
    Ok(kernel.chain(qemu).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = "[    0.0] Linux version 7.3.4\n[    1.0] [drm] Initialized virtio_gpu\n";

    #[test]
    fn a_framebuffer_that_was_refused_is_heard_of() {
        assert_eq!(complaints(HEALTHY, "").unwrap(), [""; 0]);
        let drm = "[   90.4] [drm:virtio_gpu_dequeue_ctrl_func] *ERROR* response 0x1200";
        let log = format!("{HEALTHY}{drm}\n[   91.0] WARNING: CPU: 0\n");
        let qemu = "warning: UDMABUF_CREATE_LIST: Invalid argument\n";
        assert_eq!(complaints(&log, qemu).unwrap().len(), 3);
    }

    #[test]
    fn a_log_that_was_not_written_is_no_healthy_one() {
        assert!(complaints("", "").is_err());
    }
}
