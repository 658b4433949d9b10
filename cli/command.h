/* The commands of `cofre`. Each is one file cmd_NAME.c, thin over image/ and host/. */
#ifndef COFRE_CLI_COMMAND_H
#define COFRE_CLI_COMMAND_H

/* Exit codes: 0 done; 1 the thing asked about is not so (verification); 2 usage; 125 cofre itself failed. */
enum { EXIT_NOT_SO = 1, EXIT_USAGE = 2, EXIT_COFRE = 125 };

struct command {
    const char *name;
    const char *summary;
    int (*fn)(int argc, char **argv); /* argv[0] is the command's name */
};

int cmd_attest(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_gdb(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_measure(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_quote(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sign(int argc, char **argv);
int cmd_volume(int argc, char **argv);

/* "cofre: WHAT failed: WHY" on stderr; frees why; returns EXIT_COFRE. */
int command_failed(const char *what, char *why);
/* "cofre NAME: MESSAGE (see `cofre NAME --help`)"; returns EXIT_USAGE. */
int command_usage(const char *name, const char *message);

#endif
