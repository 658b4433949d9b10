/*
 * Copies of an address space (kernel/mm/image.c): one is built at random, written to a stream, dropped, and read back;
 * every page must be as it was, but for what fork leaves out. Streams that are cut or changed must do no harm.
 *   test-image edmm|sgx1 [SEED]
 */
#include <linux/errno.h>
#include <linux/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "abi/start.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/stream.h"
#include "kernel/lib/string.h"
#include "kernel/mm/expected.h"
#include "kernel/mm/image.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/touched.h"
#include "kernel/mm/vma.h"
#include "kernel/remote/programs.h"
#include "kernel/syscalls/syscall.h"
#include "mm_machine.h"

#define ARENA 0x4000000UL
#define PAGES 512
#define LIMIT (128UL << 20)
#define ROUNDS 60

SYSCALL_PROLOGUE_(brk)
SYSCALL_PROLOGUE_(madvise)

static bool edmm = true;

/* ---- a stream in memory ---- */

struct memory_stream {
    struct stream stream;
    uint8_t *bytes;
    size_t size, capacity, at;
};

static int memory_write(struct stream *stream, const void *data, size_t size)
{
    struct memory_stream *m = container_of(stream, struct memory_stream, stream);

    if (m->size + size > m->capacity) {
        m->capacity = 2 * (m->size + size);
        m->bytes = krealloc(m->bytes, m->capacity);
    }
    memcpy(m->bytes + m->size, data, size);
    m->size += size;
    return 0;
}

static int memory_read(struct stream *stream, void *data, size_t size)
{
    struct memory_stream *m = container_of(stream, struct memory_stream, stream);

    if (size > m->size - m->at)
        return -EPIPE;
    memcpy(data, m->bytes + m->at, size);
    m->at += size;
    return 0;
}

static struct memory_stream memory = {.stream = {memory_write, memory_read}};

/* ---- files ---- */

static int read_page(struct inode *inode, uint64_t index, void *page)
{
    memset(page, (int)(inode->ino * 16 + index % 16), PAGE_SIZE);
    return 0;
}

static const struct inode_ops inode_ops = {.read_page = read_page};

/* One that has its pages many at a time, though not always as many as are wanted. */
static ssize_t read_pages(struct inode *inode, uint64_t index, size_t count, void *pages)
{
    count = MIN(count, (size_t)5);
    for (size_t i = 0; i < count; i++)
        read_page(inode, index + i, (char *)pages + i * PAGE_SIZE);
    return (ssize_t)count;
}

static int64_t root_block(struct inode *inode, uint64_t index)
{
    return (int64_t)index;
}

static const struct inode_ops many_ops = {.read_page = read_page, .read_pages = read_pages, .root_block = root_block};
static struct inode inodes[3];
static struct file disk_files[3];

/* The first is one that both sides have. */
static ssize_t describe(struct image_files *files, struct file *file, void *buf, bool *ret_own)
{
    uint32_t number = (uint32_t)(file - disk_files);

    memcpy(buf, &number, sizeof number);
    *ret_own = number == 0;
    return sizeof number;
}

static int open_described(struct image_files *files, const void *buf, size_t size, struct file **ret_file)
{
    uint32_t number;

    if (size != sizeof number)
        return -EPROTO;
    memcpy(&number, buf, size);
    if (number >= ARRAY_COUNT(disk_files))
        return -EPROTO;
    *ret_file = file_get(&disk_files[number]);
    return 0;
}

static struct image_files files = {describe, open_described};

/* ---- what is expected ---- */

static struct {
    bool mapped, lost;
    int prot;
    unsigned extra;
    uint8_t value;
} model[PAGES];

static uaddr_t page_at(unsigned i)
{
    return ARENA + i * PAGE_SIZE;
}

static void drop_all(void)
{
    mm_reset();
    assert_int_equal(mm_self()->committed_pages, 0);
    assert_int_equal(mm_self()->vma_count, 0);
}

