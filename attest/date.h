/* Dates as Intel's documents and Cofre's write them: "2026-11-28T13:00:00Z", seconds since 1970. */
#ifndef COFRE_ATTEST_DATE_H
#define COFRE_ATTEST_DATE_H

#include <stdbool.h>
#include <stdint.h>

void attest_time_format(int64_t seconds, char ret_text[32]);

/* That form and nothing else, from 1970 on. */
bool attest_date_parse(const char *text, int64_t *ret_seconds);

#endif
