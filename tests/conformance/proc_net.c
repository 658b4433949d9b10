/* /proc/net and /proc/locks: what they say of the sockets and locks of this process and of another one. Ports, numbers
 * and the order of lines differ from run to run: each line is looked up by its number and compared with what is known.
 */
#include "show.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MANY 300

static unsigned long number(int fd)
{
    char path[64], text[64] = "";
    unsigned long n = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, text, sizeof text - 1) < 0 || sscanf(text, "socket:[%lu]", &n) != 1)
        printf("%s: %s\n", path, text);
    return n;
}

/* What getsockname or getpeername gives, as /proc/net would write it. */
static void name_text(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char *text)
{
    struct sockaddr_in6 name = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
    socklen_t size = sizeof name;
    unsigned words[4] = {0};
    int family;
    socklen_t family_size = sizeof family;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_size);
    get(fd, (struct sockaddr *)&name, &size);
    if (family == AF_INET) {
        sprintf(text, "%08X:%04X", v4->sin_addr.s_addr, ntohs(v4->sin_port));
        return;
    }
    memcpy(words, &name.sin6_addr, sizeof words);
    sprintf(text, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3], ntohs(name.sin6_port));
}

static int heading(const char *name)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/net/%s", name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file))
        return printf("%s: %s\n", path, strerror(errno));
    printf("%zu characters: %s", strlen(line), line);
    fclose(file);
    fflush(stdout);
    return 0;
}

/* The line of a socket, if there is one. */
static int find_line(const char *name, unsigned long wanted, int field, char *line, size_t size)
{
    char path[64];
    unsigned long n;
    int found = 0;
    snprintf(path, sizeof path, "/proc/net/%s", name);
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, size, file)) {
        const char *at = line;
        for (int i = 0; i < field; i++) {
            at += strspn(at, " ");
            at += strcspn(at, " ");
        }
        found = sscanf(at, "%lu", &n) == 1 && n == wanted;
    }
    if (file)
        fclose(file);
    return found;
}

static void show_inet(const char *what, const char *name, int fd)
{
    char line[512], local[64], peer[64], mine[64], other[64];
    unsigned state, tx, rx, timer, retransmits, uid;
    unsigned long when, n;
    int line_number, timeout, references;
    if (!find_line(name, number(fd), 9, line, sizeof line)) {
        printf("%s: no line\n", what);
        return;
    }
    int fields = sscanf(line, "%d: %63s %63s %x %x:%x %x:%lx %x %u %d %lu %d", &line_number, local, peer, &state, &tx,
                        &rx, &timer, &when, &retransmits, &uid, &timeout, &n, &references);
    name_text(fd, getsockname, mine);
    name_text(fd, getpeername, other);
    printf("%s: %d fields, local %s, peer %s, state %02X, queues %x %x, retransmits %u, uid %u, timeout %d", what,
           fields, strcmp(local, mine) ? local : "right", strcmp(peer, other) ? peer : "right", state, tx,
           name[0] == 'u' ? rx > 0 : rx, retransmits, uid, timeout);
    printf(strlen(name) == 3 ? ", %zu characters\n" : "\n", strlen(line));
    fflush(stdout);
}

static void show_unix(const char *what, int fd)
{
    char line[512];
    unsigned references, protocol, flags, type, state;
    unsigned long n, pointer;
    int at = 0;
    if (!find_line("unix", number(fd), 6, line, sizeof line)) {
        printf("%s: no line\n", what);
        return;
    }
    sscanf(line, "%lx: %x %x %x %x %x %lu%n", &pointer, &references, &protocol, &flags, &type, &state, &n, &at);
    printf("%s: %u references, protocol %u, flags %x, type %u, state %u, name%s", what, references, protocol, flags,
           type, state, line + at);
    fflush(stdout);
}

static int listener(int family, const char *ip, int *ret_port)
{
    struct sockaddr_in6 name = {.sin6_family = family};
    socklen_t size = sizeof name;
    int fd = socket(family, SOCK_STREAM, 0);
    if (family == AF_INET)
        inet_pton(family, ip, &((struct sockaddr_in *)&name)->sin_addr);
    else
        inet_pton(family, ip, &name.sin6_addr);
    bind(fd, (struct sockaddr *)&name, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof name);
    listen(fd, 10);
    getsockname(fd, (struct sockaddr *)&name, &size);
    *ret_port = ntohs(name.sin6_port);
    return fd;
}

static int joined(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        printf("connect: %s\n", strerror(errno));
    return fd;
}

