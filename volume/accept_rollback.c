/*
 * accept-rollback: a volume that is older than its anchor knows becomes the newest state, by who has its key and says
 * that this is meant. With a counter elsewhere that is a mount which takes over from whatever it says; with a sealed
 * file, which only the enclave can read, the file is emptied and the volume follows from that.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/tool.h"
#include "volume/tool_anchor.h"

/* The emptied file: nothing was ever said. */
static int emptied_raise(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                         uint64_t *ret_previous)
{
    (void)arg;
    (void)key;
    (void)expected;
    (void)value;
    *ret_previous = 0;
    return 0;
}

static int anchor_failed(const char *path, const struct tool_options *options, int err)
{
    if (err == -EACCES)
        fprintf(stderr, "cofre: accepting %s failed: its anchor %s refuses%s\n", path, options->anchor,
                options->anchor_certificate ? " the marble (--marble), or has no counters" : "");
    else if (err == -EPROTO)
        fprintf(stderr, "cofre: accepting %s failed: who answers at %s is not the anchor of that %s\n", path,
                options->anchor, options->anchor_certificate ? "certificate" : "key");
    else
        fprintf(stderr, "cofre: accepting %s failed: its anchor %s does not answer: %s\n", path, options->anchor,
                strerror(-err));
    return EXIT_COFRE;
}

static bool is_anchor_error(int err)
{
    return err == -EPROTO || err == -EACCES || err == -EHOSTUNREACH || err == -ECONNRESET || err == -ECONNREFUSED ||
           err == -ETIMEDOUT || err == -EAGAIN || err == -ENETUNREACH;
}

/* Is it the newest state already? 0 = no, 1 = yes; or an exit code, negative, after a message. */
static int look(struct tool_options *options, const char *path, const struct volume_anchor *anchor)
{
    struct volume_options checked = {.read_only = true, .freshness = VOLUME_FRESH_STRICT, .anchor = anchor};
    struct volume_file file;
    struct volume *v;
    int code = volume_file_open(&file, path, false);
    if (code != 0)
        return -code;
    int err = volume_mount(&file.io, &checked, tool_unlock, options, &v);
    if (err == 0)
        volume_abandon(v);
    volume_file_close(&file);
    if (err == 0 || err == -ESTALE || err == -EOWNERDEAD)
        return err == 0;
    return -(is_anchor_error(err) ? anchor_failed(path, options, err) : tool_failed(path, err));
}

static int accept_state(struct tool_options *options, const char *path, const struct volume_anchor *anchor)
{
    struct volume_options accepting = {.freshness = VOLUME_FRESH_CALLER, .anchor = anchor, .accept_rollback = true};
    struct volume_file file;
    struct volume *v;
    int code = volume_file_open(&file, path, true);
    if (code != 0)
        return code;
    int err = volume_mount(&file.io, &accepting, tool_unlock, options, &v);
    if (err == 0)
        volume_abandon(v); /* its first checkpoint is all there is to say */
    volume_file_close(&file);
    if (err < 0)
        return is_anchor_error(err) ? anchor_failed(path, options, err) : tool_failed(path, err);
    return 0;
}

static int unconfirmed(const char *path, const char *why)
{
    fprintf(stderr,
            "cofre: %s %s. Accepting it loses for good what was written since, and whoever has the newer state can no "
            "longer open it. Nothing was changed (--confirm, if that is meant)\n",
            path, why);
    return EXIT_ROLLED_BACK;
}

static int accept_remote(struct tool_options *options, const char *path)
{
    struct tool_anchor *elsewhere;
    int code = tool_anchor_open(options, &elsewhere);
    if (code != 0)
        return code;
    const struct volume_anchor *anchor = tool_anchor_volume_anchor(elsewhere);
    int newest = look(options, path, anchor);
    code = newest < 0 ? -newest : 0;
    if (newest == 1 && !options->quiet)
        printf("%s is the newest state: there is nothing to accept\n", path);
    else if (newest == 0 && !options->confirm)
        code = unconfirmed(path, "is older than its anchor knows, or beside it");
    else if (newest == 0)
        code = accept_state(options, path, anchor);
    tool_anchor_close(elsewhere);
    return code;
}

static int accept_local(struct tool_options *options, const char *path)
{
    struct volume_anchor anchor = {.raise = emptied_raise};
    if (!options->confirm)
        return unconfirmed(path, "may be older than its anchor knows, which only the container can tell");
    int code = accept_state(options, path, &anchor);
    if (code == 0 && truncate(options->local_anchor, 0) < 0 && errno != ENOENT) {
        fprintf(stderr, "cofre: emptying the anchor %s failed: %s\n", options->local_anchor, strerror(errno));
        code = EXIT_COFRE;
    }
    return code;
}

int volume_cmd_accept_rollback(struct tool_options *options, char **operands)
{
    if (!options->anchor == !options->local_anchor ||
        !options->anchor != !(options->anchor_key || options->anchor_certificate))
        return command_usage("volume accept-rollback",
                             "either --anchor and --anchor-key, or --anchor, --anchor-certificate and --marble, or "
                             "--local-anchor");
    int code = options->anchor ? accept_remote(options, operands[0]) : accept_local(options, operands[0]);
    if (code == 0 && options->confirm && !options->quiet)
        printf("%s is what its container opens next\n", operands[0]);
    return code;
}
