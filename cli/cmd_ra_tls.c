/* `cofre ra-tls`: attested channels for programs that know nothing of attestation. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attest/encode.h"
#include "cli/attest_command.h"
#include "cli/ra_tls_channel.h"
#include "cli/ra_tls_relay.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre ra-tls connect --policy FILE [--listen ADDRESS] [OPTIONS] HOST:PORT\n"
    "       cofre ra-tls serve --listen ADDRESS IDENTITY [--policy FILE] [OPTIONS] HOST:PORT\n"
    "       cofre ra-tls certificate IDENTITY [OPTIONS] KEY.pem CERTIFICATE.pem\n"
    "       cofre ra-tls show CERTIFICATE.pem\n\n"
    "TLS 1.3 whose certificates carry evidence about the enclave that holds their key.\n"
    "`connect` opens a channel to a server that the policy accepts, between standard input and output or for each\n"
    "connection to a local ADDRESS. `serve` accepts such channels and carries them to a plain server at HOST:PORT.\n"
    "`certificate` makes a key and a certificate for another TLS server; `show` tells what a certificate carries.\n\n"
    "IDENTITY (for connect too, if the server wants one):\n"
    "  --quote-device[=FOLDER]  quotes of the enclave this runs in (default /dev/attestation)\n"
    "  --quote-command COMMAND  a shell command that gets the report data in hex as $1 and writes a quote\n"
    "  --quote FILE --key FILE  a quote made before for this key\n"
    "  --key FILE               use this key (default: a fresh one)\n"
    "  --curve NAME             of a fresh key: P-256 (default) or P-384\n"
    "  --name NAME              the certificate's common name\n"
    "  --gramine                add the extension that older verifiers know\n"
    "  --renew HOURS            fresh evidence when the last is older (default 24)\n"
    "VERIFICATION:\n"
    "  --policy FILE            what the peer must be; see cofre-appraisal(5)\n"
    "  --collateral FILE        a bundle (may be given several times)\n"
    "  --url URL, --ca FILE, --cache FOLDER, --no-cache\n"
    "                           where collateral is fetched from (default: Intel); as for `cofre collateral`\n"
    "  --offline                fetch nothing\n"
    "  --root FILE              trust this root, as one of simulation\n"
    "  --time TIME              verify as of this time\n\n"
    "ADDRESS is HOST:PORT, [IPV6]:PORT or PORT (on loopback).\n"
    "Exit status: 0; 1 if the peer is not accepted; 2 usage; 125 on failure.";

enum {
    OPTION_LISTEN = 256,
    OPTION_DEVICE,
    OPTION_COMMAND,
    OPTION_QUOTE,
    OPTION_KEY,
    OPTION_CURVE,
    OPTION_NAME,
    OPTION_GRAMINE,
    OPTION_RENEW,
    OPTION_POLICY,
};

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"listen", required_argument, NULL, OPTION_LISTEN},
                                             {"quote-device", optional_argument, NULL, OPTION_DEVICE},
                                             {"quote-command", required_argument, NULL, OPTION_COMMAND},
                                             {"quote", required_argument, NULL, OPTION_QUOTE},
                                             {"key", required_argument, NULL, OPTION_KEY},
                                             {"curve", required_argument, NULL, OPTION_CURVE},
                                             {"name", required_argument, NULL, OPTION_NAME},
                                             {"gramine", no_argument, NULL, OPTION_GRAMINE},
                                             {"renew", required_argument, NULL, OPTION_RENEW},
                                             {"policy", required_argument, NULL, OPTION_POLICY},
                                             RA_TLS_LONG_OPTIONS,
                                             {0}};

#define CONNECTION_COUNT_MAX 512

struct options {
    struct ra_tls_options tls;
    const char *listen;
};

static int usage_error(const char *message)
{
    return command_usage("ra-tls", message);
}

static void set_provider(struct options *options, int option, const char *argument)
{
    static char device[] = "/dev/attestation";
    options->tls.provider.quote = option == OPTION_DEVICE    ? attest_quote_from_device
                                  : option == OPTION_COMMAND ? attest_quote_from_command
                                                             : attest_quote_from_file;
    options->tls.provider.context = argument ? (void *)argument : device;
}

/* Options about this side. 0, or an exit code. */
static int set_identity_option(struct options *options, int option)
{
    switch (option) {
    case OPTION_KEY:
        options->tls.key_file = optarg;
        return 0;
    case OPTION_CURVE:
        options->tls.curve = optarg;
        return 0;
    case OPTION_NAME:
        options->tls.name = optarg;
        return 0;
    case OPTION_GRAMINE:
        options->tls.gramine = true;
        return 0;
    case OPTION_RENEW:
        options->tls.renew_hours = atoi(optarg);
        return options->tls.renew_hours > 0 ? 0 : usage_error("--renew takes a number of hours");
    default:
        set_provider(options, option, optarg);
        return 0;
    }
}

