/* Wrapping keys of people: the 32 bytes of a file, scrypt of a passphrase, the private half of a recovery key. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/command.h"
#include "kernel/crypto/secret.h"
#include "kernel/volume/recovery.h"
#include "volume/tool.h"

struct scrypt_params {
    uint64_t n;
    uint32_t r, p;
    uint8_t salt[32];
};
#define SCRYPT_N (1ULL << 17) /* 128 MiB, about half a second */
#define SCRYPT_N_MAX (1ULL << 22)
#define PASSPHRASE_MAX 1024

static int key_file_read(const char *path, uint8_t ret_key[32])
{
    uint8_t data[33];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, data, sizeof(data));
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (size != 32) {
        fprintf(stderr, "cofre: reading key %s failed: %s\n", path,
                size < 0 ? strerror(saved) : "a key is 32 bytes (head -c 32 /dev/urandom >FILE makes one)");
        return TOOL_SAID(EXIT_KEY);
    }
    memcpy(ret_key, data, 32);
    memory_wipe(data, sizeof(data));
    return 0;
}

/* One line, from a file or from the terminal without echo. */
static int passphrase_read(const struct tool_options *options, const char *prompt, char ret_text[PASSPHRASE_MAX])
{
    FILE *in = options->passphrase_file ? fopen(options->passphrase_file, "re") : fopen("/dev/tty", "r+e");
    struct termios saved, quiet;
    bool terminal = in && !options->passphrase_file && tcgetattr(fileno(in), &saved) == 0;
    if (!in) {
        fprintf(stderr, "cofre: reading the passphrase failed: %s (--key-file or --passphrase-file?)\n",
                strerror(errno));
        return TOOL_SAID(EXIT_KEY);
    }
    if (terminal) {
        quiet = saved;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fileno(in), TCSAFLUSH, &quiet);
        fputs(prompt, stderr);
    }
    bool good = fgets(ret_text, PASSPHRASE_MAX, in) != NULL;
    if (terminal) {
        tcsetattr(fileno(in), TCSAFLUSH, &saved);
        fputc('\n', stderr);
    }
    fclose(in);
    if (good)
        ret_text[strcspn(ret_text, "\n")] = 0;
    if (good && ret_text[0])
        return 0;
    fputs("cofre: reading the passphrase failed: it is empty\n", stderr);
    return TOOL_SAID(EXIT_KEY);
}

/* Mistyped it would be known to nobody, so who types it does so twice. */
static int passphrase_new(const struct tool_options *options, char ret_text[PASSPHRASE_MAX])
{
    char again[PASSPHRASE_MAX];
    int err = passphrase_read(options, "New passphrase: ", ret_text);
    if (err < 0 || options->passphrase_file)
        return err;
    err = passphrase_read(options, "Once more: ", again);
    if (err == 0 && strcmp(again, ret_text) != 0) {
        fputs("cofre: reading the passphrase failed: the second one is another\n", stderr);
        err = TOOL_SAID(EXIT_KEY);
    }
    memory_wipe(again, sizeof(again));
    return err;
}

static int passphrase_key(const char *text, const struct scrypt_params *params, uint8_t ret_key[32])
{
    if (params->n > SCRYPT_N_MAX || params->r > 32 || params->p > 16)
        return -ENOKEY; /* not a cost that this program ever asks for */
    return EVP_PBE_scrypt(text, strlen(text), params->salt, sizeof(params->salt), params->n, params->r, params->p,
                          1UL << 32, ret_key, 32) == 1
               ? 0
               : -ENOMEM;
}

static int recovery_key(const char *path, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    uint8_t private_key[RECOVERY_KEY_SIZE];
    size_t size = sizeof(private_key);
    FILE *in = fopen(path, "re");
    EVP_PKEY *key = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;
    bool good = key && EVP_PKEY_get_id(key) == EVP_PKEY_X25519 &&
                EVP_PKEY_get_raw_private_key(key, private_key, &size) == 1 && size == sizeof(private_key);
    if (!good)
        fprintf(stderr, "cofre: reading the recovery key %s failed: %s\n", path,
                in ? "it is no private X25519 key in PEM (cofre volume keygen makes one)" : strerror(errno));
    EVP_PKEY_free(key);
    if (in)
        fclose(in);
    int err = good ? volume_recovery_open(private_key, slot, ret_key) : TOOL_SAID(EXIT_KEY);
    memory_wipe(private_key, sizeof(private_key));
    return err;
}

/* Each copy of the header and each slot asks for it: the user is asked, and told what is wrong, once. */
static int passphrase_once(const struct tool_options *options, char ret_text[PASSPHRASE_MAX])
{
    static char text[PASSPHRASE_MAX];
    static int result = 1;
    if (result > 0)
        result = passphrase_read(options, "Passphrase: ", text);
    memcpy(ret_text, text, PASSPHRASE_MAX);
    return result;
}

