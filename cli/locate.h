/* Finding the parts of Cofre that go into images: in the build tree or where they are installed. */
#ifndef COFRE_CLI_LOCATE_H
#define COFRE_CLI_LOCATE_H

/*
 * The path of a part ("cofre-runtime", "cofre-kernel"): what the environment variable says, or the file beside this
 * program. malloc'd; NULL with *ret_error.
 */
char *locate_part(const char *name, const char *variable, char **ret_error);

#endif
