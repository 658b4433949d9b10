/* /proc/sysvipc, and when and by whom a segment was attached and detached. Times and ids are shown as what they mean.
 */
#define NEEDS_EDMM
#include "show.h"

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>

static int parent, child;

static const char *whose(long pid)
{
    return pid == 0 ? "nobody" : pid == parent ? "parent" : pid == child ? "child" : "another";
}

static const char *when(long at)
{
    return at == 0 ? "never" : labs(at - (long)time(NULL)) < 100 ? "now" : "at another time";
}

/* The heading as it is; of each line its fields: kind says what they are. */
static void show(const char *name, const char *kinds)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/sysvipc/%s", name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    printf("%s%s", name, line);
    while (fgets(line, sizeof line, file)) {
        const char *kind = kinds;
        printf("%zu characters:", strlen(line));
        for (char *field = strtok(line, " \n"); field; field = strtok(NULL, " \n"), kind += *kind != 0) {
            if (*kind == 'p')
                printf(" %s", whose(atol(field)));
            else if (*kind == 't')
                printf(" %s", when(atol(field)));
            else if (*kind != 'i')
                printf(" %s", field);
        }
        printf("\n");
    }
    fclose(file);
    fflush(stdout);
}

static void show_all(void)
{
    show("shm", "nimnppnnnnntttnn");
    show("sem", "nimnnnnntt");
    show("msg", "nimnnppnnnnttt");
}

static void show_segment(const char *what, int id)
{
    struct shmid_ds ds;
    shmctl(id, IPC_STAT, &ds);
    printf("%s: %d attached, attach %s, detach %s, made by %s, last by %s\n", what, (int)ds.shm_nattch,
           when(ds.shm_atime), when(ds.shm_dtime), whose(ds.shm_cpid), whose(ds.shm_lpid));
    fflush(stdout);
}

static void in_child(int how, int id, char *m)
{
    child = fork();
    if (child == 0) {
        if (how == 1)
            m = shmat(id, NULL, 0);
        if (how == 2)
            shmdt(m);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(void)
{
    struct {
        long type;
        char text[8];
    } message = {1, "seven"};
    parent = getpid();
    show_all();
    int shm = shmget(0x51ac, 10000, IPC_CREAT | 0640), other = shmget(IPC_PRIVATE, 4096, 0600);
    int sem = semget(-2, 3, IPC_CREAT | 0600), msg = msgget(IPC_PRIVATE, 0606);
    show_all();
    show_segment("made", shm);
    in_child(0, shm, NULL);
    show_segment("a child that never had it has ended", shm);
    in_child(1, shm, NULL);
    show_segment("attached by a child that has ended", shm);
    show_segment("the other", other);
    char *m = shmat(other, NULL, 0);
    m[0] = 1;
    show_segment("attached", other);
    SHOW(shmdt(m));
    show_segment("detached", other);
    m = shmat(other, NULL, 0);
    in_child(2, other, m);
    show_segment("detached by a child", other);
    SHOW(semop(sem, &(struct sembuf){1, 1, 0}, 1));
    SHOW(msgsnd(msg, &message, 5, 0));
    SHOW(msgsnd(msg, &message, 6, 0));
    SHOW(msgrcv(msg, &message, 6, 0, 0));
    SHOW(shmctl(other, IPC_RMID, NULL));
    show_all();
    SHOW(shmdt(m));
    SHOW(shmctl(shm, IPC_RMID, NULL));
    SHOW(semctl(sem, 0, IPC_RMID));
    SHOW(msgctl(msg, IPC_RMID, NULL));
    show_all();
    SHOW(open("/proc/sysvipc/shm", O_WRONLY));
    return 0;
}
