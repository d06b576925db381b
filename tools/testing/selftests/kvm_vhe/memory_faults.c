// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what becomes of a guest's faults where the VMM moves its memory, maps it read-only,
 * not at all or has it copied on write; holes that a userfaultfd fills; and memory that is
 * mapped before the guest uses it (KVM_PRE_FAULT_MEMORY).
 * Runs on the module and on C KVM, which has no pre-faulting.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define IPA		0x48000000UL
#define PAGE		4096UL
#define M2		(2UL << 20)
#define SIZE		(4 * M2)

GUEST uint64_t load(uint64_t at);
GUEST uint64_t load(uint64_t at)
{
	return *(volatile uint64_t *)at;
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

/* A slot with nothing behind it: the error, and where the guest was (KVM_EXIT_MEMORY_FAULT). */
TEST_F(faults, nothing_there)
{
	bool told = kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_FAULT_INFO) > 0;
	struct kvm_run *run = self->vcpu.run;
	void *const accesses[] = { load, store };
	unsigned int i;

	EXPECT_EQ(host_is_module(), told);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, 0));
	for (i = 0; i < ARRAY_LEN(accesses); i++) {
		ASSERT_EQ(0, munmap(self->mem + 7 * PAGE, PAGE));
		memset(&run->memory_fault, 0x55, sizeof(run->memory_fault));
		EXPECT_NE(0, guest(self, accesses[i], IPA + 7 * PAGE + 0x238));
		EXPECT_EQ(-EFAULT, self->vcpu.error);
		if (told) {
			EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, run->exit_reason);
			EXPECT_EQ(0, run->memory_fault.flags);
			EXPECT_EQ(IPA + 7 * PAGE, run->memory_fault.gpa);
			EXPECT_EQ(PAGE, run->memory_fault.size);
		}
		/* The VMM finds some, and the access goes on. */
		ASSERT_EQ(self->mem + 7 * PAGE,
			  mmap(self->mem + 7 * PAGE, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	}
	EXPECT_EQ(~(IPA + 7 * PAGE + 0x238), *(uint64_t *)(self->mem + 7 * PAGE + 0x238));
}

/* Stores of which a data abort does not say what was to be stored. */
GUEST uint64_t store_pre_indexed(uint64_t at);
GUEST uint64_t store_pre_indexed(uint64_t at)
{
	uint64_t below = at - 8;

	asm volatile("str	%1, [%0, #8]!" : "+r" (below) : "r" (at) : "memory");
	return below - at;
}

GUEST uint64_t zero_block(uint64_t at);
GUEST uint64_t zero_block(uint64_t at)
{
	asm volatile("dc	zva, %0" : : "r" (at) : "memory");
	return 0;
}

/* Fills the hole that is asked for first. */
struct filler {
	int uffd;
	unsigned char *content;
	struct uffd_msg asked;
	long copied;
};

static void *filling(void *arg)
{
	struct filler *f = arg;
	struct pollfd asked = { .fd = f->uffd, .events = POLLIN };
	struct uffdio_copy copy = { .src = (uintptr_t)f->content, .len = PAGE };

	if (poll(&asked, 1, -1) == 1 && read(f->uffd, &f->asked, sizeof(f->asked)) > 0) {
		copy.dst = f->asked.arg.pagefault.address;
		ioctl(f->uffd, UFFDIO_COPY, &copy);
		f->copied = copy.copy;
	}
	return NULL;
}

/*
 * There is a hole where a read-only slot's memory is to be. Nobody fills it for a store that
 * cannot be; a load does ask for it, to read.
 */
TEST_F(faults, hole_in_a_read_only_slot)
{
	void *const stores[] = { store_pre_indexed, zero_block };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)self->mem, .len = M2 },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct filler f = { .uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK),
			    .content = self->mem + M2 };
	struct pollfd asked = { .fd = f.uffd, .events = POLLIN };
	pthread_t thread;
	unsigned int i;

	ASSERT_LE(0, f.uffd);
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	memset(f.content, 7, PAGE);
	ASSERT_EQ(0, ioctl(f.uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(f.uffd, UFFDIO_REGISTER, &range));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, KVM_MEM_READONLY));
	for (i = 0; i < 2; i++) {
		EXPECT_NE(0, guest(self, stores[i], IPA));
		EXPECT_EQ(-ENOSYS, self->vcpu.error);
		EXPECT_EQ(0, poll(&asked, 1, 0));
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, filling, &f));
	ASSERT_EQ(0, guest(self, load, IPA));
	EXPECT_EQ(0x0707070707070707UL, self->vcpu.value);
	pthread_join(thread, NULL);
	EXPECT_EQ((long)PAGE, f.copied);
	EXPECT_EQ((uintptr_t)self->mem, f.asked.arg.pagefault.address);
	EXPECT_EQ(0, f.asked.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE);
	/* It is there, and as it was. */
	for (i = 0; i < 2; i++) {
		EXPECT_NE(0, guest(self, stores[i], IPA));
		EXPECT_EQ(-ENOSYS, self->vcpu.error);
	}
	EXPECT_EQ(0, memcmp(self->mem, f.content, PAGE));
	close(f.uffd);
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
