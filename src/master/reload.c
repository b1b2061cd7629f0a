/*
 * Settings replaced while the broker runs, as a transaction.  Master only.
 *
 * Read and check the settings; refuse what needs a restart; bind what is new; ask the processes
 * that stay (PREPARE).  Up to here anything that fails leaves everything as it was.  Then COMMIT:
 * new workers are born from the new cycle, and once all of them are READY the old ones finish and
 * go. Whoever asked is told how it ended.  Each wait is bounded by a timer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/errlog.h"
#include "base/topic_config.h"
#include "master/master.h"
#include "os/notify.h"
#include "os/shm.h"

#define PREPARE_MS 10000
#define START_MS   30000

/* Text that grows by lines and is cut where room ends. */
struct lines {
	char *text;
	size_t room, len;
};

static void
lines_add(struct lines *lines, const char *line)
{
	int n;

	if (lines->len >= lines->room)
		return;
	n = snprintf(lines->text + lines->len, lines->room - lines->len, "%s%s",
	    lines->len > 0 ? "\n" : "", line);
	lines->len += n > 0 ? (size_t)n : 0;
}

int
tk_master_settings_load(const struct tk_settings_source *source, struct tk_arena *arena,
    struct tk_settings **ret_settings, char *text, size_t room)
{
	struct tk_settings_errors errors = { .arena = arena };
	struct lines lines = { .text = text, .room = room };
	int rc;

	if (room > 0)
		text[0] = '\0';
	tk_arena_init(arena, TK_MASTER_SETTINGS_BYTES);
	rc = tk_settings_load(arena, source, ret_settings, &errors);
	for (const struct tk_settings_error *e = errors.first; e != NULL; e = e->next) {
		tk_errlog(e->warning ? TK_LEVEL_WARN : TK_LEVEL_ERROR, "%s", e->text);
		if (!e->warning)
			lines_add(&lines, e->text);
	}
	if (rc < 0) {
		if (errors.error_count == 0)
			lines_add(&lines, strerror(-rc));
		tk_arena_reset(arena);
	}
	return rc;
}

/* What children cannot work out for themselves: a default that is fixed stays a default there. */
static void
settings_write(const struct tk_settings *settings, FILE *out)
{
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);

	for (size_t i = 0; i < count; i++) {
		const struct tk_setting_origin *at = tk_setting_origin(settings, &rows[i]);
		int len = tk_setting_format_conf(settings, &rows[i], NULL, 0);
		char *value;

		if (at->file == NULL && rows[i].default_text != NULL)
			continue;
		value = malloc((size_t)len + 1);
		if (value == NULL)
			continue; /* the child then misses a setting, and refuses or has its default
				   */
		(void)tk_setting_format_conf(settings, &rows[i], value, (size_t)len + 1);
		(void)fprintf(out, "%s = %s;\n", rows[i].path, value);
		free(value);
	}
}

int
tk_master_settings_fd(const struct tk_settings *settings)
{
	int readonly, fd = memfd_create("takhin-settings", MFD_CLOEXEC);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (out == NULL) {
		int rc = -errno;

		if (fd >= 0)
			(void)close(fd);
		return rc;
	}
	settings_write(settings, out);
	readonly = fflush(out) == 0 ? tk_shm_readonly(fd) : -errno;
	(void)fclose(out);
	return readonly;
}

static void
setting_refused(void *arg, const struct tk_setting *row)
{
	char line[160];

	(void)snprintf(line, sizeof(line), "\"%s\" cannot change without a restart", row->path);
	tk_err("%s", line);
	lines_add(arg, line);
}