static void tcp(void)
{
    int port, port6, unheard = socket(AF_INET, SOCK_STREAM, 0);
    int l = listener(AF_INET, "127.0.0.1", &port), l6 = listener(AF_INET6, "::1", &port6);
    show_inet("listening", "tcp", l);
    show_inet("listening, v6", "tcp6", l6);
    show_inet("listening v6 among v4", "tcp", l6);
    show_inet("new", "tcp", unheard);
    int a = joined(port);
    show_inet("one in the backlog", "tcp", l);
    show_inet("connected", "tcp", a);
    int b = accept(l, NULL, NULL);
    show_inet("accepted", "tcp", b);
    show_inet("no more in the backlog", "tcp", l);
    SHOW(write(a, "seven", 5));
    usleep(20000);
    show_inet("with five bytes", "tcp", b);
    SHOW(read(b, &port, 4));
    show_inet("with one byte", "tcp", b);
    shutdown(a, SHUT_WR);
    usleep(50000);
    show_inet("half closed", "tcp", a);
    show_inet("half closed by the other", "tcp", b);
    int all = listener(AF_INET6, "::", &port), c = joined(port);
    show_inet("both", "tcp6", all);
    show_inet("mapped", "tcp6", accept(all, NULL, NULL));
    close(a), close(b), close(c), close(l), close(l6), close(all), close(unheard);
}

static void udp(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof to;
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    show_inet("new", "udp", a);
    bind(a, (struct sockaddr *)&to, sizeof to);
    getsockname(a, (struct sockaddr *)&to, &size);
    show_inet("bound", "udp", a);
    connect(b, (struct sockaddr *)&to, sizeof to);
    show_inet("connected", "udp", b);
    SHOW(write(b, "seven", 5));
    show_inet("with a datagram", "udp", a);
    bind(c, (struct sockaddr *)&to6, sizeof to6);
    show_inet("bound, v6", "udp6", c);
    close(a), close(b), close(c);
}

static void unix_sockets(void)
{
    struct sockaddr_un name = {AF_UNIX, "/tmp/proc_net.socket"}, hidden = {AF_UNIX, "\0proc\0net"};
    int pair[2], packets[2], l = socket(AF_UNIX, SOCK_STREAM, 0), a = socket(AF_UNIX, SOCK_STREAM, 0);
    int d = socket(AF_UNIX, SOCK_DGRAM, 0), e = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets);
    show_unix("pair", pair[0]);
    show_unix("pair of packets", packets[1]);
    show_unix("new", l);
    unlink(name.sun_path);
    bind(l, (struct sockaddr *)&name, sizeof name);
    show_unix("bound", l);
    listen(l, 5);
    show_unix("listening", l);
    connect(a, (struct sockaddr *)&name, sizeof name);
    show_unix("connected", a);
    show_unix("accepted", accept(l, NULL, NULL));
    bind(d, (struct sockaddr *)&hidden, offsetof(struct sockaddr_un, sun_path) + 9);
    show_unix("no path", d);
    show_unix("another type", e);
    close(pair[0]);
    show_unix("left alone", pair[1]);
    close(pair[1]), close(l), close(a), close(d), close(e);
    unlink(name.sun_path);
}

/* The sockets of another process, by the numbers it sees. */
static void others(void)
{
    char line[512];
    unsigned long theirs = 0;
    int told[2], end[2];
    pipe(told), pipe(end);
    pid_t pid = fork();
    if (pid == 0) {
        int port, l = listener(AF_INET, "127.0.0.1", &port);
        theirs = number(l);
        write(told[1], &theirs, sizeof theirs);
        close(end[1]);
        read(end[0], &port, 1);
        _exit(0);
    }
    read(told[0], &theirs, sizeof theirs);
    printf("another's: %d\n", find_line("tcp", theirs, 9, line, sizeof line));
    snprintf(line, sizeof line, "/proc/%d/net/tcp", pid);
    printf("in its folder: %d\n", access(line, R_OK));
    close(end[1]);
    waitpid(pid, NULL, 0);
    printf("when it has ended: %d\n", find_line("tcp", theirs, 9, line, sizeof line));
    close(told[0]), close(told[1]), close(end[0]);
}

/* A long text, read in pieces while lines come and go: those that stay are there once, and whole. */
static void many(void)
{
    int fds[MANY], pieces = 0, used = 0, n, seen[MANY] = {0}, lines = 0, whole = 0;
    unsigned long numbers[MANY];
    static char text[4 << 20];
    for (int i = 0; i < MANY; i++) {
        fds[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
        numbers[i] = number(fds[i]);
    }
    int file = open("/proc/net/unix", O_RDONLY);
    while ((n = read(file, text + used, 777)) > 0) {
        used += n;
        pieces++;
        close(fds[pieces % 20]);
        fds[pieces % 20] = socket(AF_UNIX, SOCK_DGRAM, 0);
    }
    text[used] = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long inode = 0;
        lines++;
        whole += sscanf(line, "%*x: %*x %*x %*x %*x %*x %lu", &inode) == 1;
        for (int i = 20; i < MANY; i++)
            seen[i] += inode == numbers[i];
    }
    int once = 0;
    for (int i = 20; i < MANY; i++)
        once += seen[i] == 1;
    /* Linux may leave out or repeat one whose neighbour in its table comes or goes just then. */
    printf("once: %d; whole: %d; in pieces: %d\n", once > MANY - 30, lines - whole == 1, pieces > 10);
    for (int i = 20; i < MANY; i++)
        close(fds[i]);
    /* From the start it is made anew; before the last piece, and beyond the end. */
    n = pread(file, text, 100, 0);
    printf("%d, ", n);
    printf("%d, ", (int)pread(file, text + 100, 50, 50));
    printf("%s, ", memcmp(text + 50, text + 100, 50) ? "another" : "the same");
    printf("%d\n", (int)pread(file, text, 100, 1 << 30));
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    close(file);
}

