/* send: a snapshot, or the difference of two, as an encrypted stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "kernel/crypto/secret.h"
#include "kernel/volume/replica.h"
#include "volume/stream.h"
#include "volume/tool.h"

struct sending {
    struct stream stream;
    uint64_t done, total;
};

static int item_send(void *arg, const struct replica_item *item, const void *body, const void *block)
{
    struct sending *s = arg;
    size_t tail = block ? VOLUME_BLOCK_SIZE : 0, head = item->size - tail;
    if (item->type == REPLICA_BEGIN)
        s->total = ((const struct replica_begin *)body)->used_count;
    int err = stream_write(&s->stream, item, sizeof(*item));
    if (err == 0)
        err = stream_write(&s->stream, body, head);
    if (err == 0)
        err = stream_write(&s->stream, block, tail);
    s->done += block != NULL;
    tool_progress(NULL, s->done, s->total);
    return err;
}

int tool_stream_key(const struct tool_options *options, uint8_t ret_key[32])
{
    struct tool_options stream = {.key_file = options->stream_key_file};
    struct volume_key_slot slot;
    return tool_new_slot(&stream, &slot, ret_key);
}

static int send_failed(const struct tool_options *options, char **operands, int err)
{
    if (err == -ENOENT)
        fprintf(stderr, "cofre: sending %s failed: it has no snapshot \"%s\"%s%s%s\n", operands[0], operands[1],
                options->from ? ", or none \"" : "", options->from ? options->from : "", options->from ? "\"" : "");
    else if (err == -EINVAL)
        fprintf(stderr, "cofre: sending %s failed: \"%s\" is not older than \"%s\"\n", operands[0], options->from,
                operands[1]);
    else
        return tool_failed_doing("sending", operands[0], err);
    return EXIT_COFRE;
}

static int tree_send(struct tool_options *options, char **operands, FILE *out, const uint8_t key[32])
{
    struct volume_file file;
    struct volume *v;
    int code = tool_mount(&file, operands[0], options, &v);
    if (code != 0)
        return code;
    struct sending *s = calloc(1, sizeof(*s));
    int err = s ? stream_write_begin(&s->stream, out, key) : -ENOMEM;
    tool_progress_begin(options, "sending", 0);
    if (err == 0)
        err = volume_replicate(v, options->from, operands[1], item_send, s);
    if (err == 0)
        err = stream_write_end(&s->stream);
    tool_progress_end();
    if (s)
        stream_deinit(&s->stream);
    free(s);
    volume_abandon(v);
    volume_file_close(&file);
    return err < 0 ? send_failed(options, operands, err) : 0;
}

/* Standard output, or a new file. */
static FILE *output_open(const struct tool_options *options, const char *volume)
{
    if (!options->output)
        return stdout;
    int fd = tool_output_open(options->output, options->force, volume);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

int volume_cmd_send(struct tool_options *options, char **operands)
{
    uint8_t key[32];
    if (!options->stream_key_file)
        return command_usage("volume send", "--stream-key-file is needed: 32 bytes that the receiver has, too");
    if (!options->output && isatty(STDOUT_FILENO))
        return command_usage("volume send", "a stream is not for a terminal (--output, or a pipe)");
    int code = tool_stream_key(options, key);
    FILE *out = code == 0 ? output_open(options, operands[0]) : NULL;
    if (code == 0)
        code = out ? tree_send(options, operands, out, key) : EXIT_COFRE;
    memory_wipe(key, sizeof(key));
    if (out && out != stdout && (fclose(out) != 0 || code != 0)) {
        tool_output_drop(options->output);
        code = code ? code : tool_failed_doing("sending", options->output, -errno);
    }
    return code;
}
