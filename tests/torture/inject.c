/* Counts the file operations of a process and its children that change anything in one folder, and injects a fault at one.

   Loaded by LD_PRELOAD. The environment says where and what:
     INJECT_FOLDER   operations on paths that begin with it count, and a sync of the folder itself; it ends with a slash
     INJECT_SHARED   a file of 32 bytes, mapped by all processes: the count, the main process, whether the fault was made,
                     whether a delay is over
     INJECT_AT       the number of the operation, from 1; 0 only counts
     INJECT_FAULT    kill-before, kill-after, torn, EIO, ENOSPC, SIGTERM, or delay (until it is over, or 30 seconds)
     INJECT_READS    where it is set, opening a file and reading from it count too
     INJECT_LOG      a file to which each operation is appended, where it is set
     INJECT_TRACE    a file to which each change is appended with its data, where it is set: a line of kind, inode, offset,
                     size, bytes of data, name and second name, with tabs between, and the data. Changes are made one at a
                     time, so that their order is that of the file. What would copy data unseen fails as where it is not
                     supported, and the caller writes instead.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct shared {
    _Atomic uint64_t count;
    _Atomic uint64_t main_process;
    _Atomic uint64_t made;
    _Atomic uint64_t over;
};

static struct shared *shared;
static const char *folder, *fault, *log_path, *trace_path;
static int reads;
static size_t folder_length;
static uint64_t at;

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("INJECT_SHARED");
    folder = getenv("INJECT_FOLDER");
    fault = getenv("INJECT_FAULT");
    log_path = getenv("INJECT_LOG");
    trace_path = getenv("INJECT_TRACE");
    reads = getenv("INJECT_READS") != NULL;
    if (!path || !folder || !fault) return;
    folder_length = strlen(folder);
    at = getenv("INJECT_AT") ? strtoull(getenv("INJECT_AT"), NULL, 10) : 0;
    int descriptor = REAL(open)(path, O_RDWR);
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    REAL(close)(descriptor);
    if (mapped == MAP_FAILED) return;
    shared = mapped;
    uint64_t none = 0;
    atomic_compare_exchange_strong(&shared->main_process, &none, (uint64_t)getpid());
}

static int counts(const char *path) { return shared && path && strncmp(path, folder, folder_length) == 0; }

static int counts_descriptor(int descriptor, char *path, size_t size) {
    char link[64];
    if (!shared || descriptor < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if ((size_t)length == folder_length - 1 && strncmp(path, folder, (size_t)length) == 0) strcat(path, "/");
    return counts(path);
}

/* Returns the trace, locked against the changes of other threads and processes; -1 where there is none. */
static int trace_begin(void) {
    if (!trace_path) return -1;
    int kept = errno, trace = REAL(open)(trace_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (trace >= 0) flock(trace, LOCK_EX);
    errno = kept;
    return trace;
}

/* Appends a change, with its data where there is any. */
static void trace_change(int trace, const char *kind, ino_t inode, off_t offset, size_t size, const void *data,
                         const char *name, const char *second) {
    char line[8300];
    int length = snprintf(line, sizeof line, "%s\t%llu\t%lld\t%zu\t%zu\t%s\t%s\n", kind, (unsigned long long)inode,
                          (long long)offset, size, data ? size : 0, name + folder_length,
                          second ? second + folder_length : "");
    ssize_t written = REAL(write)(trace, line, (size_t)length);
    if (data) written = REAL(write)(trace, data, size);
    (void)written;
}

static void trace_end(int trace) {
    int kept = errno;
    flock(trace, LOCK_UN); /* a child that is just being started may hold the descriptor too */
    REAL(close)(trace);
    errno = kept;
}

static ino_t inode_of(int descriptor) {
    struct stat found;
    return fstat(descriptor, &found) == 0 ? found.st_ino : 0;
}

static ino_t inode_at(int at_, const char *path) {
    struct stat found;
    int kept = errno;
    ino_t inode = fstatat(at_, path, &found, AT_SYMLINK_NOFOLLOW) == 0 ? found.st_ino : 0;
    errno = kept;
    return inode;
}

/* Returns whether the fault falls on this operation; logs it. */
static int falls(const char *what, const char *path) {
    int kept = errno;
    uint64_t number = atomic_fetch_add(&shared->count, 1) + 1;
    if (log_path) {
        char line[512];
        int length = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)number, what, path + folder_length);
        int descriptor = REAL(open)(log_path, O_WRONLY | O_APPEND | O_CREAT, 0600);
        if (descriptor >= 0) {
            ssize_t written = REAL(write)(descriptor, line, (size_t)length);
            (void)written;
            REAL(close)(descriptor);
        }
    }
    errno = kept;
    return at && number == at;
}

