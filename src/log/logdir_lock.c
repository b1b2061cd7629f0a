/*
 * The lock of a data directory: F_OFD_SETLK on Kafka's own .lock, which keeps Kafka out as well.
 *
 * Writer process, at start.  The file names the holder's pid, since neither kind of query tells
 * who has a lock of an open file description.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "log/logdir_private.h"

#define POLL_MS 10

/* 0, -EAGAIN while somebody has it; the pid of one who locked in Kafka's way, else 0. */
static int
try_lock(int fd, pid_t *ret_pid)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	*ret_pid = 0;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return -errno;
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
		*ret_pid = lock.l_pid;
	return -EAGAIN;
}

static void
name_holder(int fd, pid_t pid, const char *path, struct tk_log_problem *ret_problem)
{
	char text[32] = "", comm_path[64], comm[64] = "?";
	size_t len;
	int comm_fd;

	if (pid <= 0 && tk_file_pread(fd, text, sizeof(text) - 1, 0, &len) == 0)
		pid = (pid_t)strtol(text, NULL, 10);
	if (pid <= 0) {
		tk_log_problem_set(ret_problem,
		    "could not lock data directory \"%s\": another process holds it", path);
		return;
	}
	(void)snprintf(comm_path, sizeof(comm_path), "/proc/%d/comm", (int)pid);
	if (tk_file_open(AT_FDCWD, comm_path, O_RDONLY, 0, &comm_fd) == 0) {
		if (tk_file_pread(comm_fd, comm, sizeof(comm) - 1, 0, &len) == 0)
			comm[len] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
		tk_file_close(&comm_fd);
	}
	tk_log_problem_set(ret_problem,
	    "could not lock data directory \"%s\": process %d (%s) holds it", path, (int)pid, comm);
}

/* Tells the next one who we are; only a courtesy. */
static void
sign_lock(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (tk_file_truncate(fd, 0) < 0 || tk_file_pwrite(fd, text, (size_t)len, 0) < 0)
		return;
}

int
tk_logdir_lock(
    int dir_fd, const char *path, int wait_ms, int *ret_lock_fd, struct tk_log_problem *ret_problem)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	int64_t until_ms = tk_clock_mono_ms() + wait_ms;
	pid_t pid = 0;
	int fd, rc;

	rc = tk_file_open(dir_fd, ".lock", O_RDWR | O_CREAT, 0640, &fd);
	if (rc < 0) {
		tk_log_problem_set(
		    ret_problem, "could not open \"%s/.lock\": %s", path, strerror(-rc));
		return rc;
	}
	/* Whoever dies with the lock tells nobody, so this is looked at, not waited for. */
	while ((rc = try_lock(fd, &pid)) == -EAGAIN && tk_clock_mono_ms() < until_ms)
		(void)nanosleep(&pause, NULL);
	if (rc == 0) {
		sign_lock(fd);
		*ret_lock_fd = fd;
		return 0;
	}
	if (rc == -EAGAIN) {
		name_holder(fd, pid, path, ret_problem);
		rc = -EBUSY;
	} else {
		tk_log_problem_set(
		    ret_problem, "could not lock data directory \"%s\": %s", path, strerror(-rc));
	}
	tk_file_close(&fd);
	return rc;
}
