// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what becomes of a guest's faults where the VMM's memory is not ordinary: pages
 * with a hardware error, for which the VMM gets a signal that says where and how much is
 * lost; a device's registers; memory that the VMM moves, maps read-only or has copied on
 * write; and memory that is mapped before the guest uses it (KVM_PRE_FAULT_MEMORY).
 * Runs on the module and on C KVM, which has no pre-faulting, as root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/memfd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define IPA		0x48000000UL
#define DEVICE_IPA	0x11000000UL
#define PAGE		4096UL
#define M2		(2UL << 20)
#define SIZE		(4 * M2)

GUEST uint64_t load(uint64_t at);
GUEST uint64_t load(uint64_t at)
{
	return *(volatile uint64_t *)at;
}

GUEST uint64_t load_word(uint64_t at);
GUEST uint64_t load_word(uint64_t at)
{
	return *(volatile uint32_t *)at;
}

GUEST uint64_t store(uint64_t at);
GUEST uint64_t store(uint64_t at)
{
	*(volatile uint64_t *)at = ~at;
	return 0;
}

FIXTURE(faults)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *area, *mem;
};

FIXTURE_SETUP(faults)
{
	self->area = mmap(NULL, SIZE + M2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	self->mem = (void *)(((uintptr_t)self->area + M2 - 1) & ~(M2 - 1));
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(faults)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->area, SIZE + M2);
}

static int guest(FIXTURE_DATA(faults) *self, void *fn, uint64_t at)
{
	return guest_finish(&self->vcpu, fn, at, GUEST_MMU);
}

static sigjmp_buf back;
static siginfo_t signalled;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	signalled = *info;
	siglongjmp(back, 1);
}

/* The guest loads from a page with a hardware error: what the VMM is told. */
static void poisoned(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self,
		     unsigned char *mem, uint64_t offset, int lsb)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	uint64_t page = 1UL << lsb;

	sigaction(SIGBUS, &action, NULL);
	/* Who injects an error may be told of it as well. */
	if (!sigsetjmp(back, 1) && madvise(mem + offset, PAGE, MADV_HWPOISON)) {
		signal(SIGBUS, SIG_DFL);
		SKIP(return, "MADV_HWPOISON: %s", strerror(errno));
	}
	memset(&signalled, 0, sizeof(signalled));
	if (!sigsetjmp(back, 1)) {
		guest(self, load, IPA + offset + 0x40);
		EXPECT_TRUE(false) TH_LOG("the guest has read 0x%lx", (long)self->vcpu.value);
	} else {
		EXPECT_EQ(SIGBUS, signalled.si_signo);
		EXPECT_EQ(BUS_MCEERR_AR, signalled.si_code);
		EXPECT_EQ(lsb, signalled.si_addr_lsb);
		EXPECT_EQ((uintptr_t)(mem + offset) & ~(page - 1),
			  (uintptr_t)signalled.si_addr & ~(page - 1));
	}
	signal(SIGBUS, SIG_DFL);
	/* Others are as they were. */
	self->vcpu.run->immediate_exit = 0;
	ASSERT_EQ(0, guest(self, load, IPA + (offset ^ page)));
	EXPECT_EQ((offset ^ page) + 1, self->vcpu.value);
}

TEST_F(faults, poisoned_page)
{
	uint64_t at;

	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	for (at = 0; at < 16 * PAGE; at += PAGE)
		*(uint64_t *)(self->mem + at) = at + 1;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, 0));
	for (at = 0; at < 16 * PAGE; at += PAGE) {
		ASSERT_EQ(0, guest(self, load, IPA + at));
		EXPECT_EQ(at + 1, self->vcpu.value);
	}
	poisoned(_metadata, self, self->mem, 5 * PAGE, 12);
}

