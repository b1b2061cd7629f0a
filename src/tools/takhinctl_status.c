/*
 * The answer to status as tables for a terminal.  What is missing in it shows as 0 or "?": broker
 * and takhinctl may be of different versions.
 */
#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "tools/takhinctl.h"

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "?";
}

static int64_t
number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* "3d 4h", "12m 5s": the two largest units that matter. */
static void
age_text(int64_t ms, char *text, size_t room)
{
	static const struct {
		int64_t seconds;
		const char *unit, *next_unit;
		int64_t next_seconds;
	} units[] = {
		{ 86400, "d", "h", 3600 },
		{ 3600, "h", "m", 60 },
		{ 60, "m", "s", 1 },
	};
	int64_t s = ms / 1000;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (s < units[i].seconds)
			continue;
		(void)snprintf(text, room, "%" PRId64 "%s %" PRId64 "%s", s / units[i].seconds,
		    units[i].unit, s % units[i].seconds / units[i].next_seconds,
		    units[i].next_unit);
		return;
	}
	(void)snprintf(text, room, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
}

static void
print_head(const json_t *answer, FILE *out)
{
	const json_t *item;
	char age[48];
	size_t i;

	age_text(number_of(answer, "uptime_ms"), age, sizeof(age));
	(void)fprintf(out, "takhin %s, process %" PRId64 ", %s for %s\n",
	    text_of(answer, "version"), number_of(answer, "pid"), text_of(answer, "state"), age);
	(void)fprintf(out, "settings        %s, generation %" PRId64 "\n",
	    json_is_string(json_object_get(answer, "settings_file"))
		? text_of(answer, "settings_file")
		: "defaults",
	    number_of(answer, "generation"));
	(void)fprintf(out, "run directory   %s\n", text_of(answer, "run_directory"));
	json_array_foreach(json_object_get(answer, "directories"), i, item)(void)
	    fprintf(out, "data directory  %s\n", json_string_value(item));
	json_array_foreach(json_object_get(answer, "listeners"), i, item)(void) fprintf(out,
	    "listener        %s at %s port %" PRId64 ", advertised as %s port %" PRId64 "\n",
	    text_of(item, "name"), text_of(item, "bind"), number_of(item, "port"),
	    text_of(item, "advertised_host"), number_of(item, "advertised_port"));
}

static void
print_process(const json_t *process, FILE *out)
{
	const char *role = text_of(process, "role");
	char name[48], age[48];

	if (strcmp(role, "worker") == 0 || strcmp(role, "writer") == 0)
		(void)snprintf(
		    name, sizeof(name), "%s %" PRId64, role, number_of(process, "index"));
	else
		(void)snprintf(name, sizeof(name), "%s", role);
	age_text(number_of(process, "age_ms"), age, sizeof(age));
	(void)fprintf(out,
	    "%-14s %8" PRId64 "  %-11s %3" PRId64 "  %10s  %8" PRId64 "  %11" PRId64 "  %12" PRId64
	    "  %8" PRId64 ".%" PRId64 "\n",
	    name, number_of(process, "pid"), text_of(process, "state"),
	    number_of(process, "generation"), age, number_of(process, "restarts"),
	    number_of(process, "connections"), number_of(process, "memory_bytes"),
	    number_of(process, "progress_age_ms") / 1000,
	    number_of(process, "progress_age_ms") % 1000 / 100);
}

static void
print_processes(const json_t *answer, FILE *out)
{
	const json_t *process;
	size_t i;

	(void)fprintf(out, "\n%-14s %8s  %-11s %3s  %10s  %8s  %11s  %12s  %10s\n", "PROCESS",
	    "PID", "STATE", "GEN", "AGE", "RESTARTS", "CONNECTIONS", "MEMORY BYTES", "IDLE S");
	json_array_foreach(json_object_get(answer, "processes"), i, process)
	    print_process(process, out);
}

static void
print_counters(const json_t *answer, FILE *out)
{
	const json_t *counter;
	size_t i;

	(void)fprintf(out, "\n%-24s %20s  %s\n", "COUNTER", "SINCE START", "WHAT IT COUNTS");
	json_array_foreach(json_object_get(answer, "counters"), i, counter)(void)
	    fprintf(out, "%-24s %20" PRId64 "  %s\n", text_of(counter, "name"),
		number_of(counter, "value"), text_of(counter, "help"));
}

static void
print_deaths(const json_t *answer, FILE *out)
{
	const json_t *death;
	size_t i;

	if (number_of(answer, "death_count") == 0)
		return;
	(void)fprintf(out, "\nLAST OF %" PRId64 " DEATHS\n", number_of(answer, "death_count"));
	json_array_foreach(json_object_get(answer, "deaths"), i, death)
	{
		time_t seconds = (time_t)(number_of(death, "time_ms") / 1000);
		char when[32];
		struct tm tm;

		(void)localtime_r(&seconds, &tm);
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
		(void)fprintf(out, "%s  %s\n", when, text_of(death, "text"));
	}
}

static void
print_uncleanable(const json_t *answer, FILE *out)
{
	const json_t *list = json_object_get(answer, "uncleanable");
	const json_t *part;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	(void)fprintf(out, "\nNOT COMPACTED ANY MORE\n");
	json_array_foreach(list, i, part)(void)
	    fprintf(out, "%s  %s\n", text_of(part, "partition"), text_of(part, "why"));
}

void
takhinctl_print_status(const json_t *answer, FILE *out)
{
	print_head(answer, out);
	print_processes(answer, out);
	print_counters(answer, out);
	print_uncleanable(answer, out);
	print_deaths(answer, out);
}
