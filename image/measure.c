/* MRENCLAVE from records, from our own parts, or from a foreign SGXS stream. */
#include "image/measure.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "abi/layout.h"
#include "image/error.h"
#include "image/sgx_arch.h"

#define TAG_ECREATE 0x0045544145524345ULL
#define TAG_EADD 0x0000000044444145ULL
#define TAG_EEXTEND 0x00444E4554584545ULL
#define TAG_UNMEASURED 0x44525341454D4E55ULL /* "UNMEASRD" */
#define CHUNK_SIZE 256

struct measure {
    EVP_MD_CTX *sha256;
};

struct measure *measure_new(void)
{
    struct measure *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->sha256 = EVP_MD_CTX_new();
    if (!m->sha256 || !EVP_DigestInit_ex(m->sha256, EVP_sha256(), NULL)) {
        measure_free(m);
        return NULL;
    }
    return m;
}

void measure_free(struct measure *m)
{
    if (!m)
        return;
    EVP_MD_CTX_free(m->sha256);
    free(m);
}

static void record(struct measure *m, const void *block)
{
    EVP_DigestUpdate(m->sha256, block, 64);
}

void measure_ecreate(struct measure *m, uint64_t size, uint32_t ssa_frame_pages)
{
    struct {
        uint64_t tag;
        uint32_t ssa_frame_pages;
        uint64_t size;
        uint8_t zero[44];
    } __attribute__((packed)) block = {.tag = TAG_ECREATE, .ssa_frame_pages = ssa_frame_pages, .size = size};
    record(m, &block);
}

static void record_offset(struct measure *m, uint64_t tag, uint64_t offset, uint64_t flags)
{
    struct {
        uint64_t tag, offset, flags;
        uint8_t zero[40];
    } block = {.tag = tag, .offset = offset, .flags = flags};
    record(m, &block);
}

void measure_page(struct measure *m, uint64_t offset, uint64_t secinfo_flags, const void *data, int extend)
{
    static const uint8_t zeros[PAGE_SIZE];
    const uint8_t *bytes = data ? data : zeros;
    record_offset(m, TAG_EADD, offset, secinfo_flags);
    for (uint64_t chunk = 0; extend && chunk < PAGE_SIZE; chunk += CHUNK_SIZE) {
        record_offset(m, TAG_EEXTEND, offset + chunk, 0);
        EVP_DigestUpdate(m->sha256, bytes + chunk, CHUNK_SIZE);
    }
}

void measure_final(struct measure *m, uint8_t ret_mrenclave[32])
{
    EVP_DigestFinal_ex(m->sha256, ret_mrenclave, NULL);
}

static int measure_run(void *arg, uint64_t address, const void *data, uint64_t page_count, uint64_t secinfo_flags,
                       int extend)
{
    const uint8_t *bytes = data;
    for (uint64_t i = 0; i < page_count; i++)
        measure_page(arg, address - ELRANGE_BASE + i * PAGE_SIZE, secinfo_flags, bytes ? bytes + i * PAGE_SIZE : NULL,
                     extend);
    return 0;
}

int measure_enclave(const struct enclave_parts *parts, uint8_t ret_mrenclave[32], char **ret_error)
{
    /* A first walk that adds nothing checks the parts, so that the size below may be believed. */
    struct measure *m = measure_new();
    if (!m)
        return error_set(ret_error, "out of memory");
    if (parts->policy_size >= sizeof(struct policy))
        measure_ecreate(m, enclave_layout_size(parts), SSA_FRAME_PAGES);
    int r = enclave_layout_for_each(parts, measure_run, m, ret_error);
    if (r == 0)
        measure_final(m, ret_mrenclave);
    measure_free(m);
    return r;
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static int all_zero(const uint8_t *p, size_t size)
{
    while (size--)
        if (*p++)
            return 0;
    return 1;
}

struct sgxs {
    FILE *stream;
    struct measure *m;
    uint64_t position, size, page; /* page: offset of the last EADD, or ~0 */
    char **error;
};

static int sgxs_read(struct sgxs *s, void *buf, size_t size)
{
    size_t n = fread(buf, 1, size, s->stream);
    if (n == 0 && feof(s->stream))
        return 0;
    if (n != size)
        return error_set(s->error, "the stream ends inside the record at byte %llu", (unsigned long long)s->position);
    return 1;
}

/* EEXTEND and UNMEASRD carry 256 bytes that must belong to the page added last. */
static int sgxs_data(struct sgxs *s, const uint8_t header[64], int extend)
{
    uint8_t data[CHUNK_SIZE];
    uint64_t offset = load64(header + 8);
    if (offset % CHUNK_SIZE || s->page == ~0ULL || offset - s->page >= PAGE_SIZE || !all_zero(header + 16, 48))
        return error_set(s->error, "the data record at byte %llu does not belong to the page added before it",
                         (unsigned long long)s->position);
    int r = sgxs_read(s, data, sizeof(data));
    if (r <= 0)
        return r < 0 ? r : error_set(s->error, "the stream ends inside a record");
    s->position += sizeof(data);
    if (extend) {
        record(s->m, header);
        EVP_DigestUpdate(s->m->sha256, data, sizeof(data));
    }
    return 0;
}

static int sgxs_record(struct sgxs *s, const uint8_t header[64])
{
    uint64_t tag = load64(header), offset = load64(header + 8);
    if (tag == TAG_ECREATE) {
        s->size = load64(header + 12);
        if (s->position != 0 || s->size == 0 || (s->size & (s->size - 1)) || !all_zero(header + 20, 44))
            return error_set(s->error, "bad ECREATE record at byte %llu", (unsigned long long)s->position);
        record(s->m, header);
        return 0;
    }
    if (s->size == 0)
        return error_set(s->error, "the stream does not begin with ECREATE: not an SGXS file");
    switch (tag) {
    case TAG_EADD:
        if (offset % PAGE_SIZE || offset >= s->size)
            return error_set(s->error, "EADD at byte %llu adds a page outside the enclave",
                             (unsigned long long)s->position);
        s->page = offset;
        record(s->m, header);
        return 0;
    case TAG_EEXTEND:
        return sgxs_data(s, header, 1);
    case TAG_UNMEASURED:
        return sgxs_data(s, header, 0);
    default:
        return error_set(s->error, "unknown record at byte %llu", (unsigned long long)s->position);
    }
}

int measure_sgxs(FILE *stream, uint8_t ret_mrenclave[32], char **ret_error)
{
    struct sgxs s = {.stream = stream, .m = measure_new(), .page = ~0ULL, .error = ret_error};
    uint8_t header[64];
    int r = s.m ? 0 : error_set(ret_error, "out of memory");
    while (r == 0) {
        int got = sgxs_read(&s, header, sizeof(header));
        if (got <= 0) {
            r = got;
            break;
        }
        r = sgxs_record(&s, header);
        s.position += sizeof(header);
    }
    if (r == 0 && s.size == 0)
        r = error_set(ret_error, "the stream is empty");
    if (r == 0)
        measure_final(s.m, ret_mrenclave);
    measure_free(s.m);
    return r;
}
