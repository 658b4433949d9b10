/* System V IPC between processes. Ids are not shown: they depend on what was there before. */
#define NEEDS_EDMM
#include "show.h"

#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>

#define KEY 0x51ab
union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int wait_status(int pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void memory(void)
{
    struct shmid_ds ds;
    SHOW(shmget(KEY, 4096, 0600));
    SHOW(shmget(KEY, 0, IPC_CREAT | 0600));
    int id = shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600);
    SHOW(id >= 0);
    SHOW(shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(shmget(KEY, 20000, 0600));
    SHOW(shmget(KEY, 100, 0600) == id);
    char *m = shmat(id, NULL, 0);
    strcpy(m, "from the parent");
    int pid = fork();
    if (pid == 0) {
        shmctl(id, IPC_STAT, &ds);
        printf("child sees %s, attached %d\n", m, (int)ds.shm_nattch);
        char *again = shmat(shmget(KEY, 0, 0), NULL, 0);
        strcpy(m + 5000, "from the child");
        printf("child again %s\n", again + 5000);
        char *r = shmat(id, NULL, SHM_RDONLY);
        printf("child reads %s\n", r);
        shmctl(id, IPC_STAT, &ds);
        printf("attached %d\n", (int)ds.shm_nattch);
        SHOW(shmdt(again));
        SHOW(shmdt(again));
        shmctl(id, IPC_STAT, &ds);
        printf("attached %d\n", (int)ds.shm_nattch);
        SHOW((long)shmat(id, m + 1, 0));
        SHOW((long)shmat(id, m, 0));
        SHOW((long)shmat(id, m, SHM_REMAP) == (long)m);
        printf("remapped %s\n", m);
        fflush(stdout);
        _exit(0);
    }
    printf("memory: %d\n", wait_status(pid));
    shmctl(id, IPC_STAT, &ds);
    printf("%s, size %d, attached %d, mode %o, mine %d\n", m + 5000, (int)ds.shm_segsz, (int)ds.shm_nattch,
           ds.shm_perm.mode & 0777, ds.shm_cpid == getpid());
    SHOW(shmctl(id, IPC_RMID, NULL));
    SHOW(shmget(KEY, 100, 0600));
    SHOW(shmctl(id, IPC_STAT, &ds));
    printf("%s\n", m + 5000);
    SHOW(shmdt(m));
    SHOW(shmctl(id, IPC_STAT, &ds));
    SHOW((long)shmat(id, NULL, 0));
    SHOW(shmdt(m));
}

static int op(int id, int number, int add, int flags)
{
    struct sembuf o = {number, add, flags};
    return semop(id, &o, 1);
}

static void semaphores(void)
{
    unsigned short values[3] = {1, 2, 3};
    struct timespec soon = {0, 10000000};
    struct sembuf many[3] = {{0, -1, 0}, {1, -2, 0}, {2, -4, IPC_NOWAIT}};
    int id = semget(IPC_PRIVATE, 3, 0600);
    SHOW(id >= 0);
    SHOW(semget(IPC_PRIVATE, 0, 0600));
    SHOW(semctl(id, 0, SETALL, (union semun){.array = values}));
    SHOW(semop(id, many, 3));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(op(id, 9, 1, 0));
    SHOW(op(id, 0, -2, IPC_NOWAIT));
    SHOW(op(id, 0, 0, IPC_NOWAIT));
    SHOW(semtimedop(id, &(struct sembuf){0, -2, 0}, 1, &soon));
    SHOW(op(id, 0, 32767, 0));
    SHOW(semctl(id, 0, SETVAL, (union semun){.val = 40000}));
    SHOW(semctl(id, 7, GETVAL));
    int pid = fork();
    if (pid == 0) {
        op(id, 0, -3, 0);
        op(id, 1, -2, SEM_UNDO);
        op(id, 2, 10, SEM_UNDO);
        _exit(semctl(id, 2, GETVAL));
    }
    while (semctl(id, 0, GETNCNT) != 1)
        usleep(1000);
    SHOW(op(id, 0, 2, 0));
    printf("semaphores: %d\n", wait_status(pid));
    SHOW(semctl(id, 0, GETALL, (union semun){.array = values}));
    printf("%d %d %d, by the child %d\n", values[0], values[1], values[2], semctl(id, 0, GETPID) == pid);
    pid = fork();
    if (pid == 0) {
        int r = op(id, 0, -1, 0);
        _exit(r < 0 && errno == EIDRM);
    }
    while (semctl(id, 0, GETNCNT) != 1)
        usleep(1000);
    SHOW(semctl(id, 0, IPC_RMID));
    printf("removed: %d\n", wait_status(pid));
    SHOW(semctl(id, 0, GETVAL));
}

struct text {
    long type;
    char text[64];
};

static void messages(void)
{
    struct text t;
    struct msqid_ds ds;
    int id = msgget(IPC_PRIVATE, 0600);
    SHOW(id >= 0);
    int pid = fork();
    if (pid == 0) {
        for (int i = 1; i <= 4; i++) {
            t.type = 5 - i;
            snprintf(t.text, sizeof t.text, "message %d", i);
            msgsnd(id, &t, strlen(t.text) + 1, 0);
        }
        _exit(msgrcv(id, &t, sizeof t.text, 9, 0) == 4 && !strcmp(t.text, "end"));
    }
    SHOW(msgrcv(id, &t, sizeof t.text, 1, 0));
    printf("%ld %s\n", t.type, t.text);
    SHOW(msgrcv(id, &t, sizeof t.text, -3, 0));
    printf("%ld %s\n", t.type, t.text);
    SHOW(msgrcv(id, &t, 4, 0, 0));
    SHOW(msgrcv(id, &t, 4, 0, MSG_NOERROR));
    printf("%ld %.4s\n", t.type, t.text);
    SHOW(msgctl(id, IPC_STAT, &ds));
    printf("left %d, bytes %d\n", (int)ds.msg_qnum, (int)ds.__msg_cbytes);
    SHOW(msgrcv(id, &t, sizeof t.text, 3, IPC_NOWAIT | MSG_EXCEPT));
    SHOW(msgrcv(id, &t, sizeof t.text, 0, IPC_NOWAIT));
    SHOW(msgrcv(id, &t, sizeof t.text, 0, IPC_NOWAIT));
    t.type = 0;
    SHOW(msgsnd(id, &t, 1, 0));
    t.type = 9;
    SHOW(msgsnd(id, &t, 9000, 0));
    strcpy(t.text, "end");
    SHOW(msgsnd(id, &t, 4, 0));
    printf("messages: %d\n", wait_status(pid));
    pid = fork();
    if (pid == 0) {
        int r = msgrcv(id, &t, sizeof t.text, 0, 0);
        _exit(r < 0 && errno == EIDRM);
    }
    usleep(50000);
    SHOW(msgctl(id, IPC_RMID, NULL));
    printf("removed: %d\n", wait_status(pid));
    SHOW(msgsnd(id, &t, 1, 0));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    memory();
    semaphores();
    messages();
    return 0;
}
