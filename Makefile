# SPDX-License-Identifier: GPL-2.0
#
# What there is to run; `make` alone prints it.  This file is for the machine as
# it is: it needs make and what a Debian base system has.  The building itself,
# tools/build.mk, runs inside the build root that set-up makes.

ifeq ($(filter 4.% 5.% 6.%,$(MAKE_VERSION)),)
$(error GNU make 4 or newer is needed, this is $(MAKE_VERSION))
endif

.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# What a user may say on the command line, and what a part of the build then sees.
CACHE ?=
MIRROR ?=
KDIR ?=
HOST ?= module
CPUS ?= 2
MEMORY ?= 2G
CPU ?= max
TARGET ?=
SECONDS ?= 60
INPUT ?=
DESTDIR ?=
KERNEL ?= stock
FLAVOUR ?= patched

ifeq ($(filter stock patched debug,$(KERNEL)),)
$(error KERNEL=$(KERNEL): there are stock, patched and debug)
endif

SETUP := $(if $(CACHE),CACHE='$(CACHE)') $(if $(MIRROR),MIRROR='$(MIRROR)') tools/setup/setup
ENTER := tools/setup/enter
# Each kernel has a module, tests and results of its own.
BUILD := build$(if $(filter-out stock,$(KERNEL)),/$(KERNEL))
INSIDE := FLAVOUR=$(filter-out stock,$(KERNEL)) $(ENTER) make --no-print-directory -f tools/build.mk

.PHONY: help run check check-all test fuzz registers module upstream lab install kernel setup ready update clean distclean

help:
	@echo 'kvm-vhe: KVM for arm64 as a loadable kernel module in Rust'
	@echo ''
	@echo '  make run          set up, boot a stock Debian arm64 kernel in QEMU, load the module,'
	@echo '                    show what it says and what /dev/kvm answers, boot a Debian guest on it'
	@echo '  make check        set up, run all tests but the longest'
	@echo '  make check-all    ... and the longest too'
	@echo ''
	@echo '  make module       build build/module/kvm_vhe.ko for the stock kernel'
	@echo '  make module KDIR=/path/to/build   ... for your own kernel, with your own tools'
	@echo '  make test         the tests that need no booted kernel'
	@echo '  make kernel       build a kernel of our own: the stock one'"'"'s source and patches/'
	@echo '                    (FLAVOUR=debug: with the kernel'"'"'s own checkers)'
	@echo '  make ... KERNEL=patched   or debug: run, check, module, lab and so on with that kernel'
	@echo '  make registers    make Documentation/registers.rst from the register table'
	@echo '  make fuzz         run the fuzz targets (TARGET=, SECONDS=; INPUT= runs one input)'
	@echo '  make upstream     build the kernel'"'"'s own KVM selftests; make lab then has them too'
	@echo '  make lab          a shell in the booted host with the module loaded'
	@echo '                    (HOST=ckvm: the same kernel with its own KVM; CPUS=, MEMORY=, CPU=)'
	@echo '  make install      install the module that was built last (DESTDIR=)'
	@echo '  make setup        only set up: build root, kernel, disks'
	@echo '  make update       look for newer packages and a newer kernel, set up with them'
	@echo '  make clean        remove what was built here'
	@echo '  make distclean    remove also the set-up, the folder CACHE'
	@echo ''
	@echo 'Set-up keeps everything in CACHE=$${XDG_CACHE_HOME:-~/.cache}/kvm-vhe, almost 5 GB.'
	@echo 'Documentation/building.rst has the rest.'

ready:
	@$(SETUP)
ifneq ($(KERNEL),stock)
	@tools/kernel/make $(KERNEL)
endif

kernel:
	@$(SETUP)
	@tools/kernel/make $(FLAVOUR)

setup: ready
	@. build/setup.env; echo "set up: Linux $$RELEASE, everything in $$CACHE"

update:
	@$(SETUP) --update

run: ready
	@$(INSIDE) run

check check-all: ready
	@mkdir -p $(BUILD)/check
	@tools/setup/test >$(BUILD)/check/setup.tap; \
	$(INSIDE) $@

test: ready
	@$(INSIDE) test

registers: ready
	@$(INSIDE) registers

fuzz: ready
	@$(INSIDE) fuzz TARGET='$(TARGET)' SECONDS='$(SECONDS)' INPUT='$(INPUT)'

upstream: ready
	@$(INSIDE) upstream

lab: ready
	@$(INSIDE) lab HOST='$(HOST)' CPUS='$(CPUS)' MEMORY='$(MEMORY)' CPU='$(CPU)'

ifeq ($(KDIR),)
module: ready
	@$(INSIDE) module
else
module:
	@tools/kdir-build '$(KDIR)'
endif

install:
	@tools/install '$(DESTDIR)'

clean:
	rm -rf build

distclean: clean
	@$(SETUP) --remove
