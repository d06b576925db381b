// SPDX-License-Identifier: GPL-2.0
/*
 * Shows irqfds whose route is a message to an ITS, also while that is busy. Runs on the
 * module and on C KVM.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "irqfd.h"
#include "its.h"

static struct kvm_irq_routing_entry msi(unsigned int gsi, unsigned int device, unsigned int event)
{
	struct kvm_irq_routing_entry entry = {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID,
		.u.msi = { .address_lo = ITS_DOORBELL, .devid = device, .data = event },
	};

	return entry;
}

/* Messages to an ITS, the first of which has its translation looked up. */
TEST(messages)
{
	struct kvm_irq_routing_entry entries[ITS_EVENTS + 3];
	unsigned int i, j, n = scaled(20);
	unsigned char *mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fds[ARRAY_LEN(entries)], its;
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	ASSERT_NE(mem, MAP_FAILED);
	ASSERT_EQ(vm_create(&vm), 0);
	ASSERT_EQ(vm_memory(&vm, 1, ITS_MEM, ITS_MEM_SIZE, mem, 0), 0);
	ASSERT_EQ(vcpu_create(&vm, &vcpu, 0), 0);
	its = vm_gic_and_its(&vm, mem);
	if (its == -ENODEV)
		SKIP(return, "no ITS here");
	ASSERT_GE(its, 0);
	close(its);
	for (i = 0; i < 16; i++)
		entries[i] = msi(i, 1, i);
	/* No such event, no DeviceID, no doorbell: nothing. */
	entries[16] = msi(16, 1, 16);
	/* C KVM takes the DeviceID that is not valid if the event's translation is cached. */
	entries[17] = msi(17, 1, host_is_module() ? 0 : 16);
	entries[17].flags = 0;
	entries[18] = msi(18, 1, 0);
	entries[18].u.msi.address_lo = ITS + 0x20040;
	ASSERT_EQ(set_routes(&vm, entries, ARRAY_LEN(entries), 0), 0);
	for (i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_EQ(irqfd(&vm, fds[i], i, 0, -1), 0);
	}
	ASSERT_EQ(start(&vcpu, EDGE, &thread), 0);
	for (j = 1; j <= n; j++) {
		for (i = 0; i < ARRAY_LEN(fds); i++)
			ring(fds[i]);
		for (i = 0; i < 16; i++) {
			ASSERT_TRUE(guest_counts(&vcpu, LPI(i) & 511, j))
				TH_LOG("event %u, time %u", i, j);
		}
	}
	EXPECT_EQ(stop(&vm, &vcpu, thread), 16 * n);
	for (i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	munmap(mem, ITS_MEM_SIZE);
}

/* An ITS that is saved, and what came of it. */
struct stopped_its {
	int its;
	int ret;
};

static void *save_tables(void *arg)
{
	struct stopped_its *stopped = arg;

	stopped->ret = device_set(stopped->its, KVM_DEV_ARM_VGIC_GRP_CTRL,
				KVM_DEV_ARM_ITS_SAVE_TABLES, 0);
	return NULL;
}

/* More than a work queue of the system does at once on a CPU. */
#define BLOCKED	1100

/*
 * A VMM keeps its ITS busy by memory that does not come, and has many messages wait for
 * it. Those of another VM arrive all the same: they do not need the same threads.
 */
TEST(blocked_messages)
{
	struct kvm_irq_routing_entry entry = msi(0, 1, 0);
	struct rlimit files = { BLOCKED + 100, BLOCKED + 100 };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage page;
	struct stopped_its stopped;
	int fds[BLOCKED], its[2], other, uffd, v;
	unsigned char *mem[2];
	struct vcpu vcpus[2];
	struct vm vms[2];
	pthread_t saver, runner;
	struct pollfd event;
	cpu_set_t cpu;
	unsigned int i;

	if (!host_is_module())
		SKIP(return, "C KVM has the system's work queue do it");
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		SKIP(return, "no userfaultfd here");
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (v = 0; v < 2; v++) {
		mem[v] = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(mem[v], MAP_FAILED);
		ASSERT_EQ(vm_create(&vms[v]), 0);
		ASSERT_EQ(vm_memory(&vms[v], 1, ITS_MEM, ITS_MEM_SIZE, mem[v], 0), 0);
		ASSERT_EQ(vcpu_create(&vms[v], &vcpus[v], 0), 0);
		its[v] = vm_gic_and_its(&vms[v], mem[v]);
		if (its[v] == -ENODEV)
			SKIP(return, "no ITS here");
		ASSERT_GE(its[v], 0);
		ASSERT_EQ(set_routes(&vms[v], &entry, 1, 0), 0);
	}
	stopped.its = its[0];
	for (i = 0; i < BLOCKED; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_EQ(irqfd(&vms[0], fds[i], 0, 0, -1), 0);
	}
	other = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(irqfd(&vms[1], other, 0, 0, -1), 0);
	ASSERT_EQ(start(&vcpus[1], EDGE, &runner), 0);

	/* The device table, which is written last, is gone. */
	ASSERT_EQ(ioctl(uffd, UFFDIO_API, &api), 0);
	range.range.start = (uintptr_t)mem[0] + 0x10000;
	range.range.len = 0x10000;
	ASSERT_EQ(madvise((void *)(uintptr_t)range.range.start, range.range.len, MADV_DONTNEED), 0);
	ASSERT_EQ(ioctl(uffd, UFFDIO_REGISTER, &range), 0);
	ASSERT_EQ(pthread_create(&saver, NULL, save_tables, &stopped), 0);
	event = (struct pollfd) { .fd = uffd, .events = POLLIN };
	ASSERT_EQ(poll(&event, 1, 10000), 1);

	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
	for (i = 0; i < BLOCKED; i++)
		ring(fds[i]);
	ring(other);
	EXPECT_TRUE(guest_counts(&vcpus[1], LPI(0) & 511, 1));

	page = (struct uffdio_zeropage) { .range = range.range };
	ASSERT_EQ(ioctl(uffd, UFFDIO_ZEROPAGE, &page), 0);
	pthread_join(saver, NULL);
	EXPECT_EQ(stopped.ret, 0);
	EXPECT_EQ(stop(&vms[1], &vcpus[1], runner), 1);
	for (i = 0; i < BLOCKED; i++)
		close(fds[i]);
	close(other);
	close(uffd);
	for (v = 0; v < 2; v++) {
		close(its[v]);
		vcpu_destroy(&vcpus[v]);
		vm_destroy(&vms[v]);
		munmap(mem[v], ITS_MEM_SIZE);
	}
}

TEST_HARNESS_MAIN
