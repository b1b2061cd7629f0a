/*
 * The error log.  Any process, any thread: a line is formatted on the stack and written at once.
 * On failure the line is lost; there is nobody left to tell.
 */
#include "base/errlog.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES 1024
#define WINDOW_MS  10000

static int log_fd = STDERR_FILENO;
static char *log_path;
static const char *log_name = "takhin";
static enum tk_level log_level = TK_LEVEL_INFO;

int
tk_errlog_open(const char *path)
{
	char *copy = NULL;
	int fd = STDERR_FILENO;

	if (path != NULL) {
		copy = strdup(path);
		if (copy == NULL)
			return -ENOMEM;
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (fd < 0) {
			int rc = -errno;

			free(copy);
			return rc;
		}
	}
	if (log_fd != STDERR_FILENO)
		(void)close(log_fd);
	free(log_path);
	log_fd = fd;
	log_path = copy;
	return 0;
}

int
tk_errlog_reopen(void)
{
	int fd;

	if (log_path == NULL)
		return 0;
	fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	if (dup3(fd, log_fd, O_CLOEXEC) < 0) {
		int rc = -errno;

		(void)close(fd);
		return rc;
	}
	(void)close(fd);
	return 0;
}

void
tk_errlog_name(const char *process_name)
{
	log_name = process_name;
}

void
tk_errlog_level(enum tk_level level)
{
	log_level = level;
}

int
tk_errlog_fd(void)
{
	return log_fd;
}

void
tk_errlog(enum tk_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	char line[LINE_BYTES];
	int64_t now_ms = tk_clock_wall_ms();
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm tm;
	va_list args;
	size_t len;
	int n;

	if (level > log_level)
		return;
	(void)localtime_r(&seconds, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S", &tm);
	n = snprintf(line + len, sizeof(line) - len, ".%03d %-5s %s [%ld]: ", (int)(now_ms % 1000),
	    names[level], log_name, (long)getpid());
	len += n > 0 ? (size_t)n : 0;
	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
	va_end(args);
	len += n > 0 ? TK_MIN((size_t)n, sizeof(line) - len - 2) : 0;
	line[len++] = '\n';
	(void)!write(log_fd, line, len);
}

bool
tk_errlog_allowed(struct tk_errlog_limit *limit, unsigned burst)
{
	int64_t now_ms = tk_clock_mono_ms();

	if (now_ms - limit->window_start_ms >= WINDOW_MS || limit->window_start_ms == 0) {
		if (limit->count > burst)
			tk_warn("%u more lines like the next were held back", limit->count - burst);
		limit->window_start_ms = now_ms;
		limit->count = 0;
	}
	return ++limit->count <= burst;
}
