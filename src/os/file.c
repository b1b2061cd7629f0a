/*
 * System calls on files.  Any process, any thread; no state but the tests' hook.
 */
#include "os/file.h"

#include <dirent.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

int (*tk_file_fault)(enum tk_file_op op, const char *path, int fd, size_t *bytes);

static int
fault(enum tk_file_op op, const char *path, int fd)
{
	size_t bytes = 0;

	return tk_file_fault == NULL ? 0 : tk_file_fault(op, path, fd, &bytes);
}

int
tk_file_open(int dir_fd, const char *path, int flags, mode_t mode, int *ret_fd)
{
	int fd, rc;

	rc = fault(TK_FILE_OPEN, path, -1);
	if (rc < 0)
		return rc;
	do
		fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

void
tk_file_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int
tk_file_pread(int fd, void *data, size_t len, int64_t at, size_t *ret_len)
{
	size_t done = 0;
	int rc = fault(TK_FILE_READ, NULL, fd);

	if (rc < 0)
		return rc;
	while (done < len) {
		ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)at + (off_t)done);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	*ret_len = done;
	return 0;
}

int
tk_file_pread_full(int fd, void *data, size_t len, int64_t at)
{
	size_t got;
	int rc = tk_file_pread(fd, data, len, at, &got);

	if (rc < 0)
		return rc;
	return got == len ? 0 : -ENODATA;
}

int
tk_file_pwrite(int fd, const void *data, size_t len, int64_t at)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	size_t written;

	return tk_file_pwritev(fd, &iov, 1, at, &written);
}

/* Moves iov past n bytes; returns how many entries are used up. */
static int
iov_skip(struct iovec *iov, int count, size_t n)
{
	int used = 0;

	while (used < count && n >= iov[used].iov_len)
		n -= iov[used++].iov_len;
	if (used < count) {
		iov[used].iov_base = (char *)iov[used].iov_base + n;
		iov[used].iov_len -= n;
	}
	return used;
}

/* Makes iov hold no more than bytes. */
static int
iov_limit(struct iovec *iov, int count, size_t bytes)
{
	int kept = 0;

	for (; kept < count && bytes > 0; kept++) {
		iov[kept].iov_len = TK_MIN(iov[kept].iov_len, bytes);
		bytes -= iov[kept].iov_len;
	}
	return kept;
}

static size_t
iov_bytes(const struct iovec *iov, int count)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

int
tk_file_pwritev(int fd, struct iovec *iov, int count, int64_t at, size_t *ret_written)
{
	int injected = 0;

	*ret_written = 0;
	if (tk_file_fault != NULL) {
		size_t bytes = iov_bytes(iov, count);

		injected = tk_file_fault(TK_FILE_WRITE, NULL, fd, &bytes);
		if (injected < 0)
			count = iov_limit(iov, count, bytes);
	}
	while (count > 0) {
		ssize_t n =
		    pwritev(fd, iov, TK_MIN(count, IOV_MAX), (off_t)at + (off_t)*ret_written);
		int used;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		*ret_written += (size_t)n;
		used = iov_skip(iov, count, (size_t)n);
		iov += used;
		count -= used;
	}
	return injected;
}

