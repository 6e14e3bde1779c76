// SPDX-License-Identifier: GPL-2.0

//! Can this file run in a guest that has no libraries?

use std::{fs, path::Path};

use anyhow::Result;
use object::{
    Endianness, FileKind, elf,
    read::elf::{FileHeader, ProgramHeader},
};

use crate::{
    machine::{Machine, elf_name},
    usage::refuse,
};

/// Checks that a program is static and made for the machine.
///
/// # Errors
///
/// [`Usage`](crate::usage::Usage) with the reason and what to do.
pub fn check(program: &Path, machine: &dyn Machine) -> Result<()> {
    let shown = program.display();
    let data = match fs::read(program) {
        Ok(data) => data,
        Err(error) => refuse!("cannot read {shown}: {error}"),
    };
    let facts = match FileKind::parse(&*data) {
        Ok(FileKind::Elf64) => facts::<elf::FileHeader64<Endianness>>(&data),
        Ok(FileKind::Elf32) => facts::<elf::FileHeader32<Endianness>>(&data),
        _ => refuse!("{shown} is not an ELF program: the guest has no interpreter for it"),
    };
    let Ok(facts) = facts else {
        refuse!("{shown} is a damaged ELF file")
    };
    if !facts.executable {
        refuse!("{shown} is an ELF file, but not a program");
    }
    if !machine.board().elf.contains(&facts.machine) {
        refuse!(
            "{shown} is for {}, not for {}",
            elf_name(facts.machine),
            machine.name()
        );
    }
    if facts.interpreted {
        refuse!("{shown} is not static: link it with -static, the guest has no libraries");
    }
    Ok(())
}

struct Facts {
    machine: u16,
    executable: bool,
    interpreted: bool,
}

fn facts<H: FileHeader<Endian = Endianness>>(data: &[u8]) -> object::Result<Facts> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let has = |kind| {
        segments
            .iter()
            .any(|segment| segment.p_type(endian) == kind)
    };
    Ok(Facts {
        machine: header.e_machine(endian),
        executable: matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN)
            && has(elf::PT_LOAD),
        interpreted: has(elf::PT_INTERP),
    })
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;
    use crate::machine::X86Direct;

    fn refusal(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, bytes).unwrap();
        check(file.path(), &X86Direct).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(refusal(b"").contains("not an ELF program"));
        assert!(refusal(b"#!/bin/sh\n").contains("not an ELF program"));
        assert!(refusal(b"\x7fELF\x02\x01\x01").contains("ELF"));
        let missing = check(Path::new("/nonexistent/x"), &X86Direct).unwrap_err();
        assert!(missing.to_string().contains("cannot read"));
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        // This very test is dynamically linked, and for the machine it runs on.
        let own = fs::read(env::current_exe().unwrap()).unwrap();
        let message = refusal(&own);
        assert!(
            message.contains("-static") || message.contains("not for"),
            "{message}"
        );
    }

    #[test]
    fn a_program_of_another_machine_is_refused() {
        let mut own = fs::read(env::current_exe().unwrap()).unwrap();
        own[18..20].copy_from_slice(&elf::EM_S390.to_le_bytes());
        assert!(refusal(&own).contains("machine 22"));
    }

    #[test]
    fn an_object_file_is_refused() {
        let mut own = fs::read(env::current_exe().unwrap()).unwrap();
        own[16..18].copy_from_slice(&elf::ET_REL.to_le_bytes());
        assert!(refusal(&own).contains("not a program"));
    }
}
