/* Gathering windows (contract in windows.h). What cannot be read here is left out: the agent finds that out itself. */
#include "kernel/remote/windows.h"

#include <linux/errno.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/uio.h"

/* Linux's struct user_msghdr and struct mmsghdr. */
struct user_message {
    uint64_t name;
    int32_t name_size, pad;
    uint64_t iov, iov_count;
    uint64_t control, control_size;
    uint32_t flags, pad2;
};
struct user_mmessage {
    struct user_message message;
    uint32_t size, pad;
};
_Static_assert(sizeof(struct user_message) == 56 && sizeof(struct user_mmessage) == 64, "Linux's layout");

void windows_init(struct windows *w)
{
    w->list = w->fast;
    w->count = w->in_bytes = w->out_bytes = 0;
    w->capacity = WINDOWS_FAST;
}

void windows_free(struct windows *w)
{
    if (w->list != w->fast)
        kfree(w->list);
}

static int add(struct windows *w, const struct gathered *g)
{
    if (w->count == CALL_WINDOWS_MAX)
        return 0;
    if (w->count == w->capacity) {
        size_t capacity = MIN(w->capacity * 4, (size_t)CALL_WINDOWS_MAX);
        struct gathered *list = kmalloc(capacity * sizeof(*list));
        if (!list)
            return -ENOMEM;
        memcpy(list, w->list, w->count * sizeof(*list));
        windows_free(w);
        w->list = list;
        w->capacity = capacity;
    }
    w->list[w->count++] = *g;
    return 0;
}

/* Not of NULL, where nothing is, and which often means "none". */
static bool is_range(uint64_t addr, uint64_t size)
{
    uint64_t end;
    return addr != 0 && size != 0 && !__builtin_add_overflow(addr, size, &end);
}

int windows_in(struct windows *w, uint64_t addr, uint64_t size)
{
    struct gathered g = {.window = {.addr = addr, .span = size, .flags = WINDOW_IN}};
    if (!is_range(addr, size))
        return 0;
    g.window.size = (uint32_t)user_prepare(addr, MIN(size, CALL_DATA_MAX - w->in_bytes), false);
    w->in_bytes += g.window.size;
    return add(w, &g);
}

int windows_in_kernel(struct windows *w, uint64_t addr, const void *data, size_t size)
{
    struct gathered g = {{.addr = addr, .span = size, .size = (uint32_t)size, .flags = WINDOW_IN}, data};
    return size > 0 ? add(w, &g) : 0;
}

int windows_out_kernel(struct windows *w, uint64_t addr, size_t size)
{
    struct gathered g = {.window = {.addr = addr, .span = size, .size = (uint32_t)size, .flags = WINDOW_OUT}};
    return size > 0 ? add(w, &g) : 0;
}

int windows_out(struct windows *w, uint64_t addr, uint64_t size)
{
    struct gathered g = {.window = {.addr = addr, .span = size, .flags = WINDOW_OUT}};
    if (!is_range(addr, size))
        return 0;
    g.window.size = (uint32_t)user_probe_write(addr, MIN(size, CALL_DATA_MAX - w->out_bytes));
    w->out_bytes += g.window.size;
    return add(w, &g);
}

static int string(struct windows *w, uint64_t addr)
{
    struct gathered g = {.window = {.addr = addr, .flags = WINDOW_IN}};
    char text[256];
    if (addr == 0)
        return 0;
    /* only what is copied counts, and that again when it is sent: another thread may write in it meanwhile */
    for (;;) {
        size_t in_page = PAGE_SIZE - ((addr + g.window.span) & (PAGE_SIZE - 1)), n = MIN(in_page, sizeof(text));
        size_t got = copy_from_user_partial(text, addr + g.window.span, n);
        const char *nul = memchr(text, 0, got);
        g.window.span += nul ? (size_t)(nul - text) + 1 : got;
        if (nul || got < n || g.window.span >= PAGE_SIZE)
            break;
    }
    g.window.size = (uint32_t)g.window.span;
    if (g.window.size == 0)
        return 0;
    w->in_bytes += g.window.size;
    return add(w, &g);
}

static int iovec(struct windows *w, uint64_t iov, uint64_t count, bool in)
{
    struct io_segment fast[8], *segments;
    if (count == 0 || iov_import(iov, count, fast, &segments) < 0)
        return 0;
    int r = windows_in(w, iov, count * sizeof(*segments));
    for (size_t i = 0; r == 0 && i < count; i++)
        r = in ? windows_in(w, segments[i].base, segments[i].size) : windows_out(w, segments[i].base, segments[i].size);
    iov_release(fast, segments);
    return r;
}

