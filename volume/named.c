/* ls, rm: volumes by name, where `cofre run -v` finds them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "host/volume_path.h"
#include "volume/tool.h"

static bool in_use(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool used = fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) < 0;
    if (fd >= 0)
        close(fd);
    return used;
}

static void list_one(const char *name, const struct tool_options *options, json_t *list)
{
    struct stat status;
    char *path = volume_path(name, "volume");
    if (path && volume_name_valid(name) && stat(path, &status) == 0) {
        bool used = in_use(path);
        if (options->json)
            json_array_append_new(
                list, json_pack("{s:s, s:I, s:b}", "name", name, "size", (json_int_t)status.st_size, "in_use", used));
        else if (options->quiet)
            puts(name);
        else
            printf("%-30s %8lld MiB  %s\n", name, (long long)status.st_size >> 20, used ? "in use" : "");
    }
    free(path);
}

int volume_cmd_ls(struct tool_options *options, char **operands)
{
    (void)operands;
    char *home = volume_home();
    struct dirent **names;
    int count = home ? scandir(home, &names, NULL, alphasort) : 0;
    json_t *list = json_array();
    if (!home || (count < 0 && errno != ENOENT)) {
        fprintf(stderr, "cofre: listing volumes failed: %s\n", home ? strerror(errno) : "there is no home for them");
        return EXIT_COFRE;
    }
    for (int i = 0; i < count; i++) {
        list_one(names[i]->d_name, options, list);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    if (options->json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(list);
    free(home);
    return 0;
}

int volume_cmd_rm(struct tool_options *options, char **operands)
{
    static const char *const files[] = {"volume", "anchor", ""}; /* the folder last */
    struct volume_file file;
    char *path = volume_name_valid(operands[0]) ? volume_path(operands[0], "volume") : NULL;
    (void)options;
    if (!path)
        return command_usage("volume rm", "the NAME of a volume is wanted (see cofre volume ls)");
    int code = volume_file_open(&file, path, true); /* locked: nobody has it */
    free(path);
    if (code != 0)
        return code;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && code == 0; i++) {
        path = volume_path(operands[0], files[i]);
        if (!path || (*files[i] ? unlink(path) : rmdir(path)) < 0) {
            if (path && errno == ENOENT) {
                free(path);
                continue;
            }
            fprintf(stderr, "cofre: removing %s failed: %s\n", path ? path : operands[0], strerror(errno));
            code = EXIT_COFRE;
        }
        free(path);
    }
    volume_file_close(&file);
    return code;
}
