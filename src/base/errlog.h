/*
 * The error log: one line a message, to a file or stderr, of every process.
 *
 *	2026-11-23 21:04:05.123 warn  worker 0 [4711]: could not accept: Too many open files
 *
 * A line is one write() in append mode, so lines of several processes do not mix.  Only top levels
 * log; libraries return errors.  Text follows STYLE: lower case, names the object in quotes, says
 * what could not be done and why.
 */
#ifndef TK_BASE_ERRLOG_H
#define TK_BASE_ERRLOG_H

#include "takhin/base.h"

enum tk_level { TK_LEVEL_ERROR, TK_LEVEL_WARN, TK_LEVEL_INFO, TK_LEVEL_DEBUG };

/* Logs to path from now on, or to stderr if path is NULL; 0 or -errno, then the old one stays. */
int tk_errlog_open(const char *path);

/* Opens the same path anew (after a rename by the operator); 0 or -errno. */
int tk_errlog_reopen(void);

/* What this process calls itself in each line; kept by reference. */
void tk_errlog_name(const char *process_name);

void tk_errlog_level(enum tk_level level);

/* The descriptor, for those who must not close it by accident. */
int tk_errlog_fd(void);

void tk_errlog(enum tk_level level, const char *fmt, ...) TK_PRINTF(2, 3);

#define tk_err(...)   tk_errlog(TK_LEVEL_ERROR, __VA_ARGS__)
#define tk_warn(...)  tk_errlog(TK_LEVEL_WARN, __VA_ARGS__)
#define tk_info(...)  tk_errlog(TK_LEVEL_INFO, __VA_ARGS__)
#define tk_debug(...) tk_errlog(TK_LEVEL_DEBUG, __VA_ARGS__)

/*
 * For what a peer can provoke at will: true at most `burst` times in each window of 10 s; the count
 * of what was held back is told with the first line of the next window.
 */
struct tk_errlog_limit {
	int64_t window_start_ms;
	unsigned count;
};
bool tk_errlog_allowed(struct tk_errlog_limit *limit, unsigned burst);

#endif
