/* From an image's configuration to the policy that is measured. */
#include "image/convert_policy.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/error.h"
#include "image/oci.h"
#include "image/policy.h"
#include "image/tree.h"

#define SIGNAL_MAX 64
#define SIGRTMIN_KERNEL 34 /* what glibc and so every engine calls SIGRTMIN */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void copy_list(struct string_list *target, const struct string_list *source)
{
    for (size_t i = 0; i < source->count; i++) {
        if (string_list_add(target, source->items[i]) < 0)
            err(1, "policy");
    }
}

static void copy_text(char **target, const char *source)
{
    if (!source)
        return;
    free(*target);
    *target = strdup(source);
    if (!*target)
        err(1, "policy");
}

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". 0 if it is none. */
static uint32_t parse_signal(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text >= '0' && *text <= '9')
        return *end || number > SIGNAL_MAX ? 0 : (uint32_t)number;
    if (strncmp(text, "SIG", 3) == 0)
        text += 3;
    if (strncmp(text, "RTMIN", 5) == 0) {
        number = text[5] == '+' ? strtoul(text + 6, &end, 10) : 0;
        if ((text[5] && (text[5] != '+' || *end)) || number > SIGNAL_MAX - SIGRTMIN_KERNEL)
            return 0;
        return (uint32_t)(SIGRTMIN_KERNEL + number);
    }
    for (int i = 1; i < SIGRTMIN_KERNEL; i++) {
        const char *name = sigabbrev_np(i);
        if (name && strcmp(name, text) == 0)
            return (uint32_t)i;
    }
    return 0;
}

int convert_policy(struct policy_source *source, const struct oci_config *config, char **ret_error)
{
    copy_list(&source->entrypoint, &config->entrypoint);
    copy_list(&source->cmd, &config->cmd);
    copy_text(&source->user, config->user);
    copy_text(&source->workdir, config->workdir);
    for (size_t i = 0; i < config->env.count; i++) {
        const char *text = config->env.items[i];
        if (text[0] == '=' || !strchr(text, '='))
            return error_set(ret_error, "image configuration: \"%s\" in \"Env\" is not of the form NAME=VALUE", text);
        if (policy_source_set_env(source, text) < 0)
            err(1, "policy");
    }
    for (size_t i = 0; i < config->ports.count; i++) {
        if (policy_source_add_port(source, config->ports.items[i], ret_error) < 0)
            return error_wrap(ret_error, "image configuration: \"ExposedPorts\"");
    }
    if (config->stop_signal && !(source->stop_signal = parse_signal(config->stop_signal)))
        return error_set(ret_error, "image configuration: unknown stop signal \"%s\"", config->stop_signal);
    return 0;
}

/* The command */

static const char *environment(const struct policy_source *source, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < source->env.count; i++) {
        const char *text = source->env.items[i];
        if (strncmp(text, name, size) == 0 && text[size] == '=')
            return text + size + 1;
    }
    return NULL;
}

/* 0 executable file, 1 not there, 2 there but not executable. */
static int check_program(struct tree *tree, const char *folder, size_t folder_size, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%.*s/%s", (int)folder_size, folder, name) < 0)
        err(1, "policy");
    const struct inode *inode = tree_lookup(tree, path);
    free(path);
    if (!inode)
        return 1;
    return S_ISREG(inode->mode) && (inode->mode & 0111) ? 0 : 2;
}

static int search_path(const struct policy_source *source, struct tree *tree, const char *name)
{
    const char *path = environment(source, "PATH");
    int worst = 1;

    for (path = path ? path : DEFAULT_PATH;; path++) {
        size_t size = strcspn(path, ":");
        int result = check_program(tree, path, size, name);
        if (result == 0)
            return 0;
        if (result == 2)
            worst = 2;
        path += size;
        if (!*path)
            return worst;
    }
}

int convert_check_command(const struct policy_source *source, struct tree *tree, char **ret_error)
{
    const struct string_list *list = source->entrypoint.count ? &source->entrypoint : &source->cmd;
    const char *workdir = source->workdir ? source->workdir : "/";
    int result;

    if (list->count == 0) {
        if (source->flags & POLICY_ARGS_ANY)
            return 0;
        return error_set(ret_error, "the image says no command to run: give one in the policy (command.entrypoint)");
    }
    const char *name = list->items[0];
    if (!*name)
        return error_set(ret_error, "the command is an empty name");
    if (!strchr(name, '/'))
        result = search_path(source, tree, name);
    else if (name[0] == '/')
        result = check_program(tree, "", 0, name);
    else
        result = check_program(tree, workdir, strlen(workdir), name);
    if (result == 1)
        return error_set(ret_error, "the command \"%s\" does not exist in the image%s", name,
                         strchr(name, '/') ? "" : " (searched in PATH)");
    if (result == 2)
        return error_set(ret_error, "the command \"%s\" in the image is not an executable file", name);
    return 0;
}
