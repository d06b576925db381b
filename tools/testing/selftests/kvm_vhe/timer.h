/* SPDX-License-Identifier: GPL-2.0 */
/* The guest's timers and counters, for the tests of both. */
#ifndef KVM_VHE_TIMER_H
#define KVM_VHE_TIMER_H

#include <sys/resource.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))

#define CTL_ENABLE	1
#define CTL_IMASK	2

GUEST_INLINE uint64_t count(bool physical)
{
	GUEST_ISB();
	return physical ? GUEST_MRS("cntpct_el0") : GUEST_MRS("cntvct_el0");
}

GUEST_INLINE void set_cval(bool physical, uint64_t cval)
{
	if (physical)
		GUEST_MSR("cntp_cval_el0", cval);
	else
		GUEST_MSR("cntv_cval_el0", cval);
}

GUEST_INLINE void set_tval(bool physical, uint64_t tval)
{
	if (physical)
		GUEST_MSR("cntp_tval_el0", tval);
	else
		GUEST_MSR("cntv_tval_el0", tval);
}

GUEST_INLINE uint64_t get_cval(bool physical)
{
	return physical ? GUEST_MRS("cntp_cval_el0") : GUEST_MRS("cntv_cval_el0");
}

GUEST_INLINE uint64_t get_tval(bool physical)
{
	GUEST_ISB();
	return physical ? GUEST_MRS("cntp_tval_el0") : GUEST_MRS("cntv_tval_el0");
}

GUEST_INLINE void set_ctl(bool physical, uint64_t ctl)
{
	if (physical)
		GUEST_MSR("cntp_ctl_el0", ctl);
	else
		GUEST_MSR("cntv_ctl_el0", ctl);
	GUEST_ISB();
}

GUEST_INLINE uint64_t get_ctl(bool physical)
{
	GUEST_ISB();
	return physical ? GUEST_MRS("cntp_ctl_el0") : GUEST_MRS("cntv_ctl_el0");
}

static inline uint64_t frequency(void)
{
	uint64_t f;

	asm volatile("mrs %0, cntfrq_el0" : "=r" (f));
	return f;
}

static inline uint64_t host_count(void)
{
	uint64_t c;

	asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r" (c) : : "memory");
	return c;
}

static inline uint64_t ms(unsigned int n)
{
	return frequency() * n / 1000;
}

static inline double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r);
	return r.ru_utime.tv_sec + r.ru_stime.tv_sec +
	       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

#endif
