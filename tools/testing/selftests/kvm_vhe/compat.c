// SPDX-License-Identifier: GPL-2.0
/*
 * 32-bit processes: KVM for arm64 has no interface for them. They cannot open
 * /dev/kvm, nor use a descriptor that a 64-bit process hands to them. Runs on the
 * module and on C KVM.
 *
 * There is no compiler for 32-bit Arm in the build root, so the program is a few
 * instructions, put together here: a system call whose errno is its exit code.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define LOAD_ADDRESS	0x10000
#define A32_OPEN	5
#define A32_IOCTL	54
/* The descriptor that the program inherits. */
#define INHERITED	100

/* A32 instructions, Arm ARM DDI 0487 chapter F5. */
#define MOV(rd, imm8)	(0xe3a00000u | (rd) << 12 | (imm8))
#define MOVW(rd, imm16)	(0xe3000000u | ((imm16) >> 12) << 16 | (rd) << 12 | ((imm16) & 0xfff))
#define ADD_PC(rd, imm8) (0xe28f0000u | (rd) << 12 | (imm8))
#define NEG(rd, rn)	(0xe2600000u | (rn) << 16 | (rd) << 12)
#define SVC		0xef000000u

struct program {
	Elf32_Ehdr ehdr;
	Elf32_Phdr phdr;
	unsigned int text[8];
	char path[16];
};

static const struct program header = {
	.ehdr = {
		.e_ident = {
			ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
			ELFCLASS32, ELFDATA2LSB, EV_CURRENT,
		},
		.e_type = ET_EXEC,
		.e_machine = EM_ARM,
		.e_version = EV_CURRENT,
		.e_entry = LOAD_ADDRESS + offsetof(struct program, text),
		.e_phoff = offsetof(struct program, phdr),
		.e_flags = EF_ARM_EABI_VER5,
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1,
	},
	.phdr = {
		.p_type = PT_LOAD,
		.p_vaddr = LOAD_ADDRESS,
		.p_paddr = LOAD_ADDRESS,
		.p_filesz = sizeof(struct program),
		.p_memsz = sizeof(struct program),
		.p_flags = PF_R | PF_X,
		.p_align = 0x1000,
	},
	.path = KVM_DEV,
};

/* Runs a 32-bit process that makes one system call: its errno, 0 if it worked. */
static int system_call(const unsigned int *setup, size_t n, int inherited)
{
	struct program program = header;
	int pid, file;

	memcpy(program.text, setup, n * sizeof(*setup));
	program.text[n++] = SVC;
	program.text[n++] = NEG(0, 0);
	program.text[n++] = MOV(7, 1);	/* exit */
	program.text[n++] = SVC;

	pid = fork();
	if (pid == 0) {
		file = memfd_create("a32", MFD_CLOEXEC);
		if (inherited >= 0 && dup2(inherited, INHERITED) < 0)
			_exit(200);
		if (write(file, &program, sizeof(program)) != sizeof(program))
			_exit(201);
		syscall(SYS_execveat, file, "", (char *[]){ "a32", NULL },
			(char *[]){ NULL }, AT_EMPTY_PATH);
		_exit(errno == ENOEXEC ? 202 : 203);
	}
	return wait_child(pid);
}

/* Opens path, which is at the end of the program. */
static int open_from_a32(void)
{
	const unsigned int setup[] = {
		/* pc is two instructions ahead */
		ADD_PC(0, offsetof(struct program, path) - offsetof(struct program, text) - 8),
		MOV(1, O_RDWR),
		MOV(2, 0),
		MOV(7, A32_OPEN),
	};

	return system_call(setup, ARRAY_LEN(setup), -1);
}

static int ioctl_from_a32(int fd, unsigned int cmd)
{
	const unsigned int setup[] = {
		MOV(0, INHERITED),
		MOVW(1, cmd),
		MOV(2, 0),
		MOV(7, A32_IOCTL),
	};

	return system_call(setup, ARRAY_LEN(setup), fd);
}

FIXTURE(compat)
{
	int kvm;
	int vm;
};

FIXTURE_SETUP(compat)
{
	int pipe_fd[2];

	/* A call that works in any 32-bit process: FIONREAD of type 0x54. */
	ASSERT_EQ(0, pipe(pipe_fd));
	if (ioctl_from_a32(pipe_fd[0], 0x541b) == 202)
		SKIP(return, "this machine runs no 32-bit programs");
	close(pipe_fd[0]);
	close(pipe_fd[1]);

	self->kvm = kvm_open();
	ASSERT_LE(0, self->kvm);
	self->vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	ASSERT_LE(0, self->vm);
}

FIXTURE_TEARDOWN(compat)
{
	close(self->vm);
	close(self->kvm);
}

TEST_F(compat, the_program_works)
{
	int null = open("/dev/null", O_RDWR);

	/* /dev/null has no ioctls; a descriptor that is not open has none either. */
	EXPECT_EQ(ENOTTY, ioctl_from_a32(null, KVM_GET_API_VERSION));
	EXPECT_EQ(EBADF, ioctl_from_a32(-1, KVM_GET_API_VERSION));
	close(null);
}

TEST_F(compat, device_cannot_be_opened)
{
	EXPECT_EQ(ENODEV, open_from_a32());
}

TEST_F(compat, inherited_device_answers_nothing)
{
	EXPECT_EQ(EINVAL, ioctl_from_a32(self->kvm, KVM_GET_API_VERSION));
	EXPECT_EQ(EINVAL, ioctl_from_a32(self->kvm, KVM_GET_VCPU_MMAP_SIZE));
}

TEST_F(compat, inherited_vm_answers_nothing)
{
	EXPECT_EQ(EINVAL, ioctl_from_a32(self->vm, KVM_CHECK_EXTENSION));
}

TEST_HARNESS_MAIN
