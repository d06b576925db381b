// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a VMM can do no harm with a vCPU that runs: its page and its memory
 * unmapped, its descriptor closed or used by many threads, its registers and its
 * page full of nonsense.
 * Runs on the module and on C KVM, as root. LAB_SCALE=N per cent makes it longer.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
#define PSCI		(1 << KVM_ARM_VCPU_PSCI_0_2)
#define SLOT_IPA	0x80000000UL
#define SLOT_SIZE	0x200000UL

FIXTURE(hostile_vmm)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(hostile_vmm)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(hostile_vmm)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

GUEST uint64_t add_one(uint64_t arg);
GUEST uint64_t add_one(uint64_t arg)
{
	return arg + 1;
}

GUEST uint64_t spin(uint64_t arg);
GUEST uint64_t spin(uint64_t arg)
{
	for (;;)
		asm volatile("" : "+r" (arg));
}

/* Reads and writes all over a slot, says so now and then. */
GUEST uint64_t use_memory(uint64_t base);
GUEST uint64_t use_memory(uint64_t base)
{
	uint64_t round, i;

	guest_area()->catch = 1;
	for (round = 0;; round++) {
		for (i = 0; i < SLOT_SIZE; i += 0x1000) {
			volatile uint64_t *p = (uint64_t *)(base + i);

			if ((i >> 12 ^ round) & 1)
				*p = round;
			else
				(void)*p;
		}
		guest_say(1, round);
	}
}

/* A thread in KVM_RUN again and again, kicked each few milliseconds. */
struct runner {
	struct vcpu *vcpu;
	bool stop;
	unsigned long runs, interrupted, said, mmio, failed;
	int strange;		/* an errno that nothing explains */
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct kvm_run *run = r->vcpu->run;
	int ret;

	kick_every(2000);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		ret = IOCTL(r->vcpu->fd, KVM_RUN, 0);
		__atomic_fetch_add(&r->runs, 1, __ATOMIC_RELAXED);
		if (ret == -EINTR)
			r->interrupted++;
		else if (ret == -EFAULT || ret == -ENOSYS)
			r->failed++;
		else if (ret)
			r->strange = ret;
		else if (run != MAP_FAILED && run->exit_reason == KVM_EXIT_MMIO &&
			 run->mmio.phys_addr - GUEST_MMIO < 0x1000)
			__atomic_fetch_add(&r->said, 1, __ATOMIC_RELAXED);
		else
			r->mmio++;
	}
	kick_every(0);
	return NULL;
}

static void stop(struct runner *r, pthread_t thread)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

TEST_F_TIMEOUT(hostile_vmm, run_page_comes_and_goes, 120)
{
	long size = IOCTL(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct runner r = { .vcpu = &self->vcpu };
	struct kvm_run *run = self->vcpu.run;
	unsigned int i, n = scaled(500);
	pthread_t thread;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, use_memory, GUEST_FREE, 0));
	/* The runner does not look at the page, which may be gone. */
	self->vcpu.run = MAP_FAILED;
	ASSERT_EQ(0, pthread_create(&thread, NULL, runner_main, &r));
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, mprotect(run, size, PROT_NONE));
		usleep(i % 7 * 100);
		ASSERT_EQ(0, mprotect(run, size, PROT_READ));
		ASSERT_EQ(0, munmap(run, size));
		usleep(i % 5 * 100);
		ASSERT_EQ(run, mmap(run, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				    self->vcpu.fd, 0));
	}
	stop(&r, thread);
	self->vcpu.run = run;
	EXPECT_EQ(0, r.strange);
	EXPECT_LT(0, r.runs);
	EXPECT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

