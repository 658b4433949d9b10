/* The SGX extensions of PCK certificates (Intel, "SGX PCK Certificate and CRL Specification", 1.3.5). */
#ifndef COFRE_ATTEST_PCK_H
#define COFRE_ATTEST_PCK_H

#include <stddef.h>
#include <stdint.h>

#include "attest/certificate.h"

/*
 * Parses the value of the extension 1.2.840.113741.1.13.1: DER, all of it. Entries that are not known are passed over;
 * known ones must have their type and size and stand once; PPID, TCB, PCEID, FMSPC and SGX type must be there. 0, or -1
 * with *ret_error.
 */
int pck_extensions_parse(const void *der, size_t size, struct attest_pck *ret_pck, char **ret_error);

/* The same from a certificate, where the extension must stand once. */
int pck_extensions_of(const struct certificate *certificate, struct attest_pck *ret_pck, char **ret_error);

/* Its serial number, which must be of at most 20 bytes, big-endian with zeros in front. */
int pck_serial_of(const struct certificate *certificate, uint8_t ret_serial[20], char **ret_error);

#endif
