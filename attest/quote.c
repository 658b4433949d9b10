/* Parsing quotes: each step takes its part from the front of what is left. */
#include "attest/quote.h"

#include "attest/bytes.h"
#include "image/error.h"

const uint8_t attest_intel_qe_vendor_id[16] = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                               0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

static int cut_short(const char *part, const struct reader *reader, size_t wanted, char **ret_error)
{
    return error_set(ret_error, "cut short in %s: %zu bytes are left of %zu", part, reader->size, wanted);
}

static int parse_header(struct reader *reader, struct attest_quote *quote, char **ret_error)
{
    const uint8_t *header = reader_take(reader, ATTEST_QUOTE_HEADER_SIZE);
    if (!header)
        return cut_short("the header", reader, ATTEST_QUOTE_HEADER_SIZE, ret_error);
    quote->version = load_u16(header);
    quote->key_type = load_u16(header + 2);
    quote->tee_type = quote->version == 3 ? ATTEST_TEE_SGX : load_u32(header + 4);
    if (quote->version < 3 || quote->version > 5)
        return error_set(ret_error, "version %u is not known (3, 4 and 5 are)", quote->version);
    if (quote->key_type != ATTEST_KEY_TYPE_ECDSA_P256)
        return error_set(ret_error, "attestation key type %u is not ECDSA on P-256 (2)", quote->key_type);
    if (quote->version == 3 && load_u32(header + 4) != 0)
        return error_set(ret_error, "reserved bytes 4 to 7 of the header are not zero");
    if (quote->tee_type != ATTEST_TEE_SGX && quote->tee_type != ATTEST_TEE_TDX)
        return error_set(ret_error, "TEE type 0x%x is neither SGX nor TDX", quote->tee_type);
    if (quote->version == 3) {
        quote->qe_svn = load_u16(header + 8);
        quote->pce_svn = load_u16(header + 10);
    }
    quote->qe_vendor_id = header + 12;
    quote->user_data = header + 28;
    return 0;
}

/* Version 5 says what body follows; before, the TEE type does. */
static int parse_body_type(struct reader *reader, struct attest_quote *quote, char **ret_error)
{
    static const size_t sizes[] = {[ATTEST_BODY_SGX] = sizeof(struct attest_sgx_body),
                                   [ATTEST_BODY_TD10] = ATTEST_TD10_BODY_SIZE,
                                   [ATTEST_BODY_TD15] = sizeof(struct attest_td_body)};
    quote->body_type = quote->tee_type == ATTEST_TEE_SGX ? ATTEST_BODY_SGX : ATTEST_BODY_TD10;
    if (quote->version == 5) {
        const uint8_t *descriptor = reader_take(reader, 6);
        if (!descriptor)
            return cut_short("the body descriptor", reader, 6, ret_error);
        uint16_t type = load_u16(descriptor);
        uint32_t size = load_u32(descriptor + 2);
        if (type < ATTEST_BODY_SGX || type > ATTEST_BODY_TD15)
            return error_set(ret_error, "body type %u is not known", type);
        if (size != sizes[type])
            return error_set(ret_error, "a body of type %u has %zu bytes, not %u", type, sizes[type], size);
        if ((type == ATTEST_BODY_SGX) != (quote->tee_type == ATTEST_TEE_SGX))
            return error_set(ret_error, "body type %u does not go with TEE type 0x%x", type, quote->tee_type);
        quote->body_type = (enum attest_body_type)type;
    }
    quote->body_size = sizes[quote->body_type];
    return 0;
}

static int parse_body(struct reader *reader, struct attest_quote *quote, char **ret_error)
{
    if (parse_body_type(reader, quote, ret_error) < 0)
        return -1;
    quote->body = reader_take(reader, quote->body_size);
    if (!quote->body)
        return cut_short("the report body", reader, quote->body_size, ret_error);
    return 0;
}

/* A type, a size and as many bytes, which must be all that is left. */
static int parse_certification(struct reader *reader, uint16_t *ret_type, struct reader *ret_data, char **ret_error)
{
    const uint8_t *head = reader_take(reader, 6);
    if (!head)
        return cut_short("the certification data", reader, 6, ret_error);
    uint32_t size = load_u32(head + 2);
    *ret_type = load_u16(head);
    const uint8_t *data = reader_take(reader, size);
    if (!data)
        return cut_short("the certification data", reader, size, ret_error);
    if (reader->size)
        return error_set(ret_error, "%zu bytes follow the certification data", reader->size);
    *ret_data = (struct reader){data, size};
    return 0;
}