TEST_F(faults, poisoned_huge_page)
{
	unsigned char *mem;
	char before[32];
	int fd;

	ASSERT_TRUE(read_text("/proc/sys/vm/nr_hugepages", before, sizeof(before)));
	write_text("/proc/sys/vm/nr_hugepages", "4");
	fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB);
	if (fd < 0 || ftruncate(fd, 2 * M2))
		SKIP(return, "no huge pages");
	mem = mmap(NULL, 2 * M2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		SKIP(return, "no memory for huge pages");
	*(uint64_t *)(mem + 0x3000) = 0x3001;
	*(uint64_t *)(mem + M2 + 0x3000) = M2 + 0x3001;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 2 * M2, mem, 0));
	ASSERT_EQ(0, guest(self, load, IPA + 0x3000));
	EXPECT_EQ(0x3001, self->vcpu.value);
	poisoned(_metadata, self, mem, 0x3000, 21);
	munmap(mem, 2 * M2);
	close(fd);
	write_text("/proc/sys/vm/nr_hugepages", before);
}

/* The registers of a virtio disk, whose driver lets go of it first: their mapping. */
static void *device_registers(void)
{
	const char *top = "/sys/bus/pci/devices";
	void *found = MAP_FAILED;
	struct dirent *entry;
	DIR *dir = opendir(top);

	while (dir && found == MAP_FAILED && (entry = readdir(dir))) {
		char path[512], text[16];
		int fd;

		snprintf(path, sizeof(path), "%s/%s/vendor", top, entry->d_name);
		if (!read_text(path, text, sizeof(text)) || strcmp(text, "0x1af4"))
			continue;
		snprintf(path, sizeof(path), "%s/%s/class", top, entry->d_name);
		if (!read_text(path, text, sizeof(text)) || strcmp(text, "0x010000"))
			continue;
		snprintf(path, sizeof(path), "%s/%s/driver/unbind", top, entry->d_name);
		write_text(path, entry->d_name);
		snprintf(path, sizeof(path), "%s/%s/enable", top, entry->d_name);
		write_text(path, "1");
		/* What all modern virtio devices have comes first there. */
		snprintf(path, sizeof(path), "%s/%s/resource4", top, entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		found = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* driver_feature_select in struct virtio_pci_common_cfg, which may be written. */
#define REGISTER	8UL

TEST_F(faults, device_registers)
{
	volatile uint32_t *device = device_registers(), *reg;

	if (device == MAP_FAILED)
		SKIP(return, "no virtio disk to spare");
	reg = device + REGISTER / 4;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, DEVICE_IPA, PAGE, (void *)device, 0));
	*reg = 1;
	EXPECT_EQ(1, *reg);
	ASSERT_EQ(0, guest(self, load_word, DEVICE_IPA + REGISTER));
	EXPECT_EQ(1, (uint32_t)self->vcpu.value);
	*reg = 0;
	ASSERT_EQ(0, guest(self, load_word, DEVICE_IPA + REGISTER));
	EXPECT_EQ(0, (uint32_t)self->vcpu.value);
	/* It goes with its mapping: what is there then is the VMM's fault. */
	munmap((void *)device, PAGE);
	EXPECT_NE(0, guest(self, load_word, DEVICE_IPA + REGISTER));
	EXPECT_EQ(-EFAULT, self->vcpu.error);
}

/* The pages move to another place, and other pages come. */
TEST_F(faults, moved)
{
	unsigned char *away;

	*(uint64_t *)(self->mem + 3 * PAGE) = 7;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, 0));
	ASSERT_EQ(0, guest(self, load, IPA + 3 * PAGE));
	EXPECT_EQ(7, self->vcpu.value);
	away = mremap(self->mem, M2, M2, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, away);
	ASSERT_EQ(0, guest(self, load, IPA + 3 * PAGE));
	EXPECT_EQ(0, self->vcpu.value);
	EXPECT_EQ(7, *(uint64_t *)(away + 3 * PAGE));
	munmap(away, M2);
}

/* Neither a child of the VMM nor the guest sees what the other writes after a fork. */
TEST_F(faults, fork)
{
	uint64_t *word = (uint64_t *)(self->mem + PAGE);
	int status, go[2];
	pid_t child;
	char c;

	*word = 1;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, 0));
	ASSERT_EQ(0, guest(self, store, IPA + PAGE));
	EXPECT_EQ(~(IPA + PAGE), *word);
	*word = 2;
	ASSERT_EQ(0, pipe(go));
	child = fork();
	if (!child) {
		/* When the guest has written. */
		if (read(go[0], &c, 1) != 1)
			_exit(3);
		_exit(*word == 2 ? 0 : 1);
	}
	ASSERT_EQ(0, guest(self, store, IPA + PAGE));
	EXPECT_EQ(~(IPA + PAGE), *word);
	ASSERT_EQ(1, write(go[1], "g", 1));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("the child has seen what the guest wrote");
	close(go[0]);
	close(go[1]);
}

