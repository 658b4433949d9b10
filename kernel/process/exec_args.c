/* Argument and environment strings on their way into a new program. */
#include <asm-generic/errno.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/exec.h"
#include "kernel/process/process.h"

/* Linux's limits: a quarter of the stack, but at least 128 KiB and at most 6 MiB; one string at most 128 KiB. */
#define STRING_SIZE_MAX (32 * PAGE_SIZE)
#define ARGS_SIZE_MIN (32 * PAGE_SIZE)
#define ARGS_SIZE_MAX (6UL << 20)
#define STRINGS_COUNT_MAX 0x7fffffffUL

void exec_init(struct exec *exec)
{
    memset(exec, 0, sizeof *exec);
    uint64_t quarter = process_self()->limits[RLIMIT_STACK].rlim_cur / 4;
    exec->limit = MAX(MIN(quarter, ARGS_SIZE_MAX), ARGS_SIZE_MIN);
}

static int charge(struct exec *exec, size_t size)
{
    if (size > exec->limit)
        return -E2BIG;
    exec->limit -= size;
    return 0;
}

/* Room for size more bytes at the end. */
static int reserve(struct exec_strings *strings, size_t size)
{
    size_t need = strings->size + size;
    if (need <= strings->capacity)
        return 0;
    size_t capacity = MAX(strings->capacity * 2, ALIGN_UP(need, PAGE_SIZE));
    char *text = krealloc(strings->text, capacity);
    if (!text)
        return -ENOMEM;
    strings->text = text;
    strings->capacity = capacity;
    return 0;
}

int exec_add(struct exec *exec, struct exec_strings *strings, const char *string)
{
    size_t size = strlen(string) + 1;
    int r = size > STRING_SIZE_MAX ? -E2BIG : charge(exec, size + sizeof(uint64_t));
    if (r == 0)
        r = reserve(strings, size);
    if (r < 0)
        return r;
    memcpy(strings->text + strings->size, string, size);
    strings->size += size;
    strings->count++;
    return 0;
}

int exec_prepend(struct exec *exec, struct exec_strings *strings, const char *string)
{
    size_t size = strlen(string) + 1;
    int r = charge(exec, size + sizeof(uint64_t));
    if (r == 0)
        r = reserve(strings, size);
    if (r < 0)
        return r;
    memmove(strings->text + size, strings->text, strings->size);
    memcpy(strings->text, string, size);
    strings->size += size;
    strings->count++;
    return 0;
}

void exec_drop_first(struct exec_strings *strings)
{
    if (strings->count == 0)
        return;
    size_t size = strlen(strings->text) + 1;
    memmove(strings->text, strings->text + size, strings->size - size);
    strings->size -= size;
    strings->count--;
}

static int add_user_string(struct exec *exec, struct exec_strings *strings, uaddr_t user)
{
    /* Most strings are short: ask for room in steps rather than for the longest there may be. */
    for (size_t room = 256;; room *= 4) {
        room = MIN(room, STRING_SIZE_MAX);
        int r = reserve(strings, room);
        if (r < 0)
            return r;
        ssize_t length = strncpy_from_user(strings->text + strings->size, user, room);
        if (length == -ENAMETOOLONG && room < STRING_SIZE_MAX)
            continue;
        if (length < 0)
            return length == -ENAMETOOLONG ? -E2BIG : (int)length;
        r = charge(exec, (size_t)length + 1 + sizeof(uint64_t));
        if (r < 0)
            return r;
        strings->size += (size_t)length + 1;
        strings->count++;
        return 0;
    }
}

int exec_add_user(struct exec *exec, struct exec_strings *strings, uaddr_t user_array)
{
    if (!user_array)
        return 0;
    for (size_t i = 0;; i++) {
        uint64_t user;
        if (i >= STRINGS_COUNT_MAX)
            return -E2BIG;
        if (get_user64(&user, user_array + i * sizeof user) < 0)
            return -EFAULT;
        if (!user)
            return 0;
        int r = add_user_string(exec, strings, user);
        if (r < 0)
            return r;
    }
}
