// SPDX-License-Identifier: GPL-2.0

//! The shape of tables, VTCR_EL2 and VTTBR_EL2.

use kvm_core::{
    cpu::CpuFeatures,
    granule::Granule,
    idreg::IdAa64Mmfr0El1,
    ipa::IpaBits,
    stage2::{
        BadConfig,
        Config,
        Format,
        Geometry,
        Level,
        TableAddr,
        VtcrEl2,
        VttbrEl2, //
    },
};
use proptest::prelude::*;

/// Returns a configuration without options.
pub fn config(granule: Granule, ipa: u8, pa: u8) -> Config {
    Config {
        granule,
        ipa: IpaBits::new(ipa).unwrap(),
        cpu_pa_bits: pa,
        host_pa_bits: 48,
        lpa2: false,
        fwb: false,
        xnx: false,
        hardware_access_flag: false,
        live_resize: false,
        vmid16: false,
    }
}

/// (granule, IPA bits, LPA2) to (start level, concatenated tables, entries in them, T0SZ, SL0, DS).
#[test]
fn examples() {
    use Granule::{K16, K4, K64};
    use Level::{L0, L1, L2};
    let rows = [
        (K4, 32, false, L2, 4, 2048, 32, 0),
        (K4, 34, false, L2, 16, 8192, 30, 0),
        (K4, 35, false, L1, 1, 32, 29, 1),
        (K4, 39, false, L1, 1, 512, 25, 1),
        (K4, 40, false, L1, 2, 1024, 24, 1),
        (K4, 43, false, L1, 16, 8192, 21, 1),
        (K4, 44, false, L0, 1, 32, 20, 2),
        (K4, 48, false, L0, 1, 512, 16, 2),
        (K4, 52, true, L0, 16, 8192, 12, 2),
        (K16, 36, false, L2, 1, 2048, 28, 1),
        (K16, 40, false, L2, 16, 32768, 24, 1),
        (K16, 41, false, L1, 1, 32, 23, 2),
        (K16, 48, false, L1, 2, 4096, 16, 2),
        (K16, 51, true, L1, 16, 32768, 13, 2),
        (K16, 52, true, L0, 1, 32, 12, 3),
        (K64, 32, false, L2, 1, 8, 32, 1),
        (K64, 42, false, L2, 1, 8192, 22, 1),
        (K64, 46, false, L2, 16, 131072, 18, 1),
        (K64, 47, false, L1, 1, 32, 17, 2),
        (K64, 52, false, L1, 1, 1024, 12, 2),
    ];
    for (granule, ipa, lpa2, start, tables, entries, t0sz, sl0) in rows {
        let config = Config {
            lpa2,
            ..config(granule, ipa, 52)
        };
        let geometry = Geometry::new(&config).unwrap();
        let vtcr = VtcrEl2::new(&Format::new(config).unwrap());
        assert_eq!(geometry.start(), start, "{config:?}");
        assert_eq!(geometry.root_tables(), tables, "{config:?}");
        assert_eq!(geometry.entries(start), entries, "{config:?}");
        assert_eq!(vtcr.t0sz(), t0sz, "{config:?}");
        assert_eq!(vtcr.sl0(), sl0, "{config:?}");
        assert_eq!(vtcr.ds(), lpa2, "{config:?}");
    }
}

#[test]
fn vtcr_values() {
    let vtcr = |config| VtcrEl2::new(&Format::new(config).unwrap());
    // 40 bits of IPA with 4 KiB, start level 1, PA of 44 bits: T0SZ 24, SL0 1, WBWA inner
    // shareable, PS 4, RES1.
    let k4 = config(Granule::K4, 40, 44);
    assert_eq!(vtcr(k4).into_raw(), 0x8004_3558);
    let all = Config {
        vmid16: true,
        hardware_access_flag: true,
        ..k4
    };
    assert_eq!(vtcr(all).into_raw(), 0x802c_3558);
    let k64 = config(Granule::K64, 52, 52);
    assert_eq!(vtcr(k64).into_raw(), 0x8006_758c);
    let k16 = Config {
        lpa2: true,
        ..config(Granule::K16, 52, 52)
    };
    assert_eq!(vtcr(k16).into_raw(), 0x1_8006_b5cc);
}

#[test]
fn vttbr_values() {
    let root = TableAddr::new(0x000f_8000_1234_0000, Granule::K64).unwrap();
    assert_eq!(
        VttbrEl2::new(root, 0x1234).into_raw(),
        0x1234_8000_1234_003c
    );
    let root = TableAddr::new(0x1234_5000, Granule::K4).unwrap();
    let vttbr = VttbrEl2::new(root, 7);
    assert_eq!(vttbr.into_raw(), 0x0007_0000_1234_5000);
    assert_eq!(vttbr.vmid(), 7);
    assert!(!vttbr.cnp());
    assert_eq!(TableAddr::new(0x1234_5000, Granule::K16), None);
    assert_eq!(TableAddr::new(1 << 52, Granule::K4), None);
}

