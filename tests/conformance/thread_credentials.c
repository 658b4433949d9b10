/* Ids, groups, capabilities, limits, priorities, prctl, and what needs privilege. */
#include "show.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static void ids(void)
{
    uid_t r, e, s;
    getresuid(&r, &e, &s);
    printf("uids %d %d %d ", r, e, s);
    getresgid(&r, &e, &s);
    printf("gids %d %d %d\n", r, e, s);
}

static void caps(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    SHOW(syscall(SYS_capget, &h, d));
    printf("effective %d permitted %d\n", d[0].effective != 0, d[0].permitted != 0);
}

int main(void)
{
    gid_t groups[4] = {7, 8, 9};
    ids();
    SHOW(getpgid(12345));
    SHOW(setpgid(12345, 0));
    SHOW(setpgid(0, -1));
    SHOW(wait(NULL));
    SHOW(waitpid(12345, NULL, WNOHANG));
    SHOW(waitpid(-1, NULL, 0x1000));
    siginfo_t info;
    SHOW(waitid(P_ALL, 0, &info, WEXITED));
    SHOW(waitid(P_ALL, 0, &info, 0));

    SHOW(setgroups(3, groups));
    SHOW(getgroups(0, NULL));
    SHOW(getgroups(1, groups));
    SHOW(getgroups(4, groups));
    SHOW(setresgid(100, 101, 102));
    ids();
    SHOW(setregid(-1, 100));
    SHOW(setresuid(-1, 1000, -1));
    ids();
    caps();
    SHOW(setuid(5));
    SHOW(seteuid(0));
    ids();
    SHOW(setfsuid(1234));
    SHOW(setfsuid(-1));
    SHOW(setreuid(1000, 2000));
    ids();
    SHOW(setresuid(1000, 1000, 2000));
    SHOW(setresuid(3000, -1, -1));
    SHOW(setuid(2000));
    SHOW(setuid(0));
    SHOW(setgid(0));
    SHOW(setgid(100));
    SHOW(setgroups(0, NULL));
    ids();
    caps();

    struct rlimit limit;
    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_max = 500;
    limit.rlim_cur = 400;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(dup2(1, 399));
    SHOW(dup2(1, 400));
    limit.rlim_max = 600;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 700;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(getrlimit(99, &limit));
    SHOW(prlimit(12345, RLIMIT_STACK, NULL, &limit));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 5));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 1));
    SHOW(setpriority(9, 0, 1));
    SHOW(getpriority(PRIO_PROCESS, 12345));

    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_SET_DUMPABLE, 1));
    SHOW(prctl(PR_SET_DUMPABLE, 2));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(prctl(PR_SET_PDEATHSIG, 9));
    int signal = 0;
    SHOW(prctl(PR_GET_PDEATHSIG, &signal));
    SHOW(signal);
    SHOW(prctl(PR_SET_PDEATHSIG, 65));
    SHOW(prctl(PR_CAPBSET_READ, 99));
    SHOW(prctl(PR_GET_TIMERSLACK));
    SHOW(prctl(12345678));
    SHOW(prctl(PR_SET_TIMERSLACK, 1000));
    SHOW(prctl(PR_GET_TIMERSLACK));
    unsigned long fs = 0;
    SHOW(syscall(SYS_arch_prctl, 0x1003, &fs));
    SHOW(fs != 0);
    SHOW(syscall(SYS_arch_prctl, 0x9999, &fs));
    SHOW(syscall(SYS_arch_prctl, 0x1002, 1UL << 63));
    struct utsname name;
    SHOW(uname(&name));
    printf("%s %s\n", name.sysname, name.machine);
    SHOW(sethostname("x", 1));
    SHOW(personality(0xffffffff));
    char random[300];
    SHOW(syscall(SYS_getrandom, random, sizeof random, 0));
    SHOW(syscall(SYS_getrandom, random, 0, 0));
    SHOW(syscall(SYS_getrandom, random, 10, 99));
    SHOW(syscall(SYS_getrandom, 8, 10, 0));
    SHOW(syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
    SHOW(syscall(SYS_kcmp, getpid(), getpid(), 0, 1, 1));
    return 0;
}
