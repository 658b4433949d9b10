/* Maps the parts of a converted image: plain files, or members of an uncompressed tar that lie page aligned in it. */
#include "host/artifacts.h"

#include "abi/boot.h"
#include "abi/layout.h"
#include "host/error.h"
#include "image/sgx_arch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512UL

enum artifact { KERNEL, POLICY, SIGSTRUCT, ROOT, ARTIFACT_COUNT };
static const char *const artifact_names[ARTIFACT_COUNT] = {"kernel", "policy", "sigstruct", "root.img"};

static struct mapping *artifact(struct artifacts *a, enum artifact which)
{
    struct mapping *const all[ARTIFACT_COUNT] = {&a->kernel, &a->policy, &a->sigstruct, &a->root};

    return all[which];
}

static int map_range(struct mapping *mapping, int fd, off_t offset, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, offset);

    if (p == MAP_FAILED)
        return -errno;
    *mapping = (struct mapping){p, size};
    return 0;
}

static int map_file(struct mapping *mapping, const char *dir, const char *name, char **ret_error)
{
    char path[4096];
    struct stat st;
    int fd, ret;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        return fail(ret_error, ENAMETOOLONG, "the folder name %s is too long", dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        ret = fail(ret_error, errno, "opening %s failed: %s (is this a converted image?)", path, strerror(errno));
    } else if (st.st_size == 0) {
        ret = fail(ret_error, EINVAL, "%s is empty", path);
    } else {
        ret = map_range(mapping, fd, 0, (size_t)st.st_size);
        if (ret < 0)
            fail(ret_error, -ret, "mapping %s failed: %s", path, strerror(-ret));
    }
    if (fd >= 0)
        close(fd);
    return ret;
}

/* A member that is not page aligned has to be copied. */
static int copy_member(struct mapping *mapping, int tar, off_t offset, size_t size)
{
    int fd = memfd_create("cofre-member", MFD_CLOEXEC), ret = 0;

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        ret = -errno;
    for (off_t done = 0; ret == 0 && (size_t)done < size;) {
        off_t from = offset + done;
        ssize_t n = sendfile(fd, tar, &from, size - (size_t)done);

        if (n <= 0)
            ret = n < 0 ? -errno : -EIO;
        else
            done += n;
    }
    if (ret == 0)
        ret = map_range(mapping, fd, 0, size);
    if (fd >= 0)
        close(fd);
    return ret;
}

static int64_t tar_number(const char *field, size_t size)
{
    int64_t value = 0;

    if ((uint8_t)field[0] & 0x80) { /* base 256 */
        for (size_t i = size - 8; i < size; i++)
            value = (int64_t)((uint64_t)value << 8 | (uint8_t)field[i]);
        return value;
    }
    for (size_t i = 0; i < size && field[i] != '\0' && field[i] != ' '; i++) {
        if (field[i] < '0' || field[i] > '7')
            return -1;
        value = value * 8 + (field[i] - '0');
    }
    return value;
}

static enum artifact member_artifact(const char *name)
{
    if (strncmp(name, "./", 2) == 0)
        name += 2;
    if (strncmp(name, "cofre/", 6) != 0)
        return ARTIFACT_COUNT;
    for (enum artifact i = 0; i < ARTIFACT_COUNT; i++)
        if (strcmp(name + 6, artifact_names[i]) == 0)
            return i;
    return ARTIFACT_COUNT;
}

