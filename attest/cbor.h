/*
 * The part of CBOR (RFC 8949) that evidence is written in: unsigned integers, byte and text strings, arrays, maps and
 * tags, of definite length. Reading borrows from the caller's bytes.
 */
#ifndef COFRE_ATTEST_CBOR_H
#define COFRE_ATTEST_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum attest_cbor_type {
    ATTEST_CBOR_UINT = 0,
    ATTEST_CBOR_BYTES = 2,
    ATTEST_CBOR_TEXT = 3,
    ATTEST_CBOR_ARRAY = 4,
    ATTEST_CBOR_MAP = 5,
    ATTEST_CBOR_TAG = 6,
};

#define ATTEST_CBOR_DEPTH_MAX 8 /* of items that are skipped */

/* Reading moves next forward; a call that fails leaves it where it was. */
struct attest_cbor {
    const uint8_t *next, *end;
};

/* The next item must be of this type: its value, or its count (a map's is of pairs), or its tag. -1 if it is not. */
int attest_cbor_read(struct attest_cbor *cbor, enum attest_cbor_type type, uint64_t *ret_value);
/* The next item must be a string of this type. */
int attest_cbor_read_string(struct attest_cbor *cbor, enum attest_cbor_type type, const uint8_t **ret_data,
                            size_t *ret_size);
/* Over one item of any type, with all that is in it. */
int attest_cbor_skip(struct attest_cbor *cbor);

/* Writing appends; once there was no memory, everything after does nothing and data is NULL. */
struct attest_cbor_writer {
    uint8_t *data; /* malloc'd: the caller's to free */
    size_t size, capacity;
    bool failed;
};

/* The head of an item in its shortest form; what follows it is the caller's to write. */
void attest_cbor_write(struct attest_cbor_writer *writer, enum attest_cbor_type type, uint64_t value);
void attest_cbor_write_string(struct attest_cbor_writer *writer, enum attest_cbor_type type, const void *data,
                              size_t size);

#endif
