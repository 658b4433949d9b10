/* `cofre simulation`: the platform that softsgx simulates on this machine, so that what it attests can be verified. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/attest_command.h"
#include "host/quote/simulation_pki.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre simulation provision\n"
    "       cofre simulation export FOLDER\n\n"
    "The software enclave makes quotes in the real format. Its keys and certificates stand in this machine's state\n"
    "folder, under a root certificate of its own: quotes prove nothing, and verify only where that root is trusted.\n\n"
    "  provision   make keys and certificates, if there are none yet (the first quote does so as well)\n"
    "  export      write the root (root.pem) and fresh collateral, which holds for 30 days, into FOLDER:\n"
    "                cofre verify --root FOLDER/root.pem --collateral FOLDER QUOTE\n\n"
    "Exit status: 0; 2 usage; 125 on failure.";

int cmd_simulation(int argc, char **argv)
{
    char *error = NULL;
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        puts(usage);
        return 0;
    }
    if (strcmp(verb, "provision") == 0 && argc == 2)
        return simulation_provision(&error) == 0 ? 0 : command_failed("certifying the simulated platform", error);
    if (strcmp(verb, "export") == 0 && argc == 3 && argv[2][0] != '-')
        return simulation_export(argv[2], &error) == 0 ? 0
                                                       : command_failed("exporting the simulation's collateral", error);
    return command_usage("simulation", "`provision` or `export FOLDER` is wanted");
}
