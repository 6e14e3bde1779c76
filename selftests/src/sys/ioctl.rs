// SPDX-License-Identifier: GPL-2.0

//! ioctls of the kinds of files that the tests use.

use std::ffi::c_int;
use std::ffi::c_void;
use std::os::fd::AsFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use rustix::io::Result;
use rustix::ioctl;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;

use crate::Mapping;
use crate::PAGE;
use crate::abi;
use crate::udmabuf;

/// One call: a request number and the address it is given. The result is the returned number.
struct Call {
    request: u32,
    address: *mut c_void,
}

// SAFETY: Only carries the two values through; the functions below say why each use is sound.
unsafe impl Ioctl for Call {
    type Output = c_int;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.request
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.address
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<c_int> {
        Ok(out)
    }
}

/// A structure of the ABI with the request that takes it.
///
/// # Safety
///
/// `NUMBER` must be a request whose argument is a pointer to `Self`.
pub unsafe trait Request {
    /// The request number.
    const NUMBER: u32;
}

/// Implements [`Request`] for structures that have exactly one request.
macro_rules! request {
    ($($type:ident = $number:ident;)*) => {$(
        // SAFETY: The pair stands side by side in the ABI header.
        unsafe impl Request for abi::$type {
            const NUMBER: u32 = abi::$number;
        }
    )*};
}

request! {
    dma_buf_sync = REQUEST_DMA_BUF_SYNC;
    dma_buf_import_sync_file = REQUEST_DMA_BUF_IMPORT_SYNC_FILE;
    dma_buf_export_sync_file = REQUEST_DMA_BUF_EXPORT_SYNC_FILE;
    dma_heap_allocation_data = REQUEST_DMA_HEAP_ALLOC;
    drm_dumb_buffer = REQUEST_DRM_MODE_CREATE_DUMB;
    edu_query = REQUEST_EDU_QUERY;
    edu_mask = REQUEST_EDU_SET_MASK;
    edu_attach = REQUEST_EDU_ATTACH;
    edu_map = REQUEST_EDU_MAP;
    edu_dma = REQUEST_EDU_DMA;
    floor_pin = REQUEST_FLOOR_PIN;
    udmabuf_query = REQUEST_UDMABUF_QUERY;
    udmabuf_sync_range = REQUEST_UDMABUF_SYNC_RANGE;
    vgem_attach = REQUEST_VGEM_FENCE_ATTACH;
    vgem_signal = REQUEST_VGEM_FENCE_SIGNAL;
    v4l2_format = REQUEST_V4L2_SET_FORMAT;
    v4l2_requestbuffers = REQUEST_V4L2_REQUEST_BUFFERS;
    edu_access = REQUEST_EDU_ACCESS;
}

/// Makes the request that belongs to the structure.
///
/// # Errors
///
/// Those of the file that `fd` is; ENOTTY where it does not know the request.
pub fn call<T: Request>(fd: impl AsFd, argument: &mut T) -> Result<c_int> {
    let call = Call {
        request: T::NUMBER,
        address: std::ptr::from_mut(argument).cast(),
    };
    // SAFETY: `Request` pairs the number with the type, and the reference is valid for writing.
    unsafe { ioctl::ioctl(fd, call) }
}

/// The letter of a udmabuf device's requests, and the numbers of those that do not return a
/// descriptor.
const UDMABUF: u32 = b'u' as u32;
const QUERY: u32 = 0x48;
const SYNC_RANGE: u32 = 0x4a;

/// Letter and number of a request, whatever its direction and size.
fn name(request: u32) -> (u32, u32) {
    (request >> 8 & 0xff, request & 0xff)
}

/// Whether a request, if it succeeds, returns a descriptor.
pub(super) fn returns_descriptor(request: u32) -> bool {
    ![(UDMABUF, QUERY), (UDMABUF, SYNC_RANGE)].contains(&name(request))
}

/// Whether no program can have memory there: the first page, and the kernel's half.
fn is_nowhere(address: usize) -> bool {
    address < PAGE || address > isize::MAX as usize
}

