/*
 * The run directory: its lock, the pid file, sockets; and the data directories, as far as they must
 * be there.  Master only.
 *
 * The lock is a record lock on takhin.lock: it goes with the process however that dies, children do
 * not inherit it, and the kernel tells who holds it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "master/master.h"
#include "os/file.h"
#include "server/frames.h"

#define LOCK_NAME      "takhin.lock"
#define DIRECTORY_MODE 0750
#define PARENT_MODE    0755
#define TRY_AGAIN_MS   20

/*
 * Makes one directory, with its name on the disk: a journal in it is worth nothing without.  Where
 * we may make names but not read them, it is left to the file system.
 */
static int
one_make(const char *path, mode_t mode)
{
	char parent[PATH_MAX];
	int rc;

	if (mkdir(path, mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	rc = snprintf(parent, sizeof(parent), "%s/..", path);
	if (rc < 0 || (size_t)rc >= sizeof(parent))
		return -ENAMETOOLONG;
	rc = tk_file_sync_dir(AT_FDCWD, parent);
	return rc == -EACCES || rc == -EPERM ? 0 : rc;
}

/* Makes a directory and those it lies in; 0 or -errno. */
static int
directory_make(const char *path)
{
	char *copy = strdup(path);
	int rc = 0;

	if (copy == NULL)
		return -ENOMEM;
	for (char *at = strchr(copy + 1, '/'); at != NULL && rc == 0; at = strchr(at + 1, '/')) {
		*at = '\0';
		rc = one_make(copy, PARENT_MODE);
		*at = '/';
	}
	free(copy);
	return rc < 0 ? rc : one_make(path, DIRECTORY_MODE);
}

static int
directory_made(const char *what, const char *path)
{
	int rc = directory_make(path);

	if (rc < 0)
		tk_err("could not make %s \"%s\": %s", what, path, strerror(-rc));
	return rc;
}

int
tk_master_data_make(const struct tk_settings *settings)
{
	int rc = 0;

	for (size_t i = 0; i < settings->data_directories.count && rc == 0; i++)
		rc = directory_made("data directory", settings->data_directories.items[i]);
	return rc;
}

/* The pid in the lock file, where the kernel does not say (another pid namespace). */
static long
lock_text_pid(int fd)
{
	char text[24];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strtol(text, NULL, 10);
}

static long
lock_holder(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
		return lock.l_pid;
	return lock_text_pid(fd);
}

/* Locks, waiting for a predecessor that is on its way out; 0 or -errno. */
static int
lock_take(int fd)
{
	int64_t until_ms = tk_clock_mono_ms() + TK_MASTER_HELD_MS;
	struct timespec pause = { .tv_nsec = TRY_AGAIN_MS * 1000000 };

	for (;;) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		if (fcntl(fd, F_SETLK, &lock) == 0)
			return 0;
		if ((errno != EACCES && errno != EAGAIN) || tk_clock_mono_ms() >= until_ms)
			return errno == EACCES ? -EAGAIN : -errno;
		/* Waiting in F_SETLKW could not be bounded without a signal. */
		(void)nanosleep(&pause, NULL);
	}
}

static int
lock_open(struct tk_master *master, const char *dir)
{
	int rc;

	master->lock_fd = openat(master->run_dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (master->lock_fd < 0) {
		rc = -errno;
		tk_err("could not open \"%s/" LOCK_NAME "\": %s", dir, strerror(errno));
		return rc;
	}
	rc = lock_take(master->lock_fd);
	if (rc == 0) {
		(void)ftruncate(master->lock_fd, 0);
		(void)dprintf(master->lock_fd, "%ld\n", (long)getpid());
	} else if (rc == -EAGAIN) {
		tk_err("run directory \"%s\" is in use by process %ld", dir,
		    lock_holder(master->lock_fd));
	} else {
		tk_err("could not lock \"%s/" LOCK_NAME "\": %s", dir, strerror(-rc));
	}
	return rc;
}

pid_t
tk_master_rundir_holder(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *name = NULL;
	int fd = asprintf(&name, "%s/" LOCK_NAME, path) < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
	pid_t pid = 0;

	free(name);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		pid = lock.l_pid > 0 ? lock.l_pid : (pid_t)lock_text_pid(fd);
	(void)close(fd);
	return pid;
}

/* Removes writers' sockets; a broker before us may have had more directories than we. */
static void
sockets_remove(int run_dir_fd)
{
	int copy = openat(run_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		char name[32];
		unsigned index;

		if (sscanf(entry->d_name, TK_CHANNEL_WRITER_FMT, &index) != 1)
			continue;
		(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, index);
		if (strcmp(name, entry->d_name) == 0)
			(void)unlinkat(run_dir_fd, name, 0);
	}
	(void)closedir(dir);
	(void)unlinkat(run_dir_fd, TK_CHANNEL_COORDINATOR, 0);
	(void)unlinkat(run_dir_fd, TK_MASTER_SOCKET, 0);
}

int
tk_master_rundir_open(struct tk_master *master)
{
	const struct tk_settings *settings = master->cycle->cycle.settings;
	const char *dir = settings->run_directory;
	int rc = directory_made("run directory", dir);

	if (rc < 0)
		return rc;
	master->run_dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (master->run_dir_fd < 0) {
		rc = -errno;
		tk_err("could not open run directory \"%s\": %s", dir, strerror(errno));
		return rc;
	}
	rc = lock_open(master, dir);
	if (rc < 0)
		return rc;
	/* What is there now was left by one that was killed. */
	sockets_remove(master->run_dir_fd);
	(void)unlink(settings->pid);
	return 0;
}

int
tk_master_pid_write(struct tk_master *master)
{
	const char *path = master->cycle->cycle.settings->pid;
	char text[24];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	struct tk_file_replace what = {
		.dir_fd = AT_FDCWD, .path = path, .data = text, .len = (size_t)len
	};
	int rc = tk_file_replace(&what);

	if (rc < 0)
		tk_err("could not write pid file \"%s\": %s", path, strerror(-rc));
	else
		master->pid_written = true;
	return rc;
}

void
tk_master_rundir_close(struct tk_master *master)
{
	if (master->pid_written)
		(void)unlink(master->cycle->cycle.settings->pid);
	if (master->lock_fd >= 0) {
		sockets_remove(master->run_dir_fd);
		(void)close(master->lock_fd);
	}
	if (master->run_dir_fd >= 0)
		(void)close(master->run_dir_fd);
	master->lock_fd = master->run_dir_fd = -1;
}
