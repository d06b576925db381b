// SPDX-License-Identifier: GPL-2.0
/*
 * Shows how long a VM's file descriptor lives, to whom it answers, and that a
 * failed KVM_CREATE_VM leaves nothing behind.
 * Runs on the module and on C KVM, as root.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

FIXTURE(vm_fd)
{
	int kvm;
	int vm;
};

FIXTURE_SETUP(vm_fd)
{
	self->kvm = kvm_open();
	ASSERT_GE(self->kvm, 0) TH_LOG("%s: %s", KVM_DEV, strerror(-self->kvm));
	self->vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(self->vm, 0);
}

FIXTURE_TEARDOWN(vm_fd)
{
	close(self->vm);
	close(self->kvm);
}

/* 1 from a VM fd that answers. */
static long answers(int vm)
{
	return kvm_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM);
}

TEST_F(vm_fd, name_and_flags)
{
	char path[64], link[64];
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->vm);
	got = readlink(path, link, sizeof(link) - 1);
	ASSERT_GT(got, 0);
	link[got] = 0;
	EXPECT_STREQ("anon_inode:kvm-vm", link);
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->vm, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(self->vm, F_GETFL) & O_ACCMODE);
}

TEST_F(vm_fd, fdinfo_tells_the_ipa_size)
{
	static const int types[][2] = { { 0, 40 }, { 32, 32 }, { 44, 44 } };
	char path[64];
	long limit;
	size_t i;
	int vm;

	if (!host_is_module())
		SKIP(return, "C KVM says nothing there");
	limit = kvm_ioctl(self->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	for (i = 0; i < ARRAY_LEN(types); i++) {
		if (types[i][1] > limit)
			continue;
		vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, types[i][0]);
		ASSERT_LE(0, vm);
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", vm);
		EXPECT_EQ(types[i][1], read_field(path, "kvm-ipa-bits"));
		close(vm);
	}
}

TEST_F(vm_fd, takes_the_lowest_number)
{
	int low = fcntl(0, F_DUPFD, 0);
	int vm;

	close(low);
	vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	EXPECT_EQ(low, vm);
	close(vm);
}

TEST_F(vm_fd, other_file_operations)
{
	struct pollfd p = { .fd = self->vm, .events = POLLIN | POLLOUT };
	char byte = 0;

	EXPECT_EQ(-1, read(self->vm, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->vm, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, getpagesize(), PROT_READ, MAP_SHARED, self->vm, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(0, lseek(self->vm, 0, SEEK_SET));
	EXPECT_EQ(0, lseek(self->vm, 4096, SEEK_CUR));
	EXPECT_EQ(0, lseek(self->vm, 1, SEEK_END));
	EXPECT_EQ(-1, fsync(self->vm));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN | POLLOUT, p.revents);
}

TEST_F(vm_fd, outlives_the_system_fd)
{
	close(self->kvm);
	EXPECT_EQ(1, answers(self->vm));
}

TEST_F(vm_fd, outlives_by_dup)
{
	int copy = dup(self->vm);

	ASSERT_GE(copy, 0);
	close(self->vm);
	EXPECT_EQ(1, answers(copy));
	EXPECT_EQ(-EBADF, answers(self->vm));
	close(copy);
}

TEST_F(vm_fd, any_order_of_closing)
{
	int vm[8], i;

	for (i = 0; i < 8; i++) {
		vm[i] = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
		ASSERT_GE(vm[i], 0);
	}
	close(self->kvm);
	for (i = 0; i < 8; i++) {
		int which = i * 5 % 8;

		EXPECT_EQ(1, answers(vm[which]));
		close(vm[which]);
		EXPECT_EQ(1, answers(self->vm));
	}
}

static void *ask(void *vm)
{
	return (void *)answers(*(int *)vm);
}

/* A thread shares the mm, so it may use the VM. */
TEST_F(vm_fd, threads_may_use_it)
{
	pthread_t thread;
	void *result;

	ASSERT_EQ(0, pthread_create(&thread, NULL, ask, &self->vm));
	pthread_join(thread, &result);
	EXPECT_EQ(1, (long)result);
}

TEST_F(vm_fd, eio_after_fork)
{
	static const unsigned long cmds[] = {
		KVM_CHECK_EXTENSION, KVM_CREATE_VCPU, KVM_GET_API_VERSION, KVM_CREATE_VM,
		KVM_SET_USER_MEMORY_REGION, KVM_CREATE_IRQCHIP, KVM_CREATE_DEVICE, _IO(KVMIO, 0xff),
		_IO('x', 1), 0, 0xffffffff,
	};
	unsigned int i;
	int child = fork();

	ASSERT_GE(child, 0);
	if (!child) {
		for (i = 0; i < ARRAY_LEN(cmds); i++)
			if (kvm_ioctl(self->vm, cmds[i], 0) != -EIO)
				_exit(i + 1);
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(child)) TH_LOG("the code is the place in cmds[], from 1");
	EXPECT_EQ(1, answers(self->vm));
}

/* The child holds the file after its owner's mm is gone. */
TEST_F(vm_fd, eio_after_the_owner_died)
{
	int pair[2], owner, holder, vm;
	char byte;

	ASSERT_EQ(0, pipe(pair));
	owner = fork();
	ASSERT_GE(owner, 0);
	if (!owner) {
		vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
		if (vm < 0)
			_exit(1);
		holder = fork();
		if (holder)
			_exit(holder < 0);
		while (getppid() == owner)
			;
		msleep(300);	/* let it be torn down */
		byte = answers(vm) == -EIO;
		close(vm);
		_exit(write(pair[1], &byte, 1) != 1);
	}
	EXPECT_EQ(0, wait_child(owner));
	close(pair[1]);
	ASSERT_EQ(1, read(pair[0], &byte, 1));
	EXPECT_EQ(1, byte);
}

TEST_F(vm_fd, exec_closes_it)
{
	char path[32];
	int child;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->vm);
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		execl("/proc/self/exe", "vm_fd", "--lstat", path, NULL);
		_exit(100);
	}
	EXPECT_EQ(ENOENT, wait_child(child));
	/* The same question about a descriptor that stays open finds it. */
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		fcntl(self->vm, F_SETFD, 0);
		execl("/proc/self/exe", "vm_fd", "--lstat", path, NULL);
		_exit(100);
	}
	EXPECT_EQ(0, wait_child(child));
}

