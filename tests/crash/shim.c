/*
 * Records what processes do to the files below a directory, for tests/crash/powercuts.py.
 *
 * Preloaded into every process of a broker.  TAKHIN_SHIM_ROOT is the directory, TAKHIN_SHIM_LOG the
 * record, to which the test's client adds what was acknowledged.  An entry is one write(2) with
 * O_APPEND, so entries of all processes and threads stand whole and in one order.  What changes a
 * file or a name is noted after it was done, a sync before and after: what was noted before a sync
 * began is on the disk once its end is noted.  A test that cannot record must not pass: it aborts.
 *
 * Calls by other names than these (mmap, io_uring, copy_file_range through a raw system call) would
 * go unseen; powercuts.py compares what it has put together with the directory in the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum what {
	MADE = 1,
	WROTE,
	CUT,
	SYNC_BEGUN,
	SYNCED,
	RENAMED,
	UNLINKED,
	LINKED,
	MADE_DIR,
	SYNCED_ALL
};

/* Little-endian, as this machine is: the reader is on it. */
struct entry {
	uint32_t size; /* of all of it */
	uint32_t what;
	uint64_t inode; /* of the file, or what the name stands for */
	uint64_t dir, other_dir;
	int64_t at;
	uint32_t name_len, other_len; /* both names, then the bytes written */
};

_Static_assert(sizeof(struct entry) == 48, "powercuts.py reads it");

/* Copies: a process title is written over the environment. */
static const char *root, *boot_id, *log_path;
static size_t root_len;
static int log_fd = -1;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *
real(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		abort();
	return found;
}

static const char *
environment(const char *name)
{
	const char *value = getenv(name);

	return value == NULL ? NULL : strdup(value);
}

static void __attribute__((constructor)) shim_start(void)
{
	root = environment("TAKHIN_SHIM_ROOT");
	boot_id = environment("TAKHIN_SHIM_BOOT_ID");
	log_path = environment("TAKHIN_SHIM_LOG");
	if (root == NULL || log_path == NULL)
		return;
	root_len = strlen(root);
	log_fd = REAL(open)(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (log_fd < 0)
		abort();
	/* Out of the way of those who close what they have inherited by number. */
	log_fd = fcntl(log_fd, F_DUPFD_CLOEXEC, 900);
	if (log_fd < 0)
		abort();
}

/* ---- what is recorded ---- */

static bool
path_is_below(const char *path)
{
	return strncmp(path, root, root_len) == 0 &&
	       (path[root_len] == '/' || path[root_len] == '\0');
}

static bool
fd_is_below(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	if (log_fd < 0 || fd < 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0)
		return false;
	path[len] = '\0';
	return path_is_below(path);
}

static uint64_t
inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

/* The process may have closed the record with everything else it inherited. */
static void
log_again(void)
{
	log_fd = REAL(open)(log_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (log_fd < 0)
		abort();
}

static void
note(struct entry *entry, const char *name, const char *other, const void *data, size_t len)
{
	struct iovec iov[4] = { { entry, sizeof(*entry) } };
	ssize_t done;

	entry->name_len = name == NULL ? 0 : (uint32_t)strlen(name);
	entry->other_len = other == NULL ? 0 : (uint32_t)strlen(other);
	entry->size = (uint32_t)(sizeof(*entry) + entry->name_len + entry->other_len + len);
	iov[1] = (struct iovec){ (void *)(uintptr_t)name, entry->name_len };
	iov[2] = (struct iovec){ (void *)(uintptr_t)other, entry->other_len };
	iov[3] = (struct iovec){ (void *)(uintptr_t)data, len };
	done = REAL(writev)(log_fd, iov, 4);
	if (done < 0 && errno == EBADF) {
		log_again();
		done = REAL(writev)(log_fd, iov, 4);
	}
	if (done != (ssize_t)entry->size)
		abort();
}

/* A name, taken apart: the directory it stands in, and its last part. */
struct place {
	bool below;
	uint64_t dir;
	char name[NAME_MAX + 1];
};

static struct place
place_of(int dir_fd, const char *path)
{
	struct place place = { .below = false };
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX] = ".";
	int fd;

	if (log_fd < 0)
		return place;
	if (slash != NULL)
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path + 1), path);
	fd = REAL(openat)(dir_fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return place;
	place.below = fd_is_below(fd);
	place.dir = inode_of(fd);
	(void)snprintf(place.name, sizeof(place.name), "%s", slash == NULL ? path : slash + 1);
	(void)close(fd);
	return place;
}

