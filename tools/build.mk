# SPDX-License-Identifier: GPL-2.0
#
# The building and testing itself, inside the build root (tools/setup/enter):
# this clone is /src, the prepared kernel /kernel, the cache /cache.

include build/setup.env

.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

CROSS := aarch64-linux-gnu-
# KERNEL_CC is the kernel's compiler if that is not GCC.
KMAKE := $(MAKE) -C /kernel/src O=/kernel/obj M=/src ARCH=arm64 CROSS_COMPILE=$(CROSS) \
	$(if $(KERNEL_CC),CC=$(KERNEL_CC)) -s
# Cargo with the build root's crates. A lock file that a developer's own cargo left
# names those of another registry.
CARGO := rm -f rust/core/Cargo.lock && \
	CARGO_TARGET_DIR=/src/build/cargo cargo --offline
CARGO_FLAGS := --manifest-path rust/core/Cargo.toml
# The test VMM runs in the lab's host.
VMM_CARGO := rm -f tools/testing/vmm/Cargo.lock && CARGO_TARGET_DIR=/src/build/cargo \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$(CROSS)gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' \
	cargo --offline
VMM_FLAGS := --manifest-path tools/testing/vmm/Cargo.toml --target aarch64-unknown-linux-gnu
RUST_SOURCES := $(shell find rust tools/testing/vmm -name '*.rs')
SELFTESTS := tools/testing/selftests/kvm_vhe
# The kernel's own KVM selftests.  The stamp names the kernel, so that another one
# builds them anew.
UPSTREAM := build/upstream
UPSTREAM_BUILT := $(UPSTREAM)/$(notdir $(KERNEL)).built

LAB := tools/lab/lab --kernel /kernel/image --initramfs /cache/$(INITRAMFS)

.PHONY: module test-module selftests upstream test-vmm info run lab test check check-all clippy fmt core fuzz registers

module:
	@echo '  MODULE   build/module/kvm_vhe.ko'
	@$(KMAKE) MO=/src/build/module KVM_VHE_PROBES=y modules
	@tools/module-check build/module/kvm_vhe.ko

# The tests of kvm_host that need EL2; never installed.
test-module:
	@echo '  MODULE   build/test-module/kvm_vhe_test.ko'
	@$(KMAKE) MO=/src/build/test-module KVM_VHE_TEST=1 modules
	@tools/module-check build/test-module/kvm_vhe_test.ko

selftests:
	@echo '  SELFTESTS build/selftests'
	@$(MAKE) -s -C $(SELFTESTS) CROSS_COMPILE=$(CROSS) KSRC=/kernel/src \
		KHDR=/kernel/headers/include OUT=/src/build/selftests

upstream: $(UPSTREAM_BUILT)
	@:

$(UPSTREAM_BUILT): tools/testing/upstream/build
	@echo '  UPSTREAM $(UPSTREAM)'
	@CROSS_COMPILE=$(CROSS) tools/testing/upstream/build $(UPSTREAM)
	@touch $@

test-vmm:
	@echo '  VMM      build/vmm/test-vmm'
	@mkdir -p build/vmm
	@$(VMM_CARGO) build --quiet --release $(VMM_FLAGS)
	@cp build/cargo/aarch64-unknown-linux-gnu/release/test-vmm build/vmm/
	@tools/testing/vmm/mkguest /cache/$(INITRAMFS) build/vmm/guest.cpio

build/kvm-info: tools/kvm-info.c
	@echo '  CC       $@'
	@$(CROSS)gcc -O2 -Wall -Wextra -Werror -static -isystem /kernel/headers/include -o $@ $<

info: build/kvm-info

# The host's disks for VMs: Debian's VMMs and firmware, and a guest's Debian.
GUEST_DISKS := --disk /cache/$(VMM):ro --disk /cache/$(GUEST):ro --file tools/guest:/lab/guest

run: module info
	@$(LAB) --host module --memory 3G --out build/lab/run --timeout 960 --test-timeout 900 \
		--echo $(GUEST_DISKS) --file build/module/kvm_vhe.ko:/lib/kvm_vhe.ko \
		--file build/kvm-info:/bin/kvm-info run=tools/lab/run-module

lab: module info selftests
	@$(LAB) --host $(HOST) --cpus $(CPUS) --memory $(MEMORY) --cpu $(CPU) --shell \
		--out build/lab/shell --file build/module/kvm_vhe.ko:/lib/kvm_vhe.ko \
		--file build/kvm-info:/bin/kvm-info --file build/selftests:/selftests \
		$(GUEST_DISKS) \
		$(if $(wildcard $(UPSTREAM_BUILT)),--file $(UPSTREAM)/bin:/upstream) \
		$(if $(filter module,$(HOST)),--before 'insmod /lib/kvm_vhe.ko')

fmt:
	@rustfmt --check --edition 2021 --config-path /kernel/src/.rustfmt.toml $(RUST_SOURCES)

# The kernel's lints with warnings as errors; a build of its own, since what
# clippy leaves behind is no module.
clippy:
	@$(KMAKE) MO=/src/build/clippy CLIPPY=1 KVM_VHE_PROBES=y KRUSTFLAGS=-Dwarnings modules
	@$(KMAKE) MO=/src/build/clippy-test KVM_VHE_TEST=1 CLIPPY=1 KRUSTFLAGS=-Dwarnings modules
	@$(CARGO) clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	@rm -f rust/fuzz/Cargo.lock; CARGO_TARGET_DIR=/src/build/cargo cargo --offline clippy \
		--manifest-path rust/fuzz/Cargo.toml --all-targets -- -D warnings
	@$(VMM_CARGO) clippy $(VMM_FLAGS) --all-targets -- -D warnings

# The ignored test compares the ID registers with the kernel's own list.
core:
	@SYSREG_FILE=/kernel/src/arch/arm64/tools/sysreg; export SYSREG_FILE; \
		$(CARGO) test $(CARGO_FLAGS) --no-fail-fast -- --include-ignored

registers:
	@mkdir -p build
	@$(CARGO) run --quiet $(CARGO_FLAGS) --example registers >build/registers.rst
	@mv build/registers.rst Documentation/registers.rst

test: module

fuzz:
	@tools/fuzz --seconds $(SECONDS) $(if $(INPUT),--input $(INPUT)) $(TARGET)

test:
	@tools/check --no-lab

check: module test-module selftests upstream test-vmm info
	@tools/check

check-all: module test-module selftests upstream test-vmm info
	@tools/check --all
