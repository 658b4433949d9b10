/* What `cofre verify` does with what is no quote: SIGSTRUCTs, images, reports. */
#ifndef COFRE_CLI_VERIFY_OTHER_H
#define COFRE_CLI_VERIFY_OTHER_H

#include <stdbool.h>
#include <stddef.h>

/* Each prints what it finds and returns the exit status. */
int verify_sigstruct(const void *data, bool as_json);
int verify_image(const char *path, bool as_json);
/* EREPORT's 432 bytes: shown, for only an enclave on the same machine can verify it. */
int verify_report(const void *data, bool as_json);

#endif
