/*
 * Documents {"NAME": {...}, "signature": "HEX"} whose signature covers the text of the inner object exactly as it
 * stands, and strict reading of members: every error names the member.
 */
#ifndef COFRE_ATTEST_SIGNED_JSON_H
#define COFRE_ATTEST_SIGNED_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/result.h"

#define SIGNED_JSON_SIZE_MAX (1U << 20)

struct signed_json {
    const char *body; /* the text that is signed; it leads into the document */
    size_t body_size;
    uint8_t signature[64];
    json_t *object; /* of body: what is read is what was signed */
};

/*
 * Opens a document: exactly the members NAME and "signature", neither twice at any depth, no number too large. The
 * signature is not verified. 0, or -1 with *ret_error. The caller drops object.
 */
int signed_json_open(const void *text, size_t size, const char *name, struct signed_json *ret_document,
                     char **ret_error);

/* Members, which must be there and of their type. 0, or -1 with *ret_error "NAME: ...". */
int json_get_number(const json_t *object, const char *name, uint64_t max, uint64_t *ret_number, char **ret_error);
int json_get_hex(const json_t *object, const char *name, void *ret_data, size_t size, char **ret_error);
int json_get_date(const json_t *object, const char *name, int64_t *ret_seconds, char **ret_error);
int json_get_string(const json_t *object, const char *name, const char **ret_text, char **ret_error);
/* A non-empty array of at most max members. */
int json_get_array(const json_t *object, const char *name, size_t max, json_t **ret_array, char **ret_error);
int json_get_object(const json_t *object, const char *name, json_t **ret_object, char **ret_error);

/* issueDate and nextUpdate. */
int json_get_validity(const json_t *object, struct attest_validity *ret_validity, char **ret_error);

#define LEVEL_ADVISORY_COUNT_MAX 64

/* tcbStatus, tcbDate (0 where there is none) and advisoryIDs (version 2 of TCB info had none) of a TCB level. */
int json_get_level(const json_t *level, struct attest_tcb *ret_tcb, char **ret_error);

#endif
