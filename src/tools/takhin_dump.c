/*
 * takhin-dump: what the files of a data directory hold, whether they are sound, and what can be
 * saved of those that are not.
 *
 * Exits 0 if there was nothing to find, 1 if there was or a file could not be read, 2 for a command
 * line that makes no sense.  Nothing in the files is believed; memory is bounded by constants.
 */
#include "tools/takhin_dump.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/file.h"

static int
usage(FILE *out)
{
	(void)fprintf(out,
	    "usage: takhin-dump [--records] FILE...\n"
	    "       takhin-dump --verify PATH...\n"
	    "       takhin-dump --rebuild PATH...\n"
	    "       takhin-dump --export NEW SEGMENT\n\n"
	    "  FILE     any file of a data directory\n"
	    "  PATH     a data directory, one of its partitions, or a segment (verify)\n"
	    "  NEW      a file that is not there yet; it gets the good batches of SEGMENT\n");
	return out == stderr ? 2 : 0;
}

void
dump_find(struct dump *dump, const char *path, const char *format, ...)
{
	va_list args;

	dump->findings++;
	(void)fprintf(dump->out, "%s: ", path);
	va_start(args, format);
	(void)vfprintf(dump->out, format, args);
	va_end(args);
	(void)fputc('\n', dump->out);
}

const char *
dump_error(int rc)
{
	switch (rc) {
	case -EBADMSG:
		return "it is not such a file, or damaged";
	case -ENODATA:
		return "it ends too early";
	case -E2BIG:
	case -EFBIG:
		return "it is larger than such a file can be";
	default:
		return strerror(-rc);
	}
}

bool
dump_is_locked(int dir_fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd, rc;

	if (tk_file_open(dir_fd, ".lock", O_RDONLY, 0, &fd) < 0)
		return false;
	rc = fcntl(fd, F_OFD_GETLK, &lock);
	tk_file_close(&fd);
	return rc == 0 && lock.l_type != F_UNLCK;
}

struct task {
	enum { TASK_PRINT, TASK_VERIFY, TASK_REBUILD, TASK_EXPORT } what;
	const char *to;
};

static int
run_task(struct dump *dump, const struct task *task, const char *path)
{
	struct stat st;

	if (task->what == TASK_VERIFY)
		return dump_verify(dump, path);
	if (task->what == TASK_REBUILD)
		return dump_rebuild(dump, path);
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	return task->what == TASK_EXPORT ? dump_export(dump, path, task->to)
					 : dump_print_file(dump, path);
}

static const struct option long_options[] = {
	{ "records", no_argument, NULL, 'r' },
	{ "verify", no_argument, NULL, 'v' },
	{ "rebuild", no_argument, NULL, 'b' },
	{ "export", required_argument, NULL, 'e' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool
set_task(struct task *task, int what, const char *to)
{
	if (task->what != TASK_PRINT)
		return false;
	task->what = what == 'v' ? TASK_VERIFY : what == 'b' ? TASK_REBUILD : TASK_EXPORT;
	task->to = to;
	return true;
}

int
main(int argc, char **argv)
{
	struct dump dump = { .out = stdout };
	struct task task = { .what = TASK_PRINT };
	int letter, failed = 0;

	while ((letter = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (letter == 'h')
			return usage(stdout);
		if (letter == 'r')
			dump.records = true;
		else if (letter == '?' || !set_task(&task, letter, optarg))
			return usage(stderr);
	}
	if (optind == argc || (task.what == TASK_EXPORT && argc - optind != 1) ||
	    (dump.records && task.what != TASK_PRINT))
		return usage(stderr);
	for (int i = optind; i < argc; i++) {
		int rc = run_task(&dump, &task, argv[i]);

		if (rc >= 0)
			continue;
		failed = 1;
		(void)fflush(stdout);
		(void)fprintf(
		    stderr, "takhin-dump: could not read \"%s\": %s\n", argv[i], dump_error(rc));
	}
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		(void)fprintf(stderr, "takhin-dump: could not write: %s\n", strerror(errno));
		failed = 1;
	}
	return failed != 0 || dump.findings > 0 ? 1 : 0;
}
