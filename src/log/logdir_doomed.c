/*
 * Files and directories that are renamed away and wait file.delete.delay.ms to be unlinked, so that
 * readers who have them open are done.
 *
 * Writer process.  What a start finds is removed at once, since those who read it are gone.  A few
 * removals a call: unlinking a large file takes milliseconds.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "log/logdir_private.h"

#define PER_TICK 4
#define HEX_LEN  32

void
tk_doom(struct tk_logdir *dir, const char *path, bool is_dir, int64_t delay_ms)
{
	struct tk_doomed *doomed = malloc(sizeof(*doomed) + strlen(path) + 1);
	struct tk_doomed *other;

	if (doomed == NULL)
		return;
	strcpy(doomed->path, path);
	doomed->is_dir = is_dir;
	doomed->due_ms = tk_clock_mono_ms() + TK_MIN(TK_MAX(delay_ms, 0), (int64_t)1 << 40);
	TAILQ_FOREACH_REVERSE(other, &dir->doomed, tk_doomed_list, link)
	if (other->due_ms <= doomed->due_ms)
		break;
	if (other == NULL)
		TAILQ_INSERT_HEAD(&dir->doomed, doomed, link);
	else
		TAILQ_INSERT_AFTER(&dir->doomed, other, doomed, link);
}

/* "<anything>.<32 hex>-delete", as Kafka renames a deleted partition's directory. */
static bool
is_deleted_name(const char *name)
{
	static const char suffix[] = "-delete";
	const size_t tail = 1 + HEX_LEN + sizeof(suffix) - 1;
	size_t len = strlen(name);

	if (len <= tail || strcmp(name + len - sizeof(suffix) + 1, suffix) != 0)
		return false;
	return name[len - tail] == '.' &&
	       strspn(name + len - tail + 1, "0123456789abcdef") == HEX_LEN;
}

void
tk_doom_leftovers(struct tk_logdir *dir)
{
	const struct dirent *entry;
	DIR *stream;
	int fd;

	if (tk_file_open(dir->fd, ".", O_RDONLY | O_DIRECTORY, 0, &fd) < 0)
		return;
	stream = fdopendir(fd);
	if (stream == NULL) {
		tk_file_close(&fd);
		return;
	}
	while ((entry = readdir(stream)) != NULL)
		if (is_deleted_name(entry->d_name))
			tk_doom(dir, entry->d_name, true, 0);
	(void)closedir(stream);
}

int64_t
tk_doomed_tick(struct tk_logdir *dir, int64_t mono_ms)
{
	struct tk_doomed *doomed;

	for (int i = 0; i < PER_TICK; i++) {
		int rc;

		doomed = TAILQ_FIRST(&dir->doomed);
		if (doomed == NULL)
			return -1;
		if (doomed->due_ms > mono_ms)
			return doomed->due_ms - mono_ms;
		rc = doomed->is_dir ? tk_file_remove_dir(dir->fd, doomed->path)
				    : tk_file_unlink(dir->fd, doomed->path);
		if (rc < 0 && rc != -ENOENT)
			tk_logdir_say(dir, TK_LEVEL_WARN, "could not remove \"%s/%s\": %s",
			    dir->path, doomed->path, strerror(-rc));
		TAILQ_REMOVE(&dir->doomed, doomed, link);
		free(doomed);
	}
	return 0;
}

void
tk_doomed_free(struct tk_logdir *dir)
{
	struct tk_doomed *doomed;

	while ((doomed = TAILQ_FIRST(&dir->doomed)) != NULL) {
		TAILQ_REMOVE(&dir->doomed, doomed, link);
		free(doomed);
	}
}
