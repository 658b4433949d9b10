/* cofre-volume: `cofre volume COMMAND`, from the kernel's own files. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "kernel/crypto/crypto.h"
#include "volume/overlay.h"
#include "volume/tool.h"

static const struct {
    const char *name, *operands, *summary;
    int operand_min, operand_max;
    int (*fn)(struct tool_options *options, char **operands);
} commands[] = {
    {"ls", "", "the named volumes of this machine, for `cofre run -v`", 0, 0, volume_cmd_ls},
    {"rm", "NAME", "a named volume is gone, with all in it", 1, 1, volume_cmd_rm},
    {"create", "FILE", "make an empty volume (--size)", 1, 1, volume_cmd_create},
    {"info", "FILE", "what a volume is; key slots; with a key also how full", 1, 1, volume_cmd_info},
    {"check", "FILE", "verify every block, name and count; repairs nothing", 1, 1, volume_cmd_check},
    {"dump", "FILE [PATH]", "an inode as it is stored (--inode for one by number)", 1, 2, volume_cmd_dump},
    {"extract", "FILE PATH [OUT]", "one file's contents", 2, 3, volume_cmd_extract},
    {"tar", "FILE [PATH]", "a tree as an archive, to --output or standard output", 1, 2, volume_cmd_tar},
    {"resize", "FILE", "larger or smaller (--size), with all that is in it", 1, 1, volume_cmd_resize},
    {"snapshot", "create|list|remove|rollback FILE [NAME]", "the tree as it is, kept under a name; or again as it was",
     2, 3, volume_cmd_snapshot},
    {"clone", "FILE NEWFILE", "a volume of its own with the same in it (--new-key-file)", 2, 2, volume_cmd_clone},
    {"send", "FILE SNAPSHOT", "a snapshot, or the difference --from one, as a stream", 2, 2, volume_cmd_send},
    {"receive", "FILE", "such a stream from standard input, into a volume", 1, 1, volume_cmd_receive},
    {"mount", "FILE DIR", "as a folder of this machine, read-only (FUSE)", 2, 2, volume_cmd_mount},
    {"unmount", "DIR", "the end of that", 1, 1, volume_cmd_unmount},
    {"import", "FILE [ARCHIVE]", "what an archive (or standard input) holds, into the volume", 1, 2, volume_cmd_import},
    {"accept-rollback", "FILE", "a volume older than its anchor knows is the newest again", 1, 1,
     volume_cmd_accept_rollback},
    {"add-key", "FILE [KEYFILE]", "one more key that opens it, of a file or --recovery", 1, 2, volume_cmd_add_key},
    {"remove-key", "FILE SLOT", "a key slot less (of info's list)", 2, 2, volume_cmd_remove_key},
    {"rekey", "FILE", "a new master key, and everything encrypted under it", 1, 1, volume_cmd_rekey},
    {"derive", "FILE OUT", "the 32 bytes that its passphrase makes, for run -v NAME:PATH:key=OUT", 2, 2,
     volume_cmd_derive},
    {"keygen", "FILE", "a recovery key: the private half to FILE, the public one printed", 1, 1, volume_cmd_keygen},
};

static void help(FILE *out)
{
    fputs("Usage: cofre volume COMMAND [OPTIONS] FILE ...\n\n"
          "Encrypted volumes, without an enclave: made, looked into, checked, changed.\n\n",
          out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-15s %-16s %s\n", commands[i].name, commands[i].operands, commands[i].summary);
    fputs("\n  --key-file FILE         the 32 bytes that open it\n"
          "  --passphrase-file FILE  its first line is the passphrase (default: ask on the terminal)\n"
          "  --recovery-key FILE     the private half of a recovery key, which opens it, too (PEM, X25519)\n"
          "  --recovery KEY          create, add-key: a slot for the holder of this public key's private half\n"
          "  --size SIZE             create, resize, clone, receive: 512M, 10G ...\n"
          "  --name NAME             of the new key slot\n"
          "  --inode NUMBER          dump: of this number\n"
          "  --output FILE           tar, send: where to write the archive or stream\n"
          "  --force                 rekey: key slots that cannot be kept are lost; create, clone, receive, extract, "
          "tar, "
          "send, derive: over a file that exists; snapshot rollback: newer snapshots are lost; unmount: although "
          "something in "
          "it is open\n"
          "  --foreground            mount: stay, until unmounted or interrupted\n"
          "  --snapshot NAME         dump, extract, tar, mount, clone: of this snapshot\n"
          "  --stream-key-file FILE  send, receive: the 32 bytes that protect the stream\n"
          "  --from SNAPSHOT         send: only what is different from this older one\n"
          "  --new-key-file FILE     clone: the new volume's key (default: the same)\n"
          "  --anchor HOST:PORT, --anchor-key KEY, --local-anchor FILE, --confirm\n"
          "                          accept-rollback: the volume's anchor; that this is meant\n"
          "  --anchor-certificate FILE, --marble FILE, --marble-key FILE\n"
          "                          ... at MarbleRun: its root, the marble's certificate, the key to that\n"
          "  --json                  info, check, ls, resize, snapshot list, receive, clone: for programs\n"
          "  --quiet                 say nothing but errors\n",
          out);
}

int tool_failed_doing(const char *doing, const char *path, int error)
{
    static const struct {
        int error, code;
        const char *text;
    } known[] = {
        {-EINVAL, EXIT_NOT_VOLUME, "this is not a volume"},
        {-ENODATA, EXIT_CUT_SHORT, "the file was cut short: it is smaller than the volume in it"},
        {-EOPNOTSUPP, EXIT_FEATURE, "made by a newer version (its features are not known here)"},
        {-EKEYREVOKED, EXIT_OLD_HEADER, "the header is older than what it leads to: an old one was put back"},
        {-ENOKEY, EXIT_KEY, "no key slot opens with this key"},
        {-EKEYREJECTED, EXIT_KEY, "the header was changed: it does not verify under the key"},
        {-EUCLEAN, EXIT_DAMAGED, "damaged: no checkpoint verifies, or the log is broken in its middle"},
        {-ESTALE, EXIT_ROLLED_BACK, "rolled back or forked: older than what its anchor knows"},
        {-EOWNERDEAD, EXIT_ROLLED_BACK,
         "who took it over last at its anchor was cut short while it did, or two did at once"},
        {-EIO, EXIT_DISK, "the disk cannot be read or written, or what it holds does not verify"},
        {-ENOSPC, EXIT_DISK, "no room"},
        {-EPERM, EXIT_USAGE, "the last key slot stays"},
        {-EACCES, EXIT_KEY,
         "a key slot's own key is not known here, so it would not open the volume any more (--force: so be it)"},
        {-EADDRINUSE, EXIT_COFRE, "it has snapshots, whose blocks stay under the old key (remove them first)"},
    };
    if (error <= TOOL_SAID(0))
        return TOOL_SAID(0) - error;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].error == error) {
            fprintf(stderr, "cofre: %s %s failed: %s\n", doing, path, known[i].text);
            return known[i].code;
        }
    fprintf(stderr, "cofre: %s %s failed: %s\n", doing, path, strerror(-error));
    return EXIT_COFRE;
}

int tool_failed(const char *path, int error)
{
    return tool_failed_doing("opening", path, error);
}

/* What of a header may be said without a key; what is not printable in it is not printed. */
static void header_say(struct volume_file *file, const char *path)
{
    static struct volume_header h;
    unsigned at = 0;
    while (at < VOLUME_HEADER_COUNT && !(file->io.read(file, at, 1, &h) == 0 && memcmp(h.magic, VOLUME_MAGIC, 8) == 0))
        at++;
    h.feature_names[sizeof(h.feature_names) - 1] = 0;
    for (char *c = h.feature_names; *c; c++)
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    uint64_t unknown = h.features.incompat & ~VOLUME_INCOMPAT_KNOWN;
    if (h.version != VOLUME_VERSION)
        fprintf(stderr,
                "cofre: opening %s failed: its format is version %u, and this program knows %u (use a newer one)\n",
                path, h.version, VOLUME_VERSION);
    else if (unknown)
        fprintf(stderr,
                "cofre: opening %s failed: it has features that this program does not know (use a newer one): bits "
                "%#lx of \"%s\"\n",
                path, (unsigned long)unknown, h.feature_names);
    else
        tool_failed(path, -EOPNOTSUPP);
}

