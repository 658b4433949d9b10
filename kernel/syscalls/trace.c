/* The trace of system calls (contract in trace.h). */
#include "kernel/syscalls/trace.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/arch/hostcall.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/table.h"

#define NAME_SHOWN 120 /* characters of a path */
#define BYTES_SHOWN 32 /* of a buffer */

static void add(struct trace *t, const char *format, ...) printf_like(2, 3);
static void add(struct trace *t, const char *format, ...)
{
    size_t room = sizeof(t->line) - t->size;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->line + t->size, room, format, args);
    va_end(args);
    t->size += MIN((size_t)MAX(n, 0), room - 1);
}

/* ---- bytes ---- */

static void add_byte(struct trace *t, uint8_t c)
{
    if (c == '\n')
        add(t, "\\n");
    else if (c == '"' || c == '\\')
        add(t, "\\%c", c);
    else if (c >= ' ' && c < 0x7f)
        add(t, "%c", c);
    else
        add(t, "\\%o", c);
}

static void add_buffer(struct trace *t, uint64_t addr, uint64_t size)
{
    uint8_t bytes[BYTES_SHOWN];
    size_t shown = MIN(size, sizeof(bytes));
    if (!addr || copy_from_user(bytes, addr, shown) < 0) {
        add(t, addr ? "0x%lx" : "NULL", (unsigned long)addr);
        return;
    }
    add(t, "\"");
    for (size_t i = 0; i < shown; i++)
        add_byte(t, bytes[i]);
    add(t, shown < size ? "\"..." : "\"");
}

static void add_name(struct trace *t, uint64_t addr)
{
    char name[NAME_SHOWN + 1];
    ssize_t r = addr ? strncpy_from_user(name, addr, sizeof(name)) : -EFAULT;
    if (r < 0 && r != -ENAMETOOLONG) {
        add(t, addr ? "0x%lx" : "NULL", (unsigned long)addr);
        return;
    }
    name[NAME_SHOWN] = '\0';
    add(t, "\"");
    for (const char *c = name; *c; c++)
        add_byte(t, (uint8_t)*c);
    add(t, strlen(name) == NAME_SHOWN ? "\"..." : "\"");
}

/* ---- arguments ---- */

/* A "type name," of a definition. */
struct argument {
    const char *type, *name;
    size_t type_size, name_size;
};

/* False if there is none any more. */
static bool argument_next(const char **rest, struct argument *ret)
{
    const char *end = *rest ? strchr(*rest, ',') : NULL, *space = end;
    if (!end)
        return false;
    while (space > *rest && *space != ' ')
        space--;
    *ret = (struct argument){*rest, space + 1, (size_t)(space - *rest), (size_t)(end - space) - 1};
    *rest = end + 1;
    return true;
}

