/* Places of earlier starts, kept in files (contract in start_pages.h). */
#include "host/start_pages.h"

#include "host/folders.h"
#include "image/sgx_arch.h"

#include <dirent.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3130747261747331ULL
#define FILES_MAX 128 /* the oldest goes for a new one */
#define NEW_SHARE 32  /* less than this share of new places is not worth a write */
#define ANEW 64       /* one start in so many learns all anew, so that what is no longer touched is forgotten */

static char *path; /* of this program's file */

static char *cache_folder(void)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *folder = NULL;
    int made;

    if (base && *base == '/')
        made = asprintf(&folder, "%s/cofre/start", base);
    else if (geteuid() != 0 && home && *home == '/')
        made = asprintf(&folder, "%s/.cache/cofre/start", home);
    else
        made = asprintf(&folder, "/var/cache/cofre/start");
    return made < 0 ? NULL : folder;
}

/* The same enclave, and the same first word of its command, if it is given one. */
static char *file_path(const struct artifacts *artifacts, const struct run_options *options)
{
    const struct sgx_sigstruct *sig = artifacts->sigstruct.data;
    const char *program = options->args.size > 0 ? options->args.bytes : "";
    uint8_t digest[SHA256_DIGEST_SIZE];
    char name[2 * 16 + 1], *folder = cache_folder(), *made = NULL;
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, sizeof(sig->enclavehash), sig->enclavehash);
    sha256_update(&ctx, strlen(program), (const uint8_t *)program);
    sha256_digest(&ctx, sizeof(digest), digest);
    for (size_t i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", digest[i]);
    if (folder && asprintf(&made, "%s/%s", folder, name) < 0)
        made = NULL;
    free(folder);
    return made;
}

static bool learn_anew(void)
{
    uint8_t chance;

    return getrandom(&chance, sizeof(chance), GRND_NONBLOCK) == sizeof(chance) && chance % ANEW == 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

size_t start_pages_merge(uint64_t to[START_PLACES_MAX], size_t count, const uint64_t *from, size_t from_count)
{
    size_t kept = 0;

    from_count = from_count < START_PLACES_MAX - count ? from_count : START_PLACES_MAX - count;
    memcpy(to + count, from, from_count * sizeof(*to));
    count += from_count;
    qsort(to, count, sizeof(*to), compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || to[kept - 1] != to[i])
            to[kept++] = to[i];
    return kept;
}

struct start_area *start_pages_open(const struct artifacts *artifacts, const struct run_options *options)
{
    struct start_area *area;
    uint64_t magic;
    ssize_t size;
    int fd;

    free(path);
    path = NULL;
    if (options->as_entrypoint || options->quote_path || !(path = file_path(artifacts, options)))
        return NULL;
    area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return area;
    if (!learn_anew() && read(fd, &magic, sizeof(magic)) == sizeof(magic) && magic == MAGIC) {
        size = read(fd, area->known, sizeof(area->known));
        area->known_count = size > 0 ? (uint32_t)((size_t)size / sizeof(area->known[0])) : 0;
    }
    close(fd);
    return area;
}

/* One file more than there may be: the one that was written first goes. */
static void make_room(char *file)
{
    char *slash = strrchr(file, '/');
    char oldest[NAME_MAX + 1] = "";
    struct timespec oldest_time = {0};
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir;

    *slash = '\0';
    dir = opendir(file);
    *slash = '/';
    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        struct stat st;

        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (count++ == 0 || st.st_mtim.tv_sec < oldest_time.tv_sec) {
            oldest_time = st.st_mtim;
            memcpy(oldest, entry->d_name, strlen(entry->d_name) + 1);
        }
    }
    if (count >= FILES_MAX)
        unlinkat(dirfd(dir), oldest, 0);
    closedir(dir);
}

static bool write_file(const char *name, const uint64_t *places, size_t count)
{
    const uint64_t magic = MAGIC;
    size_t size = count * sizeof(*places);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, &magic, sizeof(magic)) == sizeof(magic) && write(fd, places, size) == (ssize_t)size;

    if (fd >= 0 && close(fd) < 0)
        ok = false;
    return ok;
}

void start_pages_save(struct start_area *area)
{
    uint32_t noted = area ? area->noted_count : 0, known = area ? area->known_count : 0;
    size_t count;
    char *temporary = NULL;

    /* the enclave can write to all of it */
    if (noted == 0 || noted > START_PLACES_MAX || known > START_PLACES_MAX || noted < known / NEW_SHARE)
        return;
    count = start_pages_merge(area->known, known, area->noted, noted);
    if (asprintf(&temporary, "%s.%d", path, getpid()) < 0)
        return;
    if (access(path, F_OK) < 0) {
        (void)!make_folders_above(path); /* else the file cannot be made */
        make_room(path);
    }
    if (!write_file(temporary, area->known, count) || rename(temporary, path) < 0)
        unlink(temporary);
    free(temporary);
}
