/*
 * What exec parses of a file that anybody may have written: the ELF headers, "#!" lines, and /etc/passwd with
 * /etc/group. The first byte chooses; what the parsers promise is checked.
 *
 * fuzz-sources: kernel/process/elf.c kernel/process/script.c kernel/process/userdb.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/process/elf.h"
#include "kernel/process/exec.h"
#include "kernel/process/userdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
    if (!promise)
        abort();
}

struct bytes {
    const uint8_t *data;
    size_t size;
};

static ssize_t read_bytes(void *context, void *buf, size_t size, file_off_t pos)
{
    const struct bytes *b = context;
    check(pos >= 0);
    if ((uint64_t)pos >= b->size)
        return 0;
    size_t n = MIN(size, b->size - (size_t)pos);
    memcpy(buf, b->data + pos, n);
    return (ssize_t)n;
}

static void fuzz_elf(const uint8_t *data, size_t size)
{
    static struct elf_image image;
    struct bytes bytes = {data, size};
    struct elf_reader reader = {read_bytes, &bytes};
    if (elf_parse(&reader, &image) < 0)
        return;
    check(image.segment_count > 0 && image.segment_count <= ELF_SEGMENTS_MAX);
    check(image.align >= PAGE_SIZE && (image.align & (image.align - 1)) == 0);
    check(!image.has_interp || memchr(image.interp, 0, sizeof image.interp));
    for (size_t i = 0; i < image.segment_count; i++) {
        const struct elf_segment *s = &image.segments[i];
        uint64_t end;
        check(s->file_size <= s->memory_size && s->memory_size > 0);
        check(!__builtin_add_overflow(s->vaddr, s->memory_size, &end) && end <= 1ULL << 47);
        check(image.low <= s->vaddr && end <= image.high && image.low % PAGE_SIZE == 0 && image.high % PAGE_SIZE == 0);
        check((int64_t)s->offset >= 0 && (int64_t)(s->offset + s->memory_size) >= 0);
    }
}

static void fuzz_script(const uint8_t *data, size_t size)
{
    char head[SCRIPT_HEAD_SIZE + 1], *interp, *arg;
    memset(head, 0, sizeof head);
    memcpy(head, data, MIN(size, (size_t)SCRIPT_HEAD_SIZE));
    if (script_parse(head, &interp, &arg) != 1)
        return;
    check(interp > head && interp < head + SCRIPT_HEAD_SIZE && *interp && strlen(interp) < SCRIPT_HEAD_SIZE);
    check(!arg || (arg > interp && arg < head + SCRIPT_HEAD_SIZE && *arg));
}

static void fuzz_userdb(const uint8_t *data, size_t size)
{
    static struct user_entry entry;
    char *text = malloc(size + 3);
    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = text[size + 1] = text[size + 2] = '\0';
    /* spec NUL passwd NUL group */
    const char *passwd = text + strlen(text) + 1;
    const char *group = passwd < text + size + 2 ? passwd + strlen(passwd) + 1 : passwd;
    if (group > text + size + 2)
        group = "";
    if (user_resolve(text, passwd, group, &entry) == 0) {
        check(entry.group_count <= ARRAY_COUNT(entry.groups));
        check(memchr(entry.home, 0, sizeof entry.home) != NULL);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0]) {
    case '#':
        fuzz_script(data, size);
        break;
    case 'u':
        fuzz_userdb(data + 1, size - 1);
        break;
    default:
        fuzz_elf(data, size);
    }
    return 0;
}