/* What a VMM finds in the shared page it may have written itself. */
TEST_F_TIMEOUT(hostile_vmm, nonsense_in_the_run_page, 120)
{
	struct kvm_run *run = self->vcpu.run;
	unsigned int i, j, n = scaled(2000);
	int ret;

	srandom(7);
	ASSERT_EQ(0, vcpu_start(&self->vcpu, use_memory, 0x20000000, 0));
	ASSERT_EQ(0, kick_every(2000));
	for (i = 0; i < n; i++) {
		ret = IOCTL(self->vcpu.fd, KVM_RUN, 0);
		EXPECT_TRUE(ret == 0 || ret == -EINTR) TH_LOG("KVM_RUN: %d", ret);
		for (j = 0; j < sizeof(*run); j++)
			((unsigned char *)run)[j] = random();
		run->immediate_exit = i % 16 == 0;
		if (i % 2) {
			run->exit_reason = KVM_EXIT_MMIO;
			run->mmio.len = i % 4 ? random() : i % 19;
			run->mmio.is_write = 0;
			run->mmio.phys_addr = random();
		} else if (i % 3) {
			run->exit_reason = i % 50;
		}
	}
	ASSERT_EQ(0, kick_every(0));
	memset(run, 0, sizeof(*run));
	EXPECT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

/* Other threads' ioctls on a vCPU that runs: they wait for it. */
struct meddler {
	struct vcpu *vcpu;
	bool stop, with_init;
	unsigned long done;
	int strange;
};

static void *meddler_main(void *arg)
{
	struct meddler *m = arg;
	struct kvm_reg_list none;
	struct kvm_guest_debug debug = { .control = 0 };
	struct kvm_vcpu_events events = { 0 };
	struct kvm_mp_state state;
	uint64_t value = 0;
	int ret, step = 0;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		switch (step++ % 8) {
		case 0:
			ret = reg_get(m->vcpu->fd, TPIDR_EL1, &value);
			break;
		case 1:
			ret = reg_set(m->vcpu->fd, TPIDR_EL1, &value);
			break;
		case 2:
			none.n = 0;
			ret = IOCTL(m->vcpu->fd, KVM_GET_REG_LIST, &none);
			ret = ret == -E2BIG ? 0 : ret;
			break;
		case 3:
			ret = IOCTL(m->vcpu->fd, KVM_GET_MP_STATE, &state);
			break;
		case 4:
			ret = IOCTL(m->vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
			break;
		case 5:
			ret = IOCTL(m->vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
			break;
		case 6:
			ret = IOCTL(m->vcpu->fd, _IO(KVMIO, 0xff), 0);
			ret = ret == -EINVAL ? 0 : ret;
			break;
		default:
			ret = m->with_init ? vcpu_init(m->vcpu, PSCI) : 0;
			break;
		}
		if (ret && ret != -EINTR)
			m->strange = ret;
		__atomic_fetch_add(&m->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void meddle(struct __test_metadata *_metadata, FIXTURE_DATA(hostile_vmm) *self,
		   bool with_init, unsigned int runners)
{
	struct meddler m = { .vcpu = &self->vcpu, .with_init = with_init };
	struct runner r[2] = { { .vcpu = &self->vcpu }, { .vcpu = &self->vcpu } };
	pthread_t thread[2], other[2];
	unsigned int i, tries;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, spin, 0, 0));
	for (i = 0; i < runners; i++) {
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, runner_main, &r[i]));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_create(&other[i], NULL, meddler_main, &m));
	}
	for (tries = 0; tries < 3000; tries++) {
		if (__atomic_load_n(&m.done, __ATOMIC_RELAXED) >= scaled(1000) &&
		    __atomic_load_n(&r[0].runs, __ATOMIC_RELAXED) >= 20)
			break;
		msleep(10);
	}
	__atomic_store_n(&m.stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < runners; i++)
		stop(&r[i], thread[i]);
	for (i = 0; i < 2; i++)
		pthread_join(other[i], NULL);
	EXPECT_EQ(0, m.strange);
	EXPECT_LE(100, m.done);
	for (i = 0; i < runners; i++) {
		EXPECT_LT(0, r[i].runs);
		if (!with_init) {
			EXPECT_EQ(0, r[i].strange);
			EXPECT_EQ(r[i].runs, r[i].interrupted);
		}
	}
	TH_LOG("%lu ioctls beside %lu and %lu runs", m.done, r[0].runs, r[1].runs);
	EXPECT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

TEST_F_TIMEOUT(hostile_vmm, ioctls_from_other_threads, 120)
{
	meddle(_metadata, self, false, 1);
}

TEST_F_TIMEOUT(hostile_vmm, run_from_two_threads, 120)
{
	meddle(_metadata, self, false, 2);
}

TEST_F_TIMEOUT(hostile_vmm, reset_under_it, 120)
{
	meddle(_metadata, self, true, 2);
}

/* A thread that waits for a running vCPU can be killed, and so can the one that runs. */
TEST_F_TIMEOUT(hostile_vmm, killed_while_waiting, 120)
{
	unsigned int i;
	int child;

	for (i = 0; i < scaled(20); i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct runner r[2];
			pthread_t thread;
			struct vcpu vcpu;
			struct vm vm;

			if (vm_create(&vm) || vcpu_create(&vm, &vcpu, 0) ||
			    vcpu_start(&vcpu, spin, 0, 0))
				_exit(1);
			memset(r, 0, sizeof(r));
			r[0].vcpu = r[1].vcpu = &vcpu;
			if (pthread_create(&thread, NULL, runner_main, &r[0]) ||
			    pthread_create(&thread, NULL, runner_main, &r[1]))
				_exit(2);
			IOCTL(vcpu.fd, KVM_RUN, 0);
			_exit(3);
		}
		usleep(10000 + i * 1000);
		kill(child, SIGKILL);
		EXPECT_EQ(256 + SIGKILL, wait_child(child));
	}
}

