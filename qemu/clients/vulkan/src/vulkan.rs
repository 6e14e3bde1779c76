// SPDX-License-Identifier: GPL-2.0

//! As much of Vulkan as sharing memory takes. Objects outlive what is made from them, which
//! borrows them; nothing else that Vulkan forbids can be said through this interface.

#![expect(unsafe_code, reason = "every function of Vulkan is unsafe")]

use std::{
    ffi::CStr,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    ptr,
};

use anyhow::{Context, Result, bail};
use ash::{khr::external_memory_fd, vk};

/// What shared memory is shared as.
const DMA_BUF: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;

/// What the devices have to be able to do.
const EXTENSIONS: &[&CStr] = &[
    ash::khr::external_memory_fd::NAME,
    ash::ext::external_memory_dma_buf::NAME,
];

/// What the buffers are for.
const USAGE: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(
    vk::BufferUsageFlags::TRANSFER_SRC.as_raw() | vk::BufferUsageFlags::TRANSFER_DST.as_raw(),
);

/// The only queue family that lavapipe has.
const QUEUE_FAMILY: u32 = 0;

/// The library.
pub struct Instance {
    instance: ash::Instance,
    physical: vk::PhysicalDevice,
    name: String,
    /// Keeps the library loaded.
    _entry: ash::Entry,
}

impl Instance {
    /// Loads it, and takes the first device that it has.
    pub fn new() -> Result<Self> {
        // SAFETY: The library of that name is Vulkan's loader, which has no demands on its user.
        let entry = unsafe { ash::Entry::load() }.context("no Vulkan loader")?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
        let information = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: The information is valid, and asks for no layers and no extensions.
        let instance = unsafe { entry.create_instance(&information, None) };
        let instance = instance.context("no Vulkan instance")?;
        // SAFETY: The instance is alive.
        let devices = unsafe { instance.enumerate_physical_devices() };
        let Some(&physical) = devices.context("no list of devices")?.first() else {
            bail!("there is no Vulkan device");
        };
        // SAFETY: The device is one of the instance's.
        let properties = unsafe { instance.get_physical_device_properties(physical) };
        let name = properties.device_name_as_c_str().unwrap_or_default();
        Ok(Instance {
            name: name.to_string_lossy().into_owned(),
            instance,
            physical,
            _entry: entry,
        })
    }

    /// Whether memory of the device can leave it as a dma-buf.
    fn must_export(&self) -> Result<()> {
        let wanted = vk::PhysicalDeviceExternalBufferInfo::default()
            .usage(USAGE)
            .handle_type(DMA_BUF);
        let mut found = vk::ExternalBufferProperties::default();
        // SAFETY: The device is one of the instance's, and both structures are valid.
        unsafe {
            self.instance
                .get_physical_device_external_buffer_properties(self.physical, &wanted, &mut found);
        }
        let features = found.external_memory_properties.external_memory_features;
        if !features.contains(vk::ExternalMemoryFeatureFlags::EXPORTABLE) {
            bail!("{} does not export dma-bufs", self.name);
        }
        Ok(())
    }

    /// A device of its own.
    pub fn device(&self) -> Result<Device<'_>> {
        self.must_export()?;
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(QUEUE_FAMILY)
            .queue_priorities(&[1.0])];
        let extensions: Vec<_> = EXTENSIONS.iter().map(|name| name.as_ptr()).collect();
        let information = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions);
        // SAFETY: The device is one of the instance's, and the information is valid.
        let device = unsafe {
            self.instance
                .create_device(self.physical, &information, None)
        };
        let device = device.with_context(|| format!("{} lacks dma-bufs", self.name))?;
        Ok(Device {
            descriptors: external_memory_fd::Device::new(&self.instance, &device),
            device,
            instance: self,
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: Whatever was made from it borrows it, so there is nothing left.
        unsafe { self.instance.destroy_instance(None) };
    }
}

/// A device.
pub struct Device<'a> {
    device: ash::Device,
    descriptors: external_memory_fd::Device,
    instance: &'a Instance,
}

