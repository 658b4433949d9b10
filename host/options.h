/* The command line of cofre-runtime, which is also that of `cofre run` (cli/ hands its arguments over). */
#ifndef COFRE_HOST_OPTIONS_H
#define COFRE_HOST_OPTIONS_H

#include "host/sgx/sgx.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* -p [IP:]HOSTPORT:PORT[/udp]: what the application binds as `port` the host binds as ip:host_port. */
struct port_mapping {
    int family; /* AF_UNSPEC: the address the application asked for */
    uint8_t ip[16];
    uint16_t host_port, port;
    uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

#define PORT_MAPPINGS_MAX 64

/* -v NAME:PATH[:OPTION,...]: the volume or folder NAME of this machine is what the policy calls for at PATH. */
struct volume_option {
    char *name, *path;
    bool is_folder;       /* name has a slash */
    const char *key_path; /* NULL: none given */
    bool read_only;
    bool rekey; /* it gets a new master key */
};

#define VOLUME_OPTIONS_MAX 16

/* NUL-terminated strings back to back, as the boot parameters want them. */
struct strings {
    char *bytes;
    size_t size;
};

struct run_options {
    const char *dir;                   /* where kernel, policy, sigstruct and root.img are */
    const char *layer;                 /* or the layer archive that holds them */
    uint64_t layer_offset, layer_size; /* where in that file, if it is a larger archive; size 0: all of it */
    enum sgx_kind sgx;
    unsigned vcpu_count; /* 0: as the policy and the CPUs allow */
    struct strings env;  /* asked for on the command line or in files */
    struct strings args; /* after -- */
    bool as_entrypoint;  /* neither --dir nor --layer: we are a container's entrypoint, its environment counts */
    const char *workdir, *user, *hostname;
    const char *name;  /* among the running containers; NULL: none was given */
    const char *image; /* what the user called it; NULL: unknown */
    struct port_mapping ports[PORT_MAPPINGS_MAX];
    unsigned port_count;
    struct volume_option volumes[VOLUME_OPTIONS_MAX];
    unsigned volume_count;
    bool interactive, tty;
    bool stats, trace, debug_log;
    const char *image_key_path; /* NULL: none given */
    const char *marble_path;    /* of the MarbleRun certificate; NULL: none given */
    const char *stats_path;     /* JSON goes here; NULL: a table on stderr */
    const char *quote_path;     /* make a quote instead of running, and write it there; "-": standard output */
    uint8_t quote_data[64];     /* for it */
    bool help;
};

#define RUNTIME_DIR_DEFAULT "/cofre"

/* Parse argv (without the program's name at [0] being looked at). 0, or negative errno with a message. The result
 * points into argv. */
int options_parse(struct run_options *options, int argc, char **argv, char **ret_error);
void options_free(struct run_options *options);
void options_usage(FILE *file, const char *program);

/* "[IP:]HOSTPORT:PORT[/tcp|/udp]"; an IPv6 address stands in brackets. */
int port_mapping_parse(struct port_mapping *mapping, const char *text, char **ret_error);

/* "NAME:PATH[:ro][,key=FILE]"; a NAME with a slash is a folder of the host: "FOLDER:PATH[:ro]". */
int volume_option_parse(struct volume_option *option, const char *text, char **ret_error);

int strings_add(struct strings *strings, const char *text);

#endif
