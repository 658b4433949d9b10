/* Freshness: two instances of one volume against one counter, in every order; the counter's protocol on a bad line. */
#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "kernel/volume/counter.h"
#include "memory_counter.h"
#include "responder.h"
#include "soak.h"

#include <cmocka.h>

/* ---- instances ---- */

#define HISTORY 256
#define INSTANCES 3

struct instance {
    struct disk *disk;
    struct volume *volume;                    /* NULL: not running */
    unsigned history[HISTORY], history_count; /* what its disk has seen synced, in order */
    uint64_t value_sequence[HISTORY];         /* durable after each */
    bool asked, delivered;
    struct volume_anchor_step step;
    uint64_t previous;
};

/* A disk that was overwritten with another: nobody runs on it, but it may be put back. */
#define KEPT 64

struct world {
    struct instance kept[KEPT];
    unsigned kept_count;
    struct counter counter;
    struct volume_anchor anchor;
    struct volume_options options;
    struct instance instances[INSTANCES];
    unsigned value, acknowledged; /* the last value written; the last that someone was told is safe; 0: none */
    unsigned mounts, refusals, stops, unfinished, depth;
};

static void file_write(struct instance *i, unsigned value)
{
    struct volume_node *root = NULL, *node = NULL;
    assert_int_equal(volume_node_get(i->volume, VOLUME_ROOT_INO, &root), 0);
    int err = volume_lookup(root, "f", 1, &node);
    if (err == -ENOENT)
        err = volume_create(root, "f", 1, S_IFREG | 0600, 0, (struct volume_owner){0, 0}, &node);
    assert_int_equal(err, 0);
    assert_int_equal(volume_write(node, 0, &value, sizeof(value)), sizeof(value));
    assert_int_equal(volume_fsync(node), 0);
    volume_node_put(node);
    volume_node_put(root);
    assert_true(i->history_count < HISTORY);
    i->value_sequence[i->history_count] = volume_durable(i->volume);
    i->history[i->history_count++] = value;
}

static void stop(struct instance *i)
{
    volume_abandon(i->volume);
    i->volume = NULL;
    i->asked = i->delivered = false;
}

static void start(struct world *w, struct instance *i)
{
    int err;
    i->volume = disk_mount(i->disk, &w->options, &err);
    assert_true(i->volume || err == -ESTALE || err == -EBUSY || err == -EIO ||
                (err == -EOWNERDEAD && w->counter.raises_only));
    w->mounts += i->volume != NULL;
    w->refusals += i->volume == NULL;
    /* What was synced under an older epoch counts as anchored when this one is. */
    for (unsigned k = 0; k < i->history_count; k++)
        i->value_sequence[k] = 0;
}

static void fork_from(struct world *w, struct instance *to, const struct instance *from)
{
    assert_true(w->kept_count < KEPT);
    w->kept[w->kept_count++] = *to;
    to->disk = disk_clone(from->disk);
    memcpy(to->history, from->history, sizeof(to->history));
    to->history_count = from->history_count;
}

static void answer(struct world *w, struct instance *i)
{
    int err = volume_anchor_done(i->volume, &i->step, i->previous);
    i->asked = i->delivered = false;
    if (err == -ESTALE) {
        w->stops++;
        stop(i);
        return;
    }
    assert_int_equal(err, 0);
    for (unsigned k = 0; k < i->history_count; k++)
        if (i->value_sequence[k] <= i->step.sequence && i->history[k] > w->acknowledged)
            w->acknowledged = i->history[k];
}

/* One thing happens to one instance. */
static void step(struct world *w, struct instance *i)
{
    unsigned what = (unsigned)(disk_random() % 16);
    if (!i->volume) {
        struct instance *other = &w->instances[disk_random() % INSTANCES];
        if (what < 8 && other != i && other->volume)
            fork_from(w, i, other); /* as it runs */
        if (what < 10)
            start(w, i);
    } else if (what < 5) {
        file_write(i, ++w->value);
    } else if (what < 12) { /* the anchor is asked; the answer may come much later */
        if (!i->asked)
            i->asked = volume_anchor_next(i->volume, &i->step);
        else if (!i->delivered) {
            i->previous = memory_counter_raise(&w->counter, VOLUME_ANCHOR_ANY, i->step.value);
            i->delivered = true;
        } else if (what == 5)
            i->asked = i->delivered = false; /* lost: it is asked again */
        else
            answer(w, i);
    } else if (what == 12) {
        stop(i); /* a crash */
    } else if (what == 13) {
        assert_int_equal(volume_checkpoint(i->volume), 0);
    }
}

