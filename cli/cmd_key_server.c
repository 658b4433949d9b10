/* `cofre key-server`: keys for enclaves that prove what they are. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attest/encode.h"
#include "cli/attest_command.h"
#include "cli/key_connection.h"
#include "cli/ra_tls_channel.h"
#include "cli/ra_tls_relay.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre key-server --listen ADDRESS --key FILE [OPTIONS] FOLDER\n\n"
    "Releases keys to enclaves that prove with a quote what they are: the keys of volumes (key: server in the policy)\n"
    "and of encrypted images (root.key: server). For the key NAME there are two files in FOLDER, read anew for each\n"
    "request: NAME.key, its bytes (32 for a volume, 64 for an image), or NAME.wrapped, as `cofre convert "
    "--wrapped-key`\n"
    "makes it; and NAME.yaml, who gets it: an appraisal policy (man cofre-appraisal). Quotes of the software enclave "
    "prove nothing; they are taken only with --root and where\n"
    "the policy has `simulation: true`, and each is called by that name.\n"
    "Says \"IP:PORT PUBLIC-KEY\" on standard output when it listens; what is released, and what is refused and why, "
    "on\n"
    "standard error.\n\n"
    "  --listen ADDRESS     HOST:PORT, [IPV6]:PORT or PORT (on loopback; 0: any free one)\n"
    "  --key FILE           the server's private X25519 key in PEM (cofre volume keygen makes one): the policies of\n"
    "                       images have its public half\n"
    "  --collateral FILE    a bundle of `cofre collateral`; may be given again\n"
    "  --url URL, --ca FILE, --cache FOLDER, --no-cache\n"
    "                       where collateral is fetched from (default: Intel); as for `cofre collateral`\n"
    "  --offline            fetch nothing\n"
    "  --root FILE          trust this root beside Intel's; what ends in it is SIMULATION\n"
    "  --time TIME          verify as of this time\n\n"
    "Exit status: 2 usage; 125 on failure. It ends by a signal.";

enum {
    OPTION_LISTEN = 256,
    OPTION_KEY,
};

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"listen", required_argument, NULL, OPTION_LISTEN},
                                             {"key", required_argument, NULL, OPTION_KEY},
                                             RA_TLS_LONG_OPTIONS,
                                             {0}};

#define CONNECTION_COUNT_MAX 128
#define STACK_SIZE (256U << 10)

struct options {
    struct ra_tls_options evidence; /* how quotes are verified */
    const char *listen, *key_file;
};

struct server {
    EVP_PKEY *own;
    struct attest_key_service service;
    atomic_int count; /* of connections */
};

struct connection {
    struct server *server;
    int fd;
    char peer[NI_MAXHOST + NI_MAXSERV + 2];
};

static int usage_error(const char *message)
{
    return command_usage("key-server", message);
}

static void report(const char *peer, const struct attest_key_event *event)
{
    static const char *const outcomes[] = {
        [KEY_GRANTED] = "released", [KEY_DENIED] = "refused", [KEY_FAILED] = "failed"};
    fprintf(stderr, "cofre key-server: %s: %s: %s%s%s%s%s%s\n", peer, event->name[0] ? event->name : "no key",
            outcomes[event->status], event->reason[0] ? ": " : "", event->reason, event->enclave[0] ? ": " : "",
            event->enclave, event->simulation ? " (SIMULATION: this proves nothing)" : "");
}

static void *serve_connection(void *argument)
{
    struct connection *connection = argument;
    struct server *server = connection->server;
    struct attest_key_event event;
    char *error = NULL;
    if (key_connection_serve(connection->fd, server->own, &server->service, &event, &error) == 0)
        report(connection->peer, &event);
    else
        fprintf(stderr, "cofre key-server: %s: %s\n", connection->peer, error ? error : "out of memory");
    free(error);
    free(connection);
    atomic_fetch_sub(&server->count, 1);
    return NULL;
}

