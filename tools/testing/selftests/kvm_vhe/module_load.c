// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that the module comes and goes without a trace, as often as one likes,
 * says one line when it comes, and never goes while something uses it.
 * Runs on the module's host only, as root: module_load [/lib/kvm_vhe.ko]. It
 * begins and ends with the module not loaded, or loads it again at the end if
 * it was loaded before.
 */
#include <pthread.h>
#include <regex.h>
#include <sys/utsname.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define CYCLES	200

static const char *module_file = MODULE_FILE;

FIXTURE(module_load)
{
	int log;
	char line[1024];
};

FIXTURE_SETUP(module_load)
{
	if (!host_is_module())
		SKIP(return, "C KVM is not a module");
	ASSERT_EQ(0, access(module_file, R_OK)) TH_LOG("%s: %m", module_file);
	ASSERT_EQ(0, module_ensure(module_file, false));
	self->log = kmsg_open();
	ASSERT_GE(self->log, 0);
}

FIXTURE_TEARDOWN(module_load)
{
	close(self->log);
	module_ensure(module_file, false);
}

static bool node_present(void)
{
	return !access(KVM_DEV, F_OK) && !access("/sys/class/misc/kvm/dev", F_OK);
}

static bool node_absent(void)
{
	return access(KVM_DEV, F_OK) && access("/sys/class/misc/kvm", F_OK);
}

/* devtmpfs is done by a thread of its own, which misc_register() waits for. */
static int load_and_unload(void *arg)
{
	int ret;

	(void)arg;
	ret = module_insert(module_file, "");
	if (ret)
		return ret;
	if (!node_present())
		return -ENODEV;
	ret = module_remove();
	if (!ret && !node_absent())
		ret = -ENOTEMPTY;
	return ret;
}

/*
 * Tolerance: one lost page or object each time would be CYCLES of them. Half of
 * that catches it and is above what the rest of the system moves in a round.
 * Per-CPU memory has to be the same to the page.
 */
TEST_F_TIMEOUT(module_load, no_leak, 600)
{
	struct leak_rule rule = { .warm = 10, .n = scaled(CYCLES), .percpu_kb = 0 };
	char what[1024];
	int ret;

	rule.objects = rule.pages = rule.n / 2;
	ret = leak_check(&rule, load_and_unload, NULL, what, sizeof(what));
	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? what : strerror(-ret));
}

/* A VM made and closed in each cycle: what its last reference frees is freed in time. */
static int load_use_unload(void *arg)
{
	int kvm, vm, ret;

	(void)arg;
	ret = module_insert(module_file, "");
	if (ret)
		return ret;
	kvm = kvm_open();
	if (kvm < 0)
		return kvm;
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return vm;
	close(kvm);
	close(vm);
	return module_remove();
}

TEST_F_TIMEOUT(module_load, no_leak_when_used, 600)
{
	struct leak_rule rule = { .warm = 10, .n = scaled(CYCLES / 2), .percpu_kb = 0 };
	char what[1024];
	int ret;

	rule.objects = rule.pages = rule.n / 2;
	ret = leak_check(&rule, load_use_unload, NULL, what, sizeof(what));
	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? what : strerror(-ret));
}

/* One line: the module's version, the kernel's release, VMID, IPA and the GIC. */
TEST_F(module_load, says_what_it_is)
{
	static const char * const words[] = { "VMID", "IPA", "GICv3", NULL };
	char line[1024], version[64], *release;
	const char * const *word;
	unsigned int lines = 0;
	struct utsname uts;
	regex_t number;
	int level;

	ASSERT_EQ(0, uname(&uts));
	ASSERT_EQ(0, regcomp(&number, "[0-9]+\\.[0-9]+", REG_EXTENDED | REG_NOSUB));
	ASSERT_EQ(0, module_insert(module_file, ""));
	while ((level = kmsg_find(self->log, MODULE_NAME ": ", line, sizeof(line))) >= 0) {
		if (strstr(line, "taint"))
			continue;
		lines++;
		TH_LOG("<%d> %s", level, line);
		EXPECT_EQ(6, level);
		snprintf(self->line, sizeof(self->line), "%s", line);
	}
	EXPECT_EQ(1, lines);
	for (word = words; *word; word++) {
		EXPECT_NE(NULL, strstr(self->line, *word)) TH_LOG("no %s", *word);
	}
	release = strstr(self->line, uts.release);
	ASSERT_NE(NULL, release) TH_LOG("no %s", uts.release);
	/* The module's own version is what else looks like one. */
	memset(release, ' ', strlen(uts.release));
	EXPECT_EQ(0, regexec(&number, self->line, 0, NULL, 0)) TH_LOG("no version");
	if (read_text("/sys/module/" MODULE_NAME "/version", version, sizeof(version))) {
		EXPECT_NE(NULL, strstr(self->line, version)) TH_LOG("not version %s", version);
	}
	regfree(&number);
}

/* kmod makes /dev/kvm in early user space from the first, udev loads by the second. */
TEST_F(module_load, aliases)
{
	static const char * const aliases[] = {
		"alias=devname:kvm", "alias=char-major-10-232", "license=GPL", NULL
	};
	const char * const *alias;
	size_t size;
	char *file = read_file(module_file, &size);

	ASSERT_NE(NULL, file);
	for (alias = aliases; *alias; alias++) {
		EXPECT_NE(NULL, memmem(file, size, *alias, strlen(*alias) + 1))
			TH_LOG("no %s in %s", *alias, module_file);
	}
	free(file);
}

