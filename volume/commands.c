/* create, info, check, dump, extract, add-key, remove-key. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "kernel/crypto/secret.h"
#include "volume/tool.h"

uint64_t tool_size(const char *text)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (errno || end == text || (*end && (!unit || end[1])))
        return 0;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    return value > UINT64_MAX >> shift ? 0 : value << shift;
}

static int unlock_with(void *key, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    (void)slot;
    memcpy(ret_key, key, 32);
    return 0;
}

/* A second slot of a new volume. */
static int add_recovery(struct volume_file *file, uint8_t key[32], const struct tool_options *options)
{
    struct volume_key_slot slot;
    uint8_t recovery[32];
    if (tool_recovery_slot(options, &slot, recovery) != 0)
        return -EKEYREJECTED;
    int err = volume_key_add(&file->io, unlock_with, key, &slot, recovery);
    memory_wipe(recovery, sizeof(recovery));
    return err;
}

int volume_cmd_create(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume_key_slot slot;
    uint8_t key[32];
    uint64_t size = options->size ? tool_size(options->size) / VOLUME_BLOCK_SIZE : 0;
    if (size < VOLUME_BLOCKS_MIN || size > VOLUME_BLOCKS_MAX)
        return command_usage("volume create", "--size between 2M and 16T is needed");
    int code = tool_new_slot(options, &slot, key);
    if (code == 0)
        code = volume_file_create(&file, operands[0], size * VOLUME_BLOCK_SIZE, options->force);
    if (code == 0) {
        int err = volume_format(&file.io, &slot, key);
        if (err == 0 && options->recovery)
            err = add_recovery(&file, key, options);
        volume_file_close(&file);
        if (err < 0)
            code = tool_failed(operands[0], err);
    }
    memory_wipe(key, sizeof(key));
    return code;
}

static void uuid_text(const uint8_t uuid[16], char ret_text[37])
{
    for (unsigned i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            ret_text[at++] = '-';
        at += (unsigned)sprintf(ret_text + at, "%02x", uuid[i]);
    }
}

static const char *slot_type(uint32_t type)
{
    static const char *const names[] = {"empty", "key file", "passphrase", "sealed", "recovery key", "released"};
    return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

static json_t *slots_json(const struct volume_io *io)
{
    static struct volume_key_slot slots[VOLUME_KEY_COUNT];
    json_t *list = json_array();
    if (volume_key_list(io, slots) < 0)
        return list;
    for (unsigned i = 0; i < VOLUME_KEY_COUNT; i++) {
        slots[i].name[sizeof(slots[i].name) - 1] = 0;
        if (slots[i].type != VOLUME_KEY_EMPTY)
            json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "slot", (int)i, "type", slot_type(slots[i].type),
                                                  "name", slots[i].name));
    }
    return list;
}

static json_t *state_json(struct volume *v)
{
    struct volume_info info;
    volume_get_info(v, &info);
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rekeying", info.rekeying, "size",
                     (json_int_t)info.block_count * 4096, "used", (json_int_t)info.used_count * 4096, "free",
                     (json_int_t)info.free_count * 4096, "inodes", (json_int_t)info.inode_count, "checkpoint",
                     (json_int_t)info.generation, "mounts", (json_int_t)info.epoch, "log_records",
                     (json_int_t)info.replayed_records, "log_blocks", (json_int_t)info.log_block_count, "snapshots",
                     (json_int_t)info.snapshot_count);
}

static void print_text(const json_t *root, unsigned depth)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        printf("%*s%s:", (int)depth * 2, "", key);
        if (json_is_array(value)) {
            size_t i;
            json_t *item;
            putchar('\n');
            json_array_foreach(value, i, item) printf(
                "%*s%lld: %s, \"%s\"\n", (int)depth * 2 + 2, "", json_integer_value(json_object_get(item, "slot")),
                json_string_value(json_object_get(item, "type")), json_string_value(json_object_get(item, "name")));
        } else if (json_is_object(value)) {
            putchar('\n');
            print_text(value, depth + 1);
        } else if (json_is_string(value)) {
            printf(" %s\n", json_string_value(value));
        } else {
            printf(" %lld\n", json_integer_value(value));
        }
    }
}

static void print_json(const struct tool_options *options, json_t *root)
{
    if (options->json) {
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_text(root, 0);
    }
    json_decref(root);
}

/* Those that change what a reader must know, in the header's own words. */
static void features_add(json_t *root, struct volume_header *header)
{
    char *names = header->feature_names;
    names[sizeof(header->feature_names) - 1] = 0;
    for (char *c = names; *c; c++)
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    if (*names)
        json_object_set_new(root, "features", json_string(names));
}

