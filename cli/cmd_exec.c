/* `cofre exec`: a command in a running container, as far as its policy allows. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/exec.h"
#include "cli/command.h"
#include "cli/exec_session.h"
#include "host/registry.h"
#include "host/terminal.h"

static const char usage[] =
    "Usage: cofre exec [OPTIONS] NAME|PID [--] COMMAND [ARGUMENTS]\n\n"
    "Runs a command in a running container (cofre ps), as far as its measured policy allows (exec.allow).\n\n"
    "  -i, --interactive         connect standard input\n"
    "  -t, --tty                 standard input and output are a terminal\n"
    "  -e, --env NAME[=VALUE]    set an environment variable (policy: env.allow)\n"
    "  -w, --workdir DIR         working directory (policy: command.workdir_from_host)\n"
    "  -u, --user USER[:GROUP]   user (policy: command.user_from_host)\n\n"
    "Exit status: the command's own; 128 + N if signal N ended it, so 137 if the container ended; 125 if cofre failed "
    "or\n"
    "the policy refuses; 126, 127 if the command cannot be invoked or found.";

/* Bytes that grow; `failed` once there was no memory. */
struct text {
    char *bytes;
    size_t size;
    bool failed;
};

static void text_add(struct text *text, const void *bytes, size_t size)
{
    char *more = text->failed ? NULL : realloc(text->bytes, text->size + size + 1);

    text->failed |= !more;
    if (!more)
        return;
    text->bytes = more;
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

struct options {
    bool input, tty;
    struct text env;
    const char *user, *folder;
};

/* NAME=VALUE; or NAME, with the value that it has here, if any. */
static void add_env(struct options *o, const char *arg)
{
    const char *value = strchr(arg, '=') ? NULL : getenv(arg);

    if (strchr(arg, '=')) {
        text_add(&o->env, arg, strlen(arg) + 1);
    } else if (value) {
        text_add(&o->env, arg, strlen(arg));
        text_add(&o->env, "=", 1);
        text_add(&o->env, value, strlen(value) + 1);
    }
}

/* 0; 1: help was wanted; -1: said what is wrong. */
static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"interactive", no_argument, NULL, 'i'},
        {"tty", no_argument, NULL, 't'},
        {"env", required_argument, NULL, 'e'},
        {"workdir", required_argument, NULL, 'w'},
        {"user", required_argument, NULL, 'u'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "+ite:w:u:h", longs, NULL)) != -1) {
        switch (c) {
        case 'i':
            o->input = true;
            break;
        case 't':
            o->tty = true;
            break;
        case 'e':
            add_env(o, optarg);
            break;
        case 'w':
            o->folder = optarg;
            break;
        case 'u':
            o->user = optarg;
            break;
        case 'h':
            puts(usage);
            return 1;
        default:
            return -1;
        }
    }
    return 0;
}

/* ---- which container ---- */

struct wanted {
    const char *text;
    pid_t pid;
    char name[REGISTRY_NAME_MAX + 1];
    bool found, by_name, exec;
};

static void look(void *arg, const struct registry_entry *e)
{
    struct wanted *w = arg;
    bool named = strcmp(e->name, w->text) == 0;

    if (!named && (w->by_name || e->pid != w->pid))
        return;
    w->found = true;
    w->by_name = named;
    w->exec = e->exec;
    snprintf(w->name, sizeof(w->name), "%s", e->name);
}

static int fail(const char *name, const char *why)
{
    fprintf(stderr, "cofre: exec in %s failed: %s\n", name, why);
    return EXIT_COFRE;
}

/* A connection, or -1: said why not. */
static int connect_to(struct wanted *w)
{
    char *end;
    long pid = strtol(w->text, &end, 10);
    int fd;

    w->pid = *end || pid <= 0 ? -1 : (pid_t)pid;
    fd = registry_for_each(look, w);
    if (fd < 0)
        fail(w->text, strerror(-fd));
    else if (!w->found)
        fail(w->text, "no such container runs (cofre ps lists them)");
    else if (!w->exec)
        fail(w->name, "its policy lets the host start no commands (exec.allow)");
    if (fd < 0 || !w->found || !w->exec)
        return -1;
    fd = registry_connect(w->name);
    if (fd < 0)
        fail(w->name, strerror(-fd));
    return fd < 0 ? -1 : fd;
}

/* ---- the request ---- */

static void build(struct text *request, const struct options *o, char **command)
{
    uint32_t size = terminal_size();
    struct exec_request head = {
        .version = EXEC_VERSION,
        .flags = (o->tty ? EXEC_TTY : 0) | (o->input ? EXEC_HAS_INPUT : 0),
        .window = {(uint16_t)(size >> 16), (uint16_t)size},
        .environment_size = (uint32_t)o->env.size,
        .user_size = o->user ? (uint32_t)strlen(o->user) : 0,
        .folder_size = o->folder ? (uint32_t)strlen(o->folder) : 0,
    };

    text_add(request, &head, sizeof(head));
    for (; *command; command++)
        text_add(request, *command, strlen(*command) + 1);
    head.arguments_size = (uint32_t)(request->size - sizeof(head));
    if (!request->failed)
        memcpy(request->bytes, &head, sizeof(head));
    text_add(request, o->env.bytes ? o->env.bytes : "", o->env.size);
    text_add(request, o->user ? o->user : "", head.user_size);
    text_add(request, o->folder ? o->folder : "", head.folder_size);
    request->failed |= o->env.failed;
}

static int run(const struct options *o, const char *container, char **command)
{
    struct wanted w = {.text = container};
    struct text request = {0};
    int fd, status;

    if (o->tty && o->input && !isatty(STDIN_FILENO))
        return fail(container, "the input device is not a terminal (leave out -t)");
    build(&request, o, command);
    if (request.failed)
        return fail(container, "out of memory");
    if (request.size > EXEC_REQUEST_MAX)
        status = fail(container, "argument list too long");
    else if ((fd = connect_to(&w)) < 0)
        status = EXIT_COFRE;
    else
        status = exec_session(fd, w.name, request.bytes, request.size, o->tty, o->input);
    free(request.bytes);
    return status;
}

int cmd_exec(int argc, char **argv)
{
    struct options o = {0};
    int ret = parse(argc, argv, &o), i = optind;

    if (ret > 0)
        return 0;
    if (ret == 0 && (i >= argc || (i + 1 < argc && strcmp(argv[i + 1], "--") == 0 ? i + 2 : i + 1) >= argc))
        ret = -1;
    if (ret < 0) {
        command_usage("exec", "a container and a command are wanted");
        return EXIT_COFRE;
    }
    const char *container = argv[i++];
    if (strcmp(argv[i], "--") == 0)
        i++;
    ret = run(&o, container, argv + i);
    free(o.env.bytes);
    return ret;
}