static int parse_qe(struct reader *reader, struct attest_quote *quote, char **ret_error)
{
    quote->qe_report = reader_take(reader, sizeof(struct attest_sgx_body));
    if (!quote->qe_report)
        return cut_short("the quoting enclave's report", reader, sizeof(struct attest_sgx_body), ret_error);
    quote->qe_report_signature = reader_take(reader, 64);
    const uint8_t *size = quote->qe_report_signature ? reader_take(reader, 2) : NULL;
    if (!size)
        return cut_short("the signature of the quoting enclave's report", reader, 66, ret_error);
    quote->qe_auth_data_size = load_u16(size);
    quote->qe_auth_data = reader_take(reader, quote->qe_auth_data_size);
    if (!quote->qe_auth_data)
        return cut_short("the authentication data", reader, quote->qe_auth_data_size, ret_error);
    uint16_t type;
    struct reader data;
    if (parse_certification(reader, &type, &data, ret_error) < 0)
        return -1;
    if (type < ATTEST_CERTIFICATION_PPID || type > ATTEST_CERTIFICATION_PLATFORM_MANIFEST ||
        type == ATTEST_CERTIFICATION_QE_REPORT)
        return error_set(ret_error, "certification data of type %u is not known here", type);
    quote->certification_type = (enum attest_certification_type)type;
    quote->certification_data = data.data;
    quote->certification_data_size = data.size;
    return 0;
}

static int parse_signature_data(struct reader *reader, struct attest_quote *quote, char **ret_error)
{
    quote->signature = reader_take(reader, 64);
    quote->attestation_key = quote->signature ? reader_take(reader, 64) : NULL;
    if (!quote->attestation_key)
        return cut_short("the signature data", reader, 128, ret_error);
    if (quote->version == 3)
        return parse_qe(reader, quote, ret_error);
    uint16_t type;
    struct reader inner;
    if (parse_certification(reader, &type, &inner, ret_error) < 0)
        return -1;
    if (type != ATTEST_CERTIFICATION_QE_REPORT)
        return error_set(ret_error, "certification data of type %u stands where type 6 must", type);
    return parse_qe(&inner, quote, ret_error);
}

int attest_quote_parse(const void *data, size_t size, struct attest_quote *ret_quote, char **ret_error)
{
    struct attest_quote quote = {0};
    struct reader reader = {data, size};
    if (size > ATTEST_QUOTE_SIZE_MAX)
        return error_set(ret_error, "%zu bytes are too many for a quote", size);
    if (parse_header(&reader, &quote, ret_error) < 0 || parse_body(&reader, &quote, ret_error) < 0)
        return -1;
    quote.signed_bytes = data;
    quote.signed_size = size - reader.size;
    const uint8_t *length = reader_take(&reader, 4);
    if (!length)
        return cut_short("the length of the signature data", &reader, 4, ret_error);
    uint32_t signature_size = load_u32(length);
    if (signature_size > reader.size)
        return cut_short("the signature data", &reader, signature_size, ret_error);
    if (signature_size < reader.size)
        return error_set(ret_error, "%zu bytes follow its end", reader.size - signature_size);
    if (parse_signature_data(&reader, &quote, ret_error) < 0)
        return -1;
    *ret_quote = quote;
    return 0;
}

size_t attest_quote_length(const void *data, size_t size)
{
    struct attest_quote quote = {0};
    struct reader reader = {data, size};
    const uint8_t *length = NULL;
    if (parse_header(&reader, &quote, NULL) == 0 && parse_body(&reader, &quote, NULL) == 0)
        length = reader_take(&reader, 4);
    if (!length)
        return 0;
    size_t total = size - reader.size + load_u32(length);
    return total <= ATTEST_QUOTE_SIZE_MAX ? total : 0;
}

int attest_quote_ppid_data(const struct attest_quote *quote, struct attest_ppid_data *ret_data, char **ret_error)
{
    static const size_t ppid_sizes[] = {[ATTEST_CERTIFICATION_PPID] = 16,
                                        [ATTEST_CERTIFICATION_PPID_RSA2048] = 256,
                                        [ATTEST_CERTIFICATION_PPID_RSA3072] = 384};
    if (quote->certification_type > ATTEST_CERTIFICATION_PPID_RSA3072)
        return error_set(ret_error, "certification data of type %d holds no PPID", quote->certification_type);
    size_t ppid_size = ppid_sizes[quote->certification_type], field_size = ppid_size, rest = 16 + 2 + 2;
    /* The structure of Intel's header for type 1 has a field of 384 bytes for the 16 of the PPID; the documents do not.
     */
    if (quote->certification_type == ATTEST_CERTIFICATION_PPID && quote->certification_data_size == 384 + rest)
        field_size = 384;
    if (quote->certification_data_size != field_size + rest)
        return error_set(ret_error, "certification data of type %d has %zu bytes, not %zu", quote->certification_type,
                         quote->certification_data_size, field_size + rest);
    const uint8_t *data = quote->certification_data;
    *ret_data = (struct attest_ppid_data){.ppid = data,
                                          .ppid_size = ppid_size,
                                          .cpusvn = data + field_size,
                                          .pce_svn = load_u16(data + field_size + 16),
                                          .pce_id = load_u16(data + field_size + 18)};
    return 0;
}

const uint8_t *attest_quote_report_data(const struct attest_quote *quote)
{
    return quote->body + (quote->body_type == ATTEST_BODY_SGX ? offsetof(struct attest_sgx_body, report_data)
                                                              : offsetof(struct attest_td_body, report_data));
}
