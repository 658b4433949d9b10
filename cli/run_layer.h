/* Becoming cofre-runtime with the layer of an image. */
#ifndef COFRE_CLI_RUN_LAYER_H
#define COFRE_CLI_RUN_LAYER_H

/* Does not return if it succeeds; otherwise -1 with *ret_error. */
int run_layer(const char *image, int option_count, char **options, int argument_count, char **arguments,
              char **ret_error);

#endif