impl Device<'_> {
    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.instance.name
    }

    /// New memory of that size, which can be exported.
    pub fn allocate(&self, size: usize) -> Result<Memory<'_>> {
        let mut export = vk::ExportMemoryAllocateInfo::default().handle_types(DMA_BUF);
        self.memory(size, |information| information.push_next(&mut export))
    }

    /// Memory of that size that somebody has exported.
    pub fn import(&self, size: usize, from: OwnedFd) -> Result<Memory<'_>> {
        // The device owns the descriptor once it has succeeded; before it fails, the process ends.
        let mut import = vk::ImportMemoryFdInfoKHR::default()
            .handle_type(DMA_BUF)
            .fd(from.into_raw_fd());
        self.memory(size, |information| information.push_next(&mut import))
    }

    /// The bytes of memory, as the device copies them into other memory.
    pub fn copy(&self, from: &Memory<'_>, size: usize) -> Result<Vec<u8>> {
        let to = self.memory(size, |information| information)?;
        let region = vk::BufferCopy::default().size(size as u64);
        let device = &self.device;
        // SAFETY: The pool, its command buffer and the queue are this device's; both buffers have
        // memory of at least `size` bytes, and live until the queue has nothing left to do.
        unsafe {
            let pool = vk::CommandPoolCreateInfo::default().queue_family_index(QUEUE_FAMILY);
            let pool = device.create_command_pool(&pool, None)?;
            let wanted = vk::CommandBufferAllocateInfo::default()
                .command_pool(pool)
                .command_buffer_count(1);
            let commands = device.allocate_command_buffers(&wanted)?;
            device.begin_command_buffer(commands[0], &vk::CommandBufferBeginInfo::default())?;
            device.cmd_copy_buffer(commands[0], from.buffer, to.buffer, &[region]);
            device.end_command_buffer(commands[0])?;
            let queue = device.get_device_queue(QUEUE_FAMILY, 0);
            let work = vk::SubmitInfo::default().command_buffers(&commands);
            device.queue_submit(queue, &[work], vk::Fence::null())?;
            device.queue_wait_idle(queue)?;
            device.destroy_command_pool(pool, None);
        }
        Ok(to.read())
    }

    /// Memory with a buffer of that size in it; what is said about the memory is the caller's.
    fn memory<'a>(
        &self,
        size: usize,
        say: impl FnOnce(vk::MemoryAllocateInfo<'a>) -> vk::MemoryAllocateInfo<'a>,
    ) -> Result<Memory<'_>> {
        let mut shared = vk::ExternalMemoryBufferCreateInfo::default().handle_types(DMA_BUF);
        let wanted = vk::BufferCreateInfo::default()
            .size(size as u64)
            .usage(USAGE)
            .push_next(&mut shared);
        // SAFETY: The device is alive, the information is valid.
        let buffer = unsafe { self.device.create_buffer(&wanted, None) }.context("no buffer")?;
        // SAFETY: The buffer is this device's.
        let needs = unsafe { self.device.get_buffer_memory_requirements(buffer) };
        let information = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(needs.memory_type_bits.trailing_zeros());
        // SAFETY: The information is valid; a descriptor in it is the caller's to give.
        let memory = unsafe { self.device.allocate_memory(&say(information), None) };
        let memory = memory.context("no memory")?;
        // SAFETY: Both are this device's, and the memory is as large as the buffer needs.
        unsafe { self.device.bind_buffer_memory(buffer, memory, 0) }.context("no binding")?;
        let flags = vk::MemoryMapFlags::empty();
        // SAFETY: The memory is this device's, at least that long, and not mapped yet.
        let place = unsafe { self.device.map_memory(memory, 0, size as u64, flags) };
        Ok(Memory {
            device: self,
            buffer,
            memory,
            size,
            place: place.context("no mapping")?.cast(),
        })
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        // SAFETY: Whatever was made from it borrows it, so there is nothing left.
        unsafe { self.device.destroy_device(None) };
    }
}

/// Memory of a device with a buffer in it, mapped.
pub struct Memory<'a> {
    device: &'a Device<'a>,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    size: usize,
    place: *mut u8,
}

impl Memory<'_> {
    /// A dma-buf of it.
    pub fn export(&self) -> Result<OwnedFd> {
        let wanted = vk::MemoryGetFdInfoKHR::default()
            .memory(self.memory)
            .handle_type(DMA_BUF);
        // SAFETY: The memory is this device's, and was allocated to be exported.
        let number = unsafe { self.device.descriptors.get_memory_fd(&wanted) };
        // SAFETY: The descriptor is new, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(number.context("no dma-buf")?) })
    }

    /// Writes bytes, the first at that place.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(bytes.len() <= self.size && at <= self.size - bytes.len());
        // SAFETY: The mapping is `size` bytes long and lives as long as this; what is copied lies
        // in it. No reference into it is ever made, since other mappings lead to the same pages.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.place.add(at), bytes.len()) };
    }

    /// All of its bytes, as its mapping shows them now.
    pub fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size];
        // SAFETY: As in `write`.
        unsafe { ptr::copy_nonoverlapping(self.place, bytes.as_mut_ptr(), self.size) };
        bytes
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // SAFETY: Both are this device's, and the queue has nothing left to do with them.
        // Freeing unmaps.
        unsafe {
            self.device.device.destroy_buffer(self.buffer, None);
            self.device.device.free_memory(self.memory, None);
        }
    }
}
