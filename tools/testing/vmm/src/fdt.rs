// SPDX-License-Identifier: GPL-2.0

//! A writer for flattened device trees (Devicetree Specification v0.4, chapter 5).

use std::collections::HashMap;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const END: u32 = 9;
const HEADER_BYTES: usize = 40;
/// The empty memory reservation block: one entry of zeroes.
const RESERVATIONS: [u8; 16] = [0; 16];

/// A tree that is being written, from its root on.
pub struct Fdt {
    structure: Vec<u8>,
    strings: Vec<u8>,
    offsets: HashMap<&'static str, u32>,
}

impl Fdt {
    /// A tree without nodes.
    pub fn new() -> Self {
        Self {
            structure: Vec::new(),
            strings: Vec::new(),
            offsets: HashMap::new(),
        }
    }

    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.structure.extend(bytes);
        self.structure
            .resize(self.structure.len().next_multiple_of(4), 0);
    }

    /// A node with what `inside` writes, its properties first and then its children.
    pub fn node(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.word(BEGIN_NODE);
        self.padded(&[name.as_bytes(), &[0]].concat());
        inside(self);
        self.word(END_NODE);
    }

    /// A property of these bytes.
    pub fn bytes(&mut self, name: &'static str, value: &[u8]) {
        let strings = &mut self.strings;
        let offset = *self.offsets.entry(name).or_insert_with(|| {
            let offset = strings.len() as u32;
            strings.extend(name.as_bytes());
            strings.push(0);
            offset
        });
        self.word(PROP);
        self.word(value.len() as u32);
        self.word(offset);
        self.padded(value);
    }

    /// A property that is there.
    pub fn flag(&mut self, name: &'static str) {
        self.bytes(name, &[]);
    }

    /// A property of strings.
    pub fn strings(&mut self, name: &'static str, values: &[&str]) {
        let mut bytes = Vec::new();
        for value in values {
            bytes.extend(value.as_bytes());
            bytes.push(0);
        }
        self.bytes(name, &bytes);
    }

    /// A property of 32-bit cells.
    pub fn cells(&mut self, name: &'static str, cells: &[u32]) {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &bytes);
    }

    /// A property of pairs of cells, like addresses and lengths.
    pub fn pairs(&mut self, name: &'static str, pairs: &[u64]) {
        let bytes: Vec<u8> = pairs.iter().flat_map(|pair| pair.to_be_bytes()).collect();
        self.bytes(name, &bytes);
    }

    /// The blob.
    pub fn finish(mut self) -> Vec<u8> {
        self.word(END);
        let structure = HEADER_BYTES + RESERVATIONS.len();
        let strings = structure + self.structure.len();
        let total = strings + self.strings.len();
        let header = [
            MAGIC,
            total as u32,
            structure as u32,
            strings as u32,
            HEADER_BYTES as u32,
            17, // version
            16, // the last one that is compatible
            0,  // boot CPU
            self.strings.len() as u32,
            self.structure.len() as u32,
        ];
        let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        blob.extend(RESERVATIONS);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
}
