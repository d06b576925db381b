// SPDX-License-Identifier: GPL-2.0

//! The number of a line against the fields as api.rst has them.

use kvm_core::irq_line::{
    controller,
    BadLine,
    Controller,
    CpuLine,
    Line, //
};
use proptest::prelude::*;

#[test]
fn lines_that_everybody_knows() {
    let intid = |line| match line {
        Ok(Line::Spi { intid } | Line::Ppi { intid, .. }) => intid.get(),
        other => panic!("{other:?}"),
    };

    // The first SPI; the virtual timer of vCPU 3; the FIQ of vCPU 258.
    assert_eq!(intid(Line::new((1 << 24) | 32)), 32);
    assert_eq!(intid(Line::new((1 << 24) | 1019)), 1019);
    assert_eq!(intid(Line::new((2 << 24) | (3 << 16) | 27)), 27);
    assert!(matches!(
        Line::new((2 << 24) | (3 << 16) | 27),
        Ok(Line::Ppi { vcpu: 3, .. })
    ));
    assert_eq!(
        Line::new((1 << 28) | (2 << 16) | 1),
        Ok(Line::Cpu {
            vcpu: 258,
            line: CpuLine::Fiq
        })
    );
    assert_eq!(
        Line::new(0),
        Ok(Line::Cpu {
            vcpu: 0,
            line: CpuLine::Irq
        })
    );
}

proptest! {
    #[test]
    fn any_number_is_its_fields(
        kind in prop_oneof![0u32..4, 0u32..16],
        vcpu2 in 0u32..16,
        vcpu in 0u32..256,
        number in prop_oneof![0u32..40, 1010u32..1030, 0u32..65536],
    ) {
        let irq = vcpu2 * (1 << 28) + kind * (1 << 24) + vcpu * (1 << 16) + number;
        let whose = vcpu2 * 256 + vcpu;
        let line = Line::new(irq);

        match (kind, number) {
            (0, 0 | 1) => {
                let line_of = if number == 0 { CpuLine::Irq } else { CpuLine::Fiq };
                prop_assert_eq!(line, Ok(Line::Cpu { vcpu: whose, line: line_of }));
            }
            (1, 32..=1019) => {
                let right = matches!(line, Ok(Line::Spi { intid }) if intid.get() == number);
                prop_assert!(right, "{line:?}");
            }
            (2, 16..=31) => {
                let right = matches!(
                    line,
                    Ok(Line::Ppi { vcpu, intid }) if vcpu == whose && intid.get() == number
                );
                prop_assert!(right, "{line:?}");
            }
            _ => prop_assert_eq!(line, Err(BadLine)),
        }
        let expected = match kind {
            0 => Ok(Controller::User),
            1 | 2 => Ok(Controller::Kernel),
            _ => Err(BadLine),
        };
        prop_assert_eq!(controller(irq), expected);
    }
}
