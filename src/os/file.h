/*
 * Files: the system calls the log makes, with their rough edges taken off once.
 *
 * Any process, any thread.  Every call restarts after EINTR; reads and writes are whole (a short
 * one goes on until the end of the file or an error); 0 or -errno.  Nothing here maps a file.
 *
 * Each call first asks tk_file_fault, if a test has set it, so that full disks, failing ones and
 * short writes can be had anywhere without a file system that has them.
 */
#ifndef TK_OS_FILE_H
#define TK_OS_FILE_H

#include <fcntl.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "takhin/base.h"

struct tk_file_info {
	uint64_t inode;
	uint64_t device;
	int64_t size_bytes;
	int64_t mtime_ns;
	bool is_directory;
};

enum tk_file_op {
	TK_FILE_OPEN,
	TK_FILE_READ,
	TK_FILE_WRITE,
	TK_FILE_TRUNCATE,
	TK_FILE_SYNC,
	TK_FILE_ALLOCATE,
	TK_FILE_RENAME,
	TK_FILE_UNLINK
};

/*
 * Called before an operation with the object's path (NULL where there is only a descriptor) and,
 * for writes, the bytes about to be written, which it may make fewer (the call then stops short
 * there with the errno returned).  0 goes on.  NULL outside tests.
 */
extern int (*tk_file_fault)(enum tk_file_op op, const char *path, int fd, size_t *bytes);

/* Close-on-exec; dir_fd as in openat(). */
int tk_file_open(int dir_fd, const char *path, int flags, mode_t mode, int *ret_fd) TK_MUST_CHECK;

/* Closes *fd if it is one and sets it to -1. */
void tk_file_close(int *fd);

/* Reads up to len bytes; *ret_len is less only at the end of the file. */
int tk_file_pread(int fd, void *data, size_t len, int64_t at, size_t *ret_len) TK_MUST_CHECK;

/* Reads exactly len bytes; -ENODATA if the file ends before. */
int tk_file_pread_full(int fd, void *data, size_t len, int64_t at) TK_MUST_CHECK;

int tk_file_pwrite(int fd, const void *data, size_t len, int64_t at) TK_MUST_CHECK;

/*
 * Writes all of iov, which it uses up.  *ret_written is set on failure as well: how many bytes,
 * from the first on, the file took.
 */
int tk_file_pwritev(
    int fd, struct iovec *iov, int count, int64_t at, size_t *ret_written) TK_MUST_CHECK;

/*
 * Copies len bytes from one file to another inside the kernel, which may share blocks; by read and
 * write where it cannot.  -ENODATA if the source ends before.
 */
int tk_file_copy(int from_fd, int64_t from_at, int to_fd, int64_t to_at, int64_t len) TK_MUST_CHECK;

int tk_file_truncate(int fd, int64_t size_bytes) TK_MUST_CHECK;

/* Sets the time of the last change, in nanoseconds since 1970. */
int tk_file_set_mtime(int fd, int64_t mtime_ns) TK_MUST_CHECK;

/* Reserves blocks without changing the size; -EOPNOTSUPP where the file system cannot. */
int tk_file_allocate(int fd, int64_t at, int64_t len) TK_MUST_CHECK;

/* Starts writing out a range; a hint, failure means nothing. */
void tk_file_push(int fd, int64_t at, int64_t len);

/* Forgets what the kernel holds of the file, so that it is read from the disk; a hint. */
void tk_file_drop_pages(int fd);

int tk_file_sync(int fd) TK_MUST_CHECK;
int tk_file_sync_data(int fd) TK_MUST_CHECK;

/*
 * The whole file system that dir_fd is of.  Fails also for what could not be written since dir_fd
 * was opened; -EOPNOTSUPP where the kernel (before 5.8) or the file system would not tell of that.
 */
int tk_file_sync_all(int dir_fd) TK_MUST_CHECK;

/* Syncs the directory at path (relative to dir_fd), so that names in it are on the disk. */
int tk_file_sync_dir(int dir_fd, const char *path) TK_MUST_CHECK;

int tk_file_stat(int dir_fd, const char *path, struct tk_file_info *ret_info) TK_MUST_CHECK;
int tk_file_stat_fd(int fd, struct tk_file_info *ret_info) TK_MUST_CHECK;
int tk_file_rename(int dir_fd, const char *from, const char *to) TK_MUST_CHECK;
int tk_file_unlink(int dir_fd, const char *path) TK_MUST_CHECK;

/* Removes a directory and the files in it (no directories below); -ENOENT is 0. */
int tk_file_remove_dir(int dir_fd, const char *path) TK_MUST_CHECK;

/*
 * Puts a small file in place as a whole: path.tmp, sync, rename, sync of the directory; without
 * sync the name still changes at once, but a power failure may leave it empty.  The file's identity
 * is known before the rename: before_rename, if not NULL, gets it.
 */
struct tk_file_replace {
	int dir_fd;
	const char *path;
	const void *data;
	size_t len;
	bool sync;
	void (*before_rename)(void *arg, const struct tk_file_info *info);
	void *arg;
};
int tk_file_replace(const struct tk_file_replace *what) TK_MUST_CHECK;

/* The whole of a small file, NUL behind it, to be freed; -EFBIG above limit bytes. */
int tk_file_read_all(
    int dir_fd, const char *path, size_t limit, char **ret_data, size_t *ret_len) TK_MUST_CHECK;

#endif
