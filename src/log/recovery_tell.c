/*
 * What an operator reads of a recovery: a line of progress now and then, a sum at its end.  What is
 * damaged or cut is named by who finds it (recovery.c).
 *
 * Writer process; all but the sum in any of recovery's threads.  Counters are atomic, and the
 * thread that moves the time of the last line is the one that writes it, so lines come at a bounded
 * rate however many partitions there are, and also while one large partition is read.
 */
#include "base/clock.h"
#include "log/logdir_private.h"

#define PROGRESS_MS 5000

static int64_t
load(const int64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static void
add(int64_t *at, int64_t by)
{
	(void)__atomic_add_fetch(at, by, __ATOMIC_RELAXED);
}

static void
tell(struct tk_logdir *dir, const char *what, int64_t now_ms)
{
	const struct tk_recovery_tally *tally = &dir->recovery;
	int64_t took_ms = now_ms - tally->began_ms;

	tk_logdir_say(dir, TK_LEVEL_INFO,
	    "%s \"%s\": %lld partitions, %lld bytes read, %lld bytes cut off, %lld damaged "
	    "stretches, in %lld.%03lld s",
	    what, dir->path, (long long)load(&tally->partitions),
	    (long long)load(&tally->bytes_read), (long long)load(&tally->bytes_cut),
	    (long long)load(&tally->damaged), (long long)(took_ms / 1000),
	    (long long)(took_ms % 1000));
}

static void
tell_if_due(struct tk_logdir *dir)
{
	struct tk_recovery_tally *tally = &dir->recovery;
	int64_t every_ms = tally->progress_ms > 0 ? tally->progress_ms : PROGRESS_MS;
	int64_t now_ms = tk_clock_mono_ms(), said_ms = load(&tally->said_ms);

	if (load(&tally->began_ms) == 0)
		return; /* a single partition, long after the start: its end is told elsewhere */
	if (now_ms - said_ms >= every_ms && __atomic_compare_exchange_n(&tally->said_ms, &said_ms,
						now_ms, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		tell(dir, "recovering", now_ms);
}

void
tk_recovery_tell_begin(struct tk_logdir *dir)
{
	if (dir->recovery.began_ms == 0)
		dir->recovery.began_ms = dir->recovery.said_ms = tk_clock_mono_ms();
}

void
tk_recovery_tell_read(struct tk_logdir *dir, int64_t bytes)
{
	add(&dir->recovery.bytes_read, bytes);
	tell_if_due(dir);
}

void
tk_recovery_tell_cut(struct tk_logdir *dir, int64_t bytes)
{
	add(&dir->recovery.bytes_cut, bytes);
}

void
tk_recovery_tell_damaged(struct tk_logdir *dir)
{
	add(&dir->recovery.damaged, 1);
}

void
tk_recovery_tell_partition(struct tk_logdir *dir)
{
	add(&dir->recovery.partitions, 1);
	tell_if_due(dir);
}

void
tk_logdir_recovery_done(struct tk_logdir *dir)
{
	int64_t progress_ms = dir->recovery.progress_ms;

	if (dir->recovery.began_ms == 0)
		return;
	tell(dir, "recovered", tk_clock_mono_ms());
	dir->recovery = (struct tk_recovery_tally){ .progress_ms = progress_ms };
}