/// Calls a udmabuf device with any request number and any address.
///
/// # Errors
///
/// Those of the driver.
///
/// # Panics
///
/// On a request that writes to its argument, where there may be memory.
pub fn udmabuf(device: impl AsFd, request: u32, address: usize) -> Result<c_int> {
    let writes = name(request) == (UDMABUF, QUERY);
    assert!(!writes || is_nowhere(address), "it would write to memory");
    let call = Call {
        request,
        address: address as *mut c_void,
    };
    // SAFETY: A udmabuf device only reads through the address, but for the request that is not
    // made where there is memory; and a bad one is EFAULT. The argument of a request it does not know
    // is not looked at.
    unsafe { ioctl::ioctl(device, call) }
}

/// Calls a udmabuf device with any request number, for an argument that is in a mapping and may be
/// written.
///
/// # Errors
///
/// Those of the driver.
///
/// # Panics
///
/// When the argument is not within the mapping.
pub fn udmabuf_in(device: impl AsFd, request: u32, memory: &Mapping, at: usize) -> Result<c_int> {
    assert!(
        at + udmabuf::size(request) <= memory.len(),
        "outside the mapping"
    );
    let call = Call {
        request,
        address: (memory.address() + at) as *mut c_void,
    };
    // SAFETY: The device writes no more than the request's size, all of which is the mapping's.
    unsafe { ioctl::ioctl(device, call) }
}