/* Ends a reload, well or not, and tells who asked. */
static void
reload_end(struct tk_master *master, bool ok, const char *text)
{
	struct tk_reload *reload = &master->reload;
	char ignored[256];

	tk_timer_stop(master->loop, &reload->timer);
	reload->state = TK_RELOAD_NONE;
	if (!ok)
		tk_err("could not reload: %s", text);
	else
		tk_info("reloaded: settings generation %llu",
		    (unsigned long long)master->cycle->cycle.generation);
	tk_notify_ready(ok ? "ready" : "ready; the last reload failed");
	tk_master_control_reloaded(master, ok, text);
	if (reload->again && master->phase == TK_MASTER_RUNNING) {
		reload->again = false;
		(void)tk_master_reload(master, ignored, sizeof(ignored));
	}
}

static void
prepare_failed(struct tk_master *master, const char *text)
{
	tk_master_cycle_unref(&master->reload.next);
	reload_end(master, false, text);
}

static void
reload_overdue(struct tk_timer *timer)
{
	struct tk_master *master = TK_CONTAINER_OF(timer, struct tk_master, reload.timer);

	if (master->reload.state == TK_RELOAD_PREPARING)
		prepare_failed(master, "a process did not answer in time");
	else
		reload_end(master, false,
		    "the new settings are in force, but new workers are not ready: the old ones "
		    "go on");
}

static bool
is_old_worker(const struct tk_slot *slot)
{
	return slot->role == TK_ROLE_WORKER && slot->cycle != slot->master->cycle;
}

/* Old workers finish; those that are between two lives do not come back. */
static void
old_workers_retire(struct tk_master *master)
{
	int64_t bound_ms = master->cycle->cycle.settings->shutdown_timeout_ms + TK_MASTER_GRACE_MS;
	struct tk_slot *slot, *next;

	for (slot = TAILQ_FIRST(&master->slots); slot != NULL; slot = next) {
		next = TAILQ_NEXT(slot, link);
		if (!is_old_worker(slot) || slot->retiring)
			continue;
		tk_master_listeners_close(slot->cycle);
		slot->retiring = true;
		tk_timer_stop(master->loop, &slot->respawn);
		if (!tk_slot_alive(slot)) {
			tk_slot_free(&slot);
			continue;
		}
		tk_slot_stop(slot, true);
		(void)tk_timer_start(master->loop, &slot->retire, bound_ms);
	}
}

static bool
new_workers_ready(const struct tk_master *master)
{
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot->role == TK_ROLE_WORKER && slot->cycle == master->cycle &&
		    slot->state != TK_SLOT_READY)
			return false;
	return true;
}

/* Also where the wait was given up: new workers that make it at last replace the old ones. */
void
tk_master_reload_slot_ready(struct tk_slot *slot)
{
	struct tk_master *master = slot->master;

	if (master->phase != TK_MASTER_RUNNING || slot->role != TK_ROLE_WORKER ||
	    slot->cycle != master->cycle || !new_workers_ready(master))
		return;
	old_workers_retire(master);
	if (master->reload.state == TK_RELOAD_STARTING)
		reload_end(master, true, "");
}

static bool
stays(const struct tk_slot *slot)
{
	return slot->role != TK_ROLE_WORKER;
}

/* One of those that stay and cannot be asked now, or NULL. */
static const struct tk_slot *
not_ready(const struct tk_master *master)
{
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (stays(slot) && slot->state != TK_SLOT_READY)
			return slot;
	return NULL;
}

/* Hands on the new log file and level; children that stay get them by their orders. */
static void
log_change(struct tk_master *master, const struct tk_settings *old, const struct tk_settings *new)
{
	struct tk_control msg = { .type = TK_CONTROL_REOPEN };
	struct tk_slot *slot;
	int rc;

	tk_errlog_level((enum tk_level) new->log_level);
	if (strcmp(old->error_log, new->error_log) == 0)
		return;
	rc = tk_errlog_open(strcmp(new->error_log, "stderr") == 0 ? NULL : new->error_log);
	if (rc < 0) {
		tk_err("could not open error log \"%s\": %s", new->error_log, strerror(-rc));
		return;
	}
	TAILQ_FOREACH (slot, &master->slots, link)
		tk_slot_tell(slot, &msg, tk_errlog_fd());
}

