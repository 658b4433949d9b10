/* Arguments that the commands about evidence share: times, services. */
#ifndef COFRE_CLI_ATTEST_ARGUMENT_H
#define COFRE_CLI_ATTEST_ARGUMENT_H

#include <stdint.h>

#define ATTEST_FILE_SIZE_MAX (4U << 20) /* of any file that is read whole */

/* "2026-11-28T13:00:00Z", "2026-11-28", or seconds since 1970; -1 if it is none of these. */
int attest_time_parse(const char *text, int64_t *ret_seconds);

/* "intel" and "azure" name services of collateral; anything else is a URL. */
const char *attest_service_url(const char *text);

#endif
