// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what memory slots are: which are refused and by what error, that read-only
 * ones turn writes into exits, that slots move, go and come under running vCPUs, also
 * where there are 512 and 32,000 of them, and that addresses reach as far as the VM's size
 * says. Runs on the module and on C KVM: memslot [SLOTS], 32,000 unless told.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define PAGE		4096UL
#define IPA		0x80000000UL
#define ELSEWHERE	0xc0000000UL
/* What a page begins with: this and its number. */
#define MARK		0x5107000000000000UL

static unsigned int many = 32000;

FIXTURE(memslot)
{
	struct vm vm;
	struct vcpu vcpu[2];
	unsigned char *mem;
	size_t size;
};

FIXTURE_SETUP(memslot)
{
	unsigned int i;

	self->size = 512 * PAGE;
	self->mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	for (i = 0; i < self->size / PAGE; i++)
		*(uint64_t *)(self->mem + i * PAGE) = MARK + i;
	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu[i], i));
}

FIXTURE_TEARDOWN(memslot)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		vcpu_destroy(&self->vcpu[i]);
	vm_destroy(&self->vm);
	munmap(self->mem, self->size);
}

static int region(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t ipa, uint64_t size,
		  uint64_t address)
{
	struct kvm_userspace_memory_region old = {
		.slot = slot, .flags = flags, .guest_phys_addr = ipa, .memory_size = size,
		.userspace_addr = address,
	};
	struct kvm_userspace_memory_region2 new = {
		.slot = slot, .flags = flags, .guest_phys_addr = ipa, .memory_size = size,
		.userspace_addr = address, .guest_memfd_offset = 0x123, .guest_memfd = 0x456,
	};
	int first, second;

	/* A change that is refused changes nothing, so it is refused by both. */
	first = kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, (unsigned long)&new);
	if (!first)
		return 0;
	second = kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, (unsigned long)&old);
	return first == second ? first : -EPROTO;
}

/* Touches a page. */
GUEST uint64_t load(uint64_t address);
GUEST uint64_t load(uint64_t address)
{
	return *(volatile uint64_t *)address;
}

GUEST uint64_t store(uint64_t address);
GUEST uint64_t store(uint64_t address)
{
	*(volatile uint64_t *)address = 0x11;
	return 0;
}

