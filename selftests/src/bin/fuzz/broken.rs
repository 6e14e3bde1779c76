// SPDX-License-Identifier: GPL-2.0

//! Requests that must be refused, and garbage.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use fastrand::Rng;
use rustix::fs;
use rustix::fs::SealFlags;
use rustix::io::Result;

use selftests::Errno;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Mode;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::memfd::Builder;
use selftests::sys;
use selftests::udmabuf;
use selftests::udmabuf::LARGEST;

use crate::plan::Expect;
use crate::world::Source;

type Request = fn(&Udmabuf, &Memfd, u64) -> Result<()>;

const INVALID: Expect = Expect::Failure(&[Errno::INVAL]);

/// Every kind: how it ends, and what it is. Those behind the first [`OLDER`] are of calls that the
/// driver in the kernel does not have.
const KINDS: [(Expect, Request); 29] = [
    (INVALID, |device, memfd, _| create(device, memfd, 1, PAGE)),
    (INVALID, |device, memfd, _| {
        create(device, memfd, 0, PAGE - 1)
    }),
    (INVALID, |device, memfd, _| create(device, memfd, 0, 0)),
    (INVALID, |device, memfd, _| {
        create(device, memfd, 1 << 40, PAGE)
    }),
    (INVALID, |device, memfd, _| {
        create(device, memfd, PAGE, 0_usize.wrapping_sub(PAGE))
    }),
    (Expect::Failure(&[Errno::BADFD]), |device, memfd, _| {
        let item = Item {
            memfd: u32::MAX,
            ..memfd.whole()
        };
        device.create(item).map(drop)
    }),
    (Expect::Failure(&[Errno::BADFD]), |device, _, _| {
        let null = File::open("/dev/null").map_err(|_| Errno::NOENT)?;
        device.create(Item::new(&null, 0, PAGE as u64)).map(drop)
    }),
    (INVALID, |device, _, _| {
        sealed(device, |builder| builder.seals(SealFlags::empty()))
    }),
    (INVALID, |device, _, _| {
        sealed(device, |builder| {
            builder.seals(SealFlags::SHRINK | SealFlags::WRITE)
        })
    }),
    (INVALID, |device, _, _| {
        sealed(device, |builder| {
            builder.seals(SealFlags::SHRINK | SealFlags::FUTURE_WRITE)
        })
    }),
    (INVALID, |device, _, _| device.create_list(&[]).map(drop)),
    (INVALID, |device, memfd, _| {
        let bytes = udmabuf::list_bytes(0, u32::MAX, &[memfd.whole()]);
        make(
            device,
            abi::REQUEST_UDMABUF_CREATE_LIST,
            bytes.as_ptr() as usize,
        )
    }),
    (Expect::Failure(&[Errno::FAULT]), |device, _, _| {
        make(device, abi::REQUEST_UDMABUF_CREATE, PAGE / 2)
    }),
    (Expect::Failure(&[Errno::NOTTY]), |device, _, _| {
        sys::ioctl::udmabuf(device, abi::REQUEST_UDMABUF_CREATE + 2, 0).map(drop)
    }),
    // The last of several is wrong, when the others are pinned already.
    (INVALID, |device, memfd, _| {
        let page = memfd.range(0, PAGE);
        device
            .create_list(&[page, memfd.range(1 << 40, PAGE)])
            .map(drop)
    }),
    // The list ends where memory does. That is noticed after the limit of a list.
    (Expect::Failure(&[Errno::FAULT]), |device, memfd, _| {
        let memory = Mapping::memory(2 * PAGE)?;
        memory.protect(PAGE, PAGE, None)?;
        let bytes = udmabuf::list_bytes(0, 2, &[memfd.range(0, PAGE)]);
        memory.write(PAGE - bytes.len(), &bytes);
        let address = memory.address() + PAGE - bytes.len();
        make(device, abi::REQUEST_UDMABUF_CREATE_LIST, address)
    }),
    (ANY, |device, memfd, chance| garbage(device, memfd, chance)),
    (ANY, |device, _, chance| {
        let mut rng = Rng::with_seed(chance);
        let request = abi::REQUEST_UDMABUF_CREATE ^ 1 << rng.u32(0..30);
        let memory = Mapping::memory(PAGE)?;
        let mut bytes = [0; 64];
        rng.fill(&mut bytes);
        memory.write(0, &bytes);
        sys::ioctl::udmabuf(device, request, memory.address()).map(drop)
    }),
    (INVALID, |device, memfd, chance| {
        let flags = 16 << (chance % 28);
        device
            .create_ext(0, &[memfd.range(0, PAGE)], flags)
            .map(drop)
    }),
    (INVALID, |device, memfd, chance| {
        let mode = 4 + chance as u32 / 2;
        device
            .create_ext(mode, &[memfd.range(0, PAGE)], 0)
            .map(drop)
    }),
    (Expect::Failure(&[Errno::OPNOTSUPP]), |device, memfd, _| {
        device
            .create_in(Mode::MemoryCoherent, &[memfd.range(0, PAGE)])
            .map(drop)
    }),
    (INVALID, |device, memfd, chance| {
        let items = [memfd.range(0, PAGE).element()];
        let request = abi::udmabuf_create_ext {
            count: 1,
            reserved: chance as u32 | 1,
            items: items.as_ptr() as u64,
            ..Default::default()
        };
        device.create_from(&request).map(drop)
    }),
    (INVALID, |device, memfd, chance| {
        let good = memfd.range(0, PAGE).element();
        let bad = abi::udmabuf_create_item {
            __pad: chance as u32 | 1,
            ..good
        };
        let items = [good, bad];
        let request = abi::udmabuf_create_ext {
            count: 2,
            items: items.as_ptr() as u64,
            ..Default::default()
        };
        device.create_from(&request).map(drop)
    }),
    (INVALID, |device, _, _| {
        device.create_in(Mode::CpuCoherent, &[]).map(drop)
    }),
    // The last of several is wrong, when the others are pinned already.
    (INVALID, |device, memfd, _| {
        let items = [memfd.range(0, PAGE), memfd.range(1 << 40, PAGE)];
        device.create_in(Mode::AtomicCoherent, &items).map(drop)
    }),
    (INVALID, |device, memfd, _| {
        device.query_number(memfd.as_fd().as_raw_fd()).map(drop)
    }),
    (
        Expect::Failure(&[Errno::INVAL, Errno::TOOBIG]),
        |device, _, chance| {
            // It has flags, if it is large enough to be anything.
            garbage_of(device, abi::REQUEST_UDMABUF_QUERY, chance, 4)
        },
    ),
    (
        Expect::Failure(&[Errno::INVAL, Errno::TOOBIG, Errno::BADF]),
        |device, _, chance| garbage_of(device, abi::REQUEST_UDMABUF_SYNC_RANGE, chance, 4),
    ),
    (
        Expect::Failure(&[Errno::INVAL, Errno::TOOBIG]),
        |device, _, chance| garbage_of(device, abi::REQUEST_UDMABUF_CREATE_EXT, chance, 12),
    ),
];