static int mount_failed(struct volume_file *file, const char *path, const struct tool_options *options, int err)
{
    bool no_snapshot = err == -ENOENT && options->snapshot;
    if (err == -EOPNOTSUPP)
        header_say(file, path);
    else if (no_snapshot)
        fprintf(stderr, "cofre: opening %s failed: it has no snapshot \"%s\"\n", path, options->snapshot);
    volume_file_close(file);
    if (err == -EOPNOTSUPP)
        return EXIT_FEATURE;
    return no_snapshot ? EXIT_COFRE : tool_failed(path, err);
}

int tool_mount(struct volume_file *file, const char *path, struct tool_options *options, struct volume **ret_volume)
{
    struct volume_options read_only = {.read_only = true, .snapshot = options->snapshot};
    int code = volume_file_open(file, path, false);
    if (code != 0)
        return code;
    int err = volume_mount(&file->io, &read_only, tool_unlock, options, ret_volume);
    return err < 0 ? mount_failed(file, path, options, err) : 0;
}

static struct overlay overlay;

int tool_mount_overlay(struct volume_file *file, const char *path, struct tool_options *options,
                       struct volume **ret_volume)
{
    static const struct volume_options defaults = {0};
    int code = volume_file_open(file, path, false);
    if (code != 0)
        return code;
    overlay_init(&overlay, &file->io);
    int err = volume_mount(&overlay.io, &defaults, tool_unlock, options, ret_volume);
    if (err == 0)
        return 0;
    overlay_deinit(&overlay);
    return mount_failed(file, path, options, err);
}

