/* `cofre ps`: this user's containers that run on this machine. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "host/registry.h"

static const char usage[] = "Usage: cofre ps [OPTIONS]\n\n"
                            "Lists the containers of this user that `cofre run` runs on this machine, the oldest "
                            "first. A signal for the process\n"
                            "of this number goes to the container's first process. All of it is the host's word: "
                            "whether a container is what it\n"
                            "says, a quote tells.\n\n"
                            "  -q, --quiet   names alone\n"
                            "      --json    an array of objects\n\n"
                            "Exit status: 0; 2 usage; 125 on failure.";

struct listing {
    json_t *json; /* NULL: print lines */
    bool quiet;
};

static void print_uptime(char *text, size_t size, uint64_t started)
{
    uint64_t now = (uint64_t)time(NULL), s = now > started ? now - started : 0;

    if (s < 60)
        snprintf(text, size, "%ds", (int)s);
    else if (s < 3600)
        snprintf(text, size, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(text, size, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(text, size, "%llud%02dh", (unsigned long long)(s / 86400), (int)(s / 3600 % 24));
}

static void list(void *arg, const struct registry_entry *e)
{
    struct listing *listing = arg;
    char uptime[40];

    if (listing->json) {
        json_array_append_new(listing->json,
                              json_pack("{s:s,s:i,s:I,s:s,s:s}", "name", e->name, "pid", e->pid, "started",
                                        (json_int_t)e->started, "ports", e->ports, "image", e->image));
        return;
    }
    if (listing->quiet) {
        puts(e->name);
        return;
    }
    print_uptime(uptime, sizeof(uptime), e->started);
    printf("%-20s %-8d %-8s %-30s %s\n", e->name, e->pid, uptime, *e->ports ? e->ports : "-", e->image);
}

int cmd_ps(int argc, char **argv)
{
    struct listing listing = {NULL, false};
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            puts(usage);
            return 0;
        }
        if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0)
            listing.quiet = true;
        else if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            return command_usage("ps", "no such option");
    }
    if (json && !(listing.json = json_array()))
        return command_failed("listing containers", strdup("out of memory"));
    if (!json && !listing.quiet)
        printf("%-20s %-8s %-8s %-30s %s\n", "NAME", "PID", "UPTIME", "PORTS", "IMAGE");
    int ret = registry_for_each(list, &listing);
    if (ret < 0)
        return command_failed("listing containers", strdup(strerror(-ret)));
    if (json) {
        json_dumpf(listing.json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(listing.json);
    }
    return 0;
}
