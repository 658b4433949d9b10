/*
 * /dev/attestation: evidence as files, with the names and sizes that programs for SGX library OSes know. A whole value
 * is written by one write(2), shorter ones are padded with zeros; a read at the beginning makes the value anew. What is
 * written is state of the whole enclave.
 */
#include <linux/errno.h>
#include <linux/stat.h>

#include "abi/key_release.h"
#include "kernel/attestation/attestation.h"
#include "kernel/attestation/quote_check.h"
#include "kernel/crypto/secret.h"
#include "kernel/crypto/sgx_key.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

_Static_assert(sizeof(KEY_RELEASE_MARK) == KEY_RELEASE_MARK_SIZE + 1, "abi/key_release.h");
_Static_assert(sizeof(REPORT_MARK_KERNEL) == REPORT_MARK_SIZE + 1, "attestation.h");

#define ATTESTFS_MAGIC 0x41545354 /* "ATST" */

static uint8_t user_report_data[64];
static struct sgx_targetinfo target_info;
static bool target_info_set; /* else reports are for this enclave itself */

static int show_type(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "dcap");
    return 0;
}

static int show_user_report_data(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_write(seq, user_report_data, sizeof(user_report_data));
    return 0;
}

/* A write at the beginning makes the value anew; further ones go on in it. */
static int assemble(void *value, size_t value_size, const char *bytes, size_t size, file_off_t pos)
{
    if (pos < 0 || (uint64_t)pos > value_size || size > value_size - (size_t)pos)
        return -EINVAL;
    if (pos == 0)
        memset(value, 0, value_size);
    memcpy((uint8_t *)value + pos, bytes, size);
    return 0;
}

static int store_user_report_data(const struct pseudo_ctx *ctx, const char *bytes, size_t size, file_off_t pos)
{
    uint8_t data[sizeof(user_report_data)];

    memcpy(data, user_report_data, sizeof(data));
    int r = assemble(data, sizeof(data), bytes, size, pos);
    if (r == 0 && (memcmp(data + REPORT_MARK_OFFSET, REPORT_MARK_KERNEL, REPORT_MARK_SIZE) == 0 ||
                   memcmp(data + KEY_RELEASE_MARK_OFFSET, KEY_RELEASE_MARK, KEY_RELEASE_MARK_SIZE) == 0))
        r = -EPERM;
    if (r == 0)
        memcpy(user_report_data, data, sizeof(data));
    return r;
}

static int show_target_info(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_write(seq, &target_info, sizeof(target_info));
    return 0;
}

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum |= p[i];
    return sum == 0;
}

static int store_target_info(const struct pseudo_ctx *ctx, const char *bytes, size_t size, file_off_t pos)
{
    struct sgx_targetinfo target = target_info;

    int r = assemble(&target, sizeof(target), bytes, size, pos);
    if (r < 0 || !targetinfo_ok(&target))
        return -EINVAL;
    target_info = target;
    target_info_set = !all_zero(&target, sizeof(target));
    return 0;
}

static void own_target(struct sgx_targetinfo *ret_target)
{
    static const uint8_t nothing[64];
    struct sgx_report self;

    sgx_report(NULL, nothing, &self);
    sgx_report_target(&self, ret_target);
}

static int show_my_target_info(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct sgx_targetinfo target;

    own_target(&target);
    seq_write(seq, &target, sizeof(target));
    return 0;
}

static int show_report(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct sgx_targetinfo target = target_info;
    struct sgx_report report;

    if (!target_info_set)
        own_target(&target);
    sgx_report(&target, user_report_data, &report);
    seq_write(seq, &report, sizeof(report));
    return 0;
}

/* Accepts a report of an enclave of this machine that was made for this enclave. */
static int store_verify_report(const struct pseudo_ctx *ctx, const char *bytes, size_t size)
{
    struct sgx_report report;

    if (size != sizeof(report))
        return -EINVAL;
    memcpy(&report, bytes, sizeof(report));
    return sgx_report_verify(&report) ? 0 : -EBADMSG;
}

static int show_quote(struct seq *seq, const struct pseudo_ctx *ctx)
{
    uint8_t *quote;
    size_t size;

    int r = quote_make(user_report_data, &quote, &size);
    if (r < 0)
        return r;
    seq_write(seq, quote, size);
    kfree(quote);
    return 0;
}

/* A key of the application's own: no key that the kernel uses has this KEYID. */
static int show_seal_key(struct seq *seq, enum sgx_seal_policy policy)
{
    static const uint8_t keyid[32] = "/dev/attestation/keys, version 1";
    struct sgx_svn svn;
    uint8_t key[16];

    sgx_svn_current(&svn);
    int r = sgx_seal_key(policy, keyid, &svn, key);
    if (r == 0)
        seq_write(seq, key, sizeof(key));
    memory_wipe(key, sizeof(key));
    return r;
}

static int show_mrenclave_key(struct seq *seq, const struct pseudo_ctx *ctx)
{
    return show_seal_key(seq, SGX_SEAL_MRENCLAVE);
}

static int show_mrsigner_key(struct seq *seq, const struct pseudo_ctx *ctx)
{
    return show_seal_key(seq, SGX_SEAL_MRSIGNER);
}

#define READ S_IFREG | 0444
#define READ_WRITE S_IFREG | 0666
#define WRITE S_IFREG | 0222

static const struct pseudo_entry key_entries[] = {
    {.name = "_sgx_mrenclave", .mode = READ, .show = show_mrenclave_key},
    {.name = "_sgx_mrsigner", .mode = READ, .show = show_mrsigner_key},
    {0},
};
static const struct pseudo_entry entries[] = {
    {.name = "attestation_type", .mode = READ, .show = show_type},
    {.name = "user_report_data", .mode = READ_WRITE, .show = show_user_report_data, .store_at = store_user_report_data},
    {.name = "target_info", .mode = READ_WRITE, .show = show_target_info, .store_at = store_target_info},
    {.name = "my_target_info", .mode = READ, .show = show_my_target_info},
    {.name = "report", .mode = READ, .show = show_report},
    {.name = "verify_report", .mode = WRITE, .store = store_verify_report},
    {.name = "quote", .mode = READ, .show = show_quote},
    {.name = "keys", .mode = S_IFDIR | 0555, .children = key_entries},
    {0},
};
static const struct pseudo_entry root = {.mode = S_IFDIR | 0555, .children = entries};

struct super_block *attestfs_new(void)
{
    return pseudofs_new("attestation", ATTESTFS_MAGIC, &root);
}