void tool_overlay_close(struct volume_file *file, struct volume *v)
{
    volume_abandon(v);
    overlay_deinit(&overlay);
    volume_file_close(file);
}

int tool_mount_writing(struct volume_file *file, const char *path, struct tool_options *options,
                       const struct volume_options *volume_options, struct volume **ret_volume)
{
    static const struct volume_options defaults = {0};
    int code = volume_file_open(file, path, true);
    if (code != 0)
        return code;
    int err = volume_mount(&file->io, volume_options ? volume_options : &defaults, tool_unlock, options, ret_volume);
    return err < 0 ? mount_failed(file, path, options, err) : 0;
}

int tool_lookup(struct volume *v, const char *path, struct volume_node **ret_node)
{
    struct volume_node *at, *next;
    int err = volume_node_get(v, VOLUME_ROOT_INO, &at);
    while (err == 0 && *(path += strspn(path, "/"))) {
        size_t size = strcspn(path, "/");
        const char *name = path;
        path += size;
        if (size == 1 && name[0] == '.')
            continue;
        err = volume_lookup(at, name, size, &next);
        volume_node_put(at);
        at = next;
    }
    if (err == 0)
        *ret_node = at;
    return err;
}

struct entry {
    char *name;
    uint64_t ino;
};
struct entries {
    struct entry *list;
    size_t count, room;
};