static int message(struct windows *w, uint64_t addr, bool send)
{
    struct user_message m;
    int r = windows_in(w, addr, sizeof(m));
    if (r < 0 || copy_from_user(&m, addr, sizeof(m)) < 0)
        return r;
    if (!send && ((r = windows_out(w, addr, sizeof(m))) < 0 ||
                  (m.name_size > 0 && (r = windows_out(w, m.name, (uint32_t)m.name_size)) < 0) ||
                  (r = windows_out(w, m.control, m.control_size)) < 0))
        return r;
    if (send && ((m.name_size > 0 && (r = windows_in(w, m.name, (uint32_t)m.name_size)) < 0) ||
                 (r = windows_in(w, m.control, m.control_size)) < 0))
        return r;
    return iovec(w, m.iov, m.iov_count, send);
}

/* As many messages as fit: the call moves fewer than asked for then, as it may. */
static int messages(struct windows *w, uint64_t addr, uint64_t *count, bool send)
{
    uint64_t i = 0;
    int r = 0;
    for (; r == 0 && i < *count && i < 1024; i++) {
        struct user_mmessage m;
        uint64_t at = addr + i * sizeof(m);
        if (copy_from_user(&m, at, sizeof(m)) < 0)
            break;
        if (i > 0 && (w->count + m.message.iov_count + 6 > CALL_WINDOWS_MAX || w->in_bytes > CALL_DATA_MAX / 2 ||
                      w->out_bytes > CALL_DATA_MAX / 2)) {
            *count = i;
            break;
        }
        r = windows_out(w, at, sizeof(m));
        if (r == 0)
            r = message(w, at, send);
        if (r == 0)
            r = windows_in(w, at + sizeof(m.message), sizeof(m) - sizeof(m.message));
    }
    return r;
}

static int fd_sets(struct windows *w, const uint64_t args[6])
{
    int32_t count = (int32_t)args[0];
    uint64_t size = count > 0 ? ((uint64_t)MIN(count, 1 << 20) + 63) / 64 * 8 : 0;
    int r = 0;
    for (unsigned i = 1; r == 0 && i <= 3; i++)
        if ((r = windows_in(w, args[i], size)) == 0)
            r = windows_out(w, args[i], size);
    return r;
}

static int sockaddr_out(struct windows *w, uint64_t addr, uint64_t user_size)
{
    uint32_t size;
    int r = windows_in(w, user_size, sizeof(size));
    if (r == 0)
        r = windows_out(w, user_size, sizeof(size));
    if (r < 0 || user_size == 0 || get_user32(&size, user_size) < 0 || (int32_t)size < 0)
        return r;
    return windows_out(w, addr, size);
}

static int plain(struct windows *w, const struct call_window *cw, const uint64_t args[6])
{
    uint64_t addr = args[cw->arg], size = cw->size;
    if (cw->size_arg != NO_ARG && __builtin_mul_overflow(size, args[cw->size_arg], &size))
        return 0;
    int r = cw->kind == ARG_OUT ? 0 : windows_in(w, addr, size);
    return r < 0 || cw->kind == ARG_IN ? r : windows_out(w, addr, size);
}

int windows_gather(struct windows *w, const struct call *call, uint64_t args[6])
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < CALL_WINDOWS && call->windows[i].kind != ARG_NONE; i++) {
        const struct call_window *cw = &call->windows[i];
        switch (cw->kind) {
        case ARG_STRING:
            r = string(w, args[cw->arg]);
            break;
        case ARG_SOCKADDR_OUT:
            r = sockaddr_out(w, args[cw->arg], args[cw->size_arg]);
            break;
        case ARG_IOV_IN:
        case ARG_IOV_OUT:
            r = iovec(w, args[cw->arg], args[cw->size_arg], cw->kind == ARG_IOV_IN);
            break;
        case ARG_MSG_IN:
        case ARG_MSG_OUT:
            r = message(w, args[cw->arg], cw->kind == ARG_MSG_IN);
            break;
        case ARG_MMSG_IN:
        case ARG_MMSG_OUT:
            args[cw->size_arg] = (uint32_t)args[cw->size_arg];
            r = messages(w, args[cw->arg], &args[cw->size_arg], cw->kind == ARG_MMSG_IN);
            break;
        case ARG_FD_SETS:
            r = fd_sets(w, args);
            break;
        default:
            r = plain(w, cw, args);
        }
    }
    return r;
}
