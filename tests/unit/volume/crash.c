/* Crashes at each write and flush (contract in crash.h). */
#include "crash.h"

#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct volume_options image_options = {.cache_size = 512 << 10};

static void print_problem(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "check: %s\n", text);
}

void crash_assert_clean(struct volume *v)
{
    struct volume_check_result result;
    assert_int_equal(volume_check(v, print_problem, NULL, &result), 0);
    assert_int_equal(result.problem_count, 0);
}

struct volume *crash_mount(struct disk *d, const struct volume_options *options)
{
    int err;
    struct volume *v = disk_mount(d, options, &err);
    if (err != 0)
        fprintf(stderr, "mount gives %d after \"%s\"\n", err, model_trace);
    assert_int_equal(err, 0);
    return v;
}

static void report(const struct crash *c, const struct disk *d, int how, const char *got)
{
    fprintf(stderr, "crash %d at event %lu: \"%s\"\n--- got\n%s", how, (unsigned long)d->events, model_trace, got);
    for (unsigned i = 0; i < c->allowed_count; i++)
        fprintf(stderr, "--- allowed\n%s", c->allowed[i]);
    fail();
}

/*
 * A crash while the volume is mounted after a crash, and one while it is mounted after that. What was found at first is
 * known only later: texts are kept.
 */
struct recovery {
    char *texts[64];
    unsigned count;
    struct crash *crash;
    bool deep; /* a third crash is in it */
};

static void recovery_hook(struct disk *d)
{
    struct recovery *r = d->hook_arg;
    for (unsigned how = CRASH_NONE; how < CRASH_COUNT && r->count < 64; how++) {
        struct disk *image = disk_crash(d, (enum disk_crash)how);
        struct recovery deeper = {.crash = r->crash, .deep = true};
        if (!r->deep && r->crash->deep_every && r->crash->mounts++ % r->crash->deep_every == r->crash->deep_every / 2) {
            image->hook = recovery_hook;
            image->hook_arg = &deeper;
        }
        struct volume *v = crash_mount(image, &image_options);
        image->hook = NULL;
        char *text = r->texts[r->count++] = volume_text(v);
        for (unsigned i = 0; i < deeper.count; i++) {
            assert_string_equal(deeper.texts[i], text);
            free(deeper.texts[i]);
        }
        r->crash->deep_recoveries += deeper.count;
        crash_assert_clean(v);
        volume_abandon(v);
        disk_free(image);
    }
}

/* What a crash left, which it frees. */
static void image_check(struct crash *c, const struct disk *d, int how, struct disk *image)
{
    struct recovery recovery = {.crash = c};
    bool good = false;
    if (c->recovery_every && c->images % c->recovery_every == 0) {
        image->hook = recovery_hook;
        image->hook_arg = &recovery;
    }
    struct volume *v = crash_mount(image, &image_options);
    image->hook = NULL;
    char *got = volume_text(v);
    for (unsigned i = 0; i < c->allowed_count; i++)
        good = good || strcmp(got, c->allowed[i]) == 0;
    if (!good)
        report(c, d, how, got);
    for (unsigned i = 0; i < recovery.count; i++) {
        if (strcmp(got, recovery.texts[i]) != 0)
            report(c, d, 1000 + how, recovery.texts[i]);
        free(recovery.texts[i]);
        c->recoveries++;
    }
    crash_assert_clean(v);
    free(got);
    assert_int_equal(volume_unmount(v), 0);
    c->images++;
    disk_free(image);
}

static void crash_hook(struct disk *d)
{
    struct crash *c = d->hook_arg;
    if (c->allowed_count == 0)
        return;
    if (d->write_count == 0) {
        image_check(c, d, CRASH_ALL, disk_crash(d, CRASH_ALL));
        return;
    }
    for (unsigned how = CRASH_NONE; how < CRASH_COUNT; how++)
        image_check(c, d, (int)how, disk_crash(d, (enum disk_crash)how));
    if (!c->each_every || c->events++ % c->each_every != c->each_every / 2)
        return;
    for (size_t i = 0; i + 1 < d->write_count; i++) { /* the last one was */
        image_check(c, d, 10, disk_crash_one(d, CRASH_ONE_LOST, i));
        image_check(c, d, 11, disk_crash_one(d, CRASH_ONE_ONLY, i));
    }
    size_t sectors = d->writes[d->write_count - 1].count * (VOLUME_BLOCK_SIZE / DISK_SECTOR);
    for (size_t i = 1; i < sectors; i++)
        image_check(c, d, 12, disk_crash_one(d, CRASH_CUT, i));
}

static void allow(struct crash *c, char *text)
{
    c->allowed[c->allowed_count++] = text;
}

static void allow_clear(struct crash *c)
{
    while (c->allowed_count > 0)
        free(c->allowed[--c->allowed_count]);
}

/* The model after this commit, without changing it. */
static char *text_after(const struct model *m, int node)
{
    struct model copy = *m;
    for (int i = 0; i < MODEL_NODES; i++) {
        struct model_bytes *b = &copy.nodes[i].durable;
        if (copy.nodes[i].used && (node == -1 || i == node || copy.nodes[i].along))
            *b = copy.nodes[i].live;
    }
    return model_text(&copy, true);
}

void crash_run_start(struct crash_run *r, struct disk *disk, const struct volume_options *options)
{
    *r = (struct crash_run){.disk = disk};
    r->v = crash_mount(disk, options);
    model_init(&r->m);
}

void crash_run_watch(struct crash_run *r)
{
    r->durable = model_text(&r->m, true);
    r->disk->hook = crash_hook;
    r->disk->hook_arg = &r->crash;
}

void crash_run_end(struct crash_run *r)
{
    r->disk->hook = NULL;
    volume_abandon(r->v);
    free(r->durable);
    model_deinit(&r->m);
    disk_free(r->disk);
}

static void now_durable(struct crash_run *r, int node)
{
    model_commit(&r->m, node);
    free(r->durable);
    r->durable = model_text(&r->m, true);
}

static uint64_t generation(struct volume *v)
{
    struct volume_info info;
    volume_get_info(v, &info);
    return info.generation;
}

/* A crash in it leaves what was durable, or that and what it commits; or all, if it makes a checkpoint. */
void crash_run_sync(struct crash_run *r, int node)
{
    uint64_t before = generation(r->v);
    allow(&r->crash, strdup(r->durable));
    allow(&r->crash, text_after(&r->m, -1));
    allow(&r->crash, text_after(&r->m, node));
    assert_true(model_sync(&r->m, r->v, node));
    allow_clear(&r->crash);
    now_durable(r, generation(r->v) != before ? -1 : node);
}

/* One that syncs nothing may make a checkpoint, but only before it changes anything. */
void crash_run_change(struct crash_run *r, const struct model_step *step)
{
    uint64_t before = generation(r->v);
    char *all = text_after(&r->m, -1);
    allow(&r->crash, strdup(r->durable));
    allow(&r->crash, strdup(all));
    if (step)
        model_do(&r->m, r->v, step);
    else
        model_change(&r->m, r->v);
    allow_clear(&r->crash);
    if (generation(r->v) != before) {
        free(r->durable);
        r->durable = strdup(all);
        crash_run_sync(r, -1); /* so that the model knows again what is durable */
    }
    free(all);
}