static void kill_main(void) {
    atomic_store(&shared->made, 1);
    pid_t main_process = (pid_t)atomic_load(&shared->main_process);
    kill(main_process, SIGKILL);
    if (main_process == getpid()) pause();
}

static int is(const char *name) { return strcmp(fault, name) == 0; }

/* What happens before the operation; returns whether it fails instead. */
static int before(void) {
    if (is("kill-before")) kill_main();
    if (is("SIGTERM")) {
        atomic_store(&shared->made, 1);
        kill((pid_t)atomic_load(&shared->main_process), SIGTERM);
    }
    if (is("delay")) {
        struct timespec moment = {0, 10000000};
        atomic_store(&shared->made, 1);
        for (int i = 0; i < 3000 && !atomic_load(&shared->over); i++) nanosleep(&moment, NULL);
    }
    if (is("EIO") || is("ENOSPC")) {
        atomic_store(&shared->made, 1);
        errno = is("EIO") ? EIO : ENOSPC;
        return 1;
    }
    if (strncmp(fault, "errno-", 6) == 0) {
        atomic_store(&shared->made, 1);
        errno = atoi(fault + 6);
        return 1;
    }
    return 0;
}

static void after(void) {
    if (is("kill-after") || is("torn")) kill_main();
}

/* Makes one call, with the fault where it falls on it; ``change`` appends it to ``trace`` where it succeeded. */
#define AROUND(type, failed, what, path, call, succeeded, change)  \
    do {                                                           \
        int here = falls(what, path);                              \
        if (here && before()) return (type)(failed);               \
        int torn = here && is("torn");                             \
        (void)torn;                                                \
        int trace = trace_begin();                                 \
        type result = call;                                        \
        if (trace >= 0) {                                          \
            if (succeeded) change;                                 \
            trace_end(trace);                                      \
        }                                                          \
        if (here) after();                                         \
        return result;                                             \
    } while (0)

#define BY_DESCRIPTOR(what, descriptor, call, kind, size)                                             \
    do {                                                                                              \
        char path[4096];                                                                              \
        if (!counts_descriptor(descriptor, path, sizeof path)) return call;                           \
        AROUND(int, -1, what, path, call, result == 0,                                                \
               trace_change(trace, kind, inode_of(descriptor), 0, (size_t)(size), NULL, path, NULL)); \
    } while (0)

#define BY_PATH(what, path, call, first, second)                                \
    do {                                                                        \
        if (!counts(path)) return call;                                         \
        AROUND(int, -1, what, path, call, result == 0,                          \
               trace_change(trace, what, 0, 0, 0, NULL, first, second));        \
    } while (0)

/* What a trace could not see of a copy, and of space that is reserved. */
#define UNSEEN(type, failed, error, what, descriptor, call)                          \
    do {                                                                             \
        char path[4096];                                                             \
        if (!counts_descriptor(descriptor, path, sizeof path)) return call;          \
        if (trace_path) {                                                            \
            errno = error;                                                           \
            return (type)(failed);                                                   \
        }                                                                            \
        AROUND(type, failed, what, path, call, 0, (void)0);                          \
    } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path)) return REAL(write)(fd, data, size);
    AROUND(ssize_t, -1, "write", path, REAL(write)(fd, data, torn ? size / 2 : size), result > 0,
           trace_change(trace, "write", inode_of(fd), lseek(fd, 0, SEEK_CUR) - result, (size_t)result, data, path, NULL));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path)) return REAL(pwrite)(fd, data, size, offset);
    AROUND(ssize_t, -1, "pwrite", path, REAL(pwrite)(fd, data, torn ? size / 2 : size, offset), result > 0,
           trace_change(trace, "write", inode_of(fd), offset, (size_t)result, data, path, NULL));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }

ssize_t read(int fd, void *data, size_t size) {
    char path[4096];
    if (!reads || !counts_descriptor(fd, path, sizeof path)) return REAL(read)(fd, data, size);
    AROUND(ssize_t, -1, "read", path, REAL(read)(fd, data, size), 0, (void)0);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    char path[4096];
    if (!reads || !counts_descriptor(fd, path, sizeof path)) return REAL(pread)(fd, data, size, offset);
    AROUND(ssize_t, -1, "pread", path, REAL(pread)(fd, data, size, offset), 0, (void)0);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) { return pread(fd, data, size, offset); }