static int report(SSL *ssl, const char *peer, char *error)
{
    const struct attest_ratls_verdict *verdict = attest_ratls_verdict_of(ssl);
    bool refused = verdict && !verdict->accepted;
    fprintf(stderr, "cofre ra-tls: %s%s%s: %s\n", peer, *peer ? " " : "", refused ? "is not accepted" : "failed",
            refused ? verdict->reason
            : error ? error
                    : "unknown reason");
    free(error);
    return refused ? EXIT_NOT_SO : EXIT_COFRE;
}

/* One channel: in_fd and out_fd plain, tls_fd to the peer. All are closed. An exit code. */
static int run_channel(struct ra_tls_channel *channel, bool is_server, const char *peer, int tls_fd, int in_fd,
                       int out_fd)
{
    char *error = NULL;
    int code = 0;
    SSL *ssl = ra_tls_channel_ssl(channel, tls_fd, &error);
    if (ssl && is_server)
        SSL_set_accept_state(ssl);
    else if (ssl) {
        SSL_set_connect_state(ssl);
        ra_tls_set_name(ssl, peer);
    }
    if (!ssl || ra_tls_handshake(ssl, &error) < 0 || ra_tls_relay(ssl, in_fd, out_fd, &error) < 0)
        code = ssl ? report(ssl, peer, error) : command_failed("ra-tls", error);
    SSL_free(ssl);
    close(tls_fd);
    if (in_fd == out_fd)
        close(in_fd);
    return code;
}

/* What serves connections of a listening socket. */
struct service {
    struct ra_tls_channel *channel;
    bool is_server;
    const char *target; /* of the other side of each connection */
    atomic_int count;
};

struct connection {
    struct service *service;
    int fd;
};

static void *serve_connection(void *argument)
{
    struct connection *connection = argument;
    struct service *service = connection->service;
    char *error = NULL;
    int other = ra_tls_connect(service->target, &error);
    if (other < 0) {
        fprintf(stderr, "cofre ra-tls: %s\n", error);
        free(error);
        close(connection->fd);
    } else {
        int tls = service->is_server ? connection->fd : other, plain = service->is_server ? other : connection->fd;
        run_channel(service->channel, service->is_server, service->is_server ? "a client" : service->target, tls, plain,
                    plain);
    }
    free(connection);
    atomic_fetch_sub(&service->count, 1);
    return NULL;
}

/* Accepts for ever. A peer that is not accepted, or breaks, costs only its own connection. */
static int serve(struct service *service, const char *address)
{
    char *error = NULL;
    int listener = ra_tls_listen(address, &error);
    if (listener < 0)
        return command_failed("listening", error);
    fprintf(stderr, "cofre ra-tls: listening at %s\n", address);
    for (;;) {
        struct connection *connection = malloc(sizeof(*connection));
        pthread_t thread;
        int fd = connection ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd < 0) {
            free(connection);
            if (errno != ECONNABORTED && errno != EINTR)
                usleep(10000); /* out of descriptors or memory: some will end */
            continue;
        }
        *connection = (struct connection){.service = service, .fd = fd};
        if (atomic_fetch_add(&service->count, 1) >= CONNECTION_COUNT_MAX ||
            pthread_create(&thread, NULL, serve_connection, connection) != 0) {
            atomic_fetch_sub(&service->count, 1);
            close(fd);
            free(connection);
            continue;
        }
        pthread_detach(thread);
    }
}

static int run_connect(struct options *options, const char *target)
{
    char *error = NULL;
    if (!options->tls.policy_file)
        return usage_error("--policy FILE is wanted: without one any enclave would do");
    struct ra_tls_channel *channel = ra_tls_channel_new(&options->tls, TLS_client_method(), &error);
    if (!channel)
        return command_failed("ra-tls", error);
    struct service service = {.channel = channel, .target = target};
    if (options->listen)
        return serve(&service, options->listen);
    int fd = ra_tls_connect(target, &error), code;
    code = fd < 0 ? command_failed("connecting", error)
                  : run_channel(channel, false, target, fd, STDIN_FILENO, STDOUT_FILENO);
    ra_tls_channel_free(channel);
    return code;
}

static int run_serve(struct options *options, const char *target)
{
    char *error = NULL;
    if (!options->listen || !options->tls.provider.quote)
        return usage_error("--listen ADDRESS and one of --quote-device, --quote-command, --quote are wanted");
    struct ra_tls_channel *channel = ra_tls_channel_new(&options->tls, TLS_server_method(), &error);
    if (!channel)
        return command_failed("ra-tls", error);
    struct service service = {.channel = channel, .is_server = true, .target = target};
    return serve(&service, options->listen);
}

