// SPDX-License-Identifier: GPL-2.0
/*
 * LPIs while vCPUs run and take them: messages by KVM_SIGNAL_MSI and by irqfds come
 * all the time, while a third vCPU writes commands to the ITS that move, disable, clear,
 * make pending, unmap and map what they are for, and while its VMM stops the vCPUs, saves,
 * resets and restores the ITS. What is attacked are the paths that C KVM had published
 * bugs in, by their CVE; a splat in the host's log fails the run.
 * Runs on the module and on C KVM, as root.
 */
#include "its_vm.h"

/* What the commands are. */
enum {
	MOVES,		/* nothing is lost by them */
	MOVES_BY_EVENT,	/* and what tables do not say is not changed */
	UNMAPS,		/* what is pending is lost */
};

GUEST_INLINE uint64_t random_number(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return *seed >> 33;
}

GUEST_INLINE uint64_t taken_of(unsigned int event)
{
	const volatile struct guest_area *area = (void *)GUEST_AREA(0);
	const volatile struct guest_area *other = (void *)GUEST_AREA(1);

	return area->data[TAKEN + event] + other->data[TAKEN + event];
}

/* Another INT, if the last one was taken. */
GUEST_INLINE void int_again(unsigned int event)
{
	volatile uint64_t *sent = &guest_area()->data[SENT + event];

	if (*sent == taken_of(event)) {
		++*sent;
		its_put(ITS_INT(event));
	}
}

/* Of an event that may be pending: at most one more is taken than there were INTs. */
GUEST_INLINE void int_and_clear(void)
{
	guest_area()->data[SENT + CLEARED]++;
	its_put(ITS_INT(CLEARED));
	its_put(ITS_CLEAR(CLEARED));
}

/* Changes an event's configuration: by INV, or by INVALL with some time in between. */
GUEST_INLINE void configure_one(unsigned int event, unsigned int number)
{
	its_configure(event, 0x80 + (number & 7) * 8, false);
	its_put(ITS_INV(event));
	if (number & 8)
		its_do();
	its_configure(event, 0x80 + (number & 7) * 8, true);
	if (number & 16) {
		its_put(ITS_INVALL(0));
		its_put(ITS_INVALL(1));
	} else {
		its_put(ITS_INV(event));
	}
}

GUEST_INLINE void move_one(uint64_t how, uint64_t *seed)
{
	unsigned int number = random_number(seed), event = number % ITS_EVENTS, to = number >> 8 & 1;

	number >>= 9;
	if (how == MOVES && number % 8 == 0)
		its_put(ITS_MOVALL(to, !to));
	else if (number % 8 == 1)
		configure_one(event, number >> 3);
	else if (number % 8 == 2)
		int_and_clear();
	else if (number % 8 < 5)
		int_again(INTS + event % (CLEARED - INTS));
	else
		its_put(ITS_MOVI(event, to));
	its_put(ITS_SYNC(to));
}

GUEST_INLINE void unmap_one(uint64_t *seed)
{
	unsigned int number = random_number(seed), event = number % ITS_EVENTS, to = number >> 8 & 1;

	number >>= 9;
	if (number % 16 == 0) {
		its_put(ITS_UNMAPD);
		if (number & 16)
			its_do();
		its_map_all();
	} else if (number % 16 == 1) {
		/* Of one that is mapped. */
		its_map_all();
	} else if (number % 16 < 8) {
		its_put(ITS_DISCARD(event));
		if (number & 16)
			its_do();
		its_put(ITS_MAPTI(event, to));
	} else {
		its_put(ITS_MOVI(event, to));
	}
}

/* Writes commands until it is told to go. Then all is mapped and enabled. */
GUEST uint64_t commands(uint64_t how);
GUEST uint64_t commands(uint64_t how)
{
	volatile struct guest_area *area = guest_area();
	uint64_t seed = 1 + how;

	its_configure_all();
	its_enable();
	its_map_all();
	its_do();
	guest_say(1, 0);
	while (!area->go) {
		if (how == UNMAPS)
			unmap_one(&seed);
		else
			move_one(how, &seed);
		its_do();
		area->data[STEPS]++;
	}
	its_configure_all();
	if (how == UNMAPS) {
		its_put(ITS_UNMAPD);
		its_map_all();
	}
	its_put(ITS_INVALL(0));
	its_put(ITS_INVALL(1));
	its_do();
	return 0;
}

