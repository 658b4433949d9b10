/* Exit statuses of `cofre verify` beside those of every command. */
#ifndef COFRE_CLI_VERIFY_COMMAND_H
#define COFRE_CLI_VERIFY_COMMAND_H

/* 0 accepted, 1 rejected (EXIT_NOT_SO), and: */
enum { VERIFY_EXIT_REFUSED = 3, VERIFY_EXIT_EXPIRED = 4, VERIFY_EXIT_INCOMPLETE = 5 };

#endif
