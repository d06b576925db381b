// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that on a machine the module cannot serve it says so in one line, and
 * nothing of it stays.
 * Runs where loading has to fail, as root:
 *	module_refused /lib/kvm_vhe.ko EBUSY kvm-arm.mode=none	beside C KVM
 *	module_refused /lib/kvm_vhe.ko ENODEV VHE		-cpu cortex-a57
 *	module_refused /lib/kvm_vhe.ko ENODEV EL2		-M virt,virtualization=off
 *	module_refused /lib/kvm_vhe.ko ENODEV GICv3		-M virt,gic-version=2
 */
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define CYCLES	50

static const char *module_file;
static const char *words;
static int expected;

FIXTURE(module_refused)
{
	int log;
};

FIXTURE_SETUP(module_refused)
{
	if (!module_file)
		SKIP(return, "usage: module_refused FILE ERRNO WORDS");
	ASSERT_NE(0, expected) TH_LOG("give EBUSY, ENODEV or EOPNOTSUPP");
	ASSERT_EQ(0, access(module_file, R_OK)) TH_LOG("%s: %m", module_file);
	ASSERT_FALSE(module_present());
	self->log = kmsg_open();
	ASSERT_GE(self->log, 0);
}

FIXTURE_TEARDOWN(module_refused)
{
	close(self->log);
}

static int refuse(void *arg)
{
	int ret = module_insert(module_file, "");

	(void)arg;
	return ret == -expected ? 0 : ret ? ret : -EPROTO;
}

TEST_F(module_refused, one_line)
{
	bool kvm_before = !access(KVM_DEV, F_OK);
	unsigned int errors = 0, others = 0;
	char line[1024];
	int level, ret;

	ret = module_insert(module_file, "");
	EXPECT_EQ(-expected, ret) TH_LOG("%s", strerror(-ret));
	while ((level = kmsg_find(self->log, MODULE_NAME, line, sizeof(line))) >= 0) {
		TH_LOG("<%d> %s", level, line);
		if (level > 3) {
			/* The kernel's own words about a module from outside its tree. */
			others += !strstr(line, "taint");
			continue;
		}
		errors++;
		EXPECT_EQ(3, level);
		EXPECT_EQ(0, strncmp(line, MODULE_NAME ": ", strlen(MODULE_NAME ": ")));
		EXPECT_NE(NULL, strstr(line, words)) TH_LOG("no \"%s\" in it", words);
	}
	EXPECT_EQ(1, errors);
	EXPECT_EQ(0, others);
	EXPECT_FALSE(module_present());
	EXPECT_EQ(kvm_before, !access(KVM_DEV, F_OK));
}

/* Tolerance: half of what one page or object each time would come to. */
TEST_F_TIMEOUT(module_refused, no_leak, 300)
{
	struct leak_rule rule = { .warm = 10, .n = CYCLES, .objects = CYCLES / 2,
				  .pages = CYCLES / 2, .percpu_kb = 0 };
	char what[1024];
	int ret = leak_check(&rule, refuse, NULL, what, sizeof(what));

	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? what : strerror(-ret));
	EXPECT_FALSE(module_present());
}

/* Whoever was there goes on as before. */
TEST_F(module_refused, bystander_unharmed)
{
	int kvm, vm;

	if (access(KVM_DEV, F_OK))
		SKIP(return, "no other KVM here");
	kvm = kvm_open();
	ASSERT_GE(kvm, 0);
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(vm, 0);
	EXPECT_EQ(0, refuse(NULL));
	EXPECT_EQ(12, kvm_ioctl(kvm, KVM_GET_API_VERSION, 0));
	EXPECT_EQ(1, kvm_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
	close(vm);
	close(kvm);
}

int main(int argc, char **argv)
{
	if (argc == 4) {
		module_file = argv[1];
		expected = !strcmp(argv[2], "EBUSY") ? EBUSY : !strcmp(argv[2], "ENODEV") ? ENODEV :
			   !strcmp(argv[2], "EOPNOTSUPP") ? EOPNOTSUPP : 0;
		words = argv[3];
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
