// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what is in debugfs: the files that kvm_stat reads, a directory for each VM that
 * goes with the last descriptor of it, the state of its interrupt controller, of its
 * ITS, timers and stage 2; that only root reads it and nothing in it is an address of
 * the kernel; and that those who read may do so while VMs, and the module, come and go.
 * Runs on the module, as root; on C KVM, which has other files, it is skipped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define DEBUGFS		"/sys/kernel/debug"
#define TOP		DEBUGFS "/kvm"
#define SMCCC_VERSION	0x80000000UL
#define TEXT		65536
#define CVAL		0x123456789abcUL

GUEST uint64_t call_often(uint64_t times);
GUEST uint64_t call_often(uint64_t times)
{
	uint64_t i;

	/* A timer that is never over. */
	GUEST_MSR("cntv_cval_el0", CVAL);
	GUEST_MSR("cntv_ctl_el0", 1);
	for (i = 0; i < times; i++)
		guest_hvc(SMCCC_VERSION, 0, 0, 0);
	return i;
}

FIXTURE(debugfs)
{
	struct vm vm;
	struct vcpu vcpu[2];
	char dir[256];
	char *text;
};

static void vm_dir(char *dir, size_t size, int fd)
{
	snprintf(dir, size, TOP "/%d-%d", getpid(), fd);
}

FIXTURE_SETUP(debugfs)
{
	unsigned int i;

	if (!host_is_module())
		SKIP(return, "the module's files");
	if (access(TOP, F_OK) && mount("debugfs", DEBUGFS, "debugfs", 0, NULL))
		SKIP(return, "no debugfs");
	self->text = malloc(TEXT);
	ASSERT_NE(NULL, self->text);
	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu[i], i));
	}
	vm_dir(self->dir, sizeof(self->dir), self->vm.fd);
}

FIXTURE_TEARDOWN(debugfs)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		vcpu_destroy(&self->vcpu[i]);
	vm_destroy(&self->vm);
	free(self->text);
}

/* A file's number, or -1. */
static long number(const char *dir, const char *name)
{
	char path[512], text[64], *end;
	long value;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!read_text(path, text, sizeof(text)))
		return -1;
	value = strtol(text, &end, 10);
	return end == text || *end ? -1 : value;
}

/* A file's text; empty if there is none. */
static const char *text_of(FIXTURE_DATA(debugfs) *self, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", self->dir, name);
	if (!read_text(path, self->text, TEXT))
		self->text[0] = 0;
	return self->text;
}

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

/* What kvm_stat --debugfs reads: all files at the top, and those of these names of each VM. */
TEST_F(debugfs, kvm_stat_reads_it)
{
	unsigned int fields = 0;
	struct dirent *entry;
	DIR *top = opendir(TOP);

	ASSERT_NE(NULL, top);
	while ((entry = readdir(top))) {
		if (entry->d_type != DT_REG)
			continue;
		fields++;
		EXPECT_LE(0, number(TOP, entry->d_name)) TH_LOG("%s", entry->d_name);
		EXPECT_LE(0, number(self->dir, entry->d_name)) TH_LOG("%s", entry->d_name);
	}
	closedir(top);
	EXPECT_LE(25, fields);
	/* Its VMs are found by the process's number at the start of their names. */
	EXPECT_EQ(getpid(), atoi(strrchr(self->dir, '/') + 1));
	EXPECT_TRUE(is_there(self->dir));
	EXPECT_LE(0, number(TOP, "hvc_exit_stat"));
	EXPECT_LE(0, number(TOP, "inner_loop_reentries"));
}

/*
 * What kvm_stat --tracepoints needs to start: C KVM's events, which the kernel has
 * whoever runs the VMs, with their numbers and the fields that it filters by.
 */
TEST_F(debugfs, kvm_stat_finds_its_events)
{
	static const struct { const char *event, *field; } events[] = {
		{ "kvm_exit", "esr_ec" },
		{ "kvm_userspace_exit", "reason" },
	};
	char dir[128], path[160];
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(events); i++) {
		snprintf(dir, sizeof(dir), DEBUGFS "/tracing/events/kvm/%s", events[i].event);
		EXPECT_LT(0, number(dir, "id")) TH_LOG("%s", dir);
		snprintf(path, sizeof(path), "%s/format", dir);
		ASSERT_TRUE(read_text(path, self->text, TEXT)) TH_LOG("%s", path);
		EXPECT_NE(NULL, strstr(self->text, events[i].field)) TH_LOG("%s", path);
		EXPECT_TRUE(is_there(DEBUGFS "/tracing/events/kvm_vhe"));
	}
}

