// SPDX-License-Identifier: GPL-2.0

//! The file behind KVM_GET_STATS_FD: a header, an id, descriptors and values.
//!
//! api.rst, "4.133 KVM_GET_STATS_FD". The blocks come in that order without gaps; all are a
//! multiple of 8 bytes. Only the values change.

/// The space that a name has in the file, with its terminating zero: KVM_STATS_NAME_SIZE.
pub const NAME_SIZE: usize = 48;

const HEADER_SIZE: u64 = 24;
const ID_OFFSET: u64 = HEADER_SIZE;
const DESCRIPTORS_OFFSET: u64 = ID_OFFSET + NAME_SIZE as u64;

/// `struct kvm_stats_desc`, less the name that follows it.
const FIXED_SIZE: usize = 16;

/// The size of a descriptor with its name.
const DESCRIPTOR_SIZE: u64 = (FIXED_SIZE + NAME_SIZE) as u64;

/// The size of a value.
const VALUE_SIZE: u64 = 8;

/// How a value behaves over time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It counts events, and never goes down: KVM_STATS_TYPE_CUMULATIVE.
    Cumulative,
    /// It is what there is at the moment: KVM_STATS_TYPE_INSTANT.
    Instant,
    /// It is as many values as this, each of which counts the samples in a range; [`log_bucket`] says
    /// in which: KVM_STATS_TYPE_LOG_HIST. Not zero.
    LogHistogram(u16),
}

impl Kind {
    /// How many values it has.
    const fn len(self) -> u16 {
        match self {
            Self::Cumulative | Self::Instant => 1,
            Self::LogHistogram(buckets) => buckets,
        }
    }
}

/// The bucket of `value` in a logarithmic histogram of so many. The first is for zero, the n-th for
/// values below 2^(n-1), the last for all others.
#[inline]
pub const fn log_bucket(value: u64, buckets: usize) -> usize {
    let bucket = (u64::BITS - value.leading_zeros()) as usize;
    let last = buckets.saturating_sub(1);

    if bucket < last {
        bucket
    } else {
        last
    }
}

/// What a value counts.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Events or things: KVM_STATS_UNIT_NONE.
    Number,
    /// Bytes: KVM_STATS_UNIT_BYTES.
    Bytes,
    /// Nanoseconds: KVM_STATS_UNIT_SECONDS, of which they are the power -9 of ten.
    Nanoseconds,
}

/// One statistic.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Its name, shorter than [`NAME_SIZE`]; what is beyond is cut off.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
}

impl Stat {
    /// `flags` of `struct kvm_stats_desc`.
    const fn flags(&self) -> u32 {
        let kind = match self.kind {
            Kind::Cumulative => 0,
            Kind::Instant => 1,
            Kind::LogHistogram(_) => 4,
        };
        // In bits 8 to 11 is KVM_STATS_BASE_POW2; bytes are counted in powers of two.
        let (unit, base) = match self.unit {
            Unit::Number => (0, 0),
            Unit::Bytes => (1, 1),
            Unit::Nanoseconds => (2, 0),
        };
        kind | (unit << 4) | (base << 8)
    }

    /// `exponent` of `struct kvm_stats_desc`.
    const fn exponent(&self) -> i16 {
        match self.unit {
            Unit::Number | Unit::Bytes => 0,
            Unit::Nanoseconds => -9,
        }
    }
}

/// Who has statistics.
pub trait Source {
    /// The string that names the object: `kvm-PID` or `kvm-PID/vcpu-N`.
    fn id(&self) -> &[u8];

    /// How many statistics there are.
    fn count(&self) -> usize;

    /// The statistic at `index`; [`None`] from [`count`](Self::count) on.
    fn stat(&self, index: usize) -> Option<Stat>;

    /// Its value, of a histogram that of bucket `n`.
    fn value(&self, index: usize, n: usize) -> u64;
}

/// The length of the file.
pub fn file_size(source: &impl Source) -> u64 {
    data_offset(source) + values_before(source, source.count()) * VALUE_SIZE
}

