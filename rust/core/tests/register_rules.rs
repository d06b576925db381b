// SPDX-License-Identifier: GPL-2.0

//! A register table that breaks its rules does not compile.
//!
//! Each test compiles a copy of the crate whose table was changed in one place, and looks for the
//! compiler's error.

use std::{
    env,
    fs,
    path::{
        Path,
        PathBuf, //
    },
    process::Command, //
};

/// Copies the crate's sources.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && name != "tests" && name != "target" {
            copy(&path, &to.join(name));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Compiles the crate with the table that `change` makes of the real one, and returns what the
/// compiler says if it fails.
fn compile(name: &str, change: impl Fn(&str) -> String) -> Result<(), String> {
    let to: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "register_rules", name]
        .iter()
        .collect();
    copy(Path::new(env!("CARGO_MANIFEST_DIR")), &to);
    let rows = to.join("register/rows.rs");
    let changed = change(&fs::read_to_string(&rows).unwrap());
    fs::write(&rows, changed).unwrap();
    // No module uses one after it, so the rest of the crate can be left out.
    let root = to.join("kvm_core.rs");
    let modules = fs::read_to_string(&root).unwrap();
    let (modules, _) = modules.split_once("pub mod one_reg;").unwrap();
    fs::write(&root, modules).unwrap();

    let output = Command::new(env::var("RUSTC").unwrap_or("rustc".into()))
        .args([
            "--edition",
            "2021",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .args(["--crate-name", "kvm_core", "--out-dir"])
        .arg(&to)
        .arg(root)
        .output()
        .expect("a compiler");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Replaces `from`, which occurs once, by `to`.
fn replace(rows: &str, from: &str, to: &str) -> String {
    assert_eq!(rows.matches(from).count(), 1, "{from}");
    rows.replace(from, to)
}

/// The row of this register: its doc, and all up to its semicolon.
fn row<'a>(rows: &'a str, name: &str) -> &'a str {
    let at = rows.find(&format!("            {name} = (")).unwrap();
    let start = rows[..at].rfind(";\n").unwrap() + 2;
    let end = at + rows[at..].find(";\n").unwrap() + 2;
    &rows[start..end]
}

fn fails(name: &str, error: &str, change: impl Fn(&str) -> String) {
    match compile(name, change) {
        Ok(()) => panic!("{name} compiles"),
        Err(errors) => assert!(errors.contains(error), "{name} fails otherwise:\n{errors}"),
    }
}

/// The other tests show something only if the copy itself compiles.
#[test]
fn the_table_compiles() {
    compile("unchanged", str::to_owned).unwrap();
}

#[test]
fn a_row_that_is_there_twice() {
    fails(
        "twice",
        "the name `TCR_EL1` is defined multiple times",
        |rows| {
            let row = row(rows, "TCR_EL1");
            replace(rows, row, &format!("{row}{row}"))
        },
    );
}

#[test]
fn two_rows_with_one_encoding() {
    fails("one-encoding", "two rows have one encoding", |rows| {
        let tcr = row(rows, "TCR_EL1");
        let other = tcr.replace("TCR_EL1", "TCR_AGAIN_EL1");
        replace(rows, tcr, &format!("{tcr}{other}"))
    });
}

/// As before, where the other is not the first of its range.
#[test]
fn a_row_within_a_range() {
    fails("in-range", "two rows have one encoding", |rows| {
        // DBGBVR3_EL1.
        replace(
            rows,
            "TCR_EL1 = (3, 0, 2, 0, 2)",
            "TCR_EL1 = (2, 0, 0, 3, 4)",
        )
    });
}

#[test]
fn an_immediate_row_without_a_reason() {
    fails(
        "no-reason",
        "an immediate register needs the reason why it cannot be deferred",
        |rows| {
            let from = "class(immediate \"the host keeps its current task in it\")";
            replace(rows, from, "class(immediate)")
        },
    );
}

#[test]
fn an_immediate_row_with_an_empty_reason() {
    fails(
        "empty-reason",
        "an immediate register needs the reason why it cannot be deferred",
        |rows| {
            let from = "class(immediate \"the host keeps its current task in it\")";
            replace(rows, from, "class(immediate \"\")")
        },
    );
}

#[test]
fn an_operand_out_of_range() {
    fails("operand", "an operand is out of range", |rows| {
        replace(
            rows,
            "TCR_EL1 = (3, 0, 2, 0, 2)",
            "TCR_EL1 = (3, 0, 2, 0, 8)",
        )
    });
}

#[test]
fn a_row_without_its_documentation() {
    fails("no-doc", "no rules expected", |rows| {
        replace(
            rows,
            "/// Translation Control Register.\n            TCR_EL1",
            "TCR_EL1",
        )
    });
}
