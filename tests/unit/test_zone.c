/*
 * The zone: records, marks, layouts, and reading while another process writes or dies.
 */
#include <signal.h>

#include "base/clock.h"
#include "test_log_env.h"

static uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	return x * 0xc4ceb9fe1a85ec53ULL;
}

/* A state all of whose words follow from n. */
static struct tk_part_state
state_of(uint64_t n)
{
	struct tk_part_state state;
	uint64_t words[sizeof(state) / 8];

	for (size_t i = 0; i < sizeof(state) / 8; i++)
		words[i] = mix(n + i);
	words[0] = n;
	memcpy(&state, words, sizeof(state));
	return state;
}

static bool
state_is_whole(const struct tk_part_state *state)
{
	struct tk_part_state expected = state_of(state->incarnation);

	return memcmp(&expected, state, sizeof(expected)) == 0;
}

static void
test_records(void)
{
	struct tk_zone *zone, *reader;
	struct tk_part_state state;
	struct env env;
	uint64_t seq, seq_after;

	env_init(&env);
	CU_ASSERT(tk_zone_open_readonly(env.run_fd, "z", &reader) == -ENOENT);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT_FATAL(tk_zone_open_readonly(env.run_fd, "z", &reader) == 0);
	CU_ASSERT(!tk_zone_read(reader, 0, &state, &seq));
	CU_ASSERT(tk_zone_reserve(zone, 9) == 0);
	CU_ASSERT(tk_zone_reserve(zone, TK_ZONE_SLOTS_MAX) == -ENOSPC);
	CU_ASSERT(tk_zone_slot_mark(reader) == 10);
	CU_ASSERT(tk_zone_read(reader, 9, &state, &seq));
	CU_ASSERT(state.incarnation == 0 && state.status == TK_PART_NONE);
	CU_ASSERT(!tk_zone_read(reader, 10, &state, &seq));
	for (uint64_t n = 1; n < 10; n++) {
		struct tk_part_state wanted = state_of(n);

		tk_zone_publish(zone, 9, &wanted);
		CU_ASSERT(tk_zone_read(reader, 9, &state, &seq_after));
		CU_ASSERT(memcmp(&state, &wanted, sizeof(state)) == 0);
		CU_ASSERT(seq_after == seq + n);
	}
	tk_zone_close(&zone);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT(tk_zone_read(zone, 9, &state, NULL) && state.incarnation == 9);
	tk_zone_forget(zone);
	CU_ASSERT(tk_zone_read(reader, 9, &state, NULL) && state.incarnation == 0);
	CU_ASSERT(tk_zone_reserve(zone, TK_ZONE_SLOTS_MAX / 64) == 0);
	CU_ASSERT(tk_zone_read(reader, TK_ZONE_SLOTS_MAX / 64, &state, NULL));
	tk_zone_close(&reader);
	tk_zone_close(&zone);
	env_free(&env);
}

/* Another layout, or a file that is no zone, is replaced and never believed. */
static void
test_other_layout(void)
{
	struct tk_zone *zone, *reader;
	struct env env;

	env_init(&env);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT(tk_zone_reserve(zone, 3) == 0);
	tk_zone_header(zone)->version++;
	CU_ASSERT(tk_zone_open_readonly(env.run_fd, "z", &reader) == -ESTALE);
	tk_zone_close(&zone);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT(tk_zone_slot_mark(zone) == 0);
	tk_zone_close(&zone);
	env_run("echo short > %s/z%s", env.run, "");
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT(tk_zone_slot_mark(zone) == 0);
	tk_zone_close(&zone);
	env_free(&env);
}

/* A writer killed while it fills the other buffer has published nothing. */
static void
test_half_filled(void)
{
	struct tk_part_state state, one = state_of(1);
	struct tk_part_record *record;
	struct tk_zone *zone;
	struct env env;

	env_init(&env);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT(tk_zone_reserve(zone, 0) == 0);
	tk_zone_publish(zone, 0, &one);
	record = (void *)((uint8_t *)tk_zone_header(zone) + 4096);
	memset(&record->buffer[(record->seq + 1) & 1], 0xee, sizeof(state) / 2);
	CU_ASSERT(tk_zone_read(zone, 0, &state, NULL) && state_is_whole(&state));
	tk_zone_close(&zone);
	env_free(&env);
}

static void
publish_for_ever(const struct env *env)
{
	struct tk_zone *zone;

	if (tk_zone_open(env->run_fd, "z", &zone) < 0)
		_exit(1);
	for (uint64_t n = 1;; n++) {
		struct tk_part_state state = state_of(n);

		tk_zone_publish(zone, (uint32_t)(n % 3), &state);
	}
}

/* One process publishes without a pause and is killed and started again, this one reads. */
static void
test_torn_reads(void)
{
	int64_t until = tk_clock_mono_ms() + 1000;
	uint64_t reads = 0, torn = 0;
	struct tk_zone *zone;
	struct env env;

	env_init(&env);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "z", &zone) == 0);
	CU_ASSERT(tk_zone_reserve(zone, 2) == 0);
	for (uint32_t slot = 0; slot < 3; slot++) {
		struct tk_part_state state = state_of(slot);

		tk_zone_publish(zone, slot, &state);
	}
	while (tk_clock_mono_ms() < until) {
		int64_t life = tk_clock_mono_ms() + 100;
		pid_t pid = fork();

		if (pid == 0)
			publish_for_ever(&env);
		CU_ASSERT_FATAL(pid > 0);
		while (tk_clock_mono_ms() < life)
			for (int i = 0; i < 1000; i++, reads++) {
				struct tk_part_state state;

				torn += !tk_zone_read(zone, (uint32_t)(reads % 3), &state, NULL) ||
					!state_is_whole(&state);
			}
		CU_ASSERT(kill(pid, SIGKILL) == 0);
		CU_ASSERT(waitpid(pid, NULL, 0) == pid);
	}
	CU_ASSERT(torn == 0);
	CU_ASSERT(reads > 10000);
	tk_zone_close(&zone);
	env_free(&env);
}

TK_UNIT_MAIN("zone", { "records and marks", test_records }, { "other layouts", test_other_layout },
    { "half-filled buffer", test_half_filled }, { "torn reads", test_torn_reads })
