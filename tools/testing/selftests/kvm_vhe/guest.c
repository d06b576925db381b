// SPDX-License-Identifier: GPL-2.0
/* Makes VMs and vCPUs and runs the guest code of the test program in them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "guest.h"

_Static_assert(offsetof(struct guest_area, entry) == GUEST_AREA_ENTRY, "guest_entry.S");
_Static_assert(offsetof(struct guest_area, arg) == GUEST_AREA_ARG, "guest_entry.S");
_Static_assert(offsetof(struct guest_area, el0_return) == GUEST_AREA_EL0_RETURN, "guest_entry.S");
_Static_assert(offsetof(struct guest_area, code) == GUEST_AREA_CODE, "guest_entry.S");
_Static_assert(sizeof(struct guest_area) <= GUEST_AREA_SIZE / 2, "the stack needs room");

/* The linker's names for the ends of the section. */
extern char __start_guest_text[], __stop_guest_text[];

/* Page tables, 4 KiB granule, 39 bits: blocks of 1 GiB. */
#define PTE_BLOCK	1UL
#define PTE_ATTR(n)	((n) << 2)
#define PTE_EL0		(1UL << 6)
#define PTE_RDONLY	(1UL << 7)
#define PTE_INNER	(3UL << 8)
#define PTE_AF		(1UL << 10)
#define PTE_PXN		(1UL << 53)
#define PTE_UXN		(1UL << 54)
#define ATTR_NORMAL	0UL
#define ATTR_DEVICE	1UL
#define MAIR_VALUE	0x04ffUL
/* T0SZ 25, write-back, inner shareable, 4 KiB; TTBR1 not used; 40-bit addresses. */
#define TCR_VALUE	(25UL | 1UL << 8 | 1UL << 10 | 3UL << 12 | 25UL << 16 | 1UL << 23 | \
			 2UL << 30 | 2UL << 32)
/* What is RES1 without later features. */
#define SCTLR_VALUE	0x30d00980UL
#define CPACR_FPEN	(3UL << 20)
#define PSTATE_EL1H	0x3c5

/* An exception of the guest: counted and skipped if the area says so, else told. */
GUEST void guest_exception(struct guest_frame *frame);
GUEST void guest_exception(struct guest_frame *frame)
{
	struct guest_area *area = guest_area();
	uint64_t esr = GUEST_MRS("esr_el1");

	if (area->el0_return && esr == 0x56007e57 && frame->vector == 8) {
		frame->elr = area->el0_return;
		frame->spsr = PSTATE_EL1H;
		area->el0_return = 0;
		return;
	}
	area->esr = esr;
	area->elr = frame->elr;
	area->far = GUEST_MRS("far_el1");
	area->spsr = frame->spsr;
	area->vector = frame->vector;
	area->caught++;
	if (area->catch) {
		frame->elr = area->resume ? area->resume : frame->elr + 4;
		return;
	}
	guest_say(GUEST_SAY_ESR, esr);
	guest_say(GUEST_SAY_ELR, frame->elr);
	guest_say(GUEST_SAY_FAR, GUEST_MRS("far_el1"));
	guest_say(GUEST_SAY_SPSR, frame->spsr);
	guest_say(GUEST_SAY_VECTOR, frame->vector);
}

uint64_t guest_address(const void *fn)
{
	return GUEST_RAM + ((const char *)fn - __start_guest_text);
}

uint64_t guest_pa(struct vm *vm, const void *host)
{
	return GUEST_RAM + ((const unsigned char *)host - vm->ram);
}

int vm_memory(struct vm *vm, unsigned int slot, uint64_t ipa, uint64_t size, void *host,
	      unsigned int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .flags = flags, .guest_phys_addr = ipa, .memory_size = size,
		.userspace_addr = (unsigned long)host,
	};

	return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, (unsigned long)&region);
}

int vm_create(struct vm *vm)
{
	return vm_create_ipa(vm, 0);
}

