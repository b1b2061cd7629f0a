/*
 * Going to the background.  Master only, before anything else is open.  The shell gets its prompt
 * back when the broker serves, or a failure if it does not come to that.
 */
#include "master/daemon.h"

#include <fcntl.h>
#include <unistd.h>

static void TK_NORETURN
parent_wait(int pipe_fd)
{
	char said = 0;
	ssize_t n;

	do {
		n = read(pipe_fd, &said, 1);
	} while (n < 0 && errno == EINTR);
	_exit(n == 1 && said == '+' ? 0 : 1);
}

int
tk_daemon_fork(int *ret_pipe)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int rc = -errno;

		(void)close(ends[0]);
		(void)close(ends[1]);
		return rc;
	}
	if (pid > 0) {
		(void)close(ends[1]);
		parent_wait(ends[0]);
	}
	(void)close(ends[0]);
	(void)setsid();
	*ret_pipe = ends[1];
	return 0;
}

void
tk_daemon_detach(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i <= STDERR_FILENO; i++)
		(void)dup2(fd, i);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}