static int pick_prot(void)
{
    static const int prots[] = {PROT_NONE,
                                PROT_READ,
                                PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE | PROT_EXEC,
                                PROT_READ | PROT_EXEC};

    return prots[machine_pick(ARRAY_COUNT(prots))];
}

static void advise(unsigned first, unsigned count, int advice)
{
    struct trap_frame frame = {.rdi = page_at(first), .rsi = count * PAGE_SIZE, .rdx = (uint64_t)advice};

    assert_int_equal(sys_madvise(&frame), 0);
}

static void fill(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        uint8_t value = (uint8_t)machine_pick(256);

        if (machine_pick(3) == 0)
            continue;
        if (!(model[i].prot & PROT_WRITE)) {
            if (model[i].prot & PROT_READ)
                machine_touch(page_at(i), false, &value);
            continue;
        }
        assert_int_equal(machine_touch(page_at(i), true, &value), 0);
        model[i].value = value;
    }
}

static void build_piece(unsigned first, unsigned count)
{
    static const int advices[] = {MADV_DONTFORK, MADV_WIPEONFORK};
    unsigned kind = machine_pick(6), file = machine_pick(3);
    bool shared = kind == 0, from_file = kind == 1 || kind == 2;
    int prot = PROT_READ | PROT_WRITE, flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE);

    if (!from_file)
        flags |= MAP_ANONYMOUS;
    else if (machine_pick(2))
        prot = PROT_READ;
    assert_int_equal(mm_map(page_at(first), count * PAGE_SIZE, prot, flags, from_file ? &disk_files[file] : NULL, 0),
                     page_at(first));
    for (unsigned i = 0; i < count; i++) {
        uint8_t value = from_file ? (uint8_t)(file * 16 + i % 16) : 0;

        model[first + i] = (typeof(model[0])){true, shared, prot, 0, value};
    }
    fill(first, count);
    prot = pick_prot();
    assert_int_equal(mm_protect(page_at(first), count * PAGE_SIZE, prot), 0);
    for (unsigned i = 0; i < count; i++)
        model[first + i].prot = prot;
    if (!shared)
        fill(first, count);
    if (kind == 5) {
        unsigned which = machine_pick(2);

        advise(first, count, advices[which]);
        for (unsigned i = first; i < first + count; i++)
            model[i].extra = which ? VMA_WIPEONFORK : VMA_DONTFORK;
    }
}

static void build(void)
{
    memset(model, 0, sizeof model);
    drop_all();
    for (unsigned at = 0; at < PAGES;) {
        unsigned count = MIN(1 + machine_pick(machine_pick(4) ? 8 : 300), PAGES - at);

        if (machine_pick(4))
            build_piece(at, count);
        at += count;
    }
    mm_self()->brk_start = 0x1000000 + machine_pick(100) * PAGE_SIZE;
    mm_self()->brk = mm_self()->brk_start + machine_pick(5000);
    mm_self()->vdso = machine_pick(1000) * PAGE_SIZE;
    mm_self()->auxv_count = 4;
    mm_self()->auxv[3] = machine_pick(1000);
}

static void save(void)
{
    memory.size = memory.at = 0;
    assert_int_equal(image_save(&memory.stream, &files), 0);
    assert_int_equal(mm_self()->frozen, 0);
}

/* What fork makes of the model. A shared mapping that cannot be written anyway is anonymous memory nobody has. */
static void check_page(unsigned i)
{
    uint8_t value = 0;
    int signal = machine_touch(page_at(i), false, &value), expected = 0;

    if (!model[i].mapped || (model[i].extra & VMA_DONTFORK) || model[i].prot == PROT_NONE)
        expected = TOUCH_SEGV;
    else if (model[i].lost)
        expected = TOUCH_BUS;
    assert_int_equal(signal, expected);
    if (expected == 0)
        assert_int_equal(value, model[i].extra & VMA_WIPEONFORK ? 0 : model[i].value);
    if (!(model[i].prot & PROT_WRITE))
        assert_int_equal(machine_rights(page_at(i)) & PAGE_W, 0);
}

