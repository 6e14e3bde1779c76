// SPDX-License-Identifier: GPL-2.0

//! What a process has in its hands, and how it does what it is told.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::fs::SealFlags;
use rustix::mm::Advice;
use rustix::process;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::PidfdGetfdFlags;
use rustix::system;

use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Heap;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::driver::Driver;
use selftests::fence::Work;
use selftests::importer::Edu;
use selftests::sys::fork::Child;
use selftests::sys::ioctl;

use crate::broken;
use crate::call::Deed;
use crate::call::Pages;
use crate::call::Through;
use crate::call::Way;
use crate::call::asked;
use crate::cells::Grid;
use crate::cells::Piece;
use crate::importer::Importer;
use crate::order::Order;
use crate::plan::SMALL_LIST;
use crate::plan::SMALL_MB;
use crate::world::Setting;
use crate::world::Source;

/// Every advice that neither changes what is in memory nor what children see.
const ADVICE: [Advice; 14] = [
    Advice::Normal,
    Advice::Random,
    Advice::Sequential,
    Advice::WillNeed,
    Advice::LinuxDontNeed,
    Advice::LinuxFree,
    Advice::LinuxHugepage,
    Advice::LinuxNoHugepage,
    Advice::LinuxMergeable,
    Advice::LinuxCold,
    Advice::LinuxPageOut,
    Advice::LinuxPopulateRead,
    Advice::LinuxPopulateWrite,
    Advice::LinuxRemove,
];

/// How many kinds of advice there are.
pub const ADVICES: usize = ADVICE.len();

const MAY_SYNC: u32 = abi::UDMABUF_STATE_MAY_SYNC;

/// How long a device works while somebody waits for it.
const WORK: Duration = Duration::from_micros(300);

