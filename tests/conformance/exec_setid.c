/* Set-user-id and set-group-id programs, no_new_privs, capabilities across exec. */
#include "show.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern char **environ;

static void report(const char *what)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    uid_t r, e, s;
    gid_t rg, eg, sg;
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    syscall(SYS_capget, &h, d);
    printf("%s: uid %d %d %d gid %d %d %d secure %lu effective %d permitted %d dumpable %d\n", what, r, e, s, rg, eg,
           sg, getauxval(AT_SECURE), d[0].effective != 0, d[0].permitted != 0, prctl(PR_GET_DUMPABLE) != 0);
    fflush(stdout);
}

static void copy_self(const char *to, int uid, int gid, int mode)
{
    struct stat st;
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    fstat(in, &st);
    while (st.st_size > 0) {
        ssize_t n = sendfile(out, in, NULL, st.st_size);
        if (n <= 0)
            break;
        st.st_size -= n;
    }
    close(in);
    close(out);
    if (chown(to, uid, gid) || chmod(to, mode))
        perror(to);
}

static void next(const char *path, const char *stage)
{
    char *args[] = {"x", (char *)stage, NULL};
    execve(path, args, environ);
    perror(path);
    exit(1);
}

int main(int argc, char **argv)
{
    switch (argc > 1 ? atoi(argv[1]) : 0) {
    case 0:
        copy_self("/tmp/plain", 0, 0, 0755);
        copy_self("/tmp/setuid", 0, 0, 04755);
        copy_self("/tmp/setgid", 0, 50, 02755);
        copy_self("/tmp/secret", 0, 0, 0711);
        copy_self("/tmp/private", 0, 0, 0700);
        report("start");
        SHOW(setresgid(7, 7, 7));
        SHOW(setresuid(1000, 1000, 1000));
        report("dropped");
        next("/tmp/plain", "1");
    case 1:
        report("plain");
        SHOW(execve("/tmp/private", argv, environ));
        next("/tmp/secret", "2");
    case 2:
        report("not readable, but executable");
        next("/tmp/setgid", "3");
    case 3:
        report("setgid");
        next("/tmp/setuid", "4");
    case 4:
        report("setuid");
        SHOW(seteuid(1000));
        report("given up for now");
        next("/tmp/plain", "5");
    case 5:
        report("after exec");
        SHOW(seteuid(0));
        SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        next("/tmp/setuid", "6");
    default:
        report("no new privileges");
        return 0;
    }
}