static void test_copies(void **state)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct mm before;

        build();
        save();
        before = *mm_self();
        drop_all();
        assert_int_equal(image_load(&memory.stream, &files), 0);
        assert_int_equal(memory.at, memory.size);
        assert_int_equal(mm_self()->brk_start, before.brk_start);
        assert_int_equal(mm_self()->brk, before.brk);
        assert_int_equal(mm_self()->mmap_top, before.mmap_top);
        assert_int_equal(mm_self()->vdso, before.vdso);
        assert_memory_equal(mm_self()->auxv, before.auxv, sizeof before.auxv);
        for (unsigned i = 0; i < PAGES; i++)
            check_page(i);
        /* What was not accessible came along all the same. */
        for (unsigned i = 0; i < PAGES; i++) {
            if (!model[i].mapped || model[i].prot != PROT_NONE || (model[i].extra & VMA_DONTFORK))
                continue;
            assert_int_equal(mm_protect(page_at(i), PAGE_SIZE, PROT_READ), 0);
            model[i].prot = PROT_READ;
        }
        for (unsigned i = 0; i < PAGES; i++)
            check_page(i);
    }
    drop_all();
}

/* What both sides have in their files is not sent, unless it could have been written: without EDMM all could. */
static void test_clean_pages_stay(void **state)
{
    uint8_t value = 0;

    memset(model, 0, sizeof model);
    drop_all();
    assert_int_equal(mm_map(page_at(0), 64 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &disk_files[0], 0),
                     page_at(0));
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(machine_touch(page_at(i), false, &value), 0);
        model[i] = (typeof(model[0])){true, false, PROT_READ, 0, (uint8_t)(i % 16)};
    }
    save();
    assert_true(edmm ? memory.size < PAGE_SIZE : memory.size >= 60 * PAGE_SIZE); /* not those of zeros */
    assert_int_equal(mm_protect(page_at(3), PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(machine_touch(page_at(3), true, &(uint8_t){200}), 0);
    assert_int_equal(mm_protect(page_at(3), PAGE_SIZE, PROT_READ), 0);
    model[3].value = 200;
    save();
    assert_true(memory.size >= PAGE_SIZE && (memory.size < 2 * PAGE_SIZE) == edmm);
    drop_all();
    assert_int_equal(image_load(&memory.stream, &files), 0);
    for (unsigned i = 0; i < 64; i++)
        check_page(i);
    drop_all();
}

/* What earlier children touched is sent all the same, and a page between two; what a child misses it can tell. */
static void test_touched_pages_come_along(void **state)
{
    const uint32_t wanted[] = {(uint32_t)(page_at(20) / PAGE_SIZE), (uint32_t)(page_at(5) / PAGE_SIZE),
                               (uint32_t)(page_at(7) / PAGE_SIZE), (uint32_t)(page_at(200) / PAGE_SIZE)};
    uint32_t noted[TOUCHED_MAX];
    uint8_t value = 0;

    memset(model, 0, sizeof model);
    drop_all();
    touched_forget();
    assert_int_equal(mm_map(page_at(0), 64 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &disk_files[0], 0),
                     page_at(0));
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(machine_touch(page_at(i), false, &value), 0);
        model[i] = (typeof(model[0])){true, false, PROT_READ, 0, (uint8_t)(i % 16)};
    }
    touched_want(wanted, 4);
    touched_want(wanted, 4);
    save();
    if (edmm)
        assert_int_equal(memory.size / PAGE_SIZE, 4);
    drop_all();
    assert_int_equal(image_load(&memory.stream, &files), 0);
    for (unsigned i = 0; edmm && i < 64; i++)
        assert_int_equal(page_state(page_at(i)),
                         i == 20 || (i >= 5 && i <= 7) ? PAGE_COMMITTED | PAGE_R | PAGE_CLEAN : 0);
    touched_start();
    for (unsigned i = 0; i < 64; i++)
        check_page(i);
    size_t count = touched_take(noted);
    assert_int_equal(count > 0, edmm);
    for (size_t i = 0; i < count; i++)
        assert_true(noted[i] - page_at(0) / PAGE_SIZE < 64 && noted[i] != wanted[0] && noted[i] != wanted[1]);
    assert_int_equal(touched_take(noted), 0);
    drop_all();
}