TEST_F(memslot, refused)
{
	struct vm *vm = &self->vm;
	unsigned long mem = (unsigned long)self->mem;
	uint64_t end = 1UL << 40;
	const struct {
		int error;
		uint32_t slot, flags;
		uint64_t ipa, size, address;
		const char *what;
	} bad[] = {
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, 0, 0, "the deletion of none" },
		{ -EINVAL, 2, 1 << 3, IPA + 4 * PAGE, PAGE, mem, "an unknown flag" },
		{ -EINVAL, 2, 1U << 31, IPA + 4 * PAGE, PAGE, mem, "another one" },
		{ -EINVAL, 32767, 0, IPA + 4 * PAGE, PAGE, mem, "a number too high" },
		{ -EINVAL, 1 << 16, 0, IPA + 4 * PAGE, PAGE, mem, "another address space" },
		{ -EINVAL, 0xffffffff, 0, IPA + 4 * PAGE, PAGE, mem, "no number" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE + 1, PAGE, mem, "an address within a page" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, PAGE + 8, mem, "a size within a page" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, 1, mem, "less than a page" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, PAGE, mem + 16, "memory within a page" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, PAGE, mem | 0xab00000000000000, "a tag" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, PAGE, 1UL << 55, "no user's memory" },
		{ -EINVAL, 2, 0, IPA + 4 * PAGE, PAGE, -PAGE, "the kernel's memory" },
		{ -EINVAL, 2, 0, -PAGE, 2 * PAGE, mem, "one that wraps around" },
		{ -EINVAL, 2, 0, -PAGE, PAGE, mem, "one that ends with the addresses" },
		{ -EINVAL, 2, 0, 0, -PAGE, mem, "nearly everything" },
		{ -EINVAL, 2, 0, 0, 1UL << 43, 0, "too many pages" },
		{ -EEXIST, 2, 0, IPA, PAGE, mem, "another's first page" },
		{ -EEXIST, 2, 0, IPA + 3 * PAGE, 4 * PAGE, mem, "another's last page" },
		{ -EEXIST, 2, 0, IPA - PAGE, 16 * PAGE, mem, "one around another" },
		{ -EEXIST, 2, 0, IPA + PAGE, PAGE, mem, "one within another" },
		{ -EFAULT, 2, 0, end, PAGE, mem, "beyond the VM's addresses" },
		{ -EFAULT, 2, 0, end - PAGE, 2 * PAGE, mem, "one half beyond them" },
		{ -EFAULT, 2, 0, 1UL << 63, PAGE, mem, "far beyond them" },
		{ -EINVAL, 1, 0, IPA, 2 * PAGE, mem, "another size" },
		{ -EINVAL, 1, 0, IPA, 4 * PAGE, mem + PAGE, "other memory" },
		{ -EINVAL, 1, KVM_MEM_READONLY, IPA, 4 * PAGE, mem, "one that becomes read-only" },
		{ -EINVAL, 3, 0, ELSEWHERE, PAGE, mem, "one that becomes writable" },
		{ -EINVAL, 1, KVM_MEM_READONLY, IPA + 8 * PAGE, 4 * PAGE, mem, "both and it moves" },
		{ -EINVAL, 1, 0, IPA + 8 * PAGE, 2 * PAGE, mem, "a move to another size" },
		{ -EEXIST, 1, 0, ELSEWHERE - PAGE, 4 * PAGE, mem, "a move onto another" },
		{ -EFAULT, 1, 0, end - PAGE, 4 * PAGE, mem, "a move beyond the addresses" },
	};
	unsigned int i;

	ASSERT_EQ(0, region(vm, 1, 0, IPA, 4 * PAGE, mem));
	ASSERT_EQ(0, region(vm, 3, KVM_MEM_READONLY, ELSEWHERE, PAGE, mem));
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_EQ(bad[i].error, region(vm, bad[i].slot, bad[i].flags, bad[i].ipa,
					       bad[i].size, bad[i].address))
			TH_LOG("%s", bad[i].what);
	}
	/* The same again is nothing; the last page is there; a move may overlap itself. */
	EXPECT_EQ(0, region(vm, 1, 0, IPA, 4 * PAGE, mem));
	EXPECT_EQ(0, region(vm, 32766, 0, end - PAGE, PAGE, mem));
	EXPECT_EQ(0, region(vm, 1, 0, IPA + PAGE, 4 * PAGE, mem));
	EXPECT_EQ(0, guest_finish(&self->vcpu[0], load, IPA + 2 * PAGE, 0));
	EXPECT_EQ(MARK + 1, self->vcpu[0].value);
	EXPECT_EQ(0, region(vm, 1, 0, 0, 0, 0));
	EXPECT_EQ(-EINVAL, region(vm, 1, 0, 0, 0, 0));
	/* Memory that is not there is no error. */
	EXPECT_EQ(0, region(vm, 1, 0, IPA, 4 * PAGE, 0));
}

TEST_F(memslot, read_only)
{
	struct vcpu *v = &self->vcpu[0];

	ASSERT_EQ(0, vm_memory(&self->vm, 1, IPA, 4 * PAGE, self->mem, KVM_MEM_READONLY));
	EXPECT_EQ(0, guest_finish(v, load, IPA + PAGE, 0));
	EXPECT_EQ(MARK + 1, v->value);
	/* A page that has been read, and one that has not. */
	for (unsigned int i = 1; i < 3; i++) {
		ASSERT_EQ(0, vcpu_start(v, store, IPA + i * PAGE, 0));
		ASSERT_EQ(GUEST_EXIT, guest_run(v));
		EXPECT_EQ(KVM_EXIT_MMIO, v->run->exit_reason);
		EXPECT_EQ(IPA + i * PAGE, v->run->mmio.phys_addr);
		EXPECT_EQ(1, v->run->mmio.is_write);
		EXPECT_EQ(8, v->run->mmio.len);
		EXPECT_EQ(0x11, v->run->mmio.data[0]);
		EXPECT_EQ(GUEST_DONE, guest_run(v));
		EXPECT_EQ(MARK + i, *(uint64_t *)(self->mem + i * PAGE));
	}
	/* What the VMM writes the guest sees. */
	*(uint64_t *)(self->mem + PAGE) = 77;
	EXPECT_EQ(0, guest_finish(v, load, IPA + PAGE, 0));
	EXPECT_EQ(77, v->value);
	/* It moves, and stays what it is. */
	ASSERT_EQ(0, vm_memory(&self->vm, 1, ELSEWHERE, 4 * PAGE, self->mem, KVM_MEM_READONLY));
	ASSERT_EQ(0, vcpu_start(v, store, ELSEWHERE, 0));
	EXPECT_EQ(GUEST_EXIT, guest_run(v));
	EXPECT_EQ(GUEST_DONE, guest_run(v));
	EXPECT_EQ(MARK, *(uint64_t *)self->mem);
}