/* Any value in any register; then it runs, or it does not. */
TEST_F_TIMEOUT(hostile_vmm, nonsense_in_registers, 240)
{
	struct kvm_reg_list *list = vcpu_reg_list(&self->vcpu);
	unsigned int round, i, j, rounds = scaled(150);
	unsigned char value[256];
	uint64_t id;
	int ret;

	ASSERT_NE(NULL, list);
	srandom(11);
	ASSERT_EQ(0, kick_every(3000));
	for (round = 0; round < rounds; round++) {
		ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
		ASSERT_EQ(0, vcpu_start(&self->vcpu, spin, 0, round & 1));
		for (i = 0; i < (round % 3 ? 20 : list->n); i++) {
			id = list->reg[round % 3 ? random() % list->n : i];
			for (j = 0; j < sizeof(value); j++)
				value[j] = random();
			if (id == REG_PSTATE && round % 4)
				continue;
			reg_set(self->vcpu.fd, id, value);
		}
		for (i = 0; i < 10; i++) {
			ret = IOCTL(self->vcpu.fd, KVM_RUN, 0);
			EXPECT_TRUE(ret == 0 || ret == -EINTR || ret == -ENOSYS ||
				    ret == -EFAULT || ret == -ENOEXEC || ret == -EINVAL) {
				TH_LOG("KVM_RUN: %d in round %u", ret, round);
			}
			if (ret)
				break;
		}
	}
	free(list);
}

/* The slot goes and comes back while the guest uses it. */
TEST_F_TIMEOUT(hostile_vmm, slot_under_it, 120)
{
	void *memory = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	struct runner r = { .vcpu = &self->vcpu };
	unsigned int i, n = scaled(200);
	pthread_t thread;

	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, vcpu_start(&self->vcpu, use_memory, SLOT_IPA, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, runner_main, &r));
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, vm_memory(&self->vm, 1, SLOT_IPA, SLOT_SIZE, memory, 0));
		usleep(i % 7 * 500);
		ASSERT_EQ(0, vm_memory(&self->vm, 1, 0, 0, NULL, 0));
		usleep(i % 3 * 200);
	}
	stop(&r, thread);
	EXPECT_EQ(0, r.strange);
	EXPECT_LT(0, r.mmio);
	EXPECT_EQ(0, r.failed);
	TH_LOG("%lu rounds, %lu exits where the slot was not", r.said, r.mmio);
	munmap(memory, SLOT_SIZE);
}

