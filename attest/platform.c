/* Which platform's collateral a quote needs. */
#include "attest/platform.h"

#include <string.h>

#include "attest/certificate.h"
#include "attest/pck.h"
#include "attest/verify.h"
#include "image/error.h"

static void fill(struct attest_platform *platform, const struct attest_pck *pck, enum attest_pck_ca ca,
                 uint32_t tee_type)
{
    platform->tee = tee_type == ATTEST_TEE_TDX ? ATTEST_DOCUMENT_TDX : ATTEST_DOCUMENT_SGX;
    platform->ca = ca == ATTEST_PCK_CA_PLATFORM ? ATTEST_DOCUMENT_CA_PLATFORM : ATTEST_DOCUMENT_CA_PROCESSOR;
    memcpy(platform->fmspc, pck->fmspc, sizeof(platform->fmspc));
}

/* The first certificate of a PEM text. */
static int first_certificate(const void *text, size_t size, struct certificate *ret_certificate, char **ret_error)
{
    struct pem_list list;
    if (pem_split(text, size, &list, ret_error) < 0)
        return -1;
    int result = certificate_parse(list.items[0].der, list.items[0].size, ret_certificate, ret_error);
    pem_list_free(&list);
    return result;
}

/* The platform of a PCK certificate as a service hands it out. */
static int read_document(const struct attest_document *document, uint32_t tee_type, struct attest_platform *platform,
                         char **ret_error)
{
    struct certificate leaf;
    struct attest_pck pck;
    if (first_certificate(document->data, document->size, &leaf, ret_error) < 0)
        return error_wrap(ret_error, "the PCK certificate");
    int result = pck_extensions_of(&leaf, &pck, ret_error);
    if (result == 0)
        fill(platform, &pck, certificate_pck_ca(&leaf), tee_type);
    certificate_free(&leaf);
    return result < 0 ? error_wrap(ret_error, "the PCK certificate") : 0;
}

static int ask_service(const struct attest_quote *quote, struct attest_source *source,
                       struct attest_platform_identity *identity, char **ret_error)
{
    struct attest_document_request request = {.kind = ATTEST_DOCUMENT_PCK_CERT, .pck = &identity->pck};
    struct attest_ppid_data data;
    struct attest_document document;
    if (attest_quote_ppid_data(quote, &data, ret_error) < 0)
        return -1;
    identity->needs_pck = true;
    identity->pck = (struct attest_pck_request){.qeid = quote->user_data, .pcesvn = data.pce_svn, .pceid = data.pce_id};
    memcpy(identity->pck.cpusvn, data.cpusvn, sizeof(identity->pck.cpusvn));
    if (quote->certification_type !=
        ATTEST_CERTIFICATION_PPID) { /* in clear it identifies the machine, and no service asks */
        identity->pck.encrypted_ppid = data.ppid;
        identity->pck.encrypted_ppid_size = data.ppid_size;
    }
    if (attest_fetch(source, &request, &document, NULL, ret_error) < 0)
        return -1;
    int result = read_document(&document, quote->tee_type, &identity->platform, ret_error);
    attest_document_free(&document);
    return result;
}

int attest_platform_of_quote(const void *data, size_t size, struct attest_source *source,
                             struct attest_platform_identity *ret_identity, char **ret_error)
{
    struct attest_platform_identity identity = {0};
    struct attest_quote quote;
    struct attest_pck pck;
    enum attest_pck_ca ca;
    uint32_t tee_type;
    if (attest_quote_parse(data, size, &quote, ret_error) < 0)
        return error_wrap(ret_error, "the quote");
    int result = 0;
    if (quote.certification_type <= ATTEST_CERTIFICATION_PPID_RSA3072) {
        result = source ? ask_service(&quote, source, &identity, ret_error)
                        : error_set(ret_error,
                                    "the quote does not say which platform it is of, and there is no service to ask");
    } else {
        result = attest_quote_platform(data, size, &pck, &ca, &tee_type, ret_error);
        if (result == 0)
            fill(&identity.platform, &pck, ca, tee_type);
    }
    if (result == 0)
        *ret_identity = identity;
    return result;
}
