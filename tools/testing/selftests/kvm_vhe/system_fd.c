// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what /dev/kvm is and answers: its node and sysfs entry, the system
 * ioctls, their errors, and which VM types exist.
 * Runs on the module and on C KVM, as root; that there are no further capabilities
 * is looked at on the module only.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define IPA_DEFAULT	40
#define IPA_MIN		32
#define IPA_ARCH_MAX	52

FIXTURE(system_fd)
{
	int fd;
	int limit;
};

FIXTURE_SETUP(system_fd)
{
	self->fd = kvm_open();
	ASSERT_GE(self->fd, 0) TH_LOG("%s: %s", KVM_DEV, strerror(-self->fd));
	self->limit = kvm_ioctl(self->fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
}

FIXTURE_TEARDOWN(system_fd)
{
	close(self->fd);
}

TEST_F(system_fd, node)
{
	struct stat st;

	ASSERT_EQ(0, stat(KVM_DEV, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(10, major(st.st_rdev));
	EXPECT_EQ(232, minor(st.st_rdev));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
}

TEST_F(system_fd, sysfs)
{
	char text[64];

	ASSERT_TRUE(read_text("/sys/class/misc/kvm/dev", text, sizeof(text)));
	EXPECT_STREQ("10:232", text);
	EXPECT_EQ(0, access("/sys/dev/char/10:232", F_OK));
}

TEST_F(system_fd, no_access_for_others)
{
	int child = fork();

	ASSERT_GE(child, 0);
	if (!child) {
		if (setresuid(65534, 65534, 65534))
			_exit(200);
		_exit(open(KVM_DEV, O_RDWR) < 0 ? errno : 0);
	}
	EXPECT_EQ(EACCES, wait_child(child));
}

TEST_F(system_fd, api_version)
{
	EXPECT_EQ(12, kvm_ioctl(self->fd, KVM_GET_API_VERSION, 0));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_GET_API_VERSION, 1));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_GET_API_VERSION, ~0UL));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_GET_API_VERSION, 1UL << 32));
}

TEST_F(system_fd, vcpu_mmap_size)
{
	EXPECT_EQ(2 * getpagesize(), kvm_ioctl(self->fd, KVM_GET_VCPU_MMAP_SIZE, 0));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_GET_VCPU_MMAP_SIZE, 1));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_GET_VCPU_MMAP_SIZE, 1UL << 32));
}

/* The command is an unsigned int: what lies above it in the register is not looked at. */
TEST_F(system_fd, command_is_32_bits)
{
	EXPECT_EQ(12, syscall(SYS_ioctl, self->fd, KVM_GET_API_VERSION | 0xffffffff00000000UL, 0));
}

TEST_F(system_fd, ipa_limit)
{
	EXPECT_GE(self->limit, IPA_MIN);
	EXPECT_LE(self->limit, IPA_ARCH_MAX);
}

TEST_F(system_fd, unknown_capabilities)
{
	static const unsigned long unknown[] = {
		100000, 0x7fffffff, 0x80000000, 0xffffffff, 1UL << 32,
		(1UL << 32) | KVM_CAP_ARM_VM_IPA_SIZE, 1UL << 63,
		(1UL << 63) | KVM_CAP_ARM_VM_IPA_SIZE, ~0UL, -(unsigned long)KVM_CAP_ARM_VM_IPA_SIZE,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(unknown); i++) {
		EXPECT_EQ(0, kvm_ioctl(self->fd, KVM_CHECK_EXTENSION, unknown[i]))
			TH_LOG("capability %#lx", unknown[i]);
	}
}

/*
 * What the module says it can do is what it can do: nothing more is promised. What it
 * promises C KVM promises too, the same.
 */
