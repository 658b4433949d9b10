/* Tar archives made by hand. */
#include "tests/unit/image/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *extend(struct tarball *tar, size_t size)
{
    if (tar->size + size > tar->capacity) {
        tar->capacity = 2 * (tar->size + size);
        tar->bytes = realloc(tar->bytes, tar->capacity);
    }
    if (!tar->bytes)
        abort();
    uint8_t *at = tar->bytes + tar->size;
    memset(at, 0, size);
    tar->size += size;
    return at;
}

static void append_padded(struct tarball *tar, const void *data, size_t size)
{
    uint8_t *at = extend(tar, (size + 511) / 512 * 512);

    if (size)
        memcpy(at, data, size);
}

void tarball_add(struct tarball *tar, const struct tar_entry *entry)
{
    char *header = (char *)extend(tar, 512);
    unsigned sum = 0;

    if (strlen(entry->name) > 100 || (entry->link && strlen(entry->link) > 100))
        abort(); /* longer ones by tarball_pax() */
    memcpy(header, entry->name, strlen(entry->name));
    snprintf(header + 100, 8, "%07o", entry->mode);
    snprintf(header + 108, 8, "%07o", entry->uid & 07777777);
    snprintf(header + 116, 8, "%07o", entry->gid & 07777777);
    snprintf(header + 124, 12, "%011zo", entry->size);
    snprintf(header + 136, 12, "%011llo", (unsigned long long)entry->mtime);
    header[156] = entry->type;
    if (entry->link)
        memcpy(header + 157, entry->link, strlen(entry->link));
    memcpy(header + 257, "ustar\00000", 8);
    snprintf(header + 329, 8, "%07o", entry->major & 07777777);
    snprintf(header + 337, 8, "%07o", entry->minor & 07777777);
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    append_padded(tar, entry->data, entry->size);
}

void tarball_pax(struct tarball *tar, const char *key, const void *value, size_t size)
{
    size_t rest = strlen(key) + size + 3, length = rest + 1;
    char digits[24];

    while (length != rest + (size_t)snprintf(digits, sizeof(digits), "%zu", length))
        length++;
    uint8_t *record = malloc(length + 1);
    if (!record)
        abort();
    int used = snprintf((char *)record, length + 1, "%zu %s=", length, key);
    if (size)
        memcpy(record + used, value, size);
    record[length - 1] = '\n';
    tarball_add(tar, &(struct tar_entry){.name = "pax", .type = 'x', .data = record, .size = length});
    free(record);
}

void tarball_file(struct tarball *tar, const char *name, const char *text)
{
    tarball_add(tar, &(struct tar_entry){.name = name, .type = '0', .mode = 0644, .data = text, .size = strlen(text)});
}

void tarball_dir(struct tarball *tar, const char *name)
{
    tarball_add(tar, &(struct tar_entry){.name = name, .type = '5', .mode = 0755});
}

void tarball_symlink(struct tarball *tar, const char *name, const char *target)
{
    tarball_add(tar, &(struct tar_entry){.name = name, .type = '2', .mode = 0777, .link = target});
}

void tarball_link(struct tarball *tar, const char *name, const char *target)
{
    tarball_add(tar, &(struct tar_entry){.name = name, .type = '1', .mode = 0644, .link = target});
}

void tarball_end(struct tarball *tar)
{
    extend(tar, 1024);
}

void tarball_free(struct tarball *tar)
{
    free(tar->bytes);
    *tar = (struct tarball){0};
}

void tarball_gzip(struct tarball *tar)
{
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    size_t capacity = tar->size + 65536, used = 0;
    void *packed = malloc(capacity);

    archive_write_add_filter_gzip(archive);
    archive_write_set_format_raw(archive);
    archive_entry_set_filetype(entry, AE_IFREG);
    if (!packed || archive_write_open_memory(archive, packed, capacity, &used) != ARCHIVE_OK ||
        archive_write_header(archive, entry) != ARCHIVE_OK ||
        archive_write_data(archive, tar->bytes, tar->size) != (la_ssize_t)tar->size)
        abort();
    archive_write_close(archive);
    archive_write_free(archive);
    archive_entry_free(entry);
    free(tar->bytes);
    tar->bytes = packed;
    tar->size = used;
}