/* Between an instance's request and the counter, the others go on. */
static void others_go_on(void *arg)
{
    struct world *w = arg;
    if (w->depth > 0)
        return;
    w->depth++;
    w->counter.lose_answer = disk_random() % 8 == 0;
    for (unsigned k = disk_random() % 12; k > 0; k--) {
        struct instance *i = &w->instances[disk_random() % INSTANCES];
        if (i->volume)
            step(w, i);
    }
    w->depth--;
}

static bool has_value(const struct instance *i, unsigned value)
{
    for (unsigned k = 0; k < i->history_count; k++)
        if (i->history[k] == value)
            return true;
    return value == 0;
}

/* A disk opens only if nothing that was acknowledged is missing. */
static bool check_disk(struct world *w, const struct instance *i)
{
    uint64_t value = w->counter.value;
    int err;
    struct disk *copy = disk_clone(i->disk);
    struct volume *v = disk_mount(copy, &w->options, &err);
    if (v)
        assert_true(has_value(i, w->acknowledged));
    else
        assert_true(err == -ESTALE || (err == -EOWNERDEAD && w->counter.raises_only));
    w->unfinished += err == -EOWNERDEAD;
    volume_abandon(v);
    disk_free(copy);
    w->counter.value = value;
    return v != NULL;
}

/* After all: that, and one of them does open, or the counter stands where a take-over of one of them was cut short. */
static void check_disks(struct world *w)
{
    unsigned good = 0;
    w->counter.hook = NULL;
    w->counter.lose_answer = false;
    for (unsigned n = 0; n < INSTANCES; n++) {
        good += check_disk(w, &w->instances[n]);
        disk_free(w->instances[n].disk);
    }
    for (unsigned n = 0; n < w->kept_count; n++) {
        good += check_disk(w, &w->kept[n]);
        disk_free(w->kept[n].disk);
    }
    assert_true(good > 0 || w->unfinished > 0);
}

static void instances(bool raises_only)
{
    unsigned mounts = 0, refusals = 0, stops = 0, acknowledged = 0, unfinished = 0;
    for (uint64_t seed = soak.seed; seed < soak.seed + 100 * soak.times; seed++) {
        struct world w = {.counter = {.raises_only = raises_only}};
        w.anchor = counter_anchor(&w.counter);
        w.options =
            (struct volume_options){.freshness = VOLUME_FRESH_CALLER, .anchor = &w.anchor, .cache_size = 1 << 20};
        disk_seed(seed);
        w.instances[0].disk = disk_formatted(512);
        for (unsigned n = 1; n < INSTANCES; n++)
            w.instances[n].disk = disk_clone(w.instances[0].disk);
        w.counter.hook = others_go_on;
        w.counter.hook_arg = &w;
        for (unsigned k = 0; k < 60 && w.kept_count < KEPT && w.value < HISTORY - 8; k++)
            step(&w, &w.instances[disk_random() % INSTANCES]);
        for (unsigned n = 0; n < INSTANCES; n++)
            stop(&w.instances[n]);
        check_disks(&w);
        mounts += w.mounts;
        refusals += w.refusals;
        stops += w.stops;
        acknowledged += w.acknowledged > 0;
        unfinished += w.unfinished > 0;
    }
    printf("%u mounts, %u refused, %u stopped; %u runs with something acknowledged, %u with a take-over cut short\n",
           mounts, refusals, stops, acknowledged, unfinished);
    assert_true(mounts > 100 && refusals > 50 && stops > 5 && acknowledged > 30);
    assert_true(raises_only ? unfinished > 0 : unfinished == 0);
}

static void test_instances(void **state)
{
    (void)state;
    instances(false);
}

static void test_instances_raising(void **state)
{
    (void)state;
    instances(true);
}

/* The answer to the swap gets lost, or the mount dies with it: it is the holder all the same, and opens again. */
static uint64_t requests_until_loss;
static void lose_later(void *arg)
{
    struct counter *c = arg;
    c->lose_answer = requests_until_loss-- == 0;
}

