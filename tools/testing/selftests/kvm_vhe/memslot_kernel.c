// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what becomes of the kernel's own writes to guest memory when the slot changes
 * meanwhile: one that is deleted is not written to afterwards, and one that moves takes
 * along what its log has to say. Runs on the module and on C KVM.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define PAGE		4096UL
#define IPA		0x80000000UL
#define ELSEWHERE	0xc0000000UL
#define FN_PV_TIME_ST	0xc5000021UL

GUEST uint64_t ask_for_time(uint64_t unused);
GUEST uint64_t ask_for_time(uint64_t unused)
{
	(void)unused;
	return guest_hvc(FN_PV_TIME_ST, 0, 0, 0);
}

FIXTURE(memslot_kernel)
{
	struct vm vm;
	struct vcpu vcpu;
	/* The slot's page, which is not there until the test says so. */
	unsigned char *page;
	int uffd;
	pthread_t runner;
};

FIXTURE_SETUP(memslot_kernel)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (self->uffd < 0 || ioctl(self->uffd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd");
	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	range.range.start = (unsigned long)self->page;
	range.range.len = PAGE;
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &range));
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(memslot_kernel)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->page, PAGE);
	close(self->uffd);
}

/* A change of slot 1 by another thread. */
struct change {
	struct vm *vm;
	uint64_t ipa;
	size_t size;
	void *page;
	uint32_t flags;
	int ret;
	volatile bool done;
	pthread_t thread;
};

static void *make_change(void *arg)
{
	struct change *c = arg;

	c->ret = vm_memory(c->vm, 1, c->ipa, c->size, c->page, c->flags);
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * Begins a write of the vCPU's stolen time to the page, in slot 1, and lets it end when the
 * slot has been asked to change for a while: the change does not return before.
 */
static void change_during_write(struct __test_metadata *_metadata,
			       FIXTURE_DATA(memslot_kernel) *self, uint32_t flags,
			       struct change *change)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (unsigned long)self->page, .len = PAGE },
	};
	struct pollfd pollfd = { .fd = self->uffd, .events = POLLIN };
	struct uffd_msg message;
	uint64_t ipa = IPA;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (unsigned long)&ipa,
	};
	struct vcpu *v = &self->vcpu;

	change->vm = &self->vm;
	ASSERT_EQ(0, vm_memory(&self->vm, 1, IPA, PAGE, self->page, flags));
	ASSERT_EQ(0, kvm_ioctl(v->fd, KVM_SET_DEVICE_ATTR, (unsigned long)&attr));
	ASSERT_EQ(0, vcpu_start(v, ask_for_time, 0, 0));
	ASSERT_EQ(0, pthread_create(&self->runner, NULL, guest_thread, v));
	ASSERT_EQ(1, poll(&pollfd, 1, 20000));
	ASSERT_EQ((ssize_t)sizeof(message), read(self->uffd, &message, sizeof(message)));
	EXPECT_EQ(UFFD_EVENT_PAGEFAULT, message.event);

	ASSERT_EQ(0, pthread_create(&change->thread, NULL, make_change, change));
	msleep(300);
	EXPECT_EQ(false, change->done);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(change->thread, NULL);
	EXPECT_EQ(0, change->ret);
}

static void end_run(struct __test_metadata *_metadata, FIXTURE_DATA(memslot_kernel) *self)
{
	void *event;

	pthread_join(self->runner, &event);
	EXPECT_EQ(GUEST_DONE, (long)event);
	EXPECT_EQ(IPA, self->vcpu.value);
}

TEST_F(memslot_kernel, deletion_waits)
{
	struct change deletion = {};
	struct vcpu *v = &self->vcpu;

	change_during_write(_metadata, self, 0, &deletion);
	memset(self->page, 0xa5, PAGE);
	end_run(_metadata, self);
	/* The time goes on, and nobody writes it there. */
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, guest_finish(v, ask_for_time, 0, 0));
		sched_yield();
	}
	for (unsigned int i = 0; i < PAGE; i++)
		ASSERT_EQ(0xa5, self->page[i]);
	/* A slot that nobody uses goes at once. */
	ASSERT_EQ(0, vm_memory(&self->vm, 1, IPA, PAGE, self->page, 0));
	EXPECT_EQ(0, vm_memory(&self->vm, 1, 0, 0, NULL, 0));
}

/* C KVM looks for the slot where it was. */
TEST_F(memslot_kernel, a_move_takes_the_mark_along)
{
	struct change move = {
		.ipa = ELSEWHERE, .size = PAGE, .page = self->page,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
	};
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bitmap };

	if (!host_is_module())
		SKIP(return, "C KVM loses the mark");
	change_during_write(_metadata, self, KVM_MEM_LOG_DIRTY_PAGES, &move);
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log));
	EXPECT_EQ(1, bitmap);
	end_run(_metadata, self);
}

TEST_HARNESS_MAIN
