// SPDX-License-Identifier: GPL-2.0

//! The plugin itself: connects QEMU's callbacks with the observer.

use std::{
    fs::File,
    process,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};

use qemu_plugin::{
    Args, CallbackFlags, Error, HasCallbacks, Info, MemRW, MemValue, MemoryInfo, PluginId,
    Register, RegisterDescriptor, Result, TranslationBlock, VCPUIndex, qemu_plugin_get_registers,
    qemu_plugin_register_atexit_cb,
};

use crate::{
    filter::Filter,
    instruction::{Instruction, Maintenance},
    line::Actor,
    model::PAGE_SIZE,
    observer::Observer,
    options::Options,
    translation::{LinearMap, Tlb, untag},
};

/// General-purpose registers that are no constant.
const REGISTERS: usize = 31;

/// What is known of one virtual CPU.
#[derive(Default)]
struct Cpu {
    tlb: Mutex<Tlb>,
    /// x0 to x30.
    registers: OnceLock<Vec<RegisterDescriptor<'static>>>,
}

/// What all callbacks share, for as long as QEMU runs.
struct Monitor {
    observer: Mutex<Observer<File>>,
    filter: Arc<Filter>,
    linear: LinearMap,
    cpus: Vec<Cpu>,
}

/// The value is whole even if a holder panicked, which QEMU would not survive anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Monitor {
    fn new(options: &Options, cpus: usize) -> std::result::Result<Self, String> {
        let report = File::create(&options.report)
            .map_err(|error| format!("cannot create {}: {error}", options.report.display()))?;
        let filter = Arc::new(Filter::default());
        Ok(Monitor {
            observer: Mutex::new(Observer::new(report, filter.clone())),
            filter,
            linear: LinearMap::default(),
            cpus: (0..cpus).map(|_| Cpu::default()).collect(),
        })
    }

    fn cpu(&self, index: VCPUIndex) -> &Cpu {
        &self.cpus[index as usize]
    }

    /// An instruction has loaded or stored. Nearly all of them leave through one of the returns.
    fn access(&self, index: VCPUIndex, pc: u64, info: &MemoryInfo<'_>, address: u64) {
        let Some(target) = info.hwaddr(address) else {
            return;
        };
        let physical = target.hwaddr();
        let bytes = 1 << info.size_shift();
        if target.is_io() {
            self.device_access(info, physical, bytes);
            return;
        }
        self.learn(index, address, physical);
        if !self.filter.any() {
            return;
        }
        let first = bytes.min(PAGE_SIZE - physical % PAGE_SIZE);
        self.ram_access(index, pc, info, physical, first);
        if first < bytes
            && let Some(rest) = info.hwaddr(address + first)
        {
            self.ram_access(index, pc, info, rest.hwaddr(), bytes - first);
        }
    }

    fn ram_access(
        &self,
        index: VCPUIndex,
        pc: u64,
        info: &MemoryInfo<'_>,
        physical: u64,
        bytes: u64,
    ) {
        if !self.filter.may_have(physical / PAGE_SIZE) {
            return;
        }
        let range = physical..physical + bytes;
        let by = Actor::Cpu { index, pc };
        let mut observer = lock(&self.observer);
        if info.is_store() {
            observer.store(&range, by);
        } else {
            observer.load(&range, by);
        }
    }

    fn device_access(&self, info: &MemoryInfo<'_>, physical: u64, bytes: u64) {
        let value = match info.value() {
            MemValue::U32(value) => u64::from(value),
            MemValue::U64(value) => value,
            // edu has no registers of another size.
            _ => return,
        };
        let mut observer = lock(&self.observer);
        if info.is_store() {
            observer.device_store(physical, bytes, value);
        } else {
            observer.device_load(physical, value);
        }
    }

    fn learn(&self, index: VCPUIndex, address: u64, physical: u64) {
        let address = untag(address);
        match self.linear.learn(address, physical) {
            Ok(true) => {}
            Ok(false) => lock(&self.cpu(index).tlb).learn(address, physical),
            Err(odd) => lock(&self.observer).noise(odd),
        }
    }

    fn maintain(&self, index: VCPUIndex, pc: u64, operation: Maintenance, register: u32) {
        if !self.filter.any() {
            return;
        }
        let physical = self
            .register(index, register)
            .map(untag)
            .and_then(|address| {
                self.linear
                    .translate(address)
                    .or_else(|| lock(&self.cpu(index).tlb).translate(address))
            });
        let by = Actor::Cpu { index, pc };
        lock(&self.observer).maintain(operation, physical, by);
    }

    /// The value of a general-purpose register; number 31 is zero.
    fn register(&self, index: VCPUIndex, number: u32) -> Option<u64> {
        let Some(register) = self.cpu(index).registers.get()?.get(number as usize) else {
            return Some(0);
        };
        let bytes = register.read().ok()?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn forget(&self) {
        for cpu in &self.cpus {
            lock(&cpu.tlb).forget();
        }
    }
}

