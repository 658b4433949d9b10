/* Options of the commands that show and verify certificates with evidence. */
#include "cli/ra_tls_options.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "attest/cache.h"
#include "cli/attest_argument.h"
#include "cli/command.h"

#define FETCH_TIMEOUT_MS 8000 /* for each document: all of them within a handshake */

int ra_tls_set_option(const char *command, struct ra_tls_options *options, int option)
{
    switch (option) {
    case RA_TLS_OPTION_COLLATERAL:
        if (options->collateral_count == RA_TLS_FILE_COUNT_MAX)
            return command_usage(command, "too many files of collateral");
        options->collateral[options->collateral_count++] = optarg;
        return 0;
    case RA_TLS_OPTION_URL:
        options->source.url = attest_service_url(optarg);
        return 0;
    case RA_TLS_OPTION_CA:
        options->source.ca_file = optarg;
        return 0;
    case RA_TLS_OPTION_CACHE:
        options->cache_folder = optarg;
        return 0;
    case RA_TLS_OPTION_NO_CACHE:
        options->no_cache = true;
        return 0;
    case RA_TLS_OPTION_OFFLINE:
        options->has_source = false;
        return 0;
    case RA_TLS_OPTION_ROOT:
        options->root_file = optarg;
        return 0;
    case RA_TLS_OPTION_TIME:
        return attest_time_parse(optarg, &options->time) < 0 ? command_usage(command, "--time: not a time") : 0;
    default:
        return EXIT_USAGE;
    }
}

char *ra_tls_options_complete(struct ra_tls_options *options)
{
    char *folder = options->cache_folder ? strdup(options->cache_folder) : attest_cache_default_folder();
    options->source.cache_folder = options->no_cache ? NULL : folder;
    options->source.timeout_ms = FETCH_TIMEOUT_MS;
    return folder;
}

static void end(int number)
{
    _exit(128 + number);
}

void ra_tls_service_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end);
    signal(SIGINT, end);
}
