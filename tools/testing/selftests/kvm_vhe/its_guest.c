// SPDX-License-Identifier: GPL-2.0
/*
 * Shows a guest that finds, enables and uses an ITS by its registers alone. Runs on the
 * module and on C KVM, as root.
 */
#include "its_vm.h"

/* Takes one LPI and ends it: its event; or ITS_EVENTS if none comes. */
GUEST_INLINE uint64_t take_one(uint64_t tries)
{
	uint64_t intid = GIC_SPURIOUS;

	while (tries-- && intid == GIC_SPURIOUS)
		intid = gic_acknowledge();
	if (intid == GIC_SPURIOUS)
		return ITS_EVENTS;
	gic_end(intid);
	return intid - LPI(0);
}

#define SOON	1000000
#define NEVER	1000

/* Has an event's LPI become pending; what this vCPU takes. */
GUEST_INLINE uint64_t int_taken(unsigned int event, uint64_t tries)
{
	its_put(ITS_INT(event));
	its_do();
	return take_one(tries);
}

/* How often the other vCPU took an event, if need be in 10 seconds. */
GUEST_INLINE uint64_t taken_there(uint64_t event, uint64_t n)
{
	const volatile struct guest_area *there = (void *)GUEST_AREA(1);
	uint64_t end = GUEST_MRS("cntvct_el0") + 10 * GUEST_MRS("cntfrq_el0");

	while (there->data[TAKEN + event] < n && GUEST_MRS("cntvct_el0") < end)
		;
	return there->data[TAKEN + event];
}

/* All that a guest does with its ITS. Returns the line of what is not as it should be, or 0. */
#define MUST(what) do { if (!(what)) return __LINE__; } while (0)

GUEST uint64_t by_itself(uint64_t unused);
GUEST uint64_t by_itself(uint64_t unused)
{
	uint64_t at;

	gic_start(0, true);
	its_redistributor(0);
	its_configure_all();
	its_configure(5, 0xa0, false);
	guest_area()->data[ITS_AT] = 0;

	/* It is not enabled without its tables. */
	MUST(its_read(GITS_TYPER) & 1);
	gic_write32(GITS_CTLR, 1);
	MUST(gic_read32(GITS_CTLR) == 1U << 31);
	its_enable();
	MUST(gic_read32(GITS_CTLR) == (1U << 31 | 1));
	/* But for the memory attributes. */
	MUST((its_read(GITS_BASER(0)) & ~(7UL << 59 | 7UL << 53 | 3UL << 10)) == ITS_BASER0);
	MUST((its_read(GITS_BASER(1)) & ~(7UL << 59 | 7UL << 53 | 3UL << 10)) == ITS_BASER1);
	MUST((its_read(GITS_CBASER) & ITS_VALID) == ITS_VALID);
	MUST(its_read(GITS_CREADR) == 0);
	its_map_all();
	its_do();

	MUST(int_taken(0, SOON) == 0);
	MUST(take_one(NEVER) == ITS_EVENTS);
	/* A store to the doorbell names no device. */
	gic_write32(ITS_DOORBELL, 0);
	MUST(take_one(NEVER) == ITS_EVENTS);

	/* One that was moved is the other vCPU's, and comes back. */
	its_put(ITS_MOVI(0, 1));
	its_put(ITS_SYNC(0));
	MUST(int_taken(0, NEVER) == ITS_EVENTS);
	MUST(taken_there(0, 1) == 1);
	its_put(ITS_MOVI(0, 0));
	its_put(ITS_SYNC(1));
	MUST(int_taken(0, SOON) == 0);
	/* Pending when it is moved: it was not enabled. Event 5 goes to the other vCPU. */
	MUST(int_taken(5, NEVER) == ITS_EVENTS);
	its_put(ITS_MOVI(5, 0));
	its_do();
	MUST(take_one(NEVER) == ITS_EVENTS);
	its_configure(5, 0xa0, true);
	its_put(ITS_INV(5));
	its_do();
	MUST(take_one(SOON) == 5);

	/* Two of them, the higher priority first. */
	its_configure(2, 0x80, true);
	its_put(ITS_INVALL(0));
	its_put(ITS_INT(4));
	its_put(ITS_INT(2));
	its_do();
	MUST(take_one(SOON) == 2);
	MUST(take_one(SOON) == 4);

	/* Pending, and cleared before it can be taken; and discarded. */
	its_put(ITS_INT(2));
	its_put(ITS_CLEAR(2));
	its_do();
	MUST(take_one(NEVER) == ITS_EVENTS);
	its_put(ITS_DISCARD(2));
	MUST(int_taken(2, NEVER) == ITS_EVENTS);
	its_put(ITS_MAPTI(2, 0));
	MUST(int_taken(2, SOON) == 2);

	/* Commands wait while it is disabled. */
	gic_write32(GITS_CTLR, 0);
	at = its_read(GITS_CREADR);
	its_put(ITS_INT(4));
	its_write(GITS_CWRITER, guest_area()->data[ITS_AT]);
	MUST(its_read(GITS_CREADR) == at);
	MUST(take_one(NEVER) == ITS_EVENTS);
	gic_write32(GITS_CTLR, 1);
	MUST(take_one(SOON) == 4);
	MUST(its_read(GITS_CREADR) == guest_area()->data[ITS_AT]);
	return unused;
}

/* A guest that finds, enables and uses an ITS by its registers alone. */
TEST_F(its_running, guest_by_itself)
{
	ASSERT_EQ(0, begin(self, 1, takes, 1));
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], by_itself, 0, 0));
	EXPECT_EQ(0, self->vcpus[0].value) TH_LOG("line %lu", self->vcpus[0].value);
	EXPECT_EQ(1, vm_message(&self->vm, ITS_DEVICE, 1));
	EXPECT_TRUE(wait_taken(self, 1, 1, 10000));
	EXPECT_EQ(0, word(self, 1, STRAY));
	EXPECT_TRUE(end_takers(self));
}

TEST_HARNESS_MAIN