/// The plugin, from its load on; it has a monitor once its options are read.
struct CacheModel(Option<&'static Monitor>);

impl Register for CacheModel {
    fn register(&mut self, id: PluginId, args: &Args, info: &Info) -> Result<()> {
        let cpus = info.system.as_ref().map_or(1, |system| system.max_vcpus);
        let monitor = Options::parse(&args.raw, &info.target_name)
            .and_then(|options| Monitor::new(&options, cpus as usize));
        let monitor: &'static Monitor = match monitor {
            Ok(monitor) => Box::leak(Box::new(monitor)),
            Err(reason) => {
                // The crate would make a panic of an error, several lines that tell nobody what
                // to do. QEMU itself exits when a plugin does not load, so this is no different.
                eprintln!("cache-model: {reason}");
                process::exit(1);
            }
        };
        self.0 = Some(monitor);
        qemu_plugin_register_atexit_cb(id, |_| lock(&monitor.observer).finish())
    }
}

impl HasCallbacks for CacheModel {
    fn on_vcpu_init(&mut self, _: PluginId, index: VCPUIndex) -> Result<()> {
        let Some(monitor) = self.0 else {
            return Ok(());
        };
        let all = qemu_plugin_get_registers()?;
        let registers: Vec<_> = (0..REGISTERS)
            .filter_map(|number| {
                let name = format!("x{number}");
                all.iter().find(|register| register.name == name).cloned()
            })
            .collect();
        if registers.len() != REGISTERS {
            return Err(Error::RegisterReadError { name: "x0".into() });
        }
        // A CPU that is initialised twice has the registers it had.
        let _ = monitor.cpu(index).registers.set(registers);
        Ok(())
    }

    fn on_translation_block_translate(&mut self, _: PluginId, tb: TranslationBlock) -> Result<()> {
        let Some(monitor) = self.0 else {
            return Ok(());
        };
        for instruction in tb.instructions() {
            let mut word = [0; 4];
            if instruction.read_data(&mut word) != word.len() {
                continue;
            }
            let pc = instruction.vaddr();
            match Instruction::decode(u32::from_le_bytes(word)) {
                None => {}
                Some(Instruction::Access) => instruction.register_memory_access_callback(
                    move |index, info, address| monitor.access(index, pc, &info, address),
                    MemRW::QEMU_PLUGIN_MEM_RW,
                ),
                Some(Instruction::Maintenance {
                    operation,
                    register,
                }) => instruction.register_execute_callback_flags(
                    move |index| monitor.maintain(index, pc, operation, register),
                    CallbackFlags::QEMU_PLUGIN_CB_R_REGS,
                ),
                Some(Instruction::InvalidateTranslations) => {
                    instruction.register_execute_callback(|_| monitor.forget());
                }
                Some(Instruction::SwitchUserTables) => {
                    instruction.register_execute_callback(|index| {
                        lock(&monitor.cpu(index).tlb).forget_user();
                    });
                }
            }
        }
        Ok(())
    }
}

qemu_plugin::register!(CacheModel(None));
