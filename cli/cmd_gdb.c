/* `cofre gdb`: becomes gdb, with cofre-gdb.py, over `cofre run` or a container that runs. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/locate.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre gdb [--sysroot DIR] [--ex COMMAND]... [RUN-OPTIONS] IMAGE [-- ARGUMENTS]\n"
    "       cofre gdb [--sysroot DIR] [--ex COMMAND]... --pid PID\n\n"
    "Debugs what runs in a software enclave with gdb: the kernel and the image's programs, with their symbols. The "
    "first "
    "form\nstarts gdb before the container (`run` starts it, breakpoints may be set before); the second attaches to a "
    "host\nprocess: the one that `cofre ps` shows is PID 1's, those called cofre-member are the others'.\n\n"
    "      --sysroot DIR   the image's files, for symbols (without: they are taken from the root image in memory)\n"
    "      --ex COMMAND    a command for gdb, before its prompt\n"
    "      --batch         no prompt: gdb ends after the commands\n"
    "      --pid PID       attach\n\n"
    "Within gdb: `cofre tasks`, `cofre backtrace [TID]`, `cofre maps`, `cofre symbols`. All options of `cofre run` are "
    "taken;\nthe software enclave is always used.";

/* gdb's arguments: room for all of ours and what is added. */
struct arguments {
    char **list;
    int count;
};

static void add(struct arguments *a, const char *text)
{
    a->list[a->count++] = (char *)text;
}

static int set_environment(const char *sysroot, char **ret_script, char **ret_error)
{
    char *kernel = locate_part("cofre-kernel", "COFRE_KERNEL", ret_error);
    *ret_script = kernel ? locate_part("cofre-gdb.py", "COFRE_GDB_SCRIPT", ret_error) : NULL;
    if (!*ret_script) {
        free(kernel);
        return -1;
    }
    if (setenv("COFRE_GDB_KERNEL", kernel, 1) < 0 || (sysroot && setenv("COFRE_GDB_SYSROOT", sysroot, 1) < 0))
        return error_set_errno(ret_error, errno, "the environment");
    free(kernel);
    return 0;
}

/* Our own options go from argv into *a; argv[*ret_rest..] is what is left for `cofre run`. NULL or what is wrong. */
static const char *take_options(int argc, char **argv, struct arguments *a, const char **ret_sysroot,
                                const char **ret_pid, int *ret_rest)
{
    int i = 1;
    for (; i < argc; i++) {
        bool valued =
            strcmp(argv[i], "--sysroot") == 0 || strcmp(argv[i], "--ex") == 0 || strcmp(argv[i], "--pid") == 0;
        if (strcmp(argv[i], "--batch") == 0) {
            add(a, "-batch");
            continue;
        }
        if (!valued)
            break;
        if (i + 1 >= argc)
            return "an option lacks its value";
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--sysroot") == 0)
            *ret_sysroot = value;
        else if (strcmp(argv[i], "--pid") == 0)
            *ret_pid = value;
        else {
            add(a, "-ex");
            add(a, value);
        }
        i++;
    }
    *ret_rest = i;
    return *ret_pid && i < argc     ? "--pid and an IMAGE exclude each other"
           : !*ret_pid && i >= argc ? "an IMAGE or --pid is wanted"
                                    : NULL;
}

static int start(struct arguments *a, const char *sysroot, const char *pid, int argc, char **argv)
{
    char *error = NULL, *script = NULL, self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0 || set_environment(sysroot, &script, &error) < 0)
        return command_failed("debugging", error);
    self[size] = 0;
    struct arguments gdb = {.list = calloc((size_t)(argc + a->count) + 16, sizeof(char *))};
    if (!gdb.list)
        return command_failed("debugging", strdup("no memory"));
    add(&gdb, "gdb");
    add(&gdb, "-q");
    if (pid) {
        add(&gdb, "-p");
        add(&gdb, pid);
    }
    add(&gdb, "-x");
    add(&gdb, script);
    for (int i = 0; i < a->count; i++)
        add(&gdb, a->list[i]);
    if (!pid) {
        add(&gdb, "--args");
        add(&gdb, self);
        add(&gdb, "run");
        add(&gdb, "--softsgx");
        for (int i = 0; i < argc; i++)
            add(&gdb, argv[i]);
    }
    execvp("gdb", gdb.list);
    error_set(&error, errno == ENOENT ? "gdb is not installed (apt install gdb)" : "gdb: %s", strerror(errno));
    return command_failed("debugging", error);
}

int cmd_gdb(int argc, char **argv)
{
    struct arguments commands = {.list = calloc((size_t)argc + 1, 2 * sizeof(char *))};
    const char *sysroot = NULL, *pid = NULL;
    int rest = 0;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        puts(usage);
        return 0;
    }
    if (!commands.list)
        return command_failed("debugging", strdup("no memory"));
    const char *wrong = take_options(argc, argv, &commands, &sysroot, &pid, &rest);
    if (wrong)
        return command_usage("gdb", wrong);
    return start(&commands, sysroot, pid, argc - rest, argv + rest);
}