static bool is(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

static bool ends(const struct argument *a, const char *word)
{
    size_t size = strlen(word);
    return a->name_size >= size && memcmp(a->name + a->name_size - size, word, size) == 0;
}

static bool is_name(const struct argument *a)
{
    return ends(a, "path") || is(a->name, a->name_size, "path_addr") || is(a->name, a->name_size, "target") ||
           is(a->name, a->name_size, "user_name") || is(a->name, a->name_size, "name_addr");
}

static bool gives_bytes(uint64_t nr)
{
    return nr == __NR_write || nr == __NR_pwrite64 || nr == __NR_sendto;
}

static bool fills_bytes(uint64_t nr)
{
    return nr == __NR_read || nr == __NR_pread64 || nr == __NR_recvfrom || nr == __NR_readlink ||
           nr == __NR_readlinkat || nr == __NR_getcwd || nr == __NR_getrandom;
}

static bool is_bits(const struct argument *a)
{
    return ends(a, "flags") || ends(a, "prot") || ends(a, "mask") || ends(a, "events") || ends(a, "option") ||
           ends(a, "command") || ends(a, "request");
}

static void add_number(struct trace *t, const struct argument *a, uint64_t value)
{
    bool is_int = is(a->type, a->type_size, "int");
    bool is_short = is_int || is(a->type, a->type_size, "unsigned") || is(a->type, a->type_size, "uint32_t");
    if (is_int && ends(a, "dfd") && (int)value == AT_FDCWD)
        add(t, "AT_FDCWD");
    else if (ends(a, "mode"))
        add(t, "0%o", (unsigned)value);
    else if (is_bits(a))
        add(t, "0x%lx", is_short ? value & 0xffffffff : value);
    else if (is_int)
        add(t, "%d", (int)value);
    else if (is_short)
        add(t, "%u", (unsigned)value);
    else if (is(a->type, a->type_size, "uaddr_t") && value == 0)
        add(t, "NULL");
    else if (is(a->type, a->type_size, "uaddr_t") || (int64_t)value < -4096 || value >> 32)
        add(t, "0x%lx", (unsigned long)value);
    else
        add(t, "%ld", (long)value);
}

/* What is still to be shown; before the call, up to a buffer that it fills. */
static void add_arguments(struct trace *t, bool before, int64_t result)
{
    for (struct argument a; t->next < 6; t->next++) {
        const char *rest = t->rest;
        if (!argument_next(&rest, &a))
            return;
        bool bytes = ends(&a, "buf");
        if (before && bytes && fills_bytes(t->nr))
            return;
        t->rest = rest;
        uint64_t value = t->args[t->next];
        if (t->next > 0)
            add(t, ", ");
        if (is_name(&a))
            add_name(t, value);
        else if (bytes && gives_bytes(t->nr))
            add_buffer(t, value, t->args[t->next + 1]);
        else if (bytes && fills_bytes(t->nr) && result > 0)
            add_buffer(t, value, (uint64_t)result);
        else
            add_number(t, &a, value);
    }
}

/* ---- results ---- */

static const char *error_name(int64_t error)
{
    static const char *const names[] = {
        [EPERM] = "EPERM",
        [ENOENT] = "ENOENT",
        [ESRCH] = "ESRCH",
        [EINTR] = "EINTR",
        [EIO] = "EIO",
        [ENXIO] = "ENXIO",
        [E2BIG] = "E2BIG",
        [ENOEXEC] = "ENOEXEC",
        [EBADF] = "EBADF",
        [ECHILD] = "ECHILD",
        [EAGAIN] = "EAGAIN",
        [ENOMEM] = "ENOMEM",
        [EACCES] = "EACCES",
        [EFAULT] = "EFAULT",
        [ENOTBLK] = "ENOTBLK",
        [EBUSY] = "EBUSY",
        [EEXIST] = "EEXIST",
        [EXDEV] = "EXDEV",
        [ENODEV] = "ENODEV",
        [ENOTDIR] = "ENOTDIR",
        [EISDIR] = "EISDIR",
        [EINVAL] = "EINVAL",
        [ENFILE] = "ENFILE",
        [EMFILE] = "EMFILE",
        [ENOTTY] = "ENOTTY",
        [ETXTBSY] = "ETXTBSY",
        [EFBIG] = "EFBIG",
        [ENOSPC] = "ENOSPC",
        [ESPIPE] = "ESPIPE",
        [EROFS] = "EROFS",
        [EMLINK] = "EMLINK",
        [EPIPE] = "EPIPE",
        [EDOM] = "EDOM",
        [ERANGE] = "ERANGE",
        [EDEADLK] = "EDEADLK",
        [ENAMETOOLONG] = "ENAMETOOLONG",
        [ENOLCK] = "ENOLCK",
        [ENOSYS] = "ENOSYS",
        [ENOTEMPTY] = "ENOTEMPTY",
        [ELOOP] = "ELOOP",
        [ENOMSG] = "ENOMSG",
        [EIDRM] = "EIDRM",
        [ENODATA] = "ENODATA",
        [EOVERFLOW] = "EOVERFLOW",
        [EPROTO] = "EPROTO",
        [ENOTSOCK] = "ENOTSOCK",
        [EDESTADDRREQ] = "EDESTADDRREQ",
        [EMSGSIZE] = "EMSGSIZE",
        [EPROTOTYPE] = "EPROTOTYPE",
        [ENOPROTOOPT] = "ENOPROTOOPT",
        [EPROTONOSUPPORT] = "EPROTONOSUPPORT",
        [ESOCKTNOSUPPORT] = "ESOCKTNOSUPPORT",
        [EOPNOTSUPP] = "EOPNOTSUPP",
        [EPFNOSUPPORT] = "EPFNOSUPPORT",
        [EAFNOSUPPORT] = "EAFNOSUPPORT",
        [EADDRINUSE] = "EADDRINUSE",
        [EADDRNOTAVAIL] = "EADDRNOTAVAIL",
        [ENETDOWN] = "ENETDOWN",
        [ENETUNREACH] = "ENETUNREACH",
        [ECONNABORTED] = "ECONNABORTED",
        [ECONNRESET] = "ECONNRESET",
        [ENOBUFS] = "ENOBUFS",
        [EISCONN] = "EISCONN",
        [ENOTCONN] = "ENOTCONN",
        [ETIMEDOUT] = "ETIMEDOUT",
        [ECONNREFUSED] = "ECONNREFUSED",
        [EHOSTUNREACH] = "EHOSTUNREACH",
        [EALREADY] = "EALREADY",
        [EINPROGRESS] = "EINPROGRESS",
        [ESTALE] = "ESTALE",
        [ECANCELED] = "ECANCELED",
        [EOWNERDEAD] = "EOWNERDEAD",
        [ENOTRECOVERABLE] = "ENOTRECOVERABLE",
    };
    return error < (int64_t)ARRAY_COUNT(names) ? names[error] : NULL;
}

/* Codes above Linux's own mean that the call begins again, or does not, when the signal has been seen to. */
static void add_result(struct trace *t, int64_t result)
{
    bool is_address = t->nr == __NR_mmap || t->nr == __NR_mremap || t->nr == __NR_brk || t->nr == __NR_shmat;
    if (result >= 0 || result < -4095)
        add(t, is_address ? ") = 0x%lx" : ") = %ld", (long)result);
    else if (-result >= 512)
        add(t, ") = ? a signal came");
    else if (error_name(-result))
        add(t, ") = -1 %s", error_name(-result));
    else
        add(t, ") = %ld", (long)result);
}

/* ---- lines ---- */

static void print(const struct trace *t)
{
    bool held = kernel_lock_held();
    if (!held)
        kernel_lock();
    hostcall_trace(t->line, t->size);
    if (!held)
        kernel_unlock();
}

void trace_begin(struct trace *t, uint64_t nr, const struct trap_frame *frame)
{
    const char *name = syscall_name(nr);
    *t = (struct trace){.nr = nr,
                        .args = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9},
                        .rest = syscall_arguments(nr)};
    if (!t->rest)
        t->rest = "uaddr_t a,uaddr_t b,uaddr_t c,uaddr_t d,uaddr_t e,uaddr_t f,";
    if (name)
        add(t, "%d %s(", task_current()->tid, name);
    else
        add(t, "%d %lu(", task_current()->tid, (unsigned long)nr);
    bool held = kernel_lock_held(); /* names are read from memory that may have to be brought in */
    if (!held)
        kernel_lock();
    add_arguments(t, true, 0);
    if (!held)
        kernel_unlock();
}

void trace_print(const struct trace *trace)
{
    struct trace t = *trace;
    add(&t, ")\n");
    print(&t);
}

void trace_end(struct trace *t, int64_t result, bool implemented)
{
    bool held = kernel_lock_held();
    if (!held)
        kernel_lock();
    add_arguments(t, false, result);
    if (!held)
        kernel_unlock();
    if (implemented)
        add_result(t, result);
    else
        add(t, ") not implemented");
    t->size = MIN(t->size, sizeof(t->line) - 2);
    add(t, "\n");
    print(t);
}
