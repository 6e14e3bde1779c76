// SPDX-License-Identifier: GPL-2.0
/*
 * The module parameters. The limits can be changed through sysfs while the
 * module is loaded, as the C driver's, which `module!` has no way to say.
 */

#include <linux/limits.h>
#include <linux/moduleparam.h>

/* The most that QEMU hands over. A list of single pages is not worse than one large range. */
unsigned int udmabuf_rs_list_limit = 16384;
module_param_named(list_limit, udmabuf_rs_list_limit, uint, 0644);
MODULE_PARM_DESC(list_limit, "Most items in one UDMABUF_CREATE_LIST. Default is 16384.");

unsigned int udmabuf_rs_size_limit_mb = INT_MAX;
module_param_named(size_limit_mb, udmabuf_rs_size_limit_mb, uint, 0644);
MODULE_PARM_DESC(size_limit_mb, "Most memory in one buffer, in MiB. Default is 2147483647.");

bool udmabuf_rs_memlock;
module_param_named(memlock, udmabuf_rs_memlock, bool, 0644);
MODULE_PARM_DESC(memlock, "Pages of new buffers count against RLIMIT_MEMLOCK of who makes them. Default is N.");

unsigned int udmabuf_rs_check;
module_param_named(check, udmabuf_rs_check, uint, 0644);
MODULE_PARM_DESC(check, "Check accesses to new buffers: 0 no (the default), 1 tell of wrong ones, 2 and SIGBUS.");

char *udmabuf_rs_node = "udmabuf-rs";
module_param_named(node, udmabuf_rs_node, charp, 0444);
MODULE_PARM_DESC(node, "Name in /dev: udmabuf-rs (the default) or udmabuf.");
