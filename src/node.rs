// SPDX-License-Identifier: GPL-2.0

//! The device node.

use crate::{
    abi::{
        self,
        Create,
        CreateExt,
        Item,
        ListHead,
        Query,
        SyncRange, //
    },
    checker::Check,
    create::create,
    direction::Direction,
    exporter::{
        Traits,
        Udmabuf, //
    },
    ffi::{
        compat::eopnotsupp,
        dma_buf::DmaBuf,
        misc::Registration,
        params, signal,
        uaccess::{
            read_more,
            read_struct,
            write_struct, //
        },
    },
    mode::Mode,
    query,
    span::Span, //
};
use core::mem::size_of;
use kernel::{
    fs::File,
    ioctl::{
        _IOC_DIR,
        _IOC_NR,
        _IOC_SIZE,
        _IOC_TYPE, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    prelude::*,
    transmute::FromBytes,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// The names that the node in `/dev` may have: one of its own, beside the C driver's, and the one that
/// programs look for.
const NAMES: [&CStr; 2] = [c"udmabuf-rs", c"udmabuf"];

/// The node, while the module is loaded.
pub(crate) struct Node {
    _registration: Pin<KBox<Registration<NodeFile>>>,
}

impl Node {
    /// Registers the node under the name that the module's parameter says.
    pub(crate) fn register() -> Result<Self> {
        let asked = params::node();
        let Some(name) = NAMES.into_iter().find(|&name| name == asked) else {
            pr_err!("node= is udmabuf-rs or udmabuf, and nothing else\n");
            return Err(EINVAL);
        };
        let registration = Registration::new(name);
        let registration = KBox::pin_init(registration, GFP_KERNEL).inspect_err(|&error| {
            if error == EEXIST {
                pr_err!(
                    "/dev/{} is another driver's: boot with initcall_blacklist=udmabuf_dev_init, or load without node=\n",
                    name
                );
            }
        })?;
        Ok(Self {
            _registration: registration,
        })
    }
}

/// An open file of the node; it has no state, and how it was opened does not matter.
pub(crate) struct NodeFile;

#[vtable]
impl MiscDevice for NodeFile {
    type Ptr = ();

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<()> {
        Ok(())
    }

    /// Structures are the same for 32-bit programs, so this serves them too.
    fn ioctl(_state: (), _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let arg = UserPtr::from_addr(arg);
        match cmd {
            abi::CREATE => create_single(arg),
            abi::CREATE_LIST => create_list(arg),
            _ => match known_call(cmd) {
                (abi::CREATE_EXT, size) => create_ext(read_argument(arg, size)?),
                (abi::QUERY, size) => query_buffer(arg, size),
                (abi::SYNC_RANGE, size) => sync_range(read_argument(arg, size)?),
                _ => Err(ENOTTY),
            },
        }
    }
}

/// An ioctl whose argument may be another version's: what it is called here, and how many bytes the
/// program has.
fn known_call(cmd: u32) -> (u32, usize) {
    let name = |cmd| (_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd));
    let known = [abi::CREATE_EXT, abi::QUERY, abi::SYNC_RANGE];
    let known = known.into_iter().find(|&known| name(known) == name(cmd));
    (known.unwrap_or(cmd), _IOC_SIZE(cmd))
}

/// # Errors
///
/// `EINVAL` for less than the first version had, and those of [`read_struct`].
fn read_argument<T: FromBytes + Default>(arg: UserPtr, size: usize) -> Result<T> {
    // `T` is still the first version.
    if size < size_of::<T>() {
        return Err(EINVAL);
    }
    read_struct(arg, size)
}

/// What an ioctl returns that has made a buffer.
fn descriptor(fd: u32) -> isize {
    // CAST: A descriptor is not negative.
    fd as isize
}

/// `UDMABUF_CREATE`
fn create_single(arg: UserPtr) -> Result<isize> {
    let request: Create = UserSlice::new(arg, size_of::<Create>()).reader().read()?;
    let limits = params::limits();
    let traits = traits(Mode::DmaApi, 0);
    create(&[request.into()], request.flags, traits, limits).map(descriptor)
}

/// `UDMABUF_CREATE_EXT`, which refuses what it does not know.
fn create_ext(request: CreateExt) -> Result<isize> {
    let limits = params::limits();
    if request.flags & !abi::FLAGS_EXT != 0 || request.reserved != 0 || request.count == 0 {
        return Err(EINVAL);
    }
    let mode = match Mode::offered(request.mode) {
        Some(mode) => mode,
        None if request.mode == abi::MODE_MEMORY_COHERENT => return Err(eopnotsupp()),
        None => return Err(EINVAL),
    };
    limits.check_count(request.count)?;
    let items = usize::try_from(request.items).map_err(|_| EFAULT)?;
    let items = read_items(UserPtr::from_addr(items), request.count)?;
    if items.iter().any(|item| item.pad != 0) {
        return Err(EINVAL);
    }
    let traits = traits(mode, request.flags);
    create(&items, request.flags, traits, limits).map(descriptor)
}

/// A buffer in `mode`, as `flags` and the module's parameter ask for, whichever asks for more.
fn traits(mode: Mode, flags: u32) -> Traits {
    let check = match flags & (abi::FLAGS_CHECK | abi::FLAGS_CHECK_STRICT) {
        0 => Check::Off,
        abi::FLAGS_CHECK => Check::Report,
        _ => Check::Strict,
    };
    Traits {
        mode,
        check: check.max(Check::of_number(params::check())),
        is_automatic: flags & abi::FLAGS_AUTO_SYNC != 0,
    }
}

/// `UDMABUF_QUERY`
fn query_buffer(arg: UserPtr, size: usize) -> Result<isize> {
    let request: Query = read_argument(arg, size)?;
    if request.flags != 0 {
        return Err(EINVAL);
    }
    let mut answer = query::driver(request.fd);
    if request.fd != -1 {
        let buffer = DmaBuf::get(request.fd)?;
        let buffer = buffer.exported_by::<Udmabuf>()?;
        query::buffer(&mut answer, buffer.exporter(), buffer.pages())?;
    }
    write_struct(arg, size, &answer)?;
    Ok(0)
}

/// As `DMA_BUF_IOCTL_SYNC` (`dma_buf_ioctl()`), for a part.
fn sync_range(request: SyncRange) -> Result<isize> {
    const ALL: u32 = abi::SYNC_RW | abi::SYNC_END;

    let buffer = DmaBuf::get(request.fd)?;
    let buffer = buffer.exported_by::<Udmabuf>()?;
    if request.flags & !ALL != 0 {
        return Err(EINVAL);
    }
    let access = match request.flags & abi::SYNC_RW {
        abi::SYNC_READ => Direction::FromDevice,
        abi::SYNC_WRITE => Direction::ToDevice,
        abi::SYNC_RW => Direction::Bidirectional,
        _ => return Err(EINVAL),
    };
    let pages = buffer.pages().extents().pages();
    let span = Span::new(request.offset, request.length, pages)?;
    if span.is_empty() {
        return Ok(0);
    }
    match request.flags & abi::SYNC_END {
        0 => buffer.begin_cpu_access(access, span)?,
        _ => buffer.end_cpu_access(access, span)?,
    }
    Ok(0)
}

/// Items that are read before somebody looks for signals again.
const ITEMS_AT_ONCE: usize = 1024;

/// Header and items are each read once, so what is checked is what is used.
fn create_list(arg: UserPtr) -> Result<isize> {
    const HEAD: usize = size_of::<ListHead>();

    let limits = params::limits();
    let head: ListHead = UserSlice::new(arg, HEAD).reader().read()?;
    limits.check_count(head.count)?;
    let items = read_items(arg.wrapping_byte_add(HEAD), head.count)?;
    create(&items, head.flags, traits(Mode::DmaApi, 0), limits).map(descriptor)
}

/// Reads the items of a list.
fn read_items(from: UserPtr, count: u32) -> Result<KVVec<Item>> {
    // CAST: 32 bits.
    let count = count as usize;
    let mut items = KVVec::new();
    // Very many may be allowed: room is made as they come, so that a number without items behind it
    // costs nothing.
    while items.len() < count {
        signal::check_killed()?;
        let more = (count - items.len()).min(ITEMS_AT_ONCE);
        let next = from.wrapping_byte_add(items.len() * size_of::<Item>());
        read_more(&mut items, more, next)?;
    }
    Ok(items)
}
