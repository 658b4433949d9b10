/* Who makes quotes: the platform's quoting enclave behind AESM, or the software one. Both block. */
#ifndef COFRE_HOST_QUOTE_QUOTING_H
#define COFRE_HOST_QUOTE_QUOTING_H

#include <stddef.h>
#include <stdint.h>

#define QUOTING_TARGETINFO_SIZE 512
#define QUOTING_REPORT_SIZE 432

/* 0 or negative errno with *ret_error. */
struct quoting_ops {
    const char *name;
    int (*target)(uint8_t ret_targetinfo[QUOTING_TARGETINFO_SIZE], char **ret_error);
    /* *ret_size is at most max. */
    int (*quote)(const uint8_t report[QUOTING_REPORT_SIZE], uint8_t *ret_quote, size_t max, size_t *ret_size,
                 char **ret_error);
};

/* aesm.c: the service at $COFRE_AESM, or /var/run/aesmd/aesm.socket. */
extern const struct quoting_ops quoting_aesm;
/* software.c: simulation. */
extern const struct quoting_ops quoting_software;

#endif
