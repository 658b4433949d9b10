/* What exec and the start of a container parse: ELF headers, "#!" lines, /etc/passwd and /etc/group. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include "kernel/process/elf.h"
#include "kernel/process/exec.h"
#include "kernel/process/userdb.h"

struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segments[4];
    char interp[64];
};

static ssize_t read_program(void *context, void *buf, size_t size, file_off_t pos)
{
    if ((uint64_t)pos >= sizeof(struct program))
        return 0;
    size_t n = MIN(size, sizeof(struct program) - (size_t)pos);
    memcpy(buf, (const char *)context + pos, n);
    return (ssize_t)n;
}

static ssize_t read_fails(void *context, void *buf, size_t size, file_off_t pos)
{
    return -EISDIR;
}

static struct program a_program(uint16_t type)
{
    struct program p = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
                   .e_type = type,
                   .e_machine = EM_X86_64,
                   .e_entry = 0x1234,
                   .e_phoff = offsetof(struct program, segments),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 4},
        .segments = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 100, .p_memsz = 100, .p_align = 0x200000},
                     {.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_W,
                      .p_offset = 0x1010,
                      .p_vaddr = 0x5010,
                      .p_filesz = 8,
                      .p_memsz = 0x3000},
                     {.p_type = PT_INTERP, .p_offset = offsetof(struct program, interp), .p_filesz = 10},
                     {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X}},
        .interp = "/lib/ld.x",
    };
    return p;
}

static int parse(struct program *p, struct elf_image *image)
{
    struct elf_reader reader = {read_program, p};
    return elf_parse(&reader, image);
}

static void test_elf(void **state)
{
    static struct elf_image image;
    struct program p = a_program(ET_DYN);
    assert_int_equal(parse(&p, &image), 0);
    assert_true(image.dynamic && image.executable_stack && image.has_interp);
    assert_string_equal(image.interp, "/lib/ld.x");
    assert_int_equal(image.segment_count, 2);
    assert_int_equal(image.low, 0);
    assert_int_equal(image.high, 0x9000);
    assert_int_equal(image.align, 0x200000);
    assert_int_equal(image.phdr_vaddr, offsetof(struct program, segments));
    assert_int_equal(image.phdr_count, 4);
    struct elf_reader failing = {read_fails, NULL};
    assert_int_equal(elf_parse(&failing, &image), -EISDIR);
}

/* One field spoilt at a time. */
static void test_elf_refused(void **state)
{
    static struct elf_image image;
#define REFUSED(field, value, error)                                                                                   \
    do {                                                                                                               \
        struct program p = a_program(ET_EXEC);                                                                         \
        p.field = (value);                                                                                             \
        assert_int_equal(parse(&p, &image), error);                                                                    \
    } while (0)
    REFUSED(header.e_ident[0], 0, -ENOEXEC);
    REFUSED(header.e_ident[EI_CLASS], ELFCLASS32, -ENOEXEC);
    REFUSED(header.e_machine, EM_386, -ENOEXEC);
    REFUSED(header.e_type, ET_REL, -ENOEXEC);
    REFUSED(header.e_phentsize, 32, -ENOEXEC);
    REFUSED(header.e_phnum, 0, -ENOEXEC);
    REFUSED(header.e_phnum, 2000, -ENOEXEC);
    REFUSED(header.e_phnum, 40, -ENOEXEC);
    REFUSED(header.e_phoff, UINT64_MAX - 8, -ENOEXEC);
    REFUSED(segments[1].p_filesz, 0x3001, -EINVAL);
    REFUSED(segments[1].p_memsz, UINT64_MAX, -EINVAL);
    REFUSED(segments[1].p_vaddr, UINT64_MAX - 0xfef, -EINVAL);
    REFUSED(segments[1].p_vaddr, 0x5000, -EINVAL);
    REFUSED(segments[1].p_offset, 0x7fffffffffffff10, -EINVAL);
    REFUSED(segments[2].p_filesz, 1, -ENOEXEC);
    REFUSED(segments[2].p_filesz, 9, -ENOEXEC);
    REFUSED(segments[2].p_filesz, 5000, -ENOEXEC);
    REFUSED(segments[2].p_offset, 1 << 20, -EIO);
}

