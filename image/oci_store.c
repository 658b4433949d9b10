/* The files of an image in a folder or an archive. */
#include "image/oci_store.h"

#include <archive.h>
#include <archive_entry.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/error.h"
#include "image/file_io.h"

#define MEMBER_MAX 65536
#define LINK_MAX_FOLLOWED 8
#define READ_SIZE (256 << 10)

static const char *temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");

    return folder && *folder ? folder : "/var/tmp";
}

static struct archive *open_raw(int fd)
{
    struct archive *archive = archive_read_new();

    if (!archive)
        err(1, "archive");
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_format_raw(archive);
    archive_read_open_fd(archive, fd, READ_SIZE);
    return archive;
}

static int copy_out(struct archive *archive, int fd, uint64_t size_max, char **ret_error)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    uint64_t written = 0;
    int result;

    while ((result = archive_read_data_block(archive, &data, &size, &offset)) == ARCHIVE_OK) {
        if (size > size_max - written)
            return error_set(ret_error, "it unpacks to more than the limit of %llu bytes",
                             (unsigned long long)size_max);
        if (file_write(fd, written, data, size, "a temporary file", ret_error) < 0)
            return -1;
        written += size;
    }
    if (result != ARCHIVE_EOF)
        return error_set(ret_error, "cannot decompress: %s", archive_error_string(archive));
    return 0;
}

/* A compressed archive is unpacked into a temporary file, which takes the place of store->fd. */
static int decompress(struct oci_store *store, uint64_t size_max, char **ret_error)
{
    struct archive *archive = open_raw(store->fd);
    struct archive_entry *entry;
    int result = -1;

    if (archive_read_next_header(archive, &entry) != ARCHIVE_OK) {
        const char *reason = archive_error_string(archive);
        error_set(ret_error, "%s", reason ? reason : "it is empty");
    } else if (archive_filter_code(archive, 0) == ARCHIVE_FILTER_NONE) {
        result = 0;
    } else {
        int fd = file_temporary(temporary_folder(), ret_error);
        if (fd >= 0)
            result = copy_out(archive, fd, size_max, ret_error);
        if (fd >= 0) {
            close(store->fd);
            store->fd = fd;
        }
    }
    archive_read_free(archive);
    return result;
}

static const char *skip_dot(const char *name)
{
    while (strncmp(name, "./", 2) == 0)
        name += 2 + strspn(name + 2, "/");
    return name;
}

static int add_member(struct oci_store *store, struct archive_entry *entry, uint64_t offset, char **ret_error)
{
    const char *name = archive_entry_pathname(entry);
    const char *link = archive_entry_filetype(entry) == AE_IFLNK ? archive_entry_symlink(entry) : NULL;

    if (!name)
        return error_set(ret_error, "an entry without a name");
    if (store->member_count == MEMBER_MAX)
        return error_set(ret_error, "it has more than %d entries", MEMBER_MAX);
    if (store->member_count % 256 == 0) {
        store->members = reallocarray(store->members, store->member_count + 256, sizeof(*store->members));
        if (!store->members)
            err(1, "archive");
    }
    struct store_member *member = &store->members[store->member_count++];
    *member = (struct store_member){
        .name = strdup(skip_dot(name)),
        .link = link ? strdup(link) : NULL,
        .offset = offset,
        .size = link ? 0 : (uint64_t)archive_entry_size(entry),
    };
    if (!member->name || (link && !member->link))
        err(1, "archive");
    return 0;
}

/*
 * The map is libarchive's only buffer, so the data it returns points into it: that tells where a member lies.
 */
static int index_entry(struct oci_store *store, struct archive *archive, struct archive_entry *entry,
                       const uint8_t *map, uint64_t map_size, char **ret_error)
{
    uint64_t size = archive_entry_size(entry) > 0 ? (uint64_t)archive_entry_size(entry) : 0;
    const void *data;
    size_t data_size;
    la_int64_t data_offset;

    if (archive_entry_filetype(entry) == AE_IFLNK)
        return add_member(store, entry, 0, ret_error);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
        return 0;
    if (size == 0)
        return add_member(store, entry, 0, ret_error);
    if (archive_entry_sparse_count(entry) > 0)
        return error_set(ret_error, "\"%s\" is a sparse file", archive_entry_pathname(entry));
    if (archive_read_data_block(archive, &data, &data_size, &data_offset) != ARCHIVE_OK)
        return error_set(ret_error, "%s", archive_error_string(archive));
    uint64_t offset = (uint64_t)((uintptr_t)data - (uintptr_t)map);
    if ((uintptr_t)data < (uintptr_t)map || offset > map_size || size > map_size - offset || data_offset != 0)
        return error_set(ret_error, "it is truncated within \"%s\"", archive_entry_pathname(entry));
    return add_member(store, entry, offset, ret_error);
}