/// Calls a udmabuf device and takes the dma-buf that it returns.
///
/// # Errors
///
/// Those of the driver.
///
/// # Panics
///
/// On a request that returns none.
pub fn create(device: impl AsFd, request: u32, address: usize) -> Result<OwnedFd> {
    assert!(returns_descriptor(request), "it returns no descriptor");
    let fd = udmabuf(device, request, address)?;
    // SAFETY: The other requests return a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls a dma-buf heap and takes the dma-buf that it returns.
///
/// # Errors
///
/// Those of the heap.
pub fn heap_allocate(
    heap: impl AsFd,
    request: &mut abi::dma_heap_allocation_data,
) -> Result<OwnedFd> {
    call(heap, request)?;
    // SAFETY: The request returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd as c_int) })
}

/// Calls a dma-buf with any request number, for an argument that it only reads.
///
/// # Errors
///
/// Those of the dma-buf.
///
/// # Panics
///
/// On a request that writes to its argument.
pub fn dma_buf(buffer: impl AsFd, request: u32, address: usize) -> Result<c_int> {
    // _IOC_READ, from the caller's view: the kernel writes the argument.
    assert_eq!(request >> 31, 0, "the request would write to memory");
    let call = Call {
        request,
        address: address as *mut c_void,
    };
    // SAFETY: The kernel only reads through the address, and a bad one is EFAULT.
    unsafe { ioctl::ioctl(buffer, call) }
}

/// EDU_LOAD: copies bytes of the caller into the device's own memory.
///
/// # Errors
///
/// EINVAL when the range does not fit, and the other errors of the importer.
pub fn edu_load(importer: impl AsFd, device: u32, offset: u32, bytes: &[u8]) -> Result<()> {
    let mut memory = abi::edu_memory {
        device,
        offset,
        length: bytes.len() as u32,
        reserved: 0,
        data: bytes.as_ptr() as u64,
    };
    let call = Call {
        request: abi::REQUEST_EDU_LOAD,
        address: std::ptr::from_mut(&mut memory).cast(),
    };
    // SAFETY: The structure is the request's, and `data` is readable for `length` bytes.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_STORE: copies the device's own memory to the caller.
///
/// # Errors
///
/// As [`edu_load`].
pub fn edu_store(importer: impl AsFd, device: u32, offset: u32, bytes: &mut [u8]) -> Result<()> {
    let mut memory = abi::edu_memory {
        device,
        offset,
        length: bytes.len() as u32,
        reserved: 0,
        data: bytes.as_mut_ptr() as u64,
    };
    let call = Call {
        request: abi::REQUEST_EDU_STORE,
        address: std::ptr::from_mut(&mut memory).cast(),
    };
    // SAFETY: The structure is the request's, and `data` is writable for `length` bytes.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_NOTE: writes words to a register that does nothing with them.
///
/// # Errors
///
/// EINVAL for no words or too many, ENOTTY for an importer that does not know the request.
pub fn edu_note(importer: impl AsFd, device: u32, words: &[u32]) -> Result<()> {
    let mut note = abi::edu_note {
        device,
        count: words.len() as u32,
        words: words.as_ptr() as u64,
    };
    let call = Call {
        request: abi::REQUEST_EDU_NOTE,
        address: std::ptr::from_mut(&mut note).cast(),
    };
    // SAFETY: The structure is the request's, and `words` is readable for `count` words.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_DETACH or EDU_UNMAP: gives a handle back.
///
/// # Errors
///
/// ENOENT for an unknown handle, EBUSY for one in use.
///
/// # Panics
///
/// On any other request.
pub fn edu_release(importer: impl AsFd, request: u32, mut handle: u32) -> Result<()> {
    assert!(matches!(
        request,
        abi::REQUEST_EDU_DETACH | abi::REQUEST_EDU_UNMAP
    ));
    let call = Call {
        request,
        address: std::ptr::from_mut(&mut handle).cast(),
    };
    // SAFETY: Both requests read one 32-bit handle.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_DECLARE_ATOMICS: the device of an attachment takes part in the CPU's atomic operations.
///
/// # Errors
///
/// ENOENT for an unknown handle, EOPNOTSUPP where no driver has the call, and those of the driver.
pub fn edu_declare_atomics(importer: impl AsFd, mut handle: u32) -> Result<()> {
    let call = Call {
        request: abi::REQUEST_EDU_DECLARE_ATOMICS,
        address: std::ptr::from_mut(&mut handle).cast(),
    };
    // SAFETY: The request reads one 32-bit handle.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_FORGET: the driver gives its reference to a mapped buffer back too early.
///
/// # Errors
///
/// ENOENT for an unknown handle, EINVAL for an attachment without mappings.
pub fn edu_forget(importer: impl AsFd, mut handle: u32) -> Result<()> {
    let call = Call {
        request: abi::REQUEST_EDU_FORGET,
        address: std::ptr::from_mut(&mut handle).cast(),
    };
    // SAFETY: The request reads one 32-bit handle.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_MAP_VECS: what `call` does with the same structure, by an array of `struct dma_vec`.
///
/// # Errors
///
/// ENOENT for an unknown handle, EOPNOTSUPP where no driver has the call, and those of the driver.
pub fn edu_map_vecs(importer: impl AsFd, map: &mut abi::edu_map) -> Result<()> {
    let call = Call {
        request: abi::REQUEST_EDU_MAP_VECS,
        address: std::ptr::from_mut(map).cast(),
    };
    // SAFETY: The structure is the request's, and the reference is valid for writing.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_VMAP to the buffer: the kernel writes `bytes` to it.
///
/// # Errors
///
/// EINVAL when the range does not fit, and those of the exporter.
pub fn edu_vmap_write(importer: impl AsFd, fd: c_int, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut vmap = abi::edu_vmap {
        fd,
        direction: abi::EDU_TO_DEVICE,
        offset,
        length: bytes.len() as u32,
        reserved: 0,
        data: bytes.as_ptr() as u64,
    };
    let call = Call {
        request: abi::REQUEST_EDU_VMAP,
        address: std::ptr::from_mut(&mut vmap).cast(),
    };
    // SAFETY: The structure is the request's; in this direction `data` is only read.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_VMAP from the buffer: the kernel reads it into `bytes`.
///
/// # Errors
///
/// As [`edu_vmap_write`].
pub fn edu_vmap_read(importer: impl AsFd, fd: c_int, offset: u64, bytes: &mut [u8]) -> Result<()> {
    let mut vmap = abi::edu_vmap {
        fd,
        direction: abi::EDU_FROM_DEVICE,
        offset,
        length: bytes.len() as u32,
        reserved: 0,
        data: bytes.as_mut_ptr() as u64,
    };
    let call = Call {
        request: abi::REQUEST_EDU_VMAP,
        address: std::ptr::from_mut(&mut vmap).cast(),
    };
    // SAFETY: The structure is the request's, and `data` is writable for `length` bytes.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// EDU_FRAMES: which page frames are behind the first pages of a buffer.
///
/// # Errors
///
/// EINVAL when the buffer has fewer pages, and those of the exporter.
pub fn edu_frames(importer: impl AsFd, fd: c_int, frames: &mut [u64]) -> Result<()> {
    let mut argument = abi::edu_frames {
        fd,
        count: frames.len() as u32,
        first: 0,
        frames: frames.as_mut_ptr() as u64,
    };
    let call = Call {
        request: abi::REQUEST_EDU_FRAMES,
        address: std::ptr::from_mut(&mut argument).cast(),
    };
    // SAFETY: The structure is the request's, and `frames` is writable for `count` numbers.
    unsafe { ioctl::ioctl(importer, call) }.map(drop)
}

/// DMA_BUF_IOCTL_EXPORT_SYNC_FILE: what there is to wait for before reading the buffer, as a sync
/// file.
///
/// # Errors
///
/// ENOMEM, EMFILE.
pub fn export_sync_file(buffer: impl AsFd) -> Result<OwnedFd> {
    let mut export = abi::dma_buf_export_sync_file {
        flags: abi::SYNC_READ,
        fd: -1,
    };
    call(buffer, &mut export)?;
    // SAFETY: The kernel has put a new descriptor there that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(export.fd) })
}

/// DRM_IOCTL_PRIME_HANDLE_TO_FD: a buffer of a graphics driver as a dma-buf.
///
/// # Errors
///
/// ENOENT for a handle that is none, ENOMEM, EMFILE.
pub fn drm_export(card: impl AsFd, handle: u32) -> Result<OwnedFd> {
    let mut prime = abi::drm_prime {
        handle,
        ..Default::default()
    };
    let call = Call {
        request: abi::REQUEST_DRM_PRIME_HANDLE_TO_FD,
        address: std::ptr::from_mut(&mut prime).cast(),
    };
    // SAFETY: The structure is the request's.
    unsafe { ioctl::ioctl(card, call) }?;
    // SAFETY: The kernel has put a new descriptor there that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(prime.fd) })
}

/// DRM_IOCTL_VERSION: the name of a graphics driver.
///
/// # Errors
///
/// ENOTTY for other files.
pub fn drm_name(card: impl AsFd) -> Result<String> {
    let mut name = [0u8; 32];
    let mut version = abi::drm_version_of {
        name_length: name.len() as _,
        name: name.as_mut_ptr().cast(),
        ..Default::default()
    };
    let call = Call {
        request: abi::REQUEST_DRM_VERSION,
        address: std::ptr::from_mut(&mut version).cast(),
    };
    // SAFETY: The structure is the request's, and `name` is writable for what it says.
    unsafe { ioctl::ioctl(card, call) }?;
    let name = &name[..name.len().min(version.name_length)];
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// SW_SYNC_IOC_CREATE_FENCE: makes a fence that signals when the timeline reaches `value`; returns
/// it as a sync file.
///
/// # Errors
///
/// ENOMEM, EMFILE.
pub fn sw_sync_fence(timeline: impl AsFd, value: u32) -> Result<OwnedFd> {
    let mut fence = abi::sw_sync_fence {
        value,
        ..Default::default()
    };
    let call = Call {
        request: abi::REQUEST_SW_SYNC_CREATE_FENCE,
        address: std::ptr::from_mut(&mut fence).cast(),
    };
    // SAFETY: The structure is the request's.
    unsafe { ioctl::ioctl(timeline, call) }?;
    // SAFETY: The kernel has put a new descriptor there that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fence.fence) })
}

/// SW_SYNC_IOC_INC: lets the timeline advance.
///
/// # Errors
///
/// Those of the timeline.
pub fn sw_sync_increment(timeline: impl AsFd, mut by: u32) -> Result<()> {
    let call = Call {
        request: abi::REQUEST_SW_SYNC_INCREMENT,
        address: std::ptr::from_mut(&mut by).cast(),
    };
    // SAFETY: The request reads one 32-bit number.
    unsafe { ioctl::ioctl(timeline, call) }.map(drop)
}
