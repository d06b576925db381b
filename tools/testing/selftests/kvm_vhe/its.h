/* SPDX-License-Identifier: GPL-2.0 */
/* A VM's ITS: what a test of messages needs of it. */
#ifndef KVM_VHE_ITS_H
#define KVM_VHE_ITS_H

#include "guest.h"

#define ITS		0x08080000UL
#define ITS_DOORBELL	(ITS + 0x10040)
/* The memory of its tables, which the test gives the VM before. */
#define ITS_MEM		0x50000000UL
#define ITS_MEM_SIZE	0x100000UL
/* Device ITS_DEVICE has this many events, the nth of which is LPI(n). */
#define ITS_DEVICE	1
#define ITS_EVENTS	16
#define LPI(n)		(8192 + (n))
/* Each LPI's priority and whether it is enabled, a byte for each from LPI(0) on. */
#define ITS_CONFIG	(ITS_MEM + 0x40000)

/*
 * Gives the VM, which has its vCPUs, a GIC and an ITS whose events go to the first of
 * them, all LPIs enabled: the ITS's descriptor, or an error. mem is at ITS_MEM.
 */
int vm_gic_and_its(struct vm *vm, unsigned char *mem);
/* The same for devices that there are, and that are initialised. */
int its_prepare(int gic, int its, unsigned char *mem);
/* A command, carried out when this returns 0, where nobody else sends any. */
int its_command(int its, unsigned char *mem, uint64_t w0, uint64_t w1, uint64_t w2);
/* KVM_SIGNAL_MSI with the doorbell's address. */
int vm_message(struct vm *vm, uint32_t device, uint32_t event);

#endif
