// SPDX-License-Identifier: GPL-2.0
/*
 * The module parameters. They can be changed through sysfs while the module is
 * loaded, as the C driver's, which `module!` has no way to say.
 */

#include <linux/limits.h>
#include <linux/moduleparam.h>

unsigned int udmabuf_rs_list_limit = 1024;
module_param_named(list_limit, udmabuf_rs_list_limit, uint, 0644);
MODULE_PARM_DESC(list_limit, "Most items in one UDMABUF_CREATE_LIST. Default is 1024.");

unsigned int udmabuf_rs_size_limit_mb = INT_MAX;
module_param_named(size_limit_mb, udmabuf_rs_size_limit_mb, uint, 0644);
MODULE_PARM_DESC(size_limit_mb, "Most memory in one buffer, in MiB. Default is 2147483647.");
