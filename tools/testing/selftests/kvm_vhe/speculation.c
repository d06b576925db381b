// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that what a guest is told of attacks by speculation agrees with what the kernel
 * says of them in sysfs. A kernel that tells the module (Documentation/patches.rst) has
 * its word on each; on others the module, which finds out by itself, must at least not
 * tell a guest that it is safe where the kernel does not say so.
 * Runs on the module and on C KVM, as root; with mitigations=off, too.
 */
#include "exits.h"

#define VULNERABILITIES	"/sys/devices/system/cpu/vulnerabilities/"
#define ARCH_FEATURES	0x80000001UL
#define WORKAROUND_1	0x80008000UL
#define WORKAROUND_2	0x80007fffUL
#define WORKAROUND_3	0x80003fffUL
#define SAFE		1	/* of the first and the third */
#define SAFE_2		(-2L)	/* of the second */
#define CALL		0
#define NONE		(-1L)

GUEST uint64_t ask(uint64_t function);
GUEST uint64_t ask(uint64_t function)
{
	return guest_hvc(ARCH_FEATURES, function, 0, 0);
}

static long answer(struct vcpu *vcpu, uint64_t function)
{
	return guest_finish(vcpu, ask, function, 0) ? -999 : (long)vcpu->value;
}

/* Whether the module wants what such a kernel exports. */
static bool kernel_tells(void)
{
	size_t size;
	char *file = read_file(MODULE_FILE, &size);
	bool wants = file && memmem(file, size, "arm64_get_spectre_bhb_state", 27);

	free(file);
	return wants || !host_is_module();
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* As the kernel's answers in sysfs have them. */
static long wanted_1(const char *v2)
{
	if (starts(v2, "Not affected") || starts(v2, "Mitigation: CSV2"))
		return SAFE;
	return starts(v2, "Mitigation") ? CALL : NONE;
}

static long wanted_3(const char *v2)
{
	if (strstr(v2, ", but not BHB") || starts(v2, "Vulnerable"))
		return NONE;
	return strstr(v2, ", BHB") ? CALL : SAFE;
}

TEST_F(exits, as_the_kernel_says)
{
	long one = answer(&self->vcpu, WORKAROUND_1), two = answer(&self->vcpu, WORKAROUND_2),
	     three = answer(&self->vcpu, WORKAROUND_3);
	bool ssbs = vcpu_reg(&self->vcpu, ARM64_SYS_REG(3, 0, 0, 4, 1)) >> 4 & 15;
	char v2[128], v4[128];

	ASSERT_TRUE(read_text(VULNERABILITIES "spectre_v2", v2, sizeof(v2)));
	ASSERT_TRUE(read_text(VULNERABILITIES "spec_store_bypass", v4, sizeof(v4)));
	TH_LOG("%ld, %ld, %ld; kernel: %s; %s", one, two, three, v2, v4);
	if (strstr(v2, "eBPF"))
		SKIP(return, "unprivileged eBPF hides what is mitigated");
	EXPECT_TRUE(one == SAFE || one == CALL || one == NONE);
	EXPECT_TRUE(two == SAFE_2 || two == NONE);
	EXPECT_TRUE(three == SAFE || three == CALL || three == NONE);
	if (!kernel_tells()) {
		EXPECT_TRUE(one != SAFE || wanted_1(v2) == SAFE);
		EXPECT_TRUE(two != SAFE_2 || starts(v4, "Not affected"));
		EXPECT_TRUE(three != SAFE || wanted_3(v2) == SAFE);
		return;
	}
	EXPECT_EQ(wanted_1(v2), one);
	EXPECT_EQ(wanted_3(v2), three);
	/* A guest with PSTATE.SSBS protects itself; without, the kernel protects it. */
	if (starts(v4, "Not affected") || (starts(v4, "Mitigation") && !ssbs)) {
		EXPECT_EQ(SAFE_2, two);
	} else {
		EXPECT_EQ(NONE, two);
	}
}

TEST_HARNESS_MAIN