/// Values of the module's parameters, by name.
pub type Limits = Vec<(&'static str, String)>;

/// What is made before the first order, and stays.
#[derive(Debug)]
pub struct Tools {
    pub udmabuf: Option<Udmabuf>,
    heap: Option<Heap>,
    pub importer: Option<Importer>,
    pub memfds: Arc<Vec<Memfd>>,
    /// Each of the memfds.
    memory: Vec<Mapping>,
    limits: Limits,
    grid: Grid,
    objects: Mutex<Objects>,
}

/// What comes and goes, by slot.
#[derive(Debug, Default)]
struct Objects {
    buffers: HashMap<u8, Arc<DmaBuf>>,
    mappings: HashMap<u8, Mapping>,
    /// Handles of the importer, with the device's number.
    attachments: HashMap<u8, (u8, u32)>,
    transfers: HashMap<u8, (u8, u32)>,
}

/// A number where there is one, or what is wrong with the data.
enum Done {
    Number(i64),
    Wrong(Option<String>),
}

type Result<T> = std::result::Result<T, Errno>;

/// There is nothing in a slot, whatever was planned. No call here fails like that by itself.
const EMPTY: Errno = Errno::NOTUNIQ;

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

impl Tools {
    /// Opens what there is.
    pub fn new(setting: &Setting, memfds: Arc<Vec<Memfd>>, limits: Limits) -> Result<Tools> {
        let (udmabuf, heap) = match setting.source {
            Source::Udmabuf { .. } => (Some(Udmabuf::open()?), None),
            Source::Heap => (None, Some(Heap::open()?)),
        };
        Ok(Tools {
            udmabuf,
            heap,
            importer: Importer::open().ok(),
            memory: memfds.iter().map(Memfd::map).collect::<Result<_>>()?,
            memfds,
            limits,
            grid: setting.grid,
            objects: Mutex::default(),
        })
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Any buffer that the process has.
    pub fn any_buffer(&self, choose: impl FnOnce(usize) -> usize) -> Option<Arc<DmaBuf>> {
        let objects = self.objects();
        match objects.buffers.len() {
            0 => None,
            count => objects.buffers.values().nth(choose(count)).cloned(),
        }
    }

    fn device(&self) -> Result<&Udmabuf> {
        self.udmabuf.as_ref().ok_or(Errno::NODEV)
    }

    fn importer(&self) -> Result<&Importer> {
        self.importer.as_ref().ok_or(Errno::NODEV)
    }

    fn buffer(&self, slot: u8) -> Result<Arc<DmaBuf>> {
        self.objects().buffers.get(&slot).cloned().ok_or(EMPTY)
    }

    /// Does what the order says: a number, or what is wrong with the data.
    pub fn perform(&self, order: &Order) -> (Result<i64>, Option<String>) {
        match self.try_perform(order) {
            Ok(Done::Number(number)) => (Ok(number), None),
            Ok(Done::Wrong(wrong)) => (Ok(0), wrong),
            Err(error) => (Err(error), None),
        }
    }

    fn try_perform(&self, order: &Order) -> Result<Done> {
        match &order.deed {
            Deed::Create { buffer, of } => {
                let made = self.create(of)?;
                return Ok(Done::Number(self.keep(*buffer, made)));
            }
            Deed::CreateIn { buffer, of, mode } => {
                let (mode, flags) = asked(*mode).ok_or(EMPTY)?;
                let flags = flags | abi::UDMABUF_FLAGS_CLOEXEC;
                let items = self.items(of);
                let made = self.device()?.create_ext(mode.number(), &items, flags)?;
                return Ok(Done::Number(self.keep(*buffer, made)));
            }
            Deed::Query { buffer } => {
                return self.query(*buffer, order.number).map(Done::Wrong);
            }
            Deed::SyncRange {
                buffer,
                flags,
                spot,
                further,
            } => {
                let (offset, length) = self.grid.range(*spot, usize::from(*further));
                let buffer = self.buffer(*buffer)?;
                sync_range(self.device()?, &buffer, *flags, (offset, length))?;
            }
            Deed::Take { buffer, .. } => {
                let process = process::pidfd_open(pid(order.pid)?, PidfdFlags::empty())?;
                let fd = order.number as i32;
                let taken = process::pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?;
                return Ok(Done::Number(self.keep(*buffer, taken.into())));
            }
            Deed::Broken { kind, chance } => {
                broken::request(self.device()?, &self.memfds[0], *kind, *chance)?;
            }
            Deed::Close { buffer } => drop(self.objects().buffers.remove(buffer)),
            Deed::Sync { buffer, flags } => sync(&*self.buffer(*buffer)?, *flags)?,
            Deed::Fence { buffer, way } => wait(&*self.buffer(*buffer)?, *way)?,
            Deed::Export { buffer } => drop(ioctl::export_sync_file(&*self.buffer(*buffer)?)?),
            Deed::Touch { through, write, .. } => {
                return self.touch(*through, *write, order).map(Done::Wrong);
            }
            Deed::Dma {
                transfer, write, ..
            } => {
                let handle = self.objects().transfers.get(transfer).copied();
                let handle = handle.ok_or(EMPTY)?;
                let wrong = self.importer()?.transfer(handle, &order.pieces, *write)?;
                return Ok(Done::Wrong(wrong));
            }
            Deed::Mmap { .. }
            | Deed::MmapPrivate { .. }
            | Deed::Munmap { .. }
            | Deed::Move { .. }
            | Deed::Stretch { .. }
            | Deed::Shorten { .. }
            | Deed::Protect { .. }
            | Deed::Advise { .. }
            | Deed::Lock { .. } => return self.address_space(&order.deed).map(Done::Number),
            Deed::Attach { .. } | Deed::Detach { .. } | Deed::Map { .. } | Deed::Unmap { .. } => {
                self.devices(&order.deed)?;
            }
            deed => self.elsewhere(deed, order.number)?,
        }
        Ok(Done::Number(0))
    }

    fn create(&self, of: &[Pages]) -> Result<DmaBuf> {
        if let Some(heap) = &self.heap {
            let pages: usize = of.iter().map(|pages| usize::from(pages.count)).sum();
            return heap.allocate(pages * PAGE);
        }
        let (items, device) = (self.items(of), self.device()?);
        match items[..] {
            [item] => device.create(item),
            _ => device.create_list(&items),
        }
    }

    fn items(&self, of: &[Pages]) -> Vec<Item> {
        let item = |pages: &Pages| {
            let memfd = &self.memfds[usize::from(pages.memfd)];
            let [first, count] = [pages.first, pages.count].map(usize::from);
            memfd.range(first * PAGE, count * PAGE)
        };
        of.iter().map(item).collect()
    }

    /// What a buffer says of itself has to make sense, whatever others do meanwhile.
    fn query(&self, slot: Option<u8>, size: i64) -> Result<Option<String>> {
        let query = match slot {
            Some(slot) => self.device()?.query(&*self.buffer(slot)?)?,
            None => self.device()?.features()?,
        };
        // CAST: A size is not negative.
        let fits = query.size == size as u64 && query.largest <= query.size;
        let pages = query.size / PAGE as u64;
        let pieces = query.extents <= pages && (query.extents == 0) == (pages == 0);
        let devices = query.cache + query.shadow + query.own_operations;
        let syncs = query.state & abi::UDMABUF_STATE_SYNCS != 0;
        let states = syncs == (devices > 0) && (!syncs || query.state & MAY_SYNC != 0);
        let costs = syncs || query.start_bytes + query.end_bytes == 0;
        let right = fits && pieces && states && costs;
        Ok((!right).then(|| format!("of {size} bytes: {query:?}")))
    }

    /// Puts a buffer into its slot; the number is its descriptor's.
    fn keep(&self, slot: u8, buffer: DmaBuf) -> i64 {
        let number = buffer.as_fd().as_raw_fd();
        self.objects().buffers.insert(slot, Arc::new(buffer));
        number.into()
    }

    fn address_space(&self, deed: &Deed) -> Result<i64> {
        let mut objects = self.objects();
        let Objects {
            buffers, mappings, ..
        } = &mut *objects;
        let buffer = |slot: &u8| buffers.get(slot).ok_or(EMPTY);
        let (Deed::Munmap { mapping: slot }
        | Deed::Mmap { mapping: slot, .. }
        | Deed::Move { mapping: slot, .. }
        | Deed::Stretch { mapping: slot }
        | Deed::Shorten { mapping: slot, .. }
        | Deed::Protect { mapping: slot, .. }
        | Deed::Advise { mapping: slot, .. }
        | Deed::Lock { mapping: slot, .. }) = deed
        else {
            if let Deed::MmapPrivate { buffer: slot } = deed {
                Mapping::private(buffer(slot)?, 0, PAGE, Way::Read.access())?;
            }
            return Ok(0);
        };
        if let Deed::Mmap {
            buffer: of,
            page,
            pages,
            way,
            huge,
            ..
        } = deed
        {
            let [at, len] = [*page, *pages].map(|pages| usize::from(pages) * PAGE);
            let align = if *huge { HUGE_PAGE } else { PAGE };
            let made = Mapping::aligned(buffer(of)?, at as u64, len, way.access(), align)?;
            let address = made.address() as i64;
            mappings.insert(*slot, made);
            return Ok(address);
        }
        let mapping = mappings.get_mut(slot).ok_or(EMPTY)?;
        let len = mapping.len();
        match deed {
            Deed::Move { huge, .. } => mapping.relocate(if *huge { HUGE_PAGE } else { PAGE })?,
            Deed::Stretch { .. } => mapping.resize(len + PAGE)?,
            Deed::Shorten { pages, .. } => mapping.truncate(usize::from(*pages) * PAGE)?,
            Deed::Protect { way, .. } => mapping.protect(0, len, way.map(Way::access))?,
            Deed::Advise { advice, .. } => {
                mapping.advise(0, len, ADVICE[usize::from(*advice) % ADVICES])?;
            }
            Deed::Lock { yes, .. } => mapping.lock(*yes)?,
            _ => {
                mappings.remove(slot);
                return Ok(0);
            }
        }
        Ok(mapping.address() as i64)
    }

    fn devices(&self, deed: &Deed) -> Result<()> {
        let importer = self.importer()?;
        // An unbound device's handle is gone when it was told so.
        let gone = |result: &Result<()>| matches!(result, Ok(()) | Err(Errno::NODEV));
        match *deed {
            Deed::Attach {
                attachment,
                buffer,
                device,
            } => {
                let handle = importer.attach(&*self.buffer(buffer)?, device)?;
                self.objects()
                    .attachments
                    .insert(attachment, (device, handle));
            }
            Deed::Map {
                transfer,
                attachment,
                way,
            } => {
                let attached = self.objects().attachments.get(&attachment).copied();
                let (device, handle) = attached.ok_or(EMPTY)?;
                let handle = importer.map(handle, way)?;
                self.objects().transfers.insert(transfer, (device, handle));
            }
            Deed::Detach { attachment } => {
                let attached = self.objects().attachments.get(&attachment).copied();
                let result = importer.detach(attached.ok_or(EMPTY)?.1);
                if gone(&result) {
                    self.objects().attachments.remove(&attachment);
                }
                result?;
            }
            Deed::Unmap { transfer } => {
                let mapped = self.objects().transfers.get(&transfer).copied();
                let result = importer.unmap(mapped.ok_or(EMPTY)?.1);
                if gone(&result) {
                    self.objects().transfers.remove(&transfer);
                }
                result?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What is done to files, to the module and to the machine.
    fn elsewhere(&self, deed: &Deed, number: i64) -> Result<()> {
        match *deed {
            Deed::Punch { memfd, page } => {
                self.memfds[usize::from(memfd)].punch_hole(usize::from(page) * PAGE, PAGE)
            }
            Deed::Grow { memfd } => self.memfds[usize::from(memfd)].resize(number as usize),
            Deed::Shrink { memfd } => self.memfds[usize::from(memfd)].resize(0),
            Deed::Seal { memfd, write } => self.memfds[usize::from(memfd)].add_seals(match write {
                true => SealFlags::WRITE,
                false => SealFlags::GROW,
            }),
            Deed::Limit { small } => {
                let driver = Driver::under_test();
                let small = [("list_limit", SMALL_LIST), ("size_limit_mb", SMALL_MB)]
                    .map(|(name, value)| (name, value.to_string()))
                    .into_iter()
                    .filter(|_| small);
                for (name, value) in self.limits.iter().cloned().chain(small) {
                    fs::write(driver.parameter(name).path(), value).map_err(errno)?;
                }
                Ok(())
            }
            Deed::Unload => system::delete_module(c"udmabuf_rs", OFlags::NONBLOCK.bits() as i32),
            Deed::Narrow { device, bits } => self.importer()?.set_bits(device, bits),
            Deed::Rebind { device } => rebind(device).map_err(errno),
            _ => Err(Errno::NOSYS),
        }
    }

    /// Writes the pieces or compares them.
    fn touch(&self, through: Through, write: bool, order: &Order) -> Result<Option<String>> {
        if let Through::Child(slot) = through {
            let objects = self.objects();
            let mapping = objects.mappings.get(&slot).ok_or(EMPTY)?;
            let child = Child::run(|| {
                let wrong = access(&order.pieces, write, |at, bytes, write| {
                    in_mapping(mapping, at, bytes, write)
                });
                i32::from(!matches!(wrong, Ok(None)))
            })?;
            let code = child.wait()?.exit_status();
            let wrong = (code != Some(0)).then(|| format!("a child ended with {code:?}"));
            return Ok(wrong);
        }
        let debugged = match through {
            Through::Debugger(_) => {
                let path = format!("/proc/{}/mem", order.pid);
                Some(
                    File::options()
                        .read(true)
                        .write(true)
                        .open(path)
                        .map_err(errno)?,
                )
            }
            _ => None,
        };
        access(&order.pieces, write, |at, bytes, write| match through {
            Through::Memfd(memfd) => in_mapping(&self.memory[usize::from(memfd)], at, bytes, write),
            Through::Mapping(slot) | Through::Child(slot) => {
                let objects = self.objects();
                let mapping = objects.mappings.get(&slot).ok_or(EMPTY)?;
                in_mapping(mapping, at, bytes, write)
            }
            Through::File(memfd) => {
                let memfd = &self.memfds[usize::from(memfd)];
                let done = match write {
                    true => rustix::io::pwrite(memfd, bytes, at)?,
                    false => rustix::io::pread(memfd, &mut *bytes, at)?,
                };
                (done == bytes.len()).then_some(()).ok_or(Errno::IO)
            }
            Through::Debugger(_) => {
                let memory = debugged.as_ref().ok_or(Errno::SRCH)?;
                let address = order.number as u64 + at;
                match write {
                    true => memory.write_all_at(bytes, address),
                    false => memory.read_exact_at(bytes, address),
                }
                .map_err(errno)
            }
            Through::Kernel(slot) => {
                let (importer, buffer) = (self.importer()?, self.buffer(slot)?);
                match write {
                    true => importer.kernel_write(&buffer, at, bytes),
                    false => importer.kernel_read(&buffer, at, bytes),
                }
            }
        })
    }
}

/// Moves bytes of each piece, and compares what was read.
fn access(
    pieces: &[Piece],
    write: bool,
    mut how: impl FnMut(u64, &mut [u8], bool) -> Result<()>,
) -> Result<Option<String>> {
    for piece in pieces {
        let mut bytes = match write {
            true => piece.bytes(),
            false => vec![0; piece.len as usize],
        };
        how(piece.at, &mut bytes, write)?;
        if !write && let Some(wrong) = piece.check(&bytes) {
            return Ok(Some(wrong));
        }
    }
    Ok(None)
}

fn in_mapping(mapping: &Mapping, at: u64, bytes: &mut [u8], write: bool) -> Result<()> {
    match write {
        true => mapping.write(at as usize, bytes),
        false => mapping.read(at as usize, bytes),
    }
    Ok(())
}

fn pid(pid: i32) -> Result<Pid> {
    Pid::from_raw(pid).ok_or(Errno::SRCH)
}

/// Calls again when it was interrupted, as programs have to.
pub fn sync(buffer: &DmaBuf, flags: u64) -> Result<()> {
    loop {
        match buffer.sync(flags) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result,
        }
    }
}

/// Calls again when it was interrupted, as programs have to.
pub fn sync_range(
    device: &Udmabuf,
    buffer: &DmaBuf,
    flags: u32,
    (offset, length): (u64, u64),
) -> Result<()> {
    loop {
        match device.sync_range(buffer, flags, offset, length) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result,
        }
    }
}

/// Begins an access while a device works, which ends a little later.
fn wait(buffer: &DmaBuf, way: Way) -> Result<()> {
    let work = Work::start(buffer, Way::Both.access())?;
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(WORK);
            work.finish()
        });
        sync(
            buffer,
            u64::from(abi::SYNC_START) | way.access().sync_flags(),
        )
    })
}

/// Takes the driver from a device and gives it back.
fn rebind(device: u8) -> io::Result<()> {
    let name = Edu::open(device.into())?.name()?;
    let driver = fs::canonicalize(format!("/sys/bus/pci/devices/{name}/driver"))?;
    fs::write(driver.join("unbind"), &name)?;
    fs::write(driver.join("bind"), &name)
}

/// How a memfd of that kind is made, if there is enough of what it is made of.
pub fn memfd(backing: Backing, pages: usize) -> Result<Option<Memfd>> {
    let memfd = match backing {
        Backing::Base => return Memfd::with_pages_apart(pages * PAGE).map(Some),
        Backing::Huge if selftests::hugepage::free()? == 0 => return Ok(None),
        _ => match Memfd::builder(pages * PAGE).backing(backing).create() {
            Err(Errno::NOSYS | Errno::NOMEM) => return Ok(None),
            made => made?,
        },
    };
    if backing == Backing::Huge {
        // Of two processes that pin a huge page which is not there yet, memfd_alloc_folio() tells
        // one that there is no memory.
        memfd.map()?.touch(0);
    }
    let fits = backing != Backing::Transparent || memfd.has_transparent_huge_pages()?;
    Ok(fits.then_some(memfd))
}