static int begin_all(FIXTURE_DATA(its_running) *self, uint64_t how)
{
	int ret = begin(self, 0, takes, 0 | SLEEPS);

	if (!ret)
		ret = begin(self, 1, takes, 1);
	return ret ? ret : begin(self, COMMANDER, commands, how);
}

/* The commander maps everything and ends. */
static bool end_commands(FIXTURE_DATA(its_running) *self)
{
	*(volatile uint64_t *)&self->vcpus[COMMANDER].area->go = 1;
	return joined(self, COMMANDER);
}

struct sender {
	FIXTURE_DATA(its_running) *self;
	unsigned int first;
	/* Messages may be lost: their events are not always mapped. */
	bool lossy;
	atomic_int stop;
	unsigned int rounds, lost, refused;
	int error;
	uint64_t sent[ITS_EVENTS];
};

/* Returns whether it may arrive. */
static bool send_one(struct sender *sender, unsigned int event)
{
	FIXTURE_DATA(its_running) *self = sender->self;
	int ret = 1;

	pthread_mutex_lock(&self->house);
	if (sender->first == IRQFD)
		ring(self->fds[event - IRQFD]);
	else
		ret = vm_message(&self->vm, ITS_DEVICE, event);
	pthread_mutex_unlock(&self->house);
	if (ret < 0 && (ret != -EBUSY || !sender->lossy))
		sender->error = ret;
	sender->sent[event] += ret == 1;
	sender->refused += ret != 1;
	return ret == 1;
}

/* A message of each of its events; goes on when they were taken. */
static void one_round(struct sender *sender, unsigned int ms)
{
	uint64_t until[ITS_EVENTS];
	unsigned int event;

	for (event = sender->first; event < sender->first + PER_SENDER; event++) {
		until[event] = taken(sender->self, event);
		until[event] += send_one(sender, event);
	}
	for (event = sender->first; event < sender->first + PER_SENDER; event++)
		sender->lost += !wait_taken(sender->self, event, until[event], ms);
	sender->rounds++;
}

static void *sends(void *arg)
{
	struct sender *sender = arg;

	while (!sender->stop && (sender->lossy || (!sender->lost && !sender->error)))
		one_round(sender, sender->lossy ? 1 : 10000);
	return NULL;
}

static const unsigned int firsts[] = { MSI, IRQFD };

struct senders {
	struct sender sender[ARRAY_LEN(firsts)];
	pthread_t thread[ARRAY_LEN(firsts)];
	/* What was pending was saved while not all was mapped. */
	bool saved;
};

static int start_senders(FIXTURE_DATA(its_running) *self, struct senders *senders, bool lossy_msi,
			 bool lossy_irqfd)
{
	unsigned int n;

	memset(senders, 0, sizeof(*senders));
	for (n = 0; n < ARRAY_LEN(firsts); n++) {
		struct sender *sender = &senders->sender[n];

		sender->self = self;
		sender->first = firsts[n];
		sender->lossy = n ? lossy_irqfd : lossy_msi;
		if (pthread_create(&senders->thread[n], NULL, sends, sender))
			return -EAGAIN;
	}
	return 0;
}

static void stop_senders(struct senders *senders)
{
	unsigned int n;

	for (n = 0; n < ARRAY_LEN(firsts); n++)
		senders->sender[n].stop = 1;
	for (n = 0; n < ARRAY_LEN(firsts); n++)
		pthread_join(senders->thread[n], NULL);
}

/*
 * After the commands: what was sent has been taken, once; where messages may be lost, not more
 * than was sent. All that are sent now are taken, and then the vCPUs end.
 */
static void expect_taken(struct __test_metadata *_metadata, FIXTURE_DATA(its_running) *self,
			 struct senders *senders)
{
	unsigned int n, event;