int volume_cmd_info(struct tool_options *options, char **operands)
{
    struct volume_file file;
    static struct volume_header header;
    char uuid[37];
    int code = volume_file_open(&file, operands[0], false);
    if (code != 0)
        return code;
    int err = file.io.block_count(&file) < 1 ? -EINVAL : file.io.read(&file, 0, 1, &header);
    if (err == 0 && memcmp(header.magic, VOLUME_MAGIC, sizeof(header.magic)) != 0)
        err = -EINVAL;
    else if (err == 0 && file.io.block_count(&file) < VOLUME_BLOCKS_MIN)
        err = -ENODATA;
    if (err < 0) {
        volume_file_close(&file);
        return tool_failed(operands[0], err);
    }
    uuid_text(header.uuid, uuid);
    json_t *root =
        json_pack("{s:s, s:i, s:o}", "uuid", uuid, "version", (int)header.version, "keys", slots_json(&file.io));
    volume_file_close(&file);
    features_add(root, &header);
    if (options->key_file || options->passphrase_file || options->recovery_key) {
        struct volume *v;
        code = tool_mount(&file, operands[0], options, &v);
        if (code != 0) {
            json_decref(root);
            return code;
        }
        json_object_set_new(root, "state", state_json(v));
        volume_abandon(v);
        volume_file_close(&file);
    }
    print_json(options, root);
    return 0;
}

static void problem_keep(void *arg, const char *text)
{
    json_array_append_new(arg, json_string(text));
}

/* What is in use is read once, but for what the cache does not hold. */
static int check_shown(const struct tool_options *options, struct volume_file *file, struct volume *v, json_t *problems,
                       struct volume_check_result *ret_result)
{
    struct volume_info info;
    volume_get_info(v, &info);
    tool_progress_begin(options, "checking", 0);
    volume_file_progress(file, info.used_count);
    int err = volume_check(v, problem_keep, problems, ret_result);
    volume_file_progress(file, 0);
    tool_progress_end();
    return err;
}

int volume_cmd_check(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume *v;
    struct volume_check_result result;
    int code = tool_mount(&file, operands[0], options, &v);
    if (code != 0)
        return code;
    json_t *problems = json_array();
    int err = check_shown(options, &file, v, problems, &result);
    volume_abandon(v);
    volume_file_close(&file);
    if (err == -EROFS) { /* its snapshots are compared with what the log makes of it */
        code = tool_mount_overlay(&file, operands[0], options, &v);
        err = code == 0 ? check_shown(options, &file, v, problems, &result) : 0;
        if (code == 0)
            tool_overlay_close(&file, v);
        if (code != 0) {
            json_decref(problems);
            return code;
        }
    }
    if (err < 0) {
        json_decref(problems);
        return tool_failed(operands[0], err);
    }
    if (options->json) {
        json_t *root = json_pack("{s:b, s:I, s:I, s:I, s:O}", "clean", result.problem_count == 0, "files",
                                 (json_int_t)result.file_count, "directories", (json_int_t)result.dir_count, "blocks",
                                 (json_int_t)result.block_count, "problems", problems);
        print_json(options, root);
    } else {
        size_t i;
        json_t *text;
        json_array_foreach(problems, i, text) printf("%s\n", json_string_value(text));
        if (!options->quiet)
            printf("%s: %lu problems; %lu directories, %lu other files, %lu blocks\n", operands[0],
                   (unsigned long)result.problem_count, (unsigned long)result.dir_count,
                   (unsigned long)result.file_count, (unsigned long)result.block_count);
    }
    json_decref(problems);
    return result.problem_count == 0 ? 0 : EXIT_DAMAGED;
}

static int print_entry(void *arg, const char *name, uint64_t ino)
{
    (void)arg;
    printf("  %-10lu %s\n", (unsigned long)ino, name);
    return 0;
}

static void print_pointer(const char *what, const struct volume_pointer *p)
{
    if (p->where == 0)
        return;
    printf("%s: block %lu epoch %u nonce %lu tag ", what, (unsigned long)VOLUME_WHERE_BLOCK(p->where),
           VOLUME_WHERE_EPOCH(p->where), (unsigned long)p->nonce);
    for (unsigned i = 0; i < sizeof(p->tag); i++)
        printf("%02x", p->tag[i]);
    putchar('\n');
}

static int dump_node(struct volume_node *node)
{
    const struct volume_inode *i = volume_node_inode(node);
    printf("inode %lu\nmode: %o\nlinks: %u\nowner: %u:%u\nsize: %lu\nblocks: %lu\ngeneration: %u\nheight: %u\n",
           (unsigned long)volume_node_ino(node), i->mode, i->nlink, i->uid, i->gid, (unsigned long)i->size,
           (unsigned long)i->block_count, i->generation, i->height);
    printf("accessed: %ld.%09u\nmodified: %ld.%09u\nchanged: %ld.%09u\nmade: %ld.%09u\n", (long)i->atime.sec,
           i->atime.nsec, (long)i->mtime.sec, i->mtime.nsec, (long)i->ctime.sec, i->ctime.nsec, (long)i->btime.sec,
           i->btime.nsec);
    print_pointer("attributes", &i->xattr);
    if (i->inline_size == 0)
        print_pointer("root", &i->root);
    if (S_ISDIR(i->mode)) {
        printf("parent: %lu\nentries: %lu\n", (unsigned long)i->parent, (unsigned long)i->entry_count);
        return tool_entries(node, print_entry, NULL);
    }
    return 0;
}

