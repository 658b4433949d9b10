/* Keys of root images, and the pass that encrypts one (contract in image_key.h). */
#include "image/image_key.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/error.h"
#include "image/file_io.h"
#include "image/key_wrap.h"
#include "image/parallel.h"
#include "image/progress.h"

#define SECTOR_SIZE 4096U
#define UNIT_SIZE 512U /* plain64 counts these */
#define JOB_SIZE (1U << 20)

/* IEEE 1619 wants data key and tweak key to differ. */
static bool halves_differ(const uint8_t key[IMAGE_KEY_SIZE])
{
    return memcmp(key, key + IMAGE_KEY_SIZE / 2, IMAGE_KEY_SIZE / 2) != 0;
}

static int draw(const char *path, uint8_t ret_key[IMAGE_KEY_SIZE], char **ret_error)
{
    do {
        if (RAND_priv_bytes(ret_key, IMAGE_KEY_SIZE) != 1)
            return error_set(ret_error, "drawing a key for %s failed", path);
    } while (!halves_differ(ret_key));
    return 0;
}

/* A new file, whole and on disk, or none. */
static int save(const char *path, const uint8_t *bytes, size_t size, char **ret_error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(ret_error, errno, "making the image key %s", path);
    int result = file_write(fd, 0, bytes, size, path, ret_error);
    if (result == 0 && fsync(fd) < 0)
        result = error_set_errno(ret_error, errno, "writing the image key %s", path);
    close(fd);
    if (result < 0)
        unlink(path);
    return result;
}

static int make(const char *path, uint8_t ret_key[IMAGE_KEY_SIZE], char **ret_error)
{
    return draw(path, ret_key, ret_error) < 0 ? -1 : save(path, ret_key, IMAGE_KEY_SIZE, ret_error);
}

int image_key_make_wrapped(const char *path, const uint8_t server[32], const char *name,
                           uint8_t ret_key[IMAGE_KEY_SIZE], char **ret_error)
{
    uint8_t wrapped[IMAGE_KEY_SIZE + KEY_WRAP_OVERHEAD];
    if (draw(path, ret_key, ret_error) < 0 || key_wrap(server, name, ret_key, IMAGE_KEY_SIZE, wrapped, ret_error) < 0)
        return -1;
    return save(path, wrapped, sizeof(wrapped), ret_error);
}

int image_key_open(const char *path, uint8_t ret_key[IMAGE_KEY_SIZE], bool *ret_made, char **ret_error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC), result;

    *ret_made = false;
    if (fd < 0 && errno == ENOENT) {
        result = make(path, ret_key, ret_error);
        *ret_made = result == 0;
        return result;
    }
    if (fd < 0 || fstat(fd, &status) < 0)
        result = error_set_errno(ret_error, errno, "the image key %s", path);
    else if (!S_ISREG(status.st_mode) || status.st_size != IMAGE_KEY_SIZE)
        result = error_set(ret_error, "%s is not an image key: a file of %d random bytes", path, IMAGE_KEY_SIZE);
    else
        result = file_read(fd, 0, ret_key, IMAGE_KEY_SIZE, path, ret_error);
    if (result == 0 && !halves_differ(ret_key))
        result = error_set(ret_error, "%s is not an image key: its halves are equal", path);
    if (fd >= 0)
        close(fd);
    return result;
}

void image_key_check_value(const uint8_t key[IMAGE_KEY_SIZE], uint8_t ret_check[POLICY_KEY_CHECK_SIZE])
{
    static const char label[] = POLICY_KEY_CHECK_LABEL;
    uint8_t mac[EVP_MAX_MD_SIZE];

    if (!HMAC(EVP_sha256(), key, IMAGE_KEY_SIZE, (const uint8_t *)label, sizeof(label) - 1, mac, NULL))
        errx(1, "HMAC-SHA-256 is not to be had");
    memcpy(ret_check, mac, POLICY_KEY_CHECK_SIZE);
}

struct encryption {
    int fd;
    uint64_t offset;
    const uint8_t *key;
    struct progress *progress;
};

static int encrypt_piece(void *context, void *work, uint64_t offset, size_t size, char **ret_error)
{
    struct encryption *encryption = context;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    uint8_t *data = work;
    int n, good = cipher && EVP_EncryptInit_ex(cipher, EVP_aes_256_xts(), NULL, encryption->key, NULL);

    int result = file_read(encryption->fd, encryption->offset + offset, data, size, "the output", ret_error);
    for (size_t done = 0; good && result == 0 && done < size; done += SECTOR_SIZE) {
        const uint64_t tweak[2] = {(offset + done) / UNIT_SIZE, 0}; /* little-endian, as the machine is */
        good = EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, (const uint8_t *)tweak) &&
               EVP_EncryptUpdate(cipher, data + done, &n, data + done, SECTOR_SIZE);
    }
    EVP_CIPHER_CTX_free(cipher);
    if (!good)
        return error_set(ret_error, "AES-256-XTS is not to be had from OpenSSL");
    if (result == 0)
        result = file_write(encryption->fd, encryption->offset + offset, data, size, "the output", ret_error);
    if (result == 0 && !progress_add(encryption->progress, size))
        result = error_set(ret_error, "interrupted");
    return result;
}

int image_encrypt(int fd, uint64_t offset, uint64_t size, const uint8_t key[IMAGE_KEY_SIZE], struct progress *progress,
                  char **ret_error)
{
    struct encryption encryption = {.fd = fd, .offset = offset, .key = key, .progress = progress};
    const struct parallel parallel = {
        .size = size,
        .job_size = JOB_SIZE,
        .work_size = JOB_SIZE,
        .context = &encryption,
        .run = encrypt_piece,
    };

    return parallel_run(&parallel, ret_error);
}