int fsync(int fd) { BY_DESCRIPTOR("fsync", fd, REAL(fsync)(fd), "sync", 0); }
int fdatasync(int fd) { BY_DESCRIPTOR("fdatasync", fd, REAL(fdatasync)(fd), "sync", 0); }
int ftruncate(int fd, off_t size) { BY_DESCRIPTOR("ftruncate", fd, REAL(ftruncate)(fd, size), "truncate", size); }

/* A file system without locks: every flock in the folder fails. */
int flock(int fd, int operation) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path) || strncmp(fault, "flock-", 6) != 0) return REAL(flock)(fd, operation);
    errno = atoi(fault + 6);
    return -1;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t size) {
    UNSEEN(int, -1, EOPNOTSUPP, "fallocate", fd, REAL(fallocate)(fd, mode, offset, size));
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }
int posix_fallocate(int fd, off_t offset, off_t size) {
    UNSEEN(int, errno, EOPNOTSUPP, "posix_fallocate", fd, REAL(posix_fallocate)(fd, offset, size));
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    UNSEEN(ssize_t, -1, EXDEV, "copy_file_range", out, REAL(copy_file_range)(in, from, out, to, size, flags));
}
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    ssize_t (*real)(int, int, off_t *, size_t) = (ssize_t(*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile");
    UNSEEN(ssize_t, -1, EINVAL, "sendfile", out, real(out, in, offset, size));
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) { return sendfile(out, in, (off_t *)offset, size); }
int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request != FICLONE && request != FICLONERANGE) return REAL(ioctl)(fd, request, argument);
    UNSEEN(int, -1, EOPNOTSUPP, "clone", fd, REAL(ioctl)(fd, request, argument));
}

int rename(const char *from, const char *to) { BY_PATH("rename", to, REAL(rename)(from, to), from, to); }
int renameat(int a, const char *from, int b, const char *to) {
    BY_PATH("rename", to, REAL(renameat)(a, from, b, to), from, to);
}
int link(const char *from, const char *to) { BY_PATH("link", to, REAL(link)(from, to), from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    BY_PATH("link", to, REAL(linkat)(a, from, b, to, flags), from, to);
}
int unlink(const char *path) { BY_PATH("unlink", path, REAL(unlink)(path), path, NULL); }
int unlinkat(int at_, const char *path, int flags) { BY_PATH("unlink", path, REAL(unlinkat)(at_, path, flags), path, NULL); }
int remove(const char *path) { BY_PATH("unlink", path, REAL(remove)(path), path, NULL); }
int mkdir(const char *path, mode_t mode) { BY_PATH("mkdir", path, REAL(mkdir)(path, mode), path, NULL); }
int rmdir(const char *path) { BY_PATH("rmdir", path, REAL(rmdir)(path), path, NULL); }
int truncate(const char *path, off_t size) {
    if (!counts(path)) return REAL(truncate)(path, size);
    AROUND(int, -1, "truncate", path, REAL(truncate)(path, size), result == 0,
           trace_change(trace, "truncate", inode_at(AT_FDCWD, path), 0, (size_t)size, NULL, path, NULL));
}

#define OPENED(at_, call)                                                                                      \
    do {                                                                                                       \
        mode_t mode = 0;                                                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                   \
            va_list rest;                                                                                      \
            va_start(rest, flags);                                                                             \
            mode = va_arg(rest, mode_t);                                                                       \
            va_end(rest);                                                                                      \
        }                                                                                                      \
        if (!((flags & (O_CREAT | O_TRUNC)) || reads) || !counts(path)) return call;                           \
        ino_t existed = 0;                                                                                     \
        AROUND(int, -1, "open", path, (existed = inode_at(at_, path), call),                                   \
               result >= 0 && (!existed || (flags & O_TRUNC)),                                                 \
               trace_change(trace, existed ? "truncate" : "create", inode_of(result), 0, 0, NULL, path, NULL)); \
    } while (0)

int open(const char *path, int flags, ...) { OPENED(AT_FDCWD, REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD, REAL(open64)(path, flags, mode)); }
int openat(int at_, const char *path, int flags, ...) { OPENED(at_, REAL(openat)(at_, path, flags, mode)); }
int openat64(int at_, const char *path, int flags, ...) { OPENED(at_, REAL(openat64)(at_, path, flags, mode)); }
