// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_STATS_FD's file, against what `struct kvm_stats_header` and `struct kvm_stats_desc` say.

use kvm_core::stats::{
    file_size,
    log_bucket,
    read,
    Kind,
    Source,
    Stat,
    Unit,
    NAME_SIZE, //
};
use proptest::prelude::*;

const NAMES: [&str; 5] = [
    "irq_exits",
    "bytes",
    "tables",
    "x",
    "a_name_that_is_too_long_for_the_file_by_a_few_letters",
];

#[derive(Debug)]
struct Object {
    id: Vec<u8>,
    stats: Vec<(Stat, Vec<u64>)>,
}

impl Source for Object {
    fn id(&self) -> &[u8] {
        &self.id
    }

    fn count(&self) -> usize {
        self.stats.len()
    }

    fn stat(&self, index: usize) -> Option<Stat> {
        self.stats.get(index).map(|(stat, _)| *stat)
    }

    fn value(&self, index: usize, n: usize) -> u64 {
        self.stats[index].1[n]
    }
}

fn objects() -> impl Strategy<Value = Object> {
    let kind = prop_oneof![
        Just(Kind::Cumulative),
        Just(Kind::Instant),
        (1u16..20).prop_map(Kind::LogHistogram),
    ];
    let unit = prop_oneof![
        Just(Unit::Number),
        Just(Unit::Bytes),
        Just(Unit::Nanoseconds),
    ];
    let stat = (0..NAMES.len(), kind, unit, any::<u64>()).prop_map(|(name, kind, unit, value)| {
        let values = match kind {
            Kind::LogHistogram(buckets) => {
                (0..buckets.into()).map(|n| value.rotate_left(n)).collect()
            }
            _ => vec![value],
        };
        let name = NAMES[name];

        (Stat { name, kind, unit }, values)
    });
    (
        prop::collection::vec(1u8..128, 0..80),
        prop::collection::vec(stat, 0..12),
    )
        .prop_map(|(id, stats)| Object { id, stats })
}

fn whole(object: &Object) -> Vec<u8> {
    let mut file = vec![0; file_size(object) as usize + 1];
    let len = read(object, 0, &mut file);
    assert_eq!(len, file.len() - 1);
    file.truncate(len);
    file
}

fn u32_at(file: &[u8], at: usize) -> usize {
    u32::from_ne_bytes(file[at..at + 4].try_into().unwrap()) as usize
}

/// A string of the file, which must end within its space.
fn string_at(file: &[u8], at: usize) -> Vec<u8> {
    let space = &file[at..at + NAME_SIZE];
    let end = space.iter().position(|byte| *byte == 0).expect("an end");
    assert!(space[end..].iter().all(|byte| *byte == 0));
    space[..end].to_vec()
}

proptest! {
    /// A reader that knows the ABI only finds all there is.
    #[test]
    fn a_reader_finds_everything(object in objects()) {
        let file = whole(&object);
        prop_assert_eq!(u32_at(&file, 0), 0);
        let name_size = u32_at(&file, 4);
        prop_assert_eq!(name_size, NAME_SIZE);
        prop_assert_eq!(u32_at(&file, 8), object.stats.len());
        let (id, desc, data) = (u32_at(&file, 12), u32_at(&file, 16), u32_at(&file, 20));
        for offset in [id, desc, data] {
            prop_assert_eq!(offset % 8, 0);
        }
        let cut = object.id.len().min(NAME_SIZE - 1);
        prop_assert_eq!(string_at(&file, id), &object.id[..cut]);
        let mut end = 0;
        for (n, (stat, values)) in object.stats.iter().enumerate() {
            let at = desc + n * (16 + name_size);
            let flags = u32_at(&file, at);
            let (kind, size) = match stat.kind {
                Kind::Cumulative => (0, 1),
                Kind::Instant => (1, 1),
                Kind::LogHistogram(buckets) => (4, buckets),
            };
            let (unit, base, exponent) = match stat.unit {
                Unit::Number => (0, 0, 0),
                Unit::Bytes => (1, 1, 0),
                Unit::Nanoseconds => (2, 0, -9i16),
            };
            prop_assert_eq!(flags, kind | (unit << 4) | (base << 8));
            prop_assert_eq!(&file[at + 4..at + 6], &exponent.to_ne_bytes());
            prop_assert_eq!(&file[at + 6..at + 8], &size.to_ne_bytes());
            let offset = u32_at(&file, at + 8);
            prop_assert_eq!(offset, end);
            prop_assert_eq!(u32_at(&file, at + 12), 0);
            let cut = stat.name.len().min(NAME_SIZE - 1);
            prop_assert_eq!(string_at(&file, at + 16), &stat.name.as_bytes()[..cut]);
            prop_assert_eq!(usize::from(size), values.len());
            for value in values {
                let at = data + end;
                prop_assert_eq!(&file[at..at + 8], &value.to_ne_bytes());
                end += 8;
            }
        }
        // The descriptors' values fill the file.
        prop_assert_eq!(data + end, file.len());
        prop_assert!(desc + object.stats.len() * (16 + name_size) <= data);
        prop_assert!(id + name_size <= desc);
    }

    /// Whatever is read from wherever is that part of the file.
    #[test]
    fn any_part(object in objects(), position in 0u64..2000, len in 0usize..2000) {
        let file = whole(&object);
        let mut out = vec![0xa5; len];
        let count = read(&object, position, &mut out);
        let from = (position as usize).min(file.len());
        let to = (from + len).min(file.len());
        prop_assert_eq!(&out[..count], &file[from..to]);
        prop_assert!(out[count..].iter().all(|byte| *byte == 0xa5));
    }

    #[test]
    fn nothing_is_beyond_the_end(object in objects(), position: u64) {
        let mut out = [0; 16];
        let count = read(&object, position, &mut out) as u64;
        prop_assert!(count == 0 || position + count <= file_size(&object));
    }

    /// api.rst: the first bucket is [0, 1), the N-th [2^(N-2), 2^(N-1)), the last has no end.
    #[test]
    fn buckets(value: u64, shift in 0u32..64, buckets in 1usize..70) {
        let value = value >> shift;
        let n = log_bucket(value, buckets) + 1;
        prop_assert!(n <= buckets);
        let from = if n == 1 { 0 } else { 1u128 << (n - 2) };
        prop_assert!(u128::from(value) >= from);
        if n < buckets {
            prop_assert!(u128::from(value) < 1 << (n - 1));
        }
    }
}
