/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The headers that bindgen reads for kvm_host, see Kbuild.
 */
#include <linux/anon_inodes.h>
#include <linux/cpu_pm.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/of_irq.h>
#include <linux/sched/stat.h>
#include <linux/syscore_ops.h>
#include <asm/neon.h>
#include <generated/utsrelease.h>

#include <kvm_vhe.h>
#include <kvm_vhe_switch.h>
#include "irq_shim.h"
#include "run_shim.h"
#include "shim.h"
#include "trace_shim.h"
