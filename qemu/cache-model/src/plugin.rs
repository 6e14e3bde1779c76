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
    deferred::{Group, Operation, Queue},
    filter::Filter,
    instruction::{Instruction, Maintenance},
    line::Actor,
    memory,
    model::PAGE_SIZE,
    observer::Observer,
    options::Options,
    translation::{LinearMap, Tables, Target, Unreadable, is_upper, untag},
};

/// General-purpose registers that are no constant.
const GENERAL: usize = 31;

/// The registers of a CPU that matter.
struct Registers {
    /// x0 to x30.
    general: Vec<RegisterDescriptor<'static>>,
    /// TTBR0_EL1, TTBR1_EL1, TCR_EL1.
    tables: [RegisterDescriptor<'static>; 3],
}

impl Registers {
    fn find() -> Result<Self> {
        let all = qemu_plugin_get_registers()?;
        let find = |name: &str| {
            let register = all.iter().find(|register| register.name == name);
            register
                .cloned()
                .ok_or_else(|| Error::RegisterReadError { name: name.into() })
        };
        Ok(Registers {
            general: (0..GENERAL)
                .map(|number| find(&format!("x{number}")))
                .collect::<Result<_>>()?,
            tables: [find("TTBR0_EL1")?, find("TTBR1_EL1")?, find("TCR_EL1")?],
        })
    }

    /// The value of a general-purpose register; number 31 is zero.
    fn general(&self, number: u32) -> Option<u64> {
        self.general.get(number as usize).map_or(Some(0), value)
    }

    fn tables(&self) -> Option<Tables> {
        let [lower, upper, control] = &self.tables;
        Some(Tables {
            lower: value(lower)?,
            upper: value(upper)?,
            control: value(control)?,
        })
    }
}

fn value(register: &RegisterDescriptor<'_>) -> Option<u64> {
    let bytes = register.read().ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// What is known of one virtual CPU.
#[derive(Default)]
struct Cpu {
    registers: OnceLock<Registers>,
    deferred: Queue,
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
        let address = untag(address);
        let deferred = &self.cpu(index).deferred;
        if is_upper(address) && !deferred.is_empty() {
            for group in deferred.take() {
                self.carry_out(index, group);
            }
        }
        let Some(target) = info.hwaddr(address) else {
            return;
        };
        let physical = target.hwaddr();
        let bytes = 1 << info.size_shift();
        if target.is_io() {
            self.device_access(info, physical, bytes);
            return;
        }
        if let Err(odd) = self.linear.learn(address, physical) {
            lock(&self.observer).noise(odd);
        }
        if !self.filter.any() {
            return;
        }
        if !deferred.is_empty() {
            for operation in deferred.take_page(address) {
                self.maintained(index, operation, Some(physical));
            }
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

    /// An instruction on the data cache is about to be executed.
    fn maintain(&self, index: VCPUIndex, pc: u64, maintenance: Maintenance, register: u32) {
        if !self.filter.any() {
            return;
        }
        let registers = self.cpu(index).registers.get();
        let operand = registers.and_then(|registers| registers.general(register));
        let operation = Operation {
            maintenance,
            address: untag(operand.unwrap_or(0)),
            pc,
        };
        if operand.is_none() || maintenance == Maintenance::SetWay {
            self.maintained(index, operation, None);
        } else if let Some(physical) = self.linear.physical(operation.address) {
            if self.filter.may_have(physical / PAGE_SIZE) {
                self.maintained(index, operation, Some(physical));
            }
        } else if !self.cpu(index).deferred.join(operation) {
            match registers.and_then(Registers::tables) {
                Some(tables) => self.carry_out(
                    index,
                    Group {
                        tables,
                        operations: vec![operation],
                    },
                ),
                None => self.maintained(index, operation, None),
            }
        }
    }

    /// Walks the page tables for operations on one page; if they cannot be read, these have to
    /// wait.
    fn carry_out(&self, index: VCPUIndex, group: Group) {
        let Some(first) = group.operations.first() else {
            return;
        };
        let read = |physical| memory::read(self.linear.address(physical)?);
        match group.tables.walk(first.address, read) {
            Ok(Some(Target { physical, writable })) => {
                for operation in group.operations {
                    if writable || operation.maintenance != Maintenance::Zero {
                        self.maintained(index, operation, Some(physical));
                    }
                }
            }
            // They trap, and are executed again once there is a page.
            Ok(None) => {}
            Err(Unreadable) => self.cpu(index).deferred.push(group),
        }
    }

    /// An operation was executed, on the page that `physical` is in, if that is known.
    fn maintained(&self, index: VCPUIndex, operation: Operation, physical: Option<u64>) {
        let Operation {
            maintenance,
            address,
            pc,
        } = operation;
        let physical =
            physical.map(|physical| physical - physical % PAGE_SIZE + address % PAGE_SIZE);
        let by = Actor::Cpu { index, pc };
        lock(&self.observer).maintain(maintenance, physical, by);
    }

    /// QEMU exits: what still waits will never be known, and may have been a store.
    fn finish(&self) {
        let groups = self.cpus.iter().flat_map(|cpu| cpu.deferred.take());
        let lost: usize = groups.map(|group| group.operations.len()).sum();
        let mut observer = lock(&self.observer);
        if lost > 0 {
            observer.noise(format!(
                "{lost} cache operations of programs whose lines never became known"
            ));
        }
        observer.finish();
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
        qemu_plugin_register_atexit_cb(id, |_| monitor.finish())
    }
}

impl HasCallbacks for CacheModel {
    fn on_vcpu_init(&mut self, _: PluginId, index: VCPUIndex) -> Result<()> {
        let Some(monitor) = self.0 else {
            return Ok(());
        };
        // A CPU that is initialised twice has the registers it had.
        let _ = monitor.cpu(index).registers.set(Registers::find()?);
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
            }
        }
        Ok(())
    }
}

qemu_plugin::register!(CacheModel(None));