/// How many kinds are of calls that every driver has.
const OLDER: usize = 18;

/// How a request of chance may end: if it makes sense, well.
const ANY: Expect = Expect::SuccessOr(&[
    Errno::INVAL,
    Errno::BADFD,
    Errno::FAULT,
    Errno::NOTTY,
    Errno::ACCESS,
    Errno::NOMEM,
    // One bit away from a request to make a buffer there is one that syncs a range.
    Errno::BADF,
]);

/// How many kinds there are.
pub const COUNT: usize = KINDS.len();

/// How a kind ends; nothing for what is no such device.
pub fn expected(kind: u8, source: Source) -> Option<Expect> {
    let kind = usize::from(kind);
    let (expect, _) = KINDS.get(kind)?;
    match source {
        Source::Heap => None,
        Source::Udmabuf { ours: false } if kind >= OLDER => Some(Expect::Failure(&[Errno::NOTTY])),
        Source::Udmabuf { .. } => Some(*expect),
    }
}

/// Makes a request.
///
/// # Errors
///
/// Those of the device, as they are expected.
pub fn request(device: &Udmabuf, memfd: &Memfd, kind: u8, chance: u64) -> Result<()> {
    KINDS[usize::from(kind)].1(device, memfd, chance)
}

fn create(device: &Udmabuf, memfd: &Memfd, offset: usize, size: usize) -> Result<()> {
    device.create(memfd.range(offset, size)).map(drop)
}

fn sealed(device: &Udmabuf, how: impl FnOnce(Builder) -> Builder) -> Result<()> {
    let memfd = how(Memfd::builder(PAGE)).create()?;
    device.create(memfd.whole()).map(drop)
}

/// A request that may make a buffer, which is closed at once.
fn make(device: &Udmabuf, request: u32, address: usize) -> Result<()> {
    sys::ioctl::create(device, request, address).map(drop)
}

/// Bytes of chance, in a structure of a size of chance, with something in the 32 bits at `wrong` that no
/// version knows.
fn garbage_of(device: &Udmabuf, request: u32, chance: u64, wrong: usize) -> Result<()> {
    let mut rng = Rng::with_seed(chance);
    let size = match rng.u8(0..4) {
        0 => rng.usize(0..PAGE),
        1 => rng.usize(0..LARGEST),
        // Around the one that it has.
        _ => udmabuf::size(request) + rng.usize(0..16),
    };
    let mut bytes = vec![0; size];
    match rng.bool() {
        true => rng.fill(&mut bytes),
        false => rng.fill(&mut bytes[..size.min(64)]),
    }
    if let Some(byte) = bytes.get_mut(wrong + 3) {
        *byte |= 0x80;
    }
    let memory = Mapping::memory(LARGEST.next_multiple_of(PAGE))?;
    memory.write(0, &bytes);
    let request = udmabuf::resized(request, size);
    sys::ioctl::udmabuf_in(device, request, &memory, 0).map(drop)
}

/// Lists of items of all kinds, in part right.
fn garbage(device: &Udmabuf, memfd: &Memfd, chance: u64) -> Result<()> {
    const NUMBERS: [u64; 8] = [
        0,
        1,
        PAGE as u64 - 1,
        PAGE as u64,
        3 * PAGE as u64,
        1 << 31,
        1 << 63,
        u64::MAX - PAGE as u64 + 1,
    ];
    let mut rng = Rng::with_seed(chance);
    let directory = fs::open("/", fs::OFlags::RDONLY, fs::Mode::empty())?;
    let files = [
        memfd.whole().memfd,
        memfd.whole().memfd,
        directory.as_raw_fd() as u32,
        !0,
    ];
    let any = |rng: &mut Rng| NUMBERS[rng.usize(0..NUMBERS.len())];
    let items: Vec<Item> = (0..rng.usize(0..5))
        .map(|_| Item {
            memfd: files[rng.usize(0..files.len())],
            offset: any(&mut rng),
            size: any(&mut rng),
        })
        .collect();
    device.create_list_with(&items, rng.u32(..)).map(drop)
}