static void script(const char *line, int expected, const char *interp, const char *arg)
{
    char head[SCRIPT_HEAD_SIZE + 1] = "", *got_interp, *got_arg;
    strncpy(head, line, SCRIPT_HEAD_SIZE);
    assert_int_equal(script_parse(head, &got_interp, &got_arg), expected);
    if (expected != 1)
        return;
    assert_string_equal(got_interp, interp);
    if (arg)
        assert_string_equal(got_arg, arg);
    else
        assert_null(got_arg);
}

static void test_script(void **state)
{
    char line[400];
    script("#!/bin/sh\n", 1, "/bin/sh", NULL);
    script("#! \t/bin/sh -e \t\nrest", 1, "/bin/sh", "-e");
    script("#!/usr/bin/env  python3 -u\n", 1, "/usr/bin/env", "python3 -u");
    script("#!/bin/sh", 1, "/bin/sh", NULL);
    script("#!\n", -ENOEXEC, NULL, NULL);
    script("#!  \t \n/bin/sh", -ENOEXEC, NULL, NULL);
    script("# !/bin/sh\n", 0, NULL, NULL);
    script("", 0, NULL, NULL);
    /* An interpreter that does not fit is refused; an argument is cut. */
    memset(line, 'x', sizeof line);
    memcpy(line, "#!/", 3);
    line[399] = '\0';
    script(line, -ENOEXEC, NULL, NULL);
    line[10] = ' ';
    char arg[256];
    memcpy(arg, line + 11, 244);
    arg[244] = '\0';
    line[10] = '\0';
    char interp[16];
    strcpy(interp, line + 2);
    line[10] = ' ';
    script(line, 1, interp, arg);
}

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken\n"
                             "half:x:12\n"
                             "www:x:33:34:www data:/var/www:/bin/false\n"
                             "nobody:x:65534:65534:::";
static const char group[] = "root:x:0:\nstaff:x:50:www,other\nmore:x:51:notwww,www\nown:x:34:www\nbad:x:y:www\n";

static void user(const char *spec, int expected, uint32_t uid, uint32_t gid, size_t groups)
{
    struct user_entry entry;
    assert_int_equal(user_resolve(spec, passwd, group, &entry), expected);
    if (expected < 0)
        return;
    assert_int_equal(entry.uid, uid);
    assert_int_equal(entry.gid, gid);
    assert_int_equal(entry.group_count, groups);
}

static void test_users(void **state)
{
    struct user_entry entry;
    user("", 0, 0, 0, 0);
    user("www", 0, 33, 34, 2);
    user("33", 0, 33, 34, 2);
    user("33:7", 0, 33, 7, 0);
    user("www:staff", 0, 33, 50, 0);
    user("1000", 0, 1000, 0, 0);
    user("1000:1001", 0, 1000, 1001, 0);
    user(":staff", 0, 0, 50, 0);
    user("nobody", 0, 65534, 65534, 0);
    user("nosuch", -ENOENT, 0, 0, 0);
    user("www:nosuch", -ENOENT, 0, 0, 0);
    user("99999999999", -ENOENT, 0, 0, 0);
    user("a-name-that-is-longer-than-any-name-that-a-system-would-have-in-its-file", -ENOENT, 0, 0, 0);
    assert_int_equal(user_resolve("www", passwd, group, &entry), 0);
    assert_int_equal(entry.groups[0], 50);
    assert_int_equal(entry.groups[1], 51);
    assert_string_equal(entry.home, "/var/www");
    assert_int_equal(user_resolve("5:6", "", "", &entry), 0);
    assert_string_equal(entry.home, "/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf),
        cmocka_unit_test(test_elf_refused),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_users),
    };
    return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