int
tk_file_truncate(int fd, int64_t size_bytes)
{
	int rc = fault(TK_FILE_TRUNCATE, NULL, fd);

	if (rc < 0)
		return rc;
	do
		rc = ftruncate(fd, (off_t)size_bytes);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

int
tk_file_allocate(int fd, int64_t at, int64_t len)
{
	int rc = fault(TK_FILE_ALLOCATE, NULL, fd);

	if (rc < 0)
		return rc;
	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

void
tk_file_push(int fd, int64_t at, int64_t len)
{
	(void)sync_file_range(fd, (off_t)at, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

void
tk_file_drop_pages(int fd)
{
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int
tk_file_sync(int fd)
{
	int rc = fault(TK_FILE_SYNC, NULL, fd);

	if (rc < 0)
		return rc;
	return fsync(fd) < 0 ? -errno : 0;
}

int
tk_file_sync_data(int fd)
{
	int rc = fault(TK_FILE_SYNC, NULL, fd);

	if (rc < 0)
		return rc;
	return fdatasync(fd) < 0 ? -errno : 0;
}

/* What is known to pass on errors of writing back. */
static bool
sync_all_tells(int dir_fd)
{
	struct utsname name;
	unsigned major = 0, minor = 0;
	struct statfs fs;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	if (major < 5 || (major == 5 && minor < 8) || fstatfs(dir_fd, &fs) < 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
	       fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC;
}

int
tk_file_sync_all(int dir_fd)
{
	int rc;

	if (!sync_all_tells(dir_fd))
		return -EOPNOTSUPP;
	rc = fault(TK_FILE_SYNC, NULL, dir_fd);
	if (rc < 0)
		return rc;
	return syncfs(dir_fd) < 0 ? -errno : 0;
}

int
tk_file_sync_dir(int dir_fd, const char *path)
{
	int fd, rc;

	rc = tk_file_open(dir_fd, path, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_sync(fd);
	tk_file_close(&fd);
	return rc;
}

static void
info_from_stat(const struct stat *st, struct tk_file_info *ret_info)
{
	ret_info->inode = st->st_ino;
	ret_info->device = st->st_dev;
	ret_info->size_bytes = st->st_size;
	ret_info->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	ret_info->is_directory = S_ISDIR(st->st_mode);
}

int
tk_file_stat(int dir_fd, const char *path, struct tk_file_info *ret_info)
{
	struct stat st;

	if (fstatat(dir_fd, path, &st, 0) < 0)
		return -errno;
	info_from_stat(&st, ret_info);
	return 0;
}

int
tk_file_stat_fd(int fd, struct tk_file_info *ret_info)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	info_from_stat(&st, ret_info);
	return 0;
}

int
tk_file_rename(int dir_fd, const char *from, const char *to)
{
	int rc = fault(TK_FILE_RENAME, from, -1);

	if (rc < 0)
		return rc;
	return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
}

int
tk_file_unlink(int dir_fd, const char *path)
{
	int rc = fault(TK_FILE_UNLINK, path, -1);

	if (rc < 0)
		return rc;
	return unlinkat(dir_fd, path, 0) < 0 ? -errno : 0;
}

int
tk_file_remove_dir(int dir_fd, const char *path)
{
	const struct dirent *entry;
	DIR *dir;
	int fd, rc, failed = 0;

	rc = tk_file_open(dir_fd, path, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		rc = tk_file_unlink(fd, entry->d_name);
		failed = failed < 0 ? failed : rc;
	}
	(void)closedir(dir);
	if (failed < 0)
		return failed;
	return unlinkat(dir_fd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Syncs the directory that holds path. */
static int
sync_parent(int dir_fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	if (slash == NULL)
		return tk_file_sync_dir(dir_fd, ".");
	if ((size_t)(slash - path) >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	return tk_file_sync_dir(dir_fd, slash == path ? "/" : parent);
}

static int
replace_write(const struct tk_file_replace *what, const char *temporary)
{
	struct tk_file_info info;
	int fd, rc;

	rc = tk_file_open(what->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC, 0640, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_pwrite(fd, what->data, what->len, 0);
	if (rc == 0 && what->sync)
		rc = tk_file_sync(fd);
	if (rc == 0)
		rc = tk_file_stat_fd(fd, &info);
	tk_file_close(&fd);
	if (rc == 0 && what->before_rename != NULL)
		what->before_rename(what->arg, &info);
	return rc;
}

int
tk_file_replace(const struct tk_file_replace *what)
{
	char temporary[PATH_MAX];
	int rc;

	rc = snprintf(temporary, sizeof(temporary), "%s.tmp", what->path);
	if (rc < 0 || (size_t)rc >= sizeof(temporary))
		return -ENAMETOOLONG;
	rc = replace_write(what, temporary);
	if (rc == 0)
		rc = tk_file_rename(what->dir_fd, temporary, what->path);
	if (rc < 0) {
		(void)unlinkat(what->dir_fd, temporary, 0);
		return rc;
	}
	return what->sync ? sync_parent(what->dir_fd, what->path) : 0;
}

int
tk_file_read_all(int dir_fd, const char *path, size_t limit, char **ret_data, size_t *ret_len)
{
	struct tk_file_info info;
	char *data = NULL;
	size_t len = 0;
	int fd, rc;

	rc = tk_file_open(dir_fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_stat_fd(fd, &info);
	if (rc == 0 && info.size_bytes > (int64_t)limit)
		rc = -EFBIG;
	if (rc == 0) {
		data = malloc((size_t)info.size_bytes + 1);
		rc = data == NULL ? -ENOMEM
				  : tk_file_pread(fd, data, (size_t)info.size_bytes, 0, &len);
	}
	tk_file_close(&fd);
	if (rc < 0) {
		free(data);
		return rc;
	}
	data[len] = '\0';
	*ret_data = data;
	*ret_len = len;
	return 0;
}

#define COPY_PIECE ((size_t)64 << 10)

/* What copy_file_range cannot do between these two files, or in this kernel. */
static int
copy_by_hand(int from_fd, int64_t from_at, int to_fd, int64_t to_at, int64_t len)
{
	uint8_t *piece = malloc(COPY_PIECE);
	int rc = piece == NULL ? -ENOMEM : 0;

	while (rc == 0 && len > 0) {
		size_t run = (size_t)TK_MIN(len, (int64_t)COPY_PIECE);

		rc = tk_file_pread_full(from_fd, piece, run, from_at);
		if (rc == 0)
			rc = tk_file_pwrite(to_fd, piece, run, to_at);
		from_at += (int64_t)run;
		to_at += (int64_t)run;
		len -= (int64_t)run;
	}
	free(piece);
	return rc;
}

int
tk_file_copy(int from_fd, int64_t from_at, int to_fd, int64_t to_at, int64_t len)
{
	while (len > 0 && tk_file_fault == NULL) {
		ssize_t n = copy_file_range(from_fd, &from_at, to_fd, &to_at, (size_t)len, 0);

		if (n == 0)
			return -ENODATA;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOSYS && errno != EXDEV && errno != EINVAL &&
		    errno != EOPNOTSUPP && errno != EPERM)
			return -errno;
		if (n < 0)
			break;
		len -= n;
	}
	return copy_by_hand(from_fd, from_at, to_fd, to_at, len);
}

int
tk_file_set_mtime(int fd, int64_t mtime_ns)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = mtime_ns / 1000000000, .tv_nsec = mtime_ns % 1000000000 } };

	return futimens(fd, times) < 0 ? -errno : 0;
}