int volume_cmd_dump(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume *v;
    struct volume_node *node;
    int code = tool_mount(&file, operands[0], options, &v);
    if (code != 0)
        return code;
    int err = options->inode ? volume_node_get(v, options->inode, &node)
                             : tool_lookup(v, operands[1] ? operands[1] : "/", &node);
    if (err == 0) {
        err = dump_node(node);
        volume_node_put(node);
    }
    volume_abandon(v);
    volume_file_close(&file);
    if (err == -ENOENT && options->inode) {
        fprintf(stderr, "cofre: %s has no inode %lu\n", operands[0], (unsigned long)options->inode);
        return EXIT_COFRE;
    }
    return err < 0 ? tool_failed(operands[1] ? operands[1] : operands[0], err) : 0;
}

static int copy_out(struct volume_node *node, int fd)
{
    static uint8_t buffer[256 * 1024];
    uint64_t offset = 0;
    for (;;) {
        ssize_t got = volume_read(node, offset, buffer, sizeof(buffer));
        if (got <= 0)
            return (int)got;
        for (ssize_t done = 0; done < got;) {
            ssize_t n = write(fd, buffer + done, (size_t)(got - done));
            if (n < 0) {
                fprintf(stderr, "cofre: writing what is extracted failed: %s\n", strerror(errno));
                return TOOL_SAID(EXIT_DISK);
            }
            done += n;
        }
        offset += (uint64_t)got;
    }
}

int volume_cmd_extract(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume *v;
    struct volume_node *node;
    int code = tool_mount(&file, operands[0], options, &v), fd = STDOUT_FILENO;
    if (code != 0)
        return code;
    int err = tool_lookup(v, operands[1], &node);
    if (err == 0 && !S_ISREG(volume_node_inode(node)->mode)) {
        fprintf(stderr, "cofre: extracting %s failed: it is no regular file (cofre volume tar)\n", operands[1]);
        err = TOOL_SAID(EXIT_COFRE);
    }
    if (err == 0 && operands[2]) {
        fd = tool_output_open(operands[2], options->force, operands[0]);
        err = fd < 0 ? TOOL_SAID(EXIT_COFRE) : 0;
    }
    if (err == 0)
        err = copy_out(node, fd);
    if (fd >= 0 && fd != STDOUT_FILENO) {
        if (close(fd) < 0 && err == 0)
            err = -errno;
        if (err < 0)
            tool_output_drop(operands[2]);
    }
    volume_abandon(v);
    volume_file_close(&file);
    return err < 0 ? tool_failed(operands[1], err) : 0;
}

int volume_cmd_add_key(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume_key_slot slot;
    struct tool_options added = {.key_file = operands[1], .name = options->name};
    uint8_t key[32];
    if (!operands[1] == !options->recovery)
        return command_usage("volume add-key", "either KEYFILE or --recovery is needed");
    int code = options->recovery ? tool_recovery_slot(options, &slot, key) : tool_new_slot(&added, &slot, key);
    if (code == 0)
        code = volume_file_open(&file, operands[0], true);
    if (code != 0)
        return code;
    int err = volume_key_add(&file.io, tool_unlock, options, &slot, key);
    memory_wipe(key, sizeof(key));
    volume_file_close(&file);
    return err < 0 ? tool_failed(operands[0], err) : 0;
}

int volume_cmd_remove_key(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume *v;
    char *end;
    unsigned long index = strtoul(operands[1], &end, 10);
    if (*end || end == operands[1] || index >= VOLUME_KEY_COUNT)
        return command_usage("volume remove-key", "SLOT is a number below 32");
    int code = tool_mount(&file, operands[0], options, &v); /* only who can open it may */
    if (code != 0)
        return code;
    volume_abandon(v);
    volume_file_close(&file);
    code = volume_file_open(&file, operands[0], true);
    if (code != 0)
        return code;
    int err = volume_key_remove(&file.io, (unsigned)index);
    volume_file_close(&file);
    if (err == -ENOENT) {
        fprintf(stderr, "cofre: %s has no key slot %lu (see cofre volume info)\n", operands[0], index);
        return EXIT_COFRE;
    }
    return err < 0 ? tool_failed(operands[0], err) : 0;
}