static uint64_t
inode_at(int dir_fd, const char *path)
{
	struct stat st;

	return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

static void
note_file(enum what what, int fd, int64_t at, const void *data, size_t len)
{
	struct entry entry = { .what = what, .inode = inode_of(fd), .at = at };
	int saved = errno;

	note(&entry, NULL, NULL, data, len);
	errno = saved;
}

static void
note_name(enum what what, const struct place *place, uint64_t inode)
{
	struct entry entry = { .what = what, .inode = inode, .dir = place->dir };
	int saved = errno;

	note(&entry, place->name, NULL, NULL, 0);
	errno = saved;
}

/* ---- the calls ---- */

static int
open_any(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct place place = { .below = false };
	bool was_there = true;
	int fd;

	if (boot_id != NULL && strcmp(path, BOOT_ID) == 0)
		path = boot_id;
	if ((flags & O_CREAT) != 0) {
		place = place_of(dir_fd, path);
		was_there = inode_at(dir_fd, path) != 0;
	}
	fd = REAL(openat)(dir_fd, path, flags, mode);
	if (fd < 0)
		return fd;
	if (place.below && !was_there)
		note_name(MADE, &place, inode_of(fd));
	if ((flags & O_TRUNC) != 0 && was_there && fd_is_below(fd))
		note_file(CUT, fd, 0, NULL, 0);
	return fd;
}

#define MODE_OF(flags)                                                                             \
	va_list args;                                                                              \
	mode_t mode = 0;                                                                           \
	va_start(args, flags);                                                                     \
	if (((flags) & (O_CREAT | O_TMPFILE)) != 0)                                                \
		mode = (mode_t)va_arg(args, unsigned);                                             \
	va_end(args)

int
open(const char *path, int flags, ...)
{
	MODE_OF(flags);
	return open_any(AT_FDCWD, path, flags, mode);
}

int
openat(int dir_fd, const char *path, int flags, ...)
{
	MODE_OF(flags);
	return open_any(dir_fd, path, flags, mode);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	ssize_t done = REAL(pwritev)(fd, iov, count, at);
	size_t left = done < 0 ? 0 : (size_t)done;

	if (left == 0 || !fd_is_below(fd))
		return done;
	for (int i = 0; i < count && left > 0; i++) {
		size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;

		note_file(WROTE, fd, at, iov[i].iov_base, len);
		at += (off_t)len;
		left -= len;
	}
	return done;
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t done = REAL(pwrite)(fd, data, len, at);

	if (done > 0 && fd_is_below(fd))
		note_file(WROTE, fd, at, data, (size_t)done);
	return done;
}

ssize_t
write(int fd, const void *data, size_t len)
{
	ssize_t done = REAL(write)(fd, data, len);
	off_t end;

	if (done <= 0 || !fd_is_below(fd))
		return done;
	end = lseek(fd, 0, SEEK_CUR);
	if (end < done)
		abort(); /* O_APPEND and others are not used here */
	note_file(WROTE, fd, end - done, data, (size_t)done);
	return done;
}

ssize_t
copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned flags)
{
	off_t at = to_at == NULL ? lseek(to, 0, SEEK_CUR) : *to_at;
	ssize_t done = REAL(copy_file_range)(from, from_at, to, to_at, len, flags);
	char *data;

	if (done <= 0 || !fd_is_below(to))
		return done;
	data = malloc((size_t)done);
	if (data == NULL || pread(to, data, (size_t)done, at) != done) {
		/* Written without leave to read: the bytes are those of the other file. */
		off_t read_at = from_at == NULL ? lseek(from, 0, SEEK_CUR) - done : *from_at - done;

		if (data == NULL || pread(from, data, (size_t)done, read_at) != done)
			abort();
	}
	note_file(WROTE, to, at, data, (size_t)done);
	free(data);
	return done;
}

int
ftruncate(int fd, off_t size)
{
	int rc = REAL(ftruncate)(fd, size);

	if (rc == 0 && fd_is_below(fd))
		note_file(CUT, fd, size, NULL, 0);
	return rc;
}

/* Room that is set aside beyond a file's end is no part of it; any other use would be. */
int
fallocate(int fd, int mode, off_t at, off_t len)
{
	if (mode != FALLOC_FL_KEEP_SIZE && fd_is_below(fd))
		abort();
	return REAL(fallocate)(fd, mode, at, len);
}

static int
sync_any(int fd, int (*call)(int))
{
	bool below = fd_is_below(fd);
	int rc;

	if (below)
		note_file(SYNC_BEGUN, fd, 0, NULL, 0);
	rc = call(fd);
	if (below && rc == 0)
		note_file(SYNCED, fd, 0, NULL, 0);
	return rc;
}

int
fsync(int fd)
{
	return sync_any(fd, REAL(fsync));
}

int
fdatasync(int fd)
{
	return sync_any(fd, REAL(fdatasync));
}

/* SYNC_BEGUN of inode 0 begins it: all files. */
int
syncfs(int fd)
{
	struct entry entry = { .what = SYNC_BEGUN };
	bool below = fd_is_below(fd);
	int rc;

	if (below)
		note(&entry, NULL, NULL, NULL, 0);
	rc = REAL(syncfs)(fd);
	entry.what = SYNCED_ALL;
	if (below && rc == 0)
		note(&entry, NULL, NULL, NULL, 0);
	return rc;
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	struct place old = place_of(from_fd, from), new = place_of(to_fd, to);
	struct entry entry = { .what = RENAMED, .dir = old.dir, .other_dir = new.dir };
	int rc, saved;

	entry.inode = old.below ? inode_at(from_fd, from) : 0;
	rc = REAL(renameat)(from_fd, from, to_fd, to);
	if (rc < 0 || !old.below || !new.below)
		return rc;
	saved = errno;
	note(&entry, old.name, new.name, NULL, 0);
	errno = saved;
	return rc;
}

int
rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int
unlinkat(int dir_fd, const char *path, int flags)
{
	struct place place = place_of(dir_fd, path);
	uint64_t inode = place.below ? inode_at(dir_fd, path) : 0;
	int rc = REAL(unlinkat)(dir_fd, path, flags);

	if (rc == 0 && place.below)
		note_name(UNLINKED, &place, inode);
	return rc;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	struct place place = place_of(to_fd, to);
	int rc = REAL(linkat)(from_fd, from, to_fd, to, flags);

	if (rc == 0 && place.below)
		note_name(LINKED, &place, inode_at(to_fd, to));
	return rc;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
mkdirat(int dir_fd, const char *path, mode_t mode)
{
	struct place place = place_of(dir_fd, path);
	int rc = REAL(mkdirat)(dir_fd, path, mode);

	if (rc == 0 && place.below)
		note_name(MADE_DIR, &place, inode_at(dir_fd, path));
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}
