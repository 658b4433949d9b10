/* From an image's configuration to the policy that is measured. */
#ifndef COFRE_IMAGE_CONVERT_POLICY_H
#define COFRE_IMAGE_CONVERT_POLICY_H

struct oci_config;
struct policy_source;
struct tree;

/* Adds what the configuration says: command, environment, user, working directory, ports, stop signal. */
int convert_policy(struct policy_source *source, const struct oci_config *config, char **ret_error);

/* The program that would be started must be in the image and executable. */
int convert_check_command(const struct policy_source *source, struct tree *tree, char **ret_error);

#endif