static void map_file(unsigned first, unsigned count, int prot, int flags, unsigned file, unsigned index)
{
    assert_int_equal(mm_map(page_at(first), count * PAGE_SIZE, prot, flags | MAP_FIXED, &disk_files[file],
                            (file_off_t)(index * PAGE_SIZE)),
                     page_at(first));
}

/* Text comes along as it was rewritten, but not one of two pages that share a call site. */
static void test_touched_text_comes_along(void **state)
{
    const uint32_t wanted[] = {(uint32_t)(page_at(5) / PAGE_SIZE), (uint32_t)(page_at(20) / PAGE_SIZE),
                               (uint32_t)(page_at(30) / PAGE_SIZE)};
    const uint8_t sent = PAGE_COMMITTED | PAGE_R | PAGE_X | PAGE_CLEAN | PAGE_REWRITTEN;
    uint8_t value = 0;

    memset(model, 0, sizeof model);
    drop_all();
    touched_forget();
    map_file(0, 64, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, 0);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(machine_touch(page_at(i), false, &value), 0);
    touched_want(wanted, 3);
    machine_straddled = page_at(20); /* its first instruction begins in the page before */
    save();
    drop_all();
    assert_int_equal(image_load(&memory.stream, &files), 0);
    for (unsigned i = 0; edmm && i < 64; i++)
        assert_int_equal(page_state(page_at(i)), i == 5 || i == 30 ? sent : 0);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(machine_touch(page_at(i), false, &value), 0);
        assert_int_equal(value, i % 16);
    }
    machine_straddled = 0;
    touched_forget();
    drop_all();
}

/* Much that is said to be wanted, and the day that all of it is forgotten. */
static void test_wanted_is_bounded(void **state)
{
    uint32_t page;

    touched_forget();
    for (page = 3 * TOUCHED_MAX; page > 0; page -= 3)
        touched_want(&page, 1);
    for (page = 2 * TOUCHED_MAX; page > 0; page--)
        touched_want(&page, 1);
    assert_true(touched_wanted(3 * PAGE_SIZE));
    assert_false(touched_wanted(4 * PAGE_SIZE));
    for (unsigned i = 0; i < 100; i++)
        touched_age();
    assert_false(touched_wanted(3 * PAGE_SIZE));
}

static void check_committed(unsigned first, unsigned count, const char *expected)
{
    for (unsigned i = 0; edmm && i < count; i++)
        assert_int_equal((page_state(page_at(first + i)) & PAGE_COMMITTED) != 0, expected[i] == 'x');
}

/* A program's faults are noted, and the next one has those pages when it has mapped the file: there, and so, only. */
static void test_expected_pages_come_first(void **state)
{
    static struct expected noted, none;
    uint8_t value = 0;

    drop_all();
    map_file(0, 24, PROT_READ, MAP_PRIVATE, 0, 4);
    map_file(32, 16, PROT_READ, MAP_PRIVATE, 1, 0);
    assert_int_equal(machine_touch(page_at(22), false, &value), 0);
    assert_int_equal(machine_touch(page_at(3), false, &value), 0);
    assert_int_equal(machine_touch(page_at(9), false, &value), 0);
    assert_int_equal(machine_touch(page_at(12), false, &value), 0);
    assert_int_equal(machine_touch(page_at(33), false, &value), 0);
    expected_take(&noted);
    assert_int_equal(noted.count, edmm ? 4 : 0);
    programs_learn(&inodes[2], &noted);
    programs_recall(&inodes[2], &noted);
    assert_int_equal(noted.count, edmm ? 4 : 0);
    expected_set(&noted);
    drop_all();
    map_file(0, 24, PROT_READ, MAP_PRIVATE, 0, 4);
    check_committed(0, 24, "...x.....xxxx.........x.");
    map_file(32, 24, PROT_READ, MAP_PRIVATE, 1, 4);
    check_committed(32, 24, "........................");
    map_file(64, 24, PROT_READ, MAP_PRIVATE, 0, 3);
    check_committed(64, 24, "........................");
    map_file(96, 24, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, 4);
    check_committed(96, 24, "........................");
    map_file(128, 8, PROT_READ, MAP_PRIVATE, 0, 4);
    check_committed(128, 8, "...x....");
    for (unsigned i = 0; i < 24; i++) {
        assert_int_equal(machine_touch(page_at(i), false, &value), 0);
        assert_int_equal(value, (i + 4) % 16);
    }
    expected_set(&none);
    drop_all();
    expected_take(&noted);
}

