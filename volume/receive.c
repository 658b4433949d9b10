/* receive, clone: a volume made of another one's items, or brought up to a later snapshot of it. All of it, or nothing.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "kernel/crypto/secret.h"
#include "kernel/volume/replica.h"
#include "volume/hidden.h"
#include "volume/stream.h"
#include "volume/tool.h"

struct receiving {
    struct replica_receiver receiver;
    struct stream stream;
    struct replica_item item;
    _Alignas(8) uint8_t body[REPLICA_BODY_MAX];
    uint64_t blocks;
};

static int receive_failed(const char *path, const struct replica_begin *b, int err)
{
    static const struct {
        int error, code;
        const char *text;
    } known[] = {
        {-EBADMSG, EXIT_DAMAGED, "the stream does not verify: it was changed, or its key is another"},
        {-ENODATA, EXIT_CUT_SHORT, "the stream was cut short"},
        {-EINVAL, EXIT_NOT_VOLUME, "this is not what `cofre volume send` writes"},
        {-EOPNOTSUPP, EXIT_FEATURE, "the stream is of a newer version (use a newer program)"},
        {-ENOENT, EXIT_COFRE, "the stream is a difference to a snapshot that this volume does not have"},
        {-EEXIST, EXIT_COFRE, "it has this snapshot already"},
        {-ESTALE, EXIT_COFRE, "it was changed since the snapshot that the stream is a difference to"},
        {-ENOSPC, EXIT_DISK, "there is no room in the volume (resize it, or --size)"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].error == err) {
            fprintf(stderr, "cofre: receiving %s%s%s failed: %s\n", path, b && b->name[0] ? ", snapshot " : "",
                    b ? b->name : "", known[i].text);
            return known[i].code;
        }
    return tool_failed_doing("receiving", path, err);
}

static int item_read(struct receiving *r)
{
    int err = stream_read(&r->stream, &r->item, sizeof(r->item));
    if (err == 0 && !replica_item_valid(&r->item))
        err = -EBADMSG;
    return err < 0 ? err : stream_read(&r->stream, r->body, r->item.size);
}

/* r->item is the first. The last is applied only when the stream has ended as it should. */
static int items_receive(struct receiving *r)
{
    const struct replica_begin *b = &r->receiver.begin;
    int err = 0;
    while (err == 0) {
        if (r->item.type == REPLICA_END)
            err = stream_read_end(&r->stream);
        if (err == 0)
            err = volume_receive(&r->receiver, &r->item, r->body);
        if (err < 0 || r->item.type == REPLICA_END)
            return err;
        r->blocks += r->item.type == REPLICA_BLOCK;
        tool_progress(NULL, r->blocks, b->used_count);
        err = item_read(r);
    }
    return err;
}

static void report(const struct tool_options *options, const char *path, const struct replica_begin *b, uint64_t blocks)
{
    char guid[33];
    tool_guid_text(b->guid, guid);
    if (options->json) {
        json_t *root = json_pack("{s:s, s:s, s:I}", "snapshot", b->name, "guid", guid, "bytes",
                                 (json_int_t)blocks * VOLUME_BLOCK_SIZE);
        json_dumpf(root, stdout, 0);
        putchar('\n');
        json_decref(root);
    } else if (!options->quiet) {
        printf("%s: %s%s%lu KiB\n", path, b->name, b->name[0] ? ", " : "",
               (unsigned long)(blocks * (VOLUME_BLOCK_SIZE / 1024)));
    }
}

static int key_known(void *key, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    (void)slot;
    memcpy(ret_key, key, 32);
    return 0;
}

/* A fresh volume in the file, open. */
static int fresh_mount(const struct volume_io *io, const struct volume_key_slot *slot, const uint8_t key[32],
                       struct volume **ret_volume)
{
    static const struct volume_options defaults = {0};
    int err = volume_format(io, slot, key);
    if (err < 0)
        return err;
    return volume_mount(io, &defaults, key_known, (void *)(uintptr_t)key, ret_volume);
}

static int size_choose(const struct tool_options *options, const struct replica_begin *b, uint64_t *ret_blocks)
{
    *ret_blocks = options->size ? tool_size(options->size) / VOLUME_BLOCK_SIZE : b->block_count;
    if (*ret_blocks < VOLUME_BLOCKS_MIN || *ret_blocks > VOLUME_BLOCKS_MAX)
        return command_usage("volume", "--size between 2M and 16T is wanted");
    return 0;
}

/* Everything, into a new file. fill puts it into a fresh volume: 0 or negative errno. */
typedef int (*fill_fn)(void *arg, struct volume *v);

