// SPDX-License-Identifier: GPL-2.0
#include <linux/acpi.h>
#include <linux/irq.h>
#include <linux/percpu.h>

#include "irq_shim.h"

/* A function only in kernels whose device tree may change (CONFIG_OF_DYNAMIC). */
void kvm_vhe_of_node_put(struct device_node *node)
{
	of_node_put(node);
}

#ifdef CONFIG_ACPI

bool kvm_vhe_has_acpi(void)
{
	return !acpi_disabled;
}

/* The first table with a signature and its length, or NULL. */
const void *kvm_vhe_acpi_table(const char *signature, size_t *length)
{
	struct acpi_table_header *table;

	if (ACPI_FAILURE(acpi_get_table((char *)signature, 1, &table)))
		return NULL;
	*length = table->length;
	return table;
}

void kvm_vhe_put_acpi_table(const void *table)
{
	acpi_put_table((struct acpi_table_header *)table);
}

/* The kernel's number of an interrupt, or an error. */
int kvm_vhe_map_gsi(u32 gsi, bool edge, bool active_low)
{
	return acpi_register_gsi(NULL, gsi,
				 edge ? ACPI_EDGE_SENSITIVE : ACPI_LEVEL_SENSITIVE,
				 active_low ? ACPI_ACTIVE_LOW : ACPI_ACTIVE_HIGH);
}

#else

bool kvm_vhe_has_acpi(void)
{
	return false;
}

const void *kvm_vhe_acpi_table(const char *signature, size_t *length)
{
	return NULL;
}

void kvm_vhe_put_acpi_table(const void *table)
{
}

int kvm_vhe_map_gsi(u32 gsi, bool edge, bool active_low)
{
	return -ENODEV;
}

#endif

/*
 * The number that the interrupt has at the controller nearest to the CPU, and
 * how it is triggered.
 */
bool kvm_vhe_irq_describe(unsigned int irq, u64 *intid, unsigned int *trigger)
{
	struct irq_data *data = irq_get_irq_data(irq);

	if (!data)
		return false;
	*trigger = irqd_get_trigger_type(data);
#ifdef CONFIG_IRQ_DOMAIN_HIERARCHY
	while (data->parent_data)
		data = data->parent_data;
#endif
	*intid = data->hwirq;
	return true;
}

/* Sets each CPU's copy of a per-CPU pointer. */
void kvm_vhe_set_per_cpu_pointers(void *base, void *value)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		*(void **)per_cpu_ptr((void __percpu *)base, cpu) = value;
}