static struct start_area area;

static void start_again(void)
{
    static const struct expected none;

    expected_set(&none);
    expected_init(&(struct boot_blob){(uint64_t)&area, sizeof area});
    drop_all();
    map_file(0, 24, PROT_READ, MAP_PRIVATE, 0, 4);
}

/* The host remembers: what it says is checked, and what is missing is told to it. */
static void test_the_host_remembers_a_start(void **state)
{
    const uint64_t good[] = {place_make(3, PAGE_R, 5),          place_make(4, PAGE_R, 2),
                             place_make(4, PAGE_R, 6),          place_make(4, PAGE_R, 7),
                             place_make(4, PAGE_R, 9),          place_make(4, PAGE_R, 27),
                             place_make(4, PAGE_R, 28),         place_make(4, PAGE_R, PLACE_BLOCK_MAX - 1),
                             place_make(4, PAGE_R | PAGE_X, 8), ~0ULL};
    uint8_t value = 0;

    memset(&area, 0, sizeof area);
    start_again();
    check_committed(0, 24, "........................");
    assert_int_equal(machine_touch(page_at(3), false, &value), 0);
    assert_int_equal(machine_touch(page_at(23), false, &value), 0);
    assert_int_equal(area.noted_count, edmm ? 2 : 0);
    assert_true(!edmm || (area.noted[0] == place_make(4, PAGE_R, 7) && area.noted[1] == place_make(4, PAGE_R, 27)));

    memcpy(area.known, good, sizeof good);
    area.known_count = ARRAY_COUNT(good);
    start_again();
    check_committed(0, 24, "..xx.x.................x");
    for (unsigned i = 0; i < 24; i++) {
        assert_int_equal(machine_touch(page_at(i), false, &value), 0);
        assert_int_equal(value, (i + 4) % 16);
    }

    for (uint64_t i = 0; i < START_PLACES_MAX; i++)
        area.known[i] = place_make(4, PAGE_R, 4 + i);
    area.known_count = START_PLACES_MAX;
    start_again();
    check_committed(0, 24, "xxxxxxxxxxxxxxxxxxxxxxxx");
    area.known_count++;
    start_again();
    check_committed(0, 24, "........................");
    area.known_count = 8;
    area.known[3] = area.known[2];
    start_again();
    check_committed(0, 24, "........................");
    expected_init(&(struct boot_blob){0, 0});
    drop_all();
}