static void test_lost_swap(void **state)
{
    (void)state;
    struct counter c = {.hook = lose_later, .hook_arg = &c};
    struct volume_anchor anchor = counter_anchor(&c);
    struct volume_options options = {.freshness = VOLUME_FRESH_CALLER, .anchor = &anchor};
    struct disk *d = disk_formatted(512);
    int err;
    requests_until_loss = 1; /* read, then swap */
    assert_null(disk_mount(d, &options, &err));
    assert_int_equal(err, -EIO);
    assert_int_equal(c.raises, 1);
    struct volume *v = disk_mount(d, &options, &err);
    assert_int_equal(err, 0);
    volume_abandon(v);
    disk_free(d);
}

/* With a counter that only grows: whichever answer is lost, it opens again, unless it was that of the take-over itself.
 */
static void test_lost_raise(void **state)
{
    (void)state;
    static const int again[] = {0, -EOWNERDEAD, 0}; /* read, take over, confirm */
    for (unsigned k = 0; k < sizeof(again) / sizeof(again[0]); k++) {
        struct counter c = {.hook = lose_later, .hook_arg = &c, .raises_only = true};
        struct volume_anchor anchor = counter_anchor(&c);
        struct volume_options options = {.freshness = VOLUME_FRESH_CALLER, .anchor = &anchor};
        struct disk *d = disk_formatted(512);
        int err;
        requests_until_loss = k;
        assert_null(disk_mount(d, &options, &err));
        assert_int_equal(err, -EIO);
        assert_int_equal(c.raises, k);
        struct volume *v = disk_mount(d, &options, &err);
        assert_int_equal(err, again[k]);
        volume_abandon(v);
        options.accept_rollback = true;
        v = disk_mount(d, &options, &err);
        assert_int_equal(err, 0);
        volume_abandon(v);
        options.accept_rollback = false;
        v = disk_mount(d, &options, &err);
        assert_int_equal(err, 0);
        volume_abandon(v);
        disk_free(d);
    }
}

/* The same, but who mounts asks again. */
static void test_repeated_raise(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= 3; k++) {
        struct counter c = {.raises_only = true, .repeat_at = k};
        struct volume_anchor anchor = counter_anchor(&c);
        struct volume_options options = {.freshness = VOLUME_FRESH_CALLER, .anchor = &anchor};
        struct disk *d = disk_formatted(512);
        int err;
        volume_abandon(disk_mount(d, &options, &err));
        assert_int_equal(err, k == 2 ? -EOWNERDEAD : 0);
        disk_free(d);
    }
}

/* Another raises it between the look at it and the take-over: nobody goes on, whose word was last or not. */
static void raise_later(void *arg)
{
    struct counter *c = arg;
    if (requests_until_loss-- == 0)
        c->value++;
}

static void test_overtaken(void **state)
{
    (void)state;
    struct counter c = {.raises_only = true, .hook_arg = &c};
    struct volume_anchor anchor = counter_anchor(&c);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    struct instance holder = {.disk = disk_formatted(512)};
    int err;
    holder.volume = disk_mount(holder.disk, &options, &err);
    assert_int_equal(err, 0);
    file_write(&holder, 1);
    struct disk *copy = disk_clone(holder.disk);
    c.hook = raise_later;
    requests_until_loss = 1;
    assert_null(disk_mount(copy, &options, &err));
    assert_int_equal(err, -EBUSY);
    c.hook = NULL;
    assert_null(disk_mount(copy, &options, &err));
    assert_int_equal(err, -EOWNERDEAD);
    struct volume_anchor_step step;
    /* it still runs, and finds out */
    struct volume_node *root = NULL, *node = NULL;
    assert_int_equal(volume_node_get(holder.volume, VOLUME_ROOT_INO, &root), 0);
    assert_int_equal(volume_create(root, "g", 1, S_IFREG | 0600, 0, (struct volume_owner){0, 0}, &node), 0);
    assert_int_equal(volume_fsync(node), -ESTALE);
    assert_false(volume_anchor_next(holder.volume, &step));
    volume_node_put(node);
    volume_node_put(root);
    volume_abandon(holder.volume);
    assert_null(disk_mount(holder.disk, &options, &err));
    assert_int_equal(err, -ESTALE);
    disk_free(copy);
    disk_free(holder.disk);
}