TEST_F(debugfs, numbers_are_what_was_done)
{
	char path[300], other_dir[256];
	struct vcpu vcpu;
	struct vm vm;

	ASSERT_EQ(0, guest_finish(&self->vcpu[0], call_often, 5, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu[1], call_often, 7, 0));
	snprintf(path, sizeof(path), "%s/vcpu0", self->dir);
	EXPECT_EQ(5, number(path, "hvc_exit_stat"));
	EXPECT_EQ(syscall(SYS_gettid), number(path, "pid"));
	snprintf(path, sizeof(path), "%s/vcpu1", self->dir);
	EXPECT_EQ(7, number(path, "hvc_exit_stat"));
	EXPECT_EQ(12, number(self->dir, "hvc_exit_stat"));
	EXPECT_EQ(2, number(self->dir, "vcpus"));
	EXPECT_LT(0, number(self->dir, "stage2_table_pages"));

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 3));
	ASSERT_EQ(0, guest_finish(&vcpu, call_often, 9, 0));
	vm_dir(other_dir, sizeof(other_dir), vm.fd);
	EXPECT_EQ(9, number(other_dir, "hvc_exit_stat"));
	EXPECT_EQ(21, number(TOP, "hvc_exit_stat"));
	EXPECT_EQ(3, number(TOP, "vcpus"));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	EXPECT_FALSE(is_there(other_dir));
	EXPECT_EQ(12, number(TOP, "hvc_exit_stat"));
}

TEST_F(debugfs, it_goes_with_the_last_descriptor)
{
	char path[300], dir[256];
	struct vcpu vcpu;
	struct vm vm;
	int fd, other;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	vm_dir(dir, sizeof(dir), vm.fd);
	snprintf(path, sizeof(path), "%s/vcpu0", dir);
	EXPECT_TRUE(is_there(path));
	fd = vm.fd;
	close(fd);
	EXPECT_TRUE(is_there(path)) TH_LOG("a vCPU is open");
	EXPECT_EQ(1, number(dir, "vcpus"));

	/* Another VM of its name has no directory, and does not take this one with it. */
	other = kvm_ioctl(vm.kvm, KVM_CREATE_VM, 0);
	EXPECT_EQ(fd, other);
	EXPECT_EQ(1, number(dir, "vcpus"));
	close(other);
	EXPECT_TRUE(is_there(path));

	/* vm_destroy() is to close what is open. */
	vm.fd = dup(vm.kvm);
	vcpu_destroy(&vcpu);
	EXPECT_FALSE(is_there(dir));
	vm_destroy(&vm);
	EXPECT_EQ(2, number(TOP, "vcpus"));
}

/* A vCPU that cannot be made leaves nothing, in the log neither. */
TEST_F(debugfs, no_second_of_a_number)
{
	int log = kmsg_open(), i;
	char path[300], line[512];

	for (i = 0; i < 10; i++) {
		EXPECT_EQ(-EEXIST, kvm_ioctl(self->vm.fd, KVM_CREATE_VCPU, 1));
	}
	snprintf(path, sizeof(path), "%s/vcpu1", self->dir);
	EXPECT_TRUE(is_there(path));
	ASSERT_LE(0, log);
	EXPECT_EQ(-1, kmsg_find(log, "debugfs", line, sizeof(line))) TH_LOG("%s", line);
	close(log);
}

TEST_F(debugfs, the_interrupt_controller)
{
	struct kvm_create_device gic = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	struct kvm_irq_level spi40 = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | 40, .level = 1,
	};
	struct kvm_create_device its = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	const char *text;

	EXPECT_STREQ("none", text_of(self, "vgic-state"));
	if (kvm_ioctl(self->vm.fd, KVM_CREATE_DEVICE, (unsigned long)&gic) == -ENODEV)
		SKIP(return, "no GICv3 for VMs");
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST,
			      GUEST_GICD));
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
			      GUEST_GICR));
	EXPECT_STREQ("not initialised", text_of(self, "vgic-state"));
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_CREATE_DEVICE, (unsigned long)&its));
	EXPECT_NE(NULL, strstr(text_of(self, "vgic-its-state"), "its0:\tno address\n"));
	ASSERT_EQ(0, device_set(its.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE,
			      0x08080000));
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0));
	EXPECT_NE(NULL, strstr(text_of(self, "vgic-its-state"), "its0:\tat 0x8080000\n"));

	/*
	 * GICD_CTLR, GICD_ICFGR2, GICD_ISENABLER1, GICD_IPRIORITYR10, GICD_IROUTER40: SPI 40,
	 * level-sensitive, to vCPU 1.
	 */
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x0, 0x12));
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0xc08, 0));
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x104, 1 << 8));
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x428, 0xa8));
	ASSERT_EQ(0, device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x6140, 1));
	text = text_of(self, "vgic-state");
	EXPECT_NE(NULL, strstr(text, "groups:\t0 off, 1 on\n")) TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, "vcpu1:\taffinity 0.0.0.1, LPIs off\n")) TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, "     40 SPI  E---- level       1 0xa8  vcpu1     -"))
		TH_LOG("%s", text);
	EXPECT_EQ(NULL, strstr(text, " 41 SPI ")) TH_LOG("%s", text);
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_IRQ_LINE, (unsigned long)&spi40));
	text = text_of(self, "vgic-state");
	EXPECT_NE(NULL, strstr(text, "     40 SPI  EP--l level       1 0xa8  vcpu1     -"))
		TH_LOG("%s", text);
	close(its.fd);
	close(gic.fd);
}