static bool entry_keep(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct entries *e = arg;
    (void)type;
    if (next_pos <= 2)
        return true;
    if (e->count == e->room) {
        size_t room = 2 * e->room + 64;
        struct entry *list = realloc(e->list, room * sizeof(*list));
        if (!list)
            return false;
        e->list = list;
        e->room = room;
    }
    e->list[e->count] = (struct entry){strndup(name, size), ino};
    return e->list[e->count].name != NULL && ++e->count > 0;
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

int tool_entries(struct volume_node *dir, tool_entry_fn fn, void *arg)
{
    struct entries e = {0};
    int64_t pos = 0;
    int result = volume_readdir(dir, &pos, entry_keep, &e);
    if (result == 0 && e.count != volume_node_inode(dir)->entry_count)
        result = -EIO;
    if (e.count > 0)
        qsort(e.list, e.count, sizeof(*e.list), entry_compare);
    for (size_t i = 0; result == 0 && i < e.count; i++)
        result = fn(arg, e.list[i].name, e.list[i].ino);
    for (size_t i = 0; i < e.count; i++)
        free(e.list[i].name);
    free(e.list);
    return result;
}

static bool parse(int argc, char **argv, struct tool_options *options)
{
    static const struct option longs[] = {
        {"key-file", required_argument, 0, 'k'},
        {"passphrase-file", required_argument, 0, 'p'},
        {"recovery-key", required_argument, 0, 'r'},
        {"recovery", required_argument, 0, 'R'},
        {"size", required_argument, 0, 's'},
        {"name", required_argument, 0, 'n'},
        {"inode", required_argument, 0, 'i'},
        {"output", required_argument, 0, 'o'},
        {"snapshot", required_argument, 0, 'S'},
        {"from", required_argument, 0, 'O'},
        {"stream-key-file", required_argument, 0, 'K'},
        {"new-key-file", required_argument, 0, 'N'},
        {"force", no_argument, 0, 'f'},
        {"foreground", no_argument, 0, 'F'},
        {"json", no_argument, 0, 'j'},
        {"quiet", no_argument, 0, 'q'},
        {"anchor", required_argument, 0, 'A'},
        {"anchor-key", required_argument, 0, 'P'},
        {"local-anchor", required_argument, 0, 'L'},
        {"anchor-certificate", required_argument, 0, 'T'},
        {"marble", required_argument, 0, 'M'},
        {"marble-key", required_argument, 0, 'Y'},
        {"confirm", no_argument, 0, 'C'},
        {"help", no_argument, 0, 'h'},
        {0, 0, 0, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "k:s:o:qh", longs, NULL)) != -1;) {
        switch (c) {
        case 'k':
            options->key_file = optarg;
            break;
        case 'p':
            options->passphrase_file = optarg;
            break;
        case 'r':
            options->recovery_key = optarg;
            break;
        case 'R':
            options->recovery = optarg;
            break;
        case 's':
            options->size = optarg;
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'i':
            options->inode = strtoull(optarg, NULL, 10);
            break;
        case 'o':
            options->output = optarg;
            break;
        case 'f':
            options->force = true;
            break;
        case 'S':
            options->snapshot = optarg;
            break;
        case 'O':
            options->from = optarg;
            break;
        case 'K':
            options->stream_key_file = optarg;
            break;
        case 'N':
            options->new_key_file = optarg;
            break;
        case 'F':
            options->foreground = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 'A':
            options->anchor = optarg;
            break;
        case 'P':
            options->anchor_key = optarg;
            break;
        case 'L':
            options->local_anchor = optarg;
            break;
        case 'T':
            options->anchor_certificate = optarg;
            break;
        case 'M':
            options->marble = optarg;
            break;
        case 'Y':
            options->marble_key = optarg;
            break;
        case 'C':
            options->confirm = true;
            break;
        case 'h':
            help(stdout);
            exit(0);
        default:
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "volume") == 0) {
        argc--;
        argv++;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : 0;
    }
    struct tool_options options = {.command = argv[1]};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (!parse(argc - 1, argv + 1, &options))
            return EXIT_USAGE;
        int count = argc - 1 - optind;
        if (count < commands[i].operand_min || count > commands[i].operand_max) {
            fprintf(stderr, "cofre volume: usage: cofre volume %s [OPTIONS] %s\n", argv[1], commands[i].operands);
            return EXIT_USAGE;
        }
        crypto_init();
        return commands[i].fn(&options, argv + 1 + optind);
    }
    fprintf(stderr, "cofre volume: unknown command \"%s\" (see `cofre volume --help`)\n", argv[1]);
    return EXIT_USAGE;
}
