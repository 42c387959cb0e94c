/* A disk in trouble, for one process: LD_PRELOAD this and set
 *   SHIM_NAME    part of the paths it is about
 *   SHIM_CALL    `write` or `sync`: which calls are in trouble
 *   SHIM_AFTER   how many of them go well first
 *   SHIM_ERRNO   what the others fail with; 0: they are only slow
 *   SHIM_TIMES   how many are in trouble (all that follow when absent)
 *   SHIM_SLEEP_MS  how long each of those takes
 *   SHIM_GATE    a file: until it exists there is no trouble
 *   SHIM_LOG     a file that gets a line for every such call: `write`, `sync` or `failed`, and the path
 *   SHIM_TAPE    a file that gets all that was written, cut and synced, in order: a header (struct cut below), the path,
 *                the bytes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;

static int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

/* 0 when the call may go on, else the errno it fails with */
static int trouble(const char *call, int fd) {
    const char *name = getenv("SHIM_NAME"), *log = getenv("SHIM_LOG"), *gate = getenv("SHIM_GATE");
    char link[64], path[4096];
    if (!name) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (!strstr(path, name)) return 0;
    int fails = 0;
    int open_ = !gate || access(gate, F_OK) == 0;
    if (open_ && !strcmp(call, getenv("SHIM_CALL") ? getenv("SHIM_CALL") : "")) {
        int number = atomic_fetch_add(&calls, 1) - setting("SHIM_AFTER", 0);
        if (number >= 0 && number < setting("SHIM_TIMES", 1 << 30)) {
            usleep(1000 * setting("SHIM_SLEEP_MS", 0));
            fails = setting("SHIM_ERRNO", 0);
        }
    }
    if (log) {
        char line[4200];
        int size = snprintf(line, sizeof line, "%s %s\n", fails ? "failed" : call, path);
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (out >= 0) {
            syscall(SYS_write, out, line, size);
            close(out);
        }
    }
    return fails;
}

struct cut {
    char what; /* `w`rite, `t`runcate, `s`ync */
    unsigned short path;
    unsigned int size;
    unsigned long long at; /* of a write without a place: all ones */
} __attribute__((packed));

/* what went well, for the tape */
static ssize_t taped(ssize_t result, char what, int fd, unsigned long long at, const void *data) {
    const char *tape = getenv("SHIM_TAPE"), *name = getenv("SHIM_NAME");
    char link[64], path[4096];
    if (!tape || !name || result < 0) return result;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return result;
    path[length] = 0;
    if (!strstr(path, name)) return result;
    struct cut head = {what, length, what == 'w' ? result : 0, at};
    char *record = malloc(sizeof head + length + head.size);
    memcpy(record, &head, sizeof head);
    memcpy(record + sizeof head, path, length);
    if (head.size) memcpy(record + sizeof head + length, data, head.size);
    int out = open(tape, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out >= 0) {
        syscall(SYS_write, out, record, sizeof head + length + head.size);
        close(out);
    }
    free(record);
    return result;
}

#define CHECKED(call, fd)                      \
    int fails = trouble(call, fd);             \
    if (fails) {                               \
        errno = fails;                         \
        return -1;                             \
    }

ssize_t write(int fd, const void *data, size_t size) {
    CHECKED("write", fd)
    return taped(syscall(SYS_write, fd, data, size), 'w', fd, -1ULL, data);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    CHECKED("write", fd)
    return taped(syscall(SYS_pwrite64, fd, data, size, at), 'w', fd, at, data);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    CHECKED("write", fd)
    return taped(syscall(SYS_pwrite64, fd, data, size, at), 'w', fd, at, data);
}

int fsync(int fd) {
    CHECKED("sync", fd)
    return taped(syscall(SYS_fsync, fd), 's', fd, 0, 0);
}

int fdatasync(int fd) {
    CHECKED("sync", fd)
    return taped(syscall(SYS_fdatasync, fd), 's', fd, 0, 0);
}

int ftruncate(int fd, off_t size) {
    return taped(syscall(SYS_ftruncate, fd, size), 't', fd, size, 0);
}

int ftruncate64(int fd, off64_t size) {
    return taped(syscall(SYS_ftruncate, fd, size), 't', fd, size, 0);
}