/* The lines of /proc/locks about a file, sorted; who holds them by name. */
static void show_locks(const char *what, int fd, pid_t child)
{
    char line[256], kind[16], mode[16], type[16], end[32], lines[16][256];
    struct stat st;
    int count = 0;
    fstat(fd, &st);
    FILE *file = fopen("/proc/locks", "r");
    while (file && fgets(line, sizeof line, file)) {
        unsigned major, minor, waits = strstr(line, "->") != NULL;
        int pid, at = 0;
        unsigned long inode;
        long start;
        const char *rest = strchr(line, ':') + (waits ? 5 : 2);
        if (sscanf(rest, "%15s %15s %15s %d %x:%x:%lu %ld %31s%n", kind, mode, type, &pid, &major, &minor, &inode,
                   &start, end, &at) != 9 ||
            inode != st.st_ino || major != major(st.st_dev) || minor != minor(st.st_dev) || count == 16)
            continue;
        snprintf(lines[count++], 256, "%.12s| %s%s %s %s %s %ld %s%s", rest, waits ? "-> " : "", kind, mode, type,
                 pid == getpid() ? "mine"
                 : pid == child  ? "the child's"
                 : pid == -1     ? "nobody's"
                                 : "another's",
                 start, end, rest[at] == '\n' ? "" : " more");
    }
    if (file)
        fclose(file);
    qsort(lines, count, sizeof lines[0], (int (*)(const void *, const void *))strcmp);
    printf("%s: %d\n", what, count);
    for (int i = 0; i < count; i++)
        printf("  %s\n", lines[i]);
    fflush(stdout);
}

static void locks(void)
{
    struct flock range = {F_WRLCK, SEEK_SET, 5, 10, 0}, tail = {F_RDLCK, SEEK_SET, 100, 0, 0};
    int a = open("/tmp/proc_locks", O_RDWR | O_CREAT, 0600), b = open("/tmp/proc_locks", O_RDWR);
    show_locks("none", a, -2);
    SHOW(fcntl(a, F_SETLK, &range));
    SHOW(fcntl(b, F_OFD_SETLK, &tail));
    SHOW(flock(b, LOCK_SH));
    show_locks("three", a, -2);
    pid_t pid = fork();
    if (pid == 0) {
        int c = open("/tmp/proc_locks", O_RDWR);
        struct flock mine = {F_WRLCK, SEEK_SET, 50, 1, 0};
        fcntl(c, F_SETLK, &mine);
        flock(c, LOCK_SH);
        fcntl(c, F_SETLKW, &range);
        _exit(0);
    }
    usleep(300000);
    show_locks("one that waits", a, pid);
    range.l_type = F_UNLCK;
    SHOW(fcntl(a, F_SETLK, &range));
    waitpid(pid, NULL, 0);
    show_locks("when it has ended", a, pid);
    close(b);
    show_locks("closed", a, pid);
    close(a);
    unlink("/tmp/proc_locks");
}

/* What SOCK_DIAG says to questions nobody answers. */
static void ask(const char *what, int type, size_t size, int family)
{
    struct {
        struct nlmsghdr h;
        unsigned char body[64];
    } request = {{NLMSG_LENGTH(size), type, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}, {family, 6}};
    struct {
        struct nlmsghdr h;
        struct nlmsgerr error;
        unsigned char rest[256];
    } reply = {0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    long sent = send(fd, &request, request.h.nlmsg_len, 0), n = sent < 0 ? -1 : recv(fd, &reply, sizeof reply, 0);
    printf("%s: sent %d, %d: type %d, number %d, error %d\n", what, sent == request.h.nlmsg_len,
           n >= (long)NLMSG_LENGTH(sizeof reply.error), reply.h.nlmsg_type, reply.h.nlmsg_seq, reply.error.error);
    fflush(stdout);
    close(fd);
}

static void sock_diag(void)
{
    ask("a family that has no such sockets", SOCK_DIAG_BY_FAMILY, 56, AF_APPLETALK);
    ask("no family", SOCK_DIAG_BY_FAMILY, 56, 200);
    ask("too short", SOCK_DIAG_BY_FAMILY, 1, AF_INET);
    ask("nothing of the kind", 30, 56, AF_INET);
}

int main(void)
{
    heading("tcp");
    heading("tcp6");
    heading("udp");
    heading("udp6");
    heading("unix");
    tcp();
    udp();
    unix_sockets();
    others();
    many();
    sock_diag();
    locks();
    return 0;
}