/* The memory behind the slot goes: KVM_RUN says EFAULT, and works when it is back. */
TEST_F_TIMEOUT(hostile_vmm, memory_under_it, 120)
{
	void *memory = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	struct runner r = { .vcpu = &self->vcpu };
	unsigned int i, n = scaled(200), before;
	pthread_t thread;

	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, SLOT_IPA, SLOT_SIZE, memory, 0));
	ASSERT_EQ(0, vcpu_start(&self->vcpu, use_memory, SLOT_IPA, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, runner_main, &r));
	for (i = 0; i < n; i++) {
		usleep(i % 7 * 300);
		switch (i % 4) {
		case 0:
			ASSERT_EQ(0, munmap(memory, SLOT_SIZE));
			usleep(i % 3 * 300);
			ASSERT_EQ(memory, mmap(memory, SLOT_SIZE, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
			break;
		case 1:
			ASSERT_EQ(0, mprotect(memory, SLOT_SIZE, PROT_NONE));
			usleep(i % 3 * 300);
			ASSERT_EQ(0, mprotect(memory, SLOT_SIZE, PROT_READ));
			usleep(i % 5 * 300);
			ASSERT_EQ(0, mprotect(memory, SLOT_SIZE, PROT_READ | PROT_WRITE));
			break;
		case 2:
			ASSERT_EQ(0, madvise(memory, SLOT_SIZE, MADV_DONTNEED));
			break;
		default:
			memset((char *)memory + i % 512 * 4096, 0x5a, 4096);
			break;
		}
	}
	/* With everything back it goes on as if nothing had been. */
	before = __atomic_load_n(&r.said, __ATOMIC_RELAXED);
	for (i = 0; i < 500 && __atomic_load_n(&r.said, __ATOMIC_RELAXED) < before + 2; i++)
		msleep(10);
	stop(&r, thread);
	EXPECT_LE(before + 2, r.said);
	EXPECT_EQ(0, r.strange);
	EXPECT_EQ(0, r.mmio);
	EXPECT_LT(0, r.failed);
	TH_LOG("%lu rounds, %lu times EFAULT", r.said, r.failed);
	munmap(memory, SLOT_SIZE);
}

/* The page with the guest's code is not there any more. */
TEST_F(hostile_vmm, code_is_gone)
{
	void *page = self->vm.ram + GUEST_FREE - GUEST_RAM;
	uint32_t *code = page;
	size_t size = 0x10000;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, 7, 0));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PC, GUEST_FREE));
	ASSERT_EQ(0, munmap(page, size));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(GUEST_FREE, vcpu_reg(&self->vcpu, REG_PC));
	ASSERT_EQ(page, mmap(page, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	code[0] = 0x91000400;	/* add x0, x0, #1 */
	code[1] = 0xd61f0060;	/* br x3 */
	__builtin___clear_cache((char *)code, (char *)(code + 2));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_X(3), guest_address(guest_entry) + 4));
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(8, self->vcpu.value);
}

/* The descriptors go while it runs; it runs on until it comes back. */
TEST_F_TIMEOUT(hostile_vmm, closed_under_it, 120)
{
	long size = IOCTL(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	unsigned int i, tries;

	for (i = 0; i < scaled(30); i++) {
		struct runner r = { .vcpu = &self->vcpu };
		pthread_t thread;

		ASSERT_EQ(0, vcpu_start(&self->vcpu, use_memory, GUEST_FREE, 0));
		ASSERT_EQ(0, pthread_create(&thread, NULL, runner_main, &r));
		usleep(i % 7 * 1000);
		close(self->vm.fd);
		close(self->vm.kvm);
		usleep(i % 3 * 1000);
		close(self->vcpu.fd);
		for (tries = 0; tries < 500 && r.strange != -EBADF; tries++)
			msleep(5);
		stop(&r, thread);
		EXPECT_EQ(-EBADF, r.strange);
		munmap(self->vcpu.run, size);
		munmap(self->vm.ram, GUEST_RAM_SIZE);
		ASSERT_EQ(0, vm_create(&self->vm));
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	}
}

/* Children have the descriptor but not the right to use it, whatever runs meanwhile. */
TEST_F_TIMEOUT(hostile_vmm, children_meddle, 120)
{
	void *memory = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	struct runner r = { .vcpu = &self->vcpu };
	unsigned int i, j;
	pthread_t thread;
	int child[4];

	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, SLOT_IPA, SLOT_SIZE, memory, 0));
	ASSERT_EQ(0, vcpu_start(&self->vcpu, use_memory, SLOT_IPA, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, runner_main, &r));
	for (i = 0; i < scaled(10); i++) {
		for (j = 0; j < ARRAY_LEN(child); j++) {
			child[j] = fork();
			ASSERT_LE(0, child[j]);
			if (!child[j]) {
				uint64_t value = 0;

				if (IOCTL(self->vcpu.fd, KVM_RUN, 0) != -EIO ||
				    reg_get(self->vcpu.fd, REG_PC, &value) != -EIO ||
				    IOCTL(self->vm.fd, KVM_CREATE_VCPU, 3) != -EIO ||
				    vm_memory(&self->vm, 0, 0, 0, NULL, 0) != -EIO)
					_exit(1);
				_exit(0);
			}
		}
		for (j = 0; j < ARRAY_LEN(child); j++) {
			EXPECT_EQ(0, wait_child(child[j]));
		}
	}
	for (i = 0; i < 500 && !__atomic_load_n(&r.said, __ATOMIC_RELAXED); i++)
		msleep(10);
	stop(&r, thread);
	EXPECT_EQ(0, r.strange);
	EXPECT_EQ(0, r.mmio);
	EXPECT_EQ(0, r.failed);
	EXPECT_LT(0, r.said);
	munmap(memory, SLOT_SIZE);
}

TEST_HARNESS_MAIN