TEST_F(debugfs, stage_2_and_timers)
{
	char at[32];
	const char *text;

	ASSERT_EQ(0, guest_finish(&self->vcpu[1], call_often, 1, 0));
	text = text_of(self, "stage2");
	EXPECT_NE(NULL, strstr(text, "ipa_bits:\t40\n")) TH_LOG("%s", text);
	snprintf(at, sizeof(at), "\n0x%010lx-0x", GUEST_RAM);
	EXPECT_NE(NULL, strstr(text, at)) TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, "\nlevel 3:\t")) TH_LOG("%s", text);
	text = text_of(self, "vcpu1/timers");
	EXPECT_NE(NULL, strstr(text, "CTL 0x1, CVAL 0x123456789abc, ")) TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, " ticks left, PPI 27\n")) TH_LOG("%s", text);
	text = text_of(self, "vcpu0/timers");
	EXPECT_NE(NULL, strstr(text, "CTL 0x0, CVAL 0x0, ")) TH_LOG("%s", text);
}

/* Reads all that is there. What is found: files, those that others may read, kernel addresses. */
struct found {
	unsigned long files, open, addresses;
};

static void read_file_of(const char *path, struct found *found)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return;
	found->files++;
	while ((size = read(fd, text, sizeof(text) - 1)) > 0) {
		const char *c = text;

		text[size] = 0;
		while ((c = strstr(c, "ffff"))) {
			if (strspn(c, "0123456789abcdef") >= 16)
				found->addresses++;
			c += strspn(c, "0123456789abcdef");
		}
	}
	close(fd);
}

static void read_all(const char *dir, struct found *found)
{
	struct dirent *entry;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d))) {
		char path[512];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (lstat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode)) {
			read_all(path, found);
		} else {
			found->open += (st.st_mode & 07777) != 0400 || st.st_uid;
			read_file_of(path, found);
		}
	}
	if (d)
		closedir(d);
}

TEST_F(debugfs, for_root_and_without_addresses)
{
	struct found found = { 0 };
	struct stat st;

	ASSERT_EQ(0, vm_gic(&self->vm));
	ASSERT_EQ(0, guest_finish(&self->vcpu[0], call_often, 3, 0));
	read_all(TOP, &found);
	EXPECT_LT(100, found.files);
	EXPECT_EQ(0, found.open);
	EXPECT_EQ(0, found.addresses);
	ASSERT_EQ(0, stat(DEBUGFS, &st));
	EXPECT_EQ(0700, st.st_mode & 07777);
}

static atomic_bool stop;

static void *reader(void *arg)
{
	while (!stop)
		read_all(TOP, arg);
	return NULL;
}

TEST_F_TIMEOUT(debugfs, readers_while_vms_come_and_go, 120)
{
	unsigned int rounds = scaled(100), i;
	struct found found[2] = { 0 };
	pthread_t thread[2];

	stop = false;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, reader, &found[i]));
	for (i = 0; i < rounds; i++) {
		struct vcpu vcpu[2];
		struct vm vm;

		ASSERT_EQ(0, vm_create(&vm));
		ASSERT_EQ(0, vcpu_create(&vm, &vcpu[0], 0));
		ASSERT_EQ(0, vcpu_create(&vm, &vcpu[1], 1));
		ASSERT_EQ(0, vm_gic(&vm));
		ASSERT_EQ(0, guest_finish(&vcpu[i % 2], call_often, 20, 0));
		vcpu_destroy(&vcpu[0]);
		vcpu_destroy(&vcpu[1]);
		vm_destroy(&vm);
	}
	stop = true;
	for (i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_LT(0, found[i].files);
		EXPECT_EQ(0, found[i].addresses);
	}
}

/* An open file outlives its VM, but the module does not go before it is closed. */
TEST(an_open_file)
{
	int top, file, ret;
	char path[300], dir[256], c;
	struct vm vm;

	if (!host_is_module())
		SKIP(return, "the module's files");
	if (access(TOP, F_OK) && mount("debugfs", DEBUGFS, "debugfs", 0, NULL))
		SKIP(return, "no debugfs");
	ASSERT_EQ(0, vm_create(&vm));
	vm_dir(dir, sizeof(dir), vm.fd);
	snprintf(path, sizeof(path), "%s/vgic-state", dir);
	file = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, file);
	top = open(TOP "/vcpus", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, top);
	vm_destroy(&vm);
	EXPECT_FALSE(is_there(dir));
	EXPECT_EQ(-1, read(file, &c, 1));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(1, read(top, &c, 1));
	EXPECT_EQ('0', c);
	EXPECT_GT(0, module_remove());
	close(file);
	EXPECT_GT(0, module_remove()) TH_LOG("the other file is open");
	close(top);
	ret = module_ensure(MODULE_FILE, false);
	EXPECT_EQ(0, ret);
	EXPECT_FALSE(is_there(TOP));
	EXPECT_EQ(0, module_ensure(MODULE_FILE, true));
	EXPECT_TRUE(is_there(TOP));
}

TEST_HARNESS_MAIN
