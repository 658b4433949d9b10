/* capget, capset, and the capability part of prctl. */
#include "kernel/process/capability.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/securebits.h>

#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/credentials.h"
#include "kernel/process/table.h"
#include "kernel/syscalls/syscall.h"

/* Words of data for a header version; 0 if unknown, in which case the header gets the preferred version. */
static int header_read(uaddr_t user_header, struct __user_cap_header_struct *ret_header, unsigned *ret_words)
{
    if (copy_from_user(ret_header, user_header, sizeof *ret_header) < 0)
        return -EFAULT;
    switch (ret_header->version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *ret_words = 1;
        return 0;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *ret_words = 2;
        return 0;
    default:
        if (put_user32(user_header, _LINUX_CAPABILITY_VERSION_3) < 0)
            return -EFAULT;
        return -EINVAL;
    }
}

static struct process *process_named(int pid)
{
    return pid == 0 ? process_self() : process_of(pid);
}

SYSCALL_DEFINE2(capget, uaddr_t, user_header, uaddr_t, user_data)
{
    struct __user_cap_header_struct header;
    unsigned words;
    int r = header_read(user_header, &header, &words);
    if (r == -EINVAL && !user_data)
        return 0; /* asking for the version only */
    if (r < 0)
        return r;
    if (header.pid < 0)
        return -EINVAL;
    const struct process *process = process_named(header.pid);
    if (!process)
        return -ESRCH;
    if (!user_data)
        return 0;
    const struct credentials *c = &process->credentials;
    struct __user_cap_data_struct data[2];
    for (unsigned i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(c->cap_effective >> (32 * i));
        data[i].permitted = (uint32_t)(c->cap_permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(c->cap_inheritable >> (32 * i));
    }
    return copy_to_user(user_data, data, words * sizeof data[0]);
}

SYSCALL_DEFINE2(capset, uaddr_t, user_header, uaddr_t, user_data)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2] = {{0}};
    unsigned words;
    int r = header_read(user_header, &header, &words);
    if (r < 0)
        return r;
    if (process_named(header.pid) != process_self())
        return -EPERM;
    if (copy_from_user(data, user_data, words * sizeof data[0]) < 0)
        return -EFAULT;
    uint64_t effective = data[0].effective | (uint64_t)data[1].effective << 32;
    uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    uint64_t inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    effective &= CAPABILITIES_ALL;
    permitted &= CAPABILITIES_ALL;
    inheritable &= CAPABILITIES_ALL;

    struct credentials *c = &process_self()->credentials;
    if (!process_capable(CAP_SETPCAP) && (inheritable & ~(c->cap_inheritable | c->cap_permitted)))
        return -EPERM;
    if (inheritable & ~(c->cap_inheritable | c->cap_bounding))
        return -EPERM;
    if ((permitted & ~c->cap_permitted) || (effective & ~permitted))
        return -EPERM;
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = inheritable;
    c->cap_ambient &= permitted & inheritable;
    return 0;
}

static int64_t ambient(struct credentials *c, uint64_t op, uint64_t capability)
{
    if (op == PR_CAP_AMBIENT_CLEAR_ALL) {
        if (capability)
            return -EINVAL;
        c->cap_ambient = 0;
        return 0;
    }
    if (capability > CAPABILITY_LAST)
        return -EINVAL;
    uint64_t bit = 1ULL << capability;
    switch (op) {
    case PR_CAP_AMBIENT_IS_SET:
        return (c->cap_ambient & bit) != 0;
    case PR_CAP_AMBIENT_RAISE:
        if (!(c->cap_permitted & c->cap_inheritable & bit) || (c->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        c->cap_ambient |= bit;
        return 0;
    case PR_CAP_AMBIENT_LOWER:
        c->cap_ambient &= ~bit;
        return 0;
    default:
        return -EINVAL;
    }
}

static int64_t securebits_set(struct credentials *c, uint64_t bits)
{
    uint64_t locked = (c->securebits & SECURE_ALL_LOCKS) >> 1;
    if ((locked & (c->securebits ^ bits)) || ((c->securebits & SECURE_ALL_LOCKS) & ~bits) ||
        (bits & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)) || !process_capable(CAP_SETPCAP))
        return -EPERM;
    c->securebits = (uint32_t)bits;
    c->keep_capabilities = bits & SECBIT_KEEP_CAPS;
    return 0;
}

static int64_t keep_capabilities_set(struct credentials *c, uint64_t keep)
{
    if (keep > 1)
        return -EINVAL;
    if (c->securebits & SECBIT_KEEP_CAPS_LOCKED)
        return -EPERM;
    c->keep_capabilities = keep;
    c->securebits = (c->securebits & ~(uint32_t)SECBIT_KEEP_CAPS) | (keep ? SECBIT_KEEP_CAPS : 0);
    return 0;
}

int64_t capability_prctl(int option, const uint64_t args[4])
{
    struct credentials *c = &process_self()->credentials;
    switch (option) {
    case PR_CAPBSET_READ:
        return args[0] <= CAPABILITY_LAST ? (int64_t)((c->cap_bounding >> args[0]) & 1) : -EINVAL;
    case PR_CAPBSET_DROP:
        if (!process_capable(CAP_SETPCAP))
            return -EPERM;
        if (args[0] > CAPABILITY_LAST)
            return -EINVAL;
        c->cap_bounding &= ~(1ULL << args[0]);
        return 0;
    case PR_CAP_AMBIENT:
        return args[2] || args[3] ? -EINVAL : ambient(c, args[0], args[1]);
    case PR_GET_SECUREBITS:
        return c->securebits;
    case PR_SET_SECUREBITS:
        return securebits_set(c, args[0]);
    case PR_GET_KEEPCAPS:
        return c->keep_capabilities;
    case PR_SET_KEEPCAPS:
        return keep_capabilities_set(c, args[0]);
    default:
        return -EINVAL;
    }
}