/*
 * Reads slots at random: each is a page, every other page. It finds nothing, which the
 * test answers by zeros, or the mark and what is in it.
 */
struct hunt {
	uint64_t first, slots, marks;
};
GUEST uint64_t hunt(uint64_t address);
GUEST uint64_t hunt(uint64_t address)
{
	const struct hunt *h = (struct hunt *)guest_area()->data;
	struct guest_area *area = guest_area();
	uint64_t random = address, n, value, wrong = 0;

	while (!*(volatile uint64_t *)&area->go) {
		random = random * 6364136223846793005 + 1442695040888963407;
		n = (random >> 33) % h->slots;
		value = *(volatile uint64_t *)(h->first + n * 2 * PAGE);
		if (value && value != MARK + n % h->marks)
			wrong++;
		*(volatile uint64_t *)&area->seen += value != 0;
	}
	return wrong;
}

struct hunter {
	struct vcpu *vcpu;
	unsigned long missed;
	int bad;
};

static void *hunting(void *arg)
{
	struct hunter *h = arg;
	struct kvm_run *run = h->vcpu->run;
	enum guest_event event;

	while ((event = guest_run(h->vcpu)) == GUEST_EXIT) {
		if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write)
			break;
		memset(run->mmio.data, 0, 8);
		h->missed++;
	}
	h->bad = event != GUEST_DONE || h->vcpu->value;
	if (h->bad)
		printf("# vCPU %u: %s\n", h->vcpu->id, guest_told(h->vcpu, event));
	return NULL;
}

struct hunters {
	struct hunter hunter[2];
	pthread_t thread[2];
};

static int start_hunt(struct vcpu *vcpus, struct hunters *hunters, struct hunt hunt_for)
{
	unsigned int i;

	memset(hunters, 0, sizeof(*hunters));
	for (i = 0; i < 2; i++) {
		vcpus[i].area->go = vcpus[i].area->seen = 0;
		memcpy(vcpus[i].area->data, &hunt_for, sizeof(hunt_for));
		hunters->hunter[i].vcpu = &vcpus[i];
		if (vcpu_start(&vcpus[i], hunt, i, GUEST_MMU) ||
		    pthread_create(&hunters->thread[i], NULL, hunting, &hunters->hunter[i]))
			return -1;
	}
	return 0;
}

/* Ends it: whether both were fine, and have found something. */
static bool end_hunt(struct vcpu *vcpus, struct hunters *hunters)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < 2; i++)
		__atomic_store_n(&vcpus[i].area->go, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++) {
		pthread_join(hunters->thread[i], NULL);
		printf("# vCPU %u: %lu reads, %lu of no slot\n", i, vcpus[i].area->seen,
		       hunters->hunter[i].missed);
		good &= !hunters->hunter[i].bad && vcpus[i].area->seen;
	}
	return good;
}

TEST_F(memslot, moves_under_vcpus)
{
	const struct hunt all = { IPA, 64, 64 };
	struct hunters hunters;
	unsigned int i, n = scaled(400);

	vm_map_high(&self->vm, IPA);
	/* One of two pages each, which the other is moved to. */
	for (i = 0; i < 64; i++)
		ASSERT_EQ(0, vm_memory(&self->vm, 1 + i, IPA + i * 2 * PAGE, PAGE,
				       self->mem + i * PAGE, 0));
	ASSERT_EQ(0, start_hunt(self->vcpu, &hunters, all));
	for (i = 0; i < n; i++) {
		unsigned int slot = random() % 64;
		uint64_t home = IPA + slot * 2 * PAGE;

		EXPECT_EQ(0, vm_memory(&self->vm, 1 + slot, home + PAGE, PAGE,
				       self->mem + slot * PAGE, 0));
		EXPECT_EQ(0, vm_memory(&self->vm, 1 + slot, home, PAGE,
				       self->mem + slot * PAGE, 0));
	}
	EXPECT_EQ(true, end_hunt(self->vcpu, &hunters));
	/* Where one is that has gone, there is nothing. */
	ASSERT_EQ(0, vm_memory(&self->vm, 1, IPA + PAGE, PAGE, self->mem, 0));
	ASSERT_EQ(0, vcpu_start(&self->vcpu[0], load, IPA, GUEST_MMU));
	EXPECT_EQ(GUEST_EXIT, guest_run(&self->vcpu[0]));
	EXPECT_EQ(KVM_EXIT_MMIO, self->vcpu[0].run->exit_reason);
	EXPECT_EQ(0, guest_finish(&self->vcpu[0], load, IPA + PAGE, GUEST_MMU));
	EXPECT_EQ(MARK, self->vcpu[0].value);
}

