/* Published ports, looked at before the container starts. */
#ifndef COFRE_HOST_PORTS_H
#define COFRE_HOST_PORTS_H

#include "host/options.h"

/*
 * Can each published port be bound? The application binds it later, and would then report it in its own words; this
 * says it as a container engine does, before anything runs. 0, or negative errno with a message.
 */
int ports_check(const struct run_options *options, char **ret_error);

#endif