/* What was learnt of a program is in order, bounded, and one day forgotten, as are those that have not run for long. */
static void test_programs_are_remembered(void **state)
{
    static struct expected some, got;
    struct inode program = {.ino = 1000};

    for (uint32_t round = 0; round < 40; round++) {
        some.count = 100;
        for (uint32_t i = 0; i < some.count; i++)
            some.places[i] = place_make(round % 3, PAGE_R, (i * 7919 + round) % 1000);
        programs_learn(&program, &some);
    }
    programs_recall(&program, &got);
    assert_int_equal(got.count, EXPECTED_MAX);
    for (uint32_t i = 1; i < got.count; i++)
        assert_true(got.places[i - 1] < got.places[i]);
    for (unsigned i = 0; i < 100 && got.count > 0; i++)
        programs_recall(&program, &got);
    assert_int_equal(got.count, 0);
    some.count = UINT32_MAX; /* a lie */
    programs_learn(&program, &some);
    for (uint64_t other = 2000; other < 2100; other++)
        programs_learn(&(struct inode){.ino = other}, &some);
    programs_recall(&program, &got);
    assert_int_equal(got.count, 0);
    programs_recall(&(struct inode){.ino = 2099}, &got);
    assert_true(got.count >= 100);
}

/* Cut anywhere: an error, and no more. */
static void test_cut(void **state)
{
    size_t whole;

    build();
    save();
    whole = memory.size;
    for (unsigned i = 0; i < 200; i++) {
        drop_all();
        memory.at = 0;
        memory.size = i < 100 ? whole - 1 - i : machine_pick((unsigned)whole);
        assert_int_equal(image_load(&memory.stream, &files), -EPIPE);
    }
    drop_all();
}

static struct memory_stream changed;

/* Also what relies on it later: places for new mappings, the break. */
static void load_changed(void)
{
    struct trap_frame frame = {0};

    if (image_load(&changed.stream, &files) < 0)
        return;
    for (unsigned i = 0; i < 4; i++) {
        int64_t at = mm_map(0, PAGE_SIZE << i, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);

        if (at > 0 && (!mm_range_ok((uaddr_t)at, PAGE_SIZE << i) || machine_touch((uaddr_t)at, true, &(uint8_t){1})))
            panic("a new mapping at %lx", (unsigned long)at);
    }
    frame.rdi = mm_self()->brk + PAGE_SIZE;
    if (sys_brk(&frame) == (int64_t)frame.rdi && machine_touch(frame.rdi - 1, true, &(uint8_t){1}))
        panic("the break is nowhere");
    frame.rdi = mm_self()->brk_start;
    sys_brk(&frame);
}

/* Records that say anything: refused or loaded, but never outside application memory. */
static void test_changed(void **state)
{
    build();
    save();
    changed = memory;
    for (unsigned i = 0; i < 300; i++) {
        changed.bytes = kmalloc(memory.size);
        changed.at = 0;
        memcpy(changed.bytes, memory.bytes, memory.size);
        for (unsigned k = 0; k < 4; k++) {
            size_t end = memory.size - MM_AUXV_MAX * sizeof(uint64_t); /* of the last record */
            size_t at = i % 3 == 0   ? machine_pick(400)
                        : i % 3 == 1 ? machine_pick((unsigned)memory.size)
                                     : end - 1 - machine_pick(100);
            changed.bytes[at] = (uint8_t)machine_pick(256);
        }
        drop_all();
        assert_false(machine_dies(load_changed));
        kfree(changed.bytes);
    }
    drop_all();
    kfree(memory.bytes);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_clean_pages_stay),
        cmocka_unit_test(test_touched_pages_come_along),
        cmocka_unit_test(test_touched_text_comes_along),
        cmocka_unit_test(test_wanted_is_bounded),
        cmocka_unit_test(test_expected_pages_come_first),
        cmocka_unit_test(test_the_host_remembers_a_start),
        cmocka_unit_test(test_programs_are_remembered),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed),
    };

    edmm = argc < 2 || strcmp(argv[1], "sgx1") != 0;
    if (argc > 2)
        sscanf(argv[2], "%u", &machine_seed);
    printf("seed %u\n", machine_seed);
    for (unsigned i = 0; i < ARRAY_COUNT(disk_files); i++) {
        inodes[i] = (struct inode){.ops = i == 0 ? &many_ops : &inode_ops, .ino = i, .size = 1 << 22, .mode = 0100644};
        disk_files[i] = (struct file){.inode = &inodes[i], .flags = 2, .refcount = 1000000};
    }
    machine_init(edmm, LIMIT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
