/* A TCP connection that its peer resets: what is left to read, and what the socket says it is. */
#include "show.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static struct sockaddr_in here = {.sin_family = AF_INET};

static void connect_pair(int *ret_client, int *ret_server)
{
    socklen_t size = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    here.sin_port = 0;
    bind(listener, (struct sockaddr *)&here, sizeof here);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&here, &size);
    *ret_client = socket(AF_INET, SOCK_STREAM, 0);
    connect(*ret_client, (struct sockaddr *)&here, sizeof here);
    *ret_server = accept(listener, NULL, NULL);
    close(listener);
}

static void reset(int fd)
{
    struct linger linger = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
    usleep(20000);
}

static void names(int fd)
{
    struct sockaddr_in name = {0};
    socklen_t size = sizeof name;

    SHOW(getpeername(fd, (struct sockaddr *)&name, &size));
    size = sizeof name;
    SHOW(getsockname(fd, (struct sockaddr *)&name, &size));
    printf("address %x, port is %s\n", ntohl(name.sin_addr.s_addr), name.sin_port ? "there" : "not there");
}

static void state(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};

    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    printf("state %d", info.tcpi_state);
    poll(&p, 1, 0);
    printf(", events %x\n", p.revents);
}

int main(void)
{
    char bytes[64];
    int client, server;

    printf("with nothing to read\n");
    connect_pair(&client, &server);
    names(server);
    state(server);
    reset(client);
    names(server);
    state(server);
    SHOW(recv(server, bytes, sizeof bytes, 0));
    SHOW(recv(server, bytes, sizeof bytes, 0));
    SHOW(send(server, "x", 1, MSG_NOSIGNAL));
    state(server);
    SHOW(shutdown(server, SHUT_RDWR));
    close(server);

    printf("with data to read\n");
    connect_pair(&client, &server);
    send(client, "hello", 5, 0);
    reset(client);
    names(server);
    state(server);
    SHOW(recv(server, bytes, 2, MSG_DONTWAIT));
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    close(server);

    printf("writing first\n");
    connect_pair(&client, &server);
    send(client, "hello", 5, 0);
    reset(client);
    SHOW(send(server, "x", 1, MSG_NOSIGNAL));
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    close(server);

    printf("closed with data unread\n");
    connect_pair(&client, &server);
    send(server, "unread", 6, 0);
    send(client, "last", 4, 0);
    usleep(20000);
    close(client);
    usleep(20000);
    names(server);
    state(server);
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    close(server);

    printf("closed, then written to\n");
    connect_pair(&client, &server);
    close(client);
    usleep(20000);
    names(server);
    SHOW(send(server, "x", 1, MSG_NOSIGNAL));
    usleep(20000);
    names(server);
    state(server);
    SHOW(recv(server, bytes, sizeof bytes, MSG_DONTWAIT));
    SHOW(send(server, "x", 1, MSG_NOSIGNAL));
    return 0;
}
