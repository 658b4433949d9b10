/* Places of earlier starts: how lists become one, whose they are, and files that are new, good, damaged, too many. */
#include "host/start_pages.h"
#include "image/sgx_arch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct sgx_sigstruct sig;
static struct artifacts artifacts = {.sigstruct = {&sig, sizeof(sig)}};
static struct run_options options;

/* words: with ends between them. */
static void set_command(const char *words, size_t size)
{
    static char bytes[64];

    memcpy(bytes, words, size);
    options.args = (struct strings){bytes, size};
}

#define COMMAND(words) set_command(words, sizeof(words))

static int setup(void **state)
{
    strcpy(folder, "/tmp/cofre-start-XXXXXX");
    assert_non_null(mkdtemp(folder));
    setenv("XDG_CACHE_HOME", folder, 1);
    options.args.size = 0;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static unsigned files(char *ret_last)
{
    char path[128];
    struct dirent *entry;
    unsigned count = 0;

    snprintf(path, sizeof(path), "%s/cofre/start", folder);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(ret_last, 384, "%s/%s", path, entry->d_name);
            count++;
        }
    if (dir)
        closedir(dir);
    return count;
}

static void test_merge(void **state)
{
    static uint64_t to[START_PLACES_MAX], many[START_PLACES_MAX];
    const uint64_t from[] = {9, 2, 9, 1, 5};

    to[0] = 2, to[1] = 7;
    assert_int_equal(start_pages_merge(to, 2, from, 5), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(to[i], ((uint64_t[]){1, 2, 5, 7, 9})[i]);
    for (uint64_t i = 0; i < START_PLACES_MAX; i++)
        many[i] = 1000000 - i;
    assert_int_equal(start_pages_merge(to, 5, many, START_PLACES_MAX), START_PLACES_MAX);
    for (size_t i = 1; i < START_PLACES_MAX; i++)
        assert_true(to[i - 1] < to[i]);
    assert_int_equal(start_pages_merge(to, START_PLACES_MAX, from, 5), START_PLACES_MAX);
}

/* One start in 64 learns anew: then nothing is known. */
static struct start_area *open_known(uint32_t count)
{
    struct start_area *area = NULL;

    for (unsigned i = 0; i < 100; i++) {
        area = start_pages_open(&artifacts, &options);
        assert_non_null(area);
        assert_int_equal(area->noted_count, 0);
        if (area->known_count == count)
            break;
        assert_int_equal(area->known_count, 0);
    }
    assert_int_equal(area->known_count, count);
    return area;
}

static void note(struct start_area *area, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        area->noted[i] = first + count - i;
    area->noted_count = count;
    start_pages_save(area);
}

static void test_a_start_is_remembered(void **state)
{
    char path[384];

    note(open_known(0), 100, 40);
    assert_int_equal(files(path), 1);
    struct start_area *area = open_known(40);
    assert_int_equal(area->known[0], 101);
    note(area, 50, 3);
    area = open_known(43);
    assert_int_equal(area->known[0], 51);
    note(area, 10, 1); /* is worth it only for fewer than 32 */
    area = open_known(44);
    note(area, 1000, START_PLACES_MAX);
    area = open_known(START_PLACES_MAX);
    note(area, 9000, 100);                                          /* not worth it */
    note(open_known(START_PLACES_MAX), 9000, START_PLACES_MAX + 1); /* no number of places */
    area = open_known(START_PLACES_MAX);
    area->known_count = START_PLACES_MAX + 1; /* nor is that */
    note(area, 9000, START_PLACES_MAX);
    assert_int_equal(open_known(START_PLACES_MAX)->known[0], 11);
    COMMAND("node");
    open_known(0);
    options.args.size = 0;
    sig.enclavehash[0] ^= 1;
    open_known(0);
    sig.enclavehash[0] ^= 1;
    assert_int_equal(files(path), 1);
}

static void test_each_command_has_its_own(void **state)
{
    char path[384];

    COMMAND("node\0-e\0000"); /* learns: it is the first of its program */
    note(open_known(0), 100, 40);
    assert_int_equal(files(path), 2);
    COMMAND("node\0work.js"); /* goes by the program's */
    note(open_known(40), 1000, 400);
    assert_int_equal(files(path), 2);
    COMMAND("node\0-e\0000"); /* not by what others touched */
    note(open_known(40), 200, 2);
    open_known(42);
    COMMAND("node\0work.js"); /* came again: learns its own */
    open_known(0);            /* was killed: no harm */
    note(open_known(42), 1000, 0);
    note(open_known(0), 1000, 410);
    open_known(410);
    assert_int_equal(files(path), 3);
    COMMAND("node\0-e\0000");
    open_known(42);
    COMMAND("node"); /* the program's are the last that were learned */
    note(open_known(410), 1, 0);
    note(open_known(0), 100, 7); /* a word alone is a command, too */
    open_known(7);
    COMMAND("nodework.js");
    open_known(0);
}

static void test_what_comes_once_leaves_no_list(void **state)
{
    char path[384], words[] = "node\0job\0000";

    COMMAND("node\0job");
    note(open_known(0), 100, 40);
    for (uint32_t i = 0; i < 26; i++) {
        words[sizeof(words) - 2] = (char)('a' + i);
        set_command(words, sizeof(words));
        note(open_known(40 + 5 * i), 1000 + 5 * i, 5);
    }
    assert_int_equal(files(path), 2);
    COMMAND("node\0job\0new");
    open_known(40 + 26 * 5); /* what they had besides is the program's */
    COMMAND("node\0job");
    open_known(40);
}

static void test_files_of_nobody(void **state)
{
    char path[384];
    FILE *f;

    note(open_known(0), 100, 40);
    assert_int_equal(files(path), 1);
    assert_int_equal(truncate(path, 8 + 5 * 8 + 3), 0);
    open_known(5);
    assert_int_equal(truncate(path, 3), 0);
    open_known(0);
    assert_non_null(f = fopen(path, "w"));
    fputs("something else, long enough to be one", f);
    fclose(f);
    note(open_known(0), 7, 7);
    open_known(7);
    options.as_entrypoint = true;
    assert_null(start_pages_open(&artifacts, &options));
    options.as_entrypoint = false;
    setenv("XDG_CACHE_HOME", "/proc/no-such", 1);
    note(open_known(0), 1, 1);
}

static void test_what_is_not_used_goes(void **state)
{
    char path[384];

    for (unsigned i = 0; i < 400; i++) {
        sig.enclavehash[1] = (uint8_t)i;
        sig.enclavehash[2] = (uint8_t)(i >> 8);
        note(open_known(0), i, 1);
        sig.enclavehash[1] = sig.enclavehash[2] = 0; /* the first: used again and again */
        open_known(1);
    }
    assert_in_range(files(path), 200, 256);
    sig.enclavehash[1] = 1;
    open_known(0);
    sig.enclavehash[1] = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test_setup_teardown(test_a_start_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_command_has_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_comes_once_leaves_no_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_of_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_used_goes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