/* A counter that was set back is not believed: neither by who runs, nor at the next start. */
static void test_set_back(void **state)
{
    (void)state;
    struct counter c = {0};
    struct volume_anchor anchor = counter_anchor(&c);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    struct disk *d = disk_formatted(512);
    struct instance i = {.disk = d};
    int err;
    i.volume = disk_mount(d, &options, &err);
    assert_int_equal(err, 0);
    file_write(&i, 1);
    uint64_t value = c.value;
    for (unsigned k = 0; k < 3; k++) {
        c.value = k == 0 ? 0 : k == 1 ? 1 : value + (1ULL << 50);
        volume_abandon(disk_mount(d, &options, &err));
        assert_int_equal(err, -ESTALE);
    }
    c.value = value - 1;
    struct volume_node *root = NULL;
    assert_int_equal(volume_node_get(i.volume, VOLUME_ROOT_INO, &root), 0);
    struct volume_node *node = NULL;
    assert_int_equal(volume_create(root, "g", 1, S_IFREG | 0600, 0, (struct volume_owner){0, 0}, &node), 0);
    assert_int_equal(volume_fsync(node), -ESTALE);
    assert_int_equal(volume_failed(i.volume), -ESTALE);
    volume_node_put(node);
    volume_node_put(root);
    volume_abandon(i.volume);
    disk_free(d);
}

/* Who has the key may write without the counter (the tools): that is the newest state if what it found was. */
static void test_without(void **state)
{
    (void)state;
    struct counter c = {0};
    struct volume_anchor anchor = counter_anchor(&c);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    struct disk *old = NULL;
    struct instance i = {.disk = disk_formatted(512)};
    int err;
    for (unsigned k = 0; k < 4; k++) {
        i.volume = disk_mount(i.disk, k % 2 ? NULL : &options, &err);
        assert_int_equal(err, 0);
        file_write(&i, k);
        assert_int_equal(volume_unmount(i.volume), 0);
        if (k == 0)
            old = disk_clone(i.disk);
    }
    i.volume = disk_mount(i.disk, &options, &err);
    assert_int_equal(err, 0);
    volume_abandon(i.volume);
    i.volume = disk_mount(old, NULL, &err); /* ... and else it is not */
    assert_int_equal(volume_unmount(i.volume), 0);
    assert_null(disk_mount(old, &options, &err));
    assert_int_equal(err, -ESTALE);
    disk_free(old);
    disk_free(i.disk);
}

/* ---- the protocol ---- */

static void bytes_of(const char *hex, uint8_t *ret_bytes)
{
    for (size_t i = 0; hex[2 * i]; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        ret_bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

/* RFC 7748, 5.2; and that two parties agree */
static void test_x25519(void **state)
{
    (void)state;
    static const char *const vectors[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    };
    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t scalar[32], u[32], expected[32], got[32];
        bytes_of(vectors[i][0], scalar);
        bytes_of(vectors[i][1], u);
        bytes_of(vectors[i][2], expected);
        x25519(scalar, u, got);
        assert_memory_equal(got, expected, 32);
    }
    uint8_t a[32], b[32], a_public[32], b_public[32], ab[32], ba[32];
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned k = 0; k < 32; k++) {
            a[k] = (uint8_t)disk_random();
            b[k] = (uint8_t)disk_random();
        }
        x25519_public(a, a_public);
        x25519_public(b, b_public);
        x25519(a, b_public, ab);
        x25519(b, a_public, ba);
        assert_memory_equal(ab, ba, 32);
    }
}

/* A line on which the n-th answer is treated badly. */
struct line {
    struct responder responder;
    unsigned bad_at, count;
    enum { LINE_GOOD, LINE_FLIP, LINE_SHORT, LINE_LONG, LINE_EMPTY, LINE_OLD, LINE_DOWN, LINE_KINDS } how;
    uint8_t old[COUNTER_MESSAGE_MAX];
    size_t old_size;
};

