/* One layer blob as a stream of tar bytes. */
#include "image/layer_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/error.h"

#define SLOT_COUNT 8
#define SLOT_SIZE (256U << 10)
#define READ_SIZE (256U << 10)

struct slot {
    size_t size;
    uint8_t data[SLOT_SIZE];
};

/* The slots are a ring: the thread fills [produced], the reader holds [consumed]. */
struct layer_stream {
    struct blob blob;
    struct stream_limits limits;
    struct progress *progress;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    uint64_t produced, consumed;
    bool ended;   /* the thread will produce no more */
    bool stopped; /* the reader wants no more */
    bool plain;   /* not compressed: both digests are the same */
    char *error;
    /* the thread's */
    uint64_t position; /* in the blob */
    struct sha256 *blob_hash;
    uint8_t *read_buffer;
    uint64_t size_out;
    /* the reader's */
    bool holding; /* slot [consumed] is in use */
    bool broken;  /* an error has been handed out */
    uint64_t size_read;
    struct sha256 *diff_hash;
    struct slot slots[SLOT_COUNT];
};

static ssize_t read_blob(struct layer_stream *stream, char **ret_error)
{
    uint64_t left = stream->blob.size - stream->position;
    size_t want = left < READ_SIZE ? (size_t)left : READ_SIZE;
    ssize_t size;

    if (want == 0)
        return 0;
    do
        size = pread(stream->blob.fd, stream->read_buffer, want, (off_t)(stream->blob.offset + stream->position));
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return error_set_errno(ret_error, errno, "cannot read the layer");
    if (size == 0)
        return error_set(ret_error, "the layer is truncated");
    sha256_update(stream->blob_hash, stream->read_buffer, (size_t)size);
    stream->position += (uint64_t)size;
    if (!progress_add(stream->progress, (uint64_t)size))
        return error_set(ret_error, "interrupted");
    return size;
}

static la_ssize_t archive_read_blob(struct archive *archive, void *context, const void **ret_data)
{
    struct layer_stream *stream = context;
    char *reason = NULL;
    ssize_t size = read_blob(stream, &reason);

    if (size < 0)
        archive_set_error(archive, EIO, "%s", reason ? reason : "out of memory");
    free(reason);
    *ret_data = stream->read_buffer;
    return size;
}

/* Waits for a free slot; NULL when the reader has gone. */
static struct slot *slot_wait(struct layer_stream *stream)
{
    struct slot *slot = NULL;

    pthread_mutex_lock(&stream->lock);
    while (!stream->stopped && stream->produced - stream->consumed == SLOT_COUNT)
        pthread_cond_wait(&stream->changed, &stream->lock);
    if (!stream->stopped)
        slot = &stream->slots[stream->produced % SLOT_COUNT];
    pthread_mutex_unlock(&stream->lock);
    return slot;
}