#[test]
fn messages() {
    assert_eq!(
        Geometry::new(&config(Granule::K4, 40, 36))
            .unwrap_err()
            .to_string(),
        "IPA size of 40 bits, stage 2 translates 36"
    );
    assert_eq!(
        Geometry::new(&config(Granule::K4, 40, 37))
            .unwrap_err()
            .to_string(),
        "no physical address size of 37 bits"
    );
}

fn any_config() -> impl Strategy<Value = Config> {
    (
        prop::sample::select(Granule::ALL),
        32u8..=52,
        prop::sample::select(vec![32u8, 36, 40, 42, 44, 48, 52, 56]),
        48u8..=52,
        any::<bool>(),
    )
        .prop_map(|(granule, ipa, pa, host_pa_bits, lpa2)| Config {
            host_pa_bits,
            lpa2,
            ..config(granule, ipa, pa)
        })
}

proptest! {
    #[test]
    fn the_architecture_allows_it(config in any_config()) {
        let bits = config.ipa.get();
        let pa = config.cpu_pa_bits;
        let reach = if config.lpa2 || config.granule == Granule::K64 { 52 } else { 48 };
        let Ok(geometry) = Geometry::new(&config) else {
            prop_assert!(bits > pa || bits > reach);
            return Ok(());
        };
        prop_assert!(bits <= pa && bits <= reach);
        let start = geometry.start();
        prop_assert_eq!(
            geometry.entries(start) as u64 * geometry.span(start),
            config.ipa.size()
        );
        prop_assert!(geometry.root_tables() <= 16);
        prop_assert_eq!(
            geometry.root_size(),
            (geometry.entries(start) as u64 * 8).max(1 << config.granule.shift())
        );
        // Start levels that are reserved on CPUs with small physical addresses.
        match (config.granule, start) {
            (Granule::K4, Level::L0) => prop_assert!(pa > 42),
            (Granule::K16, Level::L1) => prop_assert!(pa > 40),
            (Granule::K64, Level::L1) => prop_assert!(pa > 42),
            (Granule::K16, Level::L0) => prop_assert!(geometry.ds()),
            (Granule::K64, Level::L0) => prop_assert!(false),
            _ => {}
        }
        // A later start would need more than 16 tables, or have no blocks.
        if let Some(later) = start.next().filter(|later| *later != Level::L3) {
            let per_table = config.granule.shift() - 3;
            prop_assert!(u32::from(bits) > geometry.shift(later) + per_table + 4);
        }
        prop_assert!(geometry.has_leaves(Level::L2) && geometry.has_leaves(Level::L3));
        // FEAT_LPA2's format only where it is needed.
        if geometry.ds() {
            prop_assert!(config.lpa2 && config.granule != Granule::K64);
            prop_assert!(bits > 48 || config.host_pa_bits > 48);
        }
        let vtcr = VtcrEl2::new(&Format::new(config).unwrap());
        prop_assert_eq!(vtcr.t0sz().get(), 64 - u64::from(bits));
        prop_assert_eq!(
            IdAa64Mmfr0El1::from_raw(vtcr.ps().get()).pa_bits(),
            Some(geometry.pa_bits())
        );
        let wide = geometry.ds() || config.granule == Granule::K64;
        prop_assert_eq!(geometry.pa_bits(), pa.min(if wide { 52 } else { 48 }));
    }

    #[test]
    fn the_limit_that_is_reported_works(
        granule in prop::sample::select(Granule::ALL),
        parange in 0u64..=7,
        lpa2: bool,
        bits in 32u8..=52,
    ) {
        let granules = if lpa2 { 0x323 } else { 0x222 };
        let mmfr0 = IdAa64Mmfr0El1::from_raw(parange | (granules << 32));
        let cpu = CpuFeatures { mmfr0, ..CpuFeatures::default() };
        let ipa = IpaBits::new(bits).unwrap();
        let config = Config::for_cpu(&cpu, granule, ipa, 48);
        prop_assert_eq!(Geometry::new(&config).is_ok(), ipa <= cpu.ipa_limit(granule));
    }

    #[test]
    fn other_pa_sizes_do_not_exist(pa: u8, granule in prop::sample::select(Granule::ALL)) {
        prop_assume!(![32, 36, 40, 42, 44, 48, 52, 56].contains(&pa));
        prop_assert_eq!(Geometry::new(&config(granule, 32, pa)), Err(BadConfig::PaBits(pa)));
    }
}