static int index_members(struct oci_store *store, const uint8_t *map, uint64_t map_size, char **ret_error)
{
    struct archive *archive = archive_read_new();
    struct archive_entry *entry;
    int result;

    if (!archive)
        err(1, "archive");
    archive_read_support_format_tar(archive);
    archive_read_open_memory(archive, map, map_size);
    while ((result = archive_read_next_header(archive, &entry)) == ARCHIVE_OK || result == ARCHIVE_WARN) {
        if (index_entry(store, archive, entry, map, map_size, ret_error) < 0)
            break;
    }
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN && result != ARCHIVE_EOF)
        error_set(ret_error, "%s", archive_error_string(archive));
    archive_read_free(archive);
    return result == ARCHIVE_EOF ? 0 : -1;
}

static int index_archive(struct oci_store *store, char **ret_error)
{
    struct stat status;

    if (fstat(store->fd, &status) < 0)
        return error_set_errno(ret_error, errno, "cannot read it");
    if (status.st_size == 0)
        return error_set(ret_error, "nothing comes out of it");
    void *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, store->fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(ret_error, errno, "cannot map it");
    int result = index_members(store, map, (uint64_t)status.st_size, ret_error);
    munmap(map, (size_t)status.st_size);
    return result;
}

int oci_store_open(struct oci_store *store, const char *path, uint64_t size_max, char **ret_error)
{
    struct stat status;

    *store = (struct oci_store){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (store->fd < 0 || fstat(store->fd, &status) < 0)
        return error_set_errno(ret_error, errno, "cannot open %s", path);
    store->device = status.st_dev;
    store->inode = status.st_ino;
    if (S_ISDIR(status.st_mode))
        return 0;
    store->is_archive = 1;
    if (!S_ISREG(status.st_mode))
        error_set(ret_error, "it is neither a folder nor a file");
    else if (status.st_size == 0)
        error_set(ret_error, "it is empty");
    else if (decompress(store, size_max, ret_error) == 0 && index_archive(store, ret_error) == 0)
        return 0;
    oci_store_close(store);
    return error_wrap(ret_error, "%s", path);
}

void oci_store_close(struct oci_store *store)
{
    if (store->fd >= 0)
        close(store->fd);
    for (size_t i = 0; i < store->member_count; i++) {
        free(store->members[i].name);
        free(store->members[i].link);
    }
    free(store->members);
    *store = (struct oci_store){.fd = -1};
}

static const struct store_member *find_member(const struct oci_store *store, const char *name)
{
    for (size_t i = store->member_count; i-- > 0;) {
        if (strcmp(store->members[i].name, name) == 0)
            return &store->members[i];
    }
    return NULL;
}

/* A symbolic link's target counts from the folder of the link; "../" takes names off it. Always ends in the archive. */
static void follow_link(char name[PATH_MAX], const char *link)
{
    char *slash = strrchr(name, '/');
    size_t size = slash ? (size_t)(slash - name) : 0;

    while (strncmp(link, "../", 3) == 0) {
        while (size > 0 && name[size - 1] != '/')
            size--;
        size -= size > 0;
        link += 3;
    }
    if (size + strlen(link) + 2 > PATH_MAX)
        size = 0;
    if (size > 0)
        name[size++] = '/';
    name[size] = 0;
    strncat(name, link, PATH_MAX - size - 1);
}

static int find_in_archive(const struct oci_store *store, const char *wanted, struct blob *ret_blob, char **ret_error)
{
    char name[PATH_MAX];

    if (strlen(wanted) >= sizeof(name))
        return 1;
    strcpy(name, skip_dot(wanted));
    const struct store_member *member = find_member(store, name);
    for (int i = 0; member && member->link && i < LINK_MAX_FOLLOWED; i++) {
        follow_link(name, member->link);
        member = find_member(store, name);
    }
    if (!member || member->link)
        return 1;
    int fd = fcntl(store->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(ret_error, errno, "cannot open %s", wanted);
    *ret_blob = (struct blob){.fd = fd, .offset = member->offset, .size = member->size};
    return 0;
}

int oci_store_find(const struct oci_store *store, const char *name, struct blob *ret_blob, char **ret_error)
{
    struct stat status;

    if (store->is_archive)
        return find_in_archive(store, name, ret_blob, ret_error);
    int fd = openat(store->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 1;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(ret_error, errno, "cannot open %s", name);
    if (!S_ISREG(status.st_mode)) {
        close(fd);
        return error_set(ret_error, "%s is not a file", name);
    }
    *ret_blob = (struct blob){.fd = fd, .size = (uint64_t)status.st_size};
    return 0;
}