static ssize_t line_exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct line *l = arg;
    uint8_t answer_bytes[COUNTER_MESSAGE_MAX];
    ssize_t n = responder_answer(&l->responder, fresh, message, size, answer_bytes);
    if (n < 0)
        return n;
    memcpy(ret_answer, answer_bytes, (size_t)n);
    ssize_t told = n;
    if (l->count++ == l->bad_at) {
        switch (l->how) {
        case LINE_FLIP:
            ((uint8_t *)ret_answer)[disk_random() % (uint64_t)n] ^= (uint8_t)(1u << disk_random() % 8);
            break;
        case LINE_SHORT:
            told = (ssize_t)(disk_random() % (uint64_t)n);
            break;
        case LINE_LONG:
            told = n + 1 + (ssize_t)(disk_random() % (uint64_t)(COUNTER_MESSAGE_MAX - n));
            break;
        case LINE_EMPTY:
            told = 0;
            break;
        case LINE_OLD:
            memcpy(ret_answer, l->old, l->old_size);
            told = (ssize_t)l->old_size;
            break;
        case LINE_DOWN:
            told = -ECONNRESET;
            break;
        default:
            break;
        }
    }
    memcpy(l->old, answer_bytes, (size_t)n);
    l->old_size = (size_t)n;
    return told;
}

static void line_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)disk_random();
}

/* Whatever is done to whichever answer: it fails, or it is the truth; and the next request works. */
static void test_line(void **state)
{
    (void)state;
    struct volume_anchor_key key = {.uuid = "uuid", .secret = "secret"}, other = {.uuid = "uuie", .secret = "secret"};
    unsigned failed = 0;
    for (unsigned how = LINE_GOOD; how < LINE_KINDS; how++)
        for (unsigned bad_at = 0; bad_at < 6; bad_at++) {
            struct line l = {.bad_at = bad_at, .how = how};
            struct counter_client client = {.exchange = line_exchange, .random = line_random, .arg = &l};
            responder_init(&l.responder, client.counter_public);
            uint64_t last = 0, previous;
            for (uint64_t value = 1; value < 12; value++) {
                int err = counter_raise(&client, &key, VOLUME_ANCHOR_ANY, value, &previous);
                if (err < 0) {
                    assert_true(how == LINE_DOWN ? err == -ECONNRESET : err == -EPROTO);
                    failed++;
                    err = counter_raise(&client, &key, VOLUME_ANCHOR_ANY, value, &previous);
                    assert_true(err == 0 && (previous == last || previous == value));
                } else {
                    assert_int_equal(previous, last);
                }
                last = value;
            }
            assert_int_equal(counter_raise(&client, &key, 5, 20, &previous), 0);
            assert_int_equal(previous, 11); /* not expected: not done */
            assert_int_equal(counter_raise(&client, &key, 11, 20, &previous), 0);
            assert_int_equal(counter_raise(&client, &key, VOLUME_ANCHOR_ANY, 0, &previous), 0);
            assert_int_equal(previous, 20);
            client.open = false; /* a channel is for one caller */
            assert_int_equal(counter_raise(&client, &other, VOLUME_ANCHOR_ANY, 0, &previous), 0);
            assert_int_equal(previous, 0);
        }
    assert_true(failed >= 30);
}

/* Whoever does not have the pinned key is not the counter. */
static void test_pinned(void **state)
{
    (void)state;
    struct volume_anchor_key key = {.uuid = "uuid", .secret = "secret"};
    struct line l = {.bad_at = 1000};
    struct counter_client client = {.exchange = line_exchange, .random = line_random, .arg = &l};
    uint64_t previous;
    responder_init(&l.responder, client.counter_public);
    client.counter_public[3] ^= 4;
    assert_true(counter_raise(&client, &key, VOLUME_ANCHOR_ANY, 1, &previous) < 0);
    assert_int_equal(l.responder.value, 0);
}

int main(int argc, char **argv)
{
    soak_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x25519),     cmocka_unit_test(test_line),
        cmocka_unit_test(test_pinned),     cmocka_unit_test(test_lost_swap),
        cmocka_unit_test(test_set_back),   cmocka_unit_test(test_instances),
        cmocka_unit_test(test_lost_raise), cmocka_unit_test(test_repeated_raise),
        cmocka_unit_test(test_overtaken),  cmocka_unit_test(test_instances_raising),
        cmocka_unit_test(test_without),
    };
    return cmocka_run_group_tests_name("volume anchor", tests, NULL, NULL);
}
