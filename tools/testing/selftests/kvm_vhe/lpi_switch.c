// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that come while the guest switches its LPIs on and off by
 * GICR_CTLR.EnableLPIs: none is lost that finds them enabled, none arrives after they
 * were disabled. Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gic.h"
#include "its.h"

#define GICR_CTLR	GUEST_GICR
#define ENABLE_LPIS	1
#define RWP		8

/* How often the guest looks for an interrupt that was sent. */
#define TRIES		5000

/* Words of the guest's area. */
enum { ROUND, SENT, TAKEN };

/* Acknowledges and ends an interrupt if there is one. */
GUEST_INLINE bool take_one(void)
{
	uint64_t intid = gic_acknowledge();

	if (intid == GIC_SPURIOUS)
		return false;
	gic_end(intid);
	return true;
}

GUEST_INLINE void disable_lpis(void)
{
	gic_write32(GICR_CTLR, 0);
	while (gic_read32(GICR_CTLR) & RWP)
		;
}

/* One message is sent in each round as soon as LPIs are enabled. Returns how many were lost. */
GUEST uint64_t enables(uint64_t rounds);
GUEST uint64_t enables(uint64_t rounds)
{
	volatile uint64_t *data = guest_area()->data;
	uint64_t i, tries, lost = 0;

	gic_start(0, true);
	disable_lpis();
	for (i = 1; i <= rounds; i++) {
		data[ROUND] = i;
		gic_write32(GICR_CTLR, ENABLE_LPIS);
		while (data[SENT] != i)
			;
		for (tries = 0; tries < TRIES && !take_one(); tries++)
			;
		lost += tries == TRIES;
		disable_lpis();
	}
	return lost;
}

/* Messages come all the time. Returns how many came where LPIs were disabled. */
GUEST uint64_t disables(uint64_t rounds);
GUEST uint64_t disables(uint64_t rounds)
{
	volatile uint64_t *data = guest_area()->data;
	uint64_t i, tries, late = 0;

	gic_start(0, true);
	for (i = 0; i < rounds; i++) {
		gic_write32(GICR_CTLR, ENABLE_LPIS);
		for (tries = 0; tries < 50 + 37 * i % 64; tries++)
			data[TAKEN] += take_one();
		disable_lpis();
		for (tries = 0; tries < 100; tries++)
			late += take_one();
	}
	return late;
}

FIXTURE(lpis)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *mem;
	int its;
};

FIXTURE_SETUP(lpis)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	self->mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, ITS_MEM, ITS_MEM_SIZE, self->mem, 0));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	self->its = vm_gic_and_its(&self->vm, self->mem);
	if (self->its == -ENODEV)
		SKIP(return, "no ITS here");
	ASSERT_GE(self->its, 0);
}

FIXTURE_TEARDOWN(lpis)
{
	close(self->its);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, ITS_MEM_SIZE);
}

/* The test that is under way, for the thread that sends. */
struct sender {
	FIXTURE_DATA(lpis) *self;
	uint64_t rounds;
	atomic_int stop;
	atomic_int error;
	atomic_ulong sent;
};

/* A message that is not wanted returns EBUSY. */
static bool send(struct sender *sender, unsigned int event)
{
	int ret = vm_message(&sender->self->vm, ITS_DEVICE, event);

	if (ret < 0 && ret != -EBUSY)
		sender->error = ret;
	sender->sent += ret == 1;
	return ret == 1;
}

/* The last event has the LPI that is looked at last when a pending table is loaded. */
static void *one_a_round(void *arg)
{
	struct sender *sender = arg;
	volatile uint64_t *data = sender->self->vcpu.area->data;
	uint64_t i;

	for (i = 1; i <= sender->rounds; i++) {
		while (data[ROUND] != i && !sender->stop)
			;
		while (!send(sender, ITS_EVENTS - 1) && !sender->stop && !sender->error)
			;
		data[SENT] = i;
	}
	return NULL;
}

static void *always(void *arg)
{
	struct sender *sender = arg;
	unsigned int n;

	for (n = 0; !sender->stop; n++)
		send(sender, n % ITS_EVENTS);
	return NULL;
}

/* Runs the guest's function beside a thread that sends; returns what it does, or ~0. */
static uint64_t race(FIXTURE_DATA(lpis) *self, void *fn, void *(*sends)(void *), uint64_t rounds)
{
	struct sender sender = { .self = self, .rounds = rounds };
	pthread_t thread;
	int ret;

	if (pthread_create(&thread, NULL, sends, &sender))
		return ~0UL;
	ret = guest_finish(&self->vcpu, fn, rounds, 0);
	sender.stop = 1;
	pthread_join(thread, NULL);
	printf("# %lu messages, %lu taken\n", (unsigned long)sender.sent,
	       (unsigned long)self->vcpu.area->data[TAKEN]);
	return ret || sender.error ? ~0UL : self->vcpu.value;
}

/* C KVM writes what the pending table has over a message that came first. */
TEST_F_TIMEOUT(lpis, message_while_they_are_enabled, 120)
{
	uint64_t lost = race(self, enables, one_a_round, scaled(2000));

	EXPECT_EQ(host_is_module() ? 0 : lost, lost);
	EXPECT_NE(~0UL, lost);
}

/* C KVM notes a translation that others have just made it forget. */
TEST_F_TIMEOUT(lpis, messages_while_they_are_disabled, 120)
{
	uint64_t late = race(self, disables, always, scaled(5000));

	EXPECT_EQ(host_is_module() ? 0 : late, late);
	EXPECT_NE(~0UL, late);
}

TEST_HARNESS_MAIN
