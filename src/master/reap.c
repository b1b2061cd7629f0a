/*
 * Deaths: how a process died, who is told, and when it is born again.  Master only.
 *
 * A process is born again at once, except if it died by its own fault before it was ready or within
 * a second after: then later each time, so that a process that cannot run does not take the machine
 * with it.  Being killed by SIGKILL is nobody's own fault.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "master/master.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS  5000
#define SOON_MS          1000 /* after READY */

/* What a dying process left in its page: foreign bytes, so only what can be printed. */
static void
panic_text(const struct tk_slot *slot, char *text, size_t room)
{
	size_t len = strnlen(slot->page->panic, TK_MIN(room - 1, sizeof(slot->page->panic)));

	memcpy(text, slot->page->panic, len);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\0'))
		len--;
	text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			text[i] = '?';
}

static void
death_describe(const struct tk_slot *slot, int status, char *text, size_t room)
{
	char how[64], panic[TK_PAGE_PANIC_BYTES];

	if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), "was killed by signal %d (%s%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
	else
		(void)snprintf(how, sizeof(how), "exited with code %d", WEXITSTATUS(status));
	panic_text(slot, panic, sizeof(panic));
	(void)snprintf(text, room, "%s (pid %ld) %s%s%s", tk_slot_name(slot), (long)slot->pid, how,
	    panic[0] != '\0' ? ": " : "", panic);
}

static bool
died_well(const struct tk_slot *slot, int status)
{
	return slot->state == TK_SLOT_STOPPING && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
death_log(struct tk_slot *slot, int status)
{
	struct tk_master *master = slot->master;
	struct tk_death *death = &master->deaths[master->death_count % TK_MASTER_DEATHS];
	char text[TK_MASTER_DEATH_TEXT];

	death_describe(slot, status, text, sizeof(text));
	if (died_well(slot, status)) {
		tk_debug("%s", text);
		return;
	}
	tk_err("%s", text);
	death->wall_ms = tk_clock_wall_ms();
	memcpy(death->text, text, sizeof(text));
	master->death_count++;
}

static void
tell_gone(struct tk_slot *slot)
{
	struct tk_control msg = {
		.type = TK_CONTROL_GONE, .pid = slot->pid, .role = slot->role, .index = slot->index
	};
	struct tk_slot *other;

	TAILQ_FOREACH (other, &slot->master->slots, link)
		if (other != slot && tk_slot_alive(other))
			tk_slot_tell(other, &msg, -1);
}

static void
life_end(struct tk_slot *slot)
{
	tk_event_remove(slot->master->loop, &slot->control);
	tk_slot_orders_drop(slot);
	tk_slot_watch_end(slot);
	(void)close(slot->control.fd);
	slot->control.fd = -1;
	if (slot->arena_readonly_fd >= 0)
		(void)close(slot->arena_readonly_fd);
	slot->arena_readonly_fd = -1;
	slot->state = TK_SLOT_EMPTY;
}

static bool
own_fault(const struct tk_slot *slot, int status)
{
	int64_t now_ms = tk_loop_now_ms(slot->master->loop);

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return false;
	return slot->ready_ms == 0 || now_ms - slot->ready_ms < SOON_MS;
}

static void
slot_again(struct tk_slot *slot, int status)
{
	slot->restarts++;
	if (!own_fault(slot, status)) {
		slot->backoff_ms = 0;
		tk_slot_spawn(slot);
		return;
	}
	slot->backoff_ms = slot->backoff_ms == 0
			       ? BACKOFF_FIRST_MS
			       : TK_MIN(slot->backoff_ms * 2, (int64_t)BACKOFF_MOST_MS);
	tk_warn("%s is started again in %d ms", tk_slot_name(slot), (int)slot->backoff_ms);
	tk_slot_spawn_later(slot, slot->backoff_ms);
}

/* A start in which a process says that it cannot serve comes to nothing: it has said why. */
static bool
start_failed(const struct tk_slot *slot, int status)
{
	return slot->master->phase == TK_MASTER_STARTING && slot->ready_ms == 0 &&
	       WIFEXITED(status) && WEXITSTATUS(status) != 0;
}

static void
slot_died(struct tk_slot *slot, int status)
{
	struct tk_master *master = slot->master;

	death_log(slot, status);
	/* A writer exits with 0 for this alone; that it was READY may stand unread in its socket.
	 */
	slot->clean = died_well(slot, status);
	tell_gone(slot);
	life_end(slot);
	tk_master_reload_slot_died(slot);
	if (slot->retiring)
		tk_slot_free(&slot);
	if (master->phase > TK_MASTER_RUNNING) {
		tk_master_stop_go_on(master);
	} else if (slot == NULL) {
		return;
	} else if (start_failed(slot, status)) {
		tk_err("could not start: %s gave up", tk_slot_name(slot));
		master->exit_code = 1;
		tk_master_stop(master, false);
	} else {
		slot_again(slot, status);
	}
}

void
tk_master_reap(struct tk_master *master)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct tk_slot *slot = tk_slot_by_pid(master, pid);

		if (slot != NULL)
			slot_died(slot, status);
	}
}
