/*
 * The answer to "status": the broker's processes, counters, listeners, directories, last deaths.
 * Master only.  Numbers are read from pages that others write at the same time: each is whole, all
 * together are of no one instant.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "master/control.h"

static uint64_t
read_u64(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static const char *
slot_state_name(const struct tk_slot *slot)
{
	if (!tk_slot_alive(slot))
		return tk_timer_running(&slot->respawn) ? "waiting" : "not started";
	switch (slot->state) {
	case TK_SLOT_STARTING:
		return "starting";
	case TK_SLOT_READY:
		return "ready";
	default:
		return "stopping";
	}
}

static const char *
phase_name(const struct tk_master *master)
{
	if (master->phase == TK_MASTER_STARTING)
		return "starting";
	if (master->phase != TK_MASTER_RUNNING)
		return "stopping";
	return master->reload.state != TK_RELOAD_NONE ? "reloading" : "running";
}

/* What is not zero of one page. */
static json_t *
page_counters(const struct tk_process_page *page)
{
	json_t *counters = json_object();

	for (size_t i = 0; i < TK_COUNTER_TOTAL; i++) {
		uint64_t value = read_u64(&page->counters[i]);

		if (value != 0)
			(void)json_object_set_new(
			    counters, tk_counter_rows[i].name, json_integer((json_int_t)value));
	}
	return counters;
}

static json_t *
slot_status(const struct tk_slot *slot)
{
	const struct tk_cycle *cycle =
	    slot->cycle != NULL ? &slot->cycle->cycle : &slot->master->cycle->cycle;
	int64_t now_ms = tk_clock_mono_ms();

	return json_pack("{s:s,s:i,s:I,s:s,s:I,s:i,s:I,s:I,s:I,s:I,s:I,s:o}", "role",
	    tk_role_name(slot->role), "index", (int)slot->index, "pid",
	    (json_int_t)(tk_slot_alive(slot) ? slot->pid : 0), "state", slot_state_name(slot),
	    "generation", (json_int_t)cycle->generation, "restarts", (int)slot->restarts, "age_ms",
	    (json_int_t)(tk_slot_alive(slot) ? now_ms - slot->started_ms : 0), "connections",
	    (json_int_t)read_u64(&slot->page->connections), "memory_bytes",
	    (json_int_t)read_u64(&slot->page->memory_bytes), "progress",
	    (json_int_t)read_u64(&slot->page->progress), "progress_age_ms",
	    (json_int_t)(now_ms - slot->progress_ms), "counters", page_counters(slot->page));
}

static json_t *
processes_status(const struct tk_master *master)
{
	json_t *list = json_array();
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		(void)json_array_append_new(list, slot_status(slot));
	return list;
}

static uint64_t
counter_sum(const struct tk_master *master, size_t counter)
{
	uint64_t sum = master->retired_counters[counter];
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		sum += read_u64(&slot->page->counters[counter]);
	return sum;
}

/* Every counter with its help, in the order of the table. */
static json_t *
counters_status(const struct tk_master *master)
{
	json_t *list = json_array();

	for (size_t i = 0; i < TK_COUNTER_TOTAL; i++)
		(void)json_array_append_new(
		    list, json_pack("{s:s,s:I,s:s}", "name", tk_counter_rows[i].name, "value",
			      (json_int_t)counter_sum(master, i), "help", tk_counter_rows[i].help));
	return list;
}

static json_t *
listeners_status(const struct tk_settings *settings)
{
	json_t *list = json_array();

	for (size_t i = 0; i < settings->listeners.count; i++) {
		const struct tk_listener_settings *listener = &settings->listeners.items[i];

		(void)json_array_append_new(
		    list, json_pack("{s:s,s:s,s:i,s:s,s:i}", "name", listener->name, "bind",
			      listener->bind, "port", (int)listener->port, "advertised_host",
			      listener->advertised_host, "advertised_port",
			      (int)listener->advertised_port));
	}
	return list;
}

static json_t *
directories_status(const struct tk_cycle *cycle)
{
	json_t *list = json_array();

	for (size_t i = 0; i < cycle->directory_count; i++)
		(void)json_array_append_new(list, json_string(cycle->directories[i].path));
	return list;
}

/* Newest last. */
static json_t *
deaths_status(const struct tk_master *master)
{
	uint64_t count = TK_MIN(master->death_count, (uint64_t)TK_MASTER_DEATHS);
	json_t *list = json_array();

	for (uint64_t i = master->death_count - count; i < master->death_count; i++) {
		const struct tk_death *death = &master->deaths[i % TK_MASTER_DEATHS];

		(void)json_array_append_new(
		    list, json_pack("{s:I,s:s}", "time_ms", (json_int_t)death->wall_ms, "text",
			      death->text));
	}
	return list;
}

/* What a cleaner's page says is foreign bytes, of an entry that may be written just now. */
static json_t *
quarantined_status(const struct tk_page_partition *part)
{
	char name[sizeof(part->name)], why[sizeof(part->why)];

	(void)snprintf(name, sizeof(name), "%.*s", (int)sizeof(part->name) - 1, part->name);
	(void)snprintf(why, sizeof(why), "%.*s", (int)sizeof(part->why) - 1, part->why);
	return json_pack("{s:s,s:s}", "partition", name, "why", why);
}

/* Partitions that are not compacted any more. */
static json_t *
uncleanable_status(const struct tk_master *master)
{
	json_t *list = json_array();
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link) {
		const struct tk_page_compaction *page = &slot->page->compaction;
		uint64_t count = __atomic_load_n(&page->quarantined_count, __ATOMIC_ACQUIRE);

		if (slot->role != TK_ROLE_CLEANER)
			continue;
		for (uint64_t i = 0; i < TK_MIN(count, (uint64_t)TK_PAGE_QUARANTINED); i++) {
			json_t *item = quarantined_status(&page->quarantined[i]);

			if (item != NULL) /* NULL: not UTF-8 */
				(void)json_array_append_new(list, item);
		}
	}
	return list;
}

json_t *
tk_master_status(struct tk_master *master)
{
	const struct tk_cycle *cycle = &master->cycle->cycle;
	const struct tk_settings *settings = cycle->settings;
	json_t *answer;

	answer = json_pack("{s:b,s:s,s:I,s:s,s:I,s:I,s:i,s:s*,s:s,s:o,s:o,s:o,s:o,s:o,s:I,s:o}",
	    "ok", 1, "version", PACKAGE_VERSION, "pid", (json_int_t)getpid(), "state",
	    phase_name(master), "uptime_ms", (json_int_t)(tk_clock_mono_ms() - master->started_ms),
	    "generation", (json_int_t)cycle->generation, "node_id", (int)settings->node_id,
	    "settings_file", settings->file, "run_directory", settings->run_directory, "listeners",
	    listeners_status(settings), "directories", directories_status(cycle), "processes",
	    processes_status(master), "counters", counters_status(master), "uncleanable",
	    uncleanable_status(master), "death_count", (json_int_t)master->death_count, "deaths",
	    deaths_status(master));
	return answer != NULL ? answer : tk_master_refusal("a path is not UTF-8");
}