/* The key, for its owner's eyes only, or the certificate. */
static int write_pem(const char *path, EVP_PKEY *key, X509 *certificate, char **ret_error)
{
    mode_t mode = key ? 0600 : 0644;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    FILE *file = fd >= 0 && fchmod(fd, mode) == 0 ? fdopen(fd, "w") : NULL;
    if (!file) {
        error_set_errno(ret_error, errno, "%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int good = key ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) : PEM_write_X509(file, certificate);
    return fclose(file) == 0 && good ? 0 : error_set_errno(ret_error, errno, "%s", path);
}

static int run_certificate(const struct options *options, const char *key_path, const char *certificate_path)
{
    EVP_PKEY *key;
    X509 *certificate;
    char *error = NULL;
    if (!options->tls.provider.quote)
        return usage_error("one of --quote-device, --quote-command, --quote is wanted");
    if (ra_tls_identity(&options->tls, &key, &certificate, &error) < 0)
        return command_failed("making a certificate", error);
    int result = write_pem(key_path, key, NULL, &error);
    if (result == 0)
        result = write_pem(certificate_path, NULL, certificate, &error);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return result < 0 ? command_failed("making a certificate", error) : 0;
}

static void print_hex(const char *label, const uint8_t *data, size_t size)
{
    char *text = attest_hex_encode(data, size);
    printf("%-13s%s\n", label, text ? text : "?");
    free(text);
}

static int run_show(const char *path)
{
    struct attest_ratls_evidence evidence;
    struct attest_quote quote;
    char *error = NULL;
    FILE *file = fopen(path, "re");
    X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file && !certificate && fseek(file, 0, SEEK_SET) == 0)
        certificate = d2i_X509_fp(file, NULL);
    if (!certificate)
        error_set(&error, "%s: %s", path, file ? "not a certificate in PEM or DER" : strerror(errno));
    if (file)
        fclose(file);
    if (!certificate)
        return command_failed("reading the certificate", error);
    int result = attest_ratls_evidence_get(certificate, &evidence, &error);
    if (result == 0)
        result = attest_quote_parse(evidence.quote, evidence.quote_size, &quote, &error);
    if (result == 0) {
        printf("%-13s%s\n%-13sversion %u, %zu bytes, bound to the certificate's key (not verified)\n", "form",
               attest_ratls_form_name(evidence.form), "quote", quote.version, evidence.quote_size);
        if (quote.body_type == ATTEST_BODY_SGX) {
            print_hex("mrenclave", quote.body + offsetof(struct attest_sgx_body, mrenclave), 32);
            print_hex("mrsigner", quote.body + offsetof(struct attest_sgx_body, mrsigner), 32);
        }
        print_hex("report data", attest_quote_report_data(&quote), 64);
        if (evidence.nonce)
            print_hex("nonce", evidence.nonce, evidence.nonce_size);
    } else {
        fprintf(stderr, "cofre ra-tls: %s: %s\n", path, error);
    }
    free(error);
    X509_free(certificate);
    return result < 0 ? EXIT_NOT_SO : 0;
}

static int run_verb(struct options *options, const char *verb, int count, char **arguments)
{
    if (strcmp(verb, "connect") == 0)
        return count == 1 ? run_connect(options, arguments[0]) : usage_error("one HOST:PORT is wanted");
    if (strcmp(verb, "serve") == 0)
        return count == 1 ? run_serve(options, arguments[0]) : usage_error("one HOST:PORT is wanted");
    if (strcmp(verb, "certificate") == 0)
        return count == 2 ? run_certificate(options, arguments[0], arguments[1])
                          : usage_error("KEY.pem and CERTIFICATE.pem are wanted");
    if (strcmp(verb, "show") == 0)
        return count == 1 ? run_show(arguments[0]) : usage_error("one CERTIFICATE.pem is wanted");
    return usage_error("connect, serve, certificate or show is wanted");
}

int cmd_ra_tls(int argc, char **argv)
{
    struct options options = {.tls = {.curve = "P-256", .has_source = true, .root_is_simulation = true}};
    ra_tls_service_signals();
    for (int c, wrong; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            return 0;
        }
        if (c == OPTION_LISTEN)
            options.listen = optarg;
        else if (c == OPTION_POLICY)
            options.tls.policy_file = optarg;
        else if ((wrong = c >= OPTION_DEVICE && c <= OPTION_RENEW ? set_identity_option(&options, c)
                                                                  : ra_tls_set_option("ra-tls", &options.tls, c)) != 0)
            return wrong;
    }
    char *folder = ra_tls_options_complete(&options.tls);
    const char *verb = optind < argc ? argv[optind] : "";
    int code = run_verb(&options, verb, argc - optind - 1, argv + optind + 1);
    free(folder);
    return code;
}
