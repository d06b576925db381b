/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts of the host, as firmware_irqs.rs and percpu_irq.rs need them.
 */
#ifndef KVM_VHE_IRQ_SHIM_H
#define KVM_VHE_IRQ_SHIM_H

#include <linux/of.h>
#include <linux/types.h>

void kvm_vhe_of_node_put(struct device_node *node);
bool kvm_vhe_has_acpi(void);
const void *kvm_vhe_acpi_table(const char *signature, size_t *length);
void kvm_vhe_put_acpi_table(const void *table);
int kvm_vhe_map_gsi(u32 gsi, bool edge, bool active_low);
bool kvm_vhe_irq_describe(unsigned int irq, u64 *intid, unsigned int *trigger);
void kvm_vhe_set_per_cpu_pointers(void *base, void *value);

#endif
