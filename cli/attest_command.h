/* The commands of the program cofre-attest, which `cofre` becomes for them. */
#ifndef COFRE_CLI_ATTEST_COMMAND_H
#define COFRE_CLI_ATTEST_COMMAND_H

#include "cli/command.h"

int cmd_collateral(int argc, char **argv);
int cmd_key_server(int argc, char **argv);
int cmd_maa(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_ra_tls(int argc, char **argv);
int cmd_simulation(int argc, char **argv);

#endif