/* "IP:PORT", "[IP]:PORT". */
static void address_text(const struct sockaddr_storage *address, socklen_t address_size, char *ret_text, size_t size)
{
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    getnameinfo((const struct sockaddr *)address, address_size, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(ret_text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static bool start_connection(struct server *server, int fd, const struct sockaddr_storage *from, socklen_t from_size)
{
    struct connection *connection = malloc(sizeof(*connection));
    pthread_attr_t attributes;
    pthread_t thread;
    if (!connection)
        return false;
    *connection = (struct connection){.server = server, .fd = fd};
    address_text(from, from_size, connection->peer, sizeof(connection->peer));
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool good = atomic_fetch_add(&server->count, 1) < CONNECTION_COUNT_MAX &&
                pthread_create(&thread, &attributes, serve_connection, connection) == 0;
    pthread_attr_destroy(&attributes);
    if (!good) {
        atomic_fetch_sub(&server->count, 1);
        free(connection);
    }
    return good;
}

/* Accepts for ever. Whoever hangs or lies costs only its own connection. */
static _Noreturn void serve(struct server *server, int listener)
{
    for (;;) {
        struct sockaddr_storage from;
        socklen_t from_size = sizeof(from);
        int fd = accept4(listener, (struct sockaddr *)&from, &from_size, SOCK_CLOEXEC);
        if (fd >= 0 && start_connection(server, fd, &from, from_size))
            continue;
        if (fd >= 0)
            close(fd);
        if (fd >= 0 || (errno != ECONNABORTED && errno != EINTR))
            usleep(10000); /* out of descriptors, memory or connections: some will end */
    }
}

/* What policies and clients must know, for whoever started it. */
static int announce(EVP_PKEY *own, int listener, char **ret_error)
{
    struct sockaddr_storage at;
    socklen_t at_size = sizeof(at);
    char text[NI_MAXHOST + NI_MAXSERV + 2];
    uint8_t public_key[32];
    size_t size = sizeof(public_key);
    if (getsockname(listener, (struct sockaddr *)&at, &at_size) < 0 ||
        EVP_PKEY_get_raw_public_key(own, public_key, &size) != 1)
        return error_set(ret_error, "the server does not know itself");
    address_text(&at, at_size, text, sizeof(text));
    char *hex = attest_hex_encode(public_key, sizeof(public_key));
    printf("%s %s\n", text, hex ? hex : "?");
    free(hex);
    return fflush(stdout) == 0 ? 0 : error_set_errno(ret_error, errno, "standard output");
}

static EVP_PKEY *load_own(const char *path, char **ret_error)
{
    EVP_PKEY *key = ra_tls_key_load(path, ret_error);
    if (!key || EVP_PKEY_get_id(key) == EVP_PKEY_X25519)
        return key;
    EVP_PKEY_free(key);
    error_set(ret_error, "%s: it is no X25519 key (cofre volume keygen makes one)", path);
    return NULL;
}

static int run(const struct options *options, const char *folder)
{
    static struct server server;
    char *error = NULL;
    int listener = -1;
    server.own = load_own(options->key_file, &error);
    server.service = (struct attest_key_service){.folder = folder, .own = server.own, .time = options->evidence.time};
    int count = server.own ? attest_key_service_check(&server.service, &error) : -1;
    if (count >= 0 && (server.service.store = ra_tls_store_new(&options->evidence, &error)) != NULL)
        listener = ra_tls_listen(options->listen, &error);
    if (listener < 0 || announce(server.own, listener, &error) < 0)
        return command_failed("serving keys", error);
    fprintf(stderr, "cofre key-server: %d %s in %s%s\n", count, count == 1 ? "key" : "keys", folder,
            options->evidence.root_file ? "; quotes of SIMULATION are taken where a policy allows it" : "");
    serve(&server, listener);
}

int cmd_key_server(int argc, char **argv)
{
    struct options options = {.evidence = {.has_source = true, .root_is_simulation = true}};
    ra_tls_service_signals();
    for (int c, wrong; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            return 0;
        }
        if (c == OPTION_LISTEN)
            options.listen = optarg;
        else if (c == OPTION_KEY)
            options.key_file = optarg;
        else if ((wrong = ra_tls_set_option("key-server", &options.evidence, c)) != 0)
            return wrong;
    }
    if (argc - optind != 1 || !options.listen || !options.key_file)
        return usage_error("--listen ADDRESS, --key FILE and one FOLDER are wanted");
    char *folder = ra_tls_options_complete(&options.evidence);
    int code = run(&options, argv[optind]);
    free(folder);
    return code;
}