int vm_create_ipa(struct vm *vm, unsigned int bits)
{
	size_t size = __stop_guest_text - __start_guest_text;
	uint64_t *table;
	int ret;

	vm->ram = MAP_FAILED;
	vm->fd = -1;
	vm->kvm = kvm_open();
	if (vm->kvm < 0)
		return vm->kvm;
	if (size > GUEST_TABLES - GUEST_RAM)
		return -E2BIG;
	vm->fd = kvm_ioctl(vm->kvm, KVM_CREATE_VM, KVM_VM_TYPE_ARM_IPA_SIZE(bits));
	if (vm->fd < 0)
		return vm->fd;
	vm->ram = mmap(NULL, GUEST_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	if (vm->ram == MAP_FAILED)
		return -errno;
	/* By pages, so that tests can count them; where huge ones are wanted, tests say so. */
	if (madvise(vm->ram, GUEST_RAM_SIZE, MADV_NOHUGEPAGE) && errno != EINVAL)
		return -errno;
	memcpy(vm->ram, __start_guest_text, size);
	table = (uint64_t *)(vm->ram + (GUEST_TABLES - GUEST_RAM));
	table[0] = PTE_BLOCK | PTE_ATTR(ATTR_DEVICE) | PTE_EL0 | PTE_AF | PTE_PXN | PTE_UXN;
	table[1] = GUEST_RAM | PTE_BLOCK | PTE_ATTR(ATTR_NORMAL) | PTE_INNER | PTE_AF | PTE_UXN;
	table[2] = GUEST_RAM | PTE_BLOCK | PTE_ATTR(ATTR_NORMAL) | PTE_INNER | PTE_AF | PTE_EL0 |
		   PTE_PXN;
	__builtin___clear_cache((char *)vm->ram, (char *)vm->ram + size);
	ret = vm_memory(vm, 0, GUEST_RAM, GUEST_RAM_SIZE, vm->ram, 0);
	return ret;
}

void vm_map_high(struct vm *vm, uint64_t ipa)
{
	uint64_t *table = (uint64_t *)(vm->ram + (GUEST_TABLES - GUEST_RAM)), n;

	for (n = ipa >> 30; n < (ipa >> 30) + 4; n++)
		table[n] = table[1] - GUEST_RAM + (n << 30);
}

void vm_destroy(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->ram != MAP_FAILED)
		munmap(vm->ram, GUEST_RAM_SIZE);
	if (vm->kvm >= 0)
		close(vm->kvm);
	vm->fd = vm->kvm = -1;
	vm->ram = MAP_FAILED;
}

int vm_device(struct vm *vm, unsigned int type)
{
	struct kvm_create_device device = { .type = type, .fd = -1 };
	int ret = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, (unsigned long)&device);

	return ret ? ret : (int)device.fd;
}

int device_attr(int fd, unsigned long cmd, unsigned int group, uint64_t number, void *value)
{
	struct kvm_device_attr attr = {
		.group = group, .attr = number, .addr = (unsigned long)value,
	};

	return kvm_ioctl(fd, cmd, (unsigned long)&attr);
}

int device_set(int fd, unsigned int group, uint64_t number, uint64_t value)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, group, number, &value);
}

int vm_gic(struct vm *vm)
{
	int gic = vm_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3), ret;

	if (gic < 0)
		return gic;
	ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GUEST_GICD);
	if (!ret)
		ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
				 GUEST_GICR);
	if (!ret)
		ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	close(gic);
	return ret;
}

static size_t run_size(struct vm *vm)
{
	long size = kvm_ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	return size > 0 ? size : getpagesize();
}

int vcpu_open(struct vm *vm, struct vcpu *vcpu, unsigned int id)
{
	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->run = MAP_FAILED;
	if (id < GUEST_VCPUS)
		vcpu->area = (void *)(vm->ram + (GUEST_AREA(id) - GUEST_RAM));
	vcpu->fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		return vcpu->fd;
	vcpu->run = mmap(NULL, run_size(vm), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	return vcpu->run == MAP_FAILED ? -errno : 0;
}

int vcpu_init(struct vcpu *vcpu, unsigned int features)
{
	struct kvm_vcpu_init init;
	int ret = kvm_ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, (unsigned long)&init);

	if (ret)
		return ret;
	init.features[0] |= features;
	return kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, (unsigned long)&init);
}

int vcpu_create(struct vm *vm, struct vcpu *vcpu, unsigned int id)
{
	int ret = vcpu_open(vm, vcpu, id);

	return ret ? ret : vcpu_init(vcpu, 1 << KVM_ARM_VCPU_PSCI_0_2);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run != MAP_FAILED)
		munmap(vcpu->run, run_size(vcpu->vm));
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = MAP_FAILED;
	vcpu->fd = -1;
}