static int file_fill(struct tool_options *options, const char *path, const struct replica_begin *b, fill_fn fill,
                     void *arg)
{
    struct hidden_file h;
    struct volume_key_slot slot;
    struct volume *v = NULL;
    uint8_t key[32];
    uint64_t blocks;
    if (options->recovery_key)
        return command_usage("volume", "a recovery key opens volumes; a new one is made with another (--new-key-file)");
    int code = size_choose(options, b, &blocks);
    if (code == 0)
        code = hidden_create(&h, path, blocks * VOLUME_BLOCK_SIZE, options->force);
    if (code != 0)
        return code;
    code = tool_new_slot(options, &slot, key);
    int err = code == 0 ? fresh_mount(&h.file.io, &slot, key, &v) : 0;
    memory_wipe(key, sizeof(key));
    if (err == 0 && code == 0)
        err = fill(arg, v);
    if (err == 0 && code == 0)
        err = volume_unmount(v);
    else
        volume_abandon(v);
    if (err < 0)
        code = receive_failed(path, b, err);
    int end = hidden_end(&h, code == 0);
    return code ? code : end;
}

static int stream_fill(void *arg, struct volume *v)
{
    struct receiving *r = arg;
    r->receiver.volume = v;
    return items_receive(r);
}

/* A difference, into a volume that is there. */
static int difference_receive(struct tool_options *options, const char *path, struct receiving *r)
{
    struct volume_file file;
    struct volume *v;
    int code = tool_mount_writing(&file, path, options, NULL, &v);
    if (code != 0)
        return code;
    int err = stream_fill(r, v);
    if (err == 0)
        err = volume_unmount(v);
    else
        volume_abandon(v); /* which leaves it as it was */
    volume_file_close(&file);
    return err < 0 ? receive_failed(path, &r->receiver.begin, err) : 0;
}

static int stream_receive(struct tool_options *options, const char *path, struct receiving *r, const uint8_t key[32])
{
    static const uint8_t zero[16];
    int err = stream_read_begin(&r->stream, stdin, key);
    if (err == 0)
        err = item_read(r);
    if (err == 0 && r->item.type != REPLICA_BEGIN)
        err = -EBADMSG;
    if (err < 0)
        return receive_failed(path, NULL, err);
    struct replica_begin b;
    memcpy(&b, r->body, sizeof(b));
    b.name[sizeof(b.name) - 1] = 0;
    tool_progress_begin(options, "receiving", 0);
    int code = memcmp(b.from_guid, zero, sizeof(zero)) == 0 ? file_fill(options, path, &b, stream_fill, r)
                                                            : difference_receive(options, path, r);
    tool_progress_end();
    if (code == 0)
        report(options, path, &b, r->blocks);
    return code;
}

int volume_cmd_receive(struct tool_options *options, char **operands)
{
    uint8_t key[32];
    if (!options->stream_key_file)
        return command_usage("volume receive", "--stream-key-file is needed: the one it was sent with");
    int code = tool_stream_key(options, key);
    struct receiving *r = code == 0 ? calloc(1, sizeof(*r)) : NULL;
    if (r) {
        code = stream_receive(options, operands[0], r, key);
        stream_deinit(&r->stream);
    } else if (code == 0) {
        code = EXIT_COFRE;
    }
    free(r);
    memory_wipe(key, sizeof(key));
    return code;
}

struct cloning {
    struct volume *from;
    const char *snapshot;
    struct receiving *receiving;
};

static int item_clone(void *arg, const struct replica_item *item, const void *body, const void *block)
{
    struct receiving *r = arg;
    size_t tail = block ? VOLUME_BLOCK_SIZE : 0, head = item->size - tail;
    if (head > 0)
        memcpy(r->body, body, head);
    if (tail > 0)
        memcpy(r->body + head, block, tail);
    if (item->type == REPLICA_BEGIN) { /* of what it was a snapshot there, it is nothing here */
        struct replica_begin *b = (struct replica_begin *)r->body;
        memset(b->guid, 0, sizeof(b->guid));
        memset(b->name, 0, sizeof(b->name));
    }
    int err = volume_receive(&r->receiver, item, r->body);
    r->blocks += item->type == REPLICA_BLOCK;
    tool_progress(NULL, r->blocks, r->receiver.begin.used_count);
    return err;
}

static int clone_fill(void *arg, struct volume *v)
{
    struct cloning *c = arg;
    c->receiving->receiver.volume = v;
    return volume_replicate(c->from, NULL, c->snapshot, item_clone, c->receiving);
}

int volume_cmd_clone(struct tool_options *options, char **operands)
{
    struct cloning c = {.snapshot = options->snapshot, .receiving = calloc(1, sizeof(struct receiving))};
    struct volume_file file;
    struct volume_info info;
    struct tool_options from = *options, to = *options;
    if (!c.receiving)
        return EXIT_COFRE;
    if (options->new_key_file) {
        to.key_file = options->new_key_file;
        to.passphrase_file = to.recovery_key = NULL;
    }
    int code = tool_mount_overlay(&file, operands[0], &from, &c.from);
    if (code == 0) {
        volume_get_info(c.from, &info);
        struct replica_begin b = {.block_count = info.block_count};
        tool_progress_begin(options, "cloning", 0);
        code = file_fill(&to, operands[1], &b, clone_fill, &c);
        tool_progress_end();
        tool_overlay_close(&file, c.from);
        if (code == 0)
            report(options, operands[1], &b, c.receiving->blocks);
    }
    free(c.receiving);
    return code;
}