static int send_fd(int sock, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

TEST_F(vm_fd, eio_through_a_socket)
{
	int pair[2], child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		int vm = receive_fd(pair[1]);

		_exit(vm < 0 ? 200 : -answers(vm));
	}
	ASSERT_EQ(0, send_fd(pair[0], self->vm));
	EXPECT_EQ(EIO, wait_child(child));
	/* Back to its owner, it is good again. */
	ASSERT_EQ(0, send_fd(pair[0], self->vm));
	close(self->vm);
	self->vm = receive_fd(pair[1]);
	ASSERT_GE(self->vm, 0);
	EXPECT_EQ(1, answers(self->vm));
}

/* A VM that waits in a socket nobody reads is freed with the socket. */
TEST_F(vm_fd, dies_in_a_socket)
{
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], self->vm));
	close(self->vm);
	close(pair[0]);
	close(pair[1]);
	self->vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	EXPECT_EQ(1, answers(self->vm));
}

TEST_F(vm_fd, emfile_leaves_nothing)
{
	int low = fcntl(0, F_DUPFD, 0), fds = open_fds() - 1, i;
	struct rlimit old, limit;

	close(low);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = low;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(-EMFILE, kvm_ioctl(self->kvm, KVM_CREATE_VM, 0));
	}
	/* The number comes first on C KVM: a bad type does not show. */
	EXPECT_EQ(-EMFILE, kvm_ioctl(self->kvm, KVM_CREATE_VM, ~0UL));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(fds, open_fds());
	i = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	EXPECT_EQ(low, i);
	close(i);
}

TEST_F(vm_fd, refused_type_leaves_nothing)
{
	int fds = open_fds(), i;

	for (i = 0; i < 100; i++) {
		EXPECT_EQ(-EINVAL, kvm_ioctl(self->kvm, KVM_CREATE_VM, 1 + i % 31));
	}
	EXPECT_EQ(fds, open_fds());
}

int main(int argc, char **argv)
{
	struct stat st;

	if (argc == 3 && !strcmp(argv[1], "--lstat"))
		return lstat(argv[2], &st) ? errno : 0;
	return test_harness_run(argc, argv);
}