int vcpu_start(struct vcpu *vcpu, void *fn, uint64_t arg, unsigned int flags)
{
	int ret = 0;

	/* What the last exit left to be done would be done to the new registers. */
	if (vcpu->run->exit_reason == KVM_EXIT_MMIO) {
		vcpu->run->immediate_exit = 1;
		kvm_ioctl(vcpu->fd, KVM_RUN, 0);
		vcpu->run->immediate_exit = 0;
	}
	if (flags & GUEST_MMU) {
		ret |= vcpu_set_reg(vcpu, MAIR_EL1, MAIR_VALUE);
		ret |= vcpu_set_reg(vcpu, TCR_EL1, TCR_VALUE);
		ret |= vcpu_set_reg(vcpu, TTBR0_EL1, GUEST_TABLES);
		ret |= vcpu_set_reg(vcpu, SCTLR_EL1, SCTLR_VALUE | SCTLR_M | SCTLR_C | SCTLR_I);
	} else {
		ret |= vcpu_set_reg(vcpu, SCTLR_EL1, SCTLR_VALUE);
	}
	ret |= vcpu_set_reg(vcpu, CPACR_EL1, CPACR_FPEN);
	ret |= vcpu_set_reg(vcpu, VBAR_EL1, guest_address(guest_vectors));
	ret |= vcpu_set_reg(vcpu, REG_SP_EL1, GUEST_AREA(vcpu->id) + GUEST_AREA_SIZE);
	ret |= vcpu_set_reg(vcpu, REG_PSTATE, PSTATE_EL1H);
	ret |= vcpu_set_reg(vcpu, REG_PC, guest_address(guest_entry));
	ret |= vcpu_set_reg(vcpu, REG_X(0), arg);
	ret |= vcpu_set_reg(vcpu, REG_X(1), guest_address(fn));
	return ret ? -EIO : 0;
}

enum guest_event guest_news(struct vcpu *vcpu, int ret)
{
	struct kvm_run *run = vcpu->run;

	vcpu->error = ret;
	if (ret)
		return GUEST_ERROR;
	if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write || run->mmio.len != 8 ||
	    run->mmio.phys_addr - GUEST_MMIO >= 0x1000)
		return GUEST_EXIT;
	vcpu->what = (run->mmio.phys_addr - GUEST_MMIO) / 8;
	memcpy(&vcpu->value, run->mmio.data, 8);
	switch (vcpu->what) {
	case GUEST_SAY_DONE:
		return GUEST_DONE;
	case GUEST_SAY_ESR:
		vcpu->esr = vcpu->value;
		return GUEST_AGAIN;
	case GUEST_SAY_ELR:
		vcpu->elr = vcpu->value;
		return GUEST_AGAIN;
	case GUEST_SAY_FAR:
		vcpu->far = vcpu->value;
		return GUEST_AGAIN;
	case GUEST_SAY_SPSR:
		vcpu->spsr = vcpu->value;
		return GUEST_AGAIN;
	case GUEST_SAY_VECTOR:
		vcpu->vector = vcpu->value;
		return GUEST_EXCEPTION;
	}
	return GUEST_SAID;
}

enum guest_event guest_run(struct vcpu *vcpu)
{
	enum guest_event event;

	do {
		event = guest_news(vcpu, kvm_ioctl(vcpu->fd, KVM_RUN, 0));
	} while (event == GUEST_AGAIN);
	return event;
}

const char *guest_told(struct vcpu *vcpu, enum guest_event event)
{
	static char text[160];

	switch (event) {
	case GUEST_SAID:
		snprintf(text, sizeof(text), "said %#x: %#lx", vcpu->what, vcpu->value);
		break;
	case GUEST_DONE:
		snprintf(text, sizeof(text), "done: %#lx", vcpu->value);
		break;
	case GUEST_EXCEPTION:
		snprintf(text, sizeof(text), "exception at vector %lu: ESR %#lx ELR %#lx FAR %#lx SPSR %#lx",
			 vcpu->vector, vcpu->esr, vcpu->elr, vcpu->far, vcpu->spsr);
		break;
	case GUEST_EXIT:
		if (vcpu->run->exit_reason == KVM_EXIT_MMIO)
			snprintf(text, sizeof(text), "MMIO %s of %u bytes at %#llx, PC %#lx",
				 vcpu->run->mmio.is_write ? "write" : "read", vcpu->run->mmio.len,
				 vcpu->run->mmio.phys_addr, vcpu_reg(vcpu, REG_PC));
		else
			snprintf(text, sizeof(text), "exit %u, PC %#lx", vcpu->run->exit_reason,
				 vcpu_reg(vcpu, REG_PC));
		break;
	case GUEST_AGAIN:
		return "nothing yet";
	case GUEST_ERROR:
		snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(-vcpu->error));
		break;
	}
	return text;
}