/*
 * Workers of former settings serve until new ones are ready, and writers take no batch that was
 * validated under other defaults of topics.  They are told before the writers, so that whoever is
 * sent a batch back finds the settings waiting.
 */
static void
old_workers_adopt(struct tk_master *master)
{
	struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (is_old_worker(slot))
			tk_master_worker_adopts(slot);
}

void
tk_master_worker_adopts(struct tk_slot *slot)
{
	const struct tk_cycle *now = &slot->master->cycle->cycle;
	struct tk_control msg = { .type = TK_CONTROL_ADOPT,
		.generation = now->generation,
		.topics_generation = now->topics_generation };
	int fd;

	if (!tk_slot_alive(slot) || slot->cycle->cycle.topics_generation == now->topics_generation)
		return;
	fd = tk_master_settings_fd(now->settings);
	if (fd < 0) {
		tk_err("could not tell %s of the settings: %s", tk_slot_name(slot), strerror(-fd));
		return;
	}
	tk_slot_tell(slot, &msg, fd);
	(void)close(fd);
}

static void
reload_commit(struct tk_master *master)
{
	struct tk_master_cycle *old = master->cycle;
	struct tk_slot *slot;
	char text[256];
	int rc;

	master->cycle = master->reload.next;
	master->reload.next = NULL;
	master->reload.state = TK_RELOAD_STARTING;
	tk_master_listeners_hand_on(old, master->cycle);
	if (tk_master_listeners_listen(&master->cycle->cycle, text, sizeof(text)) < 0)
		tk_err("%s", text);
	log_change(master, old->cycle.settings, master->cycle->cycle.settings);
	old_workers_adopt(master);
	TAILQ_FOREACH (slot, &master->slots, link)
		if (stays(slot) && slot->prepare == TK_PREPARE_DONE)
			tk_slot_tell_type(slot, TK_CONTROL_COMMIT);
	tk_master_limits_raise(master->cycle->cycle.settings);
	tk_master_watch(master);
	(void)tk_timer_start(master->loop, &master->reload.timer, START_MS);
	rc = tk_master_workers_make(master, master->cycle);
	tk_master_cycle_unref(&old);
	if (rc < 0)
		tk_err("could not make all new workers: %s", strerror(-rc));
	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot->cycle == master->cycle)
			tk_slot_spawn(slot);
}

static bool
all_prepared(const struct tk_master *master)
{
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot->prepare == TK_PREPARE_ASKED)
			return false;
	return true;
}

void
tk_master_reload_prepared(struct tk_slot *slot, const struct tk_control *msg)
{
	struct tk_master *master = slot->master;
	char text[320];

	if (master->reload.state != TK_RELOAD_PREPARING || slot->prepare != TK_PREPARE_ASKED ||
	    msg->generation != master->reload.next->cycle.generation)
		return;
	slot->prepare = TK_PREPARE_DONE;
	if (msg->error < 0) {
		(void)snprintf(text, sizeof(text), "%s: %s", tk_slot_name(slot),
		    msg->text[0] != '\0' ? msg->text : strerror(-msg->error));
		prepare_failed(master, text);
		return;
	}
	if (all_prepared(master))
		reload_commit(master);
}

void
tk_master_reload_slot_died(struct tk_slot *slot)
{
	char text[96];

	/* Its next life has the settings of its birth, so a COMMIT must not find it. */
	if (slot->master->reload.state != TK_RELOAD_PREPARING || slot->role == TK_ROLE_WORKER)
		return;
	slot->prepare = TK_PREPARE_NOT_ASKED;
	(void)snprintf(
	    text, sizeof(text), "%s died while it looked at the settings", tk_slot_name(slot));
	prepare_failed(slot->master, text);
}

