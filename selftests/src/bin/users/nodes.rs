// SPDX-License-Identifier: GPL-2.0

//! The devices, which everybody may open for a while.

use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use selftests::importer;
use selftests::udmabuf;

const NODES: [&str; 2] = [udmabuf::DEVICE, importer::DEVICE];

/// The nodes while everybody may open them; the old rights come back on drop.
pub struct Nodes([Permissions; 2]);

impl Nodes {
    pub fn open_to_all() -> io::Result<Nodes> {
        let [one, two] = NODES.map(|node| fs::metadata(node).map(|data| data.permissions()));
        let nodes = Nodes([one?, two?]);
        for node in NODES {
            fs::set_permissions(node, Permissions::from_mode(0o666))?;
        }
        Ok(nodes)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for (node, rights) in NODES.iter().zip(&self.0) {
            // Fails only when the node is gone.
            let _ = fs::set_permissions(node, rights.clone());
        }
    }
}