int guest_finish(struct vcpu *vcpu, void *fn, uint64_t arg, unsigned int flags)
{
	enum guest_event event;
	int ret = vcpu_start(vcpu, fn, arg, flags);

	if (ret)
		return ret;
	event = guest_run(vcpu);
	if (event == GUEST_DONE)
		return 0;
	printf("# vCPU %u: %s\n", vcpu->id, guest_told(vcpu, event));
	return -EPROTO;
}

void *guest_thread(void *vcpu)
{
	return (void *)(uintptr_t)guest_run(vcpu);
}

bool guest_counts(struct vcpu *vcpu, unsigned int word, uint64_t n)
{
	volatile uint64_t *count = &vcpu->area->data[word];
	unsigned int i;

	for (i = 0; i < 5000 && *count < n; i++)
		usleep(1000);
	return *count == n;
}

int reg_get(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = { id, (unsigned long)value };

	return kvm_ioctl(vcpu, KVM_GET_ONE_REG, (unsigned long)&reg);
}

int reg_set(int vcpu, uint64_t id, const void *value)
{
	struct kvm_one_reg reg = { id, (unsigned long)value };

	return kvm_ioctl(vcpu, KVM_SET_ONE_REG, (unsigned long)&reg);
}

uint64_t vcpu_reg(struct vcpu *vcpu, uint64_t id)
{
	uint64_t value;

	return reg_get(vcpu->fd, id, &value) ? ~0UL : value;
}

int vcpu_set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value)
{
	return reg_set(vcpu->fd, id, &value);
}

long vcpu_counter(struct vcpu *vcpu, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", vcpu->fd);
	return read_field(path, name);
}

long statistic(int fd, const char *name)
{
	struct { struct kvm_stats_desc desc; char name[STAT_NAME_SIZE]; } stat;
	struct kvm_stats_header header;
	uint64_t value, sum = 0;
	uint32_t i, n;
	off_t at;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return -1;
	for (i = 0; i < header.num_desc; i++) {
		if (pread(fd, &stat, sizeof(stat), header.desc_offset + i * sizeof(stat)) !=
		    sizeof(stat))
			return -1;
		if (strcmp(stat.name, name))
			continue;
		at = header.data_offset + stat.desc.offset;
		for (n = 0; n < stat.desc.size; n++) {
			if (pread(fd, &value, sizeof(value), at + 8 * n) != sizeof(value))
				return -1;
			sum += value;
		}
		return sum;
	}
	return -1;
}

struct kvm_reg_list *vcpu_reg_list(struct vcpu *vcpu)
{
	struct kvm_reg_list head = { .n = 0 }, *list;

	if (kvm_ioctl(vcpu->fd, KVM_GET_REG_LIST, (unsigned long)&head) != -E2BIG)
		return NULL;
	list = calloc(1, sizeof(*list) + head.n * sizeof(list->reg[0]));
	if (!list)
		return NULL;
	list->n = head.n;
	if (!kvm_ioctl(vcpu->fd, KVM_GET_REG_LIST, (unsigned long)list))
		return list;
	free(list);
	return NULL;
}

volatile unsigned long kicks;

static void kicked(int sig)
{
	(void)sig;
	kicks++;
}

int kick_every(unsigned int us)
{
	static __thread timer_t timer;
	static __thread bool made;
	struct sigaction action = { .sa_handler = kicked };
	struct itimerspec when = {
		.it_interval = { us / 1000000, us % 1000000 * 1000L },
		.it_value = { us / 1000000, us % 1000000 * 1000L },
	};
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2 };

	event._sigev_un._tid = syscall(SYS_gettid);
	if (!made && (sigaction(SIGUSR2, &action, NULL) ||
		      timer_create(CLOCK_MONOTONIC, &event, &timer)))
		return -errno;
	made = true;
	return timer_settime(timer, 0, &when, NULL) ? -errno : 0;
}
