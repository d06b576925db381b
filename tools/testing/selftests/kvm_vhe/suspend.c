// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a VM and the module live through the machine's sleep. The test modes
 * of hibernation (/sys/power/pm_test) go as far as the step asked for and back:
 * "core" freezes tasks, suspends devices, takes the other CPUs down and calls the
 * syscore operations, without writing an image. Suspend to idle is tried as well.
 * Runs on the module and on C KVM, as root.
 */
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define PM_TEST	"/sys/power/pm_test"

FIXTURE(suspend)
{
	int kvm, vm;
};

FIXTURE_SETUP(suspend)
{
	if (access(PM_TEST, W_OK))
		SKIP(return, "no " PM_TEST ": the kernel lacks CONFIG_PM_SLEEP_DEBUG");
	self->kvm = kvm_open();
	ASSERT_GE(self->kvm, 0) TH_LOG("%s: %s", KVM_DEV, strerror(-self->kvm));
	self->vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(self->vm, 0);
	/* Seconds that the kernel waits at the turning point: none. */
	write_text("/sys/module/hibernate/parameters/pm_test_delay", "0");
	write_text("/sys/module/suspend/parameters/pm_test_delay", "0");
}

FIXTURE_TEARDOWN(suspend)
{
	write_text(PM_TEST, "none");
	close(self->vm);
	close(self->kvm);
}

static bool offers(const char *path, const char *word)
{
	char text[256];

	return read_text(path, text, sizeof(text)) && strstr(text, word);
}

static void sleep_and_look(struct __test_metadata *_metadata, FIXTURE_DATA(suspend) *self,
			   const char *state, const char *level)
{
	unsigned int round, turned = 0;
	char line[1024];
	int log, ret, vm;

	if (!offers("/sys/power/state", state))
		SKIP(return, "/sys/power/state does not offer \"%s\"", state);
	if (!offers(PM_TEST, level))
		SKIP(return, PM_TEST " does not offer \"%s\"", level);
	for (round = 0; round < 3; round++) {
		log = kmsg_open();
		ASSERT_GE(log, 0);
		ASSERT_EQ(0, write_text(PM_TEST, level));
		ret = write_text("/sys/power/state", state);
		EXPECT_EQ(0, ret) TH_LOG("%s to %s: %s", level, state, strerror(-ret));
		/* "hibernation debug: Waiting ...", "PM: suspend debug: ..." */
		while (kmsg_next(log, line, sizeof(line)) >= 0)
			turned += !!strstr(line, "debug: Waiting");
		close(log);
		EXPECT_EQ(1, kvm_ioctl(self->vm, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
		vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
		EXPECT_GE(vm, 0);
		close(vm);
	}
	EXPECT_EQ(3, turned) TH_LOG("the kernel did not go as far as \"%s\"", level);
}

TEST_F_TIMEOUT(suspend, hibernate_freezer, 120)
{
	sleep_and_look(_metadata, self, "disk", "freezer");
}

TEST_F_TIMEOUT(suspend, hibernate_cpus, 120)
{
	sleep_and_look(_metadata, self, "disk", "processors");
}

TEST_F_TIMEOUT(suspend, hibernate_core, 120)
{
	sleep_and_look(_metadata, self, "disk", "core");
}

TEST_F_TIMEOUT(suspend, idle, 120)
{
	sleep_and_look(_metadata, self, "freeze", "devices");
}

TEST_HARNESS_MAIN