/* So many slots, of which some come and go while two vCPUs read all. */
static void come_and_go(struct __test_metadata *_metadata, struct vm *vm, struct vcpu *vcpus,
			unsigned char *mem, unsigned int slots, unsigned int n)
{
	const struct hunt all = { IPA, slots, 512 };
	struct hunters hunters;
	unsigned int i, slot;

	vm_map_high(vm, IPA);
	for (i = 0; i < slots; i++) {
		ASSERT_EQ(0, vm_memory(vm, 1 + i, IPA + i * 2 * PAGE, PAGE,
				       mem + i % 512 * PAGE, 0));
	}
	ASSERT_EQ(0, start_hunt(vcpus, &hunters, all));
	for (i = 0; i < n; i++) {
		slot = random() % slots;
		EXPECT_EQ(0, vm_memory(vm, 1 + slot, 0, 0, NULL, 0));
		EXPECT_EQ(0, vm_memory(vm, 1 + slot, IPA + slot * 2 * PAGE, PAGE,
				       mem + slot % 512 * PAGE, 0));
	}
	usleep(100000);
	EXPECT_EQ(true, end_hunt(vcpus, &hunters));
	/* All are there, and only they: one from each end, and between two. */
	for (i = 0; i < slots; i += slots / 64 + 1) {
		EXPECT_EQ(0, guest_finish(&vcpus[0], load, IPA + i * 2 * PAGE, GUEST_MMU));
		EXPECT_EQ(MARK + i % 512, vcpus[0].value);
	}
	ASSERT_EQ(0, vcpu_start(&vcpus[0], load, IPA + (2 * slots - 1) * PAGE, GUEST_MMU));
	EXPECT_EQ(GUEST_EXIT, guest_run(&vcpus[0]));
	for (i = 0; i < slots; i++)
		EXPECT_EQ(0, vm_memory(vm, 1 + (i * 7919UL) % slots, 0, 0, NULL, 0));
	EXPECT_EQ(-EINVAL, vm_memory(vm, slots, 0, 0, NULL, 0));
}

TEST_F_TIMEOUT(memslot, five_hundred, 300)
{
	come_and_go(_metadata, &self->vm, self->vcpu, self->mem, 512, scaled(2000));
}

TEST_F_TIMEOUT(memslot, very_many, 600)
{
	/* 7919 is a prime: it is none of the number's. */
	come_and_go(_metadata, &self->vm, self->vcpu, self->mem, many, scaled(2000));
}

TEST(address_sizes)
{
	static const unsigned int sizes[] = { 32, 36, 40, 42, 44, 48, 52 };
	int kvm = kvm_open(), limit;
	unsigned char *mem;
	unsigned int i, ran = 0;

	ASSERT_LE(0, kvm);
	limit = kvm_ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	close(kvm);
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		uint64_t end = 1UL << sizes[i];
		struct vcpu vcpu;
		struct vm vm;
		int ret = vm_create_ipa(&vm, sizes[i]);

		if ((int)sizes[i] > limit) {
			EXPECT_EQ(-EINVAL, ret);
			vm_destroy(&vm);
			continue;
		}
		ASSERT_EQ(0, ret) TH_LOG("%u bits", sizes[i]);
		ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
		EXPECT_EQ(-EFAULT, vm_memory(&vm, 1, end, PAGE, mem, 0));
		ASSERT_EQ(0, vm_memory(&vm, 1, end - PAGE, PAGE, mem, 0));
		*(uint64_t *)mem = MARK + i;
		EXPECT_EQ(0, guest_finish(&vcpu, load, end - PAGE, 0))
			TH_LOG("%u bits", sizes[i]);
		EXPECT_EQ(MARK + i, vcpu.value);
		EXPECT_EQ(0, guest_finish(&vcpu, store, end - 8, 0));
		EXPECT_EQ(0x11, *(uint64_t *)(mem + PAGE - 8));
		/* Beyond is nothing, not even a device. */
		if ((int)sizes[i] < limit) {
			vcpu.area->catch = 1;
			vcpu.area->caught = 0;
			EXPECT_EQ(0, guest_finish(&vcpu, load, end, 0))
				TH_LOG("%u bits", sizes[i]);
			EXPECT_EQ(1, vcpu.area->caught);
			EXPECT_EQ(EC_DABT_CUR, ESR_EC(vcpu.area->esr));
			EXPECT_EQ(end, vcpu.area->far);
		}
		memset(mem, 0, PAGE);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
		ran++;
	}
	munmap(mem, PAGE);
	EXPECT_LT(2, ran);
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		many = strtoul(argv[1], NULL, 10);
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