static long refcount(void)
{
	char text[24];

	if (!read_text("/sys/module/" MODULE_NAME "/refcnt", text, sizeof(text)))
		return -1;
	return strtol(text, NULL, 10);
}

TEST_F(module_load, stays_while_used)
{
	int kvm, vm, copy;

	ASSERT_EQ(0, module_insert(module_file, ""));
	EXPECT_EQ(0, refcount());
	kvm = kvm_open();
	ASSERT_GE(kvm, 0);
	EXPECT_EQ(-EAGAIN, module_remove());	/* EWOULDBLOCK has the same number */
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(vm, 0);
	EXPECT_EQ(-EAGAIN, module_remove());
	close(kvm);
	EXPECT_GE(refcount(), 1);
	EXPECT_EQ(-EAGAIN, module_remove());
	copy = dup(vm);
	close(vm);
	EXPECT_EQ(-EAGAIN, module_remove());
	EXPECT_EQ(1, kvm_ioctl(copy, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
	close(copy);
	EXPECT_EQ(0, refcount());
	EXPECT_EQ(0, module_remove());
	EXPECT_FALSE(module_present());
	EXPECT_TRUE(node_absent());
}

/* A refused removal changes nothing: /dev/kvm can still be opened. */
TEST_F(module_load, refused_removal_changes_nothing)
{
	int kvm, again;

	ASSERT_EQ(0, module_insert(module_file, ""));
	kvm = kvm_open();
	ASSERT_GE(kvm, 0);
	EXPECT_EQ(-EAGAIN, module_remove());
	EXPECT_TRUE(node_present());
	again = kvm_open();
	EXPECT_GE(again, 0);
	EXPECT_EQ(12, kvm_ioctl(again, KVM_GET_API_VERSION, 0));
	close(again);
	close(kvm);
}

/* A process that dies with a VM lets go of the module. */
TEST_F(module_load, goes_after_its_user_died)
{
	int child;

	ASSERT_EQ(0, module_insert(module_file, ""));
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		kvm_ioctl(kvm_open(), KVM_CREATE_VM, 0);
		raise(SIGKILL);
	}
	EXPECT_EQ(256 + SIGKILL, wait_child(child));
	EXPECT_EQ(0, module_ensure(module_file, false));
}

TEST_F(module_load, only_once)
{
	ASSERT_EQ(0, module_insert(module_file, ""));
	EXPECT_EQ(-EEXIST, module_insert(module_file, ""));
	EXPECT_TRUE(node_present());
	EXPECT_EQ(0, module_remove());
}

TEST_F(module_load, refused_parameter)
{
	EXPECT_EQ(-EINVAL, module_insert(module_file, "vmid_bits=9"));
	EXPECT_EQ(3, kmsg_find(self->log, "vmid_bits=9 is neither 0 nor 8", self->line,
			       sizeof(self->line)));
	EXPECT_TRUE(node_absent());
}

TEST_F(module_load, unknown_parameter)
{
	ASSERT_EQ(0, module_insert(module_file, "no_such_thing=1"));
	EXPECT_EQ(4, kmsg_find(self->log, "unknown parameter 'no_such_thing' ignored", self->line,
			       sizeof(self->line)));
	EXPECT_TRUE(node_present());
}

struct racer {
	bool stop;
	unsigned int opened, missed;
	int odd;
};

static void *open_all_the_time(void *arg)
{
	struct racer *racer = arg;

	while (!__atomic_load_n(&racer->stop, __ATOMIC_RELAXED)) {
		int kvm = kvm_open();
		int vm;

		if (kvm == -ENOENT || kvm == -ENODEV || kvm == -ENXIO) {
			racer->missed++;
			continue;
		}
		vm = kvm < 0 ? kvm : kvm_ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm < 0)
			racer->odd = vm;
		else
			racer->opened++;
		if (kvm >= 0)
			close(kvm);
		if (vm >= 0)
			close(vm);
		usleep(random() % 300);
	}
	return NULL;
}

TEST_F_TIMEOUT(module_load, opens_race_unloads, 300)
{
	unsigned int i, refused = 0, loads = scaled(100);
	struct racer racer = { 0 };
	pthread_t thread[2];
	int ret;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, open_all_the_time, &racer));
	}
	for (i = 0; i < loads; i++) {
		ret = module_insert(module_file, "");
		if (ret)
			break;
		usleep(random() % 3000);
		while ((ret = module_remove()) == -EAGAIN)
			refused++;
		if (ret)
			break;
	}
	__atomic_store_n(&racer.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, racer.odd) TH_LOG("open or KVM_CREATE_VM: %s", strerror(-racer.odd));
	EXPECT_GT(racer.opened, 0);
	TH_LOG("%u opened, %u found no /dev/kvm, %u unloads refused", racer.opened, racer.missed,
	       refused);
}

int main(int argc, char **argv)
{
	char *rest[] = { argv[0], NULL };
	bool was;
	int child, ret;

	if (argc > 1 && argv[1][0] != '-') {
		module_file = argv[1];
		argv = rest;
		argc = 1;
	}
	was = host_is_module() && module_present();
	/* The harness exits the process it runs in. */
	child = fork();
	if (!child)
		return test_harness_run(argc, argv);
	ret = wait_child(child);
	if (was && module_ensure(module_file, true))
		ret = KSFT_FAIL;
	return ret < 256 ? ret : KSFT_FAIL;
}