static void slot_publish(struct layer_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->produced++;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static int check_limits(const struct layer_stream *stream, char **ret_error)
{
    if (stream->size_out > stream->limits.size_max)
        return error_set(ret_error, "it unpacks to more than the limit of %llu bytes",
                         (unsigned long long)stream->limits.size_max);
    if (stream->size_out > STREAM_RATIO_GRACE && stream->size_out / stream->limits.ratio_max > stream->blob.size)
        return error_set(ret_error, "it unpacks to more than %llu times its size (a decompression bomb?)",
                         (unsigned long long)stream->limits.ratio_max);
    return 0;
}

/* Cuts what comes out of the filters into slots. */
static int produce(struct layer_stream *stream, struct archive *archive, char **ret_error)
{
    struct slot *slot = slot_wait(stream);
    const void *data;
    size_t size;
    la_int64_t offset;
    int result;

    if (!slot)
        return 0;
    slot->size = 0;
    while ((result = archive_read_data_block(archive, &data, &size, &offset)) == ARCHIVE_OK) {
        stream->size_out += size;
        if (check_limits(stream, ret_error) < 0)
            return -1;
        while (size) {
            size_t now = size < SLOT_SIZE - slot->size ? size : SLOT_SIZE - slot->size;
            memcpy(slot->data + slot->size, data, now);
            slot->size += now;
            data = (const uint8_t *)data + now;
            size -= now;
            if (slot->size < SLOT_SIZE)
                continue;
            slot_publish(stream);
            slot = slot_wait(stream);
            if (!slot)
                return 0;
            slot->size = 0;
        }
    }
    if (result != ARCHIVE_EOF)
        return error_set(ret_error, "cannot decompress: %s", archive_error_string(archive));
    if (slot->size)
        slot_publish(stream);
    return 0;
}

static int decompress(struct layer_stream *stream, char **ret_error)
{
    struct archive *archive = archive_read_new();
    struct archive_entry *entry;
    int result = -1;

    if (!archive)
        err(1, "layer");
    if (stream->blob.size == 0) {
        archive_read_free(archive);
        return error_set(ret_error, "it is empty");
    }
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_format_raw(archive);
    if (archive_read_open(archive, stream, NULL, archive_read_blob, NULL) != ARCHIVE_OK ||
        archive_read_next_header(archive, &entry) != ARCHIVE_OK) {
        error_set(ret_error, "cannot decompress: %s", archive_error_string(archive));
    } else {
        pthread_mutex_lock(&stream->lock);
        stream->plain = archive_filter_code(archive, 0) == ARCHIVE_FILTER_NONE;
        pthread_mutex_unlock(&stream->lock);
        result = produce(stream, archive, ret_error);
    }
    archive_read_free(archive);
    return result;
}

static void *stream_main(void *argument)
{
    struct layer_stream *stream = argument;
    char *error = NULL;

    int result = decompress(stream, &error);
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    stream->error = result < 0 && !error ? strdup("out of memory") : error;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    return NULL;
}

struct layer_stream *layer_stream_new(const struct blob *blob, const struct stream_limits *limits,
                                      struct progress *progress)
{
    struct layer_stream *stream = calloc(1, sizeof(*stream));
    sigset_t all, old;

    if (!stream || !(stream->read_buffer = malloc(READ_SIZE)))
        err(1, "layer");
    stream->blob = *blob;
    stream->limits = *limits;
    stream->progress = progress;
    stream->blob_hash = sha256_new();
    stream->diff_hash = sha256_new();
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    errno = pthread_create(&stream->thread, NULL, stream_main, stream);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (errno)
        err(1, "layer");
    return stream;
}

static void stop(struct layer_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool first = !stream->stopped;
    stream->stopped = true;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    if (first)
        pthread_join(stream->thread, NULL);
}

void layer_stream_free(struct layer_stream *stream)
{
    if (!stream)
        return;
    stop(stream);
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->changed);
    sha256_free(stream->blob_hash);
    sha256_free(stream->diff_hash);
    free(stream->read_buffer);
    free(stream->error);
    free(stream);
}

ssize_t layer_stream_read(struct layer_stream *stream, const void **ret_data, char **ret_error)
{
    struct slot *slot = NULL;

    pthread_mutex_lock(&stream->lock);
    if (stream->holding) {
        stream->consumed++;
        stream->holding = false;
        pthread_cond_signal(&stream->changed);
    }
    while (!stream->ended && stream->produced == stream->consumed)
        pthread_cond_wait(&stream->changed, &stream->lock);
    if (stream->produced != stream->consumed) {
        slot = &stream->slots[stream->consumed % SLOT_COUNT];
        stream->holding = true;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!slot && stream->error) { /* the thread has ended: nobody changes it now */
        stream->broken = true;
        return error_set(ret_error, "%s", stream->error);
    }
    if (!slot)
        return 0;
    if (!stream->plain)
        sha256_update(stream->diff_hash, slot->data, slot->size);
    stream->size_read += slot->size;
    *ret_data = slot->data;
    return (ssize_t)slot->size;
}

static int check_digest(const char *found, const char *wanted, const char *what, char **ret_error)
{
    if (wanted && strcmp(found, wanted) != 0)
        return error_set(ret_error, "%s digest does not match: it should be %s and is %s", what, wanted, found);
    return 0;
}

static void finish_hash(struct sha256 *hash, char ret_text[DIGEST_TEXT_SIZE])
{
    uint8_t digest[SHA256_SIZE];

    sha256_final(hash, digest);
    digest_format(digest, ret_text);
}

int layer_stream_finish(struct layer_stream *stream, const char *digest, const char *diff_id, char **ret_error)
{
    char blob_digest[DIGEST_TEXT_SIZE], diff_digest[DIGEST_TEXT_SIZE], *ignored = NULL;
    const void *data;
    ssize_t size;
    bool broken = stream->broken;

    /* After an error nothing more can come out; the rest of the blob is read for its digest only. */
    while (!broken && (size = layer_stream_read(stream, &data, ret_error)) != 0)
        broken = size < 0;
    stop(stream);
    while (digest && read_blob(stream, &ignored) > 0)
        ;
    bool whole = stream->position == stream->blob.size;
    free(ignored);
    finish_hash(stream->blob_hash, blob_digest);
    if (whole && check_digest(blob_digest, digest, "its", ret_error) < 0)
        return -1;
    if (broken)
        return error_set(ret_error, "%s", stream->error);
    finish_hash(stream->diff_hash, diff_digest);
    return check_digest(stream->plain ? blob_digest : diff_digest, diff_id, "its uncompressed", ret_error);
}

uint64_t layer_stream_size(const struct layer_stream *stream)
{
    return stream->size_read;
}
