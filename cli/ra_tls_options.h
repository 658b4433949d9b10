/* Options of the commands that show and verify certificates with evidence: `cofre ra-tls`, `cofre key-server`. */
#ifndef COFRE_CLI_RA_TLS_OPTIONS_H
#define COFRE_CLI_RA_TLS_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/fetch.h"
#include "attest/ratls.h"

#define RA_TLS_FILE_COUNT_MAX 64

struct ra_tls_options {
    /* what this side shows */
    struct attest_quote_provider provider; /* quote is NULL: nothing */
    const char *key_file;                  /* PEM; NULL: a fresh key */
    const char *curve;
    const char *name;
    bool gramine;
    int renew_hours; /* a fresh certificate when the last is older; 0: 24 */
    /* how it verifies the peer */
    const char *policy_file; /* NULL: not at all */
    const char *root_file;
    bool root_is_simulation;
    const char *collateral[RA_TLS_FILE_COUNT_MAX];
    size_t collateral_count;
    struct attest_source_options source;
    bool has_source; /* fetch what is not in collateral */
    const char *cache_folder;
    bool no_cache;
    int64_t time;
};

/* Which collateral, roots and time a peer's evidence is verified with: what such a command adds to its options. */
enum ra_tls_option {
    RA_TLS_OPTION_COLLATERAL = 512,
    RA_TLS_OPTION_URL,
    RA_TLS_OPTION_CA,
    RA_TLS_OPTION_CACHE,
    RA_TLS_OPTION_NO_CACHE,
    RA_TLS_OPTION_OFFLINE,
    RA_TLS_OPTION_ROOT,
    RA_TLS_OPTION_TIME,
};

/* clang-format off */
#define RA_TLS_LONG_OPTIONS                                            \
    {"collateral", required_argument, NULL, RA_TLS_OPTION_COLLATERAL}, \
    {"url", required_argument, NULL, RA_TLS_OPTION_URL},               \
    {"ca", required_argument, NULL, RA_TLS_OPTION_CA},                 \
    {"cache", required_argument, NULL, RA_TLS_OPTION_CACHE},           \
    {"no-cache", no_argument, NULL, RA_TLS_OPTION_NO_CACHE},           \
    {"offline", no_argument, NULL, RA_TLS_OPTION_OFFLINE},             \
    {"root", required_argument, NULL, RA_TLS_OPTION_ROOT},             \
    {"time", required_argument, NULL, RA_TLS_OPTION_TIME}
/* clang-format on */

/* Takes an option that getopt_long returned, with optarg. 0, or an exit code: for one that is none of these, too. */
int ra_tls_set_option(const char *command, struct ra_tls_options *options, int option);

/* When all are taken: where collateral is kept, how long fetching may take. The result is freed after the options. */
char *ra_tls_options_complete(struct ra_tls_options *options);

/* Of a command that serves for ever. In a container it is process 1, which signals without a handler do not end. */
void ra_tls_service_signals(void);

#endif
