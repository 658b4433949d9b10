/*
 * The host call QUOTE: a thread of its own asks the quoting enclave, so that no vCPU waits for it. One question at a
 * time; a new one abandons the one before.
 */
#ifndef COFRE_HOST_QUOTE_SERVICE_H
#define COFRE_HOST_QUOTE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/quote/quoting.h"

/* What QUOTE answers from then on; before, it answers that there is no quoting enclave. */
void quote_service_init(const struct quoting_ops *ops);

/* One host call (abi/hostcall.h): op, offset, vcpu_shared.data. Any thread; returns the result at once. */
int64_t quote_service_call(uint64_t op, uint64_t offset, uint8_t *data);

/* Writes the last quote to a file, "-" being standard output. 0 or negative errno with *ret_error. */
int quote_service_save(const char *path, char **ret_error);

#endif
