// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that CPUs may go and come while VMs exist and are made, and that the
 * module copes with CPUs that were away when it was loaded or unloaded.
 * Runs on the module and on C KVM (there without the loading), as root, with two
 * CPUs or more: cpu_hotplug [/lib/kvm_vhe.ko]
 */
#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define THREADS	3

static const char *module_file = MODULE_FILE;

FIXTURE(cpu_hotplug)
{
	int cpus;
	bool was_loaded;
};

static int cpu_set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_text(path, online ? "1" : "0");
}

static bool cpu_switchable(int cpu)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return !access(path, W_OK);
}

FIXTURE_SETUP(cpu_hotplug)
{
	self->cpus = sysconf(_SC_NPROCESSORS_CONF);
	if (self->cpus < 2)
		SKIP(return, "one CPU only");
	self->was_loaded = module_present();
	if (host_is_module()) {
		ASSERT_EQ(0, module_ensure(module_file, true)) TH_LOG("%s", module_file);
	}
}

FIXTURE_TEARDOWN(cpu_hotplug)
{
	int cpu;

	for (cpu = 1; cpu < self->cpus; cpu++)
		cpu_set_online(cpu, true);
	if (host_is_module())
		module_ensure(module_file, self->was_loaded);
}

struct maker {
	int kvm;
	bool stop;
	int error;
	unsigned long made;
};

static void *make_vms(void *arg)
{
	struct maker *maker = arg;

	while (!__atomic_load_n(&maker->stop, __ATOMIC_RELAXED)) {
		int vm = kvm_ioctl(maker->kvm, KVM_CREATE_VM, 0);

		if (vm < 0) {
			maker->error = vm;
			break;
		}
		close(vm);
		__atomic_fetch_add(&maker->made, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* One VM made on each CPU that is there: the module works everywhere. */
static int works_on_every_cpu(int cpus)
{
	int kvm = kvm_open(), cpu, vm, seen = 0;
	cpu_set_t all, one;

	if (kvm < 0)
		return kvm;
	sched_getaffinity(0, sizeof(all), &all);
	for (cpu = 0; cpu < cpus; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			continue;
		vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm < 0)
			return vm;
		close(vm);
		seen++;
	}
	CPU_ZERO(&all);
	for (cpu = 0; cpu < cpus; cpu++)
		CPU_SET(cpu, &all);
	sched_setaffinity(0, sizeof(all), &all);
	close(kvm);
	return seen;
}

static void toggle(struct __test_metadata *_metadata, FIXTURE_DATA(cpu_hotplug) *self, int first,
		   int last)
{
	struct maker maker = { .kvm = kvm_open() };
	unsigned int round, rounds = scaled(20);
	pthread_t thread[THREADS];
	int i, cpu, vm;

	ASSERT_GE(maker.kvm, 0);
	vm = kvm_ioctl(maker.kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(vm, 0);
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, make_vms, &maker));
	}
	for (round = 0; round < rounds; round++)
		for (cpu = first; cpu <= last; cpu++) {
			EXPECT_EQ(0, cpu_set_online(cpu, false)) TH_LOG("CPU %d off", cpu);
			EXPECT_EQ(1, kvm_ioctl(vm, KVM_CHECK_EXTENSION,
					       KVM_CAP_CHECK_EXTENSION_VM));
			EXPECT_EQ(0, cpu_set_online(cpu, true)) TH_LOG("CPU %d on", cpu);
		}
	__atomic_store_n(&maker.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, maker.error) TH_LOG("KVM_CREATE_VM: %s", strerror(-maker.error));
	EXPECT_GT(maker.made, 0);
	TH_LOG("%lu VMs made meanwhile", maker.made);
	EXPECT_EQ(self->cpus, works_on_every_cpu(self->cpus));
	close(vm);
	close(maker.kvm);
}

TEST_F_TIMEOUT(cpu_hotplug, other_cpus, 300)
{
	toggle(_metadata, self, 1, self->cpus - 1);
}

TEST_F_TIMEOUT(cpu_hotplug, boot_cpu, 300)
{
	if (!cpu_switchable(0))
		SKIP(return, "the boot CPU cannot be switched off here");
	toggle(_metadata, self, 0, 0);
}

TEST_F_TIMEOUT(cpu_hotplug, away_at_load, 120)
{
	if (!host_is_module())
		SKIP(return, "C KVM is not loaded");
	ASSERT_EQ(0, module_ensure(module_file, false));
	ASSERT_EQ(0, cpu_set_online(1, false));
	ASSERT_EQ(0, module_insert(module_file, ""));
	EXPECT_EQ(self->cpus - 1, works_on_every_cpu(self->cpus));
	EXPECT_EQ(0, cpu_set_online(1, true));
	EXPECT_EQ(self->cpus, works_on_every_cpu(self->cpus));
	EXPECT_EQ(0, module_ensure(module_file, false));
}

TEST_F_TIMEOUT(cpu_hotplug, away_at_unload, 120)
{
	if (!host_is_module())
		SKIP(return, "C KVM is not loaded");
	EXPECT_EQ(self->cpus, works_on_every_cpu(self->cpus));
	ASSERT_EQ(0, cpu_set_online(1, false));
	EXPECT_EQ(0, module_ensure(module_file, false));
	EXPECT_EQ(0, cpu_set_online(1, true));
	EXPECT_EQ(0, module_ensure(module_file, true));
	EXPECT_EQ(self->cpus, works_on_every_cpu(self->cpus));
}

struct switcher {
	bool stop;
	int error;
	unsigned int rounds;
};

static void *switch_cpu(void *arg)
{
	struct switcher *switcher = arg;
	bool online = false;
	int ret;

	while (!__atomic_load_n(&switcher->stop, __ATOMIC_RELAXED) || online) {
		ret = cpu_set_online(1, online);
		if (ret)
			switcher->error = ret;
		online = !online;
		switcher->rounds++;
	}
	return NULL;
}

/* Loads and unloads, each at whatever point of a CPU's coming and going. */
TEST_F_TIMEOUT(cpu_hotplug, races_load, 300)
{
	unsigned int i, n = scaled(30);
	struct switcher switcher = { 0 };
	pthread_t thread;
	int ret = 0;

	if (!host_is_module())
		SKIP(return, "C KVM is not loaded");
	ASSERT_EQ(0, module_ensure(module_file, false));
	ASSERT_EQ(0, pthread_create(&thread, NULL, switch_cpu, &switcher));
	for (i = 0; i < n && !ret; i++) {
		ret = module_insert(module_file, "");
		usleep(random() % 5000);
		if (!ret)
			ret = module_remove();
		usleep(random() % 5000);
	}
	__atomic_store_n(&switcher.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, switcher.error);
	EXPECT_GT(switcher.rounds, 2);
	TH_LOG("%u switches", switcher.rounds);
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		module_file = argv[1];
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
