// SPDX-License-Identifier: GPL-2.0

//! Connects QEMU's callbacks with the counts: `-plugin libprofile.so,report=FILE[,whole=on]`.

use std::{fs::File, io::BufWriter, process};

use qemu_plugin::{
    Args, HasCallbacks, Info, PluginId, Register, Result, TranslationBlock,
    qemu_plugin_register_atexit_cb,
};

use crate::{counts::Counts, mark::Mark};

/// The plugin, from its load on.
#[derive(Default)]
struct Profile(Option<&'static Counts>);

/// QEMU itself exits when a plugin does not load, so this is no different.
fn give_up(reason: &str) -> ! {
    eprintln!("profile: {reason}");
    process::exit(1)
}

impl Register for Profile {
    fn register(&mut self, id: PluginId, args: &Args, _: &Info) -> Result<()> {
        let (mut path, mut whole) = (None, false);
        for option in &args.raw {
            match option.split_once('=') {
                Some(("report", file)) => path = Some(file),
                Some(("whole", "on")) => whole = true,
                _ => give_up(&format!(
                    "unknown option '{option}': there are report=FILE and whole=on"
                )),
            }
        }
        let Some(path) = path else {
            give_up("no report: say report=FILE");
        };
        let file = match File::create(path) {
            Ok(file) => file,
            Err(error) => give_up(&format!("cannot create {path}: {error}")),
        };
        let counts: &'static Counts = Box::leak(Box::new(match whole {
            true => Counts::from_the_beginning(),
            false => Counts::default(),
        }));
        self.0 = Some(counts);
        qemu_plugin_register_atexit_cb(id, move |_| {
            if let Err(error) = counts.report(BufWriter::new(&file)) {
                eprintln!("profile: cannot write the report: {error}");
            }
        })
    }
}

impl HasCallbacks for Profile {
    fn on_translation_block_translate(&mut self, _: PluginId, tb: TranslationBlock) -> Result<()> {
        let Some(counts) = self.0 else {
            return Ok(());
        };
        let (mut number, mut size) = (0, 0);
        for instruction in tb.instructions() {
            number += 1;
            size += instruction.size() as u64;
            let mut bytes = [0; 16];
            let length = instruction.read_data(&mut bytes);
            if let Some(mark) = bytes.get(..length).and_then(Mark::decode) {
                instruction.register_execute_callback(move |_| counts.pass(mark));
            }
        }
        let block = counts.block(tb.vaddr(), size, number);
        tb.register_execute_callback(move |_| counts.execute(block));
        Ok(())
    }
}

qemu_plugin::register!(Profile::default());
