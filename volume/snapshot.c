/* snapshot create, list, remove, rollback. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "volume/tool.h"

static bool name_valid(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (name[i] <= ' ' || name[i] == 0x7f || name[i] == '/')
            return false;
    return size > 0 && size < sizeof(((struct volume_snapshot *)0)->name) && name[0] != '-';
}

static int snapshot_failed(const char *doing, const char *path, const char *name, int err)
{
    static const struct {
        int error;
        const char *text;
    } known[] = {
        {-EEXIST, "there is one of that name"},
        {-ENOENT, "there is no snapshot of that name (see cofre volume snapshot list)"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].error == err) {
            fprintf(stderr, "cofre: %s snapshot \"%s\" of %s failed: %s\n", doing, name, path, known[i].text);
            return EXIT_COFRE;
        }
    return tool_failed_doing(doing, path, err);
}

static const struct change {
    const char *name, *doing;
    int (*change)(struct volume *v, const char *name);
} changes[] = {
    {"create", "creating", volume_snapshot_create},
    {"remove", "removing", volume_snapshot_remove},
    {"rollback", "going back to", volume_snapshot_rollback},
};

static const struct change *change_find(const char *name)
{
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        if (strcmp(changes[i].name, name) == 0)
            return &changes[i];
    return NULL;
}

/* With --force the newer ones go first, the newest before the others: each is gone for good or still whole. */
static int newer_remove(struct volume *v, const char *name)
{
    for (;;) {
        unsigned count, at = 0;
        const struct volume_snapshot *list = volume_snapshots(v, &count);
        while (at < count && strcmp(list[at].name, name) != 0)
            at++;
        if (at + 1 >= count)
            return 0;
        char newest[sizeof(list->name)];
        memcpy(newest, list[count - 1].name, sizeof(newest));
        int err = volume_snapshot_remove(v, newest);
        if (err < 0)
            return err;
    }
}

/* Changes one; what was not done whole leaves nothing. */
static int snapshot_change(struct tool_options *options, const char *path, const char *name, const struct change *what)
{
    bool back = what->change == volume_snapshot_rollback;
    struct volume_file file;
    struct volume *v;
    int code = tool_mount_writing(&file, path, options, NULL, &v);
    if (code != 0)
        return code;
    int err = back && options->force ? newer_remove(v, name) : 0;
    if (err == 0)
        err = what->change(v, name);
    if (err < 0)
        volume_abandon(v);
    else
        err = volume_unmount(v);
    volume_file_close(&file);
    if (back && err == -EEXIST) {
        fprintf(stderr,
                "cofre: going back to snapshot \"%s\" of %s failed: there are newer ones, which would be lost (remove "
                "them, or --force)\n",
                name, path);
        return EXIT_COFRE;
    }
    return err < 0 ? snapshot_failed(what->doing, path, name, err) : 0;
}

void tool_guid_text(const uint8_t guid[16], char ret_text[33])
{
    for (unsigned i = 0; i < 16; i++)
        sprintf(ret_text + 2 * i, "%02x", guid[i]);
}

static int snapshot_list(struct tool_options *options, const char *path)
{
    struct volume_file file;
    struct volume *v;
    unsigned count;
    char time_text[32], guid[33];
    int code = tool_mount(&file, path, options, &v);
    if (code != 0)
        return code;
    const struct volume_snapshot *list = volume_snapshots(v, &count);
    json_t *all = json_array();
    for (unsigned i = 0; i < count; i++) {
        time_t when = list[i].time.sec;
        struct tm tm;
        strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
        tool_guid_text(list[i].guid, guid);
        if (options->json)
            json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:I}", "name", list[i].name, "guid", guid, "time",
                                                 time_text, "inodes", (json_int_t)list[i].inode_count));
        else if (options->quiet)
            puts(list[i].name);
        else
            printf("%-30s %s %10lu inodes\n", list[i].name, time_text, (unsigned long)list[i].inode_count);
    }
    if (options->json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    volume_abandon(v);
    volume_file_close(&file);
    return 0;
}

int volume_cmd_snapshot(struct tool_options *options, char **operands)
{
    const char *what = operands[0], *path = operands[1], *name = operands[2];
    const struct change *change = change_find(what);
    if (strcmp(what, "list") == 0 && !name)
        return snapshot_list(options, path);
    if (!change || !name)
        return command_usage("volume snapshot",
                             "one of: create FILE NAME, list FILE, remove FILE NAME, rollback FILE NAME");
    if (!name_valid(name))
        return command_usage("volume snapshot", "a NAME is up to 63 bytes without blanks and slashes");
    return snapshot_change(options, path, name, change);
}
