/*
 * The host call KEY: what the kernel and the key server that the policy names say to each other (abi/key_release.h),
 * carried by a thread of its own, so that no vCPU waits for it. One message at a time.
 */
#ifndef COFRE_HOST_KEY_LINE_H
#define COFRE_HOST_KEY_LINE_H

#include <stdint.h>

/* Where the server is: "1.2.3.4:PORT" or "[::1]:PORT", which stays. Before, KEY answers that there is none. 0; or
 * -EINVAL if it is no address, with *ret_error. */
int key_line_init(const char *address, unsigned timeout_ms, char **ret_error);
/* One host call: its arguments, vcpu_shared.data. Any vCPU thread; returns the result at once. */
int64_t key_line_call(const uint64_t args[6], uint8_t *data);

#endif