TEST_F(system_fd, module_capabilities)
{
	struct capability want;
	long system, own;
	unsigned long cap;
	int vm;

	vm = kvm_ioctl(self->fd, KVM_CREATE_VM, 0);
	ASSERT_GE(vm, 0);
	for (cap = 0; cap < 1024; cap++) {
		want = capability_of(cap);
		/*
		 * C KVM has a VM's attributes and does not say so; it has no pre-faulting, and
		 * says where there is no memory for x86 only.
		 */
		if (!host_is_module() && (!want.high || cap == KVM_CAP_VM_ATTRIBUTES ||
					  cap == KVM_CAP_PRE_FAULT_MEMORY ||
					  cap == KVM_CAP_MEMORY_FAULT_INFO))
			continue;
		system = kvm_ioctl(self->fd, KVM_CHECK_EXTENSION, cap);
		own = kvm_ioctl(vm, KVM_CHECK_EXTENSION, cap);
		EXPECT_LE(want.low, system) TH_LOG("capability %lu on the system fd", cap);
		EXPECT_GE(want.high, system) TH_LOG("capability %lu on the system fd", cap);
		EXPECT_EQ(system, own) TH_LOG("capability %lu on a VM fd", cap);
	}
	close(vm);
}

TEST_F(system_fd, both_fds_agree)
{
	int vm = kvm_ioctl(self->fd, KVM_CREATE_VM, 0);

	ASSERT_GE(vm, 0);
	EXPECT_EQ(1, kvm_ioctl(self->fd, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
	EXPECT_EQ(1, kvm_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
	EXPECT_EQ(self->limit, kvm_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE));
	close(vm);
}

TEST_F_TIMEOUT(system_fd, vm_types, 120)
{
	int type, vm;

	for (type = 0; type < 256; type++) {
		int bits = type ? type : IPA_DEFAULT;
		bool good = bits >= IPA_MIN && bits <= self->limit;

		vm = kvm_ioctl(self->fd, KVM_CREATE_VM, type);
		EXPECT_EQ(good, vm >= 0) TH_LOG("type %d: %d", type, vm);
		if (vm < 0) {
			EXPECT_EQ(-EINVAL, vm) TH_LOG("type %d", type);
		}
		if (vm >= 0)
			close(vm);
	}
}

/* Bit 31 (a protected VM) needs pKVM, which neither host is. */
TEST_F(system_fd, vm_type_bits)
{
	int bit, vm;

	for (bit = 8; bit < 64; bit++) {
		vm = kvm_ioctl(self->fd, KVM_CREATE_VM, 1UL << bit);
		EXPECT_EQ(-EINVAL, vm) TH_LOG("bit %d", bit);
		vm = kvm_ioctl(self->fd, KVM_CREATE_VM, (1UL << bit) | IPA_MIN);
		EXPECT_EQ(-EINVAL, vm) TH_LOG("bit %d and %d bits of IPA", bit, IPA_MIN);
	}
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_CREATE_VM, ~0UL));
}

TEST_F(system_fd, vm_ioctls_belong_to_vms)
{
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_CREATE_VCPU, 0));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_RUN, 0));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd, KVM_SET_USER_MEMORY_REGION, 0));
}

TEST_F(system_fd, other_file_operations)
{
	struct pollfd p = { .fd = self->fd, .events = POLLIN | POLLOUT };
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);
	char byte = 0;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, getpagesize(), PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	EXPECT_EQ(0, lseek(self->fd, 4096, SEEK_SET));
	EXPECT_EQ(0, lseek(self->fd, 1, SEEK_END));
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN | POLLOUT, p.revents);
	EXPECT_EQ(-1, epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event));
	EXPECT_EQ(EPERM, errno);
	close(epoll);
}

/* A descriptor without read or write permission is as good as any for ioctls. */
TEST_F(system_fd, read_only_open)
{
	int fd = open(KVM_DEV, O_RDONLY | O_CLOEXEC);
	int vm;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(12, kvm_ioctl(fd, KVM_GET_API_VERSION, 0));
	vm = kvm_ioctl(fd, KVM_CREATE_VM, 0);
	EXPECT_GE(vm, 0);
	close(vm);
	close(fd);
}

/* Unlike a VM's, the system fd has no owner: a child may use its parent's. */
TEST_F(system_fd, works_after_fork)
{
	int child = fork();

	ASSERT_GE(child, 0);
	if (!child) {
		int vm = kvm_ioctl(self->fd, KVM_CREATE_VM, 0);

		_exit(vm < 0 ? 1 : kvm_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM) != 1);
	}
	EXPECT_EQ(0, wait_child(child));
}

TEST_HARNESS_MAIN