/// How many values the statistics before `index` have.
fn values_before(source: &impl Source, index: usize) -> u64 {
    (0..index)
        .filter_map(|before| source.stat(before))
        .map(|stat| u64::from(stat.kind.len()))
        .sum()
}

/// The statistic that has the value `n` of all, and which one of its own that is.
fn holder(source: &impl Source, n: u64) -> Option<(usize, usize)> {
    let mut left = n;

    for index in 0..source.count() {
        let len = u64::from(source.stat(index)?.kind.len());
        if left < len {
            return Some((index, left as usize));
        }
        left -= len;
    }
    None
}

/// Where the values begin.
fn data_offset(source: &impl Source) -> u64 {
    DESCRIPTORS_OFFSET + source.count() as u64 * DESCRIPTOR_SIZE
}

/// Reads the file from `position` on, as far as `out` reaches; returns how many bytes there were.
/// A value is read whole, unless `out` begins or ends in it.
pub fn read(source: &impl Source, position: u64, out: &mut [u8]) -> usize {
    let size = file_size(source);
    let mut done = 0;

    while done < out.len() {
        let at = position.saturating_add(done as u64);
        if at >= size {
            break;
        }
        let Some((block, start)) = block(source, at) else {
            break;
        };
        let bytes = block.get((at - start) as usize..).unwrap_or(&[]);
        let count = bytes.len().min(out.len() - done);
        if count == 0 {
            break;
        }
        for (to, from) in out[done..done + count].iter_mut().zip(bytes) {
            *to = *from;
        }
        done += count;
    }
    done
}

/// A piece of the file: its bytes, and how many there are.
struct Block {
    bytes: [u8; FIXED_SIZE + NAME_SIZE],
    len: usize,
}

impl Block {
    const fn new(len: usize) -> Self {
        Self {
            bytes: [0; FIXED_SIZE + NAME_SIZE],
            len,
        }
    }

    fn get(&self, range: core::ops::RangeFrom<usize>) -> Option<&[u8]> {
        self.bytes.get(..self.len)?.get(range)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// Puts a string of less than [`NAME_SIZE`] bytes, so that a zero follows it.
    fn put_name(&mut self, at: usize, name: &[u8]) {
        self.put(at, name.get(..NAME_SIZE - 1).unwrap_or(name));
    }
}

/// The block that byte `at` of the file is in, and where it begins. `at` is in the file.
fn block(source: &impl Source, at: u64) -> Option<(Block, u64)> {
    let data = data_offset(source);

    Some(if at < ID_OFFSET {
        let header = [
            0,
            NAME_SIZE as u32,
            source.count() as u32,
            ID_OFFSET as u32,
            DESCRIPTORS_OFFSET as u32,
            data as u32,
        ];
        let mut block = Block::new(HEADER_SIZE as usize);
        for (n, word) in header.iter().enumerate() {
            block.put(n * 4, &word.to_ne_bytes());
        }
        (block, 0)
    } else if at < DESCRIPTORS_OFFSET {
        let mut block = Block::new(NAME_SIZE);
        block.put_name(0, source.id());
        (block, ID_OFFSET)
    } else if at < data {
        let index = (at - DESCRIPTORS_OFFSET) / DESCRIPTOR_SIZE;
        let stat = source.stat(index as usize)?;
        let offset = values_before(source, index as usize) * VALUE_SIZE;
        let mut block = Block::new(DESCRIPTOR_SIZE as usize);
        block.put(0, &stat.flags().to_ne_bytes());
        block.put(4, &stat.exponent().to_ne_bytes());
        block.put(6, &stat.kind.len().to_ne_bytes());
        block.put(8, &(offset as u32).to_ne_bytes());
        // Only linear histograms have a size of buckets.
        block.put_name(FIXED_SIZE, stat.name.as_bytes());
        (block, DESCRIPTORS_OFFSET + index * DESCRIPTOR_SIZE)
    } else {
        let n = (at - data) / VALUE_SIZE;
        let (index, bucket) = holder(source, n)?;
        let mut block = Block::new(VALUE_SIZE as usize);
        block.put(0, &source.value(index, bucket).to_ne_bytes());
        (block, data + n * VALUE_SIZE)
    })
}
