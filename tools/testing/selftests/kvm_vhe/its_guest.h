/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that drives its ITS itself, by its registers: its tables are where its.h has
 * them, in memory that the test gave the VM at ITS_MEM.
 */
#ifndef KVM_VHE_ITS_GUEST_H
#define KVM_VHE_ITS_GUEST_H

#include "gic.h"
#include "its.h"

#define GITS_CTLR	(ITS + 0x0)
#define GITS_TYPER	(ITS + 0x8)
#define GITS_CBASER	(ITS + 0x80)
#define GITS_CWRITER	(ITS + 0x88)
#define GITS_CREADR	(ITS + 0x90)
#define GITS_BASER(n)	(ITS + 0x100 + 8 * (n))

#define ITS_QUEUE	ITS_MEM
#define ITS_QUEUE_SIZE	0x1000
#define ITS_ITT		(ITS_MEM + 0x30000)
#define ITS_CONFIG	(ITS_MEM + 0x40000)
#define ITS_PENDING(n)	(ITS_MEM + 0x60000 + 0x10000UL * (n))
#define ITS_VALID	(1UL << 63)
#define ITS_CBASER	(ITS_QUEUE | ITS_VALID)
#define ITS_BASER0	(1UL << 56 | 7UL << 48 | (ITS_MEM + 0x10000) | 2 << 8 | ITS_VALID)
#define ITS_BASER1	(4UL << 56 | 7UL << 48 | (ITS_MEM + 0x20000) | 2 << 8 | ITS_VALID)

/* Commands, as its_put() takes them: of the one device, of collections and vCPUs. */
#define ITS_ON_DEVICE(n)	((n) | (uint64_t)ITS_DEVICE << 32)
#define ITS_MOVI(event, c)	ITS_ON_DEVICE(0x1), (event), (c), 0
#define ITS_INT(event)		ITS_ON_DEVICE(0x3), (event), 0, 0
#define ITS_CLEAR(event)	ITS_ON_DEVICE(0x4), (event), 0, 0
#define ITS_SYNC(n)		0x5, 0, (uint64_t)(n) << 16, 0
#define ITS_MAPD		ITS_ON_DEVICE(0x8), 4, ITS_ITT | ITS_VALID, 0
#define ITS_UNMAPD		ITS_ON_DEVICE(0x8), 0, 0, 0
#define ITS_MAPC(c, n)		0x9, 0, (uint64_t)(n) << 16 | (c) | ITS_VALID, 0
#define ITS_MAPTI(event, c)	ITS_ON_DEVICE(0xa), (event) | (uint64_t)LPI(event) << 32, (c), 0
#define ITS_INV(event)		ITS_ON_DEVICE(0xc), (event), 0, 0
#define ITS_INVALL(c)		0xd, 0, (c), 0
#define ITS_MOVALL(n, m)	0xe, 0, (uint64_t)(n) << 16, (uint64_t)(m) << 16
#define ITS_DISCARD(event)	ITS_ON_DEVICE(0xf), (event), 0, 0

/* The word of the area of the vCPU that writes commands where the next one goes. */
#define ITS_AT		500

GUEST_INLINE void its_write(uint64_t address, uint64_t value)
{
	asm volatile("dsb sy\n\tstr %x0, [%1]" : : "rZ" (value), "r" (address) : "memory");
}

GUEST_INLINE uint64_t its_read(uint64_t address)
{
	uint64_t value;

	asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

/* The configuration of an event's LPI, which counts from the next INV on. */
GUEST_INLINE void its_configure(unsigned int event, unsigned int priority, bool enabled)
{
	asm volatile("strb %w0, [%1]"
		     : : "r" (priority | enabled), "r" (ITS_CONFIG + event) : "memory");
}

/* vCPU n has LPIs. */
GUEST_INLINE void its_redistributor(unsigned int n)
{
	uint64_t gicr = GUEST_GICR + n * 0x20000UL;

	its_write(gicr + 0x70, ITS_CONFIG | 15);	/* GICR_PROPBASER */
	its_write(gicr + 0x78, ITS_PENDING(n));		/* GICR_PENDBASER */
	gic_write32(gicr, 1);				/* GICR_CTLR */
}

/* Adds a command to the queue. */
GUEST_INLINE void its_put(uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3)
{
	volatile uint64_t *at = &guest_area()->data[ITS_AT];
	volatile uint64_t *command = (uint64_t *)(ITS_QUEUE + *at);

	command[0] = w0;
	command[1] = w1;
	command[2] = w2;
	command[3] = w3;
	*at = (*at + 32) % ITS_QUEUE_SIZE;
}

/* Has those that were added carried out. */
GUEST_INLINE void its_do(void)
{
	uint64_t at = guest_area()->data[ITS_AT];

	its_write(GITS_CWRITER, at);
	while (its_read(GITS_CREADR) != at)
		;
}

/* Maps collections 0 and 1 to the vCPUs of the same number, and all events to both. */
GUEST_INLINE void its_map_all(void)
{
	unsigned int event;

	its_put(ITS_MAPC(0, 0));
	its_put(ITS_MAPC(1, 1));
	its_put(ITS_MAPD);
	for (event = 0; event < ITS_EVENTS; event++)
		its_put(ITS_MAPTI(event, event % 2));
	its_put(ITS_SYNC(0));
}

/* All LPIs are enabled, their priorities those at first. */
GUEST_INLINE void its_configure_all(void)
{
	unsigned int event;

	for (event = 0; event < ITS_EVENTS; event++)
		its_configure(event, 0xa0, true);
}

/* Gives the ITS its tables and its queue, and enables it. */
GUEST_INLINE void its_enable(void)
{
	its_write(GITS_BASER(0), ITS_BASER0);
	its_write(GITS_BASER(1), ITS_BASER1);
	its_write(GITS_CBASER, ITS_CBASER);
	guest_area()->data[ITS_AT] = 0;
	its_write(GITS_CWRITER, 0);
	gic_write32(GITS_CTLR, 1);
}

#endif
