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
#define FILES_MAX 256 /* the one that was used least recently goes for a new one */
#define NEW_SHARE 32  /* less than this share of new places is not worth a write */
#define ANEW 64       /* one start in so many learns all anew, so that what is no longer touched is forgotten */
#define SEEN_MAX 4096 /* commands that were seen: each has one place, and shares it */

/* A list is for an enclave and some of its command. */
struct list {
    uint8_t digest[SHA256_DIGEST_SIZE];
    char *path;
};

static struct {
    struct list command; /* all words */
    struct list program; /* the first */
    char *seen;          /* the file of commands that came once */
    bool own;            /* the command has a list of its own, or gets one */
} start;

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

/* words: of a command, each with its end; none is none. */
static bool list_init(struct list *list, const char *folder, const struct artifacts *artifacts, const char *words,
                      size_t size)
{
    const struct sgx_sigstruct *sig = artifacts->sigstruct.data;
    char name[2 * 16 + 1];
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, sizeof(sig->enclavehash), sig->enclavehash);
    sha256_update(&ctx, size, (const uint8_t *)words);
    sha256_digest(&ctx, sizeof(list->digest), list->digest);
    for (size_t i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", list->digest[i]);
    if (asprintf(&list->path, "%s/%s", folder, name) < 0)
        list->path = NULL;
    return list->path != NULL;
}

static void start_free(void)
{
    free(start.command.path);
    free(start.program.path);
    free(start.seen);
    memset(&start, 0, sizeof(start));
}

/* The first word goes without its end, so that a command of one word and its program are two. */
static bool start_init(const struct artifacts *artifacts, const struct run_options *options)
{
    size_t size = options->args.size;
    const char *words = size > 0 ? options->args.bytes : "";
    char *folder = cache_folder();
    bool ok = folder && list_init(&start.command, folder, artifacts, words, size) &&
              list_init(&start.program, folder, artifacts, words, strlen(words));

    if (ok && asprintf(&start.seen, "%s/.seen", folder) < 0) {
        start.seen = NULL;
        ok = false;
    }
    free(folder);
    return ok;
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

/* Where a command that was seen has its mark; what is there may be another's. */
static uint64_t slot_of(const struct list *command, uint64_t *ret_mark)
{
    uint64_t number;

    memcpy(&number, command->digest + 16, sizeof(number));
    memcpy(ret_mark, command->digest + 24, sizeof(*ret_mark));
    return number % SEEN_MAX * sizeof(*ret_mark);
}

static void set_mark(int fd, uint64_t mark, off_t slot)
{
    (void)!pwrite(fd, &mark, sizeof(mark), slot);
}

/* The mark goes: if this start is killed and leaves no list, the next one goes by the program's again. */
static bool was_seen(void)
{
    uint64_t mark, found;
    off_t slot = (off_t)slot_of(&start.command, &mark);
    int fd = open(start.seen, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool seen = fd >= 0 && pread(fd, &found, sizeof(found), slot) == sizeof(found) && found == mark;

    if (seen)
        set_mark(fd, 0, slot);
    if (fd >= 0)
        close(fd);
    return seen;
}

static void note_seen(void)
{
    uint64_t mark;
    off_t slot = (off_t)slot_of(&start.command, &mark);
    int fd = open(start.seen, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return;
    set_mark(fd, mark, slot);
    close(fd);
}

/* How many it holds; -1: there is none. It counts as used now. */
static int list_read(const struct list *list, uint64_t places[START_PLACES_MAX])
{
    int fd = open(list->path, O_RDONLY | O_CLOEXEC);
    uint64_t magic;
    ssize_t size = 0;

    if (fd < 0)
        return -1;
    if (read(fd, &magic, sizeof(magic)) == sizeof(magic) && magic == MAGIC)
        size = read(fd, places, START_PLACES_MAX * sizeof(*places));
    (void)!futimens(fd, NULL);
    close(fd);
    return size > 0 ? (int)((size_t)size / sizeof(*places)) : 0;
}

/*
 * A command's first start goes by the list of its program, which then has all that it touched besides. When it comes
 * again it learns its own, anew, so that nothing is in it which only others touch. So there are no lists of commands
 * that come once, such as those with a number that is another each time.
 */
struct start_area *start_pages_open(const struct artifacts *artifacts, const struct run_options *options)
{
    struct start_area *area;
    int count;

    start_free();
    if (options->as_entrypoint || options->quote_path || !start_init(artifacts, options))
        return NULL;
    area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    count = list_read(&start.command, area->known);
    start.own = count >= 0 || was_seen();
    if (!start.own) {
        count = list_read(&start.program, area->known);
        start.own = count < 0;
    }
    area->known_count = count > 0 && !learn_anew() ? (uint32_t)count : 0;
    return area;
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* One file more than there may be: the one that was used least recently goes. */
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
        if (count++ == 0 || is_older(&st.st_mtim, &oldest_time)) {
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

static void list_write(const struct list *list, const uint64_t *places, size_t count)
{
    char *temporary = NULL;

    if (asprintf(&temporary, "%s.%d", list->path, getpid()) < 0)
        return;
    if (access(list->path, F_OK) < 0) {
        (void)!make_folders_above(list->path); /* else the file cannot be made */
        make_room(list->path);
    }
    if (!write_file(temporary, places, count) || rename(temporary, list->path) < 0)
        unlink(temporary);
    free(temporary);
}

void start_pages_save(struct start_area *area)
{
    uint32_t noted = area ? area->noted_count : 0, known = area ? area->known_count : 0;
    size_t count;

    if (!area)
        return;
    if (!start.own)
        note_seen();
    /* the enclave can write to all of it */
    if (noted == 0 || noted > START_PLACES_MAX || known > START_PLACES_MAX || noted < known / NEW_SHARE)
        return;
    count = start_pages_merge(area->known, known, area->noted, noted);
    list_write(&start.program, area->known, count);
    if (start.own)
        list_write(&start.command, area->known, count);
}
