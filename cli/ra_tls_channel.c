/* Identities, verifiers and TLS contexts of `cofre ra-tls`. */
#include "cli/ra_tls_channel.h"

#include <errno.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "image/error.h"

#define HOURS_DEFAULT 24

struct ra_tls_channel {
    struct ra_tls_options options;
    const SSL_METHOD *method;
    struct attest_store *store;
    struct attest_policy *policy;
    struct attest_ratls_verifier *verifier;
    pthread_mutex_t lock; /* of what follows */
    SSL_CTX *context;
    time_t made;
};

EVP_PKEY *ra_tls_key_load(const char *path, char **ret_error)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        error_set_errno(ret_error, errno, "%s", path);
        return NULL;
    }
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    if (!key)
        error_set(ret_error, "%s: it holds no private key in PEM", path);
    return key;
}

int ra_tls_identity(const struct ra_tls_options *options, EVP_PKEY **ret_key, X509 **ret_certificate, char **ret_error)
{
    struct attest_ratls_certificate_options certificate = {
        .provider = &options->provider, .gramine = options->gramine, .common_name = options->name};
    EVP_PKEY *key = options->key_file ? ra_tls_key_load(options->key_file, ret_error)
                                      : attest_ratls_key_new(options->curve, ret_error);
    if (!key)
        return -1;
    *ret_certificate = attest_ratls_certificate_new(key, &certificate, ret_error);
    if (!*ret_certificate) {
        EVP_PKEY_free(key);
        return -1;
    }
    *ret_key = key;
    return 0;
}

struct attest_store *ra_tls_store_new(const struct ra_tls_options *options, char **ret_error)
{
    struct attest_roots roots;
    attest_roots_init(&roots);
    if (options->root_file &&
        attest_roots_add_file(&roots, options->root_file, options->root_is_simulation, ret_error) < 0)
        return NULL;
    struct attest_store *store = attest_store_new(&roots, options->has_source ? &options->source : NULL);
    if (!store)
        error_set(ret_error, "out of memory");
    for (size_t i = 0; store && i < options->collateral_count; i++)
        if (attest_store_add_file(store, options->collateral[i], ret_error) < 0) {
            attest_store_free(store);
            return NULL;
        }
    return store;
}

static int set_identity(const struct ra_tls_options *options, SSL_CTX *context, char **ret_error)
{
    EVP_PKEY *key;
    X509 *certificate;
    if (ra_tls_identity(options, &key, &certificate, ret_error) < 0)
        return -1;
    int good = SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return good ? 0 : error_set(ret_error, "OpenSSL does not take the certificate");
}

static SSL_CTX *make_context(struct ra_tls_channel *channel, char **ret_error)
{
    SSL_CTX *context = SSL_CTX_new(channel->method);
    int result = context ? attest_ratls_prepare_ctx(context) : -1;
    if (result == 0 && channel->verifier)
        result = attest_ratls_verify_ctx(context, channel->verifier);
    if (result < 0)
        error_set(ret_error, "OpenSSL cannot be set up for TLS 1.3");
    else if (channel->options.provider.quote)
        result = set_identity(&channel->options, context, ret_error);
    if (result < 0) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

struct ra_tls_channel *ra_tls_channel_new(const struct ra_tls_options *options, const SSL_METHOD *method,
                                          char **ret_error)
{
    struct ra_tls_channel *channel = calloc(1, sizeof(*channel));
    if (!channel) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    channel->options = *options;
    channel->method = method;
    pthread_mutex_init(&channel->lock, NULL);
    int result = 0;
    if (options->policy_file) {
        result = -1;
        if ((channel->policy = attest_policy_load(options->policy_file, ret_error)) != NULL &&
            (channel->store = ra_tls_store_new(options, ret_error)) != NULL) {
            channel->verifier = attest_ratls_verifier_new(channel->store, channel->policy, options->time);
            result = channel->verifier ? 0 : error_set(ret_error, "out of memory");
        }
    }
    if (result == 0)
        channel->context = make_context(channel, ret_error);
    if (!channel->context) {
        ra_tls_channel_free(channel);
        return NULL;
    }
    channel->made = time(NULL);
    return channel;
}

void ra_tls_channel_free(struct ra_tls_channel *channel)
{
    if (!channel)
        return;
    SSL_CTX_free(channel->context);
    attest_ratls_verifier_free(channel->verifier);
    attest_policy_free(channel->policy);
    attest_store_free(channel->store);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

/* The context of the day. Without a new one the old goes on: peers that want fresh evidence say so in their policy. */
static SSL_CTX *get_context(struct ra_tls_channel *channel)
{
    int hours = channel->options.renew_hours > 0 ? channel->options.renew_hours : HOURS_DEFAULT;
    pthread_mutex_lock(&channel->lock);
    if (channel->options.provider.quote && time(NULL) - channel->made >= hours * 3600L) {
        char *error = NULL;
        SSL_CTX *fresh = make_context(channel, &error);
        if (fresh) {
            SSL_CTX_free(channel->context); /* connections hold on to theirs */
            channel->context = fresh;
        } else {
            fprintf(stderr, "cofre ra-tls: no fresh evidence: %s\n", error);
        }
        free(error);
        channel->made = time(NULL);
    }
    SSL_CTX *context = channel->context;
    SSL_CTX_up_ref(context);
    pthread_mutex_unlock(&channel->lock);
    return context;
}

SSL *ra_tls_channel_ssl(struct ra_tls_channel *channel, int fd, char **ret_error)
{
    SSL_CTX *context = get_context(channel);
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        error_set(ret_error, "out of memory");
        return NULL;
    }
    return ssl;
}
