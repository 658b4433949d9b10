/*
 * Finds the runtime and the image's layer, then becomes cofre-runtime (host/). Kept free of libraries that cost
 * start-up time: the layer is found by reading two small JSON files.
 */
#include "cli/run_layer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/locate.h"
#include "image/bundle.h"
#include "image/error.h"

int run_layer(const char *image, int option_count, char **options, int argument_count, char **arguments,
              char **ret_error)
{
    struct bundle b;
    char *layer = NULL;
    if (bundle_open(&b, image, ret_error) < 0)
        return -1;
    char *runtime = locate_part("cofre-runtime", "COFRE_RUNTIME", ret_error);
    if (!runtime)
        return -1;
    int length = b.layer_offset ? asprintf(&layer, "%s@%llu:%llu", b.layer_path, (unsigned long long)b.layer_offset,
                                           (unsigned long long)b.layer_size)
                                : asprintf(&layer, "%s", b.layer_path);
    char **argv = calloc((size_t)(option_count + argument_count) + 7, sizeof(*argv));
    if (length < 0 || !argv)
        return error_set(ret_error, "out of memory");
    int n = 0;
    argv[n++] = (char *)"cofre-runtime";
    argv[n++] = (char *)"--layer";
    argv[n++] = layer;
    argv[n++] = (char *)"--image";
    argv[n++] = (char *)image;
    for (int i = 0; i < option_count; i++)
        argv[n++] = options[i];
    if (argument_count)
        argv[n++] = (char *)"--";
    for (int i = 0; i < argument_count; i++)
        argv[n++] = arguments[i];
    execv(runtime, argv);
    return error_set_errno(ret_error, errno, "%s", runtime);
}
