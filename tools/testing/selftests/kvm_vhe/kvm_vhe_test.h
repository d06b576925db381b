/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test programs share. Nothing here depends on the test harness.
 *
 * The harness's EXPECT_ and ASSERT_ macros are two statements (what is reported
 * stands in the second), so they take braces after "if" and "for".
 */
#ifndef KVM_VHE_TEST_H
#define KVM_VHE_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/kvm.h>

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define KVM_DEV		"/dev/kvm"
#define MODULE_NAME	"kvm_vhe"
#define MODULE_FILE	"/lib/kvm_vhe.ko"

/* util.c */

/* LAB_HOST=module or ckvm; without it, whether the module is loaded. */
bool host_is_module(void);
/* n scaled by LAB_SCALE (per cent, 100 unless set), at least 1. */
unsigned int scaled(unsigned int n);
/* A file descriptor of /dev/kvm, or -errno. */
int kvm_open(void);
/* ioctl() whose failure is -errno. */
long kvm_ioctl(int fd, unsigned long cmd, unsigned long arg);
/* A file's content as a string, without its last newline; false if unreadable. */
bool read_text(const char *path, char *buf, size_t size);
/* Writes a string with one write(): 0 or -errno. */
int write_text(const char *path, const char *text);
/* A whole file in malloc'd memory, or NULL. */
void *read_file(const char *path, size_t *size);
/* The number after "name:" in a /proc/meminfo-like file, -1 if absent. */
long read_field(const char *path, const char *name);
/* How many descriptors this process has open. */
int open_fds(void);
/* Sleeps. */
void msleep(unsigned int ms);
/* Raises RLIMIT_NOFILE and fs.nr_open as far as n needs; returns what is usable. */
unsigned int raise_nofile(unsigned int n);
/* Waits for a child: its exit code, or 256 + the signal that killed it. */
int wait_child(int pid);

/* kmsg.c */

/* A reader of /dev/kmsg placed after the last record, or -errno. */
int kmsg_open(void);
/* The next record's text into buf and its level, or -1 if there is none now. */
int kmsg_next(int fd, char *buf, size_t size);
/* Skips to the first record that contains text: its level, or -1. */
int kmsg_find(int fd, const char *text, char *buf, size_t size);
/*
 * Whether the module named a feature in the line of its last loading; -ENODATA if
 * the log no longer has that line, or -errno.
 */
int module_found(const char *feature);

/* trace.c: those that return int return 0 or -errno. */

#define TRACING		"/sys/kernel/tracing"

/* Switches an event, "SYSTEM/NAME", on or off. */
int trace_enable(const char *event, bool on);
/* Empties the buffer. */
int trace_clear(void);
/* Adds a line to it. */
int trace_mark(const char *text);

/* caps.c */

/* A capability that the module has: from low to high, which are 0 for all others. */
struct capability {
	unsigned long cap;
	long low, high;
	const char *shown_by;	/* the test that shows that it works */
};

#define CAPABILITY_CPUS	 -1	/* as many as there are CPUs online */
#define CAPABILITY_PAUTH -2	/* 1 if the kernel has pointer authentication */

struct capability capability_of(unsigned long cap);

/* module.c: all return 0 or -errno. */

int module_insert(const char *path, const char *params);
int module_remove(void);
bool module_present(void);
/* insert/remove unless it is so already; remove retries for a moment. */
int module_ensure(const char *path, bool present);

/* leak.c */

/*
 * Runs cycle(arg) n times and decides whether memory was lost. A leak grows with
 * every round of n, a cache that found its size does not: what grew beyond the
 * tolerance has to do so in each of three rounds to be called a leak. Returns 0,
 * 1 for a leak (what says where), or a negative errno from cycle().
 */
struct leak_rule {
	unsigned int warm;	/* cycles before the first measurement */
	unsigned int n;		/* cycles in a round */
	unsigned int objects;	/* tolerance for each slab cache */
	unsigned int pages;	/* tolerance for pages, of each kind */
	unsigned int percpu_kb;	/* tolerance for /proc/meminfo's Percpu */
};

int leak_check(const struct leak_rule *rule, int (*cycle)(void *), void *arg,
	       char *what, size_t size);

#endif
