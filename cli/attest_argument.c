/* Arguments of the commands about evidence. */
#include "cli/attest_argument.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/date.h"
#include "attest/fetch.h"

int attest_time_parse(const char *text, int64_t *ret_seconds)
{
    struct tm tm = {0};
    const char *day_end = strptime(text, "%Y-%m-%d", &tm);
    char *end;
    if (attest_date_parse(text, ret_seconds))
        return 0;
    if (day_end && !*day_end) {
        *ret_seconds = timegm(&tm);
        return 0;
    }
    errno = 0;
    *ret_seconds = strtoll(text, &end, 10);
    return errno || end == text || *end ? -1 : 0;
}

const char *attest_service_url(const char *text)
{
    if (strcmp(text, "intel") == 0)
        return ATTEST_PCS_URL;
    return strcmp(text, "azure") == 0 ? ATTEST_AZURE_URL : text;
}