static int slot_unlock(const struct tool_options *options, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    struct scrypt_params params;
    char text[PASSPHRASE_MAX];
    if (options->recovery_key)
        return slot->type == VOLUME_KEY_RECOVERY ? recovery_key(options->recovery_key, slot, ret_key) : -ENOKEY;
    if (options->key_file) /* `derive` makes one of a passphrase */
        return slot->type == VOLUME_KEY_FILE || slot->type == VOLUME_KEY_PASSPHRASE
                   ? key_file_read(options->key_file, ret_key)
                   : -ENOKEY;
    if (slot->type != VOLUME_KEY_PASSPHRASE || slot->params_size != sizeof(params))
        return -ENOKEY;
    memcpy(&params, slot->params, sizeof(params));
    int err = passphrase_once(options, text);
    if (err == 0)
        err = passphrase_key(text, &params, ret_key);
    memory_wipe(text, sizeof(text));
    return err;
}

int tool_unlock(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    static int said;
    int err = said ? said : slot_unlock(arg, slot, ret_key);
    if (err <= TOOL_SAID(0))
        said = err;
    return err;
}

int tool_new_slot(const struct tool_options *options, struct volume_key_slot *ret_slot, uint8_t ret_key[32])
{
    *ret_slot = (struct volume_key_slot){.type = options->key_file ? VOLUME_KEY_FILE : VOLUME_KEY_PASSPHRASE};
    string_copy(ret_slot->name,
                options->name       ? options->name
                : options->key_file ? "key file"
                                    : "passphrase",
                sizeof(ret_slot->name));
    if (options->key_file)
        return key_file_read(options->key_file, ret_key) < 0 ? EXIT_KEY : 0;
    struct scrypt_params params = {.n = SCRYPT_N, .r = 8, .p = 1};
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && read(fd, params.salt, sizeof(params.salt)) == sizeof(params.salt);
    if (fd >= 0)
        close(fd);
    ret_slot->params_size = sizeof(params);
    memcpy(ret_slot->params, &params, sizeof(params));
    char text[PASSPHRASE_MAX];
    good = good && passphrase_new(options, text) == 0 && passphrase_key(text, &params, ret_key) == 0;
    memory_wipe(text, sizeof(text));
    return good ? 0 : EXIT_KEY;
}

int tool_recovery_slot(const struct tool_options *options, struct volume_key_slot *ret_slot, uint8_t ret_key[32])
{
    uint8_t recipient[RECOVERY_KEY_SIZE], fresh[RECOVERY_KEY_SIZE];
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && read(fd, fresh, sizeof(fresh)) == sizeof(fresh);
    if (fd >= 0)
        close(fd);
    if (!good || volume_recovery_parse(options->recovery, recipient) < 0 ||
        volume_recovery_new(recipient, fresh, ret_slot, ret_key) < 0) {
        fprintf(stderr, "cofre: \"%s\" is no public key (X25519, 64 hexadecimal digits: cofre volume keygen)\n",
                options->recovery);
        return EXIT_KEY;
    }
    if (options->name)
        string_copy(ret_slot->name, options->name, sizeof(ret_slot->name));
    return 0;
}

int volume_cmd_keygen(struct tool_options *options, char **operands)
{
    uint8_t public_key[RECOVERY_KEY_SIZE];
    size_t size = sizeof(public_key);
    int fd = open(operands[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    (void)options;
    if (!out) {
        fprintf(stderr, "cofre: making the key %s failed: %s\n", operands[0], strerror(errno));
        return EXIT_COFRE;
    }
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    bool good = key && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                EVP_PKEY_get_raw_public_key(key, public_key, &size) == 1;
    EVP_PKEY_free(key);
    if (fclose(out) != 0 || !good) {
        unlink(operands[0]);
        fprintf(stderr, "cofre: making the key %s failed: it cannot be written\n", operands[0]);
        return EXIT_DISK;
    }
    for (size_t i = 0; i < sizeof(public_key); i++)
        printf("%02x", public_key[i]);
    printf("\n");
    return 0;
}

struct derived {
    struct tool_options *options;
    uint8_t key[32];
};

static int derive_passphrase(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    struct derived *d = arg;
    int err = slot->type == VOLUME_KEY_PASSPHRASE ? tool_unlock(d->options, slot, ret_key) : -ENOKEY;
    if (err == 0)
        memcpy(d->key, ret_key, sizeof(d->key));
    return err;
}

/* Opening it shows that the passphrase is right: what came last is what opened. */
int volume_cmd_derive(struct tool_options *options, char **operands)
{
    static const struct volume_options read_only = {.read_only = true};
    struct tool_options with_passphrase = *options;
    struct derived d = {.options = &with_passphrase};
    struct volume_file file;
    struct volume *v;
    with_passphrase.key_file = with_passphrase.recovery_key = NULL;
    int code = volume_file_open(&file, operands[0], false);
    if (code != 0)
        return code;
    int err = volume_mount(&file.io, &read_only, derive_passphrase, &d, &v);
    volume_file_close(&file);
    if (err < 0)
        return tool_failed(operands[0], err);
    volume_abandon(v);
    int fd = tool_output_open(operands[1], options->force, operands[0]);
    ssize_t size = fd < 0 ? 0 : write(fd, d.key, sizeof(d.key));
    memory_wipe(&d, sizeof(d));
    if (fd < 0)
        return EXIT_COFRE;
    bool good = size == sizeof(d.key) && close(fd) == 0;
    if (!good) {
        fprintf(stderr, "cofre: writing the key %s failed: %s\n", operands[1], strerror(errno));
        tool_output_drop(operands[1]);
    }
    return good ? 0 : EXIT_DISK;
}