/* Read-only for the VMM: the guest reads, and its write is the VMM's fault. */
TEST_F(faults, protected)
{
	*(uint64_t *)self->mem = 5;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, 0));
	ASSERT_EQ(0, guest(self, store, IPA + 8));
	ASSERT_EQ(0, mprotect(self->mem, M2, PROT_READ));
	ASSERT_EQ(0, guest(self, load, IPA));
	EXPECT_EQ(5, self->vcpu.value);
	EXPECT_NE(0, guest(self, store, IPA));
	EXPECT_EQ(-EFAULT, self->vcpu.error);
	EXPECT_EQ(5, *(uint64_t *)self->mem);
	ASSERT_EQ(0, mprotect(self->mem, M2, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, guest(self, store, IPA));
	EXPECT_EQ(~IPA, *(uint64_t *)self->mem);
}

static int pre_fault(int fd, struct kvm_pre_fault_memory *range, uint64_t gpa, uint64_t size)
{
	*range = (struct kvm_pre_fault_memory){ .gpa = gpa, .size = size };
	return kvm_ioctl(fd, KVM_PRE_FAULT_MEMORY, (unsigned long)range);
}

TEST_F(faults, before_use)
{
	struct kvm_pre_fault_memory range;
	int fd = self->vcpu.fd;
	long faults;

	if (kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) <= 0) {
		EXPECT_GT(0, pre_fault(fd, &range, IPA, PAGE));
		SKIP(return, "no KVM_CAP_PRE_FAULT_MEMORY");
	}
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	memset(self->mem, 1, 64 * PAGE);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 64 * PAGE, self->mem, 0));
	EXPECT_EQ(-EINVAL, pre_fault(fd, &range, IPA, 0));
	EXPECT_EQ(-EINVAL, pre_fault(fd, &range, IPA + 8, PAGE));
	EXPECT_EQ(-EINVAL, pre_fault(fd, &range, IPA, PAGE + 8));
	EXPECT_EQ(-EINVAL, pre_fault(fd, &range, -PAGE, 2 * PAGE));
	range = (struct kvm_pre_fault_memory){ .gpa = IPA, .size = PAGE, .flags = 1 };
	EXPECT_EQ(-EINVAL, kvm_ioctl(fd, KVM_PRE_FAULT_MEMORY, (unsigned long)&range));
	EXPECT_EQ(-EFAULT, kvm_ioctl(fd, KVM_PRE_FAULT_MEMORY, 8));
	EXPECT_EQ(-ENOENT, pre_fault(fd, &range, IPA - PAGE, PAGE));
	EXPECT_EQ(IPA - PAGE, range.gpa);

	/* As far as there is memory, and what is left. */
	EXPECT_EQ(0, pre_fault(fd, &range, IPA, 66 * PAGE));
	EXPECT_EQ(IPA + 64 * PAGE, range.gpa);
	EXPECT_EQ(2 * PAGE, range.size);
	EXPECT_EQ(-ENOENT, kvm_ioctl(fd, KVM_PRE_FAULT_MEMORY, (unsigned long)&range));

	/* The guest takes no fault there. */
	ASSERT_EQ(0, guest(self, load, GUEST_FREE));
	faults = vcpu_counter(&self->vcpu, "stage2_fault_exits");
	ASSERT_EQ(0, guest(self, load, IPA + 33 * PAGE));
	EXPECT_EQ(0x0101010101010101UL, self->vcpu.value);
	ASSERT_EQ(0, guest(self, store, IPA + 34 * PAGE));
	EXPECT_EQ(~(IPA + 34 * PAGE), *(uint64_t *)(self->mem + 34 * PAGE));
	/* Each run ends by an access to where no memory is. */
	if (faults >= 0) {
		EXPECT_EQ(faults + 2, vcpu_counter(&self->vcpu, "stage2_fault_exits"));
	}
}

TEST_HARNESS_MAIN
