// SPDX-License-Identifier: GPL-2.0

//! Numbers of Linux's headers, as a C compiler sees them.

#![allow(dead_code)]

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{
        Command,
        Stdio, //
    },
};

/// The kernel's root: SYSREG_FILE names its arch/arm64/tools/sysreg.
pub fn kernel() -> PathBuf {
    let sysreg = env::var("SYSREG_FILE").expect("SYSREG_FILE names arch/arm64/tools/sysreg");
    let mut path = PathBuf::from(sysreg);
    for _ in 0..4 {
        path.pop();
    }
    path
}

/// Returns the values of C expressions after `#include`s of the headers concerned.
pub fn evaluate(expressions: &[&str]) -> Vec<u64> {
    let kernel = kernel();
    let mut source = String::from(
        "#include <stddef.h>\n\
         #include <linux/bits.h>\n\
         #include <linux/arm-smccc.h>\n\
         #include <linux/psci.h>\n\
         #include <asm/kvm.h>\n\
         #include <linux/kvm.h>\n",
    );
    for expression in expressions {
        source += &format!("__asm__(\"VALUE %0\" :: \"i\"((unsigned long)({expression})));\n");
    }
    // Top-level asm takes no operands, so they go into a function.
    let (includes, body) = source.split_at(source.find("__asm__").unwrap());
    let source = format!("{includes}void f(void) {{\n{body}}}\n");
    let compiler = env::var("CC").unwrap_or("aarch64-linux-gnu-gcc".into());
    let mut child = Command::new(compiler)
        .args(["-S", "-O1", "-x", "c", "-", "-o", "-", "-D__ARM64__"])
        .arg("-I")
        .arg(kernel.join("tools/include"))
        .arg("-I")
        .arg(kernel.join("include/uapi"))
        .arg("-I")
        .arg(kernel.join("arch/arm64/include/uapi"))
        .arg("-idirafter")
        .arg(kernel.join("tools/include/uapi"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a C compiler for arm64");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(source.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{source}");
    let values: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("VALUE "))
        .map(
            |value| match value.trim_start_matches('#').parse::<i128>() {
                Ok(value) => value as u64,
                Err(_) => panic!("{value}"),
            },
        )
        .collect();
    assert_eq!(values.len(), expressions.len());
    values
}

/// Compares numbers of ours with C expressions.
pub fn check(pairs: &[(&str, u64)]) {
    let names: Vec<_> = pairs.iter().map(|(name, _)| *name).collect();
    for ((name, ours), theirs) in pairs.iter().zip(evaluate(&names)) {
        assert_eq!(*ours, theirs, "{name}");
    }
}