static int
prepare_ask(struct tk_master *master, char *text, size_t room)
{
	struct tk_control msg = { .type = TK_CONTROL_PREPARE,
		.generation = master->reload.next->cycle.generation };
	int fd = tk_master_settings_fd(master->reload.next->cycle.settings);
	struct tk_slot *slot;

	if (fd < 0) {
		(void)snprintf(text, room, "could not pass on the settings: %s", strerror(-fd));
		return fd;
	}
	master->reload.state = TK_RELOAD_PREPARING;
	master->reload.timer.expire = reload_overdue;
	(void)tk_timer_start(master->loop, &master->reload.timer, PREPARE_MS);
	TAILQ_FOREACH (slot, &master->slots, link) {
		slot->prepare = TK_PREPARE_NOT_ASKED;
		if (!stays(slot))
			continue;
		slot->prepare = TK_PREPARE_ASKED;
		tk_slot_tell(slot, &msg, fd);
	}
	(void)close(fd);
	return 0;
}

static bool
topics_differ(const struct tk_settings *old, const struct tk_settings *new)
{
	struct tk_topic_config a = { 0 }, b = { 0 };

	tk_topic_config_defaults(old, &a);
	tk_topic_config_defaults(new, &b);
	return memcmp(&a, &b, sizeof(a)) != 0;
}

/* Makes the next cycle of checked settings; 0, or -errno with the reasons in text. */
static int
next_cycle(struct tk_master *master, struct tk_arena *arena, const struct tk_settings *settings,
    char *text, size_t room)
{
	struct tk_cycle *present = &master->cycle->cycle;
	struct lines lines = { .text = text, .room = room };
	int rc;

	if (tk_settings_diff(present->settings, settings, setting_refused, &lines) > 0) {
		tk_arena_reset(arena);
		return -EINVAL;
	}
	rc = tk_master_cycle_new(arena, settings, present->generation + 1, &master->reload.next);
	if (rc < 0) {
		(void)snprintf(text, room, "%s", strerror(-rc));
		return rc;
	}
	tk_master_cycle_inherit(present, &master->reload.next->cycle);
	if (topics_differ(present->settings, settings))
		master->reload.next->cycle.topics_generation++;
	rc = tk_master_listeners_bind(master->cycle, master->reload.next, 0, text, room);
	if (rc < 0)
		tk_master_cycle_unref(&master->reload.next);
	return rc;
}

void
tk_master_reload_cancel(struct tk_master *master)
{
	if (master->reload.state == TK_RELOAD_NONE)
		return;
	tk_timer_stop(master->loop, &master->reload.timer);
	master->reload.state = TK_RELOAD_NONE;
	tk_master_cycle_unref(&master->reload.next);
	tk_master_control_reloaded(master, false, "the broker stops");
}

/* 0, or -EBUSY with the reason in text. */
static int
reload_possible(struct tk_master *master, char *text, size_t room)
{
	const struct tk_slot *slot = not_ready(master);

	if (master->phase != TK_MASTER_RUNNING)
		(void)snprintf(text, room, "the broker is starting or stopping");
	else if (master->reload.state != TK_RELOAD_NONE)
		(void)snprintf(text, room, "a reload is under way");
	else if (slot != NULL)
		(void)snprintf(text, room, "the %s is not ready", tk_slot_name(slot));
	else
		return 0;
	tk_err("could not reload: %s", text);
	return -EBUSY;
}

int
tk_master_reload(struct tk_master *master, char *text, size_t room)
{
	struct tk_settings *settings;
	struct tk_arena arena;
	int rc = reload_possible(master, text, room);

	if (rc < 0)
		return rc;
	tk_info("reloading the settings");
	tk_notify_reloading();
	rc = tk_master_settings_load(master->source, &arena, &settings, text, room);
	if (rc == 0)
		rc = next_cycle(master, &arena, settings, text, room);
	if (rc == 0)
		rc = prepare_ask(master, text, room);
	if (rc < 0) {
		tk_master_cycle_unref(&master->reload.next);
		tk_err("could not reload: nothing was changed");
		tk_notify_ready("ready; the last reload failed");
		return rc;
	}
	return 0;
}
