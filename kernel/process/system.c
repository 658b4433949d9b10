/* Questions about the machine, and the calls that only its administrator has: uname, sysinfo, names, getrandom... */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/kcmp.h>
#include <linux/personality.h>
#include <linux/random.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "kernel/fs/file.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/inspect.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

SYSCALL_DEFINE1(uname, uaddr_t, user_name)
{
    struct new_utsname name;
    memset(&name, 0, sizeof name);
    string_copy(name.sysname, "Linux", sizeof name.sysname);
    string_copy(name.nodename, container_hostname, sizeof name.nodename);
    string_copy(name.release, KERNEL_RELEASE, sizeof name.release);
    string_copy(name.version, KERNEL_VERSION, sizeof name.version);
    string_copy(name.machine, "x86_64", sizeof name.machine);
    string_copy(name.domainname, "(none)", sizeof name.domainname);
    return copy_to_user(user_name, &name, sizeof name);
}

SYSCALL_DEFINE2(sethostname, uaddr_t, user_name, int, size)
{
    return -EPERM; /* CAP_SYS_ADMIN */
}

SYSCALL_DEFINE2(setdomainname, uaddr_t, user_name, int, size)
{
    return -EPERM;
}

SYSCALL_DEFINE1(sysinfo, uaddr_t, user_info)
{
    const struct mm *mm = mm_self();
    struct sysinfo info;
    memset(&info, 0, sizeof info);
    info.uptime = (long)(time_boot_ns() / NS_PER_SEC);
    info.totalram = mm->limit_pages * PAGE_SIZE;
    info.freeram = mm_free_bytes();
    info.procs = (uint16_t)MIN(task_count(), 65535UL);
    info.mem_unit = 1;
    return copy_to_user(user_info, &info, sizeof info);
}

SYSCALL_DEFINE1(personality, uint32_t, persona)
{
    struct process *process = process_self();
    uint32_t old = process->personality;
    if (persona != 0xffffffff)
        process->personality = persona;
    return old;
}

SYSCALL_DEFINE3(getrandom, uaddr_t, user_buf, size_t, size, unsigned, flags)
{
    if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    if ((flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    size = MIN(size, (size_t)INT32_MAX);
    uint8_t chunk[256];
    size_t done = 0;
    while (done < size) {
        size_t part = MIN(size - done, sizeof chunk);
        random_bytes(chunk, part);
        if (copy_to_user(user_buf + done, chunk, part) < 0)
            break;
        done += part;
        if (signal_pending(task_current()) && done >= sizeof chunk)
            break;
    }
    memset(chunk, 0, sizeof chunk);
    return done > 0 || size == 0 ? (int64_t)done : -EFAULT;
}

static int64_t compare(const void *a, const void *b)
{
    return a == b ? 0 : a < b ? 1 : 2;
}

static int64_t compare_files(const struct process *one, const struct process *two, int fd1, int fd2)
{
    struct file *a = one->files ? fd_table_file(one->files, fd1, NULL) : NULL;
    struct file *b = two->files ? fd_table_file(two->files, fd2, NULL) : NULL;
    int64_t r = !a || !b ? -EBADF : compare(a, b);
    if (a)
        file_put(a);
    if (b)
        file_put(b);
    return r;
}

SYSCALL_DEFINE5(kcmp, int, pid1, int, pid2, int, type, uint64_t, index1, uint64_t, index2)
{
    const struct process *one = process_of(pid1), *two = process_of(pid2);
    if (!one || !two)
        return -ESRCH;
    if (process_inspect_permission(one) < 0 || process_inspect_permission(two) < 0)
        return -EPERM;
    switch (type) {
    case KCMP_FILE:
        return compare_files(one, two, (int)index1, (int)index2);
    case KCMP_VM: /* one enclave, one memory */
        return one->remote || two->remote ? compare(one, two) : 0;
    case KCMP_FILES:
        return compare(one->files, two->files);
    case KCMP_FS:
        return compare(one->fs, two->fs);
    case KCMP_SIGHAND:
    case KCMP_IO:
    case KCMP_SYSVSEM:
        return compare(one, two);
    default:
        return -EOPNOTSUPP;
    }
}

SYSCALL_DEFINE3(syslog, int, type, uaddr_t, user_buf, int, size)
{
    return -EPERM; /* CAP_SYSLOG */
}

SYSCALL_DEFINE4(ptrace, int64_t, request, int, pid, uaddr_t, addr, uaddr_t, data)
{
    return -EPERM;
}

SYSCALL_DEFINE3(seccomp, unsigned, operation, unsigned, flags, uaddr_t, args)
{
    return -EINVAL;
}
