/*
 * Asking a running broker.  Runs in takhin -s and takhinctl, which have nothing else to do: it
 * blocks, for a bounded time.
 */
#include "master/client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/unix.h"

#define ANSWER_BYTES ((size_t)4 << 20)
#define LOOK_MS      20

static int
connect_to(const char *path)
{
	const char *name = strrchr(path, '/');
	char *dir = name == NULL ? strdup(".") : strndup(path, (size_t)(name - path) + 1);
	int dir_fd = dir == NULL ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = dir_fd < 0 ? -errno : tk_unix_connect(dir_fd, name == NULL ? path : name + 1);

	if (dir_fd >= 0)
		(void)close(dir_fd);
	free(dir);
	return fd;
}

static int
wait_for(int fd, int64_t until_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t left_ms = until_ms - tk_clock_mono_ms();

	if (left_ms <= 0)
		return -ETIMEDOUT;
	if (poll(&pfd, 1, (int)TK_MIN(left_ms, (int64_t)INT32_MAX)) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* Reads a line; 0 or -errno (-EPIPE: it ended before). */
static int
line_read(int fd, char *line, size_t room, int64_t until_ms, size_t *ret_len)
{
	size_t len = 0;

	while (len < room) {
		ssize_t n;
		int rc = wait_for(fd, until_ms);

		if (rc < 0)
			return rc;
		n = recv(fd, line + len, room - len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		len += (size_t)n;
		if (line[len - 1] == '\n') {
			*ret_len = len;
			return 0;
		}
	}
	return -EMSGSIZE;
}

static int
answer_read(int fd, int64_t timeout_ms, json_t **ret_answer)
{
	char *line = malloc(ANSWER_BYTES);
	json_t *answer;
	size_t len = 0;
	int rc;

	if (line == NULL)
		return -ENOMEM;
	rc = line_read(fd, line, ANSWER_BYTES, tk_clock_mono_ms() + timeout_ms, &len);
	if (rc < 0) {
		free(line);
		return rc;
	}
	answer = json_loadb(line, len, 0, NULL);
	free(line);
	if (answer == NULL)
		return -EBADMSG;
	*ret_answer = answer;
	return 0;
}

int
tk_client_ask(
    const char *path, const char *command, int64_t timeout_ms, json_t **ret_answer, pid_t *ret_pid)
{
	char request[64];
	int len = snprintf(request, sizeof(request), "{\"command\":\"%s\"}\n", command);
	int fd = connect_to(path), rc = 0;
	pid_t pid;

	if (fd < 0)
		return fd;
	pid = tk_unix_peer_pid(fd);
	if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
		rc = -errno;
	if (rc == 0)
		rc = answer_read(fd, timeout_ms, ret_answer);
	(void)close(fd);
	if (rc == 0)
		*ret_pid = pid;
	return rc;
}

/* Kernels before 5.3 have no pidfd. */
static int
wait_by_looking(pid_t pid, int64_t until_ms)
{
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };

	while (kill(pid, 0) == 0 || errno != ESRCH) {
		if (tk_clock_mono_ms() >= until_ms)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

int
tk_client_wait_gone(pid_t pid, int64_t timeout_ms)
{
	int64_t until_ms = tk_clock_mono_ms() + timeout_ms;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return errno == ESRCH ? 0 : wait_by_looking(pid, until_ms);
	while (wait_for(fd, until_ms) == 0)
		if (poll(&pfd, 1, 0) > 0)
			break;
	(void)close(fd);
	return (pfd.revents & POLLIN) != 0 ? 0 : -ETIMEDOUT;
}