	ASSERT_TRUE(end_commands(self));
	/* What is on its way still. */
	msleep(50);
	for (n = 0; n < ARRAY_LEN(firsts); n++) {
		struct sender *sender = &senders->sender[n];
		bool lossy = sender->lossy;

		TH_LOG("sender %u: %u rounds, %u refused, %u lost", n, sender->rounds,
		       sender->refused, sender->lost);
		EXPECT_EQ(0, sender->error) TH_LOG("%s", strerror(-sender->error));
		EXPECT_GT(sender->rounds, 0);
		if (!lossy) {
			EXPECT_EQ(0, sender->lost);
			EXPECT_EQ(0, sender->refused);
		}
		for (event = sender->first; event < sender->first + PER_SENDER; event++) {
			/*
			 * C KVM also saves an LPI that is pending but not mapped any more, and
			 * has it come once more when it is mapped again.
			 */
			if (host_is_module() || !senders->saved) {
				EXPECT_LE(taken(self, event), sender->sent[event])
					TH_LOG("event %u, too often", event);
			}
			if (lossy)
				sender->sent[event] = taken(self, event);
		}
		sender->lossy = false;
		sender->lost = sender->refused = 0;
		one_round(sender, 10000);
		EXPECT_EQ(0, sender->error);
		EXPECT_EQ(0, sender->lost) TH_LOG("when all are mapped");
		EXPECT_EQ(0, sender->refused);
		msleep(10);
		for (event = sender->first; event < sender->first + PER_SENDER; event++) {
			EXPECT_EQ(sender->sent[event], taken(self, event))
				TH_LOG("event %u", event);
		}
	}
	for (event = INTS; event < CLEARED; event++) {
		wait_taken(self, event, word(self, COMMANDER, SENT + event), 10000);
		EXPECT_EQ(word(self, COMMANDER, SENT + event), taken(self, event))
			TH_LOG("INT of event %u", event);
	}
	EXPECT_LE(taken(self, CLEARED), word(self, COMMANDER, SENT + CLEARED));
	EXPECT_EQ(0, word(self, 0, STRAY) + word(self, 1, STRAY));
	EXPECT_GT(word(self, COMMANDER, STEPS), 0);
	EXPECT_TRUE(end_takers(self));
	TH_LOG("%lu steps of commands, LPIs taken by the vCPUs: %lu and %lu",
	       (unsigned long)word(self, COMMANDER, STEPS),
	       (unsigned long)self->vcpus[0].value, (unsigned long)self->vcpus[1].value);
}

/*
 * A vCPU that looked through its interrupts let go of its lock and took it again, and
 * removed one twice that had been moved meanwhile: LPIs are moved, and have their priority
 * changed, while they are in list registers. None is lost, none comes twice.
 */
TEST_F_TIMEOUT(its_running, cve_2026_72289_moved_in_list_registers, 120)
{
	struct senders senders;

	ASSERT_EQ(0, begin_all(self, MOVES));
	ASSERT_EQ(0, start_senders(self, &senders, false, false));
	msleep(scaled(4000));
	stop_senders(&senders);
	expect_taken(_metadata, self, &senders);
}

/*
 * The translation cache's references were dropped twice, and a message had an LPI without
 * one: events are discarded and mapped again, and devices, while messages use the cache and
 * vCPUs have the LPIs in list registers.
 */
TEST_F_TIMEOUT(its_running, cve_2026_46316_unmapped_in_list_registers, 120)
{
	struct senders senders;

	ASSERT_EQ(0, begin_all(self, UNMAPS));
	ASSERT_EQ(0, start_senders(self, &senders, true, true));
	msleep(scaled(4000));
	stop_senders(&senders);
	expect_taken(_metadata, self, &senders);
}

/*
 * Pending tables were written by LPIs without references to them. What is pending when the ITS
 * is saved is so when it is restored. Irqfds' messages may come in between.
 */
TEST_F_TIMEOUT(its_running, cve_2026_89913_saved_and_restored, 120)
{
	unsigned int i, n = scaled(60);
	struct senders senders;
	int ret;

	ASSERT_EQ(0, begin_all(self, MOVES_BY_EVENT));
	ASSERT_EQ(0, start_senders(self, &senders, false, true));
	for (i = 0; i < n; i++) {
		usleep(i % 8 * 3000);
		pthread_mutex_lock(&self->house);
		pause_all(self);
		ret = move_house(self, true);
		resume_all(self);
		pthread_mutex_unlock(&self->house);
		ASSERT_EQ(0, ret) TH_LOG("%s", strerror(-ret));
	}
	stop_senders(&senders);
	expect_taken(_metadata, self, &senders);
}

/*
 * An LPI was released while its number was mapped again: by commands, by what an ITS is
 * restored from, and after a reset, with messages at any moment of it.
 */