/* Our own layers have short names and true sizes in the plain headers; pax records only pad, so they are skipped. */
static int scan_layer(struct artifacts *a, int fd, off_t at, off_t end, const char *path, char **ret_error)
{
    char header[TAR_BLOCK], name[101];

    while (at + (off_t)TAR_BLOCK <= end) {
        int64_t size;
        enum artifact which;

        if (pread(fd, header, sizeof(header), at) != sizeof(header))
            return fail(ret_error, EIO, "reading %s failed", path);
        at += TAR_BLOCK;
        if (header[0] == '\0')
            break;
        if (memcmp(header + 257, "ustar", 5) != 0)
            return fail(ret_error, EINVAL, "%s is not a plain tar archive", path);
        size = tar_number(header + 124, 12);
        if (size < 0 || size > end - at)
            return fail(ret_error, EINVAL, "%s is damaged or cut short", path);
        memcpy(name, header, 100);
        name[100] = '\0';
        which = header[156] == '0' || header[156] == '\0' ? member_artifact(name) : ARTIFACT_COUNT;
        if (which != ARTIFACT_COUNT && size > 0) {
            struct mapping *mapping = artifact(a, which);
            int ret = at % (off_t)PAGE_SIZE == 0 ? map_range(mapping, fd, at, (size_t)size)
                                                 : copy_member(mapping, fd, at, (size_t)size);
            if (ret < 0)
                return fail(ret_error, -ret, "mapping %s of %s failed: %s", name, path, strerror(-ret));
        }
        at += (size + (off_t)TAR_BLOCK - 1) & ~((off_t)TAR_BLOCK - 1);
    }
    return 0;
}

static int open_layer(struct artifacts *a, const struct run_options *options, char **ret_error)
{
    const char *path = options->layer;
    off_t start = (off_t)options->layer_offset, end;
    int fd = open(path, O_RDONLY | O_CLOEXEC), ret;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(ret_error, errno, "opening the layer %s failed: %s", path, strerror(errno));
    end = options->layer_size ? start + (off_t)options->layer_size : st.st_size;
    ret = start < 0 || end < start || end > st.st_size ? fail(ret_error, EINVAL, "%s is cut short", path)
                                                       : scan_layer(a, fd, start, end, path, ret_error);
    close(fd);
    for (enum artifact i = 0; ret == 0 && i < ARTIFACT_COUNT; i++)
        if (!artifact(a, i)->data)
            ret = fail(ret_error, EINVAL, "%s holds no cofre/%s (is this a converted image's layer?)", path,
                       artifact_names[i]);
    return ret;
}

static int check_parts(const struct artifacts *a, char **ret_error)
{
    const struct policy *p = a->policy.data;

    if (a->policy.size < sizeof(*p) || p->magic != POLICY_MAGIC || p->size != a->policy.size)
        return fail(ret_error, EINVAL, "the policy is damaged");
    if (p->version != POLICY_VERSION)
        return fail(ret_error, EINVAL,
                    "the policy has version %u, this runtime understands %u (convert the image again)", p->version,
                    POLICY_VERSION);
    if (p->boot_interface != BOOT_INTERFACE)
        return fail(ret_error, EINVAL, "another version of cofre converted this image (convert it again)");
    if (a->sigstruct.size < sizeof(struct sgx_sigstruct))
        return fail(ret_error, EINVAL, "the signature is damaged: %zu bytes instead of %zu", a->sigstruct.size,
                    sizeof(struct sgx_sigstruct));
    return 0;
}

int artifacts_open(struct artifacts *a, const struct run_options *options, char **ret_error)
{
    int ret = 0;

    memset(a, 0, sizeof(*a));
    if (options->layer)
        ret = open_layer(a, options, ret_error);
    for (enum artifact i = 0; ret == 0 && !options->layer && i < ARTIFACT_COUNT; i++)
        ret = map_file(artifact(a, i), options->dir, artifact_names[i], ret_error);
    return ret < 0 ? ret : check_parts(a, ret_error);
}

const char *artifacts_policy_string(const struct artifacts *a, struct policy_list list, uint32_t i)
{
    const char *bytes = a->policy.data;
    size_t at = list.offset;

    if (i >= list.count)
        return NULL;
    for (; at < a->policy.size; i--) {
        const char *end = memchr(bytes + at, '\0', a->policy.size - at);

        if (!end)
            return NULL;
        if (i == 0)
            return bytes + at;
        at = (size_t)(end - bytes) + 1;
    }
    return NULL;
}