TEST_F_TIMEOUT(its_running, cve_2026_74568_reset_and_mapped_again, 120)
{
	unsigned int i, n = scaled(60);
	struct senders senders;
	int ret;

	ASSERT_EQ(0, begin_all(self, UNMAPS));
	ASSERT_EQ(0, start_senders(self, &senders, true, true));
	senders.saved = true;
	for (i = 0; i < n; i++) {
		usleep(i % 8 * 3000);
		pause_all(self);
		ret = move_house(self, i % 2);
		resume_all(self);
		ASSERT_EQ(0, ret) TH_LOG("%s", strerror(-ret));
	}
	stop_senders(&senders);
	expect_taken(_metadata, self, &senders);
}

#define BELL	0x18000000UL

struct bells {
	FIXTURE_DATA(its_running) *self;
	int fd;
	atomic_int stop;
	int error;
	unsigned int rounds;
};

static void *come_and_go(void *arg)
{
	struct bells *bells = arg;
	struct kvm_ioeventfd args = { .addr = BELL, .len = 4 };
	int ret;

	args.fd = eventfd(0, EFD_NONBLOCK);
	while (!bells->stop) {
		args.flags = bells->rounds++ % 2 ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0;
		ret = kvm_ioctl(bells->self->vm.fd, KVM_IOEVENTFD, (unsigned long)&args);
		if (ret)
			bells->error = ret;
	}
	close(args.fd);
	return NULL;
}

/* A doorbell there is none of an ITS. */
static void *wrong_doorbell(void *arg)
{
	struct bells *bells = arg;
	struct kvm_msi msi = {
		.address_lo = BELL, .devid = ITS_DEVICE, .flags = KVM_MSI_VALID_DEVID,
	};
	int ret;

	while (!bells->stop) {
		ret = kvm_ioctl(bells->self->vm.fd, KVM_SIGNAL_MSI, (unsigned long)&msi);
		if (ret != -EINVAL)
			bells->error = ret;
		ring(bells->fd);
		bells->rounds++;
	}
	return NULL;
}

/*
 * A message used the device at its doorbell's address after that had gone: ioeventfds come
 * and go there, and so does the list of devices that the ITS is in.
 */
TEST_F_TIMEOUT(its_running, cve_2026_72282_message_while_the_bus_changes, 120)
{
	struct kvm_irq_routing_entry entries[PER_SENDER + 1];
	struct bells bells[2] = { { .self = self }, { .self = self } };
	struct senders senders;
	pthread_t threads[2];
	unsigned int i;

	for (i = 0; i < PER_SENDER; i++)
		entries[i] = msi_route(i, ITS_DOORBELL, IRQFD + i);
	entries[PER_SENDER] = msi_route(PER_SENDER, BELL, 0);
	ASSERT_EQ(0, set_routes(&self->vm, entries, ARRAY_LEN(entries), 0));
	bells[1].fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, irqfd(&self->vm, bells[1].fd, PER_SENDER, 0, -1));
	ASSERT_EQ(0, begin_all(self, MOVES));
	ASSERT_EQ(0, start_senders(self, &senders, false, false));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, come_and_go, &bells[0]));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, wrong_doorbell, &bells[1]));
	msleep(scaled(3000));
	for (i = 0; i < 2; i++) {
		bells[i].stop = 1;
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, bells[i].error) TH_LOG("%u: %s", i, strerror(-bells[i].error));
		EXPECT_GT(bells[i].rounds, 0);
	}
	stop_senders(&senders);
	expect_taken(_metadata, self, &senders);
	close(bells[1].fd);
}

/* A VM goes as it is, with LPIs on every way. */
TEST(killed)
{
	unsigned int round, how = 0;

	for (round = 0; round < scaled(8); round++) {
		int ready[2], pid;
		char byte = 1;

		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			FIXTURE_DATA(its_running) self;
			struct senders senders;
			int ret = set_up(&self);

			if (ret == -ENODEV)
				_exit(KSFT_SKIP);
			if (ret || begin_all(&self, how % 3) ||
			    start_senders(&self, &senders, true, true) ||
			    write(ready[1], &byte, 1) != 1)
				_exit(KSFT_FAIL);
			for (;;)
				pause();
		}
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1) {
			int code = wait_child(pid);

			if (code == KSFT_SKIP)
				SKIP(return, "no GICv3 with an ITS for VMs");
			ASSERT_EQ(256 + SIGKILL, code);
		}
		close(ready[0]);
		usleep(10000 + 17000 * round);
		kill(pid, SIGKILL);
		EXPECT_EQ(256 + SIGKILL, wait_child(pid));
		how++;
	}
}

TEST_HARNESS_MAIN
